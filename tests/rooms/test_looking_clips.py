"""`regard look` of a folder of frames, from the run folder alone; the picture of frames for every word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import regard
from regard.catalog import recipes
from regard.cli import app
from regard.core import Maps
from regard.data.drawn_events import DrawnEvents
from regard.looking import clips
from regard.training import running
from regard.training.recipe import built
from regard.viewing import draw
from regard.viewing.frames import GAP, LABEL, LINE, WIDTH


def folder_of(place: Path, count: int = 4, size: int = 24) -> Path:
    clip = DrawnEvents(count=1, frames=count, size=size, coloured=True).clip(0)
    place.mkdir(parents=True)
    for t, frame in enumerate(clip.unbind(1)):
        Image.fromarray((frame * 255).round().byte().permute(1, 2, 0).numpy()).save(place / f"frame{t}.png")
    return place


def run_of(place: Path, name: str) -> Path:
    """The weights of a tiny variant as it begins, as `regard train` writes them."""
    from safetensors.torch import save_file

    recipe = built(recipes.get(name), tiny=True)
    found = running.describe(recipe, name=name)
    assert found is not None
    torch.manual_seed(0)
    state = {key: value.contiguous() for key, value in recipe.build().state_dict().items()}
    place.mkdir()
    save_file(state, place / "model.safetensors", found.metadata())
    return place


def test_the_frames_of_each_word_are_drawn_over_a_clip() -> None:
    maps = Maps()
    maps["temporal"], maps.axes["temporal"] = [torch.tensor([[[0.0, 1.0, 0.0], [0.5, 0.2, 0.3]]])], "B L T"
    maps.words["L"] = [["one", "four"]]
    clip = torch.stack([torch.full((3, 8, 16), 0.1 * (t + 1)) for t in range(6)], 1)  # two frames for each of the map
    (picture,) = draw(maps, clip)
    height = round(WIDTH * 8 / 16)
    assert picture.image.size == (LABEL + 3 * (WIDTH + GAP), height + GAP + 2 * LINE)
    pixels = np.asarray(picture.image)
    for column, frame in enumerate((1, 3, 5)):  # the middle of its share of the clip
        x = LABEL + column * (WIDTH + GAP) + WIDTH // 2
        assert abs(int(pixels[height // 2, x, 0]) - 255 * 0.1 * (frame + 1)) <= 1
    y = height + GAP + 3
    dark, light = pixels[y, LABEL + 2], pixels[y, LABEL + WIDTH + GAP + 2]
    assert int(light.sum()) > int(dark.sum()) + 200 and (pixels[y, LABEL + 2 * (WIDTH + GAP) + 2] == dark).all()
    assert "2 words, each over 3 frames" in picture.caption
    maps.words["L"] = [["one", "four", "seven"]]
    with pytest.raises(ValueError, match="temporal: words for 3 rows, and the map has 2"):
        draw(maps, clip)


def test_a_classifier_of_clips_is_drawn_from_its_run(tmp_path: Path) -> None:
    run, video = run_of(tmp_path / "run", "action-attention"), folder_of(tmp_path / "clip.a")
    looks = regard.look(video, weights=run, out=tmp_path / "out")
    (name, prediction), *others = looks.predictions
    assert name == "clip.a" and not others and not looks.sentences
    assert sum(share for _, share in prediction) < 1 and prediction[0][0] in DrawnEvents.classes
    assert [path.name for path in looks.pictures] == ["clip.a-action_attention.png"]
    with Image.open(looks.pictures[0]) as page:
        assert page.width > 600
    network, found = clips.opened("action_attention", run, {})
    said = clips.of_video(video, network, found, "common")
    assert [picture.name for picture in said.pictures] == ["clip.a", "spatial"]
    assert said.pictures[1].caption.startswith("4 step maps")


def test_a_captioner_of_clips_is_drawn_from_its_run(tmp_path: Path) -> None:
    run, video = run_of(tmp_path / "run", "video-description"), folder_of(tmp_path / "clip", 8)
    result = CliRunner().invoke(app, ["look", str(video), "--weights", str(run), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "clip: " in result.output and (tmp_path / "out" / "clip-video_description.png").is_file()
    network, found = clips.opened(None, run, {})
    said = clips.of_video(video, network, found, "common")
    assert [picture.name for picture in said.pictures] == ["clip", "temporal", "words"]
    assert said.pictures[0].caption == "4 of 8 frames, at even distances"
    assert set(said.sentence.split()) <= set(DrawnEvents.words.tokens)


def test_what_a_look_at_a_clip_needs_is_said(tmp_path: Path) -> None:
    video = folder_of(tmp_path / "clip")
    with pytest.raises(ValueError, match="no weights are given: a look at a video needs weights"):
        regard.look(video)
    run = run_of(tmp_path / "run", "action-attention")
    with pytest.raises(ValueError, match=r"at=\(1, 2\): a network for clips does not take it"):
        regard.look(video, weights=run, at=(1, 2))
    with pytest.raises(ValueError, match="backbone='resnet18': a network for clips does not take it"):
        regard.look(video, weights=run, backbone="resnet18")
    with pytest.raises(ValueError, match=r"is of action_attention, not ram"):
        regard.look(video, "ram", weights=run)
    with pytest.raises(ValueError, match=r"frame0\.png is no video"):
        regard.look([video, video / "frame0.png"], weights=run)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="the folder has no image files"):
        regard.look(tmp_path / "empty", weights=run)
