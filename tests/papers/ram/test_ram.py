"""The recurrent attention model: its retina, its episodes, its loss, its data and its tiny variants."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from regard import create, watch
from regard.catalog import recipes
from regard.data import mnist
from regard.data.batches import Batch
from regard.ops.glimpses import glimpse
from regard.ops.reinforce import log_normal, reinforce
from regard.papers.ram.network import RecurrentAttention
from regard.papers.ram.task import Glimpse
from regard.training import running
from regard.training.recipe import built
from regard.viewing import draw


def one_by_one(x: Tensor, at: Tensor, size: int, patches: int, scale: float) -> Tensor:
    """Each image's patches cut out of a copy with a wide empty border."""
    wide, found = 200, []
    for image, (across, down) in zip(x, at, strict=True):
        framed = F.pad(image, (wide,) * 4)
        column = int(0.5 * ((across + 1) * x.shape[-1])) + wide
        row = int(0.5 * ((down + 1) * x.shape[-2])) + wide
        side, cut = size, []
        for _ in range(patches):
            top, left = row - side // 2, column - side // 2
            patch = framed[:, top : top + side, left : left + side]
            cut.append(F.avg_pool2d(patch, side // size))
            side = int(scale * side)
        found.append(torch.stack(cut))
    return torch.stack(found)


@pytest.mark.parametrize(
    ("shape", "size", "patches", "scale"),
    [((7, 3, 28, 28), 8, 1, 1), ((5, 2, 13, 29), 4, 3, 2), ((6, 1, 11, 17), 5, 2, 3), ((3, 1, 1, 1), 3, 2, 2.5)],
)
def test_all_glimpses_at_once_are_the_ones_cut_one_by_one(shape, size, patches, scale):
    if scale == 2.5:  # 3 and 7 pixels: what is left over at the edge of the larger patch is dropped
        scale = 7 / 3 + 1e-9
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator)
    at = torch.rand(shape[0], 2, generator=generator) * 2 - 1
    at[0], at[1], at[2] = torch.tensor([-1.0, -1.0]), torch.tensor([1.0, 1.0]), torch.tensor([0.0, 1.0])
    seen = glimpse(x, at, size=size, patches=patches, scale=scale)
    assert torch.equal(seen, one_by_one(x, at, size, patches, scale))


def test_x_can_be_measured_in_heights():
    x = torch.arange(2 * 6, dtype=torch.float32).reshape(1, 1, 2, 6)
    at = torch.tensor([[1.0, 0.0]])  # the right edge of a square of the image's height is column 2
    assert glimpse(x, at, size=1, by_height=True).item() == x[0, 0, 1, 2]
    assert glimpse(x, at, size=1).item() == 0  # outside


def test_the_density_is_that_of_a_normal():
    mean, value = torch.randn(4, 3, 2, dtype=torch.float64), torch.randn(4, 3, 2, dtype=torch.float64)
    wanted = torch.distributions.Normal(mean, 0.3).log_prob(value).sum(-1)
    torch.testing.assert_close(log_normal(value, mean, 0.3), wanted)


def test_the_reward_reaches_the_policy_alone():
    policy, baseline = (torch.randn(2, 3, requires_grad=True) for _ in range(2))
    reward = torch.tensor([[1.0], [0.0]])
    loss = reinforce(policy, reward, baseline)
    loss.backward()
    assert baseline.grad is None
    torch.testing.assert_close(policy.grad, -(reward - baseline.detach()) / 2)


def test_an_image_has_one_answer_in_evaluation_and_many_in_training():
    torch.manual_seed(0)
    model = create("ram", glimpses=3, hidden=16)
    x = torch.randn(4, 1, 28, 28)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))
    with watch(model) as maps:
        model(x)
    (path,) = maps["path"]
    assert path.shape == (4, 3, 2)
    assert torch.equal(path[:, 0], torch.zeros(4, 2))  # it starts at the centre
    assert path.abs().max() <= 1
    assert torch.equal(maps["glimpse"][0][0, 0], torch.tensor([10.0, 10.0, 18.0, 18.0]) / 14 - 1)
    pictures = draw(maps, x[1].clamp(0, 1), sample=1)
    assert [(picture.name, picture.image.width) for picture in pictures] == [("path", 320), ("glimpse", 320)]


def test_a_path_measured_in_heights_is_shown_on_the_image():
    model = RecurrentAttention(glimpses=1, hidden=8, glimpse_size=2, by_height=True).eval()
    with watch(model) as maps:
        model(torch.zeros(1, 1, 4, 8), start=torch.tensor([[0.0, 0.0]]))  # column 2 of 8, row 2 of 4
    assert torch.equal(maps["path"][0], torch.tensor([[[-0.5, 0.0]]]))
    assert torch.equal(maps["glimpse"][0], torch.tensor([[[-0.75, -0.5, -0.25, 0.5]]]))


def test_the_last_location_counts_but_is_not_looked_at():
    model = RecurrentAttention(glimpses=3, hidden=8).double()
    x, start, noise = torch.randn(2, 1, 9, 9).double(), torch.zeros(2, 2).double(), torch.randn(3, 2, 2).double()
    first = model(x, start=start, noise=noise, episode=True)
    noise[-1] += 1
    second = model(x, start=start, noise=noise, episode=True)
    assert torch.equal(first.log_probs, second.log_probs)
    assert not torch.equal(first.locations[:, 3], second.locations[:, 3])
    assert not torch.equal(first.log_policy[:, 2], second.log_policy[:, 2])
    assert first.locations.shape == (2, 4, 2)
    assert first.log_policy.shape == first.baseline.shape == (2, 3)


def test_monte_carlo_is_the_mean_over_episodes_and_follows_torchs_random_numbers():
    model = RecurrentAttention(glimpses=2, hidden=8).eval()
    x = torch.randn(3, 1, 12, 12)
    torch.manual_seed(3)
    averaged = model.monte_carlo(x, episodes=5)
    torch.manual_seed(3)
    start, noise = torch.rand(15, 2) * 2 - 1, torch.randn(2, 15, 2)
    single = model(x.repeat(5, 1, 1, 1), start=start, noise=noise)
    torch.testing.assert_close(averaged, single.unflatten(0, (5, 3)).mean(0))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"glimpses": 0}, "glimpses=0"),
        ({"glimpse_size": 0}, "glimpse_size=0"),
        ({"patches": 2, "scale": 1.5}, "scale=1.5"),
        ({"scale": 0.5}, "scale=0.5"),
        ({"std": 0.0}, "std=0.0"),
        ({"hidden": 1}, "hidden=1"),
        ({"policy": "greedy"}, "policy='greedy'"),
    ],
)
def test_what_cannot_be_built_says_why(arguments, said):
    with pytest.raises(ValueError, match=said):
        RecurrentAttention(**arguments)


def test_inputs_that_do_not_fit_say_what_would():
    model = RecurrentAttention(hidden=8)
    with pytest.raises(ValueError, match=r"\(2, 3, 9, 9\): B C H W, C=1 is needed"):
        model(torch.zeros(2, 3, 9, 9))
    with pytest.raises(ValueError, match=r"\(2, 1, 0, 9\): .* no axis empty"):
        model(torch.zeros(2, 1, 0, 9))
    with pytest.raises(ValueError, match="start of shape"):
        model(torch.zeros(2, 1, 9, 9), start=torch.zeros(3, 2))
    with pytest.raises(ValueError, match="noise of shape"):
        model(torch.zeros(2, 1, 9, 9), noise=torch.zeros(2, 6, 2))


def test_the_task_is_the_hybrid_loss_of_what_the_model_did():
    torch.manual_seed(0)
    model = RecurrentAttention(glimpses=2, hidden=8, classes=3)
    x, labels = torch.randn(5, 1, 9, 9), torch.tensor([0, 1, 2, 0, 1])
    torch.manual_seed(1)
    batch = Batch(image=x, label=labels)
    loss, figures = Glimpse(3, weight=0.5).loss(model, batch)
    torch.manual_seed(1)
    done = model(x, episode=True)
    reward = (done.log_probs.argmax(1) == labels).float()[:, None]
    chosen = -(done.log_policy * (reward - done.baseline)).sum(1).mean()
    wanted = F.nll_loss(done.log_probs, labels) + (done.baseline - reward).square().mean() + 0.5 * chosen
    torch.testing.assert_close(loss, wanted)
    assert figures["reward"] == reward.mean()
    assert Glimpse(3, episodes=4).loss(model, batch)[0].ndim == 0
    for wrong in ({"classes": 1}, {"classes": 3, "weight": -1.0}, {"classes": 3, "episodes": 0}):
        with pytest.raises(ValueError):
            Glimpse(**wrong)
    with pytest.raises(ValueError, match="4 log-probabilities for each image"):
        Glimpse(4).loss(model, batch)


def idx(path: Path, values: Tensor, *, packed: bool = False) -> None:
    head = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    content = head + values.numpy().tobytes()
    path.write_bytes(gzip.compress(content) if packed else content)


def published_files(folder: Path, *, packed: bool, count: int = 3) -> dict[str, Tensor]:
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(0)
    wrote = {}
    for stem, size in (("train", count), ("t10k", 2)):
        wrote[f"{stem}-images-idx3-ubyte"] = torch.randint(256, (size, 28, 28), generator=generator, dtype=torch.uint8)
        wrote[f"{stem}-labels-idx1-ubyte"] = torch.arange(size, dtype=torch.uint8) % 10
    for name, values in wrote.items():
        idx(folder / (f"{name}.gz" if packed else name), values, packed=packed)
    return wrote


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("below", ["", "MNIST/raw"])
def test_the_published_files_are_read(tmp_path, packed, below):
    wrote = published_files(tmp_path / "data" / below if below else tmp_path / "data", packed=packed)
    found = mnist.load(tmp_path / "data")
    assert len(found.train) == 3
    assert len(found.test) == 2
    image, label = found.train[2]
    assert label == 2
    assert torch.equal(image, wrote["train-images-idx3-ubyte"][2][None].float() / 255)
    assert torch.equal(found.train.images([2, 0])[0], image)


def test_wrong_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="t10k-labels-idx1-ubyte"):
        mnist.load(tmp_path / "nothing")
    folder = tmp_path / "data"
    published_files(folder, packed=False)
    images = folder / "train-images-idx3-ubyte"
    content = images.read_bytes()
    for wrong, said in (
        (content[:-1], "values; 3 × 28 × 28 are needed"),
        (b"", "its header is missing"),
        (b"\0\0\x0d\x01" + content[4:], "its header is 00000d01"),
        (b"\x1f\x8bnonsense", "cannot be decompressed"),
    ):
        images.write_bytes(wrong)
        with pytest.raises(ValueError, match=said):
            mnist.load(folder)
    images.unlink()
    with pytest.raises(FileNotFoundError, match="no train-images-idx3-ubyte"):
        mnist.load(folder)
    idx(images, torch.zeros(4, 28, 28, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"\(4, 28, 28\) and labels \(3,\)"):
        mnist.load(folder)


def test_a_placed_digit_is_whole_and_may_lie_anywhere():
    image = torch.full((1, 5, 3), 0.5)
    place = mnist.Place(8)
    corners = set()
    for seed in range(300):
        canvas = place(image, torch.Generator().manual_seed(seed))
        assert canvas.shape == (1, 8, 8)
        assert canvas.sum() == pytest.approx(7.5)
        rows, columns = canvas[0].nonzero().T
        corners.add((int(rows.min()), int(columns.min())))
    assert corners == {(row, column) for row in range(4) for column in range(6)}
    with pytest.raises(ValueError, match="canvas=4: at least the size of the image"):
        mnist.Place(4)(image, torch.Generator())


def test_clutter_is_cut_from_the_given_images():
    greys = torch.full((2, 9, 9), 255, dtype=torch.uint8)
    place = mnist.Place(30, 4, greys)
    canvas = place(torch.full((1, 9, 9), 0.25), torch.Generator().manual_seed(0))
    assert set(canvas.unique().tolist()) == {0.0, 0.25, 1.0}
    assert 64 < (canvas == 1).sum() <= 4 * 64
    with pytest.raises(ValueError, match="8×8"):
        mnist.Place(30, 4, greys[:, :7])


def test_a_test_image_stays_where_it_is_and_others_lie_elsewhere():
    found = mnist.embedded()
    placed = mnist.Placed(found.test, mnist.Place(40), seed=0)
    again = mnist.Placed(found.test, mnist.Place(40), seed=0)
    other = mnist.Placed(found.test, mnist.Place(40), seed=1)
    assert torch.equal(placed[3][0], again[3][0])
    assert not torch.equal(placed[3][0], other[3][0])
    assert placed[3][1] == found.test[3][1]


@pytest.mark.parametrize("name", ["ram-mnist", "ram-translated", "ram-cluttered"])
def test_a_recipe_without_data_says_what_the_folder_must_hold(name):
    with pytest.raises(ValueError, match="train-images-idx3-ubyte"):
        built(recipes.get(name))


def test_the_full_recipe_reads_the_published_files(tmp_path):
    published_files(tmp_path / "data", packed=True, count=12)
    recipe = built(recipes.get("ram-cluttered"), tmp_path / "data")
    assert recipe.test[1][0].shape == (1, 60, 60)
    scores = running.evaluate(recipe, recipe.build())
    assert scores.keys() == {"error", "single_error", "mean_error"}


@pytest.mark.slow
def test_the_tiny_variant_learns(tmp_path):
    listing = recipes.get("ram-mnist")
    result = running.train(listing, built(listing, tiny=True), out=tmp_path / "run")
    assert result["scores"]["error"] < 50  # chance is 90
    claim = result["claim"]
    assert (claim["value"], claim["comparable"]) == (1.12, False) and "tiny" in claim["reason"]
    assert (tmp_path / "run" / "model.safetensors").is_file()


@pytest.mark.slow
def test_the_tiny_variant_resumes_bit_by_bit(tmp_path):
    listing = recipes.get("ram-cluttered")

    def train(folder: Path, stop: int | None = None) -> dict:
        def on_step(step: int, steps: int, loss: float) -> None:
            if step == stop:
                raise KeyboardInterrupt

        recipe = built(listing, tiny=True)
        return running.train(listing, recipe, out=folder, changes={"epochs": 2}, on_step=on_step)

    whole = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", stop=45)
    resumed = train(tmp_path / "parts")
    assert resumed["scores"] == whole["scores"]
    whole_weights, weights = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts"))
    assert weights == whole_weights
