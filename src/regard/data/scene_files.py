"""Drawn scenes as files, in the layouts in which captions, boxes, questions and regions are published.

    train2017/, val2017/                            the images; those of the test scenes are called val
    annotations/captions_*2017.json                 COCO's captions                    `data.coco_captions`
    annotations/instances_*2017.json                COCO's boxes and classes           `data.coco_instances`
    dataset_scenes.json                             Karpathy's splits                  `data.karpathy`
    scenes.token, scenes.trainImages.txt, …         Flickr's token file and lists      `data.caption_files`
    v2_OpenEnded_mscoco_*2017_questions.json        VQA's questions                    `data.vqa`
    v2_mscoco_*2017_annotations.json                … and their answers
    regions.tsv                                     bottom-up features                 `data.bottom_up`

Image and scene have one number; the numbers of the test scenes follow those of the training scenes. Every fourth
training scene is in Karpathy's split `restval`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from regard.data import bottom_up
from regard.data.images import shown
from regard.data.scene_sentences import CAPTIONS, KINDS, Object
from regard.data.scenes import QUESTIONS, Scenes

PARTS = ("train2017", "val2017")
REST = 4  # every so many training scenes are in the split `restval`


def write(folder: Path, train: Scenes, test: Scenes) -> None:
    """Writes scenes into a folder, which has to be new or empty.

    Args:
        folder: the folder.
        train, test: the training and the test scenes; of views, all scenes are written.

    Raises: FileExistsError if the folder is not empty; OSError if it cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"folder={shown(folder)!r}: a new or an empty folder is needed")
    parts = dict(zip(PARTS, ((train, 0), (test, train.count)), strict=True))
    (folder / "annotations").mkdir()
    splits: list[dict[str, Any]] = []
    for part, (scenes, first) in parts.items():
        (folder / part).mkdir()
        for scene in range(scenes.count):
            pixels = (scenes.image(scene) * 255 + 0.5).byte().permute(1, 2, 0).numpy()
            Image.fromarray(pixels).save(folder / part / file_name(first + scene))
        _json(folder / "annotations" / f"captions_{part}.json", _captions(scenes, first))
        _json(folder / "annotations" / f"instances_{part}.json", _instances(scenes, first))
        asked, answered = _questions(scenes, first, part)
        _json(folder / f"v2_OpenEnded_mscoco_{part}_questions.json", asked)
        _json(folder / f"v2_mscoco_{part}_annotations.json", answered)
        splits += _split(scenes, first, part)
    _json(folder / "dataset_scenes.json", {"dataset": "scenes", "images": splits})
    _tokens(folder, splits)
    bottom_up.write(folder / "regions.tsv", _regions(parts))


def file_name(number: int) -> str:
    """The file name of an image."""
    return f"{number:012d}.png"


def _json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def _images(scenes: Scenes, first: int) -> list[dict[str, Any]]:
    side = {"width": scenes.size, "height": scenes.size}
    return [{"id": first + scene, "file_name": file_name(first + scene), **side} for scene in range(scenes.count)]


def _captions(scenes: Scenes, first: int) -> dict[str, Any]:
    annotations = [
        {"id": (first + scene) * CAPTIONS + place, "image_id": first + scene, "caption": _sentence(tokens)}
        for scene in range(scenes.count)
        for place, tokens in enumerate(scenes.captions(scene))
    ]
    return {"images": _images(scenes, first), "annotations": annotations}


def _sentence(tokens: tuple[str, ...]) -> str:
    text = " ".join(tokens)
    return f"{text[0].upper()}{text[1:]}."


def _instances(scenes: Scenes, first: int) -> dict[str, Any]:
    annotations: list[dict[str, Any]] = []
    for scene in range(scenes.count):
        for one in scenes.objects(scene):
            x, y, width, height = _pixels(one, scenes.size)
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": first + scene,
                    "category_id": KINDS.index(one.kind) + 1,
                    "bbox": [x, y, width, height],
                    "area": width * height,
                    "iscrowd": 0,
                }
            )
    categories = [{"id": number, "name": kind} for number, kind in enumerate(KINDS, 1)]
    return {"images": _images(scenes, first), "categories": categories, "annotations": annotations}


def _pixels(one: Object, side: int) -> tuple[int, int, int, int]:
    """A box as x, y, width and height in pixels."""
    left, top, right, bottom = (round(value * side) for value in one.box)
    return left, top, right - left, bottom - top


def _questions(scenes: Scenes, first: int, part: str) -> tuple[dict[str, Any], dict[str, Any]]:
    asked, answered = [], []
    for scene in range(scenes.count):
        for place, one in enumerate(scenes.asked_of(scene)):
            about = {"image_id": first + scene, "question_id": (first + scene) * QUESTIONS + place}
            asked.append({**about, "question": f"{_sentence(one.tokens)[:-1]}?"})
            answers = [
                {"answer_id": number, "answer": answer, "answer_confidence": "yes"}
                for number, answer in enumerate(one.ten, 1)
            ]
            answered.append(
                {
                    **about,
                    "answers": answers,
                    "multiple_choice_answer": Counter(one.ten).most_common(1)[0][0],
                    "answer_type": one.kind,
                    "question_type": " ".join(one.tokens[:2]),
                }
            )
    facts = {"data_type": "mscoco", "data_subtype": part}
    return {**facts, "questions": asked}, {**facts, "annotations": answered}


def _split(scenes: Scenes, first: int, part: str) -> list[dict[str, Any]]:
    """The images of a part as Karpathy's file lists them."""
    found = []
    for scene in range(scenes.count):
        number = first + scene
        split = "test" if part == PARTS[1] else "restval" if scene % REST == REST - 1 else "train"
        sentences = [
            {"raw": _sentence(tokens), "tokens": list(tokens), "imgid": number, "sentid": number * CAPTIONS + place}
            for place, tokens in enumerate(scenes.captions(scene))
        ]
        place = {"filepath": part, "filename": file_name(number), "cocoid": number, "imgid": number}
        found.append({**place, "split": split, "sentences": sentences})
    return found


def _tokens(folder: Path, splits: list[dict[str, Any]]) -> None:
    """Flickr's token file, and its list of each split."""
    lines = [
        f"{image['filename']}#{place}\t{sentence['raw'].removesuffix('.')} .\n"
        for image in splits
        for place, sentence in enumerate(image["sentences"])
    ]
    (folder / "scenes.token").write_text("".join(lines), encoding="utf-8")
    for name in ("train", "test"):
        names = [f"{image['filename']}\n" for image in splits if (image["split"] == "test") == (name == "test")]
        (folder / f"scenes.{name}Images.txt").write_text("".join(names), encoding="utf-8")


def _regions(parts: Mapping[str, tuple[Scenes, int]]) -> Iterator[bottom_up.Seen]:
    """The boxes of the objects of every scene with their kinds, and with the features of `Scenes.regions`."""
    for scenes, first in parts.values():
        regions = scenes.regions().images()
        for scene in range(scenes.count):
            objects = scenes.objects(scene)
            boxes = np.array([one.box for one in objects], np.float32) * scenes.size
            features, sure = regions[scene]["features"].numpy(), np.ones(len(objects), np.float32)
            kinds = tuple(one.kind for one in objects)
            yield bottom_up.Seen(str(first + scene), scenes.size, scenes.size, boxes, features, kinds, sure)
