"""The batch protocol: samples, collating with and without padding, loading, and augmentation of whole samples."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Generator, Tensor
from torch.utils.data import Dataset

from regard.data.augmenting import Crop, InTurn, Jitter, Mirror, OfImage, Rescale, ResizedCrop, Turn, resized
from regard.data.batches import Batch, as_sample, collate, in_order, loader, padded, samples


def generator(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


class Sentences(Dataset):
    """Images with a sentence of its own length each."""

    collate_fn = staticmethod(partial(padded, fields={"words": 0}))
    lengths = (3, 1, 5, 2)

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict[str, object]:
        words = torch.arange(1, self.lengths[index] + 1) * (index + 1)
        return {"image": torch.full((1, 2, 3), float(index)), "words": words, "file": f"{index}.jpg"}


def test_an_item_is_a_mapping_or_a_pair() -> None:
    image = torch.zeros(1, 2, 3)
    assert as_sample((image, 4)) == {"image": image, "label": 4}
    assert as_sample({"words": [1]}) == {"words": [1]}
    for wrong in (image, 3, (image, 1, 2)):
        with pytest.raises(TypeError, match=r"a mapping of names, or \(image, label\), is needed"):
            as_sample(wrong)


def test_a_dataset_is_asked_for_all_at_once_where_it_can() -> None:
    class AtOnce(Sentences):
        def __getitems__(self, indices: list[int]) -> list[dict[str, object]]:
            asked.append(indices)
            return [self[index] for index in indices]

    asked: list[list[int]] = []
    assert [sample["file"] for sample in samples(AtOnce(), range(1, 3))] == ["1.jpg", "2.jpg"]
    assert asked == [[1, 2]]


def test_fields_are_stacked_by_their_kind() -> None:
    found = collate([{"x": torch.ones(2) * i, "n": i, "share": i / 2, "name": str(i)} for i in range(3)])
    assert found["x"].tolist() == [[0, 0], [1, 1], [2, 2]]
    assert found["n"].dtype == torch.int64 and found["share"].dtype == torch.float32
    assert found["name"] == ["0", "1", "2"] and found.size == 3


def test_what_does_not_fit_together_is_named() -> None:
    with pytest.raises(ValueError, match=r"x of sample 7 has shape \(3,\), and of sample 4 \(2,\): one shape"):
        collate([{"x": torch.ones(2), "index": 4}, {"x": torch.ones(3), "index": 7}])
    with pytest.raises(ValueError, match=r"sample 7 has the fields \['index', 'y'\]"):
        collate([{"x": 1, "index": 4}, {"y": 1, "index": 7}])


def test_padding_comes_with_its_mask() -> None:
    (found,) = loader(Sentences(), in_order([0, 1, 3], 3))
    assert found["words"].tolist() == [[1, 2, 3], [2, 0, 0], [4, 8, 0]]
    assert found["words_mask"].tolist() == [[True, True, True], [True, False, False], [True, True, False]]
    assert found["index"].tolist() == [0, 1, 3] and found["file"] == ["0.jpg", "1.jpg", "3.jpg"]
    assert found["image"].shape == (3, 1, 2, 3)


def test_padding_keeps_what_stands_behind_the_first_axis() -> None:
    found = padded([{"boxes": torch.ones(n, 4)} for n in (2, 0, 3)], fields={"boxes": torch.nan})
    assert found["boxes"].shape == (3, 3, 4) and found["boxes"].isnan().sum() == 4 * 4
    assert found["boxes_mask"].sum(1).tolist() == [2, 0, 3]


def test_a_batch_moves_its_tensors_and_leaves_the_rest() -> None:
    moved = Batch(x=torch.ones(2), name=["a", "b"]).to("meta")
    assert isinstance(moved, Batch) and moved["x"].is_meta and moved["name"] == ["a", "b"]


@pytest.mark.parametrize("workers", [0, 1])
def test_the_loader_augments_by_seed_epoch_and_index_and_draws_nothing_of_the_callers(workers: int) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    keys = [[(0, 2), (0, 1)], [(1, 2)]]
    first, second = loader(Sentences(), keys, augment=noisy, seed=5, workers=workers)
    assert torch.equal(torch.rand(2), expected)
    (other,) = loader(Sentences(), [[(0, 1), (0, 2)]], augment=noisy, seed=5)
    assert torch.equal(first["image"].flip(0), other["image"])
    assert not torch.equal(first["image"][0], second["image"][0])


def noisy(sample: dict[str, Tensor], generator: Generator) -> dict[str, Tensor]:
    return {**sample, "image": sample["image"] + torch.rand((), generator=generator)}


# Augmenting: an image whose pixels say where they are, a mask and boxes that say the same.


def scene(height: int = 12, width: int = 20) -> dict[str, Tensor]:
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    mask = ((rows >= 3) & (rows < 8) & (columns >= 5) & (columns < 11)).long()
    image = torch.stack((mask.float(), rows / height, columns / width))
    return {"image": image, "mask": mask, "boxes": torch.tensor([[5.0, 3, 11, 8], [0, 0, 2, 1]]), "label": 7}


def around(mask: Tensor) -> list[float]:
    rows, columns = (mask == 1).nonzero(as_tuple=True)
    return [columns.min().item(), rows.min().item(), columns.max().item() + 1, rows.max().item() + 1]


@pytest.mark.parametrize("seed", range(6))
def test_image_mask_and_boxes_move_together(seed: int) -> None:
    moved = InTurn(Rescale(0.8, 1.6), Crop(11, 17), Mirror())(scene(), generator(seed))
    assert moved["image"].shape == (3, 11, 17) and moved["mask"].shape == (11, 17) and moved["label"] == 7
    assert moved["mask"].dtype == torch.int64 and set(moved["mask"].unique().tolist()) <= {0, 1, 255}
    if (moved["mask"] == 1).any() and not moved["boxes"][0].isnan().any():
        assert around(moved["mask"]) == pytest.approx(moved["boxes"][0].tolist(), abs=1.0)
    inside = moved["mask"] != 255
    assert ((moved["image"][0] > 0.5) == (moved["mask"] == 1))[inside].double().mean() > 0.9


@pytest.mark.parametrize("seed", range(1, 4))
def test_a_turn_moves_image_mask_and_boxes_and_leaves_void_outside(seed: int) -> None:
    turned = Turn(30, fill=0.5)({**scene(), "mask": scene()["mask"].to(torch.uint8)}, generator(seed))
    assert turned["image"].shape == (3, 12, 20) and turned["mask"].dtype == torch.uint8 and turned["label"] == 7
    assert set(turned["mask"].unique().tolist()) == {0, 1, 255}
    left, top, right, bottom = around(turned["mask"])
    box = turned["boxes"][0].tolist()
    assert box[0] - 1 <= left <= right <= box[2] + 1 and box[1] - 1 <= top <= bottom <= box[3] + 1
    inside = turned["mask"] != 255
    assert ((turned["image"][0] > 0.5) == (turned["mask"] == 1))[inside].double().mean() > 0.9
    corners = (turned["mask"] == 255) & (turned["image"][1] == 0.5)
    assert corners.any()


def test_a_turn_by_a_right_angle_is_exact() -> None:
    sample = {"image": scene(7, 7)["image"], "mask": scene(7, 7)["mask"], "boxes": torch.tensor([[5.0, 3, 7, 7]])}
    share = 2 * torch.rand((), generator=generator(1)).item() - 1  # of the largest angle, and its sign
    assert abs(share) > 0.5
    turned = Turn(90 / abs(share))(sample, generator(1))
    clockwise = share > 0  # y points down
    assert torch.equal(turned["mask"], sample["mask"].rot90(-1 if clockwise else 1))
    assert (turned["image"] - sample["image"].rot90(-1 if clockwise else 1, (1, 2))).abs().max() < 1e-5
    assert turned["boxes"].tolist() == [pytest.approx([0, 5, 4, 7] if clockwise else [3, 0, 7, 2], abs=1e-4)]
    assert torch.equal(Turn(0.0)(sample, generator(1))["mask"], sample["mask"])


def test_a_jitter_changes_colours_alone() -> None:
    sample = {"image": torch.rand(3, 5, 7, generator=generator(1)), "mask": torch.zeros(5, 7, dtype=torch.uint8)}
    changed = Jitter()(sample, generator(2))
    assert changed["mask"] is sample["mask"] and not torch.equal(changed["image"], sample["image"])
    assert changed["image"].min() >= 0 and changed["image"].max() <= 1
    assert torch.equal(Jitter()(sample, generator(2))["image"], changed["image"])
    assert (Jitter(0, 0, 0)(sample, generator(2))["image"] - sample["image"]).abs().max() < 1e-6
    grey = {"image": torch.full((3, 5, 7), 0.25)}
    light = Jitter(0.5, 0, 0)(grey, generator(4))["image"]
    draw = torch.rand(3, generator=generator(4))[0]
    assert (light - 0.25 * (0.5 + draw)).abs().max() < 1e-6


def test_a_mirror_flips_what_belongs_to_the_image() -> None:
    mirrored = Mirror(1.0)(scene(), generator())
    assert torch.equal(mirrored["image"], scene()["image"].flip(-1))
    assert torch.equal(mirrored["mask"], scene()["mask"].flip(-1))
    assert mirrored["boxes"].tolist() == [[9, 3, 15, 8], [18, 0, 20, 1]]
    assert Mirror(0.0)(scene(), generator())["boxes"].tolist() == scene()["boxes"].tolist()
    share = sum(Mirror(0.3)(scene(), generator(i))["boxes"][0, 0] == 9 for i in range(400)) / 400
    assert share == pytest.approx(0.3, abs=0.07)


def test_a_window_beyond_the_image_is_void() -> None:
    cut = Crop(14, 23, fill=0.5)(scene(), generator())
    assert cut["image"][:, 12:].unique().tolist() == [0.5] and cut["image"][:, :, 20:].unique().tolist() == [0.5]
    assert cut["mask"][12:].unique().tolist() == [255] and torch.equal(cut["mask"][:12, :20], scene()["mask"])
    region = Crop(14, 23)({**scene(), "region": scene()["mask"].bool()}, generator())["region"]
    assert region.dtype == torch.bool and not region[12:].any()


def test_boxes_outside_a_window_are_none() -> None:
    found = Crop(4, 4)({**scene(), "image": torch.zeros(3, 4, 20)}, generator(2))["boxes"]
    assert found[1].isnan().all() or found[1, 0] >= 0
    for seed in range(20):
        boxes = Crop(4, 4)(scene(), generator(seed))["boxes"]
        kept = boxes[~boxes.isnan().any(1)]
        assert (kept >= 0).all() and (kept <= 4).all() and (kept[:, 2:] > kept[:, :2]).all()


def test_labels_are_resized_to_the_nearest_and_never_mixed() -> None:
    sample = {"image": torch.rand(3, 6, 6), "mask": torch.randint(0, 19, (1, 6, 6)) * 10}
    larger = resized(sample, 15, 9)
    assert set(larger["mask"].unique().tolist()) <= set(sample["mask"].unique().tolist())
    assert larger["image"].shape == (3, 15, 9) and larger["mask"].shape == (1, 15, 9)


def test_a_resized_crop_depends_on_the_generator_alone() -> None:
    image = torch.arange(48.0).view(1, 1, 48).expand(3, 32, 48) / 48
    crops = [ResizedCrop()({"image": image}, generator(seed))["image"] for seed in (1, 1, 2)]
    assert crops[0].shape == image.shape and torch.equal(crops[0], crops[1]) and not torch.equal(crops[0], crops[2])
    assert all(crop.min() >= 0 and crop.max() <= 1 for crop in crops)
    assert crops[0][0, 0].diff().sign().unique().numel() == 1
    flipped = OfImage(lambda image, generator: image.flip(1))({"image": image, "label": 2}, generator())
    assert flipped["label"] == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mirror(1.5), r"share=1\.5"),
        (lambda: Rescale(2.0, 1.0), r"low=2\.0, high=1\.0"),
        (lambda: Crop(0, 3), "height=0"),
        (lambda: ResizedCrop(least=0.0), r"least=0\.0"),
        (lambda: Turn(181), "degrees=181"),
        (lambda: Jitter(contrast=1.5), r"contrast=1\.5"),
    ],
)
def test_bad_settings_are_refused_by_name(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
