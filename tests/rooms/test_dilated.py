"""Trunks of segmentation networks: output strides, multi-grids and HRNet's branches."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from timm.models.hrnet import BasicBlock, HighResolutionModule
from torch import nn

from regard.networks.dilated import Trunk, _Exchange


def dilations(trunk: Trunk, stage: str) -> list[int]:
    """Dilations of the 3 × 3 convolutions of a stage, block by block."""
    found = [part for part in trunk.network.get_submodule(stage).modules() if isinstance(part, nn.Conv2d)]
    return [part.dilation[0] for part in found if part.kernel_size == (3, 3)]


def awake(trunk: Trunk) -> Trunk:
    """The trunk with norms that let every residual branch through: timm's start some of them at zero."""
    torch.manual_seed(4)
    for part in trunk.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
    return trunk.eval()


@pytest.mark.parametrize(
    ("backbone", "stride"),
    [
        ("test_resnet", 8),
        ("test_efficientnet", 16),
        pytest.param("resnet26d", 8, marks=pytest.mark.slow),
        pytest.param("seresnet50", 16, marks=pytest.mark.slow),
    ],
)
def test_the_maps_are_those_of_timm_at_the_same_output_stride(backbone: str, stride: int) -> None:
    trunk = awake(Trunk(backbone, 3, output_stride=stride))
    theirs = timm.create_model(backbone, features_only=True, output_stride=stride).eval()
    theirs.load_state_dict(trunk.network.state_dict())
    x = torch.randn(2, 3, 67, 43)
    maps = trunk(x)
    assert trunk.widths == theirs.feature_info.channels() and trunk.strides == theirs.feature_info.reduction()
    for ours, timms in zip(maps, theirs(x), strict=True):
        torch.testing.assert_close(ours, timms, rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("stride", [4, 8, 16])
def test_a_dilated_trunk_computes_the_strided_map_at_the_strided_places(stride: int) -> None:
    strided = awake(Trunk("resnet18", 3).double())
    dense = Trunk("resnet18", 3, output_stride=stride).double().eval()
    dense.load_state_dict(strided.state_dict())
    x = torch.randn(1, 3, 71, 53).double()
    step = 32 // stride
    assert dense.strides == [2, 4, *(min(side, stride) for side in (8, 16, 32))]
    torch.testing.assert_close(dense(x)[-1][..., ::step, ::step], strided(x)[-1])


def test_multi_grid_and_contraction_set_the_dilations_block_by_block() -> None:
    with torch.device("meta"):
        plain = Trunk("resnet26", 3, output_stride=8)
        grid = Trunk("resnet26", 3, output_stride=8, multi_grid=(4, 16))
        whole = Trunk("resnet18", 3, output_stride=8, contracted=False)
    assert [dilations(plain, f"layer{i}") for i in (2, 3, 4)] == [[1, 1], [1, 2], [2, 4]]
    assert [dilations(grid, f"layer{i}") for i in (3, 4)] == [[1, 2], [4, 16]]
    assert [dilations(whole, f"layer{i}") for i in (2, 3, 4)] == [[1] * 4, [2] * 4, [4] * 4]


def test_the_pool_of_the_stem_rounds_up_where_it_is_asked_to() -> None:
    x = torch.randn(1, 3, 64, 40)
    down, up = (Trunk("test_resnet", 3, round_up=ceiling).eval()(x)[1] for ceiling in (False, True))
    assert down.shape[2:] == (16, 10) and up.shape[2:] == (17, 11)


def test_branches_of_an_hrnet_exchange_as_with_timms_modules_resized_bilinearly() -> None:
    theirs = HighResolutionModule(3, BasicBlock, (1, 1, 1), [5, 7, 11], (5, 7, 11), "SUM").eval()
    ours = _Exchange(copy.deepcopy(theirs))
    for i, row in enumerate(theirs.fuse_layers):
        for j in range(i + 1, 3):
            row[j][2] = nn.Upsample(scale_factor=2 ** (j - i), mode="bilinear", align_corners=True)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    maps = [torch.randn(2, c, 12 // 2**i, 20 // 2**i) for i, c in enumerate((5, 7, 11))]
    for mine, timms in zip(ours(list(maps)), theirs(list(maps)), strict=True):
        torch.testing.assert_close(mine, timms)


@pytest.mark.slow
def test_an_hrnet_gives_its_four_branches_as_one_map_of_images_of_any_size() -> None:
    trunk = Trunk("hrnet_w18_small", 3).eval()
    assert trunk.widths == [16 + 32 + 64 + 128] and trunk.strides == [4]
    assert [y.shape for y in trunk(torch.randn(1, 3, 67, 35))] == [(1, 240, 17, 9)]
    whole = timm.create_model("hrnet_w18_small").state_dict()
    trunk.start_from(whole)
    assert all(torch.equal(value, whole[name]) for name, value in trunk.network.state_dict().items())


@pytest.mark.slow
def test_weights_given_by_timms_names_start_the_trunk_and_leave_attached_attention() -> None:
    torch.manual_seed(1)
    trunk = Trunk("test_resnet", 3, attention="se(reduction=8)@layer3+layer4")
    mechanisms = {name: value.clone() for name, value in trunk.network.state_dict().items() if ".attention." in name}
    assert len({name.partition(".attention.")[0] for name in mechanisms}) == 2
    whole = timm.create_model("test_resnet").state_dict()
    trunk.start_from(whole)
    for name, value in trunk.network.state_dict().items():
        assert torch.equal(value, mechanisms[name] if name in mechanisms else whole[name]), name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backbone": "resnett50"}, "backbone='resnett50'.*resnet50"),
        ({"backbone": "test_vit", "output_stride": 8}, "output_stride=8: 16 is needed with backbone='test_vit'"),
        pytest.param(
            {"backbone": "resnetblur18", "output_stride": 8},
            "output_stride=8: 32 is needed for blocks that pool",
            marks=pytest.mark.slow,
        ),
        ({"output_stride": 12}, "output_stride=12: 4, 8, 16 or 32"),
        ({"multi_grid": (1, 2)}, r"multi_grid=\(1, 2\): 1 dilations are needed"),
        ({"backbone": "test_efficientnet", "multi_grid": (2,)}, r"multi_grid=\(2,\).*no ResNet"),
        ({"attention": "none, se"}, "attention='none, se'"),
        pytest.param({"attention": "se@layer9"}, "attention='se@layer9'.*layer9", marks=pytest.mark.slow),
        ({"attention": "see"}, "attention='see'.*se"),
    ],
)
def test_what_a_trunk_cannot_be_is_refused_by_name(arguments: dict[str, object], message: str) -> None:
    with pytest.raises((ValueError, LookupError), match=message):
        Trunk(**{"backbone": "test_resnet", "channels": 3, **arguments})  # type: ignore[arg-type]
