"""Checkpoint mappings for squeeze-and-excitation: layers, residual blocks and networks."""

from __future__ import annotations

from torch import Tensor, nn

from regard.core import Attention
from regard.networks.residual import BLOCKS
from regard.ops import pooling
from regard.papers.senet.mechanism import SqueezeExcite
from regard.published.naming import caffe, caffe_maps, joined_norms, network, probabilities, torch_names
from regard.published.reference import Build, Given, Reference, in_residual_block, unsupported

_OFFICIAL = "se/hujie-frank.SENet"
_PORT = "se/moskomule.senet.pytorch"
_OFFICIAL_PARTS = {"reduce": "1x1_down", "expand": "1x1_up"}
_PORT_PARTS = {"reduce": "fc.0", "expand": "fc.2"}
_SMALL = {20: (3, 3, 3), 32: (5, 5, 5), 56: (9, 9, 9)}  # depth -> blocks, for CIFAR


def _se_port(channel, reduction=16):
    return {"channels": channel, "reduction": reduction, "bias": False}, _PORT_PARTS


def _se_timm(channels, rd_ratio=1 / 16, rd_channels=None, rd_divisor=8, bias=True, add_maxpool=False):
    if add_maxpool:
        raise unsupported("add_maxpool", add_maxpool, "False is accepted; a second pool, timm's own, has no paper")
    # timm rounds to the nearest multiple of rd_divisor, with its round_limit of 0.9 off.
    hidden = rd_channels or max(rd_divisor, int(channels * rd_ratio + rd_divisor / 2) // rd_divisor * rd_divisor)
    return {"channels": channels, "hidden": hidden, "bias": bias}, {"reduce": "fc1", "expand": "fc2"}


def _se_torchvision(input_channels, squeeze_channels, activation=nn.ReLU, scale_activation=nn.Sigmoid):
    _function("activation", activation)
    _function("scale_activation", scale_activation)
    return {"channels": input_channels, "hidden": squeeze_channels}, {"reduce": "fc1", "expand": "fc2"}


def _function(name: str, given: object) -> nn.Module:
    """The module that torchvision makes of its argument: a class, what makes a module, or the name of a class."""
    made = getattr(nn, given.rpartition(".")[2], None) if isinstance(given, str) else given
    module = made() if callable(made) else None
    if not isinstance(module, nn.Module):
        raise unsupported(name, given, "a class of torch.nn, its name, or what makes a module is accepted")
    return module


class _Activated(Attention):
    """Our module with torchvision's choice of both functions, as in its EfficientNets and its MobileNetV3."""

    def __init__(self, module: SqueezeExcite, args: Given) -> None:
        super().__init__()
        self.reduce, self.expand = module.reduce, module.expand
        self.activation = _function("activation", args.get("activation", nn.ReLU))
        self.gate = _function("scale_activation", args.get("scale_activation", nn.Sigmoid))

    def forward(self, x: Tensor) -> Tensor:
        z = pooling.average(x)[:, :, None, None]
        return x * self.see("channel", self.gate(self.expand(self.activation(self.reduce(z)))))


def _activated(module: SqueezeExcite, args: Given) -> nn.Module:
    usual = {"activation": nn.ReLU, "scale_activation": nn.Sigmoid}
    same = all(type(_function(name, args.get(name, kind))) is kind for name, kind in usual.items())
    return module if same else _Activated(module, args)


def _in_block(planes, groups=1, base_width=64, dilation=1, norm_layer=None, reduction=16):
    if (groups, base_width, dilation) != (1, 64, 1):
        raise unsupported("groups, base_width, dilation", (groups, base_width, dilation), "(1, 64, 1) is accepted")
    return _se_port(planes, reduction)


def _block(name, *, basic):
    build, host = in_residual_block(_in_block, "se", basic=basic)
    maps = {"channel_gate": "attention/channel"}
    return Reference(f"{_PORT}/{name}", "se", build, host=host, maps=maps)


def _port_network(name: str, blocks: tuple[int, ...], bottleneck: bool, default: int) -> Build:
    def build(num_classes=default, pretrained=False):
        return {"name": name, "classes": num_classes}, torch_names(blocks, _PORT_PARTS, "se.", bottleneck=bottleneck)

    return build


REFERENCES = (
    _block("SEBottleneck", basic=False),
    _block("SEBasicBlock", basic=True),
    _block("CifarSEBasicBlock", basic=True),
    Reference(f"{_PORT}/SELayer", "se", _se_port),
    Reference("se/timm/SEModule", "se", _se_timm),
    Reference("se/torchvision/SqueezeExcitation", "se", _se_torchvision, adapt=_activated),
    *(
        Reference(
            f"{_OFFICIAL}/SE-{kind}-{depth}",
            "paper_network",
            caffe(f"se_{kind.lower()}{depth}", depth, _OFFICIAL_PARTS),
            state=joined_norms,
            adapt=probabilities,
            maps=caffe_maps(depth, "prob", "attention/channel"),
        )
        for kind, depths in (("ResNet", (50, 101, 152)), ("ResNeXt", (50, 101)))
        for depth in depths
    ),
    Reference(
        f"{_OFFICIAL}/SENet-154",
        "paper_network",
        caffe("senet154", 152, _OFFICIAL_PARTS, stem=("conv1_1_3x3_s2", "conv1_2_3x3", "conv1_3_3x3")),
        state=joined_norms,
        adapt=probabilities,
        maps=caffe_maps(152, "prob", "attention/channel"),
    ),
    *(
        network(f"{_PORT}/se_resnet{depth}", _port_network(name, BLOCKS[depth], depth > 34, 1000))
        for depth, name in (
            (18, "se_resnet18"),
            (34, "se_resnet34"),
            (50, "se_resnet50_port"),
            (101, "se_resnet101_port"),
        )
    ),
    *(
        network(f"{_PORT}/se_resnet{depth}", _port_network(f"se_resnet{depth}", blocks, False, 10))
        for depth, blocks in _SMALL.items()
    ),
)
