"""Itti's model: saliency from contrasts of intensity, colour and orientation, and a scanpath over it.

A Model of Saliency-Based Visual Attention for Rapid Scene Analysis. Itti, Koch, Niebur. PAMI 1998,
    doi:10.1109/34.730558.
Official code: DirkBWalther/SaliencyToolbox (MATLAB; Walther and Koch 2006, doi:10.1016/j.neunet.2006.10.001) computes
    the model anew; the authors' own is the C++ of the iLab Neuromorphic Vision Toolkit.

    I = 0.2989 r + 0.5870 g + 0.1140 b                            intensity                                (1)
    RG = (r - g) / max(r, g, b)                                   red against green                        (2)
    BY = (b - min(r, g)) / max(r, g, b)                           blue against yellow                      (3)
    O_θ = |I ∗ G_θ,0| + |I ∗ G_θ,90|                              four orientations, Gabor filters G       (4)
    F(c, s) = |F(c) ⊖ F(s)|,  c ∈ {2, 3, 4},  s - c ∈ {3, 4}      centre and surround, F of (1) to (4)     (5)
    F̄ = N(Σ_cs N(F(c, s)))                                        over scales                              (6)
    C_I = Ī,  C_C = N(R̄G + B̄Y) / 2,  C_O = N(Σ_θ Ō_θ) / 4         conspicuity                              (7)
    S = N((C_I + C_C + C_O) / 3)                                  saliency                                 (8)

    F(c) is level c of a dyadic pyramid; ⊖ takes the difference on the grid of level 4. N promotes maps with few strong
    peaks: "local_max" multiplies by (M - m)², M the maximum and m the mean of the local maxima; "iterative" (Itti and
    Koch, doi:10.1016/S0042-6989(99)00163-7) lets positions excite their neighbours and inhibit those far away. S
    drives a winner-take-all network of integrate-and-fire neurons; around each winner it is inhibited for a while, so
    that the next one lies elsewhere.

Place: on whole pictures; nothing is trained. Fixation prediction, and the classical baseline for learned saliency.
Cost: 14 multiplications for each pixel of I, RG and BY, a third more for the smaller levels, and 648 for each position
    and level of the Gabor filters, which run only where level 4 looks. Memory O(HW). The network takes about 400 steps
    a fixation, each O(HW / 256).
Deviations: paper, colours are four broadly tuned channels with |(R - G)(c) ⊖ (G - R)(s)|, which as printed is a sum |
    toolbox, differences of (2) and (3) | default: as the toolbox; `opponency="double"` is the paper's, with
    I = (r + g + b) / 3, and does not find a red dot among green ones. Paper, N multiplies by (M - m)², m the mean of
    the other local maxima | toolbox, "iterative", or "local_max" with the global maximum in m | default: "iterative";
    "other_max" is the paper's. Toolbox stops with an error where "local_max" finds none | m = 0 here. Toolbox filters
    levels in a black frame, which Gabor filters see at both sides: at the coarse levels, a few pixels wide, they see
    little else, and its orientation map peaks beside it. At the top and the bottom it divides by the part of the filter
    inside, relative to a sum that is zero: responses vanish, but where every row of the filter sums to zero, rounding
    errors make factors of up to 5 | default: the outermost pixels go on; `exact=True` has the frame, and the factors
    of the toolbox in GNU Octave. In the toolbox N makes rounding errors, where a picture has no contrast of a kind, as
    strong as any contrast | default: what is below 64 of them is 0; `exact=True` keeps it. Paper, focus of a sixth of
    the shorter side | toolbox, of the longer | default: as the toolbox; `focus` sets it. A map on which nothing fires
    is waited for without end in the toolbox | the last winner stays here. The toolbox's noise, √2 pyramid and shape
    estimation are left out.
Errata: pySaliencyMap clips the opponent colours at 0, so that green and yellow are lost, and has a wrong number in its
    45 degree filter; ports of mayoyamasaki's saliency-map pair blue with green and red with yellow.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from regard.checks import choice, flag, number, positive, sequence, whole, whole_numbers
from regard.core import Attention
from regard.ops import saliency_pyramid as steps
from regard.ops.precision import uncast, widened
from regard.ops.winner_take_all import Fixations, compete, repeated_maxima

ANGLES = (0.0, 45.0, 90.0, 135.0)
FEATURES = ("intensity", "colour", "orientation")
_NORMALISATIONS = ("iterative", "local_max", "other_max", "none")
_LUMA = (0.298936021293775, 0.587043074451121, 0.114020904255103)
_DARK = 0.1  # below it a pixel has no colour
_COARSEST = 24  # scale of a picture of sixteen million pixels a side
_ROUNDINGS = 64  # of the largest value, up to which a difference is none; a byte is 500 times more


class Itti(Attention):
    """Saliency from contrasts of intensity, colour and orientation, with a scanpath.

    Args:
        normalisation: N: "iterative", "local_max", "other_max" or "none".
        iterations: of the iterative N.
        centres: scales c of the centre; scale 0 is the picture itself.
        deltas: s - c.
        map_scale: scale on whose grid all maps are compared.
        angles: of the Gabor filters, in degrees.
        weights: of intensity, colour and orientation in the sum (8).
        opponency: "difference", colours of (2) and (3); "double", the paper's broadly tuned ones.
        exact: takes borders and rounding errors as the toolbox does and adds up in its order, so that float64 agrees
            with it to the rounding, which decides ties between local maxima. Slower.
        fixations: length of the scanpath.
        scanpath: "network", or "maxima": the maximum, then that of what lies outside of the focus, and so on.
        focus: radius of what one fixation covers, in pixels; None takes a sixth of the longer side.

    Shapes: x `B 3 H W`, or grey `B 1 H W`, in [0, 1] or uint8 -> `B 1 h w`, the saliency at `map_scale`.
    Maps: intensity, colour (not of a grey picture), orientation, saliency: `B Q` over the grid (h, w); scanpath
        `B T 2`, (x, y) in [-1, 1], edge to edge.
    Raises: ValueError for unknown names, scales that do not fit, another shape, values that are not finite, and
        pictures too small to have a centre and a surround.
    """

    def __init__(
        self,
        *,
        normalisation: str = "iterative",
        iterations: int = 3,
        centres: Sequence[int] = (2, 3, 4),
        deltas: Sequence[int] = (3, 4),
        map_scale: int = 4,
        angles: Sequence[float] = ANGLES,
        weights: Sequence[float] = (1.0, 1.0, 1.0),
        opponency: str = "difference",
        exact: bool = False,
        fixations: int = 5,
        scanpath: str = "network",
        focus: float | None = None,
    ) -> None:
        super().__init__()
        choice("normalisation", normalisation, _NORMALISATIONS)
        choice("opponency", opponency, ("difference", "double"))
        choice("scanpath", scanpath, ("network", "maxima"))
        flag("exact", exact)
        centres = whole_numbers("centres", centres, 0, _COARSEST)
        deltas = whole_numbers("deltas", deltas, 1, _COARSEST)
        whole("map_scale", map_scale, 0, _COARSEST)
        shares = [number("weights", share, least=0, most=1000) for share in sequence("weights", weights, len(FEATURES))]
        if not any(shares):
            raise ValueError(f"weights={weights!r}: a number for each of {', '.join(FEATURES)} is needed, not all 0")
        angles = [number("angles", angle) for angle in sequence("angles", angles)]
        if focus is not None:
            number("focus", focus, above=0)
        self.normalisation, self.opponency, self.exact, self.how = normalisation, opponency, exact, scanpath
        self.iterations, self.fixations = positive("iterations", iterations), positive("fixations", fixations)
        self.pairs = [(c, c + delta) for c in sorted(set(centres)) for delta in sorted(set(deltas))]
        self.map_scale, self.focus = map_scale, focus
        self.weights = dict(zip(FEATURES, map(float, shares), strict=True))
        self.filters = steps.gabors(angles)

    def forward(self, x: Tensor) -> Tensor:
        picture = self._checked(x)
        with uncast(picture):
            maps = {name: self._acting(name, map) for name, map in self.conspicuity(picture).items()}
            saliency = self._acting("saliency", self._promoted(sum(maps.values(), torch.zeros(())), 2.0))
            if self.watched:
                path = self.scanpath(saliency, (x.shape[2], x.shape[3]))
                self.show("scanpath", path.points((saliency.shape[2], saliency.shape[3])).to(saliency))
        return saliency.to(x.dtype) if x.is_floating_point() else saliency

    def _acting(self, name: str, map: Tensor) -> Tensor:
        """Shows a map `B 1 h w`, and returns the one that acts."""
        return self.see(name, map.flatten(1), Q=(map.shape[2], map.shape[3])).view(map.shape)

    def scanpath(self, saliency: Tensor, size: tuple[int, int]) -> Fixations:
        """Fixations over a saliency map of a picture of `size`, in order: `B 1 h w` -> winners and their times.

        For "maxima" all times are 0.

        Raises: ValueError for a map of another shape, or values that are not finite.
        """
        if saliency.ndim != 4 or saliency.shape[1] != 1 or 0 in saliency.shape[2:] or not saliency.isfinite().all():
            raise ValueError(f"saliency of shape {tuple(saliency.shape)}: B 1 h w of finite numbers is needed")
        focus = self.focus or (2 * max(size) + 6) // 12  # a sixth, halves rounded up
        if self.how == "maxima":
            cells = repeated_maxima(saliency[:, 0], fixations=self.fixations, radius=focus / 2**self.map_scale)
            return Fixations(cells, saliency.new_zeros(cells.shape[:2]))
        deviation = 0.3 * max(focus, 1) / 2 ** (self.map_scale + 1)
        return compete(saliency[:, 0], fixations=self.fixations, deviation=deviation)

    def conspicuity(self, picture: Tensor) -> dict[str, Tensor]:
        """C_I, C_C and C_O of (7), each with its share of the sum: feature -> `B 1 h w`."""
        contrasts = self.contrasts(picture)
        promoted = {name: self._promoted(maps.flatten(1, 2), 10.0).view_as(maps) for name, maps in contrasts.items()}
        maps = {}
        for name, features in promoted.items():  # [B, F, P, h, w]
            combined = self._promoted(features.sum(2), None)
            if combined.shape[1] > 1:
                combined = self._promoted(combined.sum(1, keepdim=True), None) / combined.shape[1]
            maps[name] = combined * (self.weights[name] / len(contrasts))
        return maps

    def contrasts(self, picture: Tensor) -> dict[str, Tensor]:
        """F(c, s) of (5): feature -> `B F P h w`, F its opponent pairs or orientations, P the pairs of scales."""
        intensity, colours = self._channels(picture)
        basis = torch.cat([intensity, *colours], 1)
        levels = steps.pyramid(basis, max(self.map_scale, *(s for _, s in self.pairs)) + 1, exact=self.exact)
        pairs = [(c, s) for c, s in self.pairs if s < len(levels)]
        if not pairs or self.map_scale >= len(levels):
            least = 2 ** max(self.map_scale, min(s for _, s in self.pairs))
            raise ValueError(
                f"picture of shape {tuple(picture.shape)}: at least {least} × {least} pixels are needed; "
                f"enlarge it, or choose smaller centres, deltas and map_scale"
            )
        size = (levels[self.map_scale].shape[2], levels[self.map_scale].shape[3])
        border = (2 * max(size) + 20) // 40  # a twentieth, halves rounded up
        used = {scale: levels[scale] for scale in sorted({scale for pair in pairs for scale in pair})}
        plain = {scale: steps.resized(level, size) for scale, level in used.items()}
        oriented = {
            scale: steps.oriented(level[:, :1], self.filters, size, exact=self.exact) for scale, level in used.items()
        }
        contrast = torch.stack([plain[c] - plain[s] for c, s in pairs], 2)
        if self.opponency == "double" and colours:
            opposed = torch.stack([plain[c][:, 1:] + plain[s][:, 1:] for c, s in pairs], 2)
            contrast = torch.cat([contrast[:, :1], opposed], 1)
        turned = torch.stack([oriented[c] - oriented[s] for c, s in pairs], 2)  # [B, A, P, h, w]
        everything = torch.cat([contrast, turned], 1).abs()
        if not self.exact:
            noise = _ROUNDINGS * torch.finfo(basis.dtype).eps * basis.abs().amax((1, 2, 3))
            everything = torch.where(everything > noise[:, None, None, None, None], everything, 0.0)
        everything = steps.attenuated(everything.flatten(1, 2), border).view_as(everything)
        count = contrast.shape[1]
        maps = {"intensity": everything[:, :1], "colour": everything[:, 1:count], "orientation": everything[:, count:]}
        return {name: map for name, map in maps.items() if map.shape[1]}

    def _channels(self, picture: Tensor) -> tuple[Tensor, list[Tensor]]:
        """I of (1), RG of (2) and BY of (3); of a grey picture only the first."""
        if picture.shape[1] == 1:
            return picture, []
        r, g, b = picture.split(1, 1)
        if self.opponency == "difference":
            most = torch.maximum(torch.maximum(r, g), b)
            share = torch.where(most < _DARK, 0.0, 1 / torch.where(most < _DARK, 1.0, most))
            intensity = _LUMA[0] * r + _LUMA[1] * g + _LUMA[2] * b
            return intensity, [(r - g) * share, (b - torch.minimum(r, g)) * share]
        intensity = (r + g + b) / 3
        bright = intensity > _DARK * intensity.amax((2, 3), keepdim=True)
        r, g, b = (torch.where(bright, part / torch.where(bright, intensity, 1.0), 0.0) for part in (r, g, b))
        red, green, blue = ((a - (c + d) / 2).clamp_min(0) for a, c, d in ((r, g, b), (g, r, b), (b, r, g)))
        yellow = ((r + g) / 2 - (r - g).abs() / 2 - b).clamp_min(0)
        return intensity, [red - green, blue - yellow]

    def _promoted(self, maps: Tensor, high: float | None) -> Tensor:
        """N of maps `B C h w`, first spread over 0 to `high` if that is given."""
        if self.normalisation != "none":
            maps = maps.clamp_min(0)
        if high is not None:
            maps = steps.spread(maps, 0.0, high)
        if self.normalisation == "iterative":
            return steps.promoted_by_competition(maps, self.iterations)
        if self.normalisation == "none":
            return maps
        return steps.promoted_by_maxima(maps, high, others=self.normalisation == "other_max")

    def _checked(self, x: Tensor) -> Tensor:
        """The picture in float32 at least, from 0 to 1 if it comes in bytes."""
        if x.ndim != 4 or x.shape[1] not in (1, 3) or 0 in x.shape[2:]:
            raise ValueError(
                f"picture of shape {tuple(x.shape)}: B 3 H W, or B 1 H W if grey, is needed, and no side empty"
            )
        if x.dtype == torch.uint8:
            return x / 255
        if not x.is_floating_point():
            raise ValueError(f"picture of {x.dtype}: floating point from 0 to 1, or uint8, is needed")
        if not torch.compiler.is_compiling() and x.device.type != "meta" and not bool(x.detach().isfinite().all()):
            bad = int((~x.detach().isfinite()).sum())
            raise ValueError(
                f"picture: finite values are needed, but {bad} of {x.numel()} are not; repair or mask them first"
            )
        return widened(x)
