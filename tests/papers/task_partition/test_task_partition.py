"""Task partitioning: the gate, its loss, the linking of ends, and its recipe against the deep head alone."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from regard import watch
from regard.catalog import recipes
from regard.data.batches import Batch
from regard.data.harbours import CLASSES as LABELS
from regard.data.harbours import Harbours
from regard.data.hrsc import Photographs
from regard.looking.photographs import look
from regard.metrics.oriented import OrientedScores
from regard.papers.task_partition import partition
from regard.papers.task_partition.linking import Linking
from regard.papers.task_partition.network import TaskPartition
from regard.papers.task_partition.partition import CLASSES, VOID, attention, deep_entropy, end_labels, gated_entropy
from regard.papers.task_partition.task import Ships
from regard.training import running
from regard.training.evaluate import evaluate
from regard.training.loop import fit
from regard.training.recipe import Recipe, built

SMALL = {"backbone": "test_efficientnet", "shallow": 2, "deep": 8, "width": 5}


def test_the_classes_are_those_of_the_harbours() -> None:
    assert CLASSES == LABELS
    assert (partition.ENDS, partition.HULL, partition.SEA, partition.LAND) == (0, 1, 2, 3)


def test_what_is_shown_is_the_gate_and_the_product() -> None:
    torch.manual_seed(3)
    model = TaskPartition(**SMALL).eval()
    nn.init.normal_(model.deep_head.classify.weight, std=9.0)
    with torch.no_grad(), watch(model) as maps:
        deep, shallow = model(torch.rand(2, 3, 37, 41))
    assert deep.shape == (2, 4, 37, 41) and shallow.shape == (2, 2, 37, 41)
    gate = deep.argmax(1, keepdim=True) == 0
    assert 0 < gate.float().mean() < 1
    assert torch.equal(maps["attention"][0], gate.float())
    torch.testing.assert_close(maps["ends"][0], shallow.softmax(1)[:, 1:] * gate)


def test_the_heads_take_the_maps_of_their_strides() -> None:
    seen = []
    with torch.device("meta"):
        model = TaskPartition(backbone="vgg16", width=3).eval()
    assert model.shallow_head.conv.in_channels == 256 and model.deep_head.conv.in_channels == 512
    for head in (model.shallow_head, model.deep_head):
        head.register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape[2:])))
    with torch.no_grad():
        model(torch.rand(1, 3, 48, 32, device="meta"))
    assert sorted(seen) == [(3, 2), (12, 8)]
    assert sum(p.numel() for p in model.encoder.parameters()) == 14_714_688  # all convolutions of VGG-16


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"shallow": 3}, ValueError, "shallow=3: a stride of 'test_efficientnet', of 2, 4, 8, 16, 32, is needed"),
        ({"shallow": 16}, ValueError, "deep=8: a stride of at least shallow=16"),
        ({"backbone": "test_vit"}, ValueError, "shallow=2: a stride of 'test_vit', of 16, is needed"),
        ({"backbone": "resnet81"}, LookupError, "did you mean"),
    ],
)
def test_what_cannot_be_built_is_named(given: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        TaskPartition(**{**SMALL, **given})


def test_the_gated_loss_counts_only_where_the_deep_head_says_so() -> None:
    torch.manual_seed(0)
    deep, shallow = torch.randn(2, 4, 5, 7, requires_grad=True), torch.randn(2, 2, 5, 7, requires_grad=True)
    labels = torch.randint(4, (2, 5, 7))
    labels[0, 0, :4] = VOID
    gate = attention(deep)
    assert torch.equal(gate, deep.argmax(1) == 0)
    loss = gated_entropy(shallow, end_labels(labels), gate)
    loss.backward()
    counted = gate & (labels != VOID)
    assert deep.grad is None
    assert torch.equal(shallow.grad.abs().sum(1) > 0, counted)
    errors = [
        -shallow[b].log_softmax(0)[int(labels[b, y, x] == 0), y, x].item() for b, y, x in counted.nonzero().tolist()
    ]
    assert loss.item() == pytest.approx(sum(errors) / len(errors), rel=1e-5)
    for over, divided in (("sum", 1), ("all", 66)):
        found = gated_entropy(shallow, end_labels(labels), gate, over=over).item()
        assert found == pytest.approx(sum(errors) / divided, rel=1e-5)
    nothing = gated_entropy(shallow, end_labels(labels), torch.zeros_like(gate))
    assert nothing.item() == 0
    with pytest.raises(ValueError, match="over='mean': 'sum', 'mask' or 'all' is needed"):
        gated_entropy(shallow, labels, gate, over="mean")


def test_the_deep_loss_emphasises_ends_and_skips_void() -> None:
    deep = torch.zeros(1, 4, 1, 3)
    deep[0, 0, 0, 0] = math.log(5)  # 5 / 8 for the end, 1 / 4 elsewhere
    labels = torch.tensor([[[0, 2, VOID]]])
    assert deep_entropy(deep, labels).item() == pytest.approx((math.log(8 / 5) + math.log(4)) / 2)
    weighed = deep_entropy(deep, labels, emphasis=3.0).item()
    assert weighed == pytest.approx((3 * math.log(8 / 5) + math.log(4)) / 4)
    assert deep_entropy(deep, torch.full_like(labels, VOID)).item() == 0


def test_the_tasks_loss_adds_both_and_is_gated_on_demand() -> None:
    torch.manual_seed(1)
    outputs = torch.randn(2, 4, 5, 7), torch.randn(2, 2, 5, 7)
    batch = Batch(image=torch.zeros(2, 3, 5, 7), mask=torch.randint(4, (2, 5, 7), dtype=torch.uint8))

    class Fixed(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return outputs

    parts = [deep_entropy(outputs[0], batch["mask"])]
    for gate in (attention(outputs[0]), torch.ones(2, 5, 7, dtype=torch.bool)):
        parts.append(gated_entropy(outputs[1], end_labels(batch["mask"]), gate))
    for task, wanted in (
        (Ships(weights=(2.0, 3.0)), 2 * parts[0] + 3 * parts[1]),
        (Ships(gated=False), parts[0] + parts[2]),
        (Ships(weights=(1.0, 0.0)), parts[0]),
    ):
        torch.testing.assert_close(task.loss(Fixed(), batch)[0], wanted)
    ends, _ = Ships().maps(Fixed(), batch)
    torch.testing.assert_close(ends, outputs[1].softmax(1)[:, 1] * attention(outputs[0]))
    ends, hulls = Ships(weights=(1.0, 0.0)).maps(Fixed(), batch)
    torch.testing.assert_close(torch.stack((ends, hulls), 1), outputs[0].softmax(1)[:, :2])
    outputs = (outputs[0],)
    with pytest.raises(ValueError, match=r"the model returns \[\(2, 4, 5, 7\)\]: logits of the shapes"):
        Ships().loss(Fixed(), batch)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"weights": (0.0, 1.0)}, r"weights\[0\]=0.0"),
        ({"weights": (1.0,)}, "2 values are needed"),
        ({"emphasis": 0}, "emphasis=0"),
        ({"over": "none"}, "over='none'"),
    ],
)
def test_settings_out_of_range_are_refused(given: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Ships(**given)


def scene(*ships: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Ends and hulls of ships of 21 × 5 pixels, each at the row and column of its corner."""
    ends, hulls = np.zeros((31, 47)), np.zeros((31, 47))
    for top, left in ships:
        ends[top : top + 5, left : left + 4] = ends[top : top + 5, left + 17 : left + 21] = 0.9
        hulls[top : top + 5, left + 4 : left + 17] = 0.8
    return ends, hulls


def test_ends_of_one_hull_become_a_box() -> None:
    found = Linking()(*scene((5, 3)))
    np.testing.assert_allclose(found, [[13.5, 7.5, 21, 5, 0, 0.9 * 0.8]], atol=1e-9)
    turned = Linking()(*(one.T for one in scene((5, 3))))
    np.testing.assert_allclose(turned[:, [0, 1, 2, 3, 5]], [[7.5, 13.5, 21, 5, 0.9 * 0.8]], atol=1e-9)
    assert abs(turned[0, 4]) == pytest.approx(math.pi / 2)


def test_shifted_neighbours_keep_their_own_ends() -> None:
    """The right end of the upper ship is nearer to the left end of the lower one than to its own, over hulls only."""
    ends, hulls = scene((5, 3), (11, 11))
    hulls[10, 7:28] = 0.8  # a coarse map does not see the gap
    found = Linking(apart=0.5)(ends, hulls)
    np.testing.assert_allclose(sorted(found[:, :4].tolist()), [[13.5, 7.5, 21, 5], [21.5, 13.5, 21, 5]], atol=1e-9)


def test_what_is_not_linked() -> None:
    ends, hulls = scene((5, 3))
    assert Linking()(ends, np.zeros_like(hulls)).shape == (0, 6), "no hull"
    assert Linking(apart=5)(ends, hulls).shape == (0, 6), "too near"
    assert Linking(threshold=0.95)(ends, hulls).shape == (0, 6), "no response"
    assert Linking(least=21)(ends, hulls).shape == (0, 6), "too few pixels"
    assert Linking(most=1)(ends, hulls).shape == (0, 6), "one part only"
    assert Linking()(np.zeros((3, 5)), np.ones((3, 5))).shape == (0, 6)
    with pytest.raises(ValueError, match="two maps of one size"):
        Linking()(ends, hulls.T)


def test_the_true_labels_are_linked_to_the_true_ships() -> None:
    data, metric = Harbours(count=4, seed=3), OrientedScores()
    for i in range(len(data)):
        mask = data[i]["mask"]
        metric.update([Linking()((mask == 0).double(), (mask == 1).double())], [data[i]["ships"]])
    scores = metric.compute()
    assert scores["f1"] > 0.95 and scores["end_error"] < 1


def test_the_answers_are_boxes_of_each_image() -> None:
    torch.manual_seed(0)
    data = Harbours(count=3, size=64)
    found = evaluate(TaskPartition(**SMALL), Ships(), data, batch_size=2)
    assert set(found) == {"f1", "precision", "recall", "end_error"} and found["f1"] < 0.5


def test_the_recipe_reads_photographs_and_draws_without_a_folder(tmp_path: Path) -> None:
    listing = recipes.get("task-partition")
    with pytest.raises(FileNotFoundError, match="AllImages/ is needed"):
        built(listing, tmp_path)
    with pytest.raises(ValueError, match="over='half'"):
        built(listing, tiny=True, options={"over": "half"})
    recipe = built(listing, tiny=True, options={"over": "sum"})
    assert isinstance(recipe.train, Harbours) and not recipe.train.boxes and recipe.phases[0].task.over == "sum"
    assert not torch.equal(recipe.train[0]["image"], recipe.test[0]["image"])
    for name in ("AllImages", "Annotations", "ImageSets"):
        (tmp_path / name).mkdir()
    for part in ("train", "val", "test"):
        (tmp_path / "ImageSets" / f"{part}.txt").write_text(part, encoding="utf-8")
        (tmp_path / "AllImages" / f"{part}.png").write_bytes(b"")
        (tmp_path / "Annotations" / f"{part}.xml").write_text("<HRSC_Image/>", encoding="utf-8")
    recipe = built(listing, tmp_path)
    assert isinstance(recipe.test, Photographs) and len(recipe.train) == 2 and recipe.start is not None
    assert recipe.build.keywords == {}, "VGG-16 by default"


@pytest.fixture(scope="module")
def tiny() -> Recipe:
    """The tiny variant with its harbours drawn once: a draw takes longer than to train on it."""
    recipe = built(recipes.get("task-partition"), tiny=True)
    return replace(recipe, train=[recipe.train[i] for i in range(len(recipe.train))])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_tiny_variant_finds_more_ships_than_the_deep_head_alone(seed: int, tiny: Recipe) -> None:
    recipe, phase = tiny, tiny.phases[0]
    scores = []
    for task in (phase.task, replace(phase.task, weights=(1.0, 0.0))):
        torch.manual_seed(seed)
        model = recipe.build()
        fit(model, task, recipe.train, replace(phase.plan, seed=seed))
        scores.append(evaluate(model, task, recipe.test))
    assert scores[0]["f1"] > scores[1]["f1"] + 0.2
    assert scores[0]["end_error"] < 2


@pytest.mark.slow
def test_a_run_goes_on_where_it_stopped_and_is_looked_at(tmp_path: Path) -> None:
    listing = recipes.get("task-partition")
    recipe = built(listing, tiny=True)
    recipe = replace(recipe, train=Harbours(count=32, boxes=False), test=Harbours(count=10, part=1))

    class Stop(Exception):
        pass

    def stop(done: int, record: dict) -> None:
        if done == 2:
            raise Stop

    def train(folder: str, **kwargs: object) -> dict:
        return running.train(listing, recipe, out=tmp_path / folder, changes={"epochs": 3}, **kwargs)

    with pytest.raises(Stop):
        train("interrupted", on_epoch=stop)
    train("interrupted")
    train("whole")
    weights = [(tmp_path / folder / "model.safetensors").read_bytes() for folder in ("interrupted", "whole")]
    assert weights[0] == weights[1]
    picture = tmp_path / "harbour.png"
    pixels = (recipe.test[0]["image"].permute(1, 2, 0) * 255).byte().numpy()
    Image.fromarray(pixels).save(picture)
    looks = look([picture], weights=tmp_path / "whole", out=tmp_path / "look")
    assert looks.pictures and all(path.is_file() for path in looks.pictures)
