"""Checkpoint mappings for DRAM, from readings of the paper: no code of its authors is public."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from regard.ops.glimpses import edge_glimpse
from regard.ops.reinforce import reinforce
from regard.published.reference import Reference


def _paper(
    c=1, g=8, k=2, s=2, g_ch=(4, 5, 6), glimpse_ks=(3, 3, 3), feat=12, coarse=8, c_ch=(3, 4, 5), ctx_ks=(3, 3, 3),
    init_cell=True, hid=(10, 9), fc_cls=11, num_classes=5, std=0.03, S=1, N=1, lam=1.0,
):  # fmt: skip
    arguments = {
        "channels": c,
        "classes": num_classes,
        "targets": S,
        "glimpses": N,
        "glimpse_size": g,
        "patches": k,
        "scale": s,
        "glimpse_widths": tuple(g_ch),
        "glimpse_kernels": tuple(glimpse_ks),
        "features": feat,
        "context_size": coarse,
        "context_widths": tuple(c_ch),
        "context_kernels": tuple(ctx_ks),
        "context_cell": init_cell,
        "hidden": tuple(hid),
        "class_hidden": fc_cls,
        "std": std,
    }
    names = {"look.convolutions": "g_conv", "what": "g_fc", "where": "g_loc", "overview.convolutions": "c_conv"}
    names |= {"context": "c_fc", "emission": "emit", "baseline": "base", "reduce": "o_fc", "classifier": "o_out"}
    for ours, theirs in (("lower", "rnn1"), ("upper", "rnn2")):
        for part, short in (("input", "ih"), ("state", "hh")):
            names[f"{ours}.{part}.weight"] = f"{theirs}.weight_{short}"
            names[f"{ours}.{part}.bias"] = f"{theirs}.bias_{short}"
    return arguments, names


class _Trainer(nn.Module):
    """A reading and its loss, with the noise as an input; each target has one reward."""

    def __init__(self, module: Any, args: Mapping[str, Any]) -> None:
        super().__init__()
        self.module, self.weight = module, args.get("lam", 1.0)

    def forward(self, x: Tensor, noise: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        log_probs, locations, log_policy, baseline = self.module(x, noise=noise, episode=True)
        right = (log_probs.argmax(-1) == labels).to(baseline.dtype)
        reward = right.cumsum(1).repeat_interleave(self.module.glimpses, 1)
        loss = F.nll_loss(log_probs.flatten(0, 1), labels.flatten(), reduction="sum") / len(x)
        loss = loss + self.weight * reinforce(log_policy, reward, baseline) + F.mse_loss(baseline, reward)
        return loss, log_probs, locations.transpose(0, 1), log_policy, baseline


def _patch(size):
    return {}, {}


class _Edge(nn.Module):
    """One patch of images with channels last, around a place given as (y, x)."""

    def __init__(self, module: nn.Module, args: Mapping[str, Any]) -> None:
        super().__init__()
        size = args["size"]
        self.size = (size, size) if isinstance(size, int) else tuple(size)

    def forward(self, x: Tensor, at: Tensor) -> Tensor:
        found = edge_glimpse(x.movedim(-1, 1), at.flip(1), size=self.size)
        return found.movedim(1, -1)


REFERENCES = (
    Reference("dram/paper", "dram", _paper, adapt=_Trainer, recording="equations of the paper, with the loss"),
    Reference("dram_glimpse_edge/google-research.google-research/extract_glimpse", "dram", _patch, host=_Edge),
)
