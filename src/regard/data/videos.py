"""Frames of a video: a folder of image files, or a video file, decoded by PyAV or OpenCV where one is installed.

    video = videos.opened(path)
    video.count, video.read([0, 8, 16])    # uint8 T 3 H W

A video file is decoded from its beginning up to the last frame that is asked for, so that its frames are those of every
decoder, whatever its key frames. A damaged end repeats the last frame that can be decoded.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from regard.data.images import SUFFIXES, quiet, shown, whole

FILES = frozenset((".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp"))
INSTALL = "pip install av, or opencv-python-headless"


class UnreadableVideo(ValueError):
    """A video that cannot be used.

    Args:
        path: the file or the folder.
        reason: why it cannot be used.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{shown(self.path)}: {self.reason}"


class Video(Protocol):
    """A video: how many frames it has, and some of them."""

    @property
    def count(self) -> int: ...

    def read(self, indices: Sequence[int]) -> Tensor:
        """The frames at `indices`, in any order and also repeated: uint8 `T 3 H W`.

        Raises: UnreadableVideo.
        """
        ...


class Frames:
    """A folder of frames, in the order of the numbers in their names.

    Args:
        path: the folder.

    Raises: UnreadableVideo if it has no image files.
    """

    def __init__(self, path: Path) -> None:
        files = [one for one in path.iterdir() if one.suffix.lower() in SUFFIXES and not one.name.startswith(".")]
        if not files:
            raise UnreadableVideo(path, "the folder has no image files")
        self.path, self.files = path, sorted(files, key=numbered)

    @property
    def count(self) -> int:
        return len(self.files)

    def read(self, indices: Sequence[int]) -> Tensor:
        with quiet():
            found = {i: whole(self.files[i]).pixels for i in sorted(set(indices))}
        sizes = {tuple(frame.shape) for frame in found.values()}
        if len(sizes) > 1:
            raise UnreadableVideo(self.path, "its frames have several sizes; one is needed")
        return torch.stack([found[i] for i in indices])


@dataclass(frozen=True)
class Film:
    """A video file.

    Args:
        path: the file.
    """

    path: Path

    @property
    def count(self) -> int:
        """The number of frames that its header tells, or else of those that can be decoded."""
        if (av := _module("av")) is not None:
            with self._opened(av) as container:
                told = int(container.streams.video[0].frames)
        else:
            cv = _opencv()
            told = int(self._captured(cv).get(cv.CAP_PROP_FRAME_COUNT))
        return told if told > 0 else sum(1 for _ in self._frames())

    def read(self, indices: Sequence[int]) -> Tensor:
        wanted = set(indices)
        found: dict[int, np.ndarray] = {}
        last = None
        for i, last in enumerate(self._frames()):
            if i in wanted:
                found[i] = last
            if i >= max(wanted):
                break
        if last is None:
            raise UnreadableVideo(self.path, "no frame of it can be decoded")
        return torch.stack([torch.from_numpy(found.get(i, last)).permute(2, 0, 1) for i in indices])

    def _frames(self) -> Iterator[np.ndarray]:
        """Every frame in order, `H W 3`."""
        if (av := _module("av")) is not None:
            with self._opened(av) as container:
                try:
                    for frame in container.decode(video=0):
                        yield frame.to_ndarray(format="rgb24")
                except av.FFmpegError:  # a damaged end
                    return
        else:
            cv = _opencv()
            capture = self._captured(cv)
            while (got := capture.read())[0]:
                yield cv.cvtColor(got[1], cv.COLOR_BGR2RGB)

    def _opened(self, av: Any) -> Any:
        try:
            container = av.open(str(self.path))
        except (OSError, ValueError, av.FFmpegError) as error:
            raise UnreadableVideo(self.path, f"it cannot be opened: {error}") from error
        if not container.streams.video:
            container.close()
            raise UnreadableVideo(self.path, "it has no video")
        return container

    def _captured(self, cv: Any) -> Any:
        capture = cv.VideoCapture(str(self.path))
        if not capture.isOpened():
            raise UnreadableVideo(self.path, "it cannot be opened")
        return capture


def opened(path: Path) -> Video:
    """The video at a path: a folder of frames, or a file.

    Raises: UnreadableVideo if it is neither; ImportError for a file without a decoder.
    """
    if path.is_dir():
        return Frames(path)
    if not path.is_file():
        raise UnreadableVideo(path, "there is no such file or folder")
    if not decodable():
        raise ImportError(
            f"{shown(path)}: a video file needs PyAV or OpenCV ({INSTALL}); a folder of frames needs neither"
        )
    return Film(path)


def decodable() -> bool:
    """Whether a decoder of video files is installed."""
    return _module("av") is not None or _module("cv2") is not None


def numbered(path: Path) -> tuple[Any, ...]:
    """A key that sorts names by the numbers in them: frame 2 before frame 10."""
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", path.name))


def _opencv() -> Any:
    cv = _module("cv2")
    if cv is None:
        raise ImportError(f"a video file needs PyAV or OpenCV: {INSTALL}")
    return cv


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
