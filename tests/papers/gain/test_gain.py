"""GAIN: the streams, the gradients of the recorded losses, and any classifier of timm's as its backbone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional as F

import regard
from regard import published
from regard.data.batches import Batch
from regard.papers.gain.network import GAIN
from regard.papers.gain.streams import Streams, erasing, external
from regard.papers.gain.task import Guide

CASES = sorted((Path(__file__).parent / "golden").glob("*.safetensors"))


def small(**arguments: object) -> GAIN:
    torch.manual_seed(0)
    given = {"classes": 5, "backbone": None, "widths": (7, 11), **arguments}
    return GAIN(3, **given).double().eval()


def images(count: int = 2) -> Tensor:
    return torch.rand(count, 3, 13, 17, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize("path", [path for path in CASES if "ngxbac" not in path.stem], ids=lambda path: path.stem)
def test_gradients_go_through_the_weights_of_the_map_as_recorded(path: Path, detach: bool) -> None:
    with safe_open(path, "pt") as file:
        facts, tensors = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    state = {key.removeprefix("param."): value for key, value in tensors.items() if key.startswith("param.")}
    checked = 0
    for loss in ("L_self", "L_ext"):
        module = published.rebuild(facts["reference"], json.loads(facts["args"]), state)
        module.module.detach = detach
        given = {name: tensors[f"input.{name}"] for name in ("class", "multilabel", "pixel_mask")}
        module(tensors["input.0"], **given)[loss].backward()
        classifier = module.module.classifier
        ours = {"fc.weight": classifier.classify.weight, "features.0.weight": classifier.convolutions[0].weight}
        for name, parameter in ours.items():
            recorded = tensors[f"grad.{'detached' if detach else 'fullgrad'}.{loss}.param.{name}"]
            other = tensors[f"grad.{'fullgrad' if detach else 'detached'}.{loss}.param.{name}"]
            torch.testing.assert_close(parameter.grad, recorded, rtol=1e-8, atol=1e-11)
            checked += not torch.allclose(recorded, other)
    assert checked, "of no parameter do the two gradients differ: the case could not tell them apart"


def test_the_map_is_grad_cam() -> None:
    model, x = small(), images()
    streams = model(x, torch.tensor([3, 1]))
    for differentiable in (False, True):
        wanted = regard.gradcam(model.classifier, x, [3, 1], "features", differentiable=differentiable)
        torch.testing.assert_close(streams.cams[:, 0], wanted)
    erased = x * (1 - streams.masks)
    torch.testing.assert_close(streams.erased, erased)
    torch.testing.assert_close(streams.again, model.classifier(erased))


def test_each_class_of_an_image_has_its_own_map() -> None:
    model, x = small(), images(3)
    present = torch.tensor([[1, 0, 0, 1, 0], [0, 0, 0, 0, 0], [0, 1, 1, 0, 1]])
    streams = model(x, present)
    assert list(zip(streams.image.tolist(), streams.label.tolist(), strict=True)) == [
        (0, 0), (2, 1), (0, 3), (2, 2), (2, 4),
    ]  # fmt: skip
    for i, (image, label) in enumerate(zip(streams.image, streams.label, strict=True)):
        alone = model(x[image : image + 1], label[None])
        for name in ("cams", "masks", "erased", "again"):
            torch.testing.assert_close(getattr(streams, name)[i : i + 1], getattr(alone, name))
    taken = streams.again[range(5), streams.label]
    wanted = ((taken[0] + taken[2]) / 2 + (taken[1] + taken[3] + taken[4]) / 3) / 2  # images, not pairs, count alike
    torch.testing.assert_close(erasing(streams), wanted)
    nothing = model(x, torch.zeros_like(present))
    assert nothing.cams.shape == (0, 1, 13, 17) and erasing(nothing) == 0
    with pytest.raises(ValueError, match=r"present of shape \(3, 4\): \(3,\) or \(3, 5\) is needed"):
        model(x, present[:, :4])
    with pytest.raises(ValueError, match=r"present=\[0, 5, 1\]: classes from 0 to 4 are needed"):
        model(x, torch.tensor([0, 5, 1]))


def test_pixels_without_a_truth_do_not_count() -> None:
    cams = torch.tensor([[[[1.0, 0.5, 9.0]]], [[[2.0, 0.0, 0.0]]], [[[7.0, 7.0, 7.0]]]])
    whole = torch.tensor([0, 1, 2])
    streams = Streams(torch.zeros(3, 4), whole, torch.tensor([2, 0, 1]), cams, cams, cams, torch.zeros(3, 4))
    masks = torch.tensor([[[3, 0, 255]], [[2, 1, 0]], [[255, 255, 255]]], dtype=torch.uint8)
    # (0² + 0.5²) / 2 of the first, (2² + 1² + 0²) / 3 of the second, whose pixel of class 1 is no 0; none of the third
    assert external(streams, masks) == pytest.approx((0.25 / 2 + 5 / 3) / 2)
    assert external(streams, torch.full_like(masks, 255)) == 0


@pytest.mark.parametrize("grad", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_maps_are_shown_without_gradients_too(grad: type[torch.no_grad]) -> None:
    model = small()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with grad():
        x = images().clone()
        wanted = model(x)
        with regard.watch(model) as maps:
            scores = model(x)
    torch.testing.assert_close(scores, wanted, rtol=0, atol=0)
    assert not scores.requires_grad
    cams = regard.gradcam(model.classifier, images(), None, "features")
    torch.testing.assert_close(maps["cam"][0][:, 0], cams)
    assert maps.axes == {"cam": "B 1 H W", "mask": "B 1 H W"}


def test_a_flat_map_hides_nothing_and_has_finite_gradients() -> None:
    model = small(normalise="sample")
    cams = torch.zeros(2, 1, 3, 5, dtype=torch.float64, requires_grad=True)
    masks = model.masked(cams)
    torch.testing.assert_close(masks, torch.full_like(masks, 1 / (1 + torch.e**5)))
    masks.sum().backward()
    assert cams.grad is not None and cams.grad.isfinite().all()


def test_only_scaling_over_the_batch_makes_images_depend_on_each_other() -> None:
    x = images()
    x[1] *= 3
    for normalise in ("none", "sample", "sample_detached", "batch"):
        model = small(normalise=normalise)
        label = torch.tensor([2, 2])
        together, alone = model(x, label).masks[:1], model(x[:1], label[:1]).masks
        assert torch.allclose(together, alone) == (normalise != "batch")


def test_the_task_adds_up_what_the_paper_adds() -> None:
    model, x, label = small(), images(), torch.tensor([4, 0])
    mask = torch.randint(0, 6, (2, 13, 17), generator=torch.Generator().manual_seed(2)).byte()
    streams = model(x, label)
    wanted = F.cross_entropy(streams.scores, label) + 2 * erasing(streams, "sigmoid") + 3 * external(streams, mask)
    task = Guide(5, alpha=2.0, omega=3.0, score="sigmoid")
    loss, figures = task.loss(model, Batch(image=x, label=label, mask=mask))
    torch.testing.assert_close(loss, wanted)
    assert set(figures) == {"classified", "erased", "guided"}
    without, figures = task.loss(model, Batch(image=x, label=label))
    torch.testing.assert_close(without, wanted - 3 * external(streams, mask))
    assert set(figures) == {"classified", "erased"}
    several = Guide(5, several=True, score="softmax")
    present = F.one_hot(label, 5)
    loss, _ = several.loss(model, Batch(image=x, present=present))
    soft = F.multilabel_soft_margin_loss(streams.scores, present.double()) + erasing(streams, "softmax")
    torch.testing.assert_close(loss, soft)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "layer", "side"),
    [("test_resnet", None, 64), ("test_convnext", None, 64), ("test_vit", "blocks.3", 160)],
)
def test_any_classifier_of_timm_can_be_guided(backbone: str, layer: str | None, side: int) -> None:
    torch.manual_seed(0)
    model = GAIN(3, classes=4, backbone=backbone, layer=layer)
    x, label = torch.rand(2, 3, side, side), torch.tensor([3, 1])
    for parameter in model.parameters():  # what the initial weights leave at zero hides a fault
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, 0.5, 0.1)
    streams = model.eval()(x, label)
    wanted = regard.gradcam(model.classifier, x, label, model.layer)
    torch.testing.assert_close(streams.cams[:, 0], wanted, rtol=1e-3, atol=1e-5 * float(wanted.max()))
    model.zero_grad()
    erasing(model(x, label)).backward()
    whole = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    model.detach = True
    erasing(model(x, label)).backward()
    assert any(not torch.allclose(whole[name], p.grad) for name, p in model.named_parameters() if p.grad is not None)


@pytest.mark.slow
def test_a_layer_that_is_not_read_is_refused() -> None:
    model = GAIN(3, classes=4, backbone="test_vit").eval()
    with pytest.raises(ValueError, match="name an earlier"):
        model(torch.rand(2, 3, 160, 160), torch.tensor([3, 1]))
    with pytest.raises(LookupError, match=r"layer='fc9': a module of test_vit is needed"):
        GAIN(3, classes=4, backbone="test_vit", layer="fc9")
    with pytest.raises(LookupError, match=r"backbone='vgg61'"):
        GAIN(3, classes=4, backbone="vgg61")


def test_the_last_map_of_a_vgg_is_before_its_pooling() -> None:
    with torch.device("meta"):
        model = GAIN(3, classes=4, backbone="vgg16")
    assert model.layer == "features.29"
    assert isinstance(model.classifier.get_submodule(model.layer), torch.nn.ReLU)
