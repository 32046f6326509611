"""Clips of labelled videos: sampling of frames, crops, and several views of a video for testing.

`data.clip_layouts` has the layouts of datasets: folders of classes, Kinetics, UCF-101, HMDB-51, and lists.

Non-local Neural Networks. Wang, Girshick, Gupta, He. CVPR 2018, arXiv:1711.07971, Section 4: a clip is T frames at a
stride from a random place; the shorter side is a random number of pixels, and a square is cut out. For testing,
several clips at even distances and three squares along the longer side are averaged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import torch
from torch import Generator, Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from regard.checks import positive, whole
from regard.data import Skipped, videos
from regard.data.batches import Sample
from regard.data.clip_layouts import Labelled, found_in
from regard.data.dividing import divide
from regard.data.images import shown

TEST_SHARE = 0.25
AT_ONCE = 64  # clips in a batch of a test


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """A way of taking clips from a video.

    Args:
        frames: T.
        stride: every how many frames of the video one is taken; the last one is repeated where it is too short.
        crop: side of the square that is cut out, in pixels.
        shorter: the bounds of the shorter side in training; the lower one is that of testing.

    Raises: ValueError if an argument is out of range.
    """

    frames: int = 32
    stride: int = 2
    crop: int = 224
    shorter: tuple[int, int] = (256, 320)

    def __post_init__(self) -> None:
        positive("frames", self.frames)
        positive("stride", self.stride)
        positive("crop", self.crop)
        low, high = self.shorter
        if not self.crop <= low <= high:
            raise ValueError(
                f"shorter={self.shorter!r}: two sides of at least crop={self.crop}, low ≤ high, are needed"
            )

    def indices(self, start: int, count: int) -> list[int]:
        """The frames of the clip that starts at `start`, in a video of `count` frames."""
        return [min(start + self.stride * i, count - 1) for i in range(self.frames)]

    def last(self, count: int) -> int:
        """The last start of a clip that lies in the video."""
        return max(0, count - self.stride * (self.frames - 1) - 1)


class OfVideo(Mapping[str, Tensor | int]):
    """A sample of a video: `image`, the clip in its middle, which is read when it is asked for, and `label`.

    `Drawn` takes another clip of the same video in its place, and reads no more than that.
    """

    def __init__(self, video: Labelled, sampling: Sampling) -> None:
        self.video, self.sampling = video, sampling

    def __getitem__(self, name: str) -> Tensor | int:
        if name == "image":
            return views(self.video.path, self.sampling, clips=1, crops=1)[:, 0]
        if name == "label":
            return self.video.label
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(("image", "label"))

    def __len__(self) -> int:
        return 2


@dataclass(frozen=True)
class Drawn:
    """An augmentation: a random clip, square and, with probability 1/2, mirror image, the same for all its frames.

    Args:
        mirror: whether clips are mirrored.
    """

    mirror: bool = True

    def __call__(self, sample: Sample, generator: Generator) -> Sample:
        if not isinstance(sample, OfVideo):
            raise TypeError(f"a sample is {type(sample).__name__}: clips are drawn from videos (`data.clips`)")
        sampling = sample.sampling
        video = videos.opened(sample.video.path)
        moment, size, down, right, flip = torch.rand(5, generator=generator).tolist()
        start = int(moment * (sampling.last(video.count) + 1))
        frames = video.read(sampling.indices(start, video.count))
        low, high = sampling.shorter
        clip = cut_out(frames, low + int(size * (high - low + 1)), sampling.crop, down, right)
        return {"image": clip.flip(-1) if self.mirror and flip < 0.5 else clip, "label": sample.video.label}


def views(path: Path, sampling: Sampling, *, clips: int, crops: int) -> Tensor:
    """Several views of a video: clips at even distances, and squares at even distances along the longer side.

    Args:
        path: the video.
        sampling: frames, stride and crop; the shorter side is resized to the crop where there are several squares, and
            otherwise to the lower bound of the shorter side.
        clips, crops: how many.

    Shapes: -> `3 V T S S` in 0..1, V = clips · crops.
    Raises: videos.UnreadableVideo.
    """
    video = videos.opened(path)
    count, last = video.count, sampling.last(video.count)
    side = sampling.shorter[0]
    square = side if crops > 1 else sampling.crop
    found = []
    for start in _spread(last, clips):
        frames = video.read(sampling.indices(start, count))
        for at in _shares(crops):
            along = (0.5, at) if frames.shape[3] >= frames.shape[2] else (at, 0.5)
            found.append(cut_out(frames, side, square, *along))
    return torch.stack(found, 1)


def _spread(last: int, count: int) -> list[int]:
    """`count` starts from 0 to `last`; a single one in the middle."""
    return [round(share * last) for share in _shares(count)]


def _shares(count: int) -> list[float]:
    return [0.5] if count == 1 else [i / (count - 1) for i in range(count)]


def cut_out(frames: Tensor, shorter: int, crop: int, down: float, right: float) -> Tensor:
    """A square of frames whose shorter side is resized: uint8 `T 3 H W` -> `3 T crop crop` in 0..1.

    `down` and `right` in 0..1 place the square; it is cut out before it is resized.
    """
    height, width = frames.shape[2:]
    side = min(crop / shorter * min(height, width), min(height, width))
    own = max(1, round(side))
    top, left = round(down * (height - own)), round(right * (width - own))
    square = frames[:, :, top : top + own, left : left + own].float().div_(255)
    if own != crop:
        square = functional.interpolate(square, (crop, crop), mode="bilinear", antialias=True).clamp_(0, 1)
    return square.transpose(0, 1).contiguous()


class Clips(Dataset[Sample]):
    """A dataset of clips.

    Args:
        videos: the videos.
        sampling: how a clip is taken.
        clips, crops: how many views of a video a sample has, `image` `3 V T S S`; with one of each, and for training,
            it has one clip, `3 T S S`.
        drawn: whether samples are for `Drawn`, which draws a clip.

    `at_once` is how many samples make a batch of a test. `digest` covers names, labels and the sizes of files, or the
    numbers of frames; not the pixels.
    """

    def __init__(
        self, videos: Sequence[Labelled], sampling: Sampling, *, clips: int = 1, crops: int = 1, drawn: bool = False
    ) -> None:
        self.videos, self.sampling, self.drawn = list(videos), sampling, drawn
        self.clips, self.crops = positive("clips", clips), positive("crops", crops)
        self.at_once = max(1, AT_ONCE // (clips * crops))
        self.labels = [video.label for video in self.videos]
        content = blake2b(digest_size=16)
        for video in self.videos:
            size = len(list(video.path.iterdir())) if video.path.is_dir() else video.path.stat().st_size
            content.update(f"{shown(video.path.name)}\0{video.label}\0{size}\0".encode("utf-8", "replace"))
        self.digest = content.hexdigest()

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, i: int) -> Sample:
        if not -len(self) <= i < len(self):
            raise IndexError(f"index {i} is out of range: there are {len(self)} videos")
        video = self.videos[i]
        if self.drawn or self.clips == self.crops == 1:
            return OfVideo(video, self.sampling)
        found = views(video.path, self.sampling, clips=self.clips, crops=self.crops)
        return {"image": found, "label": video.label}


@dataclass(frozen=True)
class ClipSet:
    """A dataset of videos: training clips and test clips.

    Args:
        name: the folder.
        classes: the names of the classes, in the order of the labels.
        train, test: the clips.
        skipped: listed videos that are not there.
    """

    name: str
    classes: tuple[str, ...]
    train: Clips
    test: Clips
    skipped: tuple[Skipped, ...] = ()


def load(folder: Path, sampling: Sampling, *, clips: int = 1, crops: int = 1, split: int = 1, seed: int = 0) -> ClipSet:
    """Reads a dataset of videos in one of the layouts of `data.clip_layouts`.

    Args:
        folder: the folder of the dataset.
        sampling: how clips are taken.
        clips, crops: how many views of a test video are averaged.
        split: which of the published splits of UCF-101 or HMDB-51, from 1.
        seed: of the division, where the folder has no part for testing.

    Raises: OSError if there is no such folder; ValueError if it has none of the layouts, a line cannot be read, none of
        the listed videos is there, or there are fewer than two classes; ImportError for video files without a decoder.
    """
    whole("seed", seed, 0)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {shown(folder)}")
    classes, parts, skipped = found_in(folder, split)
    if len(classes) < 2:
        raise ValueError(f"{shown(folder)} has {len(classes)} class: at least two are needed")
    if len(parts) == 1:
        halves = divide([video.label for video in parts[0]], TEST_SHARE, seed)
        parts = [[parts[0][i] for i in half] for half in halves]
    train, test = parts
    for part in parts:
        film = next((video.path for video in part if not video.path.is_dir()), None)
        if film is not None:
            videos.opened(film)  # the decoder is missed before the training
    return ClipSet(
        shown(folder),
        tuple(classes),
        Clips(train, sampling, drawn=True),
        Clips(test, sampling, clips=clips, crops=crops),
        tuple(skipped),
    )
