"""Second-order pooling: the order of its steps, its released constants, and wrong settings."""

from __future__ import annotations

import pytest
import torch

from regard import create


@pytest.mark.parametrize("height, width", [(11, 7), (2, 3), (4, 4)])
def test_pooling_first_gives_the_position_gate_of_projecting_first(height: int, width: int) -> None:
    module = create("gsop", channels=6, hidden=5, fusion="position", size=4).double().eval()
    x = torch.randn(2, 6, height, width, dtype=torch.float64)
    cheap = module(x)
    module.training = True  # the order of training, with norms that use their running statistics
    torch.testing.assert_close(module(x), cheap)


def test_the_released_constants_centre_only_as_many_channels_as_positions() -> None:
    y = torch.randn(2, 9, 9, dtype=torch.float64)
    released, exact = (create("gsop", channels=6, fusion="position", size=3, centred=way) for way in (False, True))
    torch.testing.assert_close(released.position_statistics(y), exact.position_statistics(y))
    assert not torch.allclose(released.position_statistics(y[:, :5]), exact.position_statistics(y[:, :5]))


def test_the_stride_follows_the_width() -> None:
    assert create("gsop", channels=256).stride == 2
    assert create("gsop", channels=257).stride == 1
    assert create("gsop", channels=256, stride=3).stride == 3


def test_concatenation_has_groups_of_64_and_longer_kernels_for_fewer() -> None:
    sizes = {}
    for channels in (12, 64, 256, 2048):
        with torch.device("meta"):
            conv = create("gsop", channels=channels, fusion="concat").channel_concat
        sizes[channels] = (conv.groups, conv.kernel_size)
    assert sizes == {12: (1, (15, 1)), 64: (1, (15, 1)), 256: (4, (11, 1)), 2048: (32, (5, 1))}
    with pytest.raises(ValueError, match="channels=193: a multiple of 3"):
        create("gsop", channels=193, fusion="concat")


def test_an_unknown_fusion_is_named() -> None:
    with pytest.raises(ValueError, match="fusion='average'"):
        create("gsop", channels=8, fusion="average")
