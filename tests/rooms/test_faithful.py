"""`regard.faithful`: closed forms on linear networks, recorded numbers of others' codes, a network with a known cue."""

from __future__ import annotations

import json
import math
from typing import ClassVar

import numpy as np
import pytest
import timm
import torch
from scipy.sparse import lil_matrix
from scipy.sparse.linalg import spsolve
from torch import Tensor, nn

from regard.core import Attention, Formed
from regard.insight.faithfulness import variance
from regard.insight.faithfulness.curves import curves, ranked
from regard.insight.faithfulness.effects import effects
from regard.insight.faithfulness.faithful import faithful
from regard.insight.faithfulness.heats import recorded_maps
from regard.insight.faithfulness.imputing import Baseline, imputed
from regard.insight.faithfulness.infidelity import infidelity, losses, rectangles
from regard.insight.faithfulness.measured import Measured
from regard.insight.faithfulness.randomising import alike, cascade
from regard.insight.faithfulness.replacing import REPLACEMENTS, queries, replacing
from regard.insight.faithfulness.scoring import Score

H, W = 7, 11


def picture() -> Tensor:
    """Two channels of numbers without a pattern, the same on every machine: `2 H W`."""
    n = torch.arange(2 * H * W, dtype=torch.float64)
    return torch.sin(1.7 * n + 0.3 * n.square() % 5).view(2, H, W)


def missing() -> Tensor:
    n = torch.arange(H * W)
    return ((n * 7) % 13 < 8).view(H, W)


class Linear(nn.Module):
    """Two classes: logits `Σ w x` and 0."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x: Tensor) -> Tensor:
        first = (x * self.weight).flatten(1).sum(1)
        return torch.stack([first, torch.zeros_like(first)], 1)


class Quadratic(nn.Module):
    """Two classes: the sum of the squares, and a sum with weights."""

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        weights = torch.arange(flat.shape[1], dtype=x.dtype).cos()
        return torch.stack([flat.square().sum(1), (flat * weights).sum(1)], 1)


class Finds(nn.Module):
    """A network that looks for red: its first logit is the redness of the image, where it exceeds a half."""

    def redness(self, x: Tensor) -> Tensor:
        return (x[:, 0] - x[:, 1] - 0.5).relu()

    def forward(self, x: Tensor) -> Tensor:
        red = self.redness(x).flatten(1).mean(1)
        return torch.stack([40 * red, torch.ones_like(red)], 1)


def cues(count: int) -> tuple[Tensor, Tensor]:
    """Grey noise with a red square at a random place, and the squares' masks."""
    generator = torch.Generator().manual_seed(5)
    images = 0.3 * torch.rand(count, 3, 23, 29, generator=generator)
    masks = torch.zeros(count, 23, 29, dtype=torch.bool)
    for i in range(count):
        top, left = (int(torch.randint(0, side - 5, (), generator=generator)) for side in (23, 29))
        masks[i, top : top + 5, left : left + 5] = True
    images[:, 0][masks] = 1.0
    return images, masks


def test_imputation_is_the_solution_of_the_sparse_system() -> None:
    """Against a direct solver; and one pixel alone is the weighted mean of its neighbours."""
    gone = missing()
    x, numbers = picture(), {int(place): k for k, place in enumerate(torch.nonzero(gone.flatten())[:, 0])}
    system, right = lil_matrix((len(numbers), len(numbers))), np.zeros((len(numbers), 2))
    for place, row in numbers.items():
        for down in (-1, 0, 1):
            for across in (-1, 0, 1):
                y, z = place // W + down, place % W + across
                if (down or across) and 0 <= y < H and 0 <= z < W:
                    weight = 1 / 12 if down and across else 1 / 6
                    system[row, row] += weight
                    if (y * W + z) in numbers:
                        system[row, numbers[y * W + z]] -= weight
                    else:
                        right[row] += weight * x[:, y, z].numpy()
    solved = x.flatten(1).clone()
    solved[:, gone.flatten()] = torch.from_numpy(spsolve(system.tocsc(), right).T)
    found = imputed(x[None], gone[None], 1e-12)[0]
    assert torch.allclose(found.flatten(1), solved, rtol=0, atol=1e-9)

    one = torch.zeros(1, H, W, dtype=torch.bool)
    one[0, 0, 0] = True
    corner = (x[:, 0, 1] / 6 + x[:, 1, 0] / 6 + x[:, 1, 1] / 12) / (5 / 12)
    assert torch.allclose(imputed(x[None], one)[0, :, 0, 0], corner)
    everything = torch.ones(1, H, W, dtype=torch.bool)
    assert torch.allclose(imputed(x[None], everything)[0], x.mean((1, 2), keepdim=True).expand_as(x))


def test_imputation_and_infidelity_are_those_of_others() -> None:
    """Recorded with grad-cam 1.5.7 (`NoisyLinearImputer(noise=0)`, in float32) and captum 0.9.0 (`infidelity` with
    `normalize=True`, perturbations 1 in a rectangle and the channel means in the image), on these very inputs.
    """
    found = imputed(picture()[None], missing()[None], 1e-12).flatten()
    assert found[[0, 30, 100, 153]].tolist() == pytest.approx(
        [0.6511603593826294, 0.3547990024089813, -0.14136749505996704, -0.8883700966835022], abs=1e-6
    )
    assert float(found.sum()) == pytest.approx(-5.794955912366277, abs=1e-4)

    images = torch.stack([picture(), 0.7 * picture().flip(2)])
    heat = torch.stack([picture()[0].abs(), picture()[1].square()])
    removed = rectangles(16, (H, W), 3)
    score = Score(Quadratic(), images, [0, 1], of="logit", batch=5)
    lost = losses(score, Baseline("mean", images, 0), removed, score.intact())
    value, share = infidelity(heat, removed, lost)
    assert value.tolist() == pytest.approx([1.3044282703035037, 1.895960815189925], rel=1e-10)
    assert torch.allclose(share, value / lost.square().mean(1))


def test_areas_of_a_linear_network_have_a_closed_form() -> None:
    """Without the first k pixels the logit has lost the sum of their w (x − mean)."""
    x, weight = picture()[None], torch.cos(torch.arange(2 * H * W, dtype=torch.float64)).view(2, H, W)
    score = Score(Linear(weight).eval(), x, [0], of="logit", batch=3)
    gains = (weight * (x[0] - x[0].mean((1, 2), keepdim=True))).sum(0).flatten()
    order = gains.argsort(descending=True)
    ranks = ranked(gains.view(1, H, W), (H, W), seed=0)
    assert ranks.flatten().tolist() == order.argsort().tolist()
    base = Baseline("mean", x, 0)
    whole, nothing = score.intact(), score(x.mean((2, 3), keepdim=True).expand_as(x), torch.zeros(1, dtype=torch.long))
    taken, put = curves(score, base, ranks, H * W, (whole, nothing))
    falls = torch.cat([gains.new_zeros(1), gains[order].cumsum(0)])
    assert taken.values[0] == pytest.approx((whole - falls).detach().numpy())
    assert put.values[0] == pytest.approx((nothing + falls).detach().numpy())
    trapezoid = (falls[1:] + falls[:-1]).mean() / 2
    assert taken.area.mean == pytest.approx(float(whole[0] - trapezoid))
    assert put.area.mean == pytest.approx(float(nothing[0] + trapezoid))


def test_infidelity_of_a_linear_network_is_exact() -> None:
    """What the network loses is told exactly by w (x − mean), not at all by its negative, and in any unit."""
    x, weight = picture()[None], torch.cos(torch.arange(2 * H * W, dtype=torch.float64)).view(2, H, W)
    score = Score(Linear(weight).eval(), x, [0], of="logit", batch=7)
    removed = rectangles(13, (H, W), 0)
    assert {int(one.sum()) for one in removed} != {int(removed[0].sum())} and removed.any(0).float().mean() > 0.5
    lost = losses(score, Baseline("mean", x, 0), removed, score.intact()).detach()
    exact = (weight * (x - x.mean((2, 3), keepdim=True))).sum(1).detach()
    assert float(infidelity(exact, removed, lost).share) == pytest.approx(0, abs=1e-12)
    assert float(infidelity(29 * exact, removed, lost).share) == pytest.approx(0, abs=1e-12)
    assert float(infidelity(-exact, removed, lost).share) == 1
    said = removed.flatten(1).double().sum(1)
    cosine = float(lost[0] @ said / lost[0].norm() / said.norm())
    even = infidelity(torch.ones(1, 1, 1), removed, lost)
    assert float(even.share) == pytest.approx(1 - max(0, cosine) ** 2)


def test_pixels_with_equal_weights_come_in_a_random_order() -> None:
    ranks = ranked(torch.ones(2, 3, 5), (H, W), seed=1)
    assert ranks[0].equal(ranks[1]) and sorted(ranks[0].flatten().tolist()) == list(range(H * W))
    assert ranks[0].flatten().tolist() != list(range(H * W))
    assert not ranks[0].equal(ranked(torch.ones(1, 3, 5), (H, W), seed=2)[0])


@pytest.mark.slow
def test_the_map_of_a_planted_cue_beats_random_and_centre() -> None:
    images, _ = cues(11)
    network = Finds()
    maps = {"true": network.redness, "elsewhere": lambda x: -network.redness(x)}
    found = faithful(
        network,
        images,
        lambda x: {name: of(x) for name, of in maps.items()},
        0,
        steps=5,
        squares=17,
        stages=0,
    )
    for baseline in ("blur", "mean", "road"):
        for curve in ("deletion", "insertion"):
            for reference in ("random", "centre"):
                low, high = found.beyond("true", reference, curve=curve, baseline=baseline).interval()
                assert 0 < low < high
            assert found.beyond("elsewhere", curve=curve, baseline=baseline).interval()[1] < 0
    assert found.row("true").infidelity.mean < 0.05 < 0.3 < found.row("random").infidelity.mean
    assert found.row("elsewhere").infidelity.mean == 1
    assert [row.name for row in found.rows] == ["true", "elsewhere", "random", "centre"]
    assert any(note.startswith("without Grad-CAM: ") for note in found.notes)


class Reads(nn.Module):
    """A spatial gate that acts, a channel gate that acts, a map that is only shown, and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.stem = nn.Conv2d(3, 5, 3, padding=1)
            self.gate = Gates(5)
            self.classify = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self.gate(self.stem(x).relu()).mean((2, 3)))


class Gates(Attention):
    maps: ClassVar = {"spatial": "B 1 H W", "channel": "B C 1 1", "copy": "B 1 H W"}

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.where, self.what = nn.Conv2d(channels, 1, 3, padding=1), nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        spatial = self.see("spatial", self.where(x).sigmoid())
        self.show("copy", spatial)
        return x * spatial * self.see("channel", self.what(x.mean((2, 3), keepdim=True)).sigmoid())


@pytest.mark.slow
def test_one_call_measures_everything_and_leaves_the_network_as_it_was() -> None:
    images, masks = cues(7)
    network = Reads().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    labels = [0, 1, 0, 1, 0, 1, 0]
    settings = {"places": masks, "baselines": ["mean"], "steps": 3, "squares": 5, "stages": 2, "batch": 3}
    found = faithful(network, images, "gate/*", labels, **settings)
    assert network.training and all(value.equal(before[name]) for name, value in network.state_dict().items())
    assert [row.name for row in found.rows] == ["gate/spatial", "gate/copy", "random", "centre", "Grad-CAM"]
    assert set(found.effects) == {"gate/spatial", "gate/channel", "all of them"}
    assert set(found.origins) == {"gate/spatial", "gate/channel", "gate/copy"}
    assert found.notes == (
        "no curves, because they have no place: gate/channel",
        "not replaced, because they do not act: gate/copy",
    )
    stages = found.row("gate/spatial").sanity
    assert list(stages) == ["gate.what", "stem"]
    assert found.row("random").sanity == {} and set(found.row("Grad-CAM").sanity) == set(stages)
    again = faithful(network, images, "gate/*", labels, **{**settings, "batch": 7})
    ours, theirs = json.loads(found.json()), json.loads(again.json())
    for mine, other in zip(ours["rows"], theirs["rows"], strict=True):
        assert mine["deletion"]["mean"]["mean"] == pytest.approx(other["deletion"]["mean"]["mean"], abs=1e-5)
    assert str(found).splitlines()[0].split() == ["deletion,", "mean", "insertion,", "mean", "infidelity"]
    with pytest.raises(LookupError, match="maps='gate/none'"):
        faithful(network, images, "gate/none", labels)


def test_the_fall_of_the_logit_is_that_of_the_replaced_gate() -> None:
    """An even gate in place of the gate itself, by hand."""
    images, _ = cues(3)
    network = Reads().eval()
    score = Score(network, images, [1, 1, 0], of="probability", batch=32)
    found = effects(network, score, recorded_maps(network, images, ["gate/spatial"], 32), batch=32, seed=0)
    with torch.no_grad():
        x = network.stem(images).relu()
        spatial, channel = network.gate.where(x).sigmoid(), network.gate.what(x.mean((2, 3), keepdim=True)).sigmoid()
        index = torch.tensor([1, 1, 0])

        def logit(gate: Tensor) -> Tensor:
            scores: Tensor = network.classify((x * gate * channel).mean((2, 3)))
            return scores[torch.arange(3), index]

        even = logit(spatial) - logit(spatial.mean((1, 2, 3), keepdim=True))
        swapped = logit(spatial) - logit(spatial[[2, 0, 1]])
    assert found["gate/spatial"]["even"].values == pytest.approx(even.double().numpy(), abs=1e-6)
    assert found["gate/spatial"]["mean"].values == pytest.approx(even.double().numpy(), abs=1e-6)
    assert found["gate/spatial"]["swapped"].values == pytest.approx(swapped.double().numpy(), abs=1e-6)
    assert abs(even).min() > 0


@pytest.mark.slow
def test_attention_that_is_not_ours_is_tested_and_replaced() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        network = timm.create_model("test_vit", num_classes=3)
    images = torch.rand(2, 3, 160, 160, generator=torch.Generator().manual_seed(7))
    found = faithful(network, images, "blocks.4.*", 1, baselines=["mean"], steps=2, squares=0, stages=0)
    assert [row.name for row in found.rows] == ["blocks.4.attn/affinity", "random", "centre", "Grad-CAM"]
    assert np.abs(found.effects["blocks.4.attn/affinity"]["even"].values).min() > 0
    assert "-0.000" not in str(found)


def formed(map: Tensor, axes: str, sums: str = "") -> Formed:
    return Formed("map", map, axes, {}, sums=sums)


def test_replacements_of_weights_keep_their_sums_and_of_gates_their_level() -> None:
    weights = formed(torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0)).softmax(3), "B h Q K", "K")
    for name, replace in REPLACEMENTS.items():
        assert torch.allclose(replace(weights, 0).sum(3), torch.ones(2, 3, 5)), name
    assert torch.allclose(REPLACEMENTS["even"](weights, 0), torch.tensor(1 / 7))
    assert queries(weights) == (2,)
    assert REPLACEMENTS["mean"](weights, 0)[1, 2, 4].equal(weights.map[1, 2].mean(0))
    shuffled = REPLACEMENTS["shuffled"](weights, 0)
    assert not shuffled.equal(weights.map) and shuffled.sort(3).values.equal(weights.map.sort(3).values)
    assert REPLACEMENTS["swapped"](weights, 0).equal(weights.map[[1, 0]])

    gate = formed(torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(1)), "B C H W")
    assert REPLACEMENTS["even"](gate, 0)[1, 2, 3, 4] == pytest.approx(float(gate.map[1].mean()))
    assert queries(gate) == (2, 3)
    assert REPLACEMENTS["mean"](gate, 0)[1, 2, 3, 4] == pytest.approx(float(gate.map[1, 2].mean()))
    moved = REPLACEMENTS["shuffled"](gate, 0)
    assert moved.flatten(1).sort(1).values.equal(gate.map.flatten(1).sort(1).values) and not moved.equal(gate.map)
    assert torch.allclose(REPLACEMENTS["images"](gate, 0)[1], gate.map.mean(0))

    channels = formed(torch.rand(2, 11, 1, 1, generator=torch.Generator().manual_seed(2)), "B C 1 1")
    assert queries(channels) == ()
    assert REPLACEMENTS["shuffled"](channels, 0).sort(1).values.equal(channels.map.sort(1).values)
    heads = formed(torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(4)), "B h Q X", "X")
    assert queries(heads) == (2,)
    places = formed(torch.rand(2, 1, 5, 7).flatten(2).softmax(2).view(2, 1, 5, 7), "B 1 H W", "H W")
    assert queries(places) == () and torch.allclose(REPLACEMENTS["mean"](places, 0), torch.tensor(1 / 35))


def test_only_the_named_maps_are_replaced() -> None:
    network = Reads().eval()
    x = cues(2)[0]
    with torch.no_grad():
        before = network(x)
        with replacing(network, "even", only={"gate/copy"}) as met:
            assert network(x).equal(before) and not met
        with replacing(network, "even", only={"gate/channel"}) as met:
            assert not network(x).equal(before) and set(met) == {"gate/channel"}
        assert network(x).equal(before)


def test_variance_by_hand() -> None:
    """Six images, one value: groups 0 0 0 and 1 1 1 with 1 2 3 and 5 6 7."""
    values = torch.tensor([1.0, 2, 3, 5, 6, 7])[:, None]
    within, between, total = 4.0, 24.0, 28.0
    expected = (between - within / 4) / (total + within / 4)
    found = variance.share(values, [0, 0, 0, 1, 1, 1], seed=0, shuffles=3)
    assert found is not None and found.value == pytest.approx(expected)
    assert (found.groups, found.images) == (2, 6)
    left = []
    for i in range(6):
        keep = [k for k in range(6) if k != i]
        one = variance.share(values[keep], [[0, 0, 0, 1, 1, 1][k] for k in keep], seed=0, shuffles=1)
        assert one is not None
        left.append(one.value)
    error = math.sqrt(5 / 6 * sum((value - sum(left) / 6) ** 2 for value in left))
    assert found.low == pytest.approx(expected - 2.570581836 * error)
    assert found.high == pytest.approx(min(1, expected + 2.570581836 * error))
    assert variance.share(values, [0] * 6, seed=0) is None
    assert variance.share(torch.ones(6, 2), [0, 0, 0, 1, 1, 1], seed=0) is None
    assert variance.share(values, [0, 0, 0, 1, 1, -1], seed=0).images == 5


def test_what_and_where_are_told_apart() -> None:
    """Channels that follow the class, and positions that follow the place; shuffled groups explain nothing."""
    generator = torch.Generator().manual_seed(0)
    what, where = torch.randint(0, 3, (2, 60), generator=generator)
    noise = 0.5 * torch.randn(60, 13, generator=generator)
    by_class = variance.share(noise + torch.nn.functional.one_hot(what, 13), what.tolist(), seed=0)
    assert abs(by_class.shuffled) < 0.01 < by_class.shuffled_high < 0.03 < 0.1 < by_class.low
    other = variance.share(noise + torch.nn.functional.one_hot(what, 13), where.tolist(), seed=0, shuffles=3)
    assert other.value < by_class.low


def test_the_place_of_an_object_is_the_cell_of_its_middle() -> None:
    regions = torch.zeros(4, 9, 12, dtype=torch.bool)
    regions[0, 0, 0] = regions[1, 8, 11] = True
    regions[2, 3:6, 4:8] = True
    assert variance.cells(regions) == [0, 8, 4, -1]


def test_weights_are_lost_from_the_output_on_and_come_back() -> None:
    network, x = Reads().eval(), cues(2)[0]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = cascade(
        network, x, 4, 0, lambda: {name: value.equal(before[name]) for name, value in network.state_dict().items()}
    )
    assert [name for name, _ in found] == ["classify", "gate.what", "gate.where", "stem"]
    untouched = [{name for name, same in told.items() if same and name.endswith("weight")} for _, told in found]
    assert untouched[0] == {"gate.what.weight", "gate.where.weight", "stem.weight"} and untouched[-1] == set()
    assert all(value.equal(before[name]) for name, value in network.state_dict().items())
    with pytest.raises(RuntimeError, match="stop"):
        cascade(network, x, 1, 0, _stop)
    assert all(value.equal(before[name]) for name, value in network.state_dict().items())


def _stop() -> None:
    raise RuntimeError("stop")


def test_maps_are_alike_by_their_ranks() -> None:
    ours = torch.tensor([[[1.0, 2, 3, 4, 5]], [[1, 1, 1, 1, 1]], [[1, 2, 3, 4, 5]]])
    theirs = torch.tensor([[[1.0, 4, 9, 16, 25]], [[1, 2, 3, 4, 5]], [[5, 4, 3, 2, 1]]])
    assert alike(ours, theirs).values.tolist() == pytest.approx([1, math.nan, -1], nan_ok=True)


def test_an_interval_over_the_images() -> None:
    found = Measured.of([1.0, 2.0, 3.0, math.nan])
    assert found.mean == 2 and found.interval() == pytest.approx((2 - 4.302652730 / 3**0.5, 2 + 4.302652730 / 3**0.5))
    assert all(math.isnan(end) for end in Measured.of([5.0]).interval()) and math.isnan(Measured.of([math.nan]).mean)
    assert found.minus(Measured.of([0.5, 0.5, 0.5, 0.5])).mean == 1.5


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"baselines": ["grey"]}, "baselines='grey': 'blur', 'mean' or 'road' is needed"),
        ({"baselines": []}, "baselines=\\[\\]: at least one value is needed"),
        ({"of": "loss"}, "of='loss': 'probability' or 'logit' is needed"),
        ({"steps": 1}, "steps=1: a whole number of at least 2 is needed"),
        ({"labels": [0, 1, 0]}, "labels=\\[0, 1, 0\\]: one class, or 2, one for each image, is needed"),
        ({"labels": 2}, "target=2: classes from 0 to 1 are needed"),
        ({"places": [0.5, 1.0]}, "places=torch.float32 \\(2,\\): bool masks of the images, or 2 whole numbers"),
        ({"maps": lambda x: {"random": x[:, 0]}}, "maps: it gives a map named 'random', as one of the references"),
        (
            {"maps": lambda x: x},
            "maps: it gives the map of \\(2, 3, 23, 29\\): one map for each image, 2 h w, is needed",
        ),
    ],
)
def test_wrong_arguments(given: dict[str, object], message: str) -> None:
    arguments = {"maps": "gate/*", "labels": 0, **given}
    with pytest.raises(ValueError, match=message):
        faithful(Reads(), cues(2)[0], **arguments)  # type: ignore[arg-type]
