"""Checkpoint mappings for Itti's model: the SaliencyToolbox's parameters, the model, and its single steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from regard.ops import saliency_pyramid as steps
from regard.ops.winner_take_all import repeated_maxima
from regard.published.reference import Reference, unsupported

_NORMALISATIONS = {"Iterative": "iterative", "LocalMax": "local_max", "Standard": "local_max", "None": "none"}
_PLACE = "itti_{}/DirkBWalther.SaliencyToolbox/{}".format


def _parameters(
    image: str = "",
    normtype: str = "Iterative",
    pyramid: str = "dyadic",
    IORtype: str = "disk",
    noiseAmpl: float = 0,
    useRandom: int = 0,
    levels: str = "",
    numIter: int = 3,
    weights: Sequence[float] = (1, 1, 1),
    foaSize: float | None = None,
    oriAngles: Sequence[float] = (0, 45, 90, 135),
    minLevel: int = 3,
    maxLevel: int = 5,
    minDelta: int = 3,
    maxDelta: int = 4,
    mapLevel: int = 5,
) -> tuple[dict[str, Any], dict[str, str]]:
    """Our arguments from the toolbox's parameter structure, whose levels count from 1 and weights begin with colour.

    `image` and `levels` only describe a recording.
    """
    if normtype not in _NORMALISATIONS:
        raise unsupported("normtype", normtype, f"one of {', '.join(_NORMALISATIONS)} is accepted")
    for name, value, known in (("pyramid", pyramid, "dyadic"), ("IORtype", IORtype, "disk")):
        if value != known:
            raise unsupported(name, value, f"{known!r} is accepted")
    if noiseAmpl or useRandom:
        raise unsupported(
            "noiseAmpl, useRandom", (noiseAmpl, useRandom), "(0, 0) is accepted; nothing is drawn at random"
        )
    colour, intensity, orientation = weights
    kwargs = {
        "normalisation": _NORMALISATIONS[normtype],
        "iterations": numIter,
        "centres": tuple(range(minLevel - 1, maxLevel)),
        "deltas": tuple(range(minDelta, maxDelta + 1)),
        "map_scale": mapLevel - 1,
        "angles": tuple(float(angle) for angle in oriAngles),
        "weights": (float(intensity), float(colour), float(orientation)),
        "exact": True,
        "focus": foaSize,
    }
    return kwargs, {}


class _Toolbox(nn.Module):
    """Our model, called with a picture `H W 3` or `H W`, in bytes or from 0 to 1; it returns the map `h w`."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, image: Tensor) -> Tensor:
        picture = image.double() / 255 if image.dtype == torch.uint8 else image
        picture = picture[None, None] if picture.ndim == 2 else picture.permute(2, 0, 1)[None]
        saliency: Tensor = self.module(picture)
        return saliency[0, 0]


class _Steps(nn.Module):
    """Single steps of the toolbox on one map `H W`: name -> result."""

    def __init__(self, module: Any, border: int, range: tuple[float, float]) -> None:
        super().__init__()
        self.module, self.border, self.range = module, border, range

    def forward(self, map: Tensor) -> dict[str, Tensor]:
        x = map[None, None]
        spread = steps.spread(x.clamp_min(0), *self.range)
        half = steps.halved(x, exact=True)
        turned = steps.oriented(x, self.module.filters, (x.shape[2], x.shape[3]), exact=True)
        results = {
            "subsample": half,
            "subsample2": steps.halved(half, exact=True),
            "borders": steps.attenuated(x, self.border),
            "localmax": steps.promoted_by_maxima(spread, self.range[1]),
            "iter1": steps.promoted_by_competition(spread, 1),
            "iter3": steps.promoted_by_competition(spread, 3),
            **{f"gabor_{angle}": turned[:, i : i + 1] for i, angle in enumerate((0, 45, 90, 135))},
        }
        return {name: result[0, 0] for name, result in results.items()}


def _step_parameters(border: int = 3, range: Sequence[float] = (0, 10)) -> tuple[dict[str, Any], dict[str, str]]:
    return {}, {}


class _Winners(nn.Module):
    """The network of neurons on a map `h w`: winners as rows and columns from 1, their times, and the maxima from 0."""

    def __init__(self, module: Any, radius: float) -> None:
        super().__init__()
        self.module, self.radius = module, radius

    def forward(self, saliency: Tensor) -> dict[str, Tensor]:
        found = self.module.scanpath(saliency[None, None], (1, 1))  # the focus is given, the picture's size is not used
        maxima = repeated_maxima(saliency[None], fixations=self.module.fixations, radius=self.radius)
        return {
            "winners_rc_1based": found.cells[0] + 1,
            "time": found.times[0],
            "simple_scanpath_rc_0based": maxima[0],
        }


def _network_parameters(
    image_size: Sequence[int] = (),
    foaSize: float = -1,
    nfix: int = 5,
    noiseAmpl: float = 0,
    simple_radius_map_px: float = 2,
) -> tuple[dict[str, Any], dict[str, str]]:
    if noiseAmpl:
        raise unsupported("noiseAmpl", noiseAmpl, "0 is accepted; nothing is drawn at random")
    return {"focus": foaSize, "fixations": nfix}, {}


def _steps(module: Any, args: Mapping[str, Any]) -> nn.Module:
    return _Steps(module, args.get("border", 3), tuple(args.get("range", (0, 10))))


def _winners(module: Any, args: Mapping[str, Any]) -> nn.Module:
    return _Winners(module, args.get("simple_radius_map_px", 2))


REFERENCES = (
    Reference(
        name=_PLACE("saliency_toolbox", "makeSaliencyMap"),
        entry="itti",
        build=_parameters,
        adapt=lambda module, args: _Toolbox(module),
        maps={
            "CM_Intensities": "module/intensity",
            "CM_Color": "module/colour",
            "CM_Orientations": "module/orientation",
        },
    ),
    Reference(name=_PLACE("parts", "gaussianSubsample"), entry="itti", build=_step_parameters, adapt=_steps),
    Reference(name=_PLACE("wta", "initializeWTA"), entry="itti", build=_network_parameters, adapt=_winners),
)
