"""The networks of the attention papers as their authors publish them: Caffe and Caffe2 definitions, and PyTorch in the
names of torchvision and of others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from regard.published.bottleneck_attention import _bam
from regard.published.reference import Build, Probabilities, Reference, State, unsupported

_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
_SMALL = {20: (3, 3, 3), 32: (5, 5, 5), 56: (9, 9, 9)}
Names = Iterator[tuple[str, str]]
Gate = Mapping[str, str]  # our part of the mechanism -> the published one


# Caffe: conv3_1_1x1_reduce and so on, counted from 2 and 1.


def _caffe(name: str, depth: int, gate: Gate, middle: str = "3x3", stem: tuple[str, ...] = ("conv1_7x7_s2",)) -> Build:
    def names(blocks: tuple[int, ...]) -> Names:
        for i, layer in enumerate(stem):
            yield f"stem.{3 * i}", layer
            yield f"stem.{3 * i + 1}", f"{layer}_bn"
        for stage, count in enumerate(blocks):
            for i in range(count):
                ours, theirs = f"stages.{stage}.{i}", f"conv{stage + 2}_{i + 1}"
                parts = {0: "1x1_reduce", 1: middle, 2: "1x1_increase"}
                for number, part in parts.items():
                    if part:
                        yield f"{ours}.convs.{number}", f"{theirs}_{part}"
                        yield f"{ours}.norms.{number}", f"{theirs}_{part}_bn"
                if i == 0:
                    yield f"{ours}.project.0", f"{theirs}_1x1_proj"
                    yield f"{ours}.project.1", f"{theirs}_1x1_proj_bn"
                where = "attention" if middle else "convs.1"
                for part, layer in gate.items():
                    yield f"{ours}.{where}.{part}", f"{theirs}_{layer}"
        yield "classify", "classifier"

    def build(width_divisor=1, input_size=224, classes=1000, upto=None):
        if upto is not None:
            raise unsupported("upto", upto, "only the whole definition is rebuilt")
        arguments = {"name": name, "classes": classes, "width": 64 // width_divisor, "image_size": input_size}
        return arguments, dict(names(_BLOCKS[depth]))

    return build


def _joined_norms(state: State, args: Mapping[str, Any]) -> State:
    """Caffe's batch norms have their weight and bias in a layer of its own."""
    return {key.replace("_bn_scale.", "_bn."): value for key, value in state.items()}


def _selects(state: State, args: Mapping[str, Any]) -> State:
    """The selecting convolutions of both branches are one."""
    split: State = {}
    for key, value in state.items():
        if key.endswith("_B_fc2.weight"):
            for i, part in enumerate(value.chunk(2)):
                split[key.replace("_B_fc2.", f"_B_fc2_{i}.")] = part
        else:
            split[key] = value
    return split


_SE = {"reduce": "1x1_down", "expand": "1x1_up"}
_SK = {"reduce": "B_fc1", "norm": "B_fc1_bn"}
_SK |= {f"convs.{i}": f"3x3g32{end}" for i, end in enumerate(("", "d2"))}
_SK |= {f"norms.{i}": f"3x3g32{end}_bn" for i, end in enumerate(("", "d2"))}
_SK |= {f"selects.{i}": f"B_fc2_{i}" for i in (0, 1)}
_GE = {
    "GEPF": ("theta_minus", {}),
    "GEP": ("theta", {"kernel": "gather.weight", "norms.0": "gather_bn"}),
    "GEPP": (
        "theta_plus",
        {
            "kernel": "gather.weight",
            "norms.0": "gather_bn",
            "reduce": "excite_1x1_down",
            "expand": "excite_1x1_up",
        },
    ),
}


def _seen(depth: int, theirs: str, ours: str) -> dict[str, str]:
    return {
        f"conv{stage + 2}_{i + 1}_{theirs}": f"stages.{stage}.{i}.{ours}"
        for stage, count in enumerate(_BLOCKS[depth])
        for i in range(count)
    }


def _probabilities(module, args):
    return Probabilities(module)


# PyTorch: layer1.0.conv1 and so on, counted from 1.


def _torch(
    blocks: tuple[int, ...],
    gate: Gate,
    attribute: str,
    *,
    bottleneck: bool,
    behind: str = "",
    preactivation: bool = False,
    head: str = "fc",
    shortcut: str = "downsample",
) -> dict[str, str]:
    """Ours and theirs of every layer; `attribute` has the mechanism in a block, or `behind` and the stage's number."""
    names = {"stem.0": "conv1", "classify": head} | ({} if preactivation else {"stem.1": "bn1"})
    for stage, count in enumerate(blocks):
        for i in range(count):
            ours, theirs = f"stages.{stage}.{i}", f"layer{stage + 1}.{i}"
            for n in range(3 if bottleneck else 2):
                names |= {f"{ours}.convs.{n}": f"{theirs}.conv{n + 1}", f"{ours}.norms.{n}": f"{theirs}.bn{n + 1}"}
            names[f"{ours}.project"] = f"{theirs}.{shortcut}"
            for part, layer in gate.items():
                names[f"{ours}.attention.{part}"] = f"{theirs}.{attribute}{layer}"
        if behind:
            names |= {f"stages.{stage}.{count}.{part}": f"{behind}{stage + 1}.{layer}" for part, layer in gate.items()}
    return names


def _se_port(name: str, blocks: tuple[int, ...], bottleneck: bool, default: int) -> Build:
    def build(num_classes=default, pretrained=False):
        names = _torch(blocks, {"reduce": "fc.0", "expand": "fc.2"}, "se.", bottleneck=bottleneck)
        return {"name": name, "classes": num_classes}, names

    return build


_ECA_SIZES = {18: (3, 5, 7, 7), 34: (3, 3, 5, 7), 50: (3, 5, 5, 7), 101: (3, 3, 5, 7), 152: (3, 3, 5, 7)}


def _eca(depth: int) -> Build:
    def build(k_size=(3, 3, 3, 3), num_classes=1000, pretrained=False):
        if tuple(k_size) != _ECA_SIZES[depth]:
            raise unsupported("k_size", k_size, f"released is {_ECA_SIZES[depth]}")
        name = f"eca_resnet{depth}"
        return {"name": name, "classes": num_classes}, _torch(
            _BLOCKS[depth], {"conv": "conv"}, "eca.", bottleneck=depth > 34
        )

    return build


def _eca_mobile(num_classes=1000, width_mult=1.0):
    if width_mult != 1:
        raise unsupported("width_mult", width_mult, "released is 1")
    names = {"stem": "features.0", "classify": "classifier.1"}
    for number, ours, stage in _mobile_blocks():
        layers = 3 if stage else 2  # the first block has no convolution that widens
        names |= {f"{ours}.layers.{i}": f"features.{number}.conv.{i}" for i in range(layers - 1)}
        last = {f"{ours}.layers.{layers - 1}.{i}": f"features.{number}.conv.{layers - 1 + i}" for i in (0, 1)}
        names |= {**last, f"{ours}.attention.conv": f"features.{number}.conv.{layers + 1}.conv"}
    return {"name": "eca_mobilenetv2", "classes": num_classes}, {**names, _MOBILE_LAST: "features.18"}


_MOBILE = (1, 2, 3, 4, 3, 3, 1)
_MOBILE_LAST = "stages.6.1"


def _mobile_blocks() -> Iterator[tuple[int, str, int]]:
    """The number of each block of MobileNetV2, counted from 1, our name of it, and its stage."""
    names = [(f"stages.{stage}.{i}", stage) for stage, count in enumerate(_MOBILE) for i in range(count)]
    return ((number, *name) for number, name in enumerate(names, 1))


def _residual_net(network_type, depth, num_classes, att_type):
    end = {"ImageNet": "", "CIFAR10": "_cifar", "CIFAR100": "_cifar"}.get(network_type)
    if end is None or att_type not in ("CBAM", "BAM"):
        known = "ImageNet, CIFAR10 or CIFAR100 with CBAM or BAM is"
        raise unsupported("network_type, att_type", (network_type, att_type), known)
    name = f"{att_type.lower()}_resnet{depth}{end}"
    gate, attribute, behind = (_CBAM, "cbam.", "") if att_type == "CBAM" else (_BAM, "", "bam")
    names = _torch(_BLOCKS[depth], gate, attribute, bottleneck=depth > 34, behind=behind)
    return {"name": name, "classes": num_classes}, names


_CBAM = {
    "reduce": "ChannelGate.mlp.1",
    "expand": "ChannelGate.mlp.3",
    "conv": "SpatialGate.spatial.conv",
    "norm": "SpatialGate.spatial.bn",
}
_BAM = _bam(16)[1]


def _fca(depth: int) -> Build:
    def build(num_classes=1000, pretrained=False):
        gate = {"filters": "dct_layer.weight", "reduce": "fc.0", "expand": "fc.2"}
        names = _torch(_BLOCKS[depth], gate, "att.", bottleneck=depth > 34)
        return {"name": f"fcanet{depth}", "classes": num_classes}, names

    return build


_GSOP_ENDS = tuple(tuple("1" if i == count - 1 else "0" for i in range(count)) for count in _BLOCKS[50])


def _gsop(pretrained=False, att_position=_GSOP_ENDS, att_dim=128, GSoP_mode=1, num_classes=1000):
    wanted = _GSOP_ENDS if GSoP_mode == 1 else (*_GSOP_ENDS[:3], ("0", "0", "0"))
    if tuple(map(tuple, att_position)) != wanted or att_dim != 128:
        raise unsupported("att_position, att_dim", (att_position, att_dim), f"released are {wanted} and 128")
    gate = {
        "channel_reduce": "conv_for_DR",
        "channel_norm": "bn_for_DR",
        "channel_gate.norm": "row_bn",
        "channel_gate.rows": "row_conv_group",
        "channel_gate.out": "fc_adapt_channels",
    }
    names = _torch(_BLOCKS[50], gate, "", bottleneck=True)
    names |= {"head.reduce": "layer_reduce", "head.norm": "layer_reduce_bn"} if GSoP_mode == 2 else {}
    return {"name": f"gsop_net{GSoP_mode}", "classes": num_classes}, names


_SPA = {"gate.reduce": "fc.0", "gate.expand": "fc.2", "conv": "conv1.0", "norm": "conv1.1"}
_SPA_SE = {"reduce": "fc.0", "expand": "fc.2"}


def _spa(kind: str, depth: int) -> Build:
    def build(num_classes=10):
        name = f"se_preresnet{depth}" if kind == "SE" else f"{kind.lower()}_resnet{depth}"
        gate = _SPA_SE if kind == "SE" else _SPA
        names = _torch(
            _BLOCKS[depth], gate, "se.", bottleneck=depth > 34, preactivation=True, head="linear", shortcut="shortcut.0"
        )
        return {"name": name, "classes": num_classes}, names

    return build


def _spa_resnext(kind: str) -> Build:
    def build(num_classes=100):
        gate = _SPA_SE if kind == "SE" else _SPA
        names = _torch((3, 3, 3), gate, "se.", bottleneck=True, head="linear", shortcut="shortcut")
        return {"name": f"{kind.lower()}_resnext29", "classes": num_classes}, names

    return build


def _spa_mobile(kind: str) -> Build:
    def build(num_classes=10):
        names = {"stem.0": "conv1", "stem.1": "bn1", "classify": "linear"}
        names |= {f"{_MOBILE_LAST}.0": "conv2", f"{_MOBILE_LAST}.1": "bn2"}
        for number, ours, _ in _mobile_blocks():
            theirs = f"layers.{number - 1}"
            for i in range(3):
                names |= {
                    f"{ours}.layers.{i}.0": f"{theirs}.conv{i + 1}",
                    f"{ours}.layers.{i}.1": f"{theirs}.bn{i + 1}",
                }
            names[f"{ours}.project"] = f"{theirs}.shortcut"
            gate = _SPA_SE if kind == "SE" else _SPA
            names |= {f"{ours}.attention.{part}": f"{theirs}.se.{layer}" for part, layer in gate.items()}
        return {"name": f"{kind.lower()}_mobilenetv2", "classes": num_classes}, names

    return build


# Caffe2: res3_0_branch2a_w and so on; its tensors' names end in what they are.

_CAFFE2 = {"_bn_s": "_bn.weight", "_bn_b": "_bn.bias", "_bn_rm": "_bn.running_mean", "_bn_riv": "_bn.running_var"}
_CAFFE2 |= {"_w": ".weight", "_b": ".bias"}


def _blobs(state: State, args: Mapping[str, Any]) -> State:
    """The tensors under names that PyTorch's layers would have; what an optimizer keeps of them is left out."""
    named: State = {}
    for key, value in state.items():
        end = next((end for end in _CAFFE2 if key.endswith(end)), None)
        if end is not None:
            named[key.removesuffix(end) + _CAFFE2[end]] = value
    return named


def _non_local(MODEL_NAME="resnet_video", DEPTH=50, VIDEO_ARC_CHOICE=1, LAYER_MOD=2, NUM_CLASSES=400):
    frames = {"resnet_video": "_8f", "resnet_video_org": ""}.get(MODEL_NAME)
    kind = {(50, 1): "c2d", (50, 2): "i3d", (101, 3): "c2d", (101, 4): "i3d"}.get((DEPTH, VIDEO_ARC_CHOICE))
    number = {(50, 2): 5, (50, 1): 10, (101, 2): 5}.get((DEPTH, LAYER_MOD))
    if frames is None or kind is None or number is None:
        given = (MODEL_NAME, DEPTH, VIDEO_ARC_CHOICE, LAYER_MOD)
        known_ones = "resnet_video and resnet_video_org with DEPTH 50 or 101 are"
        raise unsupported("MODEL_NAME, DEPTH, VIDEO_ARC_CHOICE, LAYER_MOD", given, known_ones)
    names = {"stem.0": "conv1", "stem.1": "res_conv1_bn", "classify": "pred"}
    every = {1: LAYER_MOD, 2: LAYER_MOD if DEPTH == 50 else 4 * LAYER_MOD - 1}
    parts = {"theta": "theta", "phi": "phi", "g": "g", "out": "out", "norm": "bn"}
    for stage, count in enumerate(_BLOCKS[DEPTH]):
        place = 0
        for i in range(count):
            ours, theirs = f"stages.{stage}.{place}", f"res{stage + 2}_{i}_branch"
            for n, part in enumerate(("2a", "2b", "2c")):
                names |= {f"{ours}.convs.{n}": f"{theirs}{part}", f"{ours}.norms.{n}": f"{theirs}{part}_bn"}
            names |= {f"{ours}.project.0": f"{theirs}1", f"{ours}.project.1": f"{theirs}1_bn"}
            place += 1
            if stage in every and i % every[stage] == every[stage] - 1:
                block = f"nonlocal_conv{stage + 2}_{i}"
                names |= {f"stages.{stage}.{place}.{part}": f"{block}_{layer}" for part, layer in parts.items()}
                place += 1
    return {"name": f"nonlocal{number}_{kind}_resnet{DEPTH}{frames}", "classes": NUM_CLASSES}, names


def _network(name: str, build: Build) -> Reference:
    return Reference(name, "paper_network", build)


REFERENCES = (
    *(
        Reference(
            f"se/hujie-frank.SENet/SE-{kind}-{depth}",
            "paper_network",
            _caffe(f"se_{kind.lower()}{depth}", depth, _SE),
            state=_joined_norms,
            adapt=_probabilities,
            maps=_seen(depth, "prob", "attention/channel"),
        )
        for kind, depths in (("ResNet", (50, 101, 152)), ("ResNeXt", (50, 101)))
        for depth in depths
    ),
    Reference(
        "se/hujie-frank.SENet/SENet-154",
        "paper_network",
        _caffe("senet154", 152, _SE, stem=("conv1_1_3x3_s2", "conv1_2_3x3", "conv1_3_3x3")),
        state=_joined_norms,
        adapt=_probabilities,
        maps=_seen(152, "prob", "attention/channel"),
    ),
    *(
        Reference(
            f"ge/hujie-frank.GENet/RN50-{name}",
            "paper_network",
            _caffe(f"ge_resnet50_{variant}", 50, gate),
            maps=_seen(50, "excite_sigmoid", "attention/gate"),
        )
        for name, (variant, gate) in _GE.items()
    ),
    *(
        Reference(
            f"sk/implus.SKNet/sknet{depth}",
            "paper_network",
            _caffe(f"sknet{depth}", depth, _SK, middle=""),
            state=_selects,
            maps=_seen(depth, "B_softmax", "convs.1/branch"),
        )
        for depth in (50, 101)
    ),
    *(
        _network(f"se/moskomule.senet.pytorch/se_resnet{depth}", _se_port(name, _BLOCKS[depth], depth > 34, 1000))
        for depth, name in (
            (18, "se_resnet18"),
            (34, "se_resnet34"),
            (50, "se_resnet50_port"),
            (101, "se_resnet101_port"),
        )
    ),
    *(
        _network(f"se/moskomule.senet.pytorch/se_resnet{depth}", _se_port(f"se_resnet{depth}", blocks, False, 10))
        for depth, blocks in _SMALL.items()
    ),
    *(_network(f"eca/BangguWu.ECANet/eca_resnet{depth}", _eca(depth)) for depth in _BLOCKS),
    _network("eca/BangguWu.ECANet/eca_mobilenet_v2", _eca_mobile),
    _network("cbam/Jongchan.attention-module/ResidualNet", _residual_net),
    *(_network(f"fca/cfzd.FcaNet/fcanet{depth}", _fca(depth)) for depth in (34, 50, 101, 152)),
    _network("gsop/ZilinGao.Global-Second-order-Pooling-Convolutional-Networks/resnet50", _gsop),
    *(
        _network(f"spanet/13952522076.SPANet/{kind}ResNet{depth}", _spa(kind, depth))
        for kind in ("SE", "PSE", "CPSE", "SPPSE", "PSPPSE", "CPSPPSE")
        for depth in (18, 50, 101)
    ),
    *(
        _network(f"spanet/13952522076.SPANet/{kind}{network}", build(kind))
        for kind in ("SE", "SPPSE", "PSPPSE", "CPSPPSE")
        for network, build in (("ResNeXt29", _spa_resnext), ("MobileNetV2", _spa_mobile))
    ),
    Reference("nonlocal/facebookresearch.video-nonlocal-net/resnet_video", "paper_network", _non_local, state=_blobs),
)
