"""Segmentation: metric, task and inference, on recorded cases, beside torchmetrics and worked out by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics.classification import MulticlassJaccardIndex
from torchmetrics.segmentation import DiceScore, MeanIoU

from regard.data.batches import Batch
from regard.metrics.segmentation import Segmentation
from regard.tasks.inference import Inference, label_map, outputs, predict, starts
from regard.tasks.segment import Segment

RECORDED = sorted((Path(__file__).parent / "golden_metrics" / "seg_miou").glob("*.safetensors"))


def labels(*size: int, classes: int, void: int | None = None, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    found = torch.randint(classes, size, generator=generator)
    if void is not None:
        found[torch.rand(size, generator=generator) < 0.2] = void
    return found


# The metric


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_the_numbers_equal_the_recorded_ones(path: Path) -> None:
    with safe_open(path, "pt") as file:
        args, tensors = json.loads(file.metadata()["args"]), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    metric = Segmentation(args["num_classes"], void=args["ignore_index"])
    for image in range(args["images"]):
        metric.update([tensors[f"input.{2 * image}"]], [tensors[f"input.{2 * image + 1}"]])
    found = metric.compute()
    assert metric.confusion.equal(tensors["output.confusion"])
    for name, recorded in {
        "miou": "miou_nanmean",
        "pixel_accuracy": "pixel_acc",
        "class_accuracy": "mean_class_acc_nanmean",
        "fwiou": "fw_iou",
    }.items():
        assert found[name] == pytest.approx(tensors[f"output.{recorded}"].item(), abs=1e-12), name
    for ours, recorded in ((metric.iou, "iou"), (metric.dice, "dice"), (metric.per_class, "class_acc")):
        theirs = [None if math.isnan(value) else value for value in tensors[f"output.{recorded}"].tolist()]
        assert ours == pytest.approx(theirs, abs=1e-12), recorded
    dice = [value for value in metric.dice if value is not None]
    assert found["dice"] == pytest.approx(sum(dice) / len(dice))


def test_there_are_recorded_cases() -> None:
    assert [path.stem for path in RECORDED] == ["c3_img3", "c5", "c7_absent"]


def test_the_index_of_jaccard_of_torchmetrics_is_the_miou() -> None:
    metric, theirs = Segmentation(7), MulticlassJaccardIndex(7, ignore_index=255)
    for seed in range(3):
        said, truth = labels(11, 13, classes=7, seed=seed), labels(11, 13, classes=7, void=255, seed=seed + 3)
        metric.update([said], [truth])
        theirs.update(said[None], truth[None])
    assert metric.compute()["miou"] == pytest.approx(theirs.compute().item(), abs=1e-6)


def test_the_mean_iou_of_torchmetrics_is_another_number_and_refuses_void() -> None:
    """It is a mean over samples, as docs/segmentation.md says."""
    said, truth = torch.tensor([[[0, 0]], [[1, 1]]]), torch.tensor([[[0, 1]], [[1, 1]]])
    metric, theirs = Segmentation(2), MeanIoU(2, input_format="index")
    metric.update(said, truth)
    theirs.update(said, truth)
    assert metric.compute()["miou"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert abs(theirs.compute().item() - metric.compute()["miou"]) > 0.05
    with pytest.raises(RuntimeError, match="smaller than num_classes"):
        theirs.update(said, truth + 254 * truth)


def test_dice_is_that_of_torchmetrics() -> None:
    metric, theirs = Segmentation(3), DiceScore(3, average="none", input_format="index", aggregation_level="global")
    for seed in range(2):
        said, truth = labels(2, 11, 13, classes=3, seed=seed), labels(2, 11, 13, classes=3, seed=seed + 5)
        metric.update(said, truth)
        theirs.update(said, truth)
    assert metric.dice == pytest.approx(theirs.compute().tolist(), abs=1e-6)


def test_the_mean_over_images_is_another_number() -> None:
    """The first image has one class of two at 1/2 and at 0, the second is right; together they are one matrix."""
    metric = Segmentation(2, ("sky", "road"))
    metric.update([torch.tensor([[0, 0]]), torch.tensor([[1] * 6])], [torch.tensor([[0, 1]]), torch.tensor([[1] * 6])])
    found = metric.compute()
    assert found["iou/sky"] == pytest.approx(1 / 2) and found["iou/road"] == pytest.approx(6 / 7)
    assert found["miou"] == pytest.approx((1 / 2 + 6 / 7) / 2)
    assert found["image_miou"] == pytest.approx(((1 / 2 + 0) / 2 + 1) / 2)
    assert found["dice/sky"] == pytest.approx(2 / 3) and found["dice/road"] == pytest.approx(12 / 13)


def test_void_is_dropped_from_the_label_and_from_the_prediction() -> None:
    """A class that is only predicted on void pixels does not occur, and an image of void alone counts for nothing."""
    metric = Segmentation(3)
    metric.update([torch.tensor([[0, 1, 2]])], [torch.tensor([[0, 1, 255]], dtype=torch.uint8)])
    before = metric.compute()
    assert before["miou"] == 1 and metric.iou[2] is None and "iou/2" not in before
    metric.update([torch.tensor([[2, 2]])], [torch.tensor([[255, 255]])])
    assert metric.compute() == before


def test_metrics_of_two_processes_are_brought_together() -> None:
    whole, parts = Segmentation(5), [Segmentation(5), Segmentation(5)]
    for seed in range(3):
        pair = labels(7, 5, classes=5, seed=seed), labels(7, 5, classes=5, void=255, seed=seed + 9)
        whole.update(*([one] for one in pair))
        parts[seed % 2].update(*([one] for one in pair))
    parts[0].merge_state(parts[1])
    assert parts[0].compute() == pytest.approx(whole.compute())
    whole.reset()
    with pytest.raises(ValueError, match="no pixels with a class: at least one is needed"):
        whole.compute()


@pytest.mark.parametrize(
    ("said", "truth", "message"),
    [
        ([[0, 1]], [[0, 7]], r"truth holds the label 7: classes from 0 to 2 or 255 \(void\) are needed"),
        ([[0, 3]], [[0, 1]], "prediction holds the label 3: classes from 0 to 2 are needed"),
        ([[0, 1]], [[0, -1]], r"truth holds the label -1: classes from 0 to 2 or 255 \(void\)"),
        ([[0, 1]], [[0], [1]], r"a prediction \(1, 2\) for a truth \(2, 1\): label maps H W of one size are needed"),
    ],
)
def test_a_label_that_is_no_class_is_named(said: list[list[int]], truth: list[list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Segmentation(3).update([torch.tensor(said)], [torch.tensor(truth)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": 1}, "classes=1: a whole number of at least 2"),
        ({"classes": 3, "names": ("a", "b")}, r"names=\['a', 'b'\]: 3 different names"),
        ({"classes": 2, "names": ("a", "a")}, "2 different names"),
        ({"classes": 300}, "void=255: a whole number that is no class from 0 to 299 is needed"),
        ({"classes": 3, "void": True}, "void=True"),
    ],
)
def test_wrong_arguments_of_the_metric_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Segmentation(**arguments)  # type: ignore[arg-type]


# The task


class Given(nn.Module):
    """A network that returns given outputs."""

    def __init__(self, *logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.ParameterList(logits)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self.logits[0] if len(self.logits) == 1 else tuple(self.logits)


def batch(mask: Tensor, **others: object) -> Batch:
    return Batch(image=torch.zeros(len(mask), 3, *mask.shape[1:]), mask=mask.to(torch.uint8), **others)


def test_the_loss_is_the_weighted_sum_of_the_cross_entropies_of_all_outputs() -> None:
    mask = labels(2, 7, 5, classes=3, void=255)
    first, second = torch.randn(2, 3, 7, 5), torch.randn(2, 3, 7, 5)
    loss, figures = Segment(3, weights=(1.0, 0.4)).loss(Given(first, second), batch(mask))
    wanted = functional.cross_entropy(first, mask, ignore_index=255)
    wanted = wanted + 0.4 * functional.cross_entropy(second, mask, ignore_index=255)
    assert loss.item() == pytest.approx(wanted.item()) and figures == {}
    alone, _ = Segment(3).loss(Given(first), batch(mask))  # without auxiliary output
    assert alone.item() == pytest.approx(functional.cross_entropy(first, mask, ignore_index=255).item())


def test_labels_are_resized_to_an_output_of_another_size_without_mixing_classes() -> None:
    mask = labels(1, 6, 4, classes=3, void=255)
    first, second = torch.randn(1, 3, 6, 4), torch.randn(1, 3, 3, 2)
    loss, _ = Segment(3, weights=(0.0, 1.0)).loss(Given(first, second), batch(mask))
    wanted = functional.cross_entropy(second, mask[:, ::2, ::2], ignore_index=255)
    assert loss.item() == pytest.approx(wanted.item())


@pytest.mark.parametrize("hard", [None, 0.7])
def test_a_batch_of_void_alone_has_the_loss_0_and_no_gradient(hard: float | None) -> None:
    model = Given(torch.randn(2, 3, 7, 5))
    loss, _ = Segment(3, hard=hard, keep=2).loss(model, batch(torch.full((2, 7, 5), 255)))
    loss.backward()
    assert loss.item() == 0 and model.logits[0].grad.abs().max() == 0


def test_only_hard_pixels_and_a_least_number_of_them_are_kept() -> None:
    """Probabilities of the true class .2 .4 .6 .8 .9, and a void pixel that would be the hardest."""
    chances = torch.tensor([0.2, 0.4, 0.6, 0.8, 0.9, 0.1], dtype=torch.float64)
    logits = torch.stack([chances, 1 - chances]).log()[None, :, None]
    mask = torch.tensor([[[0, 0, 0, 0, 0, 255]]])
    for hard, keep, kept in ((0.7, 1, 3), (0.5, 1, 2), (0.1, 4, 4), (0.1, 100, 5), (1.0, 1, 5)):
        loss, _ = Segment(2, hard=hard, keep=keep).loss(Given(logits), batch(mask))
        assert loss.item() == pytest.approx(-chances[:kept].log().mean().item()), (hard, keep)
    auxiliary, _ = Segment(2, weights=(0.0, 1.0), hard=0.5, keep=1).loss(Given(logits, logits), batch(mask))
    assert auxiliary.item() == pytest.approx(-chances[:5].log().mean().item()), "auxiliary outputs keep all pixels"


def test_errors_of_the_task_name_the_value() -> None:
    task, good = Segment(3), labels(2, 7, 5, classes=3)
    logits = torch.randn(2, 3, 7, 5)
    wrong = good.clone()
    wrong[1, 2, 3] = 17
    with pytest.raises(ValueError, match=r"mask holds the label 17: classes from 0 to 2 or 255 \(void\) are needed"):
        task.loss(Given(logits), batch(wrong))
    with pytest.raises(ValueError, match=r"weights=\(1.0, 0.4\): a weight for each of the 3 outputs is needed"):
        task.loss(Given(logits, logits, logits), batch(good))
    with pytest.raises(ValueError, match=r"the model returns \(2, 4, 7, 5\): 3 logits a pixel are needed"):
        task.loss(Given(torch.randn(2, 4, 7, 5)), batch(good))
    with pytest.raises(ValueError, match=r"output 0 of the model is \(2, 3, 5, 7\)"):
        task.loss(Given(torch.randn(2, 3, 5, 7)), batch(good))
    with pytest.raises(ValueError, match=r"mask \(2, 5, 7\) for images \(2, 3, 7, 5\)"):
        task.loss(Given(logits), Batch(image=torch.zeros(2, 3, 7, 5), mask=torch.zeros(2, 5, 7)))
    for arguments, message in (
        ({"weights": ()}, r"weights=\(\): at least one value"),
        ({"weights": (-1.0,)}, "weights=-1.0"),
        ({"hard": 0.0}, "hard=0.0: a number above 0 and of at most 1 is needed"),
        ({"keep": 0}, "keep=0"),
        ({"void": 2}, "void=2"),
    ):
        with pytest.raises(ValueError, match=message):
            Segment(3, **arguments)


def test_answers_have_the_size_of_the_file() -> None:
    """Two images of one size in the batch, and truths of two other sizes."""
    logits = torch.zeros(2, 3, 4, 4)
    logits[0, 0, :, :2], logits[0, 1, :, 2:], logits[1, 2] = 5, 5, 5
    truths = [torch.zeros(8, 6, dtype=torch.uint8), torch.zeros(3, 11, dtype=torch.uint8)]
    said, right = Segment(3).answers(Given(logits), batch(torch.zeros(2, 4, 4), truth=truths))
    assert [one.shape for one in said] == [(8, 6), (3, 11)] and right == truths
    assert said[0].equal(torch.tensor([0, 0, 0, 1, 1, 1]).expand(8, 6)) and (said[1] == 2).all()
    by_mask, _ = Segment(3).answers(Given(logits), batch(torch.zeros(2, 4, 4)))
    assert by_mask[0].equal(torch.tensor([0, 0, 1, 1]).expand(4, 4))


# Inference


class Pixelwise(nn.Module):
    """A network whose prediction for a pixel depends on this pixel alone; it notes the sizes that it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self.seen.append(tuple(x.shape[-2:]))
        return torch.cat([x, -x.sum(1, keepdim=True)], 1), x


class Global(nn.Module):
    """A network whose prediction is the same for all pixels: the mean of what it sees."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3), keepdim=True).expand_as(x)


def test_windows_of_a_pixelwise_network_give_what_the_whole_image_gives() -> None:
    image = torch.randn(2, 3, 13, 17, dtype=torch.float64)
    whole = predict(Pixelwise(), image)
    assert whole.shape == (2, 4, 13, 17)
    torch.testing.assert_close(whole.sum(1), torch.ones(2, 13, 17, dtype=torch.float64))
    for window, stride in ((7, None), (7, 7), ((5, 11), (3, 2)), (13, None)):
        torch.testing.assert_close(predict(Pixelwise(), image, window=window, stride=stride), whole)


def test_overlaps_are_averaged_as_probabilities() -> None:
    """Windows of 2 at 0 and 1 of a row of 3: the middle pixel has the mean of both windows' probabilities."""
    image = torch.tensor([[0.0, 2.0, 4.0], [1.0, 1.0, 7.0]], dtype=torch.float64)[None, :, None]
    found = predict(Global(), image, window=(1, 2), stride=1)
    left, right = torch.tensor([1.0, 1.0]).double().softmax(0), torch.tensor([3.0, 4.0]).double().softmax(0)
    torch.testing.assert_close(found[0, :, 0], torch.stack([left, (left + right) / 2, right], 1))


def test_an_image_smaller_than_the_window_is_padded_and_cut() -> None:
    image, model = torch.randn(1, 3, 5, 13), Pixelwise()
    found = predict(model, image, window=7)
    assert set(model.seen) == {(7, 7)} and found.shape == (1, 4, 5, 13)
    torch.testing.assert_close(found, predict(Pixelwise(), image))


def test_windows_cover_every_pixel_and_end_at_the_border() -> None:
    assert starts(13, 7, 5) == [0, 5, 6]
    assert starts(17, 7, 5) == [0, 5, 10]
    assert starts(7, 7, 5) == [0]
    assert starts(3, 7, 5) == [0]
    for size in range(1, 40):
        covered = {i for start in starts(size, 7, 5) for i in range(start, start + 7)}
        assert covered == set(range(max(size, 7)))


def test_scales_and_mirror_are_averaged_at_the_size_of_the_image() -> None:
    image, model = torch.randn(1, 3, 12, 8), Pixelwise()
    found = predict(model, image, scales=(0.5, 1, 1.25), mirror=True)
    assert model.seen == [(6, 4), (6, 4), (12, 8), (12, 8), (15, 10), (15, 10)]
    assert found.shape == (1, 4, 12, 8)
    torch.testing.assert_close(found.sum(1), torch.ones(1, 12, 8))

    class Left(nn.Module):
        """Says class 0 on the left half of what it sees, and class 1 on the right."""

        def forward(self, x: Tensor) -> Tensor:
            side = torch.where(torch.arange(x.shape[-1]) < x.shape[-1] // 2, 20.0, -20.0)
            return torch.stack([side, -side])[None, :, None].expand(len(x), 2, *x.shape[-2:])

    torch.testing.assert_close(predict(Left(), image, mirror=True), torch.full((1, 2, 12, 8), 0.5))
    assert predict(Left(), image)[0, 0, 0].round().tolist() == [1, 1, 1, 1, 0, 0, 0, 0]


def test_a_label_map_has_the_size_asked_for() -> None:
    chances = torch.tensor([[[0.9, 0.2]], [[0.1, 0.8]]])
    assert label_map(chances, 1, 2).tolist() == [[0, 1]]
    assert label_map(chances, 2, 6).tolist() == [[0, 0, 0, 1, 1, 1]] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window": 0}, "window=0"),
        ({"window": (3, 4, 5)}, r"window=\(3, 4, 5\): 2 values are needed"),
        ({"window": 7, "stride": 8}, "stride=8: at most the window 7 is needed"),
        ({"stride": 8}, "stride=8: None is needed without a window"),
        ({"scales": ()}, r"scales=\(\): at least one value is needed"),
        ({"scales": (0.0,)}, "scales=0.0: a number above 0 is needed"),
        ({"mirror": 1}, "mirror=1: True or False is needed"),
    ],
)
def test_wrong_arguments_of_inference_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Inference(**arguments)  # type: ignore[arg-type]


def test_outputs_of_other_shapes_are_refused() -> None:
    image = torch.zeros(2, 3, 7, 5)
    assert len(outputs(Pixelwise(), image)) == 2
    for model in (nn.Flatten(), nn.AvgPool2d(2), nn.Upsample(scale_factor=2)):
        with pytest.raises(ValueError, match=r"output 0 of the model is \(.*\): logits B K H W are needed"):
            outputs(model, image)
    with pytest.raises(ValueError, match=r"input of shape \(3, 7, 5\)"):
        predict(Pixelwise(), image[0])
