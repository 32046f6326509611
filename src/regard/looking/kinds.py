"""Looks at other things than photographs: the images of the library, the images of a gallery, volumes and clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from regard.data.volumes import is_volume
from regard.looking import clips, examples, ranking, volumes
from regard.looking.results import Looks, predicted, said, saved, stem, warning
from regard.saved.opening import Network, open_network
from regard.viewing import draw
from regard.viewing.painting import picture_of
from regard.viewing.scaling import Scale
from regard.viewing.sheet import photograph, sheet

DRAWN = 4  # images that come with the library, on one sheet


def of_gallery(
    network: Network, paths: Sequence[Path], folder: Path, scale: Scale, out: Path, frames: int | None = None
) -> Looks:
    """Shows the nearest images, or tracklets of so many frames, of a gallery to each query."""
    gallery, written, sentences = ranking.Gallery(network, folder, frames), [], []
    for path in paths:
        found = gallery.ranked(path, scale=scale, warning=warning(network))
        written.append(saved(found.page, out, f"{path.stem}-{stem(network)}-ranking"))
        if found.relations is not None:
            written.append(saved(found.relations, out, f"{path.stem}-{stem(network)}-relations"))
        sentences.append((path.name, found.text))
    empty = tuple((path.name, ()) for path in paths)
    return Looks(
        tuple(written), network.trained, network.changed, network.untrained, network.name, empty, tuple(sentences)
    )


def of_volumes(
    paths: Sequence[Path],
    named: tuple[Any, ...],
    longest: int | None,
    target: object,
    layer: object,
    scale: Scale,
    out: Path,
) -> Looks:
    """Shows a network for volumes. Raises: ValueError if one of the files is none, or for an option of photographs."""
    mechanism, backbone, weights, pretrained, after, arguments = named
    other = next((path for path in paths if not is_volume(path)), None)
    if other is not None:
        raise ValueError(f"{other} is no volume: a look at volumes needs files that end in .nii.gz or .nii alone")
    options = {"backbone": backbone, "pretrained": pretrained, "after": after, "target": target, "layer": layer}
    given = next((name for name, value in options.items() if value not in (None, False)), None)
    if given is not None:
        raise ValueError(f"{given}={options[given]!r}: a network for volumes does not take it")
    network, found = volumes.opened(mechanism, None if weights is None else Path(weights), arguments)
    written = []
    for path in paths:
        pictures = volumes.pictures(path, network, found, longest=longest, scale=scale)
        state = ", ".join([network.name, *network.changed])
        page = sheet(pictures, f"{path.name}: {state}", warning=warning(network, "volume"))
        written.append(saved(page, out, f"{path.name.partition('.nii')[0]}-{stem(network)}"))
    empty = tuple((path.name, ()) for path in paths)
    return Looks(tuple(written), network.trained, network.changed, network.untrained, network.name, empty)


def of_clips(
    paths: Sequence[Path], named: tuple[Any, ...], options: Mapping[str, object], scale: Scale, out: Path
) -> Looks:
    """Shows a network for clips. Raises: ValueError if one of the paths is none, or for an option of photographs."""
    mechanism, backbone, weights, pretrained, after, arguments = named
    other = next((path for path in paths if not clips.is_clip(path)), None)
    if other is not None:
        raise ValueError(f"{other} is no video: a look at videos needs folders of frames or video files alone")
    given = {"backbone": backbone, "pretrained": pretrained or None, "after": after, **options}
    if taken := next((name for name, value in given.items() if value is not None), None):
        raise ValueError(f"{taken}={given[taken]!r}: a network for clips does not take it")
    network, found = clips.opened(mechanism, None if weights is None else Path(weights), arguments)
    written, answers, sentences = [], [], []
    for path in paths:
        spoken = clips.of_video(path, network, found, scale)
        answers.append((path.name, predicted(network, spoken.returned)))
        sentences += [(path.name, spoken.sentence)] if spoken.sentence else []
        says = spoken.sentence or said(network, answers[-1][1])
        page = sheet(spoken.pictures, f"{path.name}: {', '.join([network.name, *network.changed])}: {says}")
        written.append(saved(page, out, f"{path.stem if path.is_file() else path.name}-{stem(network)}"))
    return Looks(tuple(written), True, network.changed, "", network.name, tuple(answers), tuple(sentences))


def of_examples(scale: Scale, out: Path) -> Looks:
    """Shows the network that comes with the library on new images of its own, all on one sheet."""
    network = open_network(weights=examples.weights())
    digits = examples.images(DRAWN)
    answers, pictures, columns = [], [], 1
    for i in range(len(digits)):
        seen = digits.pixels(i)
        maps, returned = network.answer(seen)
        answers.append((digits.name(i), predicted(network, returned)))
        pictures.append(photograph(picture_of(seen.float() / 255), digits.name(i), said(network, answers[-1][1])))
        over = draw(maps, seen.float() / 255, scale=scale)
        pictures += over
        columns = 2 * (1 + len(over))
    title = f"{network.name}, trained on cluttered digits: {examples.COMMAND}"
    page = sheet(pictures, title, columns=columns)
    written = saved(page, out, f"digits-{stem(network)}")
    return Looks((written,), True, (), "", network.name, tuple(answers))
