"""Global second-order pooling."""

from torch import nn

from benchmarks.peers.peer import Peer, Shape
from regard import published

_CODE = (
    "ZilinGao/Global-Second-order-Pooling-Convolutional-Networks:"
    "torchvision/models/MPNCOV/python/MPNCOV.py+torchvision/models/resnet.py"
)
_REFERENCE = "gsop/ZilinGao.Global-Second-order-Pooling-Convolutional-Networks/Bottleneck"


def _gate(attention: str) -> Peer:
    """The gate alone: the block around it is three convolutions, the same on both sides."""

    def arguments(shape: Shape) -> dict[str, int | str]:
        return {"inplanes": shape.channels, "planes": shape.channels // 4, "attention": attention}

    def twin(theirs: nn.Module, shape: Shape) -> nn.Module:
        return published.rebuild(_REFERENCE, arguments(shape), theirs.state_dict()).get_submodule("attention")

    calls = {
        "1": lambda block, x: x * block.chan_att(x),
        "2": lambda block, x: (x * block.pos_att(x)).relu(),
    }
    return Peer(
        entry="gsop",
        place=_CODE,
        attribute="Bottleneck",
        arguments=arguments,
        twin=twin,
        call=calls[attention],
        setting={"1": "channel gate", "2": "position gate"}[attention],
        pick=("Covpool", "CovpoolLayer", "cov_feature", "Bottleneck"),
        # the released constants are rounded to float32, which a comparison in float64 would see
        edits={"MPNCOV.CovpoolLayer": "CovpoolLayer", "device = x.device": "device = x.device, dtype = x.dtype"},
    )


PEERS = (_gate("1"), _gate("2"))
