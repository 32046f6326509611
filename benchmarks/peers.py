"""Who else publishes the same function, where to get it, and our module with its weights.

A peer enters the table only if it can be given the same weights and then computes the same function: what cannot pass
the gate cannot be compared.
"""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from regard import catalog, published
from regard.mechanisms.efficient_channel import adaptive_kernel

Arguments = Callable[[int], dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One published module.

    Args:
        entry: the catalogue's name of the mechanism.
        place: an importable module (`timm.layers.cbam`), or `owner/repository:path/to/file.py` of the authors' code.
        attribute: the class in it.
        arguments: channels -> its constructor's arguments.
        reference: its id in `regard.published`; or
        twin: (peer, channels) -> our module with the peer's weights, where `regard.published` does not know it.
        setting: what tells apart two rows of one class.
        largest: largest batch, height and width that it can stand; a larger shape is cut down for both sides.
    """

    entry: str
    place: str
    attribute: str
    arguments: Arguments
    reference: str | None = None
    twin: Callable[[nn.Module, int], nn.Module] | None = None
    setting: str = ""
    largest: tuple[int, int, int] | None = None

    @property
    def name(self) -> str:
        owner = self.place.partition(":")[0] if ":" in self.place else self.place.partition(".")[0]
        return f"{owner} {self.attribute}" + (f", {self.setting}" if self.setting else "")

    def build(self, code: ModuleType, channels: int) -> nn.Module:
        """The peer's module in eval mode and float64, every parameter drawn anew.

        Many start with a zero that hides a whole branch, and a gate must not compare zeros.
        """
        module: nn.Module = getattr(code, self.attribute)(**self.arguments(channels)).double()
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for tensor in (*module.parameters(), *module.buffers()):
                if tensor.ndim > 1:
                    tensor.normal_(0, tensor[0].numel() ** -0.5, generator=generator)
                elif tensor.is_floating_point():
                    tensor.uniform_(0.5, 1.5, generator=generator)
        return module.eval()

    def ours(self, theirs: nn.Module, channels: int) -> nn.Module:
        """Our module with the weights of `theirs`, in eval mode and their dtype."""
        if self.twin is not None:
            return self.twin(theirs, channels).double().eval()
        assert self.reference is not None
        return published.rebuild(self.reference, self.arguments(channels), theirs.state_dict())


class NotFetched(LookupError):
    """The authors' repository is not in the folder of fetched code."""


@contextmanager
def code_of(peer: Peer, authors: Path | None):
    """The module that defines the peer, and which version of it: `(module, version)`.

    Raises:
        NotFetched: it belongs to a repository that is not there.
        ImportError: it is there and cannot be imported.
    """
    if ":" not in peer.place:
        code = importlib.import_module(peer.place)
        yield code, importlib.import_module(peer.place.partition(".")[0]).__version__
        return
    repository, _, path = peer.place.partition(":")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "peer.py")
        text, version = _read(repository, path, authors)
        file.write_text(text, encoding="utf-8")
        yield _import(file, f"{repository}/{path}"), version


def _read(repository: str, path: str, authors: Path | None) -> tuple[str, str]:
    """A file of a repository at its HEAD, out of a clone, a bare clone or a plain copy below `authors`."""
    if authors is None:
        raise NotFetched("no folder of fetched code")
    owner, _, name = repository.partition("/")
    for base in (authors / f"{owner}+{name}", authors / owner / name, authors / owner / f"{name}.git"):
        for git in (base / ".git", base, *sorted(base.glob("*/.git")), *sorted(base.glob("*/"))):
            if (git / "HEAD").is_file() and (git / "objects").is_dir():
                return _git(git, "show", f"HEAD:{path}"), _git(git, "rev-parse", "--short=10", "HEAD").strip()
        if (base / path).is_file():
            return (base / path).read_text(encoding="utf-8"), "unversioned copy"
    raise NotFetched(f"{repository} is not in {authors}")


def _git(folder: Path, *command: str) -> str:
    # The folder is one that the user named, perhaps fetched by somebody else.
    line = ["git", "-c", "safe.directory=*", "--git-dir", str(folder), *command]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotFetched(f"{folder}: {done.stderr.strip().partition(chr(10))[0]}")
    return done.stdout


def _import(file: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"peer_{abs(hash(name))}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with _stand_ins():
        spec.loader.exec_module(module)
    return module


@contextmanager
def _stand_ins():
    """The two initialisers that GCNet's file takes from mmcv, whose weights are drawn anew here anyway."""
    if "mmcv" in sys.modules or importlib.util.find_spec("mmcv") is not None:
        yield
        return
    mmcv, cnn = ModuleType("mmcv"), ModuleType("mmcv.cnn")
    cnn.constant_init = cnn.kaiming_init = lambda module, **options: None  # type: ignore[attr-defined]
    mmcv.cnn = cnn  # type: ignore[attr-defined]
    sys.modules |= {"mmcv": mmcv, "mmcv.cnn": cnn}
    try:
        yield
    finally:
        del sys.modules["mmcv"], sys.modules["mmcv.cnn"]


def _load(entry: str, arguments: Mapping[str, Any], weights: Mapping[str, Tensor]) -> nn.Module:
    """Our entry with these weights; what has the same numbers in another shape is reshaped, what is absent is zero."""
    module: nn.Module = catalog.create(entry, **arguments).double()
    state = {
        key: weights[key].reshape(blank.shape) if key in weights else torch.zeros_like(blank)
        for key, blank in module.state_dict().items()
    }
    unknown = weights.keys() - state.keys()
    if unknown:
        raise KeyError(f"{entry} has no {', '.join(sorted(unknown))}")
    module.load_state_dict(state)
    return module


def _renamed(state: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """The parameters under our prefixes: ours -> theirs."""
    return {
        f"{ours}{key.removeprefix(theirs)}": value
        for ours, theirs in names.items()
        for key, value in state.items()
        if key.startswith(f"{theirs}.")
    }


def _eca_timm(theirs: nn.Module, channels: int) -> nn.Module:
    state = theirs.state_dict()
    return _load("eca", {"channels": channels, "kernel_size": state["conv.weight"].shape[-1]}, state)


def _cbam_timm(theirs: nn.Module, channels: int) -> nn.Module:
    # timm leaves the bottleneck's biases out by default and stacks [mean; max].
    names = {"reduce": "channel.fc1", "expand": "channel.fc2", "conv": "spatial.conv.conv", "norm": "spatial.conv.bn"}
    weights = _renamed(theirs.state_dict(), names)
    weights["conv.weight"] = weights["conv.weight"].flip(1)
    return _load("cbam", {"channels": channels, "hidden": weights["reduce.weight"].shape[0]}, weights)


def _gc_timm(way: str) -> Callable[[nn.Module, int], nn.Module]:
    def twin(theirs: nn.Module, channels: int) -> nn.Module:
        parts = {"0": "fc1", "1": "norm", "3": "fc2"}
        names = {"mask": "conv_attn"} | {f"{way}.{ours}": f"mlp_{way_timm}.{part}" for ours, part in parts.items()}
        weights = _renamed(theirs.state_dict(), names)
        hidden = weights[f"{way}.0.weight"].shape[0]
        module = _load("gc", {"channels": channels, "hidden": hidden, "fusion": (way,)}, weights)
        module.get_submodule(f"{way}.1").eps = theirs.get_submodule(f"mlp_{way_timm}.norm").eps
        return module

    way_timm = {"mul": "scale", "add": "add"}[way]
    return twin


def _nonlocal_timm(theirs: nn.Module, channels: int) -> nn.Module:
    # timm divides the logits by √C, the paper's code by √C'.
    weights = _renamed(theirs.state_dict(), {"theta": "t", "phi": "p", "g": "g", "out": "z", "norm": "norm"})
    hidden = weights["theta.weight"].shape[0]
    for key in ("theta.weight", "theta.bias"):
        weights[key] = weights[key] * (hidden / channels) ** 0.5
    return _load("nonlocal", {"channels": channels, "hidden": hidden, "pool": 1}, weights)


def _alexhex(affinity: str, *, pooled: bool = False, largest: tuple[int, int, int] | None = None) -> Peer:
    return Peer(
        entry="nonlocal",
        place=f"AlexHex7/Non-local_pytorch:lib/non_local_{affinity}.py",
        attribute="NONLocalBlock2D",
        arguments=lambda channels: {"in_channels": channels, "sub_sample": pooled},
        reference=f"nonlocal/AlexHex7.Non-local_pytorch/{affinity}.NONLocalBlock2D",
        setting=affinity + (", sub-sampled" if pooled else ""),
        largest=largest,
    )


_SCSE = "ai-med/squeeze_and_excitation:squeeze_and_excitation/squeeze_and_excitation.py"

PEERS = (
    Peer(
        entry="se",
        place="timm.layers",
        attribute="SEModule",
        arguments=lambda channels: {"channels": channels},
        reference="se/timm/SEModule",
    ),
    Peer(
        entry="se",
        place="torchvision.ops",
        attribute="SqueezeExcitation",
        arguments=lambda channels: {"input_channels": channels, "squeeze_channels": max(channels // 16, 1)},
        reference="se/torchvision/SqueezeExcitation",
    ),
    Peer(
        entry="se",
        place="moskomule/senet.pytorch:senet/se_module.py",
        attribute="SELayer",
        arguments=lambda channels: {"channel": channels},
        reference="se/moskomule.senet.pytorch/SELayer",
    ),
    Peer(
        entry="nonlocal",
        place="timm.layers",
        attribute="NonLocalAttn",
        arguments=lambda channels: {"in_channels": channels},
        twin=_nonlocal_timm,
    ),
    _alexhex("embedded_gaussian"),
    _alexhex("embedded_gaussian", pooled=True),
    _alexhex("gaussian"),
    _alexhex("dot_product"),
    # It repeats θ and φ for every pair of positions: 10 GB for one 56×56 map of 256 channels.
    _alexhex("concatenation", largest=(1, 20, 20)),
    Peer(
        entry="cbam",
        place="timm.layers.cbam",
        attribute="CbamModule",
        arguments=lambda channels: {"channels": channels},
        twin=_cbam_timm,
    ),
    Peer(
        entry="cbam",
        place="Jongchan/attention-module:MODELS/cbam.py",
        attribute="CBAM",
        arguments=lambda channels: {"gate_channels": channels},
        reference="cbam/Jongchan.attention-module/CBAM",
    ),
    Peer(
        entry="cse",
        place=_SCSE,
        attribute="ChannelSELayer",
        arguments=lambda channels: {"num_channels": channels},
        reference="scse/ai-med.squeeze_and_excitation/ChannelSELayer",
    ),
    Peer(
        entry="sse",
        place=_SCSE,
        attribute="SpatialSELayer",
        arguments=lambda channels: {"num_channels": channels},
        reference="scse/ai-med.squeeze_and_excitation/SpatialSELayer",
    ),
    Peer(
        entry="scse",
        place=_SCSE,
        attribute="ChannelSpatialSELayer",
        arguments=lambda channels: {"num_channels": channels},
        reference="scse/ai-med.squeeze_and_excitation/ChannelSpatialSELayer",
    ),
    Peer(
        entry="scse",
        place="qubvel-org/segmentation_models.pytorch:segmentation_models_pytorch/base/modules.py",
        attribute="SCSEModule",
        arguments=lambda channels: {"in_channels": channels},
        reference="scse/qubvel-org.segmentation_models.pytorch/SCSEModule",
    ),
    Peer(
        entry="gc",
        place="timm.layers",
        attribute="GlobalContext",
        arguments=lambda channels: {"channels": channels},
        twin=_gc_timm("mul"),
        setting="mul",
    ),
    Peer(
        entry="gc",
        place="timm.layers",
        attribute="GlobalContext",
        arguments=lambda channels: {"channels": channels, "fuse_add": True, "fuse_scale": False},
        twin=_gc_timm("add"),
        setting="add",
    ),
    Peer(
        entry="gc",
        place="xvjiarui/GCNet:mmdet/ops/gcb/context_block.py",
        attribute="ContextBlock",
        arguments=lambda channels: {"inplanes": channels, "ratio": 1 / 16},
        reference="gcnet_context_block/xvjiarui.GCNet/ContextBlock",
        setting="add",
    ),
    Peer(
        entry="eca",
        place="timm.layers",
        attribute="EcaModule",
        arguments=lambda channels: {"channels": channels},
        twin=_eca_timm,
    ),
    Peer(
        entry="eca",
        place="BangguWu/ECANet:models/eca_module.py",
        attribute="eca_layer",
        arguments=lambda channels: {"channel": channels, "k_size": adaptive_kernel(channels)},
        reference="eca/BangguWu.ECANet/eca_layer",
    ),
    Peer(
        entry="eca_ns",
        place="BangguWu/ECANet:models/eca_ns.py",
        attribute="eca_layer",
        arguments=lambda channels: {"channel": channels, "k_size": adaptive_kernel(channels)},
        reference="eca/BangguWu.ECANet/eca_ns_layer",
    ),
)
