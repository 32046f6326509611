"""IAUnet: a ResNet-50 for persons, of images or clips, whose second and third stage know parts of the body.

IAUnet: Global Context-Aware Feature Learning for Person Re-Identification. Hou, Ma, Chang, Gu, Shan, Chen. TNNLS 2020,
arXiv:2009.01035.
Official code: blue-blue272/ImgReID-IAnet.

    x_s, m_s = a_s(stage_s(x_{s-1})),  f = mean(x_4),  g = BN(f),  y = W g + b         a_s: `iau`, s = 2, 3          (1)

Place: trained as it is; the masks m are supervised by parts of the body where they are known (`tasks.reidentify`).
Cost: with 751 persons 29,003,085 parameters for images, as counted in the released code; as many for clips.
Deviations: for clips only the modules are released | the frames of a clip pass the stages as images, the modules see
    them together, and f is the mean over the frames, as the paper says. `temporal=False` leaves each frame alone.
Errata: none known beside those of `iau`.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from regard.checks import flag
from regard.data.part_masks import PARTS
from regard.networks.person import PersonNetwork
from regard.networks.sites import Site
from regard.papers.iaunet.mechanism import InteractionUpdate


class InteractionUpdateNetwork(PersonNetwork):
    """A ResNet-50 for persons in which parts of the body, frames and channels exchange features.

    Args:
        channels: channels of the images.
        classes: K, the persons of the training.
        attention: whether it has the modules; without them it is the baseline.
        video: whether it takes clips rather than images.
        temporal: of clips, whether the modules see all frames of a clip together, rather than each alone.
        width: of the first stage, in place of 64; all others are narrowed alike.
        blocks: how many in each stage, in place of 3, 4, 6 and 3; fewer stages leave out the last.

    Shapes: x `B C H W`, with `video` `B C T H W` -> the features behind and before the batch norm `B D` each, logits
        `B K`, and the masks of four parts behind each of two stages, `B 4 h w` or `B T 4 h w`.
    Maps: those of `iau`, by stage, counted from 0.
    Raises: ValueError for an argument out of range, and for images or clips of another shape.
    """

    def __init__(
        self,
        channels: int = 3,
        *,
        classes: int,
        attention: bool = True,
        video: bool = False,
        temporal: bool = True,
        width: int | None = None,
        blocks: Sequence[int] | None = None,
    ) -> None:
        flag("attention", attention), flag("video", video), flag("temporal", temporal)

        def parts(site: Site) -> nn.Module | None:
            if site.stage not in (1, 2):
                return None
            dims = 3 if video and temporal else 2
            return InteractionUpdate(site.channels, parts=len(PARTS), dims=dims, return_mask=True)

        super().__init__(
            channels,
            classes=classes,
            attention=parts if attention else None,
            video=video,
            width=width,
            blocks=blocks,
        )
        self.part_names = tuple(part.replace("_", " ") for part in PARTS) if attention else ()
