"""Regions of photographs by torchvision's Faster R-CNN, in the file that the networks over regions read.

The authors' choice of regions: of the detector's proposals those that, after a suppression in each class, some class
has with a confidence of 0.2 or more; at least 10 and at most 100, the most confident first. Boxes are the proposals
themselves, and features what the head makes of each; the class of a region is the one of that confidence. The authors'
detector (ResNet-101, Visual Genome, 2,048 features) needs their own version of Caffe; torchvision's are trained on
COCO's 80 classes and give 1,024 features.

Bottom-Up and Top-Down Attention. Anderson et al. CVPR 2018, arXiv:1707.07998.
Official code: peteanderson80/bottom-up-attention, `tools/generate_tsv.py`.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from regard.checks import choice, number, positive
from regard.data import Skipped, bottom_up
from regard.data.images import SUFFIXES, UnreadableImage, quiet, shown, whole

DETECTORS = (
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
)
CONFIDENCE, LEAST, MOST = 0.2, 10, 100
SUPPRESSION = 0.3  # overlap above which the less confident of two boxes of a class is dropped
PROPOSALS = 300
WRITTEN = "regions.tsv"  # a file of regions that is found beside photographs
_COCO = re.compile(r"(?:COCO_[a-z]+[0-9]+_)?0*([0-9]+)")


class Kept(NamedTuple):
    """The regions of a photograph that are kept, the most confident first.

    Attributes:
        rows: of the proposals, `N`.
        classes: the class of each, counted from 0 without the background, `N`.
        scores: of the classes, `N`.
    """

    rows: Tensor
    classes: Tensor
    scores: Tensor


def write_regions(
    source: Path,
    out: Path,
    *,
    detector: str = DETECTORS[0],
    weights: Path | None = None,
    pretrained: bool = False,
    confidence: float = CONFIDENCE,
    least: int = LEAST,
    most: int = MOST,
    on_image: Callable[[int, int], None] | None = None,
) -> tuple[int, list[Skipped]]:
    """Writes the regions of photographs to a TSV file of bottom-up features.

    Args:
        source: a photograph, or a folder with photographs, also in folders below.
        out: the file, which must not be there yet.
        detector: one of `DETECTORS`.
        weights: a file of the detector's published weights.
        pretrained: torchvision fetches the published weights, where they are not yet on the machine.
        confidence: above which a region is kept.
        least, most: the number of regions of an image.
        on_image: called as `(images done, all images)`.

    Returns: the number of images written, and the files that could not be read.
    Raises: ValueError if an argument is out of range, there are no weights or they do not fit, two photographs have one
        name, or none can be read; FileExistsError if `out` is there; ImportError without torchvision; OSError.
    """
    choice("detector", detector, DETECTORS)
    number("confidence", confidence, least=0, most=1)
    if positive("most", most) < positive("least", least):
        raise ValueError(f"least={least}: at most most={most} is needed")
    if (weights is None) == (not pretrained):
        raise ValueError("weights: a file of the detector's weights, or pretrained, and not both, is needed")
    out = Path(out)
    if out.exists():
        raise FileExistsError(f"out={shown(out)!r}: the file is there already; nothing is overwritten")
    photographs = named(Path(source))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = opened(detector, weights).to(device)
    skipped: list[Skipped] = []

    def seen() -> Iterator[bottom_up.Seen]:
        for done, (name, path) in enumerate(photographs.items(), 1):
            try:
                with quiet():
                    pixels = whole(path).pixels
            except UnreadableImage as error:
                skipped.append(Skipped(shown(path), error.reason))
            else:
                yield regions(
                    network, name, pixels.to(device).float() / 255, confidence=confidence, least=least, most=most
                )
            if on_image is not None:
                on_image(done, len(photographs))
        if len(skipped) == len(photographs):
            raise ValueError(
                f"none of {len(photographs)} photographs can be read; {skipped[0].path}: {skipped[0].reason}"
            )

    return bottom_up.write(out, seen()), skipped


def of_photograph(path: Path, file: Path | None) -> tuple[bottom_up.Seen, str]:
    """The regions of a photograph, and where they are from.

    They are those of a file; or of `regions.tsv` in the photograph's folder or the one above, if the photograph is in
    it, as drawn scenes are written; or those that torchvision's Faster R-CNN finds, if its weights are on the machine.

    Args:
        path: the photograph.
        file: a file of regions, or None.

    Raises: LookupError if the file has none of the photograph; FileNotFoundError if there is no file, and the weights
        of no detector are on the machine; ImportError without torchvision; the errors of `bottom_up.BottomUp`.
    """
    if file is not None:
        return bottom_up.BottomUp(file)[path.name], shown(file)
    for folder in (path.parent, path.parent.parent):
        beside = folder / WRITTEN
        if beside.is_file():
            several = bottom_up.BottomUp(beside)
            if several.find(path.name) is not None:
                return several[path.name], shown(beside)
    found = cached()
    if found is None:
        raise FileNotFoundError(
            f"{shown(path)}: its regions are needed: give --regions, a file that `regard regions` writes; there is no "
            f"{WRITTEN} beside it, and no weights of torchvision's Faster R-CNN are in {shown(_folder())}"
        )
    with quiet():
        pixels = whole(path).pixels
    return regions(_opened(*found), path.name, pixels.float() / 255), found[0]


def cached() -> tuple[str, Path] | None:
    """The first of `DETECTORS` whose published weights are in torch's folder of checkpoints, and their file."""
    for detector in DETECTORS:
        file = _folder() / Path(_published(detector).url).name
        if file.is_file():
            return detector, file
    return None


@cache
def _opened(detector: str, file: Path) -> nn.Module:
    return opened(detector, file)


def _folder() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"


def _published(detector: str) -> Any:
    """What torchvision publishes of a detector: `url` and `meta`. Raises: ImportError without torchvision."""
    return _models().get_model_weights(detector).DEFAULT


def named(source: Path) -> dict[str, Path]:
    """The photographs by the id under which they are written: COCO's number, or the file's name without its suffix.

    Raises: FileNotFoundError if there are none; ValueError if two have one id.
    """
    if not source.exists():
        raise FileNotFoundError(f"{shown(source)}: there is no such file or folder")
    paths = [source] if source.is_file() else sorted(path for path in source.rglob("*") if _is_photograph(path))
    if not paths:
        raise FileNotFoundError(f"{shown(source)}: there is no photograph in this folder")
    found: dict[str, Path] = {}
    for path in paths:
        coco = _COCO.fullmatch(path.stem)
        name = coco[1] if coco else path.stem
        if any(letter in name for letter in "\t\r\n") or not name.isascii():
            raise ValueError(f"{shown(path)}: a name of ASCII letters, without tabs, is needed in the file of regions")
        if name in found:
            raise ValueError(
                f"{shown(path)} and {shown(found[name])} are both image {name}: different names are needed"
            )
        found[name] = path
    return found


def opened(detector: str, weights: Path | None) -> nn.Module:
    """The detector for evaluation, with the weights of a file; without one torchvision fetches them.

    Raises: ImportError without torchvision; ValueError if the file does not fit; OSError if it cannot be read.
    """
    detection = _models().detection
    make, how = getattr(detection, detector), {"rpn_post_nms_top_n_test": PROPOSALS}
    if weights is None:
        fetched: nn.Module = make(weights="DEFAULT", **how).eval()
        return fetched
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError):
        raise ValueError(f"{shown(weights)}: a file of torchvision's weights is needed") from None
    rows = state.get("roi_heads.box_predictor.cls_score.bias") if isinstance(state, dict) else None
    if not isinstance(rows, Tensor) or rows.ndim != 1:
        raise ValueError(f"{shown(weights)} has no weights of a Faster R-CNN: those of {detector} are needed")
    network: nn.Module = make(weights=None, weights_backbone=None, num_classes=len(rows), **how)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[1:2] or [str(error)]
        raise ValueError(f"{shown(weights)} has not the weights of {detector}: {first[0].strip()[:200]}") from None
    return network.eval()


def _models() -> Any:
    """torchvision's models. Raises: ImportError without torchvision."""
    try:
        from torchvision import models
    except ImportError:
        raise ImportError("torchvision is needed to find regions: install a version that fits torch's") from None
    return models


@torch.no_grad()
def regions(
    network: Any, name: str, image: Tensor, *, confidence: float = CONFIDENCE, least: int = LEAST, most: int = MOST
) -> bottom_up.Seen:
    """The regions of one photograph, the most confident first, with the features and the class of each.

    Args:
        network: torchvision's Faster R-CNN in evaluation mode; classes are named if they are as many as COCO's.
        name: of the photograph.
        image: in 0..1.
        confidence, least, most: as for `write_regions`; fewer than `least` where there are not so many proposals.

    Shapes: image `3 H W`.
    """
    from torchvision.ops import clip_boxes_to_image

    height, width = image.shape[1:]
    resized, _ = network.transform([image])
    maps = network.backbone(resized.tensors)
    proposals, _ = network.rpn(resized, maps)
    heads = network.roi_heads
    features = heads.box_head(heads.box_roi_pool(maps, proposals, resized.image_sizes))
    logits, _ = heads.box_predictor(features)
    (tall, wide) = resized.image_sizes[0]
    boxes = proposals[0] * proposals[0].new_tensor([width / wide, height / tall] * 2)
    boxes = clip_boxes_to_image(boxes, (height, width))
    kept = chosen(boxes, logits.softmax(1)[:, 1:], confidence=confidence, least=least, most=most)
    names: list[str] = _published(DETECTORS[0]).meta["categories"][1:]  # the first is the background
    known = len(names) == logits.shape[1] - 1
    return bottom_up.Seen(
        name,
        width,
        height,
        boxes[kept.rows].cpu().numpy(),
        features[kept.rows].cpu().numpy(),
        tuple(names[number] for number in kept.classes.tolist()) if known else (),
        kept.scores.cpu().numpy() if known else None,
    )


def chosen(boxes: Tensor, scores: Tensor, *, confidence: float, least: int, most: int) -> Kept:
    """The regions that are kept, the most confident first.

    A region's confidence is the highest score among the classes in which it survives the suppression; one that survives
    in no class has the confidence 0, and its class is the one of its highest score.

    Shapes: boxes `M 4`, scores `M K`.
    """
    from torchvision.ops import batched_nms

    count, classes = scores.shape
    rows = torch.arange(count, device=boxes.device).repeat_interleave(classes)
    labels = torch.arange(classes, device=boxes.device).repeat(count)
    surviving = torch.zeros(count * classes, dtype=torch.bool, device=boxes.device)
    surviving[batched_nms(boxes[rows], scores.flatten(), labels, SUPPRESSION)] = True
    left = torch.where(surviving.view(count, classes), scores, 0)
    best, own = left.amax(1), torch.where((left > 0).any(1), left.argmax(1), scores.argmax(1))
    order = best.argsort(descending=True, stable=True)
    number_kept = int((best >= confidence).sum())
    kept = order[: max(least, min(number_kept, most))]
    return Kept(kept, own[kept], best[kept])


def _is_photograph(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")
