"""Checkpoint mappings for non-local neural networks: blocks, and the networks for clips."""

from __future__ import annotations

from regard.networks.residual import BLOCKS
from regard.published.reference import Build, Given, Reference, State, unsupported

_MAPS = {"affinity": "affinity"}
_CAFFE2 = {  # ends of the tensors' names in Caffe2 -> in PyTorch
    "_bn_s": "_bn.weight",
    "_bn_b": "_bn.bias",
    "_bn_rm": "_bn.running_mean",
    "_bn_riv": "_bn.running_var",
    "_w": ".weight",
    "_b": ".bias",
}


def _port(affinity: str, dims: int) -> Build:
    def build(
        in_channels,
        inter_channels=None,
        sub_sample=True,
        bn_layer=True,
        variant=affinity,
        dimension=dims,
        mode=affinity,
    ):
        pooled = ".0" if sub_sample else ""
        names = {"g": f"g{pooled}", "out": "W.0" if bn_layer else "W"}
        if affinity != "gaussian":
            names |= {"theta": "theta", "phi": f"phi{pooled}"}
        if affinity == "concatenation":
            names["relate"] = "concat_project.0"
        if bn_layer:
            names["norm"] = "W.1"
        return {
            "channels": in_channels,
            "hidden": inter_channels,
            "affinity": affinity,
            "dims": dims,
            "pool": 2 if sub_sample else 1,
            "pool_first": False,
            "scale": False,
            "norm": bn_layer,
        }, names

    return build


def _mmcv(dims: int) -> Build:
    def build(
        in_channels,
        reduction=2,
        use_scale=True,
        norm_cfg=None,
        mode="embedded_gaussian",
        sub_sample=False,
        conv_cfg=None,
        zeros_init=True,
    ):
        if norm_cfg is not None and norm_cfg.get("type") not in ("BN", "BN1d", "BN2d", "BN3d", "SyncBN"):
            raise unsupported("norm_cfg", norm_cfg, "batch norm (type BN) is accepted")
        pooled = ".0" if sub_sample else ""
        names = {"g": f"g{pooled}.conv", "out": "conv_out.conv"}
        if mode != "gaussian":
            names |= {"theta": "theta.conv", "phi": f"phi{pooled}.conv"}
        if mode == "concatenation":
            names["relate"] = "concat_project.conv"
        if norm_cfg is not None:
            names["norm"] = "conv_out.bn"
        return {
            "channels": in_channels,
            "hidden": max(in_channels // reduction, 1),
            "affinity": mode,
            "dims": dims,
            "pool": 2 if sub_sample else 1,
            "pool_first": False,
            "scale": use_scale,
            "norm": norm_cfg is not None,
        }, names

    return build


def _slowfast(
    dim,
    dim_inner,
    pool_size=None,
    instantiation="softmax",
    zero_init_final_conv=False,
    zero_init_final_norm=True,
    norm_eps=1e-5,
    norm_momentum=0.1,
    norm_module="BatchNorm3d",
):
    affinities = {"softmax": "embedded_gaussian", "dot_product": "dot_product"}
    if instantiation not in affinities:
        raise unsupported("instantiation", instantiation, f"{' or '.join(affinities)} is accepted")
    ours = {"theta": "conv_theta", "phi": "conv_phi", "g": "conv_g", "out": "conv_out", "norm": "bn"}
    return {
        "channels": dim,
        "hidden": dim_inner,
        "affinity": affinities[instantiation],
        "dims": 3,
        "pool": 1 if pool_size is None else tuple(pool_size),
        "norm.eps": norm_eps,
        "norm.momentum": norm_momentum,
    }, ours


def _blobs(state: State, args: Given) -> State:
    """The parameters under the names of PyTorch's layers, without the state of an optimizer."""
    named: State = {}
    for key, value in state.items():
        end = next((end for end in _CAFFE2 if key.endswith(end)), None)
        if end is not None:
            named[key.removesuffix(end) + _CAFFE2[end]] = value
    return named


def _network(MODEL_NAME="resnet_video", DEPTH=50, VIDEO_ARC_CHOICE=1, LAYER_MOD=2, NUM_CLASSES=400):
    frames = {"resnet_video": "_8f", "resnet_video_org": ""}.get(MODEL_NAME)
    kind = {(50, 1): "c2d", (50, 2): "i3d", (101, 3): "c2d", (101, 4): "i3d"}.get((DEPTH, VIDEO_ARC_CHOICE))
    number = {(50, 2): 5, (50, 1): 10, (101, 2): 5}.get((DEPTH, LAYER_MOD))
    if frames is None or kind is None or number is None:
        given = (MODEL_NAME, DEPTH, VIDEO_ARC_CHOICE, LAYER_MOD)
        known = "resnet_video and resnet_video_org with DEPTH 50 or 101 are accepted"
        raise unsupported("MODEL_NAME, DEPTH, VIDEO_ARC_CHOICE, LAYER_MOD", given, known)
    names = {"stem.0": "conv1", "stem.1": "res_conv1_bn", "classify": "pred"}
    every = {1: LAYER_MOD, 2: LAYER_MOD if DEPTH == 50 else 4 * LAYER_MOD - 1}
    parts = {"theta": "theta", "phi": "phi", "g": "g", "out": "out", "norm": "bn"}
    for stage, count in enumerate(BLOCKS[DEPTH]):
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


REFERENCES = (
    *(
        Reference(
            f"nonlocal/AlexHex7.Non-local_pytorch/{affinity}.NONLocalBlock{dims}D",
            "nonlocal",
            _port(affinity, dims),
            maps=_MAPS,
        )
        for affinity in ("embedded_gaussian", "gaussian", "dot_product", "concatenation")
        for dims in (1, 2, 3)
    ),
    *(
        Reference(f"nonlocal/open-mmlab.mmcv/NonLocal{dims}d", "nonlocal", _mmcv(dims), maps=_MAPS)
        for dims in (1, 2, 3)
    ),
    Reference("nonlocal/facebookresearch.SlowFast/Nonlocal", "nonlocal", _slowfast, maps=_MAPS),
    Reference("nonlocal/facebookresearch.video-nonlocal-net/resnet_video", "paper_network", _network, state=_blobs),
)
