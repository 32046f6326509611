"""Non-local blocks as others publish them."""

from __future__ import annotations

from regard.published.reference import Build, Reference, unsupported


def _nonlocal_port(affinity: str, dims: int) -> Build:
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


def _nonlocal_mmcv(dims: int) -> Build:
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
            raise unsupported("norm_cfg", norm_cfg, "batch norm (type BN) is")
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


def _nonlocal_slowfast(
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
        raise unsupported("instantiation", instantiation, f"{' or '.join(affinities)} is")
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


_MAPS = {"affinity": "affinity"}

REFERENCES = (
    *(
        Reference(
            f"nonlocal/AlexHex7.Non-local_pytorch/{affinity}.NONLocalBlock{dims}D",
            "nonlocal",
            _nonlocal_port(affinity, dims),
            maps=_MAPS,
        )
        for affinity in ("embedded_gaussian", "gaussian", "dot_product", "concatenation")
        for dims in (1, 2, 3)
    ),
    *(
        Reference(f"nonlocal/open-mmlab.mmcv/NonLocal{dims}d", "nonlocal", _nonlocal_mmcv(dims), maps=_MAPS)
        for dims in (1, 2, 3)
    ),
    Reference("nonlocal/facebookresearch.SlowFast/Nonlocal", "nonlocal", _nonlocal_slowfast, maps=_MAPS),
)
