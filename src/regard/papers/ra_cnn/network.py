"""RA-CNN: a fine-grained classifier that finds where to look closer, enlarges that part, and repeats.

Look Closer to See Better: Recurrent Attention Convolutional Neural Network for Fine-Grained Image Recognition. Fu,
    Zheng, Mei. CVPR 2017, doi:10.1109/CVPR.2017.476.
Official code: Jianlong-Fu/Recurrent-Attention-CNN (Caffe); known here through jeong-tae/RACNN-pytorch.

    F_s = CNN_s(x_s),     z_s = W_s avg(F_s)                          scores of scale s = 1 … S             Eq. 1   (1)
    (t_x, t_y, t_l) = σ(V tanh(U pool(F_s)))                          attention proposal: centre, half side Eq. 2   (2)
    x_{s+1} = enlarge(crop(x_s ⊙ M(t_x, t_y, t_l)))                   `attention_crop`                      Eq. 3-7 (3)
    z = W [f_1 / |f_1|; …; f_S / |f_S|],     f_s = avg(F_s)           all scales together, Section 3.4              (4)

Place: birds, cars, dogs: classes that differ in a small part, which no label points at. Trained by turns: the networks
    on their classes, the proposals on more confidence at the finer scale (task.py).
Cost: S networks, the first on `image_size`, the others on `crop_size`; each proposal C h w hidden multiplications.
Deviations: paper, three VGG-19 | port, VGG-19 with batch norms, and its pool is 2×2 for the first scale, whose map is
    twice as large | as the port, with any network of timm's; (4), which the port leaves out, is `fused`. The port takes
    its first coordinate for the row; here x goes across.
Errata: with `least` = 1/3, as the port has it, a square is at least two thirds of the image wide, so that from 448 to
    224 pixels it shrinks. The paper's "one third" does not say of which; with 1/6 a square is at least a third wide.
    The port cuts the third scale out of the enlarged second one; source="image" cuts it out of the image, all pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.backbones import build, feature_info
from regard.checks import check_input, check_norm_batch, choice, flag, positive, text, whole_numbers
from regard.core import Attention
from regard.ops import pooling
from regard.ops.precision import widened
from regard.ops.zooming import zoom
from regard.papers.ra_cnn.mechanism import check_crop

SOURCES = ("crop", "image")


class Views(NamedTuple):
    """A record of every scale.

    Attributes:
        scores: z_s, `B K` each, S of them, and z behind them where the scales are fused.
        maps: F_s, `B C h w` each.
        squares: t_x, t_y, t_l of every scale but the last, as shares of its image's side, `B 3` each.
        images: x_s of every scale, `B C H W` each.
        boxes: where every scale but the first lies in the image given: left, top, right, bottom, from -1 to 1,
            `B S-1 4`.
    """

    scores: tuple[Tensor, ...]
    maps: tuple[Tensor, ...]
    squares: tuple[Tensor, ...]
    images: tuple[Tensor, ...]
    boxes: Tensor


class Plain(nn.Module):
    """A small network in place of a backbone: convolutions of stride 2, each with a batch norm and a ReLU."""

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1) for before, after in pairwise((channels, *widths))
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)

    def forward(self, x: Tensor) -> list[Tensor]:
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = convolution(x)
            check_norm_batch(norm, x)
            x = norm(x).relu()
        return [x]


class RecurrentAttentionCNN(Attention):
    """Fine-grained classifier that finds where to look closer, enlarges that part, and repeats.

    Args:
        channels: channels of the image.
        classes: K, the number of classes.
        image_size: side of the image in pixels.
        first_size: side in pixels at which the first scale sees it, a divisor of `image_size` and a multiple of
            `crop_size`; None: `image_size`.
        crop_size: side in pixels to which a square is enlarged.
        scales: S.
        backbone: any network of timm's that gives maps; None: convolutions of stride 2 with `widths` channels.
        widths: of those convolutions.
        hidden: rows of U.
        fused: (4) as well.
        least: the smallest half side of a square, as a share of the image's side.
        k: steepness of the mask's edges, for each pixel.
        align_corners: outermost pixels of a square stay outermost, as in the port, rather than Eq. 7.
        gradient: what moves a square: `"rule"`, Section 3.3, `"balanced"`, the same with border and middle of equal
            weight, or `"mask"`, the derivative of M.
        source: what squares are cut out of: `"crop"`, what the scale before sees, or `"image"`, with all its pixels.

    Shapes: x `B C H W` of `image_size` -> scores `B K` of every scale, and of all together where they are fused; with
        `views=True` the `Views`. `first=True` computes the first scale alone.
    Maps: glimpse `B T 4`, where scales 2 to S lie in the image: left, top, right, bottom, from -1 to 1.
    Raises: ValueError for an argument out of range, sizes that do not divide, or images of another size; LookupError if
        timm has no such backbone.
    """

    def __init__(
        self,
        channels: int = 3,
        *,
        classes: int = 200,
        image_size: int = 448,
        first_size: int | None = None,
        crop_size: int = 224,
        scales: int = 3,
        backbone: str | None = "vgg19_bn",
        widths: Sequence[int] = (32, 64, 128),
        hidden: int = 1024,
        fused: bool = False,
        least: float = 1 / 3,
        k: float = 10.0,
        align_corners: bool = True,
        gradient: str = "rule",
        source: str = "crop",
    ) -> None:
        super().__init__()
        self.channels, self.classes = positive("channels", channels), positive("classes", classes)
        positive("scales", scales)
        positive("hidden", hidden)
        name, first = ("image_size", image_size) if first_size is None else ("first_size", first_size)
        if positive(name, first) % positive("crop_size", crop_size):
            raise ValueError(f"{name}={first}: a multiple of crop_size={crop_size} is needed")
        if positive("image_size", image_size) % first:
            raise ValueError(f"first_size={first}: a divisor of image_size={image_size} is needed")
        if backbone is not None:
            text("backbone", backbone)
        widths = whole_numbers("widths", widths)
        check_crop(least, k, gradient)
        flag("align_corners", align_corners)
        flag("fused", fused)
        self.source = choice("source", source, SOURCES)
        self.grid = (image_size, image_size)
        self.first_size, self.crop_size, self.backbone = first, crop_size, backbone
        self.least, self.k, self.align_corners, self.gradient = least, k, align_corners, gradient
        trunks = [_trunk(backbone, channels, widths) for _ in range(scales)]
        self.trunks: Iterable[nn.Module] = nn.ModuleList(trunk for trunk, _, _ in trunks)
        _, width, reduction = trunks[0]
        if crop_size % reduction:
            raise ValueError(
                f"crop_size={crop_size}: a multiple of {reduction} is needed, the stride of the last map with "
                f"backbone={backbone!r}, widths={widths}"
            )
        side = crop_size // reduction
        self.classifiers: Iterable[nn.Module] = nn.ModuleList(nn.Linear(width, classes) for _ in range(scales))
        self.proposals = nn.ModuleList(
            nn.Sequential(nn.Linear(width * side**2, hidden), nn.Tanh(), nn.Linear(hidden, 3))
            for _ in range(scales - 1)
        )
        self.fuse = nn.Linear(scales * width, classes) if fused else None

    def start_from(self, state: Mapping[str, Tensor] | None = None) -> None:
        """Loads weights into the backbone of every scale: those given, by timm's names for the whole backbone, or the
        published ones.

        Raises: OSError if the published ones cannot be loaded; ValueError if those given do not fit.
        """
        if self.backbone is not None:
            loaded = _timm(self.backbone, self.channels, pretrained=state is None, state=state).state_dict()
            for trunk in self.trunks:
                trunk.load_state_dict(loaded)

    def forward(self, x: Tensor, *, views: bool = False, first: bool = False) -> tuple[Tensor, ...] | Views:
        check_input(x, "B C H W", C=self.channels, H=self.grid[0], W=self.grid[1])
        corner = widened(x[:0]).new_ones(x.shape[0], 2)
        whole = torch.cat([-corner, corner], 1)  # made where the images are: copying it there would wait for a GPU
        shrunk = self.grid[0] // self.first_size
        images, boxes = [F.avg_pool2d(x, shrunk) if shrunk > 1 else x], [whole]
        maps: list[Tensor] = []
        squares: list[Tensor] = []
        for trunk in self.trunks:
            maps.append(trunk(images[-1])[-1])
            if first or len(squares) == len(self.proposals):
                break
            squares.append(self._proposed(maps[-1], len(squares)))
            from_image = self.source == "image"
            image, region = (x, boxes[-1]) if from_image else (images[-1], whole)
            crop, box = self._closer(image, squares[-1], region, whole if from_image else boxes[-1])
            images.append(crop)
            boxes.append(box if from_image else _within(boxes[-1], box))
        placed = torch.stack(boxes, 1)[:, 1:]
        if squares:
            self.show("glimpse", placed)
        features = [pooling.average(found) for found in maps]
        scores = [classifier(feature) for classifier, feature in zip(self.classifiers, features, strict=not first)]
        if self.fuse is not None and not first:
            scores.append(self.fuse(torch.cat([F.normalize(feature) for feature in features], 1)))
        if not views:
            return tuple(scores)
        return Views(tuple(scores), tuple(maps), tuple(squares), tuple(images), placed)

    def _closer(self, image: Tensor, square: Tensor, region: Tensor, outer: Tensor) -> tuple[Tensor, Tensor]:
        """Equation (3): a square, in shares of a region, enlarged, and its box; region and box go from -1 to 1.

        The image is itself the box `outer` of the whole one, in which edits see the place.
        """
        side = image.shape[-1]
        within = ((region + 1) / 2 * side).round()
        extent = within[:, 2:] - within[:, :2]
        at = torch.cat((within[:, :2] + extent * square[:, :2], extent.amin(1, keepdim=True) * square[:, 2:]), 1)

        def move(box: Tensor) -> Tensor:
            own = _within(outer, 2 * box / side - 1)[:, None]
            seen = self.edited("glimpse", own)
            return box if seen is own else ((_inside(outer, seen[:, 0]) + 1) / 2 * side).round()

        crop, box = zoom(
            image, at, self.crop_size, within=within,
            least=self.least, k=self.k, align_corners=self.align_corners, gradient=self.gradient,
            move=move if self.watched else None,
        )  # fmt: skip
        return crop, 2 * box / side - 1

    def _proposed(self, found: Tensor, scale: int) -> Tensor:
        """Equation (2): `B C h w` -> `B 3`."""
        if scale == 0 and self.first_size > self.crop_size:
            found = F.max_pool2d(found, self.first_size // self.crop_size)
        proposed: Tensor = widened(self.proposals[scale](found.flatten(1))).sigmoid()
        return proposed


def _within(outer: Tensor, box: Tensor) -> Tensor:
    """A box, from -1 to 1 in an image that is itself a box of another, as a box of that."""
    corner, extent = outer[:, :2], outer[:, 2:] - outer[:, :2]
    return torch.cat((corner + (box[:, :2] + 1) / 2 * extent, corner + (box[:, 2:] + 1) / 2 * extent), 1)


def _inside(outer: Tensor, box: Tensor) -> Tensor:
    """The inverse of `_within`."""
    corner, extent = outer[:, :2].repeat(1, 2), (outer[:, 2:] - outer[:, :2]).repeat(1, 2)
    return 2 * (box - corner) / extent - 1


def _trunk(backbone: str | None, channels: int, widths: Sequence[int]) -> tuple[nn.Module, int, int]:
    """A network, the width of its last map, and that map's stride in pixels."""
    if backbone is None:
        return Plain(channels, widths), widths[-1], 2 ** len(widths)
    trunk = _timm(backbone, channels, pretrained=False)
    info = feature_info(trunk)
    return trunk, info.channels()[-1], info.reduction()[-1]


def _timm(backbone: str, channels: int, *, pretrained: bool, state: Mapping[str, Tensor] | None = None) -> nn.Module:
    """The backbone up to its last map; a VGG up to the map before its last pooling."""
    last = -2 if backbone.startswith("vgg") else -1
    try:
        return build(
            backbone, classes=1, in_chans=channels, pretrained=pretrained, state=state, features_only=True,
            out_indices=(last,),
        )  # fmt: skip
    except LookupError as error:
        raise LookupError(f"backbone={backbone!r}: {error}") from error
    except (RuntimeError, AttributeError, NotImplementedError) as error:
        raise ValueError(f"backbone={backbone!r}: a network with feature maps is needed: {error}") from error
