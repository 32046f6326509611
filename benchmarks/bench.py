"""The rows of the table: which comparison is run, in what order, and what is said where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import gate
from benchmarks.measuring import MODES, call, floor, paired, peak_memory
from benchmarks.peers import Floor, NotFetched, Peer, Shape, code_of
from benchmarks.peers.peer import Inputs
from regard.ops.seeds import seeded

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
LAYOUTS = {"nchw": torch.contiguous_format, "channels_last": torch.channels_last}


@dataclass(frozen=True)
class Bench:
    """One run's settings.

    Args:
        shape: what the inputs are made of.
        layouts: names of memory layouts.
        seconds: time for each ratio.
        device: cpu or cuda.
        compiled: both sides through torch.compile.
        authors: folder of fetched repositories.
        dtype: name of the type in which both sides are measured.
        verdicts: what the gate has said, which holds for every type and batch size; runs may share it.
    """

    shape: Shape
    layouts: tuple[str, ...]
    seconds: float
    device: str
    compiled: bool
    authors: Path | None
    dtype: str = "float32"
    verdicts: dict[tuple[object, ...], gate.Verdict] = field(default_factory=dict, compare=False)

    def blank(self, peer: Peer, layout: str) -> dict[str, Any]:
        """What a row says whatever comes of it."""
        return {
            "entry": peer.entry,
            "peer": peer.name,
            "kind": peer.kind,
            "place": peer.place,
            "version": None,
            "inputs": [tuple(x.shape) for x in self.inputs(peer.inputs, peer.fit(self.shape), layout)],
            "layout": layout,
            "status": "measured",
            "reason": "",
        }

    def compare(self, peer: Peer, layout: str) -> dict[str, Any]:
        """One row of the table: the gate, and behind a green one the figures."""
        shape = peer.fit(self.shape)
        row = self.blank(peer, layout)
        try:
            code, row["version"] = code_of(peer, self.authors)
            published = self.build(peer, code, shape)
            ours = peer.ours(published, shape).to(self.device)
            theirs = peer.called(published).to(self.device)
            verdict = self.verdict(peer, ours, theirs, layout)
            row["gate"] = asdict(verdict)
            if not verdict.green:
                reason = f"outputs differ by {verdict.output:.1e}, input gradients by {verdict.gradient:.1e}"
                return {**row, "status": "red gate", "reason": reason}
            dtype = DTYPES[self.dtype]
            inputs = [x.to(dtype) if x.is_floating_point() else x for x in self.inputs(peer.inputs, shape, layout)]
            return {**row, **self.figures(ours.to(dtype), theirs.to(dtype), inputs)}
        except NotFetched as error:
            return {**row, "status": "not fetched", "reason": str(error) if self.authors else ""}
        except ImportError as error:
            return {**row, "status": "cannot be imported", "reason": str(error)}
        except gate.Refused as error:
            return {**row, "status": "the peer refuses this input", "reason": str(error)}

    def build(self, peer: Peer, code: ModuleType, shape: Shape) -> nn.Module:
        with gate.refusing():
            return peer.build(code, shape)

    def verdict(self, peer: Peer, ours: nn.Module, theirs: nn.Module, layout: str) -> gate.Verdict:
        """The gate, in float64 on two examples: enough to notice a mix-up, and bearable for the peer's memory."""
        shape = peer.fit(self.shape)
        few = shape._replace(batch=min(shape.batch, 2))
        key = (peer.entry, peer.name, few, layout)
        if key not in self.verdicts:
            self.verdicts[key] = gate.check(ours, theirs, *self.inputs(peer.inputs, few, layout))
        return self.verdicts[key]

    def inputs(self, make: Inputs, shape: Shape, layout: str) -> list[Tensor]:
        with seeded(0):
            made = make(shape)
        return [
            x.to(self.device).contiguous(memory_format=LAYOUTS[layout] if x.ndim == 4 else torch.contiguous_format)
            for x in made
        ]

    def figures(self, ours: nn.Module, theirs: nn.Module, inputs: Sequence[Tensor]) -> dict[str, Any]:
        sides = [torch.compile(module) if self.compiled else module for module in (ours, theirs)]
        figures: dict[str, Any] = {"time": {}, "memory": {}}
        try:
            for mode in MODES:
                with gate.refusing():  # a type or a compiler that the peer does not bear is its answer
                    other = call(sides[1], inputs, mode)
                    other()
                calls = call(sides[0], inputs, mode), other
                ratio = paired(*calls, seconds=self.seconds, device=self.device)
                figures["time"][mode] = asdict(ratio)
                bytes_ours, bytes_peer = (peak_memory(function, self.device) for function in calls)
                figures["memory"][mode] = {"ours": bytes_ours, "peer": bytes_peer}
        finally:
            torch.compiler.reset()
        return figures

    def distance(self, least: Floor, layout: str) -> dict[str, Any]:
        """How far the entry's forward pass is from what memory traffic alone costs."""
        inputs = self.inputs(least.inputs, self.shape, layout)
        module = least.build(self.shape).to(self.device)
        calls = call(module, inputs, "forward"), floor(inputs, least.reads)
        return {
            "entry": least.entry,
            "inputs": [tuple(x.shape) for x in inputs],
            "layout": layout,
            "reads": least.reads,
            "forward": asdict(paired(*calls, seconds=self.seconds, device=self.device)),
        }
