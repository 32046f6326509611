"""Clips with sentences: MSR-VTT, MSVD, or a folder of one's own.

MSR-VTT     JSON files with `videos` (video_id, split: train, validate or test) and `sentences` (video_id, caption),
            such as train_val_videodatainfo.json and test_videodatainfo.json
MSVD        AllVideoDescriptions.txt (a name and a caption a line) and youtube_mapping.txt (name vidN): 1 to 1,200 are
            for training, 1,301 on for testing
captions    captions.csv: video,caption,split; the split is train or test

A video is a file, or a folder of frames (`data.videos`), anywhere below, named as it is listed, with an ending or
without. What is listed for training or testing and not there is left out and told.

A training dataset has one sample for each caption, a test dataset one for each clip, with the fields of
`data.captioned`; `image` is a clip of frames at even distances over the whole video, `3 T S S`.

MSR-VTT: A Large Video Description Dataset for Bridging Video and Language. Xu, Mei, Yao, Rui. CVPR 2016.
Collecting Highly Parallel Data for Paraphrase Evaluation. Chen, Dolan. ACL 2011 (MSVD); the numbers of its splits are
those of Describing Videos by Exploiting Temporal Structure, arXiv:1502.08029.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from regard.checks import positive
from regard.data import Skipped, videos
from regard.data.batches import Batch, Sample, padded
from regard.data.captioned import tokens_of
from regard.data.clips import cut_out
from regard.data.images import shown
from regard.data.texts import parsed, quoted, text
from regard.data.videos import FILES
from regard.data.words import Words
from regard.ops.words import PAD

PARTS = {"train": "train", "test": "test", "validate": "", "val": ""}
DESCRIPTIONS, MAPPING, OWN = "AllVideoDescriptions.txt", "youtube_mapping.txt", "captions.csv"
LAST_TRAINING, LAST_VALIDATION = 1200, 1300  # numbers of MSVD's clips
WANTED = f"MSR-VTT's JSON, {DESCRIPTIONS} with {MAPPING} of MSVD, or {OWN} with video, caption and split"


@dataclass
class Told:
    """A video with its captions, as tokens.

    Args:
        name: as it is listed.
        part: "train", "test", or nothing.
        captions: those with words.
        path: the file or the folder of frames.
    """

    name: str
    part: str
    captions: list[tuple[str, ...]] = field(default_factory=list)
    path: Path | None = None


class CaptionedClips(Dataset[Sample]):
    """A dataset of clips with captions.

    Args:
        told: the videos, which are there.
        words: the vocabulary.
        frames: T.
        size: height and width, in pixels.
        longest: the number of words after which a caption is cut.
        each: one sample for each caption; otherwise one for each video, with its first caption as `words`.

    Attributes:
        lengths: the number of words of each sample, start and end counted.
    """

    def __init__(self, told: Sequence[Told], words: Words, *, frames: int, size: int, longest: int, each: bool) -> None:
        self.told, self.words, self.each = list(told), words, each
        self.frames, self.size = positive("frames", frames), positive("size", size)
        self.longest = positive("longest", longest)
        self.places = [
            (number, caption)
            for number, one in enumerate(self.told)
            for caption in range(len(one.captions) if each else 1)
        ]
        self.lengths = [2 + min(len(self.told[number].captions[caption]), longest) for number, caption in self.places]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, i: int) -> Sample:
        number, caption = self.places[i]
        one = self.told[number]
        return {
            "image": self.clip(number),
            "words": torch.tensor(self.words.encode(one.captions[caption], self.longest)),
            "references": [list(other) for other in one.captions],
            "name": one.name,
        }

    def clip(self, number: int) -> Tensor:
        """The frames of a video, `3 T S S` in 0..1. Raises: videos.UnreadableVideo."""
        path = self.told[number].path
        assert path is not None
        return evenly(path, self.frames, self.size)

    @staticmethod
    def collate_fn(several: Sequence[Sample]) -> Batch:
        """A batch whose captions are padded, with `words_mask`."""
        return padded(several, fields={"words": PAD}, listed=("references",))

    @cached_property
    def digest(self) -> str:
        """A digest of names, captions, words and the sizes of files, or the numbers of frames; not of the pixels."""
        content = hashlib.blake2b(digest_size=16)
        for one in self.told:
            assert one.path is not None
            size = len(list(one.path.iterdir())) if one.path.is_dir() else one.path.stat().st_size
            content.update(repr((one.name, one.captions, size)).encode())
        content.update(repr((self.words.tokens, self.frames, self.size, self.longest, self.each)).encode())
        return content.hexdigest()


def evenly(path: Path, frames: int, size: int) -> Tensor:
    """The middle square of frames at even distances over a whole video: `3 T S S` in 0..1.

    Raises: videos.UnreadableVideo.
    """
    video = videos.opened(path)
    step = video.count / frames
    return cut_out(
        video.read([min(int((i + 0.5) * step), video.count - 1) for i in range(frames)]), size, size, 0.5, 0.5
    )


@dataclass(frozen=True)
class Sets:
    """The training and the test dataset, and the listed videos that are not there."""

    train: CaptionedClips
    test: CaptionedClips
    skipped: tuple[Skipped, ...]


def load(folder: Path, *, frames: int, size: int, least: int, longest: int) -> Sets:
    """Reads clips with captions in one of the three layouts; the vocabulary is that of the training captions.

    Args:
        folder: the folder of the dataset.
        frames, size, longest: as for `CaptionedClips`.
        least: how often a word has to occur.

    Raises: OSError if there is no such folder; ValueError if it has none of the layouts, a line cannot be read, a part
        has no video that is there, or no word occurs often enough; ImportError for video files without a decoder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {shown(folder)}")
    listed = _msr_vtt(folder) or _msvd(folder) or _own(folder)
    if not listed:
        raise ValueError(f"{shown(folder)}: {WANTED} is needed")
    there = {path.stem: path for path in sorted(folder.rglob("*")) if path.suffix.lower() in FILES}
    there |= {path.name: path for path in sorted(folder.rglob("*")) if path.is_dir()}
    skipped, parts = [], {"train": [], "test": []}  # type: ignore[var-annotated]
    for one in listed:
        if not one.part:
            continue
        one.path = there.get(one.name) or there.get(re.sub(r"\.[A-Za-z0-9]{2,4}$", "", one.name))
        if one.path is None or not one.captions:
            skipped.append(Skipped(one.name, "has no caption" if one.path else "is listed and not there"))
        else:
            parts[one.part].append(one)
    for name, part in parts.items():
        if not part:
            raise ValueError(f"{shown(folder)}: no video that is listed for {name} is there, with a caption")
        film = next((one.path for one in part if not one.path.is_dir()), None)
        if film is not None:
            videos.opened(film)  # the decoder is missed before the training
    words = Words.of((caption for one in parts["train"] for caption in one.captions), least=least)
    made = [
        CaptionedClips(part, words, frames=frames, size=size, longest=longest, each=name == "train")
        for name, part in parts.items()
    ]
    return Sets(made[0], made[1], tuple(skipped))


def _msr_vtt(folder: Path) -> list[Told]:
    found: dict[str, Told] = {}
    captions: list[tuple[str, str, str]] = []
    for path in sorted(folder.glob("*.json")):
        content = parsed(path)
        if not isinstance(content, dict) or not {"videos", "sentences"} <= content.keys():
            continue
        try:
            for one in content["videos"]:
                if one["split"] not in PARTS:
                    raise ValueError(
                        f"{shown(path)}: split {quoted(one['split'])} of {quoted(one['video_id'])}: train, validate or "
                        "test is needed"
                    )
                found[one["video_id"]] = Told(one["video_id"], PARTS[one["split"]])
            captions += [(one["video_id"], one["caption"], shown(path)) for one in content["sentences"]]
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"{shown(path)}: videos with video_id and split, and sentences with video_id and caption are needed"
            ) from error
    for name, caption, where in captions:
        if name not in found:
            raise ValueError(f"{where}: a sentence is of {quoted(name)}, which is not among the videos")
        _tell(found[name], caption, where)
    return list(found.values())


def _msvd(folder: Path) -> list[Told]:
    if not (folder / DESCRIPTIONS).is_file():
        return []
    if not (folder / MAPPING).is_file():
        raise ValueError(f"{shown(folder / DESCRIPTIONS)} is there: {MAPPING} is needed as well")
    found: dict[str, Told] = {}
    for number, line in enumerate(text(folder / MAPPING).splitlines(), 1):
        if not line.strip():
            continue
        match = re.fullmatch(r"(\S+) +vid([0-9]{1,6})", line.strip())
        if match is None:
            raise ValueError(f"{shown(folder / MAPPING)}, line {number}, {quoted(line)}: NAME vidNUMBER is needed")
        which = int(match[2])
        part = "train" if which <= LAST_TRAINING else "" if which <= LAST_VALIDATION else "test"
        found[match[1]] = Told(match[1], part)
    for number, line in enumerate(text(folder / DESCRIPTIONS).splitlines(), 1):
        if not line.strip() or line.startswith("#"):  # the file begins with a comment
            continue
        where = f"{shown(folder / DESCRIPTIONS)}, line {number}"
        name, _, caption = line.strip().partition(" ")
        if name not in found:
            raise ValueError(f"{where}: {quoted(name)} is not in {MAPPING}")
        _tell(found[name], caption, where)
    return list(found.values())


def _own(folder: Path) -> list[Told]:
    path = folder / OWN
    if not path.is_file():
        return []
    reader = csv.DictReader(text(path).splitlines())
    found: dict[str, Told] = {}
    for number, row in enumerate(reader, 2):
        where = f"{shown(path)}, line {number}"
        if not {"video", "caption", "split"} <= row.keys():
            raise ValueError(f"{shown(path)}: the columns video, caption and split are needed")
        name, part = (row["video"] or "").strip(), (row["split"] or "").strip()
        if not name or part not in PARTS:
            raise ValueError(f"{where}: a video and its split, train or test, are needed, not {quoted(row)}")
        one = found.setdefault(name, Told(name, PARTS[part]))
        if one.part != PARTS[part]:
            raise ValueError(f"{where}: {quoted(name)} is for {part} here, and was for another part above")
        _tell(one, row["caption"] or "", where)
    return list(found.values())


def _tell(one: Told, caption: str, where: str) -> None:
    tokens = tokens_of(caption, where)
    if tokens:
        one.captions.append(tokens)
