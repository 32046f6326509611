"""Saliency maps a second, `itti` against pySaliencyMap, in turns and on one thread, over photographs of scikit-image.

python benchmarks/saliency.py DIR

DIR holds a clone of akisatok/pySaliencyMap. It needs OpenCV (`pip install opencv-python-headless`) and is not the same
function: it is named here for its speed alone. Its optical flow is fed no earlier frame.
"""

from __future__ import annotations

import importlib
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from skimage import data

from regard.papers.itti.network import Itti

ROUNDS = 15


def timed(call: Callable[[], Any]) -> float:
    before = time.process_time()
    call()
    return time.process_time() - before


def main(folder: str) -> None:
    sys.path.insert(0, folder)
    cv2 = importlib.import_module("cv2")
    theirs = importlib.import_module("pySaliencyMap").pySaliencyMap
    cv2.setNumThreads(1)
    cv2.waitKey = lambda *_: 0  # the headless build has no windows to wait for
    torch.set_num_threads(1)
    model = Itti()
    for name in ("coffee", "astronaut", "retina"):
        image = getattr(data, name)()
        height, width = image.shape[:2]
        picture = torch.from_numpy(image).permute(2, 0, 1)[None].contiguous()
        other, reverse = theirs(width, height), np.ascontiguousarray(image[..., ::-1])

        def saliency(picture: torch.Tensor = picture) -> torch.Tensor:
            with torch.no_grad():
                return model(picture)

        def path(size: tuple[int, int] = (height, width), saliency: Callable[[], torch.Tensor] = saliency) -> Any:
            return model.scanpath(saliency(), size)

        def peer(other: Any = other, reverse: np.ndarray = reverse) -> Any:
            other.prev_frame = None
            return other.SMGetSM(reverse)

        calls = (saliency, peer, path)
        for call in calls:
            call()
        rounds = [[timed(call) for call in calls] for _ in range(ROUNDS)]
        ours, their, both = (statistics.median(column) * 1000 for column in zip(*rounds, strict=True))
        ratio = statistics.median(row[0] / row[1] for row in rounds)
        print(f"| {name}, {height} × {width} | {ours:.0f} ms | {their:.0f} ms | {ratio:.2f} | {both:.0f} ms |")


if __name__ == "__main__":
    main(sys.argv[1])
