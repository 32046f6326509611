"""Volumes: reading, augmentation, loss, windows, distances between surfaces, and pictures."""

from __future__ import annotations

import gzip
import itertools
import json
import math
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Generator, Tensor, nn

from regard import draw, look
from regard.core import Maps
from regard.data import volumes
from regard.data.drawn_volumes import DrawnVolumes
from regard.data.volume_augmenting import Affine, Flips, Window
from regard.metrics.volumes import Volumes, surface_distances
from regard.tasks.volumes import SegmentVolumes, label_map, predict, soft_dice
from regard.viewing.slices import orthogonal

nibabel = pytest.importorskip("nibabel")
GRID = (5, 7, 11)  # X Y Z of the files
AFFINE = np.diag([-1.0, -2.0, -3.0, 1.0])  # L, P, I: as we have them, but for the order of the axes


def written(folder: Path, *, count: int = 5, validation: int = 0) -> Path:
    """A folder in the Decathlon's layout, whose voxel values say where they are."""
    values = np.arange(math.prod(GRID), dtype=np.float32).reshape(GRID)
    for name, array in (("imagesTr", values), ("labelsTr", (values % 3).astype(np.uint8))):
        (folder / name).mkdir(parents=True)
        for i in range(count + validation):
            nibabel.save(nibabel.Nifti1Image(array, AFFINE), folder / name / f"case_{i}.nii.gz")
    rows = [
        {"image": f"./imagesTr/case_{i}.nii.gz", "label": f"./labelsTr/case_{i}.nii.gz"}
        for i in range(count + validation)
    ]
    table = {"labels": {"0": "background", "1": "liver", "2": "tumour"}, "training": rows[:count]}
    if validation:
        table["validation"] = rows[count:]
    (folder / "dataset.json").write_text(json.dumps(table))
    return folder


def test_a_decathlon_folder_is_read_with_its_spacing(tmp_path: Path) -> None:
    train, test = volumes.read(written(tmp_path))
    assert (len(train), len(test), train.classes) == (4, 1, ("background", "liver", "tumour"))
    assert test.names == ("case_4.nii.gz",)
    sample = test[0]
    assert sample["image"].shape == (1, 11, 7, 5) and sample["mask"].shape == (11, 7, 5)
    assert sample["spacing"].tolist() == [3, 2, 1]
    raw = torch.arange(math.prod(GRID)).reshape(GRID).permute(2, 1, 0)
    assert torch.equal(sample["truth"], (raw % 3).to(torch.uint8))
    torch.testing.assert_close(sample["image"][0], ((raw - 192) / raw.double().std(correction=0)).float())
    assert "truth" not in train[0]
    assert len(volumes.read(written(tmp_path / "other", count=2, validation=1))[1]) == 1


def test_the_digest_changes_with_a_label_map(tmp_path: Path) -> None:
    train, _ = volumes.read(written(tmp_path))
    before = train.digest
    assert volumes.read(tmp_path)[0].digest == before != volumes.read(tmp_path, spacing=(1, 1, 1))[0].digest
    labels = np.zeros(GRID, np.uint8)
    labels[3, 2, 1] = 2
    nibabel.save(nibabel.Nifti1Image(labels, AFFINE), tmp_path / "labelsTr" / "case_1.nii.gz")
    assert train.digest != before


def test_files_of_another_orientation_become_the_same(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.arange(math.prod(GRID), dtype=np.float32).reshape(GRID), AFFINE)
    turned = image.as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
    found = []
    for name, one in (("a.nii", image), ("b.nii.gz", turned)):
        nibabel.save(one, tmp_path / name)
        found.append(volumes.load(tmp_path / name))
    assert torch.equal(found[0].values, found[1].values)
    assert found[0].spacing == found[1].spacing == (3.0, 2.0, 1.0)


def test_resampling_keeps_the_own_label_map(tmp_path: Path) -> None:
    _, test = volumes.read(written(tmp_path), spacing=(1.5, 2.0, 2.0))
    sample = test[0]
    assert sample["image"].shape == (1, 22, 7, 2) and sample["mask"].shape == (22, 7, 2)
    assert sample["truth"].shape == (11, 7, 5) and sample["spacing"].tolist() == [3, 2, 1]


def spoiled(folder: Path, what: str) -> None:
    table = json.loads((folder / "dataset.json").read_text())
    label = folder / "labelsTr" / "case_0.nii.gz"
    if what == "sizes":
        nibabel.save(nibabel.Nifti1Image(np.zeros((5, 7, 13), np.uint8), AFFINE), label)
    elif what == "label":
        nibabel.save(nibabel.Nifti1Image(np.full(GRID, 3, np.uint8), AFFINE), label)
    elif what == "fraction":
        nibabel.save(nibabel.Nifti1Image(np.full(GRID, 0.5, np.float32), AFFINE), label)
    elif what == "not finite":
        broken = np.full(GRID, np.nan, np.float32)
        nibabel.save(nibabel.Nifti1Image(broken, AFFINE), folder / "imagesTr" / "case_0.nii.gz")
    elif what == "cut":
        label.write_bytes(label.read_bytes()[: label.stat().st_size // 2])
    elif what == "text":
        label.write_bytes(gzip.compress(b"no volume"))
    elif what == "huge":
        raw = bytearray(gzip.decompress(label.read_bytes()))
        struct.pack_into("<8h", raw, 40, 3, 32767, 32767, 32767, 1, 1, 1, 1)
        label.write_bytes(gzip.compress(bytes(raw)))
    elif what == "missing":
        label.unlink()
    elif what == "empty":
        table["training"] = []
    elif what == "outside":
        table["training"][0]["image"] = "../secret.nii.gz"
    elif what == "few":
        table["training"] = table["training"][:3]
    elif what == "labels":
        table["labels"] = {"0": "background", "2": "tumour"}
    (folder / "dataset.json").write_text(json.dumps(table))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("sizes", r"labelsTr/case_0\.nii\.gz has size \(13, 7, 5\), and .*imagesTr/case_0\.nii\.gz \(11, 7, 5\)"),
        ("label", r"labelsTr/case_0\.nii\.gz has the label 3: dataset\.json has labels from 0 to 2"),
        ("fraction", r"labelsTr/case_0\.nii\.gz has the label 0\.5"),
        ("not finite", r"imagesTr/case_0\.nii\.gz has values that are not finite"),
        ("cut", r"labelsTr/case_0\.nii\.gz cannot be read as a volume"),
        ("huge", r"labelsTr/case_0\.nii\.gz cannot be read as a volume: a shape of \(32767, 32767, 32767\)"),
        ("text", r"labelsTr/case_0\.nii\.gz cannot be read as a volume"),
        ("missing", r"no file .*labelsTr/case_0\.nii\.gz, which .*dataset\.json lists"),
        ("empty", r"dataset\.json: training lists no volume"),
        ("outside", r"dataset\.json lists '\.\./secret\.nii\.gz': a file of the same folder is needed"),
        ("few", r"has 3 images: at least 5 are needed"),
        ("labels", r"dataset\.json: labels from 0 up with a name for each"),
    ],
)
def test_errors_name_the_file(tmp_path: Path, what: str, message: str) -> None:
    spoiled(written(tmp_path), what)
    with pytest.raises((ValueError, FileNotFoundError), match=message.replace("/", r"[/\\]")):
        volumes.read(tmp_path)[0][0]


def test_a_folder_without_a_table_and_a_file_that_is_no_volume(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"dataset\.json: a folder with dataset\.json, imagesTr/"):
        volumes.read(tmp_path)
    assert [volumes.is_volume(Path(name)) for name in ("a.nii.gz", "A.NII", "a.gz", "nii.png")] == [1, 1, 0, 0]


# Augmentation


def blob() -> dict[str, Tensor]:
    image = torch.zeros(1, 13, 17, 19)
    image[0, 4:9, 5:12, 6:13] = 1
    return {"image": image, "mask": (image[0] > 0).to(torch.uint8), "spacing": torch.tensor([2.0, 1.0, 1.0])}


def test_augmentations_move_image_and_mask_alike_and_by_the_generator_alone() -> None:
    steps = (Affine(), Flips((0, 1, 2)), Window((11, 13, 16)))
    for step in steps:
        one, again, other = (step(blob(), Generator().manual_seed(seed)) for seed in (5, 5, 6))
        assert torch.equal(one["image"], again["image"]) and torch.equal(one["mask"], again["mask"])
        assert not torch.equal(one["image"], other["image"]) or isinstance(step, Flips)
        inside = one["mask"] == 1
        assert inside.any()
        assert one["image"][0][inside].mean() > 0.8 and one["image"][0][~inside].mean() < 0.1


def test_an_affine_map_that_does_nothing_returns_what_it_was_given_and_a_scaled_one_is_larger() -> None:
    same = Affine(rotate=0, scale=(1.0, 1.0), shift=0)(blob(), Generator())
    torch.testing.assert_close(same["image"], blob()["image"], atol=1e-5, rtol=0)
    assert torch.equal(same["mask"], blob()["mask"])
    larger = Affine(rotate=0, scale=(1.3, 1.3), shift=0)(blob(), Generator())
    assert (larger["mask"] == 1).sum() > 1.8 * blob()["mask"].sum()
    smaller = Affine(rotate=0, scale=(0.7, 0.7), shift=0)(blob(), Generator())
    assert (smaller["mask"] == 255).any() and (smaller["mask"] == 1).sum() < 0.6 * blob()["mask"].sum()


def test_a_quarter_turn_about_d_is_one() -> None:
    image = torch.arange(2 * 5 * 5.0).view(1, 2, 5, 5)
    sample = {"image": image, "mask": image[0].to(torch.uint8)}
    step = Affine(rotate=180, scale=(1.0, 1.0), shift=0)

    draws = torch.tensor([0.75, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5], dtype=torch.float64)  # +90°, no other turn, no shift
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "rand", lambda *_, **__: draws)
        turned = step(sample, Generator())
    found = [torch.equal(turned["mask"], sample["mask"].rot90(k, (1, 2))) for k in range(4)]
    assert found in ([False, True, False, False], [False, False, False, True])
    torch.testing.assert_close(turned["image"][0], turned["mask"].float(), atol=1e-3, rtol=0)


def test_rotation_with_long_voxels_keeps_lengths_in_the_body() -> None:
    image = torch.zeros(1, 21, 41, 41)
    image[0, 8:13, 16:25, 16:25] = 1  # 10 × 9 × 9 mm at 2 × 1 × 1
    sample = {"image": image, "mask": (image[0] > 0).to(torch.uint8), "spacing": torch.tensor([2.0, 1.0, 1.0])}
    draws = torch.tensor([0.5, 0.75, 0.5, 0.5, 0.5, 0.5, 0.5], dtype=torch.float64)  # a quarter turn about H
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "rand", lambda *_, **__: draws)
        turned = Affine(rotate=180, scale=(1.0, 1.0), shift=0)(sample, Generator())
    there = (turned["mask"] == 1).nonzero()
    extent = (there.amax(0) - there.amin(0) + 1).tolist()
    assert extent[0] * 2 == pytest.approx(9, abs=1.1) and extent[2] == pytest.approx(10, abs=1.1) and extent[1] == 9


def test_a_window_pads_what_is_smaller_with_void() -> None:
    sample = Window((16, 17, 19))(blob(), Generator().manual_seed(0))
    assert sample["image"].shape == (1, 16, 17, 19)
    assert (sample["mask"][13:] == 255).all() and (sample["image"][:, 13:] == 0).all()
    assert torch.equal(sample["mask"][:13], blob()["mask"])


# Task


def test_soft_dice_is_the_authors() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 3, 2, 3, 5, dtype=torch.float64), torch.randint(3, (2, 2, 3, 5))
    p = logits.softmax(1).view(2, 3, -1)
    truth = nn.functional.one_hot(labels, 3).movedim(-1, 1).reshape(2, 3, -1)
    both, either = (p * truth).sum(2) + 0.01, p.sum(2) + truth.sum(2) + 0.01
    wanted = 1 - (2 * both / either).sum() / 6
    torch.testing.assert_close(soft_dice(logits.softmax(1), labels), wanted)


def test_void_voxels_count_nowhere() -> None:
    class Fixed(nn.Module):
        def __init__(self, logits: Tensor) -> None:
            super().__init__()
            self.logits = nn.Parameter(logits)

        def forward(self, x: Tensor) -> Tensor:
            return self.logits

    torch.manual_seed(1)
    logits, mask = torch.randn(1, 3, 4, 5, 7), torch.randint(3, (1, 4, 5, 7), dtype=torch.uint8)
    mask[:, :2] = 255
    model, task = Fixed(logits), SegmentVolumes(3)
    batch = {"image": torch.zeros(1, 1, 4, 5, 7), "mask": mask}
    loss, _ = task.loss(model, batch)  # type: ignore[arg-type]
    loss.backward()
    assert (model.logits.grad[:, :, :2] == 0).all() and (model.logits.grad[:, :, 2:] != 0).any()
    torch.testing.assert_close(loss, soft_dice(logits[:, :, 2:].softmax(1), mask[:, 2:].long()))
    metric = task.metric()
    metric.update(
        [torch.full((4, 5, 7), 1)], [torch.where(mask[0] == 255, mask[0], torch.ones_like(mask[0]))], [[1.0] * 3]
    )
    assert metric.compute()["dice"] == 1
    with pytest.raises(ValueError, match=r"mask.*3"):
        task.loss(model, {**batch, "mask": torch.full_like(mask, 3)})  # type: ignore[arg-type]


class Position(nn.Module):
    """Two logits a voxel, the second the image's value: what every window says of a voxel is the same."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((torch.zeros_like(x), x), 1)


class Edges(nn.Module):
    """The second logit is the place in the window along D, so that windows differ."""

    def forward(self, x: Tensor) -> Tensor:
        place = torch.arange(x.shape[2], dtype=x.dtype).view(1, 1, -1, 1, 1).expand_as(x)
        return torch.cat((torch.zeros_like(x), place), 1)


def test_windows_cover_the_volume_and_average_probabilities() -> None:
    image = torch.randn(2, 1, 7, 5, 11)
    whole = Position()(image).softmax(1)
    for window in ((4, 5, 3), 16, (7, 2, 11)):
        torch.testing.assert_close(predict(Position(), image, window=window), whole)
    found = predict(Edges(), torch.zeros(1, 1, 6, 2, 2), window=(4, 2, 2))[0, 1, :, 0, 0]
    p = torch.arange(4.0).sigmoid()
    torch.testing.assert_close(found, torch.stack((p[0], p[1], (p[2] + p[0]) / 2, (p[3] + p[1]) / 2, p[2], p[3])))
    with pytest.raises(ValueError, match="stride=5"):
        predict(Position(), image, window=4, stride=5)


def test_answers_come_back_at_the_size_of_the_file() -> None:
    image = torch.full((1, 1, 4, 6, 6), -1.0)
    image[..., :3] = 1
    truth = torch.zeros(8, 7, 13, dtype=torch.uint8)
    batch = {"image": image, "mask": torch.zeros(1, 4, 6, 6), "truth": [truth], "spacing": torch.tensor([[3.0, 2, 1]])}
    predictions, truths, spacings = SegmentVolumes(2, window=4).answers(Position(), batch)  # type: ignore[arg-type]
    assert predictions[0].shape == truths[0].shape == (8, 7, 13) and spacings == [[3.0, 2.0, 1.0]]
    assert (predictions[0][..., :6] == 1).all() and (predictions[0][..., 7:] == 0).all()
    assert torch.equal(
        label_map(torch.tensor([[[[0.2]]], [[[0.8]]]]), (2, 1, 3)), torch.ones(2, 1, 3, dtype=torch.long)
    )


# Metrics


def by_hand(ours: Tensor, theirs: Tensor, spacing: tuple[float, ...]) -> tuple[float, float]:
    """The distances by definition: every voxel of a surface against every one of the other."""

    def border(region: Tensor) -> Tensor:
        padded = nn.functional.pad(region, (1, 1, 1, 1, 1, 1))
        kept = [
            [*region.nonzero()[i]]
            for i in range(int(region.sum()))
            if not all(
                padded[tuple(int(c) + 1 + (step if axis == a else 0) for a, c in enumerate(region.nonzero()[i]))]
                for axis, step in itertools.product(range(3), (-1, 1))
            )
        ]
        return torch.tensor(kept, dtype=torch.float64) * torch.tensor(spacing, dtype=torch.float64)

    gaps = torch.cdist(border(ours), border(theirs))
    there, back = gaps.amin(1), gaps.amin(0)
    average = (there.sum() + back.sum()) / (len(there) + len(back))
    return float(average), float(max(np.percentile(there, 95), np.percentile(back, 95)))


@pytest.mark.parametrize("seed", [2, 3])
def test_surface_distances_are_those_of_brute_force(seed: int) -> None:
    generator = Generator().manual_seed(seed)
    regions = [torch.zeros(9, 8, 7, dtype=torch.bool) for _ in range(2)]
    for region in regions:
        first = [int(torch.randint(3, (), generator=generator)) for _ in range(3)]
        region[tuple(slice(i, i + 4) for i in first)] = True
        region[5:9, 0:2, 3:7] = True
    found = surface_distances(*regions, (2.5, 1.5, 1.0))
    assert found == pytest.approx(by_hand(*regions, (2.5, 1.5, 1.0)), abs=1e-12)
    assert surface_distances(regions[0], regions[0], (1.0, 1.0, 1.0)) == (0, 0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:monai:FutureWarning")
def test_surface_distances_and_dice_are_those_of_monai() -> None:
    """MONAI is no dependency, as it needs a newer torch than this library: the test runs where it is installed."""
    theirs = pytest.importorskip("monai.metrics")
    generator, spacing = Generator().manual_seed(3), (2.5, 1.5, 1.0)
    for _ in range(4):
        noise = torch.randn(2, 1, 20, 18, 16, generator=generator)
        one, other = nn.functional.avg_pool3d(noise, 5, 1, 2)[:, 0] > 0.05
        pair = one[None, None].float(), other[None, None].float()
        average = theirs.compute_average_surface_distance(
            *pair, include_background=True, symmetric=True, spacing=spacing
        )
        far = theirs.compute_hausdorff_distance(*pair, include_background=True, percentile=95, spacing=spacing)
        found = surface_distances(one, other, spacing)
        assert found == pytest.approx((average.item(), far.item()), rel=1e-6)
        metric = Volumes(2)
        metric.update([one.long()], [other.long()], [spacing])
        assert metric.compute()["dice"] == pytest.approx(theirs.compute_dice(*pair).item(), rel=1e-6)


def test_one_voxel_apart_is_the_spacing() -> None:
    one, other = torch.zeros(3, 5, 7, dtype=torch.bool), torch.zeros(3, 5, 7, dtype=torch.bool)
    one[1, 2, 3], other[2, 2, 3] = True, True
    assert surface_distances(one, other, (2.5, 1.0, 1.0)) == (2.5, 2.5)
    with pytest.raises(ValueError, match="empty"):
        surface_distances(one, torch.zeros_like(one), (1, 1, 1))


def test_dice_of_a_case_is_a_mean_over_its_classes_and_the_score_over_cases() -> None:
    metric = Volumes(3, ("ground", "liver", "tumour"))
    truth = torch.zeros(2, 3, 5, dtype=torch.uint8)
    truth[0, 0, :4] = 1
    prediction = truth.clone()
    prediction[0, 0, :2] = 0  # liver: 2 · 2 / (2 + 4)
    prediction[1, 2, 4] = 2  # a tumour that is not there: Dice 0
    metric.update([prediction, truth], [truth, truth], [(1.0, 1.0, 1.0)] * 2)
    found = metric.compute()
    assert metric.per_case == [pytest.approx(1 / 3), 1.0]
    assert found["dice"] == pytest.approx(2 / 3) and found["dice/liver"] == pytest.approx(5 / 6)
    assert found["dice/tumour"] == 0 and found["no_surface"] == 1
    assert "assd/tumour" not in found and found["assd"] == found["assd/liver"] == pytest.approx((1 + 2) / 6 / 2)
    other = Volumes(3, ("ground", "liver", "tumour"))
    other.update([truth], [truth], [(1.0, 1.0, 1.0)])
    metric.merge_state(other)
    assert metric.compute()["dice"] == pytest.approx(7 / 9)
    empty = torch.zeros(2, 3, 5, dtype=torch.uint8)
    metric.reset()
    metric.update([empty], [empty], [(1.0, 1.0, 1.0)])
    with pytest.raises(ValueError, match="no case has a class"):
        metric.compute()


# Drawn volumes and pictures


def test_drawn_volumes_are_a_function_of_their_key_with_the_target_in_the_organ() -> None:
    data = DrawnVolumes(count=3, size=(16, 24, 20), seed=5)
    assert torch.equal(data[2]["image"], DrawnVolumes(count=9, size=(16, 24, 20), seed=5)[2]["image"])
    assert not torch.equal(data[2]["image"], DrawnVolumes(count=3, size=(16, 24, 20), seed=6)[2]["image"])
    for i in range(3):
        parts, sample = data.parts(i), data[i]
        assert sample["image"].shape == (1, 16, 24, 20) and torch.equal(sample["mask"] == 1, parts["target"])
        assert 0.0015 < parts["target"].float().mean() < 0.012
        assert (parts["organ"] | ~parts["target"]).all() and not (parts["organ"] & parts["others"]).any()
        assert parts["others"].any()


def test_a_map_of_a_volume_is_drawn_as_three_slices_through_its_largest_value() -> None:
    alpha = torch.full((1, 1, 3, 5, 7), 0.25)
    alpha[0, 0, 2, 1, 4] = 1
    maps = Maps()
    maps["gate"], maps.axes["gate"] = [alpha], "B 1 D H W"
    volume = torch.rand(1, 6, 10, 14)
    (picture,) = draw(maps, volume)
    assert picture.caption == "3 x 5 x 7; 0.25 to 1; largest at D 2 H 1 W 4"
    assert picture.ends == (0, 1) and picture.span == (0.25, 1)
    assert picture.image.size == (320, 256)  # W + D by H + D, a voxel of 15.85 pixels, and a gap
    maps.axes["gate"] = "B 1 d h w"
    assert draw(maps, volume)[0].caption == picture.caption
    maps["gate"] = [torch.full((1, 1, 3, 5, 7), 0.5)]
    assert draw(maps, volume)[0].caption == "3 x 5 x 7; even: 0.5 everywhere"
    with pytest.raises(ValueError, match="a float tensor C D H W"):
        draw(maps, volume[:, 0])


def test_the_slices_lie_where_the_largest_value_is() -> None:
    volume = torch.zeros(1, 4, 6, 8)
    volume[0, 3] = 1  # only the slice at the largest value is white
    values = torch.zeros(4, 6, 8)
    values[3, 1, 2] = 1
    picture = np.asarray(orthogonal(volume, values, 123, alpha=0).convert("L")).astype(int)
    assert picture[5, 5] == 255 and picture[55, 75] == 255  # H by W at D 3, away from the lines
    assert picture[5, 83 + 3] < 10 and picture[5, 119] == 255  # H by D: black up to the last D
    assert picture[63 + 3, 5] < 10 and picture[100, 5] == 255  # D by W


def test_a_look_at_a_volume_draws_prediction_and_gates(tmp_path: Path) -> None:
    written(tmp_path)
    file = tmp_path / "imagesTr" / "case_0.nii.gz"
    small = {"channels": 1, "classes": 3, "widths": [2, 3, 4]}
    looks = look(file, "attention_unet", out=tmp_path / "looks", kwargs=small)
    (picture,) = looks.pictures
    assert picture.name == "case_0-attention_unet.png" and looks.untrained == "the whole network"
    with Image.open(picture) as page:
        assert page.width > 4 * 320  # the volume, two classes and a gate side by side
    photo = tmp_path / "photo.png"
    Image.new("RGB", (8, 8)).save(photo)
    for given, message in (
        (([file, photo], "attention_unet"), r"photo\.png is no volume"),
        (([file],), "no network is named"),
        (([file], "saliency_net"), "saliency_net is not for volumes"),
    ):
        with pytest.raises(ValueError, match=message):
            look(*given, out=tmp_path / "looks")
    with pytest.raises(ValueError, match="1 modalities: 2 are needed"):
        look(file, "attention_unet", out=tmp_path / "looks", kwargs={**small, "channels": 2})
