"""The door for authors' checkpoints: published constructor arguments and parameter names -> ours.

    module = regard.published.rebuild("se/moskomule.senet.pytorch/SELayer", {"channel": 64}, state_dict)

`references()` lists what is known; `regard published` does the same on the command line and converts files.
"""

from __future__ import annotations

import difflib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from regard import catalog

Build = Callable[..., tuple[dict[str, Any], dict[str, str]]]


@dataclass(frozen=True)
class Reference:
    """One published module.

    Args:
        name: `mechanism/owner.repository/Class`.
        entry: the catalogue's name for it.
        build: takes the published constructor's arguments under their own names; returns our arguments (and, as
            "part.attribute", what is set after building), and for each of our parameter prefixes the published one.
    """

    name: str
    entry: str
    build: Build

    @property
    def signature(self) -> str:
        """The published constructor's arguments with their defaults."""
        return str(inspect.signature(self.build)).partition(" ->")[0].replace("'", "")


# Facts that only say which of several published classes is meant, as the reference's name already does.
_WHICH = ("variant", "dimension")


def _unsupported(what: str, value: object, known: str) -> ValueError:
    return ValueError(f"{what}={value!r} is not part of the published mechanism; {known}")


def _se_port(channel, reduction=16):
    return {"channels": channel, "reduction": reduction, "bias": False}, {"reduce": "fc.0", "expand": "fc.2"}


def _se_timm(channels, rd_ratio=1 / 16, rd_channels=None, rd_divisor=8, bias=True, add_maxpool=False):
    if add_maxpool:
        raise _unsupported("add_maxpool", add_maxpool, "timm's experiment with a second pool has no paper")
    # timm rounds to the nearest multiple, and never below it; its own round_limit of 0.9 is off here
    hidden = rd_channels or max(rd_divisor, int(channels * rd_ratio + rd_divisor / 2) // rd_divisor * rd_divisor)
    return {"channels": channels, "hidden": hidden, "bias": bias}, {"reduce": "fc1", "expand": "fc2"}


def _se_torchvision(input_channels, squeeze_channels):
    return {"channels": input_channels, "hidden": squeeze_channels}, {"reduce": "fc1", "expand": "fc2"}


def _eca(channel, k_size=3):
    return {"channels": channel, "kernel_size": k_size}, {"conv": "conv"}


def _eca_ns(channel, k_size=3):
    return {"channels": channel, "kernel_size": k_size}, {"": "conv"}


def _cbam(gate_channels, reduction_ratio=16, pool_types=("avg", "max"), no_spatial=False):
    names = {"reduce": "ChannelGate.mlp.1", "expand": "ChannelGate.mlp.3"}
    if not no_spatial:
        names |= {"conv": "SpatialGate.spatial.conv", "norm": "SpatialGate.spatial.bn"}
    arguments = {"channels": gate_channels, "reduction": reduction_ratio, "pools": tuple(pool_types)}
    return {**arguments, "spatial": not no_spatial}, names


def _cbam_channel(gate_channels, reduction_ratio=16, pool_types=("avg", "max")):
    arguments, _ = _cbam(gate_channels, reduction_ratio, pool_types, no_spatial=True)
    return arguments, {"reduce": "mlp.1", "expand": "mlp.3"}


def _gc(inplanes, ratio, pooling_type="att", fusion_types=("channel_add",)):
    names = {"mask": "conv_mask"} if pooling_type == "att" else {}
    for way in ("mul", "add"):
        if f"channel_{way}" in fusion_types:
            names[way] = f"channel_{way}_conv"
    return {
        "channels": inplanes,
        "hidden": int(inplanes * ratio),
        "pool": {"att": "attention", "avg": "average"}.get(pooling_type, pooling_type),
        "fusion": tuple(way.removeprefix("channel_") for way in fusion_types),
    }, names


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
            raise _unsupported("norm_cfg", norm_cfg, "batch norm (type BN) is")
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
        raise _unsupported("instantiation", instantiation, f"{' or '.join(affinities)} is")
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


def _cse(num_channels, reduction_ratio=2):
    names = {"channel_gate.reduce": "fc1", "channel_gate.expand": "fc2"}
    return {"channels": num_channels, "reduction": reduction_ratio}, names


def _sse(num_channels):
    return {"channels": num_channels}, {"spatial_gate.project": "conv"}


def _scse(num_channels, reduction_ratio=2):
    return {"channels": num_channels, "reduction": reduction_ratio, "merge": "max"}, {
        "channel_gate.reduce": "cSE.fc1",
        "channel_gate.expand": "cSE.fc2",
        "spatial_gate.project": "sSE.conv",
    }


def _scse_smp(in_channels, reduction=16):
    return {"channels": in_channels, "reduction": reduction, "merge": "add"}, {
        "channel_gate.reduce": "cSE.1",
        "channel_gate.expand": "cSE.3",
        "spatial_gate.project": "sSE.0",
    }


_REFERENCES = (
    Reference("se/moskomule.senet.pytorch/SELayer", "se", _se_port),
    Reference("se/timm/SEModule", "se", _se_timm),
    Reference("se/torchvision/SqueezeExcitation", "se", _se_torchvision),
    Reference("eca/BangguWu.ECANet/eca_layer", "eca", _eca),
    Reference("eca/BangguWu.ECANet/eca_ns_layer", "eca_ns", _eca_ns),
    Reference("cbam/Jongchan.attention-module/CBAM", "cbam", _cbam),
    Reference("cbam/Jongchan.attention-module/ChannelGate", "cbam", _cbam_channel),
    Reference("gcnet_context_block/xvjiarui.GCNet/ContextBlock", "gc", _gc),
    Reference("gcnet_context_block/open-mmlab.mmcv/ContextBlock", "gc", _gc),
    *(
        Reference(
            f"nonlocal/AlexHex7.Non-local_pytorch/{affinity}.NONLocalBlock{dims}D",
            "nonlocal",
            _nonlocal_port(affinity, dims),
        )
        for affinity in ("embedded_gaussian", "gaussian", "dot_product", "concatenation")
        for dims in (1, 2, 3)
    ),
    *(Reference(f"nonlocal/open-mmlab.mmcv/NonLocal{dims}d", "nonlocal", _nonlocal_mmcv(dims)) for dims in (1, 2, 3)),
    Reference("nonlocal/facebookresearch.SlowFast/Nonlocal", "nonlocal", _nonlocal_slowfast),
    Reference("scse/ai-med.squeeze_and_excitation/ChannelSELayer", "cse", _cse),
    Reference("scse/ai-med.squeeze_and_excitation/SpatialSELayer", "sse", _sse),
    Reference("scse/ai-med.squeeze_and_excitation/ChannelSpatialSELayer", "scse", _scse),
    Reference("scse/qubvel-org.segmentation_models.pytorch/SCSEModule", "scse", _scse_smp),
)


def references(entry: str | None = None) -> tuple[Reference, ...]:
    """Every published module that can be rebuilt, or those of one catalogue entry."""
    return tuple(reference for reference in _REFERENCES if entry is None or reference.entry == entry)


def get(name: str) -> Reference:
    """The reference called `name`.

    Raises:
        LookupError: it is not known; the message names the nearest.
    """
    for reference in _REFERENCES:
        if reference.name == name:
            return reference
    near = difflib.get_close_matches(name, [reference.name for reference in _REFERENCES], n=3, cutoff=0.4)
    hint = f"nearest: {', '.join(near)}" if near else "`regard published` lists what is known"
    raise LookupError(f"no published module {name!r}; {hint}")


def rebuild(reference: str, args: Mapping[str, Any], state: Mapping[str, Tensor]) -> nn.Module:
    """Our module with an authors' checkpoint in it: same inputs, same outputs, trainable, in eval mode.

    Args:
        reference: `mechanism/owner.repository/Class`, see `references()`.
        args: the published constructor's own arguments.
        state: the published module's state_dict; its dtype is kept.

    Raises:
        LookupError: unknown reference; the message names the nearest.
        TypeError: `args` has an argument that the published constructor lacks, or lacks one.
        ValueError: `state` does not belong to a module built with `args`, or `args` ask for what the paper lacks.
    """
    row = get(reference)
    taken = inspect.signature(row.build)
    given = {key: value for key, value in args.items() if key in taken.parameters or key not in _WHICH}
    try:
        taken.bind(**given)
    except TypeError as error:
        raise TypeError(f"{reference}: {error}; it takes {row.signature}") from None
    arguments, names = row.build(**given)
    module = catalog.create(row.entry, **{key: value for key, value in arguments.items() if "." not in key})
    for path, value in arguments.items():
        part, dot, attribute = path.rpartition(".")
        if dot:
            setattr(module.get_submodule(part), attribute, value)
    _drop_absent_biases(module, names, state)
    dtype = next((tensor.dtype for tensor in state.values() if tensor.is_floating_point()), torch.float32)
    module.to(dtype).load_state_dict(_renamed(reference, module, names, state))
    return module.eval()


def _drop_absent_biases(module: nn.Module, names: Mapping[str, str], state: Mapping[str, Tensor]) -> None:
    """A convolution published without the bias that a following norm makes redundant loses ours too."""
    for ours, theirs in names.items():
        part = module.get_submodule(ours)
        if not isinstance(part, nn.Sequential) and f"{theirs}.weight" in state and f"{theirs}.bias" not in state:
            part._parameters["bias"] = None


def _renamed(
    reference: str, module: nn.Module, names: Mapping[str, str], state: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    wanted = module.state_dict()
    found: dict[str, Tensor] = {}
    used = set()
    for key, blank in wanted.items():
        prefix = max((name for name in names if name == "" or key.startswith(f"{name}.")), key=len, default=None)
        theirs = "" if prefix is None else f"{names[prefix]}.{key.removeprefix(prefix).removeprefix('.')}"
        if theirs in state:
            tensor = state[theirs]
            if [n for n in tensor.shape if n != 1] != [n for n in blank.shape if n != 1]:
                raise ValueError(
                    f"{reference}: {theirs} has shape {tuple(tensor.shape)}, the arguments make it {tuple(blank.shape)}"
                )
            found[key] = tensor.detach().reshape(blank.shape)
            used.add(theirs)
        elif key.endswith("num_batches_tracked"):
            found[key] = blank
        else:
            raise ValueError(f"{reference}: the state has no {theirs or key}; it has {', '.join(sorted(state))}")
    left = sorted(key for key in state if key not in used and not key.endswith("num_batches_tracked"))
    if left:
        raise ValueError(f"{reference}: a module built with these arguments has no {', '.join(left)}")
    return found


def load(path: str | Path, *, prefix: str = "") -> dict[str, Tensor]:
    """A state_dict from a `.safetensors` file, or from a `.pth`, `.pt` or `.bin` file without running any code in it.

    Args:
        path: the file.
        prefix: keep only the keys that start with it, and cut it off: `layer1.0.se.` takes one module out of a network.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no state_dict, needs code to be run, or has no key with the prefix.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    try:
        loaded = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception as error:  # the readers raise many types, none of which names the file
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"{path} cannot be read as weights without running code: {reason}") from error
    for wrapper in ("state_dict", "model_state", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    if not isinstance(loaded, dict) or not any(isinstance(value, Tensor) for value in loaded.values()):
        raise ValueError(f"{path} holds no state_dict")
    tensors = {key.removeprefix("module."): value for key, value in loaded.items() if isinstance(value, Tensor)}
    kept = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    if not kept:
        raise ValueError(f"{path} has no key that starts with {prefix!r}; its first is {next(iter(tensors))!r}")
    return kept


def convert(
    source: str | Path, target: str | Path, *, reference: str, args: Mapping[str, Any], prefix: str = ""
) -> nn.Module:
    """Rewrites an authors' checkpoint under our names, as safetensors with the entry and its facts in the metadata.

    Raises:
        FileExistsError: `target` exists; nothing is overwritten.
        LookupError, TypeError, ValueError, FileNotFoundError: as `load` and `rebuild`.
    """
    target = Path(target)
    if target.exists():
        raise FileExistsError(f"{target} exists; choose another name")
    module = rebuild(reference, args, load(source, prefix=prefix))
    metadata = {"reference": reference, "args": json.dumps(dict(args)), "entry": get(reference).entry}
    save_file({key: value.contiguous() for key, value in module.state_dict().items()}, target, metadata=metadata)
    return module
