"""`regard regions`: which regions are kept, the file that is written, and what stops it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from regard.data import bottom_up
from regard.looking import regions

DETECTOR = "fasterrcnn_mobilenet_v3_large_320_fpn"

detection = pytest.importorskip("torchvision.models.detection")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of weights of a detector of 5 classes, which are random."""
    torch.manual_seed(3)
    network = getattr(detection, DETECTOR)(weights=None, weights_backbone=None, num_classes=6)
    path = tmp_path_factory.mktemp("weights") / "detector.pth"
    torch.save(network.state_dict(), path)
    return path


def photographs(folder: Path) -> Path:
    folder.mkdir()
    for name, size in {"000000000042.png": (71, 53), "street.png": (53, 97)}.items():
        values = torch.randint(
            256, (size[1], size[0], 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
        )
        Image.fromarray(values.numpy()).save(folder / name)
    return folder


BOXES = torch.tensor([[0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10], [0, 20, 10, 30]], dtype=torch.float32)


@pytest.mark.parametrize(
    ("confidence", "least", "most", "kept"),
    [(0.5, 1, 4, [2, 0]), (0.05, 1, 4, [2, 0, 1, 3]), (0.05, 1, 3, [2, 0, 1]), (0.95, 3, 4, [2, 0, 1])],
)
def test_the_most_confident_regions_are_kept(confidence: float, least: int, most: int, kept: list[int]) -> None:
    # Of the two boxes over each other the second loses in the first class, and is the better one in the second.
    scores = torch.tensor([[0.8, 0.1], [0.7, 0.3], [0.0, 0.9], [0.1, 0.1]])
    chosen = regions.chosen(BOXES, scores, confidence=confidence, least=least, most=most)
    assert chosen.rows.tolist() == kept
    classes, sure = {0: 0, 1: 1, 2: 1, 3: 0}, {0: 0.8, 1: 0.3, 2: 0.9, 3: 0.1}
    assert chosen.classes.tolist() == [classes[row] for row in kept]
    assert chosen.scores.tolist() == pytest.approx([sure[row] for row in kept])


@pytest.mark.slow
def test_regions_are_proposals_with_the_features_of_the_head(weights: Path) -> None:
    network: Any = regions.opened(DETECTOR, weights)
    image = torch.rand(3, 53, 71, generator=torch.Generator().manual_seed(5))
    heads = network.roi_heads
    pooled: list[tuple[torch.Tensor, ...]] = []
    heads.box_head.register_forward_hook(lambda _, given, output: pooled.append((given[0], output)))
    found = regions.regions(network, "a", image, confidence=0.0, least=1, most=7)
    assert (found.width, found.height, found.boxes.shape, found.features.shape) == (71, 53, (7, 4), (7, 1024))
    assert found.classes == ()  # 5 classes are not COCO's
    assert all((pooled[0][1] == one).all(1).any() for one in torch.from_numpy(found.features))
    # the same proposals as torchvision's own pass through the network
    network([image])
    assert torch.equal(pooled[0][1], pooled[1][1])


@pytest.mark.slow
def test_the_command_writes_a_file_that_is_read_and_overwrites_none(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from regard.cli import main

    folder, out = photographs(tmp_path / "photos"), tmp_path / "features.tsv"
    (folder / "torn.png").write_bytes(b"\x89PNG")
    line = [
        "regions",
        str(folder),
        "--out",
        str(out),
        "--weights",
        str(weights),
        "--detector",
        DETECTOR,
        "--most",
        "11",
    ]
    with pytest.raises(SystemExit, match="0"):
        main(line)
    said = " ".join(capsys.readouterr().out.split())
    assert "regions of 2 photographs" in said
    assert "torn.png" in said
    file = bottom_up.BottomUp(out)
    assert file.names == ("42", "street")
    assert (file["street"].width, file["street"].height) == (53, 97)
    found = file["000000000042.png"]
    assert 10 <= len(found.features) == len(found.boxes) <= 11
    assert found.features.shape[1] == 1024
    before = out.read_bytes()
    with pytest.raises(SystemExit, match="1"):
        main(line)
    assert "the file is there already" in " ".join(capsys.readouterr().err.split())
    assert out.read_bytes() == before


@pytest.mark.slow
def test_a_detector_on_the_machine_finds_the_regions_of_a_photograph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    path = photographs(tmp_path / "photos") / "street.png"
    assert regions.cached() is None
    with pytest.raises(FileNotFoundError, match="give --regions, a file that `regard regions` writes; there is no reg"):
        regions.of_photograph(path, None)
    torch.manual_seed(3)
    network = getattr(detection, DETECTOR)(weights=None, weights_backbone=None, num_classes=91)
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(network.state_dict(), tmp_path / "hub" / "checkpoints" / f"{DETECTOR}-907ea3f9.pth")
    found, source = regions.of_photograph(path, None)
    assert source == DETECTOR
    assert (found.width, found.height) == (53, 97)
    assert len(found.classes) == len(found.boxes) == 10  # random weights are sure of nothing: the least
    assert set(found.classes) <= {"N/A", *detection.FasterRCNN_ResNet50_FPN_Weights.DEFAULT.meta["categories"][1:]}
    assert found.scores is not None and (np.diff(found.scores) <= 0).all()
    beside = tmp_path / "regions.tsv"
    bottom_up.write(beside, [replace(found, name="street", classes=("dog",) * 10)])
    assert regions.of_photograph(path, None)[0].classes == ("dog",) * 10  # a file beside the photograph goes before it
    bottom_up.write(tmp_path / "own.tsv", [replace(found, name="street", classes=("cat",) * 10)])
    assert regions.of_photograph(path, tmp_path / "own.tsv")[0].classes == ("cat",) * 10


@pytest.mark.slow
def test_weights_of_another_detector_are_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has not the weights of fasterrcnn_resnet50_fpn"):
        regions.opened("fasterrcnn_resnet50_fpn", weights)
    other = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(2)}, other)
    with pytest.raises(ValueError, match="has no weights of a Faster R-CNN"):
        regions.opened(DETECTOR, other)
    other.write_bytes(b"none")
    with pytest.raises(ValueError, match="a file of torchvision's weights is needed"):
        regions.opened(DETECTOR, other)


def test_the_id_of_a_photograph_is_cocos_number_or_its_name(tmp_path: Path) -> None:
    folder = photographs(tmp_path / "photos")
    (folder / "COCO_val2014_000000000139.jpg").write_bytes(b"")
    (folder / "notes.txt").write_text("")
    assert sorted(regions.named(folder)) == ["139", "42", "street"]
    (folder / "below").mkdir()
    (folder / "below" / "street.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="are both image street"):
        regions.named(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="there is no photograph in this folder"):
        regions.named(tmp_path / "empty")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"detector": "yolo"}, "detector='yolo'"),
        ({"least": 7, "most": 5}, "least=7: at most most=5 is needed"),
        ({"confidence": 2.0}, "confidence=2.0"),
        ({}, "a file of the detector's weights, or pretrained"),
    ],
)
def test_an_argument_that_is_not_accepted_is_named(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        regions.write_regions(tmp_path, tmp_path / "out.tsv", **arguments)
    assert list(tmp_path.iterdir()) == []
