"""The network for re-identification: a ResNet-50 whose last stage keeps its resolution, and a batch norm as its neck.

Bag of Tricks and A Strong Baseline for Deep Person Re-identification. Luo, Gu, Liao, Lai, Jiang. CVPR Workshops 2019,
arXiv:1903.07071, for the stride and the neck.

    x_s = a_s(stage_s(x_{s-1}))        a_s: a mechanism behind stage s, or none                                    (1)
    f = mean(x_4),  g = BN(f),  y = W g                                                                            (2)

A clip is a batch of frames for the stages, and for mechanisms that are not for clips; f is the mean over its frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor, nn

from regard.checks import check_input, check_norm_batch, each_axis, flag, positive, whole_numbers
from regard.networks.sites import Fitting, Site
from regard.networks.trunks import RESNET
from regard.ops import pooling
from regard.ops.precision import wide_norm, widened

TRUNK = replace(RESNET[50], last_stride=1)
STAGES = len(TRUNK.blocks)
SIZE = (256, 128)  # height and width of the images, as all three papers have them

Make = Callable[[Site], nn.Module | None]


class PersonNetwork(nn.Module):
    """A network for re-identification, with a mechanism behind each stage or without any.

    Args:
        channels: channels of the images.
        classes: K, the persons of the training.
        attention: the last site of a stage -> the mechanism behind it, which returns a map of the same shape, or the
            map with masks of parts; None of it for none behind that stage; None for none at all. One with `dims` 3 is
            given clips.
        image_size: height and width of the images, or of both; only a mechanism that is built for one size needs it.
        video: whether it takes clips rather than images.
        width: of the first stage, in place of 64; all others are narrowed alike.
        blocks: how many in each stage, in place of 3, 4, 6 and 3; fewer stages leave out the last.
        neck_bias, classifier_bias: whether the batch norm trains its bias, and whether the classifier has one.

    Shapes: x `B C H W`, with `video` `B C T H W` -> the features behind and before the batch norm `B D` each, logits
        `B K`, and the masks of each mechanism that returns any, `B P h w` or `B T P h w`.
    Raises: ValueError for an argument out of range, and for images or clips of another shape.
    """

    part_names: tuple[str, ...] = ()  # of the masks

    def __init__(
        self,
        channels: int = 3,
        *,
        classes: int,
        attention: Make | None = None,
        image_size: int | tuple[int, int] = SIZE,
        video: bool = False,
        width: int | None = None,
        blocks: Sequence[int] | None = None,
        neck_bias: bool = True,
        classifier_bias: bool = True,
    ) -> None:
        super().__init__()
        self.channels, self.video = positive("channels", channels), flag("video", video)
        positive("classes", classes)
        height, across = each_axis("image_size", image_size, 2)
        counts = TRUNK.blocks if blocks is None else whole_numbers("blocks", blocks)
        if len(counts) > STAGES:
            raise ValueError(f"blocks={blocks!r}: a number for each of at most {STAGES} stages is needed")
        first = TRUNK.widths[0] if width is None else positive("width", width)
        sites: dict[int, Site] = {}

        def visited(site: Site) -> None:
            sites[site.stage] = site  # of a stage the last one stays

        body = TRUNK.build(
            channels,
            blocks=counts,
            narrowed=lambda paper: max(paper * first // TRUNK.widths[0], 1),
            size=(height, across),
            fitting=Fitting(at=visited, place="behind"),
        )
        self.stem, self.stages = body.stem, body.stages
        made = {} if attention is None else {str(stage): attention(site) for stage, site in sites.items()}
        self.attention = nn.ModuleDict({stage: module for stage, module in made.items() if module is not None})
        fixed = any(getattr(module, "grid", None) is not None for module in self.attention.values())
        self.grid = (height, across) if fixed else None  # the one size of images that it takes
        self.neck = nn.BatchNorm1d(body.channels)
        self.neck.bias.requires_grad_(flag("neck_bias", neck_bias))
        self.classify = nn.Linear(body.channels, classes, bias=flag("classifier_bias", classifier_bias))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        sides = {} if self.grid is None else {"H": self.grid[0], "W": self.grid[1]}
        check_input(x, "B C T H W" if self.video else "B C H W", C=self.channels, **sides)
        frames = x.shape[2] if self.video else 1
        h = self.stem(x.transpose(1, 2).flatten(0, 1) if self.video else x)
        masks = []
        for number, stage in enumerate(self.stages):
            h = stage(h)
            if str(number) in self.attention:
                h, mask = self._attended(self.attention[str(number)], h, frames)
                masks += [] if mask is None else [mask]
        before = pooling.average(h)
        if self.video:
            before = before.unflatten(0, (-1, frames)).mean(1)
        check_norm_batch(self.neck, before)
        behind = wide_norm(self.neck, widened(before)).to(before.dtype)
        return behind, before, self.classify(behind), *masks

    def _attended(self, module: nn.Module, h: Tensor, frames: int) -> tuple[Tensor, Tensor | None]:
        """The map behind a mechanism, `B C H W` or `BT C H W` of clips, and any masks, `B P H W` or `B T P H W`."""
        if self.video and getattr(module, "dims", 2) == 3:
            found = module(h.unflatten(0, (-1, frames)).transpose(1, 2).contiguous())
            y, mask = found if isinstance(found, tuple) else (found, None)
            return y.transpose(1, 2).flatten(0, 1), mask
        found = module(h)
        y, mask = found if isinstance(found, tuple) else (found, None)
        return y, mask if mask is None or not self.video else mask.unflatten(0, (-1, frames))
