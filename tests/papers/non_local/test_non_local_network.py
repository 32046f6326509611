"""Networks with non-local blocks: where these stand, how clips shrink, and the released checkpoints."""

from __future__ import annotations

import pytest
import torch

from regard import published
from regard.core import Attention
from regard.papers.resnet.network import PaperNetwork

CLIPS = "nonlocal/facebookresearch.video-nonlocal-net/resnet_video"


@pytest.mark.parametrize(
    ("name", "behind"),
    [
        ("nonlocal_resnet50", [[], [], [4], []]),
        ("nonlocal5_resnet50", [[], [1, 3], [1, 3, 5], []]),
        ("nonlocal5_c2d_resnet50", [[], [1, 3], [1, 3, 5], []]),
        ("nonlocal5_i3d_resnet101", [[], [1, 3], [6, 13, 20], []]),
        ("nonlocal10_c2d_resnet50_8f", [[], [0, 1, 2, 3], [0, 1, 2, 3, 4, 5], []]),
    ],
)
def test_non_local_blocks_stand_behind_the_released_blocks(name: str, behind: list[list[int]]) -> None:
    with torch.device("meta"):
        stages = PaperNetwork(name=name).stages
    places = [[i for i, part in enumerate(stage) if isinstance(part, Attention)] for stage in stages]
    # those before count themselves
    assert [[place - 1 - i for i, place in enumerate(stage)] for stage in places] == behind


@pytest.mark.parametrize(("name", "frames"), [("nonlocal5_i3d_resnet50", 32), ("nonlocal5_c2d_resnet50_8f", 8)])
def test_clips_shrink_as_in_the_released_definition(name: str, frames: int) -> None:
    seen = []
    with torch.device("meta"):
        network = PaperNetwork(name=name, classes=400).eval()
        for part in (network.stem, *network.stages):
            part.register_forward_hook(lambda part, x, y: seen.append(tuple(y.shape[1:])))
        assert network(torch.empty(1, 3, frames, 224, 224)).shape == (1, 400)
    behind = [(64, 8, 55, 55), (256, 4, 55, 55), (512, 4, 28, 28), (1024, 4, 14, 14), (2048, 4, 7, 7)]
    assert seen == behind


@pytest.mark.parametrize(("name", "inflated"), [("c2d_resnet50", 0), ("i3d_resnet50", 10), ("i3d_resnet101", 19)])
def test_only_i3d_has_kernels_over_time(name: str, inflated: int) -> None:
    with torch.device("meta"):
        network = PaperNetwork(name=f"nonlocal5_{name}")
    convs = [part for part in network.modules() if isinstance(part, torch.nn.Conv3d)]
    assert sum(conv.kernel_size[0] > 1 for conv in convs) == inflated


def test_a_clip_of_one_small_frame_is_answered_and_an_image_is_refused() -> None:
    network = PaperNetwork(2, name="nonlocal5_i3d_resnet50", classes=3, width=8, blocks=(1, 2)).eval()
    assert network(torch.zeros(1, 2, 1, 2, 3)).shape == (1, 3)
    with pytest.raises(ValueError, match=r"\(2, 9, 9, 9\).*B C T H W"):
        network(torch.zeros(2, 9, 9, 9))


def test_blobs_of_caffe2_get_the_names_of_layers() -> None:
    blobs = ("conv1_w", "conv1_w_momentum", "res_conv1_bn_s", "res_conv1_bn_b", "res_conv1_bn_rm", "res_conv1_bn_riv")
    rewrite = published.get(CLIPS).state
    assert rewrite is not None
    layers = rewrite({name: torch.tensor(float(i)) for i, name in enumerate((*blobs, "pred_b", "lr"))}, {})
    norm = {"weight": 2, "bias": 3, "running_mean": 4, "running_var": 5}
    assert {name: int(value) for name, value in layers.items()} == {
        "conv1.weight": 0,
        **{f"res_conv1_bn.{name}": value for name, value in norm.items()},
        "pred.bias": 6,
    }


@pytest.mark.parametrize(
    ("settings", "behind"),
    [
        ({"LAYER_MOD": 2}, ["3_1", "3_3", "4_1", "4_3", "4_5"]),
        ({"LAYER_MOD": 1, "VIDEO_ARC_CHOICE": 2}, [f"3_{i}" for i in range(4)] + [f"4_{i}" for i in range(6)]),
        ({"DEPTH": 101, "VIDEO_ARC_CHOICE": 4}, ["3_1", "3_3", "4_6", "4_13", "4_20"]),
    ],
)
def test_blobs_of_non_local_blocks_are_found_behind_their_blocks(settings: dict[str, int], behind: list[str]) -> None:
    arguments, names = published.get(CLIPS).build(**settings)
    with torch.device("meta"):
        parts = dict(PaperNetwork(**arguments).named_modules())
    found = [name for name, blob in names.items() if blob.startswith("nonlocal") and blob.endswith("theta")]
    assert [names[name] for name in found] == [f"nonlocal_conv{block}_theta" for block in behind]
    assert all(isinstance(parts[name.removesuffix(".theta")], Attention) for name in found)


def test_a_network_that_was_not_released_is_refused() -> None:
    with pytest.raises(ValueError, match=r"LAYER_MOD=.*101, 3, 1"):
        published.rebuild(CLIPS, {"DEPTH": 101, "VIDEO_ARC_CHOICE": 3, "LAYER_MOD": 1}, {})
