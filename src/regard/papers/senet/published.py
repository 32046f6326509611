"""Squeeze-and-excitation as others publish them."""

from __future__ import annotations

from regard.published.naming import BLOCKS, caffe, joined_norms, network, probabilities, seen, torch_names
from regard.published.reference import Build, Reference, in_residual_block, unsupported


def _se_port(channel, reduction=16):
    return {"channels": channel, "reduction": reduction, "bias": False}, {"reduce": "fc.0", "expand": "fc.2"}


def _se_timm(channels, rd_ratio=1 / 16, rd_channels=None, rd_divisor=8, bias=True, add_maxpool=False):
    if add_maxpool:
        raise unsupported("add_maxpool", add_maxpool, "timm's experiment with a second pool has no paper")
    # timm rounds to the nearest multiple, and never below it; its own round_limit of 0.9 is off here
    hidden = rd_channels or max(rd_divisor, int(channels * rd_ratio + rd_divisor / 2) // rd_divisor * rd_divisor)
    return {"channels": channels, "hidden": hidden, "bias": bias}, {"reduce": "fc1", "expand": "fc2"}


def _se_torchvision(input_channels, squeeze_channels):
    return {"channels": input_channels, "hidden": squeeze_channels}, {"reduce": "fc1", "expand": "fc2"}


def _in_block(planes, groups=1, base_width=64, dilation=1, norm_layer=None, reduction=16):
    if (groups, base_width, dilation) != (1, 64, 1):
        raise unsupported("groups, base_width, dilation", (groups, base_width, dilation), "the block ignores them")
    return _se_port(planes, reduction)


def _block(name, *, basic):
    build, host = in_residual_block(_in_block, "se", basic=basic)
    maps = {"channel_gate": "attention/channel"}
    return Reference(f"se/moskomule.senet.pytorch/{name}", "se", build, host=host, maps=maps)


_SE = {"reduce": "1x1_down", "expand": "1x1_up"}

_SMALL = {20: (3, 3, 3), 32: (5, 5, 5), 56: (9, 9, 9)}


def _port_network(name: str, blocks: tuple[int, ...], bottleneck: bool, default: int) -> Build:
    def build(num_classes=default, pretrained=False):
        names = torch_names(blocks, {"reduce": "fc.0", "expand": "fc.2"}, "se.", bottleneck=bottleneck)
        return {"name": name, "classes": num_classes}, names

    return build


REFERENCES = (
    _block("SEBottleneck", basic=False),
    _block("SEBasicBlock", basic=True),
    _block("CifarSEBasicBlock", basic=True),
    Reference("se/moskomule.senet.pytorch/SELayer", "se", _se_port),
    Reference("se/timm/SEModule", "se", _se_timm),
    Reference("se/torchvision/SqueezeExcitation", "se", _se_torchvision),
    *(
        Reference(
            f"se/hujie-frank.SENet/SE-{kind}-{depth}",
            "paper_network",
            caffe(f"se_{kind.lower()}{depth}", depth, _SE),
            state=joined_norms,
            adapt=probabilities,
            maps=seen(depth, "prob", "attention/channel"),
        )
        for kind, depths in (("ResNet", (50, 101, 152)), ("ResNeXt", (50, 101)))
        for depth in depths
    ),
    Reference(
        "se/hujie-frank.SENet/SENet-154",
        "paper_network",
        caffe("senet154", 152, _SE, stem=("conv1_1_3x3_s2", "conv1_2_3x3", "conv1_3_3x3")),
        state=joined_norms,
        adapt=probabilities,
        maps=seen(152, "prob", "attention/channel"),
    ),
    *(
        network(f"se/moskomule.senet.pytorch/se_resnet{depth}", _port_network(name, BLOCKS[depth], depth > 34, 1000))
        for depth, name in (
            (18, "se_resnet18"),
            (34, "se_resnet34"),
            (50, "se_resnet50_port"),
            (101, "se_resnet101_port"),
        )
    ),
    *(
        network(f"se/moskomule.senet.pytorch/se_resnet{depth}", _port_network(f"se_resnet{depth}", blocks, False, 10))
        for depth, blocks in _SMALL.items()
    ),
)
