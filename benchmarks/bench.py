"""The rows of the table: which comparison is run, in what order, and what is said where there is none."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import gate
from benchmarks.measuring import MODES, READS, call, floor, paired, peak_memory
from benchmarks.peers import NotFetched, Peer, code_of
from regard import catalog

LAYOUTS = {"nchw": torch.contiguous_format, "channels_last": torch.channels_last}


@dataclass(frozen=True)
class Bench:
    """One run's settings.

    Args:
        shape: B, C, H, W of the input.
        layouts: names of memory layouts.
        seconds: time for each ratio.
        device: cpu or cuda.
        compiled: both sides through torch.compile.
        authors: folder of fetched repositories.
    """

    shape: tuple[int, ...]
    layouts: tuple[str, ...]
    seconds: float
    device: str
    compiled: bool
    authors: Path | None

    def compare(self, peer: Peer, layout: str) -> dict[str, Any]:
        """One row of the table: the gate, and behind a green one the figures."""
        batch, channels, height, width = self.shape
        if peer.largest is not None:
            batch, height, width = (min(a, b) for a, b in zip((batch, height, width), peer.largest, strict=True))
        shape = (batch, channels, height, width)
        row: dict[str, Any] = {
            "entry": peer.entry,
            "peer": peer.name,
            "place": peer.place,
            "version": None,
            "shape": shape,
            "layout": layout,
            "status": "measured",
            "reason": "",
        }
        try:
            with code_of(peer, self.authors) as (code, row["version"]):
                theirs = peer.build(code, channels)
                ours = peer.ours(theirs, channels)
                x = self.input(shape, layout)
                verdict = gate.check(ours.to(self.device), theirs.to(self.device), x)
                row["gate"] = asdict(verdict)
                if not verdict.green:
                    reason = f"outputs differ by {verdict.output:.1e}, input gradients by {verdict.gradient:.1e}"
                    return {**row, "status": "red gate", "reason": reason}
                return {**row, **self.figures(ours.float(), theirs.float(), x)}
        except NotFetched as error:
            return {**row, "status": "not fetched", "reason": str(error) if self.authors else ""}
        except ImportError as error:
            return {**row, "status": "cannot be imported", "reason": str(error)}
        except gate.Refused as error:
            return {**row, "status": "the peer refuses this input", "reason": str(error)}

    def input(self, shape: tuple[int, ...], layout: str) -> Tensor:
        x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        return x.to(self.device).contiguous(memory_format=LAYOUTS[layout])

    def figures(self, ours: nn.Module, theirs: nn.Module, x: Tensor) -> dict[str, Any]:
        sides = [torch.compile(module) if self.compiled else module for module in (ours, theirs)]
        figures: dict[str, Any] = {"time": {}, "memory": {}}
        for mode in MODES:
            calls = [call(module, x, mode) for module in sides]
            ratio = paired(*calls, seconds=self.seconds, device=self.device)
            figures["time"][mode] = asdict(ratio)
            bytes_ours, bytes_peer = (peak_memory(function, self.device) for function in calls)
            figures["memory"][mode] = {"ours": bytes_ours, "peer": bytes_peer}
        torch.compiler.reset()
        return figures

    def distance(self, entry: catalog.Entry, layout: str) -> dict[str, Any]:
        """How far the entry's forward pass is from what memory traffic alone costs."""
        x = self.input(self.shape, layout)
        module = entry.load()(channels=self.shape[1]).to(self.device).eval()
        reads = READS[entry.name]
        ratio = paired(call(module, x, "forward"), floor(x, reads), seconds=self.seconds, device=self.device)
        return {
            "entry": entry.name,
            "shape": self.shape,
            "layout": layout,
            "reads": reads,
            "forward": asdict(ratio),
        }
