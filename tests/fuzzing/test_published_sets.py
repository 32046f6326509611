"""Mutated lists of published datasets: fine-grained ones, ImageNet, videos, and label maps."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from regard.data import aircraft, cars, clips, dogs, imagenet, label_maps

PIXELS = np.random.default_rng(0).integers(256, size=(41, 13, 3), dtype=np.uint8)


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(PIXELS).save(path)


def written(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def matlab(path: Path, content: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    out = io.BytesIO()
    savemat(out, content)
    path.write_bytes(out.getvalue())


def of_aircraft(root: Path) -> None:
    names = [f"{i:07d}" for i in range(8)]
    for name in names:
        picture(root / "images" / f"{name}.jpg")
    written(root / "variants.txt", "A320\nBoeing 747\n")
    for part, own in (("trainval", names[:4]), ("test", names[4:])):
        rows = (f"{name} {('A320', 'Boeing 747')[i % 2]}\n" for i, name in enumerate(own))
        written(root / f"images_variant_{part}.txt", "".join(rows))
    written(root / "images_box.txt", "".join(f"{name} 2 3 9 11\n" for name in names))


def structs(rows: list[dict[str, object]]) -> np.ndarray:
    made = np.zeros((1, len(rows)), dtype=[(name, object) for name in rows[0]])
    for i, row in enumerate(rows):
        for name, value in row.items():
            made[0, i][name] = value
    return made


def of_cars(root: Path) -> None:
    matlab(root / "devkit" / "cars_meta.mat", {"class_names": np.array([["Acura RL", "Audi R8"]], dtype=object)})
    box = {"bbox_x1": np.uint8(2), "bbox_y1": np.uint8(3), "bbox_x2": np.uint8(9), "bbox_y2": np.uint8(11)}
    rows = [{**box, "class": np.uint8(i % 2 + 1), "fname": f"{i:05d}.jpg"} for i in range(4)]
    for half in ("cars_train", "cars_test"):
        for i in range(4):
            picture(root / half / f"{i:05d}.jpg")
    matlab(root / "devkit" / "cars_train_annos.mat", {"annotations": structs(rows)})
    matlab(root / "devkit" / "cars_test_annos_withlabels.mat", {"annotations": structs(rows)})


def of_dogs(root: Path) -> None:
    files = [f"n0208562{i % 2}-Breed{i % 2}/n0208562{i % 2}_{i}.jpg" for i in range(8)]
    for file in files:
        picture(root / "Images" / file)
        box = "<xmin>2</xmin><ymin>3</ymin><xmax>9</xmax><ymax>11</ymax>"
        written(root / "Annotation" / file[:-4], f"<annotation><object><bndbox>{box}</bndbox></object></annotation>")
    for name, own in (("train_list", files[:4]), ("test_list", files[4:])):
        labels = np.array([[float(i % 2 + 1)] for i in range(4)])
        listed = np.array(own, dtype=object).reshape(-1, 1)
        matlab(root / f"{name}.mat", {"file_list": listed, "annotation_list": listed, "labels": labels})


def of_imagenet(root: Path) -> None:
    synsets = ("n00000011", "n00000012")
    for synset in synsets:
        picture(root / "train" / synset / f"{synset}_1.JPEG")
    for i in range(1, 5):
        picture(root / "val" / f"ILSVRC2012_val_0000000{i}.JPEG")
    written(root / "LOC_synset_mapping.txt", "".join(f"{synset} name, other\n" for synset in synsets))
    rows = [f"ILSVRC2012_val_0000000{i},{synsets[i % 2]} 1 2 3 4" for i in range(1, 5)]
    written(root / "LOC_val_solution.csv", "\n".join(["ImageId,PredictionString", *rows]) + "\n")
    number = np.array([[1.0]])
    kit = [{"ILSVRC2012_ID": number * (i + 1), "WNID": synset, "words": "name"} for i, synset in enumerate(synsets)]
    matlab(root / "data" / "meta.mat", {"synsets": structs(kit)})
    written(root / "data" / "ILSVRC2012_validation_ground_truth.txt", "1\n2\n1\n2\n")


def of_devkit(root: Path) -> None:
    of_imagenet(root)
    (root / "LOC_val_solution.csv").unlink()


def videos(root: Path) -> None:
    for i in range(4):
        for frame in range(3):
            picture(root / "all" / f"v{i}_000002_000012" / f"{frame}.png")


def of_lists(root: Path) -> None:
    videos(root)
    for name in ("trainlist.txt", "vallist.txt"):
        written(root / name, "".join(f"all/v{i}_000002_000012 {i % 2}\n" for i in range(4)))
    written(root / "classids.json", '{"\\"run\\"": 0, "\\"jump\\"": 1}')


def of_tables(root: Path) -> None:
    videos(root)
    rows = [f"{('run', 'jump')[i % 2]},v{i},2,12,train,0" for i in range(4)]
    for name in ("train.csv", "val.csv"):
        written(root / name, "\n".join(["label,youtube_id,time_start,time_end,split,is_cc", *rows]) + "\n")


def read_videos(root: Path) -> object:
    found = clips.load(root, clips.Sampling(frames=2, stride=1, crop=8, shorter=(9, 11)))
    return found.train[0]


def labels(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(PIXELS[..., 0] % 3).save(path)


def of_label_maps(root: Path) -> None:
    for i in range(4):
        picture(root / "images" / f"{i}.jpg")
        labels(root / "labels" / f"{i}.png")
    written(root / "classes.txt", "sky 0 0 0\nroad 1 2 3\ntree, tall 4 5 6\n")
    written(root / "train.txt", "0\n1.jpg\n")
    written(root / "val.txt", "2\n3\n")


def of_voc(root: Path) -> None:
    for i in range(4):
        picture(root / "JPEGImages" / f"2007_{i}.jpg")
        labels(root / "SegmentationClass" / f"2007_{i}.png")
    for name, own in (("train", (0, 1)), ("val", (2, 3))):
        written(root / "ImageSets" / "Segmentation" / f"{name}.txt", "".join(f"2007_{i}\n" for i in own))


def of_coco(root: Path) -> None:
    shapes: list[tuple[int, object, int]] = [(1, [[1.0, 1, 9, 1, 9, 9]], 0), (2, [[2.0, 2, 7, 2, 7, 30, 2, 30]], 0)]
    shapes.append((1, {"size": [41, 13], "counts": [3, 500, 30]}, 1))
    content = {
        "images": [{"id": 1, "file_name": "1.jpg", "width": 13, "height": 41}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [{"image_id": 1, "category_id": c, "segmentation": s, "iscrowd": w} for c, s, w in shapes],
    }
    for part in ("train2017", "val2017"):
        picture(root / part / "1.jpg")
        written(root / "annotations" / f"instances_{part}.json", json.dumps(content))


def of_stuff(root: Path) -> None:
    for name in ("train", "test"):
        picture(root / "images" / f"{name}_1.jpg")
        matlab(root / "annotations" / f"{name}_1.mat", {"S": PIXELS[..., 0].astype(np.uint16) % 183})
        written(root / "imageLists" / f"{name}.txt", f"{name}_1\n")


def read_labels(root: Path) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about classes that a mutation took away
        return label_maps.checked(*label_maps.read(root))


SETS: dict[str, tuple[Callable[[Path], None], Callable[[Path], object], tuple[tuple[str, str], ...]]] = {
    "aircraft": (
        of_aircraft,
        lambda root: aircraft.load(root, image_size=8),
        (("variants.txt", "text"), ("images_variant_trainval.txt", "text"), ("images_box.txt", "text")),
    ),
    "cars": (
        of_cars,
        lambda root: cars.load(root, image_size=8),
        (("devkit/cars_meta.mat", "bytes"), ("devkit/cars_train_annos.mat", "bytes")),
    ),
    "dogs": (
        of_dogs,
        lambda root: dogs.load(root, image_size=8),
        (("train_list.mat", "bytes"), ("Annotation/n02085620-Breed0/n02085620_0", "text")),
    ),
    "ImageNet": (
        of_imagenet,
        lambda root: imagenet.load(root, image_size=8),
        (("LOC_synset_mapping.txt", "text"), ("LOC_val_solution.csv", "text")),
    ),
    "ImageNet's kit": (
        of_devkit,
        lambda root: imagenet.load(root, image_size=8),
        (("data/meta.mat", "bytes"), ("data/ILSVRC2012_validation_ground_truth.txt", "text")),
    ),
    "lists of videos": (of_lists, read_videos, (("trainlist.txt", "text"), ("classids.json", "json"))),
    "tables of videos": (of_tables, read_videos, (("train.csv", "text"),)),
    "label maps": (
        of_label_maps,
        read_labels,
        (("classes.txt", "text"), ("train.txt", "text"), ("labels/1.png", "bytes")),
    ),
    "Pascal VOC": (of_voc, read_labels, (("ImageSets/Segmentation/train.txt", "text"),)),
    "COCO's objects": (of_coco, read_labels, (("annotations/instances_train2017.json", "json"),)),
    "COCO-Stuff": (of_stuff, read_labels, (("annotations/train_1.mat", "bytes"), ("imageLists/test.txt", "text"))),
}


@pytest.mark.parametrize("count", [15, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("name", "file"), [(name, file) for name, (_, _, files) in SETS.items() for file, _ in files])
def test_a_mutated_list_is_read_or_refused_by_name(tmp_path, fuzzing, mutated, name, file, count):
    make, read, files = SETS[name]
    root = tmp_path / "dataset"
    make(root)
    path = root / file
    assert read(root) is not None
    changes = mutated(path.read_bytes(), 1, dict(files)[file])

    def cases() -> Iterator[tuple[object, str]]:
        for number in range(count):
            path.write_bytes(next(changes))
            yield f"mutation {number} of {path.name}", "dataset"

    fuzzing(lambda: read(root), cases())
