"""Neural Baby Talk: RoI align, targets, pointing, naming, sentences with slots, and constrained decoding."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from regard.data.object_names import ObjectNames
from regard.data.words import Words
from regard.networks.captioner import decode
from regard.ops.constrained_search import constrained_search
from regard.ops.words import END, PAD, SPECIAL, START
from regard.papers.neural_baby_talk.network import NeuralBabyTalk
from regard.papers.neural_baby_talk.regions import overlaps, roi_align
from regard.papers.neural_baby_talk.slots.slots import Described, Slotted, sentence
from regard.papers.neural_baby_talk.targets import Told, losses, wanted
from regard.papers.neural_baby_talk.task import BabyTalk

NAMES = ObjectNames.of({"person": ("man", "woman"), "teddy bear": ("teddy bear",), "dog": ("dog", "puppy")})
WORDS = Words((*SPECIAL, "a", "and", "dogs", "hugs", "man", "teddy", "two"))
SIZES = {"vocabulary": len(WORDS), "classes": 4, "names": NAMES.owners, "width": 17, "embedding": 13, "hidden": 11}


def network(**changed: object) -> NeuralBabyTalk:
    torch.manual_seed(0)
    return NeuralBabyTalk(5, **{**SIZES, "word_vector": 7, **changed}).eval()


def seen(regions: int = 3, batch: int = 2) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    low = torch.rand(batch, regions, 2, generator=generator) / 2
    boxes = torch.cat([low, low + 0.1 + torch.rand(batch, regions, 2, generator=generator) * 0.4], 2)
    classes = torch.randint(1, 4, (batch, regions), generator=generator)
    scores = torch.rand(batch, regions, generator=generator)
    return torch.randn(batch, 5, 3, 4, generator=generator), boxes, classes, scores


def test_parameters_at_the_size_of_the_release() -> None:
    with torch.device("meta"):
        model = NeuralBabyTalk(2048, vocabulary=9488, classes=81, names=(1,) * 413)
    layers = {  # weights and biases, by the released classes
        "words": (9488 + 80) * 512,
        "projections": 2 * (2048 + 1) * 1024 + (2048 + 600 + 1) * 1024 + 6 * 300 + 2 * (1024 + 1) * 512,
        "attention layer": 4 * 1024 * (512 + 1024 + 1024 + 2),
        "language layer": 4 * 1024 * (2048 + 1024 + 2),
        "attention": 2 * ((1024 + 1) * 512 + 512 + 1),
        "pointer": (1024 + 1) * 1024 + 2 * (1024 + 1) * 512 + 512 + 1,
        "gate": (2048 + 1) * 1024 + (1024 + 1) * 1024,
        "scores": (1024 + 1) * 9488,
        "names": 2 * (2048 + 1) * 1024 + (1024 + 1) * 2 + (1024 + 1) * 300,
    }
    assert sum(parameter.numel() for parameter in model.parameters()) == sum(layers.values())


def test_roi_align_ends_one_cell_behind_the_box() -> None:
    features = torch.arange(5.0).expand(1, 1, 3, 5) + 10 * torch.arange(3.0)[:, None]
    box = torch.tensor([[[0.2, 1 / 3, 0.4, 2 / 3]]])  # cells 1 to 2 across, 1 to 2 down
    # Corners lie at 1 and 3 across, and at 1 and 3 down; the lower ones are outside of 3 rows, and 0.
    corners = [[11.0, 13.0], [0.0, 0.0]]
    assert roi_align(features, box).item() == pytest.approx(sum(map(sum, corners)) / 4)
    assert roi_align(features, box, 2).shape == (1, 1, 1, 2, 2)


def test_a_point_in_the_last_cell_is_extrapolated() -> None:
    features = torch.tensor([1.0, 2.0, 5.0]).expand(1, 1, 1, 3)
    box = torch.tensor(
        [[[2.5 / 3, 0.0, 2.5 / 3, 0.0]]]
    )  # 2.5 across, beyond the middle of the last cell; 3.5 is outside
    assert roi_align(features, box).item() == pytest.approx((5 + 0.5 * 3) / 4)


def test_overlaps_count_the_last_pixel_as_released() -> None:
    boxes = torch.tensor([[[0.0, 0.0, 1.0, 1.0]]])
    others = torch.tensor([[[1.0, 0.0, 2.0, 1.0], [0.0, 0.0, 0.0, 0.0]]])
    assert overlaps(boxes, others, 1.0).tolist() == [[[pytest.approx(2 / 6), 0.0]]]
    assert overlaps(boxes, others).tolist() == [[[0.0, 0.0]]]


def test_a_visual_word_without_a_region_is_textual() -> None:
    of_class = torch.tensor([[0, 2, 2, 1]])
    plural, names, own = torch.tensor([[0, 1, 2, 1]]), torch.tensor([[0, 3, 3, 1]]), torch.tensor([[7, 8, 9, 10]])
    overlap = torch.tensor([[[0.6, 0.0], [0.9, 0.0], [0.4, 0.8]]])  # of three regions with two objects
    meant = (torch.tensor([[2, 1]])[:, None] == of_class[:, :, None]) & (of_class > 0)[:, :, None]
    found = wanted(
        of_class, plural, names, own, overlap=overlap, meant=meant,
        classes=torch.tensor([[2, 2, 1]]), scores=torch.tensor([[0.5, 0.49, 0.3]]),
    )  # fmt: skip
    assert found.visual.tolist() == [[False, True, True, False]]
    assert found.chosen.tolist() == [[[0, 0, 0], [1, 0, 0], [1, 0, 0], [0, 0, 0]]]
    assert (found.plural.tolist(), found.names.tolist()) == ([[0, 1, 2, 0]], [[0, 3, 3, 0]])
    told = Told(
        torch.log(torch.full((1, 4, 11), 0.25)), torch.log(torch.tensor([0.5, 0.3, 0.2])).expand(1, 4, 3),
        torch.log(torch.tensor([0.75, 0.25])).expand(1, 4, 2), torch.log(torch.full((1, 4, 5), 0.2)),
    )  # fmt: skip
    summed = losses(told, found, torch.tensor([[True, True, True, True]]))
    assert summed.words.item() == pytest.approx(-2 * math.log(0.25) - 2 * math.log(0.5))
    assert summed.plural.item() == pytest.approx(-math.log(0.75) - math.log(0.25))
    assert (summed.word_count.item(), summed.name_count.item()) == (4, 2)
    expected = summed.words / 4 + summed.plural / 2 + summed.names / 2
    assert summed.total.item() == pytest.approx(expected.item())


@pytest.mark.parametrize("core", ["top-down", "att2in2"])
def test_words_and_regions_share_one_probability_and_a_chosen_region_is_not_chosen_again(core: str) -> None:
    model, inputs = network(core=core), seen()
    words = torch.tensor([[START, 5, len(WORDS) + 1, 4], [START, len(WORDS), len(WORDS) + 2, 6]])
    found = model(*inputs, words).exp()
    torch.testing.assert_close(found.sum(2), torch.ones(2, 4))
    pointed = found[:, :, len(WORDS) :] > 0
    assert pointed.tolist() == [
        [[True] * 3, [True] * 3, [True, False, True], [True, False, True]],
        [[True] * 3, [False, True, True], [False, True, False], [False, True, False]],
    ]


def test_of_a_region_its_class_is_read() -> None:
    model, inputs = network(), seen()
    told = model(*inputs, torch.tensor([[START, len(WORDS) + 2], [START, 5]]), chosen=torch.zeros(2, 2, 3))
    inputs[2][0] = torch.tensor([1, 3, 2])
    pointed = model(*inputs, torch.tensor([[START, len(WORDS) + 1], [START, 5]]))
    same = network()(*inputs, torch.tensor([[START, 5], [START, 5]]), chosen=torch.zeros(2, 2, 3))
    by_class = network()(*inputs, torch.tensor([[START, len(WORDS) + 2], [START, 5]]), chosen=torch.zeros(2, 2, 3))
    vocabulary = len(WORDS)
    textual = pointed[0, 1, :vocabulary].softmax(0)  # without the pointer, from which one region is hidden
    torch.testing.assert_close(textual, by_class.words[0, 1].softmax(0))
    assert not torch.allclose(textual, same.words[0, 1].softmax(0))
    assert told.words.shape == (2, 2, vocabulary)


def test_names_of_other_classes_are_hidden() -> None:
    shown = [row.logical_not().nonzero()[:, 0].tolist() for row in network().naming.hidden]
    assert shown == [[], [1, 2], [3], [4, 5]]


def test_padding_changes_nothing() -> None:
    model, inputs = network(), seen()
    words = torch.tensor([[START, 5, len(WORDS) + 1]] * 2)
    alone = model(*inputs, words)
    visible = torch.tensor([[True] * 3 + [False] * 2] * 2)
    padded = [inputs[0], *(torch.cat([x, torch.zeros_like(x[:, :2])], 1) for x in inputs[1:])]
    with_padding = model(*padded, visible, words)
    torch.testing.assert_close(with_padding[..., : len(WORDS) + 3], alone)
    assert (with_padding[..., len(WORDS) + 3 :].exp() == 0).all()


def test_a_region_is_named_with_a_word_of_its_class() -> None:
    model, inputs = network(), seen(regions=5, batch=7)
    sentences = [[4, len(WORDS) + i % 5, 5, len(WORDS) + (i + 2) % 5, END] for i in range(7)]
    for row, slots in enumerate(model.slots(inputs, sentences)):
        assert [slot.word for slot in slots] == [4, None, 5, None]
        for slot in (slots[1], slots[3]):
            assert slot.of_class == inputs[2][row, slot.region] and NAMES.owners[slot.name - 1] == slot.of_class
    assert model.slots(inputs, [[]] * 7) == [[]] * 7


def test_a_region_is_named_from_the_state_that_wrote_it() -> None:
    model, inputs = network(), seen()
    words = torch.tensor([[5, len(WORDS) + 1, 6]] * 2)
    plural, names = model.named(inputs, words)
    chosen = torch.zeros(2, 3, 3)
    chosen[:, 1, 1] = 1
    given = torch.tensor([[START, 5, 4]] * 2)  # the last word is another one: it does not matter
    told = model(*inputs, given, chosen=chosen)
    torch.testing.assert_close((plural[:, 1], names[:, 1]), (told.plural[:, 1], told.names[:, 1]))


def described(**changed: object) -> Described:
    boxes = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0], [0.1, 0.5, 0.4, 0.9]])
    classes = torch.tensor([1, 2, 3])
    captions = (("a", "man", "hugs", "a", "teddy", "bear"), ("two", "dogs"))
    return Described(**{
        "name": "x", "image": lambda: torch.rand(5, 3, 4), "objects": boxes, "object_classes": classes,
        "boxes": boxes, "classes": classes, "scores": torch.tensor([0.9, 0.95, 0.7]), "captions": captions, **changed,
    })  # fmt: skip


def test_a_caption_with_slots() -> None:
    found = sentence(described().captions[0], WORDS, NAMES, [1, 2, 3])
    v = len(WORDS) - 1
    a, man, hugs, teddy = (WORDS.encode([word])[1] for word in ("a", "man", "hugs", "teddy"))
    assert found.words == (START, a, v + 1, hugs, a, v + 2, END)
    assert found.own == (START, a, man, hugs, a, teddy, END)
    assert (found.of_class, found.plural, found.names) == (
        (0, 0, 1, 0, 0, 2, 0), (0, 0, 1, 0, 0, 1, 0), (0, 0, 1, 0, 0, 3, 0),
    )  # fmt: skip
    plain = sentence(described().captions[1], WORDS, NAMES, [1, 2])  # no dog is there
    assert plain.words == plain.own and set(plain.of_class) == {0}
    assert sentence(described().captions[1], WORDS, NAMES, [3]).plural == (0, 0, 2, 0)
    assert sentence(described().captions[0], WORDS, NAMES, [1], longest=2).words == (START, a, v + 1, END)
    assert sentence(described().captions[0], WORDS, NAMES, [1, 2, 3], visual=False).words[2] == man


def test_samples_are_collated_with_masks() -> None:
    two = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    other = described(boxes=two, classes=torch.tensor([1]), scores=torch.tensor([1.0]))
    data = Slotted([described(), other], WORDS, NAMES)
    assert (len(data), data.lengths) == (4, [7, 4, 7, 4])
    batch = data.collate_fn([data[0], data[3]])
    assert batch["boxes_mask"].tolist() == [[True] * 3, [True, False, False]]
    assert batch["words"][1].tolist()[3:] == [END, PAD, PAD, PAD] and batch["words_mask"].sum(1).tolist() == [7, 4]
    assert len(Slotted([described(), other], WORDS, NAMES, each=False)) == 2
    with pytest.raises(ValueError, match="captions: the image 'x' has none"):
        Slotted([described(captions=())], WORDS, NAMES)
    with pytest.raises(ValueError, match="boxes: the image 'x' has no region"):
        Slotted([described(boxes=two[:0])], WORDS, NAMES)


def test_required_regions_are_named() -> None:
    model = network()
    data = Slotted([described()], WORDS, NAMES, each=False)
    batch = data.collate_fn([data[0]])
    batch["features"] = batch["image"]
    task = BabyTalk(WORDS, NAMES, beam=2, longest=6, required=2, least=0.8)
    (slots,) = task.written(model, batch)
    assert {slot.region for slot in slots if slot.word is None} >= {0, 1}  # of the third the score is below 0.8
    (tokens,), (references,) = task.answers(model, batch)
    assert tokens == task.spelled(slots) and references == [list(caption) for caption in described().captions]


def test_the_constrained_search_follows_the_network_as_the_beam_does() -> None:
    model, inputs = network(), tuple(x[:1] for x in seen())
    how = {"beam": 3, "longest": 6, "never": (PAD, START)}
    with torch.no_grad():
        found = constrained_search(model.step, model.start(*inputs), [], start=START, end=END, **how)
    plain = decode(model, inputs, finished="aside", **how)[0]
    ended = [one for one in plain if one.finished] or plain
    assert found[0].words == ended[0].words
    torch.testing.assert_close(found[0].maps["pointer"], ended[0].maps["pointer"])


def looped(features: Tensor, box: list[float], bins: int) -> Tensor:
    """RoI align of one box in cells, point by point, as the released C code goes about it."""
    _, height, width = features.shape
    left, top, right, bottom = box
    points = torch.zeros(features.shape[0], bins + 1, bins + 1)
    for p in range(bins + 1):
        for q in range(bins + 1):
            y, x = top + p * max(bottom - top + 1, 0) / bins, left + q * max(right - left + 1, 0) / bins
            if 0 <= y < height and 0 <= x < width:
                row, column = min(math.floor(y), height - 2), min(math.floor(x), width - 2)
                for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
                    weight = (y - row if i else 1 - y + row) * (x - column if j else 1 - x + column)
                    points[:, p, q] += weight * features[:, row + i, column + j]
    return torch.nn.functional.avg_pool2d(points[None], 2, 1)[0]


@pytest.mark.parametrize("bins", [1, 2, 3])
def test_roi_align_equals_a_loop_over_its_points(bins: int) -> None:
    generator = torch.Generator().manual_seed(bins)
    features = torch.randn(2, 3, 5, 7, generator=generator)
    boxes = torch.randn(2, 11, 4, generator=generator) * 3 + 2  # some outside, some that end before they begin
    found = roi_align(features, boxes / torch.tensor([7.0, 5.0, 7.0, 5.0]), bins)
    for image, its_boxes, several in zip(features, boxes, found, strict=True):
        for box, one in zip(its_boxes, several, strict=True):
            torch.testing.assert_close(one, looped(image, box.tolist(), bins), rtol=1e-4, atol=1e-4)
