"""RGA's network: a ResNet-50 for persons with relation-aware gates behind each of its four stages.

Relation-Aware Global Attention for Person Re-identification. Zhang, Lan, Zeng, Jin, Chen. CVPR 2020, arXiv:1904.02998.
Official code: microsoft/Relation-Aware-Global-Attention-Networks.

    x_s = a_s(stage_s(x_{s-1})),  f = mean(x_4),  g = BN(f),  y = W g          a_s: `rga`, for one size of its map   (1)

Place: trained as it is. Behind images of 256 × 128 the gates weigh 2048, 512, 128 and 128 positions.
Cost: with 767 persons 31,397,040 parameters with both gates (RGA-SC), 28,306,744 with that of positions (RGA-S),
    28,173,240 with that of channels (RGA-C), and 25,082,944 without, as counted in the released code but for the last.
Deviations: none but where a network is narrower than the paper's: a reduction that leaves nothing is as large as it can
    be. The bias of the batch norm stays 0, and the classifier has none, as released.
Errata: the weights fix the size of the images; versions that resize the relations are not this network.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from regard.checks import flag, positive
from regard.networks.person import SIZE, PersonNetwork
from regard.networks.sites import Site
from regard.papers.rga.mechanism import RelationAware

SPREAD = 0.001  # standard deviation of the classifier's first weights, as released


class RelationAwareNetwork(PersonNetwork):
    """A ResNet-50 for persons with relation-aware gates behind its stages.

    Args:
        channels: channels of the images.
        classes: K, the persons of the training.
        spatial, channel: which gates there are; without both it is the baseline.
        image_size: height and width of the images, or of both.
        reduction: of channels and positions, in each gate.
        gate_reduction: between the two layers of a gate.
        width: of the first stage, in place of 64; all others are narrowed alike.
        blocks: how many in each stage, in place of 3, 4, 6 and 3; fewer stages leave out the last.

    Shapes: x `B C H W` of that size -> the features behind and before the batch norm `B D` each, logits `B K`.
    Maps: those of `rga`, by stage, counted from 0.
    Raises: ValueError for an argument out of range, and for images of another size.
    """

    def __init__(
        self,
        channels: int = 3,
        *,
        classes: int,
        spatial: bool = True,
        channel: bool = True,
        image_size: int | tuple[int, int] = SIZE,
        reduction: int = 8,
        gate_reduction: int = 8,
        width: int | None = None,
        blocks: Sequence[int] | None = None,
    ) -> None:
        flag("spatial", spatial), flag("channel", channel)
        positive("reduction", reduction), positive("gate_reduction", gate_reduction)

        def gates(site: Site) -> nn.Module | None:
            assert site.grid is not None
            positions = site.grid[0] * site.grid[1]
            of_channels, of_positions = min(reduction, site.channels), min(reduction, positions)
            narrowest = [positions // of_positions] * spatial + [site.channels // of_channels] * channel
            return RelationAware(
                site.channels,
                grid=site.grid,
                spatial=spatial,
                channel=channel,
                channel_reduction=of_channels,
                spatial_reduction=of_positions,
                gate_reduction=min(gate_reduction, 1 + min(narrowest)),
            )

        super().__init__(
            channels,
            classes=classes,
            attention=gates if spatial or channel else None,
            image_size=image_size,
            width=width,
            blocks=blocks,
            neck_bias=False,
            classifier_bias=False,
        )
        nn.init.normal_(self.classify.weight, std=SPREAD)
