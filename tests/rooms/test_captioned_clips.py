"""Clips with sentences in three layouts: MSR-VTT, MSVD, and a table of one's own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from regard.data import captioned_clips
from regard.data.captioned_clips import Sets, evenly


def frames(folder: Path, count: int = 2) -> None:
    folder.mkdir(parents=True)
    for i in range(count):
        Image.fromarray(np.full((6, 10, 3), 10 * i, np.uint8)).save(folder / f"{i}.png")


def load(folder: Path, least: int = 1) -> Sets:
    return captioned_clips.load(folder, frames=3, size=4, least=least, longest=5)


def msr_vtt(folder: Path) -> Path:
    videos = [{"video_id": f"video{i}", "split": split} for i, split in enumerate(("train", "validate", "train"))]
    told = [("video0", "A man runs."), ("video0", "someone is running fast down a hill"), ("video1", "a cat")]
    sentences = [{"video_id": name, "caption": caption, "sen_id": i} for i, (name, caption) in enumerate(told)]
    content = {"info": {}, "videos": videos, "sentences": [*sentences, {"video_id": "video2", "caption": "a dog"}]}
    folder.mkdir(exist_ok=True)
    (folder / "train_val_videodatainfo.json").write_text(json.dumps(content), encoding="utf-8")
    test = {
        "videos": [{"video_id": "video9", "split": "test"}],
        "sentences": [{"video_id": "video9", "caption": "a man"}],
    }
    (folder / "test_videodatainfo.json").write_text(json.dumps(test), encoding="utf-8")
    for place in ("TrainValVideo/video0", "TrainValVideo/video1", "TestVideo/video9"):
        frames(folder / place)
    return folder


def test_msr_vtt(tmp_path: Path) -> None:
    found = load(msr_vtt(tmp_path))
    assert (len(found.train), len(found.test)) == (2, 1)
    assert [(one.path, one.reason) for one in found.skipped] == [("video2", "is listed and not there")]
    sample = found.train[1]
    assert sample["image"].shape == (3, 3, 4, 4) and sample["name"] == "video0"
    assert found.train.words.decode(sample["words"].tolist()) == ["someone", "is", "running", "fast", "down"]
    assert sample["references"] == [["a", "man", "runs"], ["someone", "is", "running", "fast", "down", "a", "hill"]]
    assert "cat" not in found.train.words and found.test.words is found.train.words
    batch = found.train.collate_fn([found.train[0], found.train[1]])
    assert batch["words"].shape == (2, 7) and batch["words_mask"].sum(1).tolist() == found.train.lengths == [5, 7]
    before = found.train.digest
    (tmp_path / "TrainValVideo" / "video0" / "1.png").unlink()
    assert load(tmp_path).train.digest != before


def test_msvd(tmp_path: Path) -> None:
    mapping = ["-4wsuPCjDBc_5_15 vid1", "a_1_2 vid1250", "b_0_9 vid1301"]
    (tmp_path / "youtube_mapping.txt").write_text("\n".join(mapping), encoding="utf-8")
    told = "# a comment\n\n-4wsuPCjDBc_5_15 a squirrel eats\na_1_2 a band plays\nb_0_9 a squirrel\n-4wsuPCjDBc_5_15 .\n"
    (tmp_path / "AllVideoDescriptions.txt").write_text(told, encoding="utf-8")
    for name in ("-4wsuPCjDBc_5_15", "b_0_9"):
        frames(tmp_path / "videos" / name)
    found = load(tmp_path)
    assert (len(found.train), len(found.test), found.skipped) == (1, 1, ())
    assert found.train[0]["references"] == [["a", "squirrel", "eats"]] and found.test[0]["name"] == "b_0_9"
    (tmp_path / "youtube_mapping.txt").write_text("b_0_9 1301\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"youtube_mapping.txt, line 1, 'b_0_9 1301': NAME vidNUMBER is needed"):
        load(tmp_path)
    (tmp_path / "youtube_mapping.txt").write_text("b_0_9 vid1301\n", encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"AllVideoDescriptions.txt, line 3: '-4wsuPCjDBc_5_15' is not in youtube_mapp"
    ):
        load(tmp_path)
    (tmp_path / "youtube_mapping.txt").unlink()
    with pytest.raises(ValueError, match=r"youtube_mapping.txt is needed as well"):
        load(tmp_path)


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    table = 'video,caption,split\nv1,"a one, then a four",train\nv2.mp4,a seven,test\nv1,two digits,train\n'
    (tmp_path / "captions.csv").write_text(table, encoding="utf-8")
    for name in ("v1", "v2"):
        frames(tmp_path / name)
    found = load(tmp_path)
    assert len(found.train) == 2 and found.test[0]["references"] == [["a", "seven"]]
    for row, message in (
        ("v1,three,test", r"captions.csv, line 5: 'v1' is for test here, and was for another part above"),
        ("v3,three,dev", r"line 5: a video and its split, train or test, are needed"),
        ("v1,,train", r"line 5: a caption is needed"),
    ):
        (tmp_path / "captions.csv").write_text(table + row, encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            load(tmp_path)
    (tmp_path / "captions.csv").write_text("video,text\nv1,a\n", encoding="utf-8")
    with pytest.raises(ValueError, match="the columns video, caption and split are needed"):
        load(tmp_path)


def test_what_is_wrong_in_msr_vtt_is_said(tmp_path: Path) -> None:
    path = msr_vtt(tmp_path) / "test_videodatainfo.json"
    good = json.loads(path.read_text(encoding="utf-8"))
    for change, message in (
        ({"videos": [{"video_id": "video9", "split": "dev"}]}, "split 'dev' of 'video9': train, validate or test"),
        ({"videos": [{"video_id": "video9"}]}, "videos with video_id and split"),
        ({"sentences": [{"video_id": "video8", "caption": "a"}]}, "a sentence is of 'video8', which is not among the"),
        ({"sentences": []}, "no video that is listed for test is there, with a caption"),
    ):
        path.write_text(json.dumps({**good, **change}), encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            load(tmp_path)


def test_folders_without_a_layout(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"MSR-VTT's JSON, .* is needed"):
        load(tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder"):
        load(tmp_path / "absent")


def test_frames_are_taken_at_even_distances_over_the_whole_video(tmp_path: Path) -> None:
    frames(tmp_path / "long", 9)
    frames(tmp_path / "short", 2)
    for name, wanted in (("long", [10, 40, 70]), ("short", [0, 10, 10])):
        clip = evenly(tmp_path / name, 3, 4)
        assert clip.shape == (3, 3, 4, 4)
        torch.testing.assert_close(255 * clip[0, :, 0, 0], torch.tensor(wanted).float())
