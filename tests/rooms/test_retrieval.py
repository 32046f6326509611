"""Retrieval scores, re-ranking and the task of re-identification: the recorded numbers, rules and edges."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional

from regard.data.batches import Batch
from regard.metrics.retrieval import ReRanking, Retrieval, Scored, scored
from regard.ops.distances import distances
from regard.ops.reranking import rerank
from regard.tasks.reidentify import Reidentify, mask_entropy

RECORDED = sorted((Path(__file__).parent / "golden_metrics" / "reid_metrics").glob("*.safetensors"))


def filled(metric: Retrieval, tensors: dict[str, Tensor]) -> Retrieval:
    """A metric with the images of a recorded case, given in unequal parts."""
    query, gallery, persons, others, cameras, theirs = (tensors[f"input.{i}"] for i in range(6))
    for part in (slice(0, 4), slice(4, None)):
        metric.update(query[part], persons[part], cameras[part], torch.ones_like(persons[part]))
        metric.update(gallery[part], others[part], theirs[part], torch.zeros_like(others[part]))
    return metric


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_the_scores_equal_the_recorded(path: Path) -> None:
    with safe_open(path, "pt") as file:
        args, tensors = json.loads(file.metadata()["args"]), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    found = distances(tensors["input.0"], tensors["input.1"], args["metric"])
    found = found.square() if args["metric"] == "euclidean" else found  # theirs is squared
    torch.testing.assert_close(found, tensors["output.0"], rtol=1e-10, atol=1e-10)
    again = args["rerank"]
    runs = (
        [(None, 1)] if again is None else [(None, 1), (ReRanking(again["k1"], again["k2"], again["lambda_value"]), 4)]
    )
    for reranking, first in runs:
        cmc, map_ = tensors[f"output.{first}"], float(tensors[f"output.{first + 1}"])
        ranks = tuple(range(1, len(cmc) + 1))
        metric = filled(Retrieval(compared=args["metric"], reranking=reranking, ranks=ranks), tensors)
        scores = metric.compute()
        torch.testing.assert_close(torch.tensor([scores[f"rank_{k}"] for k in ranks]), cmc.float(), rtol=0, atol=1e-6)
        assert scores["map_hits"] == pytest.approx(map_, abs=1e-7 if reranking is None else 1e-6)
    if again is not None:
        k1, k2, weight = again["k1"], again["k2"], again["lambda_value"]
        for block in (2, 512):
            rows = rerank(tensors["input.0"], tensors["input.1"], k1=k1, k2=k2, weight=weight, block=block)
            torch.testing.assert_close(rows, tensors["output.3"], rtol=1e-5, atol=1e-6)


def ranked(matches: str, *, precision: str = "hits") -> Scored:
    """One query; its gallery, nearest first, has its person from another camera (+), from its own (o), others (-)."""
    persons = torch.tensor([7 if letter in "+o" else 0 for letter in matches])
    cameras = torch.tensor([1 if letter == "o" else 2 for letter in matches])
    rows = torch.arange(len(matches)).double()[None]
    return scored(rows, (torch.tensor([7]), torch.tensor([1])), (persons, cameras), precision=precision)


def test_the_scores_of_one_query_by_hand() -> None:
    hits, trapezoid = ranked("o-+-o+"), ranked("o-+-o+", precision="trapezoid")  # hits at the ranks 2 and 4
    assert hits.first.tolist() == [2]
    assert float(hits.ap) == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert float(hits.inp) == pytest.approx(2 / 4)
    assert float(trapezoid.ap) == pytest.approx(((0 + 1 / 2) / 2 + (1 / 3 + 2 / 4) / 2) / 2)
    assert float(ranked("+-", precision="trapezoid").ap) == 1.0  # nothing stands before the first
    assert ranked("oo-").counts.tolist() == [False]


def test_fewer_images_than_the_rank_and_queries_without_a_match() -> None:
    metric = Retrieval(compared="euclidean")
    features = torch.tensor([[0.0], [5.0], [1.0], [4.0], [0.5]])
    metric.update(features, torch.tensor([1, 2, 1, 2, 3]), torch.tensor([1, 1, 2, 1, 2]), torch.tensor([1, 1, 0, 0, 0]))
    scores = metric.compute()  # the second query has its person under its own camera alone
    assert scores == {
        "map_hits": 0.5, "rank_1": 0.0, "rank_5": 1.0, "rank_10": 1.0, "rank_20": 1.0, "minp": 0.5,
        "queries": 1.0, "dropped": 1.0,
    }  # fmt: skip
    kept = Retrieval(compared="euclidean", same_camera=True)
    kept.merge_state(metric)
    assert (kept.compute()["map_hits"], kept.compute()["dropped"]) == (0.75, 0.0)


def test_a_metric_without_queries_gallery_or_matches_says_so() -> None:
    one = torch.tensor([1])
    with pytest.raises(ValueError, match="there is no query"):
        Retrieval().compute()
    metric = Retrieval()
    metric.update(torch.ones(1, 3), one, one, one)
    with pytest.raises(ValueError, match="there is no image of the gallery"):
        metric.compute()
    metric.update(torch.ones(1, 3), one, one, 0 * one)
    with pytest.raises(ValueError, match="no query has another image of its person in the gallery, from another"):
        metric.compute()
    with pytest.raises(ValueError, match="features hold values that are not finite"):
        metric.update(torch.full((1, 3), torch.nan), one, one, one)
    with pytest.raises(ValueError, match="precision='mean': 'hits' or 'trapezoid' is needed"):
        Retrieval(precision="mean")


def plainly(features: Tensor, queries: int, k1: int, k2: int, weight: float) -> Tensor:
    """Equations (1) to (6) of `regard.ops.reranking`, set by set over the whole matrix of squared distances."""
    d = torch.cdist(features, features).square()
    d /= d.amax(1, keepdim=True)
    order = d.argsort(1).tolist()

    def reciprocal(i: int, k: int) -> set[int]:
        return {j for j in order[i][: k + 1] if i in order[j][: k + 1]}

    v = torch.zeros_like(d)
    for i in range(len(d)):
        own = reciprocal(i, k1)
        taken = set(own)
        for j in own:
            others = reciprocal(j, round(k1 / 2))
            if len(others & own) > 2 / 3 * len(others):
                taken |= others
        where = sorted(taken)
        v[i, where] = (-d[i, where]).exp() / (-d[i, where]).exp().sum()
    v = torch.stack([v[order[i][:k2]].mean(0) for i in range(len(d))])
    s = torch.stack([torch.minimum(v[q], v).sum(1) for q in range(queries)])
    return ((1 - weight) * (1 - s / (2 - s)) + weight * d[:queries])[:, queries:]


@pytest.mark.parametrize(("k1", "k2", "block"), [(20, 6, 31), (7, 1, 512), (5, 9, 1)])
def test_re_ranking_in_blocks_equals_the_plain_form(k1: int, k2: int, block: int) -> None:
    generator = torch.Generator().manual_seed(k1)
    centres = torch.randn(17, 5, generator=generator, dtype=torch.float64)
    features = centres[torch.randint(17, (97,), generator=generator)]
    features = features + 0.3 * torch.randn(97, 5, generator=generator, dtype=torch.float64)
    found = rerank(features[:13], features[13:], compared="euclidean", k1=k1, k2=k2, weight=0.3, block=block)
    torch.testing.assert_close(found, plainly(features, 13, k1, k2, 0.3), rtol=1e-10, atol=1e-10)


def test_re_ranking_takes_fewer_images_than_neighbours() -> None:
    features = torch.tensor([[0.0, 1.0], [1.0, 0.1], [0.1, 1.0]])
    rows = rerank(features[:1], features[1:])
    assert rows.shape == (1, 2)
    assert rows[0, 1] < rows[0, 0]
    same = rerank(torch.ones(2, 3), torch.ones(3, 3))
    assert same.isfinite().all()
    with pytest.raises(ValueError, match=r"weight=1.5: a number of at least 0 and of at most 1 is needed"):
        rerank(features[:1], features[1:], weight=1.5)
    with pytest.raises(ValueError, match=r"gallery of shape \(0, 2\)"):
        rerank(features, features[:0])


# The task


class Returning(nn.Module):
    """A network that returns what it is given, times the light of the images."""

    def __init__(self, behind: Tensor, before: Tensor, logits: Tensor, *masks: Tensor) -> None:
        super().__init__()
        self.found = (behind, before, logits, *masks)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        light = 1 + images[..., 0].flatten(1).mean(1, keepdim=True)  # of the left border
        return (*(one * light for one in self.found[:3]), *self.found[3:])


BEFORE = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0], [0.0, 3.0]])
BEHIND = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 0.0]])


def a_batch(**more: Tensor) -> Batch:
    return Batch(image=torch.zeros(4, 3, 8, 6), person=torch.tensor([1, 1, 0, 0]), **more)


def test_the_hardest_triplets_by_hand_before_and_behind_the_norm() -> None:
    model = Returning(BEHIND, BEFORE, torch.zeros(4, 3))
    loss, figures = Reidentify(3).loss(model, a_batch())
    # distances: 0-1 5, 0-2 1, 0-3 3, 1-2 √18, 1-3 √10, 2-3 2
    hinges = [5 - 1, 5 - 10**0.5, 2 - 1, 2 - 3]
    assert float(figures["triplet"]) == pytest.approx(sum(max(0, one + 0.3) for one in hinges) / 4, abs=1e-6)
    assert float(figures["entropy"]) == pytest.approx(math.log(3), abs=1e-6)  # the same for every smoothing
    assert float(loss) == pytest.approx(float(figures["triplet"]) + math.log(3), abs=1e-6)
    _, figures = Reidentify(3, place="behind", distance="cosine").loss(model, a_batch())
    half = 0.5**0.5  # cosines: 0-1 0, 0-2 √½, 0-3 -1, 1-2 √½, 1-3 0, 2-3 -√½
    hinges = [half - 0, half - 0, half + half, 0 + half]
    assert float(figures["triplet"]) == pytest.approx(sum(one + 0.3 for one in hinges) / 4, abs=1e-6)


def test_masks_are_supervised_bilinearly_with_aligned_corners() -> None:
    parts = torch.rand(4, 5, 8, 6, generator=torch.Generator().manual_seed(0))
    masks = [torch.full((4, 5, 4, 3), 0.25), torch.full((4, 5, 2, 2), 0.5)]
    model = Returning(BEHIND, BEFORE, torch.zeros(4, 3), *masks)
    task = Reidentify(3, mask_weight=0.5)
    loss, figures = task.loss(model, a_batch(parts=parts))
    aim = functional.interpolate(parts, (4, 3), mode="bilinear", align_corners=True)
    first = -(aim * math.log(0.25) + (1 - aim) * math.log(0.75)).mean()
    assert float(figures["masks"]) == pytest.approx((float(first) + math.log(2)) / 2, abs=1e-6)
    plain, _ = Reidentify(3).loss(model, a_batch(parts=parts))
    assert float(loss - plain) == pytest.approx(0.5 * float(figures["masks"]), abs=1e-6)
    with pytest.raises(ValueError, match="batches with parts are needed, or mask_weight=0"):
        task.loss(model, a_batch())
    with pytest.raises(ValueError, match="a network that returns masks is needed"):
        task.loss(Returning(BEHIND, BEFORE, torch.zeros(4, 3)), a_batch(parts=parts))
    clips = torch.rand(4, 7, 5, 8, 6, generator=torch.Generator().manual_seed(1))
    over = mask_entropy([torch.full((4, 7, 5, 4, 3), 0.25)], clips)
    apart = mask_entropy([torch.full((28, 5, 4, 3), 0.25)], clips.flatten(0, 1))
    assert over.equal(apart)


def test_features_of_the_mirror_image_are_averaged_and_the_scores_name_their_precision() -> None:
    images = torch.zeros(4, 3, 8, 6)
    images[..., -1] = 3.0  # the right border: the mirror image is four times as light on the left
    model = Returning(BEHIND, BEFORE, torch.zeros(4, 3))
    plain, mirrored = Reidentify(3), Reidentify(3, mirror=True, scored="before", precision="trapezoid")
    assert plain.features(model, images).allclose(BEHIND)
    assert mirrored.features(model, images).allclose(2.5 * BEFORE)
    batch = a_batch(camera=torch.tensor([0, 1, 0, 1]), query=torch.tensor([1, 0, 1, 0]))
    metric = mirrored.metric()
    metric.update(*mirrored.answers(model, batch))
    assert mirrored.measure.name in metric.compute()
    again = Reidentify(3, scored="before", compared="euclidean", precision="trapezoid", reranking=ReRanking())
    assert plain.measure.title == "mAP (hits, cosine behind the batch norm)"
    assert again.measure.title == "mAP (trapezoid, euclidean before the batch norm, re-ranked)"


def test_a_batch_of_one_person_and_another_network_are_refused() -> None:
    model = Returning(BEHIND, BEFORE, torch.zeros(4, 3))
    alone = Batch(image=torch.zeros(4, 3, 8, 6), person=torch.ones(4, dtype=torch.int64))
    with pytest.raises(ValueError, match="a batch of 4 images of one person: images of at least two are needed"):
        Reidentify(3).loss(model, alone)
    with pytest.raises(ValueError, match="the model returns Tensor: the features behind and before the batch norm"):
        Reidentify(3).loss(nn.Flatten(), a_batch())
    with pytest.raises(ValueError, match="place='after': 'behind' or 'before' is needed"):
        Reidentify(3, place="after")
