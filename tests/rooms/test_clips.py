"""Clips of videos: frames at a stride, squares, views for testing, the three layouts, and decoders."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Generator, nn

from regard.data import clips, videos
from regard.data.batches import Batch, collate, loader, normalised, samples
from regard.data.clip_layouts import Labelled
from regard.data.clips import Clips, Drawn, Sampling
from regard.tasks.clips import ClassifyClips
from regard.training import running
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe

SMALL = Sampling(frames=3, stride=2, crop=8, shorter=(10, 13))


def frames(folder: Path, count: int, *, size: tuple[int, int] = (20, 30), first: int = 0) -> Path:
    """A folder of frames, the value of each pixel telling its frame (red) and its column (green)."""
    folder.mkdir(parents=True)
    for i in range(count):
        pixels = np.zeros((*size, 3), np.uint8)
        pixels[..., 0] = first + 10 * i
        pixels[..., 1] = np.arange(size[1]) * 8
        Image.fromarray(pixels).save(folder / f"frame_{i + 1}.png")
    return folder


def film(path: Path, count: int) -> Path:
    cv = pytest.importorskip("cv2")
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv.VideoWriter(str(path), cv.VideoWriter_fourcc(*"MJPG"), 10, (32, 24))
    for i in range(count):
        image = np.zeros((24, 32, 3), np.uint8)
        image[..., 2] = 30 * i  # red, in OpenCV's order
        writer.write(image)
    writer.release()
    return path


def red(clip: torch.Tensor) -> list[int]:
    """The frames that a clip `3 T S S` in 0..1 shows."""
    return [round(255 * value / 10) for value in clip[0].mean((1, 2)).tolist()]


def test_a_clip_is_every_second_frame_and_repeats_the_last_one() -> None:
    assert SMALL.last(11) == 6 and SMALL.last(5) == 0 and SMALL.last(2) == 0
    assert SMALL.indices(6, 11) == [6, 8, 10] and SMALL.indices(0, 4) == [0, 2, 3]
    for wrong, name in (({"frames": 0}, "frames"), ({"stride": 0}, "stride"), ({"shorter": (7, 9)}, "shorter")):
        with pytest.raises(ValueError, match=name):
            Sampling(**{"frames": 3, "crop": 8, "shorter": (10, 13), **wrong})


def test_frames_go_by_their_numbers_and_views_cover_the_video(tmp_path: Path) -> None:
    path = frames(tmp_path / "v", 11)
    video = videos.opened(path)
    assert video.count == 11
    assert video.read([10, 1, 10])[:, 0, 0, 0].tolist() == [100, 10, 100]  # frame_2 stands before frame_10
    seen = clips.views(path, SMALL, clips=3, crops=1)
    assert seen.shape == (3, 3, 3, 8, 8)
    assert [red(seen[:, v]) for v in range(3)] == [[0, 2, 4], [3, 5, 7], [6, 8, 10]]
    wide = clips.views(path, SMALL, clips=2, crops=3)
    assert wide.shape == (3, 6, 3, 10, 10)  # squares as high as the shorter side
    columns = 255 * wide[1, :, 0].mean((1, 2)) / 8  # the middle column of each square, of 20 of 30 columns
    torch.testing.assert_close(columns[:3], torch.tensor([9.5, 14.5, 19.5]), atol=0.1, rtol=0)
    torch.testing.assert_close(columns[3:], columns[:3])
    tall = clips.views(frames(tmp_path / "tall", 3, size=(30, 20)), SMALL, clips=1, crops=3)
    torch.testing.assert_close(tall[1, 0], tall[1, 2])  # the squares lie above each other


def test_a_drawn_clip_has_one_square_and_one_mirror_for_all_its_frames(tmp_path: Path) -> None:
    data = Clips([Labelled(frames(tmp_path / "v", 11), 4)], SMALL, drawn=True)
    starts, squares, mirrored = set(), set(), set()
    for seed in range(40):
        found = Drawn()(data[0], Generator().manual_seed(seed))
        assert found["label"] == 4 and found["image"].shape == (3, 3, 8, 8)
        shown = red(found["image"])
        assert np.diff(shown).tolist() == [2, 2] and shown[-1] <= 10
        green = found["image"][1]
        torch.testing.assert_close(green[0], green[2])
        slope = float(green[0, 0, -1] - green[0, 0, 0])
        starts.add(shown[0])
        squares.add(round(float(green.mean()), 3))
        mirrored.add(slope < 0)
        torch.testing.assert_close(Drawn()(data[0], Generator().manual_seed(seed))["image"], found["image"])
    assert starts == set(range(7)) and len(squares) > 20 and mirrored == {True, False}
    assert {float(Drawn(mirror=False)(data[0], Generator().manual_seed(s))["image"][1, 0, 0].diff().sign().min())
            for s in range(20)} == {1.0}  # fmt: skip
    with pytest.raises(TypeError, match="clips are drawn from videos"):
        Drawn()({"image": torch.zeros(3, 4, 4)}, Generator())


def test_samples_without_augmentation_are_the_middle_of_each_video(tmp_path: Path) -> None:
    data = Clips([Labelled(frames(tmp_path / f"v{i}", 11), i) for i in range(2)], SMALL, drawn=True)
    batch = collate(samples(data, [1, 0]))
    assert batch["image"].shape == (2, 3, 3, 8, 8) and batch["label"].tolist() == [1, 0]
    assert red(batch["image"][0]) == [3, 5, 7]
    (drawn,) = loader(data, [[(0, 0), (0, 1)]], augment=Drawn(), seed=3)
    assert drawn["image"].shape == (2, 3, 3, 8, 8) and drawn["index"].tolist() == [0, 1]
    with pytest.raises(IndexError, match="there are 2 videos"):
        data[2]


def test_clips_are_normalised_by_channel() -> None:
    clip = torch.rand(2, 3, 5, 7, 11)
    wanted = torch.stack([(clip[:, i] - 0.1 * i) / (i + 1) for i in range(3)], 1)
    torch.testing.assert_close(normalised(clip, ((0.0, 0.1, 0.2), (1.0, 2.0, 3.0))), wanted)


def test_a_folder_of_class_folders(tmp_path: Path) -> None:
    for part, count in (("train", 3), ("val", 2)):
        for name in ("run", "walk"):
            for i in range(count):
                frames(tmp_path / part / name / f"clip{i}", 5)
    found = clips.load(tmp_path, SMALL, clips=2, crops=3)
    assert found.classes == ("run", "walk")
    assert found.train.labels == [0, 0, 0, 1, 1, 1] and found.test.labels == [0, 0, 1, 1]
    assert found.test[3]["image"].shape == (3, 6, 3, 10, 10) and found.test[3]["label"] == 1
    one = clips.load(tmp_path, SMALL).test
    assert one[0]["image"].shape == (3, 3, 8, 8)
    before = found.train.digest
    (tmp_path / "train" / "run" / "clip0" / "frame_5.png").unlink()
    assert clips.load(tmp_path, SMALL).train.digest != before
    halves = clips.load(tmp_path / "train", SMALL, seed=5)
    assert len(halves.train) == 4 and sorted(halves.test.labels) == [0, 1]
    assert not {v.path for v in halves.train.videos} & {v.path for v in halves.test.videos}


def test_the_authors_lists(tmp_path: Path) -> None:
    for name in ("a b/v1", "a b/v2", "c/v3"):
        frames(tmp_path / name, 3)
    (tmp_path / "trainlist.txt").write_text(f"{tmp_path}/a b/v1 1\nc/v3 0\ngone/v9 2\n\n", encoding="utf-8")
    (tmp_path / "vallist.txt").write_text("a b/v2 1\n", encoding="utf-8")
    found = clips.load(tmp_path, SMALL)
    assert found.train.labels == [1, 0] and found.test.labels == [1] and found.classes == ("0", "1")
    assert [one.path for one in found.skipped] == ["gone/v9"]
    (tmp_path / "classids.json").write_text(json.dumps({'"petting cat"': 1, "golf": 0}), encoding="utf-8")
    assert clips.load(tmp_path, SMALL).classes == ("golf", "petting cat")
    (tmp_path / "vallist.txt").write_text("a b/v2 one\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"vallist.txt, line 1, 'a b/v2 one': a path and a number are needed"):
        clips.load(tmp_path, SMALL)
    (tmp_path / "vallist.txt").unlink()
    with pytest.raises(ValueError, match=r"vallist\.txt is needed as well"):
        clips.load(tmp_path, SMALL)


def test_tables_of_kinetics(tmp_path: Path) -> None:
    for name in ("train/petting cat/abc-_1_000010_000020", "train/xyz_000003_000013", "val/golf/uvw"):
        frames(tmp_path / name, 3)
    head = "label,youtube_id,time_start,time_end,split\n"
    rows = "petting cat,abc-_1,10,20,train\ngolf,xyz,3,13,train\ngolf,gone,0,10,train\n"
    (tmp_path / "train.csv").write_text(head + rows, encoding="utf-8")
    (tmp_path / "validate.csv").write_text(head + "golf,uvw,5,15,validate\n", encoding="utf-8")
    found = clips.load(tmp_path, SMALL)
    assert found.classes == ("golf", "petting cat")
    assert found.train.labels == [1, 0] and found.test.labels == [0]
    assert [one.path for one in found.skipped] == ["gone_000000_000010"]
    (tmp_path / "validate.csv").write_text(head + "golf,uvw,five,15,validate\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"time_start='five', time_end='15' of 'uvw': seconds are needed"):
        clips.load(tmp_path, SMALL)
    (tmp_path / "validate.csv").write_text("label,id\n", encoding="utf-8")
    with pytest.raises(ValueError, match="youtube_id is missing"):
        clips.load(tmp_path, SMALL)


def test_layouts_that_are_none_say_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder"):
        clips.load(tmp_path / "absent", SMALL)
    with pytest.raises(ValueError, match=r"0 class: at least two"):
        clips.load(tmp_path, SMALL)
    frames(tmp_path / "train" / "run" / "v", 3)
    with pytest.raises(ValueError, match="val/ or test/ is needed as well"):
        clips.load(tmp_path, SMALL)
    (tmp_path / "val" / "run").mkdir(parents=True)
    with pytest.raises(ValueError, match="video files or folders of frames are needed, in each class of each part"):
        clips.load(tmp_path, SMALL)
    (tmp_path / "val" / "run" / "v").mkdir()
    with pytest.raises(videos.UnreadableVideo, match="the folder has no image files"):
        videos.opened(tmp_path / "val" / "run" / "v")
    with pytest.raises(videos.UnreadableVideo, match="no such file or folder"):
        videos.opened(tmp_path / "nothing.mp4")


@pytest.mark.parametrize("decoder", ["cv2", "av"])
def test_a_video_file_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoder: str) -> None:
    path = film(tmp_path / "v.avi", 7)
    pytest.importorskip(decoder)
    monkeypatch.setitem(sys.modules, {"cv2": "av", "av": "cv2"}[decoder], None)
    video = videos.opened(path)
    assert video.count == 7
    seen = video.read([5, 0, 5])
    assert seen.shape == (3, 3, 24, 32) and seen.dtype == torch.uint8
    means = seen.float().mean((2, 3))
    assert (means[:, 0] - torch.tensor([150.0, 0, 150])).abs().max() < 6 and means[:, 1:].max() < 12
    torch.testing.assert_close(video.read([40]), video.read([6]))  # a header that tells more frames than there are
    broken = tmp_path / "broken.avi"
    broken.write_bytes(b"RIFF" + bytes(200))
    with pytest.raises(videos.UnreadableVideo, match=r"cannot be opened|no frame|no video"):
        videos.opened(broken).read([0])


def test_without_a_decoder_a_folder_of_films_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in ("train", "val"):
        for name in ("run", "walk"):
            (tmp_path / part / name).mkdir(parents=True)
            (tmp_path / part / name / "v.mp4").write_bytes(b"0")
    for name in ("cv2", "av"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"a video file needs PyAV or OpenCV .*; a folder of frames needs neither"):
        clips.load(tmp_path, SMALL)


class Brightness(nn.Module):
    """Two logits for a clip: its mean, and 0."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.ndim == 5
        mean = x.mean((1, 2, 3, 4))
        return torch.stack((mean, torch.zeros_like(mean)), 1)


def test_probabilities_of_several_views_are_averaged() -> None:
    task = ClassifyClips(2)
    views = torch.tensor([[4.0, -1.0, -1.0], [0.5, 0.5, 0.5]])
    image = views[:, None, :, None, None, None].expand(2, 3, 3, 5, 7, 11)
    logits, _ = task.answers(Brightness(), Batch(image=image, label=torch.tensor([0, 0])))
    torch.testing.assert_close(logits.exp()[:, 0], views.sigmoid().mean(1))
    single, _ = task.answers(Brightness(), Batch(image=image[:, :, 0], label=torch.tensor([0, 0])))
    torch.testing.assert_close(single, torch.stack((views[:, 0], torch.zeros(2)), 1))


class Batches(nn.Module):
    """Logits of two classes, and the sizes of the batches that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(x))
        return torch.zeros(len(x), 2)


def test_a_test_takes_as_many_videos_as_their_views_allow(tmp_path: Path) -> None:
    assert Clips([], SMALL, clips=10, crops=3).at_once == 2 and Clips([], SMALL).at_once == 64
    found = [Labelled(frames(tmp_path / f"v{i}", 5), 0) for i in range(5)]
    data = Clips(found, SMALL, clips=2, crops=3)
    data.at_once = 2
    phase = Phase(name="all", task=ClassifyClips(2), plan=Plan(epochs=1, batch_size=7))
    recipe = Recipe(build=Batches, train=data, test=data, phases=(phase,))
    model = Batches()
    assert running.evaluate(recipe, model)["accuracy"] == 1.0
    assert model.sizes == [12, 12, 6]
