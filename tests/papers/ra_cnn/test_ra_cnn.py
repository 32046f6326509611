"""RA-CNN: the square and how it moves, the turns of its training, its birds and the layout of CUB-200-2011."""

from __future__ import annotations

import colorsys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from regard import create, watch
from regard.catalog import recipes
from regard.data import birds, cub
from regard.data.batches import Batch
from regard.ops.ranking import ranking
from regard.papers.ra_cnn.network import RecurrentAttentionCNN, Views
from regard.papers.ra_cnn.task import Fuse, Propose, Rank, Scales, strongest
from regard.training import running
from regard.training.loop import fit
from regard.training.recipe import built

SMALL = {"classes": 3, "image_size": 24, "crop_size": 12, "backbone": None, "widths": (4, 6), "hidden": 5}


def small(**kwargs) -> RecurrentAttentionCNN:
    torch.manual_seed(0)
    return RecurrentAttentionCNN(2, **{**SMALL, **kwargs})


# The network.


def test_boxes_of_finer_scales_lie_in_those_of_coarser_ones():
    model = small(least=0.1).eval()
    x = torch.randn(4, 2, 24, 24)
    with torch.no_grad():
        for proposal in model.proposals:
            proposal[2].bias.copy_(torch.tensor([-0.5, 0.4, -1.0]))
    with watch(model) as maps:
        seen = model(x, views=True)
    assert isinstance(seen, Views)
    outer, inner = seen.boxes.unbind(1)
    assert (inner[:, :2] >= outer[:, :2] - 1e-6).all()
    assert (inner[:, 2:] <= outer[:, 2:] + 1e-6).all()
    side = seen.squares[0][:, 2] * 2  # a half side as a share of the side is the box's side from -1 to 1, halved
    assert ((outer[:, 2] - outer[:, 0]) / 2 - side).abs().max() <= 2 / 24  # whole pixels
    assert torch.equal(next(iter(maps.values()))[0], seen.boxes)


def middle(model: RecurrentAttentionCNN, half: float) -> RecurrentAttentionCNN:
    """The model with every square in the middle, of the given half side, whatever the maps are."""
    with torch.no_grad():
        for proposal in model.proposals:
            proposal[2].weight.zero_()
            proposal[2].bias.copy_(torch.tensor([0.5, 0.5, half]).logit())
    return model


def object_pixels(model: RecurrentAttentionCNN) -> list[float]:
    """Pixels of an object of 40×40 of the 448×448 of an image, in each of the scales."""
    image = torch.zeros(1, 1, 448, 448)
    image[:, :, 204:244, 204:244] = 1
    with torch.no_grad():
        return [float(seen.sum()) for seen in model.eval()(image, views=True).images]


def test_with_the_recipe_s_squares_a_finer_scale_has_more_pixels_of_an_object(tmp_path):
    recipe = built(recipes.get("ra-cnn"), nest(tmp_path))
    given = recipe.build.keywords
    (propose,) = (phase.task for phase in recipe.phases if phase.name == "propose")
    assert propose.half >= given["least"]  # or the squares could not become what they are taught
    small = {"channels": 1, "classes": 2, "image_size": 448, "crop_size": 224, "backbone": None, "widths": (2,)}
    sizes = {"hidden": 1, "least": given["least"], "source": given["source"]}
    first, second, third = object_pixels(middle(RecurrentAttentionCNN(**small, **sizes), propose.half))
    assert first == 1600
    assert second == pytest.approx(1600 * 1.25**2, rel=0.05)
    assert third == pytest.approx(1600 * (224 / 72) ** 2, rel=0.05)
    largest = object_pixels(middle(RecurrentAttentionCNN(**small, **sizes), 0.01))
    assert largest[2] > largest[1] > 1600 * 1.45**2  # the smallest squares
    port = object_pixels(middle(RecurrentAttentionCNN(**small, hidden=1), propose.half))
    assert port[1] < 1600  # a third of the image as half a side: the object shrinks


def test_squares_of_the_image_have_detail_that_the_coarse_scale_lacks():
    x = (torch.arange(24)[:, None] + torch.arange(24)) % 2 * 2.0 - 1
    x = x.expand(1, 2, 24, 24).clone()
    settings = {"first_size": 12, "least": 0.1, "scales": 3, "widths": (4, 6), "k": 1e3, "align_corners": False}
    seen = middle(small(source="image", **settings).eval(), 0.25)(x, views=True)
    blurred = middle(small(**settings).eval(), 0.25)(x, views=True)
    assert [image.shape[-1] for image in seen.images] == [12, 12, 12]
    assert seen.images[0].abs().max() == 0  # averages of black and white
    assert seen.images[1][:, :, 1:, 1:].abs().min() > 0.99  # 12 pixels of the image
    assert torch.equal(seen.boxes, torch.tensor([[[-0.5, -0.5, 0.5, 0.5], [-0.25, -0.25, 0.25, 0.25]]]))
    assert all(image.abs().max() == 0 for image in blurred.images)
    torch.testing.assert_close(seen.boxes[:, 0], blurred.boxes[:, 0], atol=0.2, rtol=0)


def test_squares_of_the_image_and_of_the_crop_are_one_where_nothing_was_enlarged_before():
    x, square = torch.randn(3, 2, 24, 24), {"scales": 2, "least": 0.1}
    one, other = (small(source=source, **square).eval()(x, views=True) for source in ("crop", "image"))
    for a, b in zip(one.images + one.scores, other.images + other.scores, strict=True):
        assert torch.equal(a, b)
    assert torch.equal(one.boxes, other.boxes)


def test_the_first_scale_can_be_trained_alone():
    model = small(fused=True)
    batch = Batch(image=torch.randn(4, 2, 24, 24), label=torch.tensor([0, 1, 2, 1]))
    Scales(3, first=True).loss(model, batch)[0].backward()
    reached = {name for name, p in model.named_parameters() if p.grad is not None}
    assert {".".join(name.split(".")[:2]) for name in reached} == {"trunks.0", "classifiers.0"}


def test_fused_scores_see_every_scale_and_the_scales_alone_are_unchanged():
    model = small(fused=True).eval()
    x = torch.randn(3, 2, 24, 24)
    *each, fused = model(x)
    plain = small().eval()
    plain.load_state_dict({name: value for name, value in model.state_dict().items() if not name.startswith("fuse")})
    for one, other in zip(each, plain(x), strict=True):
        assert torch.equal(one, other)
    seen = model(x, views=True)
    features = torch.cat([F.normalize(found.mean((2, 3))) for found in seen.maps], 1)
    torch.testing.assert_close(fused, model.fuse(features))


def test_any_backbone_of_timm_serves():
    torch.manual_seed(0)
    model = create("ra_cnn", classes=4, image_size=64, crop_size=64, scales=2, backbone="resnet10t", hidden=8).eval()
    assert [scores.shape for scores in model(torch.randn(1, 3, 64, 64))] == [(1, 4), (1, 4)]


def test_the_paper_s_network_has_vgg_s_last_map_before_its_pooling():
    with torch.device("meta"):
        model = RecurrentAttentionCNN()
    shape = model.trunks[0](torch.empty(1, 3, 448, 448, device="meta"))[-1].shape
    assert shape == (1, 512, 28, 28)
    assert model.proposals[0][0].in_features == 512 * 14 * 14


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"image_size": 25}, "image_size=25"),
        ({"crop_size": 6, "image_size": 24}, "crop_size=6"),
        ({"widths": ()}, "widths=()"),
        ({"scales": 0}, "scales=0"),
        ({"first_size": 16}, "first_size=16: a multiple of crop_size=12"),
        ({"image_size": 30, "first_size": 12}, "first_size=12: a divisor of image_size=30"),
        ({"source": "photo"}, "source='photo'"),
        ({"least": 0.0}, "least=0.0"),
        ({"gradient": None}, "gradient=None"),
    ],
)
def test_a_network_names_what_is_wrong(wrong, says):
    with pytest.raises(ValueError, match=says.replace("(", r"\(").replace(")", r"\)")):
        small(**wrong)
    with pytest.raises(ValueError, match="H=24, W=24"):
        small()(torch.ones(1, 2, 12, 24))


# The tasks.


def test_ranking_asks_the_finer_scale_to_be_surer_by_the_margin():
    labels = torch.tensor([0, 1])
    coarse, fine = torch.tensor([[2.0, 0.0], [2.0, 0.0]]), torch.tensor([[2.0, 0.0], [0.0, 5.0]])
    p, q = coarse.softmax(1), fine.softmax(1)
    found = ranking([coarse, fine], labels)
    torch.testing.assert_close(found, torch.tensor([0.05, max(0.0, float(p[1, 1] - q[1, 1]) + 0.05)]))
    torch.testing.assert_close(ranking([coarse, fine], labels, by="logits", margin=1.0), torch.tensor([1.0, 0.0]))
    with pytest.raises(ValueError, match="at least 2 predictions"):
        ranking([coarse], labels)
    with pytest.raises(ValueError, match="by='ranks'"):
        ranking([coarse, fine], labels, by="ranks")


def test_proposals_are_told_the_strongest_position():
    found = torch.zeros(2, 3, 4, 5)
    found[0, :, 1, 3] = 1.0
    found[1, 0, 3, 0] = 9.0
    wanted = torch.tensor([[3.5 / 5, 1.5 / 4, 0.25], [0.5 / 5, 3.5 / 4, 0.25]])
    torch.testing.assert_close(strongest(found, 0.25), wanted)


def test_each_turn_reaches_what_it_trains():
    model, labels = small(fused=True, least=0.1), torch.tensor([0, 1, 2, 1])
    batch = Batch(image=torch.randn(4, 2, 24, 24), label=labels)
    reached = {}
    for task in (Scales(3), Propose(3), Rank(3), Fuse(3)):
        model.zero_grad()
        task.loss(model, batch)[0].backward()
        reached[type(task).__name__] = {
            name.partition(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum()
        }
    assert {"trunks", "classifiers"} <= reached["Scales"]
    assert "fuse" not in reached["Scales"]
    assert "proposals" in reached["Propose"]
    assert "proposals" in reached["Rank"]
    assert "fuse" in reached["Fuse"]
    with pytest.raises(ValueError, match="fused=True"):
        Fuse(3).loss(small(), batch)


@pytest.mark.parametrize(
    ("make", "says"), [(lambda: Propose(3, half=0.6), "half=0.6"), (lambda: Rank(3, by="loss"), "by='loss'")]
)
def test_a_task_names_what_is_wrong(make, says):
    with pytest.raises(ValueError, match=says):
        make()


# The birds.


def test_kinds_differ_about_the_head_and_nowhere_else():
    sets = [birds.Birds(count=16, size=96, key=(3, 0), kinds=kinds) for kinds in (2, 8)]
    for i in (2, 3, 5):  # the same bird, but for its kind
        one, other = (found.pixels(i).int() for found in sets)
        assert one.shape == (3, 96, 96)
        assert sets[0].box(i) == sets[1].box(i)
        changed = (one - other).abs().amax(0) > 30  # far above rounding
        left, top, right, bottom = sets[0].box(i)
        assert changed.any() == (birds.KINDS[i % 2] != birds.KINDS[i % 8])
        changed[top:bottom, left:right] = False
        assert not changed.any()
        assert sets[0].region(i).sum() == (right - left) * (bottom - top)


def test_a_bird_depends_on_its_number_alone_and_halves_differ():
    few, many = birds.load(train_size=8, test_size=8), birds.load(train_size=24, test_size=8)
    assert torch.equal(few.train.pixels(5), many.train.pixels(5))
    assert not torch.equal(few.train.pixels(5), few.test.pixels(5))
    assert few.classes[5] in few.train.name(5)


def test_the_body_tells_the_kind_of_as_many_birds_as_asked_for():
    plain, misled = (birds.Birds(count=40, size=96, key=(3, 0), kinds=3, plumage=share) for share in (0.0, 0.6))
    told = 0
    for i in range(40):
        left, top, right, bottom = misled.box(i)
        assert misled.box(i) == plain.box(i)
        colour = misled._body(i)
        hue = colorsys.rgb_to_hsv(*colour)[0] * 3
        told += abs(hue - i % 3) <= 0.26 or abs(hue - 3 - i % 3) <= 0.26
        if i < 4:
            changed = (misled.pixels(i).int() - plain.pixels(i).int()).abs().amax(0) > 0
            assert changed.any()
            cy, cx = (top + bottom) // 2, (left + right) // 2
            assert not changed[cy - 2 : cy + 2, cx - 2 : cx + 2].any()  # the head is the same
    assert 0.45 < told / 40 < 0.75


@pytest.mark.parametrize(
    "wrong", [{"plumage": 1.5}, {"image_size": 95}, {"kinds": 1}, {"kinds": 9}, {"train_size": 7}, {"test_size": 0}]
)
def test_birds_that_cannot_be_drawn_are_named(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"{name}={value}"):
        birds.load(**wrong)


# The layout of CUB-200-2011.


def nest(root: Path, *, boxes: bool = True) -> Path:
    """Two kinds, two images of each to train on and one to test on."""
    lines: dict[str, list[str]] = {name: [] for name in ("images", "image_class_labels", "train_test_split", "boxes")}
    for i in range(1, 7):
        name = f"{i % 2 + 1:03d}.Kind {i % 2}/bird_{i}.jpg"
        path = root / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (i * 30, 0, 0)).save(path)
        lines["images"].append(f"{i} {name}")
        lines["image_class_labels"].append(f"{i} {i % 2 + 1}")
        lines["train_test_split"].append(f"{i} {int(i <= 4)}")
        lines["boxes"].append(f"{i} 10.0 5.0 20.0 10.0")
    (root / "classes.txt").write_text("1 001.Kind 0\n2 002.Kind 1\n")
    for name, rows in lines.items():
        if name != "boxes" or boxes:
            file = "bounding_boxes.txt" if name == "boxes" else f"{name}.txt"
            (root / file).write_text("\n".join(rows) + "\n\n")
    return root


def test_the_published_layout_is_read_with_its_boxes(tmp_path):
    found = cub.load(nest(tmp_path), image_size=60)
    assert cub.found(tmp_path)
    assert found.classes == ("001.Kind 0", "002.Kind 1")
    assert (found.train.labels, found.test.labels) == ([1, 0, 1, 0], [1, 0])
    image, label = found.train[1]
    assert (image.shape, label) == ((3, 60, 60), 0)
    # the middle 30×30 of 40×30, twice as large: x from 10 - 5 to 30 - 5, y from 5 to 15
    rows, columns = found.train.region(1).nonzero().T
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (10, 49, 10, 29)
    assert cub.load(nest(tmp_path / "bare", boxes=False), image_size=60).train.region(0) is None


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("classes.txt", None, "no file .*classes.txt"),
        ("images.txt", "", "is empty"),
        ("images.txt", "1\n", "line 1"),
        ("image_class_labels.txt", "1 2\n", "a line for image 2 of images.txt is missing"),
        ("classes.txt", "1 one\n", "class 2 of image 1 is missing"),
        ("train_test_split.txt", "\n".join(f"{i} 7" for i in range(1, 7)), "'7'; 1 or 0"),
        ("train_test_split.txt", "\n".join(f"{i} 1" for i in range(1, 7)), "has no test images"),
        ("bounding_boxes.txt", "1 a 5 20 10\n", "image 1: left, top"),
        ("bounding_boxes.txt", "1 90 5 20 10\n", "outside"),
    ],
)
def test_what_is_wrong_with_a_list_is_named(tmp_path, file, text, says):
    nest(tmp_path)
    if text is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=says):
        cub.load(tmp_path, image_size=60)


def test_a_damaged_image_is_left_out_and_named(tmp_path):
    nest(tmp_path)
    (tmp_path / "images" / "002.Kind 1" / "bird_1.jpg").write_bytes(b"no image")
    found = cub.load(tmp_path, image_size=60)
    assert len(found.train) == 3
    assert [skipped.path for skipped in found.skipped] == ["002.Kind 1/bird_1.jpg"]


# The recipes.


def test_the_recipe_for_photographs_takes_both_layouts_and_says_what_it_wants(tmp_path, monkeypatch):
    build = partial(built, recipes.get("ra-cnn"))
    with pytest.raises(ValueError, match="train_test_split"):
        build()
    recipe = build(nest(tmp_path / "cub"))
    assert [phase.name for phase in recipe.phases][:3] == ["coarse", "propose", "classify"]
    assert recipe.train[0][0].shape == (3, 448, 448)
    for half in ("train", "val"):
        for kind in ("a", "b"):
            place = tmp_path / "folder" / half / kind
            place.mkdir(parents=True)
            Image.new("RGB", (50, 50)).save(place / "one.png")
    assert build(tmp_path / "folder").facts["train"] == 2
    loaded = []
    monkeypatch.setattr(RecurrentAttentionCNN, "start_from", lambda self, state: loaded.append((self, state)))
    network = nn.Module.__new__(RecurrentAttentionCNN)
    recipe.start(network, None)
    assert loaded == [(network, None)]


@pytest.mark.slow
def test_the_tiny_variant_finds_the_head_with_three_seeds_and_a_square_in_the_middle_does_not(tmp_path):
    listing = recipes.get("ra-cnn-birds")
    recipe = built(listing, tiny=True)
    found, fixed = [], []
    for seed in (0, 1, 2):
        scores = running.train(listing, recipe, out=tmp_path / str(seed), seed=seed)["scores"]
        found.append(scores["error_2"])
        assert scores["error"] < 10  # two kinds: 50 by chance
        assert scores["region_in_crop_2"] > 80
        assert scores["crop_2_area"] < 40
        torch.manual_seed(seed)
        model = middle(recipe.build(), 0.25)
        for phase in recipe.phases:
            if phase.name.startswith("classify") or phase.name == "fuse":
                with running.only(model, phase):
                    fit(model, phase.task, recipe.train, replace(phase.plan, seed=seed))
        fixed.append(running.evaluate(recipe, model)["error_2"])
    assert max(found) < 10
    assert sum(found) < sum(fixed) / 2
