"""Windows: their sums, their ranking with and without learning, and the data they are learned from."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from regard import watch
from regard.catalog import recipes
from regard.data import boxes
from regard.data.batches import Batch
from regard.metrics.metric import figures
from regard.metrics.proposals import covered
from regard.ops import boxes as whole_boxes
from regard.ops import windows
from regard.papers.objectness import proposing
from regard.papers.objectness.network import Objectness
from regard.papers.objectness.task import Proposals
from regard.training import running
from regard.training.recipe import built

RECORDED = Path(__file__).parent / "edge_boxes"


def test_sums_of_windows_are_plain_sums() -> None:
    maps = torch.rand(2, 3, 11, 7, dtype=torch.float64)
    found = windows.sliding(11, 7, sides=(0.3, 0.6), ratios=(0.5, 1.0), stride=0.5)
    assert found[0] == (0, 0, 7, 11) and len(set(found)) == len(found) > 20
    summed = windows.sums(maps, torch.tensor(found))
    for i, (left, top, right, bottom) in enumerate(found):
        assert 0 <= left < right <= 7 and 0 <= top < bottom <= 11
        torch.testing.assert_close(summed[:, :, i], maps[:, :, top:bottom, left:right].sum((2, 3)))


def test_windows_grow_to_the_border_and_shrink_to_a_pixel() -> None:
    given = torch.tensor([[2, 3, 6, 5], [0, 0, 1, 1]])
    assert windows.grown(given, 0.25, 6, 7).tolist() == [[1, 2, 7, 6], [0, 0, 2, 2]]
    assert windows.grown(given, -0.4, 6, 7).tolist() == [[3, 3, 5, 5], [0, 0, 1, 1]]


def test_the_best_of_overlapping_windows_stays() -> None:
    given = [[0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10], [0, 0, 10, 10]]
    assert whole_boxes.suppressed(given, [1, 3, 2, 0], overlap=0.5).tolist() == [1, 2]
    assert whole_boxes.suppressed(given, [1, 3, 2, 0], overlap=0.95).tolist() == [1, 2, 0]
    assert whole_boxes.suppressed(given, [1, 3, 2, 0], first=1).tolist() == [1]
    for wrong in (
        {"overlap": 2},
        {"overlap": "half"},
        {"overlap": np.nan},
        {"first": 0},
        {"first": 2.5},
        {"first": "all"},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            whole_boxes.suppressed(given, [1, 3, 2, 0], **wrong)
    with pytest.raises(ValueError, match="n 4 and n numbers"):
        whole_boxes.suppressed(given, [1, np.nan, 2, 0])
    for broken in ([0, 0, np.nan, 1], [9, 9, 0, 0], [0, 0, np.inf, 1]):
        with pytest.raises(ValueError, match="left no larger than right"):
            whole_boxes.suppressed([broken, *given[1:]], [3, 2, 1, 0])
    assert whole_boxes.suppressed([], []).tolist() == []


def test_a_saliency_map_ranks_the_window_on_its_object_first() -> None:
    saliency = np.zeros((48, 64))
    saliency[12:34, 20:42] = 1
    found, scores = proposing.by_saliency(saliency, first=50)
    assert len(found) == 50 and (np.diff(scores) <= 0).all()
    assert covered(found, [[20, 12, 42, 34]], first=3).min() > 0.6
    flat, level = proposing.by_saliency(np.zeros((9, 7)))
    assert np.abs(level).max() < 1e-12 and len(flat)
    with pytest.raises(ValueError, match="finite"):
        proposing.by_saliency(np.full((4, 4), np.nan))


def test_maps_and_boxes_may_be_tensors_of_any_precision() -> None:
    saliency = torch.arange(48.0).reshape(6, 8)
    for given in (saliency.bfloat16(), saliency.clone().requires_grad_()):
        for ours, wanted in zip(proposing.by_saliency(given), proposing.by_saliency(saliency.numpy()), strict=True):
            np.testing.assert_array_equal(ours, wanted)
    boxes_, scores = torch.tensor([[0, 0, 4, 4], [5, 5, 9, 9]]), torch.tensor([1.0, 2.0], requires_grad=True)
    assert whole_boxes.suppressed(boxes_.bfloat16(), scores).tolist() == [1, 0]
    assert covered(boxes_.bfloat16(), boxes_).tolist() == [1, 1]


def test_edges_that_are_none_are_refused() -> None:
    strength, direction = proposing.gradients(np.zeros((1, 1, 3), np.uint8))
    assert strength.tolist() == direction.tolist() == [[0]]
    found, scores = proposing.edge_boxes(np.zeros((60, 60)), np.zeros((60, 60)))
    assert found.shape == (0, 4) and scores.shape == (0,)
    for wrong in (np.zeros((0, 9, 3)), np.zeros((9, 9)), np.full((9, 9, 3), np.nan)):
        with pytest.raises(ValueError, match="H W 3 of finite numbers"):
            proposing.gradients(wrong)
    for wrong in (np.zeros((0, 9)), np.full((9, 9), np.inf), np.zeros((9, 9, 1))):
        with pytest.raises(ValueError, match="one size H W of finite numbers"):
            proposing.edge_boxes(wrong, wrong)
    with pytest.raises(ValueError, match=r"\(4, 4\) and \(4, 5\)"):
        proposing.edge_boxes(np.zeros((4, 4)), np.zeros((4, 5)))


def test_edge_boxes_equal_the_recorded() -> None:
    (path,) = sorted(RECORDED.glob("*.safetensors"))
    with safe_open(path, "np") as file:
        facts, tensors = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    options = json.loads(facts["args"])
    del options["image"]
    found, scores = proposing.edge_boxes(
        tensors["input.edge_map"], tensors["input.orientation"], first=options.pop("maxBoxes"), **options
    )
    wanted = tensors["output.boxes_xywh"].astype(float)
    wanted[:, 2:] += wanted[:, :2]
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(scores, tensors["output.scores"].astype(float))
    with pytest.raises(ValueError, match="no option 'gama'"):
        proposing.edge_boxes(tensors["input.edge_map"], tensors["input.orientation"], gama=2)


def test_without_opencv_edge_boxes_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert not proposing.has_opencv()
    with pytest.raises(ImportError, match=r"regard\[proposals\]"):
        proposing.edge_boxes(np.zeros((4, 4)), np.zeros((4, 4)))


def test_the_best_windows_are_shown_where_they_lie() -> None:
    torch.manual_seed(0)
    model = Objectness(shown=4).eval()
    with torch.no_grad(), watch(model) as maps:
        answers = model(torch.rand(2, 3, 40, 60))
    shown = maps["boxes"][0]
    assert shown.shape == (2, 4, 4) and shown.min() >= -1 and shown.max() <= 1
    best = answers[0, answers[0, :, 4].argmax(), :4]
    torch.testing.assert_close((shown[0, 0] + 1) / 2 * torch.tensor([60.0, 40, 60, 40]), best)


@pytest.mark.parametrize("shape", [(1, 1, 8, 9), (3, 8, 9), (1, 3, 0, 9)])
def test_images_that_the_scorer_cannot_take_are_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="B C H W, C=3 is needed, and no axis empty"):
        Objectness(3)(torch.zeros(shape))


def test_boxes_are_whole_pixels_in_half_precision_too() -> None:
    x = torch.rand(1, 3, 601, 803)
    model = Objectness()
    with torch.no_grad():
        wanted = model(x)[..., :4]
        assert torch.equal(model.bfloat16()(x.bfloat16())[..., :4], wanted)  # of 8 bits, 803 would be 804


def test_the_loss_prefers_windows_on_the_object() -> None:
    found = torch.tensor([[0.0, 0, 4, 4], [10, 10, 20, 20], [30, 30, 40, 40]])

    class Fixed(torch.nn.Module):
        def __init__(self, logits: list[float]) -> None:
            super().__init__()
            self.logits = torch.nn.Parameter(torch.tensor(logits))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.cat((found, self.logits[:, None]), 1)[None].expand(len(images), -1, -1)

    images = torch.zeros(2, 3, 50, 50)

    def scored(model: torch.nn.Module) -> dict[str, float]:
        metric = task.metric()
        metric.update(*task.answers(model, Batch(image=images, boxes=truths)))
        return figures(metric)

    truths = torch.tensor([[[10.0, 10, 20, 21], [torch.nan] * 4], [[torch.nan] * 4] * 2])
    task = Proposals(budgets=(1, 2))
    good, bad = Fixed([-9.0, 9.0, -9.0]), Fixed([9.0, -9.0, 9.0])
    one = Batch(image=images[:1], boxes=truths[:1])
    assert task.loss(good, one)[0] < 0.01 < 5 < task.loss(bad, one)[0]
    task.loss(good, Batch(image=images, boxes=truths))[0].backward()
    assert good.logits.grad.isfinite().all()
    scores = scored(good)
    assert scores["recall_1"] == 1 and scores["abo_1"] == pytest.approx(10 / 11)
    assert scored(bad)["recall_1"] == 0
    with pytest.raises(ValueError, match="a box and a logit"):
        task.loss(torch.nn.Identity(), Batch(image=images, boxes=truths))
    for wrong in (
        {"low": 0.8}, {"low": "0"}, {"high": np.nan}, {"overlap": 0.0}, {"budgets": ()}, {"budgets": 1}, {"beside": 1}
    ):  # fmt: skip
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Proposals(**wrong)


@pytest.mark.slow
def test_the_tiny_variant_ranks_better_than_contrast_alone(tmp_path: Path) -> None:
    listing = recipes.get("objectness")
    scores = running.train(listing, built(listing, tiny=True), out=tmp_path)["scores"]
    assert scores["recall_1"] > scores["contrast_recall_1"] + 0.1
    assert scores["ar_10"] > scores["contrast_ar_10"]


def test_boxes_of_scenes_from_a_table_and_from_coco(tmp_path: Path) -> None:
    for part, count in (("train", 2), ("val", 1)):
        (tmp_path / part / "images").mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (40, 20)).save(tmp_path / part / "images" / f"{i}.png")
    (tmp_path / "train" / "boxes.csv").write_text("file,x0,y0,x1,y1\n0.png,1,2,11,12\n0.png,5,5,99,9\n1.png,0,0,3,4\n")
    images = [{"id": 1, "file_name": "0.png"}]
    outlines = [[1, 1, 5, 1, 5, 4], [20, 10, 30, 10, 30, 15]]  # one object, in two parts
    notes = [{"image_id": 1, "bbox": [2, 3, 10, 5]}, {"image_id": 1, "segmentation": outlines}]
    coco = {"images": images, "annotations": notes}
    (tmp_path / "val" / "annotations.json").write_text(json.dumps(coco))
    train, test = boxes.read(tmp_path)
    assert train[0].boxes.tolist() == [[1, 2, 11, 12], [5, 5, 40, 9]]
    assert test[0].boxes.tolist() == [[2, 3, 12, 8], [1, 1, 30, 15]]
    image, found = boxes.Boxed(train, 60)[1].values()
    assert image.shape == (3, 60, 60) and found[0].tolist() == [0, 0, 4.5, 12] and found[1].isnan().all()
    recipe = built(recipes.get("objectness"), tmp_path)
    assert (len(recipe.train), len(recipe.test)) == (2, 1)
    with pytest.raises(ValueError, match=r"a folder of images with boxes\.csv"):
        built(recipes.get("objectness"))
    with pytest.raises(ValueError, match="is needed; 0 of them were found"):
        boxes.read(tmp_path / "train" / "images")
    with pytest.raises(FileNotFoundError):
        boxes.read(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"2 images: at least 5 are needed"):
        boxes.read(tmp_path / "train")
