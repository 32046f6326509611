"""Checkpoint mappings for frequency channel attention: the layer and the networks."""

from __future__ import annotations

from regard.networks.residual import BLOCKS
from regard.published.naming import network, torch_names
from regard.published.reference import Build, Given, Reference, State


def _fca(channel, dct_h, dct_w, reduction=16, freq_sel_method="top16"):
    arguments = {
        "channels": channel,
        "frequencies": freq_sel_method,
        "size": (dct_h, dct_w),
        "reduction": reduction,
    }
    return arguments, {"": "dct_layer", "reduce": "fc.0", "expand": "fc.2"}


def _renamed(state: State, args: Given) -> State:
    """The state with the filters, a tensor without a layer, under our name."""
    return {"dct_layer.filters" if key == "dct_layer.weight" else key: value for key, value in state.items()}


def _fcanet(depth: int) -> Build:
    def build(num_classes=1000, pretrained=False):
        gate = {"filters": "dct_layer.weight", "reduce": "fc.0", "expand": "fc.2"}
        names = torch_names(BLOCKS[depth], gate, "att.", bottleneck=depth > 34)
        return {"name": f"fcanet{depth}", "classes": num_classes}, names

    return build


REFERENCES = (
    Reference(
        "fca/cfzd.FcaNet/MultiSpectralAttentionLayer",
        "fca",
        _fca,
        state=_renamed,
        maps={"channel_gate": "channel"},
    ),
    *(network(f"fca/cfzd.FcaNet/fcanet{depth}", _fcanet(depth)) for depth in (34, 50, 101, 152)),
)
