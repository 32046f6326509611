"""The two whole pyramid attention networks: counts, shapes, checkpoints, losses and the recipe."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from regard import create, published, watch
from regard.catalog import recipes
from regard.papers.pan.network import PyramidAttentionNetwork
from regard.papers.pan.task import SegmentAndName, present
from regard.tasks.segment import Segment
from regard.training.recipe import built

FORMS = ("deconvolution", "bilinear")


def parameters(module: nn.Module) -> int:
    return sum(one.numel() for one in module.parameters())


def small(upsample: str, **options: Any) -> PyramidAttentionNetwork:
    made: PyramidAttentionNetwork = create("pan", classes=5, backbone="test_resnet", upsample=upsample, **options)
    return made


def test_the_counts_are_those_of_both_published_networks() -> None:
    with torch.device("meta"):
        javey, smp = PyramidAttentionNetwork(), PyramidAttentionNetwork(upsample="bilinear")
    assert parameters(javey) == 166_914_901
    assert parameters(javey.decoder.pyramid) == 115_625_984
    assert parameters(smp) == 24_265_596


@pytest.mark.slow
def test_the_last_stage_is_dilated_as_in_each_of_both_codes() -> None:
    def dilations(network: PyramidAttentionNetwork) -> list[int]:
        stage = network.trunk.network.get_submodule("layer4")
        return [
            part.dilation[0] for part in stage.modules() if isinstance(part, nn.Conv2d) and part.kernel_size[0] == 3
        ]

    with torch.device("meta"):
        assert dilations(PyramidAttentionNetwork()) == [1, 2, 4]
        assert dilations(PyramidAttentionNetwork(upsample="bilinear")) == [2, 2, 2]
        assert dilations(PyramidAttentionNetwork(multi_grid=(3, 5, 7))) == [3, 5, 7]


@pytest.mark.parametrize("upsample", FORMS)
def test_the_prediction_has_the_size_of_any_image(upsample: str) -> None:
    network = small(upsample).eval()
    x = torch.rand(2, 3, 67, 53)
    with watch(network) as maps:
        assert network(x).shape == (2, 5, 67, 53)
    assert maps["decoder.pyramid/pyramid"][0].shape[1] == (96 if upsample == "deconvolution" else 1)
    assert [key for key in maps if key.endswith("/channel")] == [f"decoder.steps.{i}/channel" for i in range(3)]


@pytest.mark.parametrize("upsample", FORMS)
@pytest.mark.parametrize("side", [16, 65])
def test_one_image_cannot_train_its_batch_norms(upsample: str, side: int) -> None:
    network = small(upsample)
    with pytest.raises(ValueError, match=rf"input of shape \(1, 3, {side}, 17\): a batch of at least 2"):
        network(torch.rand(1, 3, side, 17))
    assert network.eval()(torch.rand(1, 3, side, 17)).shape == (1, 5, side, 17)
    assert network.train()(torch.rand(2, 3, side, 17)).shape == (2, 5, side, 17)


def test_the_classes_in_the_image_teach_nothing_but_their_own_layer() -> None:
    network = small("deconvolution", presence=True)
    logits, names = network(torch.rand(2, 3, 32, 48))
    assert names.shape == (2, 4, 1, 1)
    names.sum().backward()
    assert [name for name, one in network.named_parameters() if one.grad is not None] == [
        "present.weight", "present.bias",
    ]  # fmt: skip
    assert logits.requires_grad


def test_the_loss_adds_the_classes_in_the_image() -> None:
    class Fixed(nn.Module):
        def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.zeros(2, 3, 5, 7), torch.tensor([[1.0, -2.0], [0.5, 3.0]])[:, :, None, None]

    mask = torch.zeros(2, 5, 7, dtype=torch.uint8)
    mask[0, 1, 2], mask[1, 0, 0], mask[1, 0, 1] = 2, 1, 255
    assert present(mask, 3).tolist() == [[False, True], [True, False]]
    batch: Any = {"image": torch.zeros(2, 3, 5, 7), "mask": mask}
    task = SegmentAndName(Segment(3), share=2.0)
    loss, figures = task.loss(Fixed(), batch)
    names = functional.binary_cross_entropy_with_logits(
        torch.tensor([[1.0, -2.0], [0.5, 3.0]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    )
    torch.testing.assert_close(figures["names"], names)
    torch.testing.assert_close(loss, torch.tensor(3.0).log() + 2 * names)
    with pytest.raises(ValueError, match=r"outputs behind the logits \[\]: one of \(2, 2, 1, 1\) is needed"):
        task.loss(nn.Conv2d(3, 3, 1), batch)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"upsample": "deconvolution", "width": 8}, "width=8: None is needed"),
        ({"upsample": "deconvolution", "output_stride": 8}, "output_stride=8: 16 is needed"),
        ({"upsample": "nearest"}, "upsample='nearest': 'deconvolution' or 'bilinear' is needed"),
    ],
)
def test_wrong_arguments_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**options)


def renamed(network: nn.Module, names: dict[str, str]) -> dict[str, torch.Tensor]:
    """The state of our network under the names of another code."""
    state = {}
    for key, value in network.state_dict().items():
        ours = max((name for name in names if key.startswith(f"{name}.")), key=len)
        state[names[ours] + key.removeprefix(ours)] = value
    return state


@pytest.mark.slow
def test_checkpoints_of_whole_networks_are_read_by_their_own_names() -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 3, 64, 96)
    javey = create("pan", classes=4, presence=True, backbone="resnet50").eval()
    reference = "pan/JaveyWang.Pyramid-Attention-Networks-pytorch/train"
    state = renamed(javey, published.get(reference).build(num_class=3)[1])
    assert {
        "convnet.model.layer4.2.conv2.weight", "pan.fpa.conv7x7_1.weight", "pan.gau_block1.conv_reduction.weight",
        "pan.gau_block3.conv_upsample.weight", "classifier.fc1.weight", "mask_classifier.mask_conv.bias",
    } <= state.keys()  # fmt: skip
    state["convnet.model.fc.weight"] = torch.zeros(1000, 2048)  # of ImageNet, which their trunk carries along
    for ours, theirs in zip(javey(x), published.rebuild(reference, {"num_class": 3}, state)(x), strict=True):
        assert torch.equal(ours, theirs)
    smp = create("pan", classes=2, backbone="resnet18", upsample="bilinear", width=16).eval()
    reference, args = "pan/qubvel-org.segmentation_models.pytorch/PAN", {"encoder_name": "resnet18", "classes": 2}
    args |= {"decoder_channels": 16}
    state = renamed(smp, published.get(reference).build(**args)[1])
    assert {
        "encoder.layer4.1.conv2.weight", "decoder.fpa.down1.1.conv.weight", "decoder.gau3.conv2.conv.weight",
        "decoder.gau1.conv1.1.bn.weight", "segmentation_head.0.weight",
    } <= state.keys()  # fmt: skip
    assert torch.equal(smp(x), published.rebuild(reference, args, state)(x))
    with pytest.raises(ValueError, match="upsampling=8: 4 is accepted"):
        published.rebuild(reference, {"upsampling": 8}, state)


def test_the_recipe_has_both_forms() -> None:
    tiny = built(recipes.get("pan"), tiny=True)
    assert isinstance(tiny.phases[0].task, SegmentAndName)
    assert parameters(tiny.build()) > 2 * parameters(built(recipes.get("pan"), tiny=True, options=BILINEAR).build())
    assert isinstance(built(recipes.get("pan"), tiny=True, options=BILINEAR).phases[0].task, Segment)
    with pytest.raises(ValueError, match="data=None: a folder with images/"):
        built(recipes.get("pan"))


BILINEAR = {"upsample": "bilinear"}
