"""The deep recurrent attention model: its patches, its readings, its loss, its pairs and its tiny variant."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from regard import watch
from regard.catalog import recipes
from regard.data import mnist
from regard.data.batches import Batch
from regard.ops.glimpses import edge_glimpse
from regard.papers.dram import recipe as dram
from regard.papers.dram.network import DeepRecurrentAttention
from regard.papers.dram.task import Read, ReadingErrors
from regard.training import running
from regard.training.recipe import built

SMALL = {
    "classes": 4,
    "glimpses": 2,
    "glimpse_size": 5,
    "glimpse_widths": (3,),
    "glimpse_kernels": (3,),
    "features": 6,
    "context_size": 4,
    "context_widths": (3,),
    "context_kernels": (2,),
    "hidden": (5, 6),
    "class_hidden": 7,
}


def test_a_patch_beyond_the_edge_repeats_it():
    x = torch.arange(12.0).reshape(1, 1, 3, 4)
    assert torch.equal(edge_glimpse(x, torch.zeros(1, 2), size=(3, 4)), x)
    corner = edge_glimpse(x, -torch.ones(1, 2), size=(2, 2))  # its centre is the upper left corner of the image
    assert torch.equal(corner, torch.zeros(1, 1, 2, 2))
    assert torch.equal(edge_glimpse(x, torch.tensor([[1.0, 0.0]]), size=(3, 2))[0, 0, :, 1], x[0, 0, :, 3])


def test_the_context_reaches_the_classes_only_through_where_is_looked():
    torch.manual_seed(0)
    model = DeepRecurrentAttention(**SMALL).eval()
    x = torch.randn(2, 1, 9, 9)
    with torch.no_grad():
        model.emission.weight.zero_()
    before = model(x)
    with torch.no_grad():
        model.context.bias += 1
    assert torch.equal(model(x), before)
    with torch.no_grad():
        model.emission.weight.normal_()
    first = model(x)
    with torch.no_grad():
        model.context.bias -= 3
    assert not torch.equal(model(x), first)


def test_a_reading_has_every_location_that_was_looked_at():
    model = DeepRecurrentAttention(**SMALL).eval()
    x = torch.randn(3, 1, 11, 8)
    with watch(model) as maps:
        done = model(x, noise=torch.randn(4, 3, 2), episode=True)
    assert done.log_probs.shape == (3, 2, 4)
    assert done.log_policy.shape == done.baseline.shape == (3, 4)
    assert torch.equal(maps["path"][0], done.locations)
    assert done.locations.shape == (3, 4, 2)
    torch.testing.assert_close(done.log_probs.exp().sum(-1), torch.ones(3, 2))


def test_it_draws_in_training_and_not_in_evaluation():
    torch.manual_seed(0)
    model = DeepRecurrentAttention(**SMALL, std=0.5)
    x = torch.randn(2, 1, 9, 9)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"targets": 0}, "targets=0"),
        ({"glimpse_size": 2}, "leave nothing"),
        ({"context_kernels": (2, 2)}, "as many of both"),
        ({"hidden": (5,)}, r"hidden=\(5,\): 2 values"),
        ({"border": "wrap"}, "border='wrap'"),
        ({"std": -1.0}, "std=-1.0"),
        ({"scale": float("nan")}, "scale=nan"),
        ({"patches": 10_000}, "patches=10000, scale=2: patches of at most 16777216 pixels"),
        ({"bounded": "false"}, "bounded='false'"),
        ({"glimpse_widths": (0,)}, "glimpse_widths"),
    ],
)
def test_what_cannot_be_built_says_why(arguments, said):
    with pytest.raises(ValueError, match=said):
        DeepRecurrentAttention(**{**SMALL, **arguments})


def test_inputs_that_do_not_fit_say_what_would():
    model = DeepRecurrentAttention(**SMALL)
    with pytest.raises(ValueError, match="B C H W, C=1"):
        model(torch.zeros(2, 3, 9, 9))
    with pytest.raises(ValueError, match="spread=nan"):
        model(torch.zeros(2, 1, 9, 9), spread=float("nan"))
    with pytest.raises(ValueError, match="noise of shape"):
        model(torch.zeros(2, 1, 9, 9), noise=torch.zeros(3, 2, 2))


def test_the_task_rewards_every_glimpse_with_what_is_right_so_far():
    torch.manual_seed(0)
    model = DeepRecurrentAttention(**SMALL)
    x, wanted = torch.randn(6, 1, 9, 9), torch.tensor([[0, 0], [0, 1], [1, 1], [1, 2], [2, 2], [3, 3]])
    torch.manual_seed(1)
    loss, figures = Read(4, 2, weight=0.5).loss(model, Batch(image=x, label=wanted))
    torch.manual_seed(1)
    done = model(x, episode=True)
    right = (done.log_probs.argmax(-1) == wanted).float()
    reward = torch.stack([right[:, 0], right[:, 0], right.sum(1), right.sum(1)], 1)
    assert figures["reward"] == right.mean()
    told = sum(F.nll_loss(done.log_probs[:, s], wanted[:, s]) for s in range(2))
    chosen = -(done.log_policy * (reward - done.baseline)).sum(1).mean()
    torch.testing.assert_close(loss, told + (done.baseline - reward).square().mean() + 0.5 * chosen)

    logits = F.one_hot(wanted, 4).float()
    logits[0, 1], logits[1] = torch.tensor([0.0, 0, 0, 1]), torch.tensor([0.0, 0, 0, 1])  # one wrong, two wrong
    metrics = [ReadingErrors() for _ in range(2)]
    for metric, part in zip(metrics, (slice(0, 2), slice(2, 6)), strict=True):
        metric.update(logits[part], wanted[part])
    metrics[0].merge_state(metrics[1])
    scores = metrics[0].compute()
    assert scores["error"] == pytest.approx(100 * 2 / 6)
    assert scores["single_error"] == pytest.approx(100 * 3 / 12)
    assert scores["loss"] == pytest.approx(F.cross_entropy(logits.flatten(0, 1), wanted.flatten()).item())
    with pytest.raises(ValueError, match="6 × 3 × 4"):
        Read(4, 3).answers(model, Batch(image=x, label=wanted))


def test_spread_scatters_what_is_drawn_around_the_same_mean():
    torch.manual_seed(0)
    model = DeepRecurrentAttention(**SMALL, std=0.01)
    x = torch.randn(3, 1, 9, 9)
    found = []
    for spread in (1.0, 7.0):
        torch.manual_seed(1)
        found.append(model(x, spread=spread, episode=True).locations[:, 0])
    mean = model.eval()(x, episode=True).locations[:, 0]  # the first mean sees no glimpse
    torch.testing.assert_close(found[1] - mean, 7 * (found[0] - mean), rtol=1e-4, atol=1e-6)


def test_the_task_scatters_without_teaching_the_policy():
    torch.manual_seed(0)
    model = DeepRecurrentAttention(**SMALL, std=0.01)
    batch = Batch(image=torch.randn(6, 1, 9, 9), label=torch.randint(4, (6, 2)))
    with watch(model) as maps:
        Read(4, 2, weight=0.0, spread=30.0).loss(model, batch)[0].backward()
    assert maps["path"][0].std() > 0.1  # 30 × 0.01
    for name, parameter in model.named_parameters():
        if name.startswith(("emission", "context", "overview")):
            assert not parameter.grad.any(), name
        if name.startswith(("classifier", "look", "baseline")):
            assert parameter.grad.any(), name
    with pytest.raises(ValueError, match=r"spread=2.0, weight=1.0"):
        Read(4, 2, spread=2.0)
    with pytest.raises(ValueError, match="spread=0"):
        Read(4, 2, weight=0.0, spread=0)
    with pytest.raises(ValueError, match="weight=nan"):
        Read(4, 2, weight=float("nan"))


@pytest.mark.parametrize(("bounded", "wanted"), [(False, (1.0, -0.5)), (True, (math.tanh(3), math.tanh(-0.5)))])
def test_a_bounded_mean_stays_inside_and_an_unbounded_one_is_cut_to_the_image(bounded, wanted):
    model = DeepRecurrentAttention(**SMALL, bounded=bounded).eval()
    with torch.no_grad():
        model.emission.weight.zero_()
        model.emission.bias.copy_(torch.tensor([3.0, -0.5]))
    done = model(torch.randn(3, 1, 9, 9), episode=True)
    torch.testing.assert_close(done.locations, torch.tensor(wanted).expand(3, 4, 2))


def test_a_pair_shows_both_digits_whole_and_in_order():
    found = mnist.embedded()
    pairs = mnist.Pairs(found.test, 40, seed=0)
    again = mnist.Pairs(found.test, 40, seed=0)
    assert len(pairs) == len(found.test)
    for i in (0, 7, 100):
        image, label = pairs[i]
        assert torch.equal(image, again[i][0])
        assert label.tolist() == [found.test.labels[i], found.test.labels[pairs.partners[i]]]
        left, right = image[..., :20], image[..., 20:]
        assert left.sum() == pytest.approx(found.test[i][0].sum().item(), rel=1e-4)
        assert right.sum() == pytest.approx(found.test[pairs.partners[i]][0].sum().item(), rel=1e-4)
    with pytest.raises(ValueError, match="canvas=31: at least twice the width of an image"):
        mnist.Pairs(found.test, 31, seed=0)


def test_a_sum_has_the_same_images_and_one_label():
    found = mnist.embedded()
    sums, pairs = mnist.Sums(found.test, 40, seed=3), mnist.Pairs(found.test, 40, seed=3)
    for i in (0, 7, 100):
        image, label = sums[i]
        assert torch.equal(image, pairs[i][0])
        assert label.tolist() == [pairs[i][1].sum().item()]
        assert sums.name(i) == f"digits of sum {label.item()}, image {i}"
    labels = torch.tensor(sums.labels)
    assert labels.shape == (len(sums), 1) and labels.min() == 0 and labels.max() == 18


def test_addition_is_one_answer_of_nineteen_after_all_glimpses():
    listing = recipes.get("dram-addition")
    recipe = built(listing, tiny=True)
    model = recipe.build().eval()
    image, label = recipe.test[0]
    assert model(image[None]).shape == (1, 1, 19) and label.shape == (1,)
    with watch(model) as maps:
        model(image[None])
    assert maps["path"][0].shape == (1, 2, 2)
    assert listing.claim.value == 2.5


@pytest.mark.parametrize("recipe", [dram.pairs, dram.strips, dram.addition])
def test_the_recipe_without_data_says_what_the_folder_must_hold(recipe):
    with pytest.raises(ValueError, match="train-images-idx3-ubyte"):
        recipe()


@pytest.mark.parametrize("recipe", [dram.pairs, dram.strips, dram.addition])
def test_the_whole_recipe_reads_all_over_the_canvas_before_it_looks(recipe, tmp_path):
    greys = torch.randint(256, (2, 28, 28), dtype=torch.uint8)
    for stem in ("train", "t10k"):
        for what, numbers in (("images-idx3", greys), ("labels-idx1", torch.tensor([3, 8], dtype=torch.uint8))):
            head = bytes((0, 0, 8, numbers.ndim)) + b"".join(n.to_bytes(4, "big") for n in numbers.shape)
            (tmp_path / f"{stem}-{what}-ubyte").write_bytes(head + bytes(numbers.flatten().tolist()))
    built = recipe(tmp_path)
    image, label = built.train[0]
    assert image.shape == (1, 100, 100)
    assert label.tolist() in ([[6], [11]] if recipe is dram.addition else [[3, 3], [3, 8]])
    torch.manual_seed(0)
    model = built.build()
    reads, looks = built.phases
    spots = []
    for phase in (reads, looks):
        with watch(model) as maps:
            phase.task.loss(model, Batch(image=image.expand(16, 1, 100, 100), label=label.expand(16, len(label))))
        spots.append(maps["path"][0].std().item())
    assert spots[0] > 2 * spots[1]
    assert reads.task.weight == 0 < looks.task.weight
    with running.only(model, reads):
        learning = {name.partition(".")[0] for name, p in model.named_parameters() if p.requires_grad}
    assert learning == {"look", "what", "where", "lower", "reduce", "classifier", "baseline"}


@pytest.mark.slow
def test_the_tiny_variant_learns(tmp_path):
    listing = recipes.get("dram-pairs")
    result = running.train(listing, built(listing, tiny=True), out=tmp_path / "run")
    assert result["scores"]["single_error"] < 75  # chance is 90
    assert result["scores"]["error"] < 95  # chance is 99


@pytest.mark.slow
def test_the_tiny_variant_resumes_bit_by_bit(tmp_path):
    listing = recipes.get("dram-pairs")

    def train(folder, stop=None):
        def on_step(step, steps, loss):
            if step == stop:
                raise KeyboardInterrupt

        recipe = built(listing, tiny=True)
        return running.train(listing, recipe, out=folder, changes={"epochs": 1}, on_step=on_step)

    whole = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", stop=20)
    assert train(tmp_path / "parts")["scores"] == whole["scores"]
