"""IANet: a ResNet-50 for persons with interaction and aggregation in its second and third stage.

Interaction-and-Aggregation Network for Person Re-identification. Hou, Ma, Chang, Gu, Shan, Chen. CVPR 2019,
arXiv:1907.08435.
Official code: blue-blue272/ImgReID-IAnet.

    x_s = a_s(stage_s(x_{s-1})),  f = mean(x_4),  g = BN(f),  y = W g + b              a_s: `ia`, s = 2, 3           (1)

Place: trained as it is. The blocks stand behind the fourth block of stage 2 and the sixth of stage 3, the last of each.
Cost: with 751 persons 25,057,071 parameters, 6,144 of them of the blocks, as counted in the released code.
Deviations: the released network is built for images of 256 × 128 | any size; the prior of nearness is in positions of
    the map, (20, 10) and (10, 5) in height and width, and stays so. `widths` changes it for other images.
Errata: none known beside those of `ia`.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from regard.checks import flag, number, sequence
from regard.networks.person import PersonNetwork
from regard.networks.sites import Site
from regard.papers.ianet.mechanism import InteractionAggregation

WIDTHS = (20.0, 10.0)  # behind stage 2; behind stage 3, whose map is half as large, the half


class InteractionAggregationNetwork(PersonNetwork):
    """A ResNet-50 for persons in which positions and channels aggregate similar ones.

    Args:
        channels: channels of the images.
        classes: K, the persons of the training.
        attention: whether it has the blocks; without them it is the baseline.
        widths: the standard deviations of nearness in height and width behind stage 2; behind stage 3 they are half.
        width: of the first stage, in place of 64; all others are narrowed alike.
        blocks: how many in each stage, in place of 3, 4, 6 and 3; fewer stages leave out the last.

    Shapes: x `B C H W` -> the features behind and before the batch norm `B D` each, logits `B K`.
    Maps: those of `ia`, by stage, counted from 0.
    Raises: ValueError for an argument out of range, and for images of another shape.
    """

    def __init__(
        self,
        channels: int = 3,
        *,
        classes: int,
        attention: bool = True,
        widths: tuple[float, float] = WIDTHS,
        width: int | None = None,
        blocks: Sequence[int] | None = None,
    ) -> None:
        flag("attention", attention)
        height, across = (number("widths", one, above=0) for one in sequence("widths", widths, 2))

        def aggregation(site: Site) -> nn.Module | None:
            if site.stage not in (1, 2):
                return None
            return InteractionAggregation(site.channels, widths=(height / site.stage, across / site.stage))

        super().__init__(
            channels, classes=classes, attention=aggregation if attention else None, width=width, blocks=blocks
        )
