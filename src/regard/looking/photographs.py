"""The attention maps of a network, or its Grad-CAM maps, drawn over photographs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from regard.data import images
from regard.data.visit_layouts import is_visits
from regard.data.volumes import is_volume
from regard.looking import clips, examples, patients, ranking, volumes, words
from regard.looking.explaining import BEST, Explainer, drawn, probabilities
from regard.looking.segmenting import Said, said_of, true_labels
from regard.saved.opening import Network, open_network
from regard.viewing import draw, scaling
from regard.viewing.painting import picture_of
from regard.viewing.scaling import Scale
from regard.viewing.sheet import photograph, sheet

LONGEST = 800  # pixels: larger photographs are reduced for a system
EVERYWHERE = "itti"  # for a photograph where no network is named: it needs no training
DRAWN = 4  # images that come with the library, on one sheet

Prediction = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Looks:
    """The result of `look`.

    Args:
        pictures: the files that were written.
        trained: whether the attention has trained weights, or no parameters to train.
        changed: the arguments that differ from those of the training, as text.
        untrained: what has random weights: "the whole network", "the attention", or nothing.
        network: the name of the network.
        predictions: for each image its name, and the most likely classes with their probabilities, of a segmentation
            network those with the largest shares of the pixels; no classes where the network is untrained, gives no
            classes, or does not know their names.
        sentences: for each image its name, and the caption or the answers, of a network that uses words.
    """

    pictures: tuple[Path, ...]
    trained: bool
    changed: tuple[str, ...] = ()
    untrained: str = ""
    network: str = ""
    predictions: tuple[tuple[str, Prediction], ...] = ()
    sentences: tuple[tuple[str, str], ...] = ()


def look(
    photographs: str | Path | Sequence[str | Path] | None = None,
    mechanism: str | None = None,
    *,
    backbone: str | None = None,
    weights: str | Path | None = None,
    pretrained: bool = False,
    after: str | Sequence[str] | None = None,
    target: int | str | None = None,
    layer: str | None = None,
    image_size: int | None = None,
    scale: Scale = "common",
    at: tuple[int, int] | None = None,
    truth: str | Path | None = None,
    question: str | None = None,
    regions: str | Path | None = None,
    gallery: str | Path | None = None,
    patient: int | None = None,
    out: str | Path = "regard-look",
    kwargs: Mapping[str, Any] | None = None,
    **more: Any,
) -> Looks:
    """Draws all attention maps of a network over photographs, as one picture file for each photograph.

        looks = regard.look()  # a small trained network that comes with the library, on images of its own
        looks = regard.look("photo.jpg")  # Itti's saliency, which needs no training
        looks = regard.look("photo.jpg", "cbam", backbone="resnet18", weights="trained.safetensors")
        looks = regard.look("photo.jpg", backbone="resnet18", pretrained=True)  # Grad-CAM of what it predicts
        print(looks.pictures, looks.predictions, looks.untrained)

    A picture has the photograph first, with the classes that the network predicts, and each map with the range of its
    values. Where weights are random it says so above everything else. A network without attention is shown through
    Grad-CAM of its most likely classes. Of a segmentation network the label map comes before the maps, with the share
    of the pixels of each class, and its confidence. A network that writes captions is shown with its sentence and what
    it looks at for each word; one that answers questions with its answers.

    Args:
        photographs: one image file or several; or volumes, folders of the frames of a clip or video files, for a
            network trained on them; None shows the network that comes with the library, and then no other argument
            names one.
        mechanism, backbone, weights, pretrained, after: as for `regard.saved.opening.open_network`; if none of them is
            given, Itti's model of saliency looks at the photographs. A backbone or weights without attention need no
            mechanism.
        target: the name or the number of a class, of which a Grad-CAM map is drawn, also where there is attention.
        layer: the name of the module that Grad-CAM explains; None takes the last with a map, as `regard.gradcam`.
        image_size: side in pixels of the middle square, for a backbone; None uses the backbone's own size. For a
            system, the longer side of the whole photograph; None uses the size of its training, if the weights give it,
            or the photograph's own size, up to 800.
        scale: which values get the darkest and the lightest colour, as for `regard.draw`.
        at: x and y of a pixel of the photograph: of maps from places to places, what this place attends to is drawn, in
            place of what the centre does; of a segmentation network, the probabilities of the classes there are said.
        truth: file with the true label map of the photograph, for a segmentation network: class numbers, 255 for void.
        question: in words, for a network that answers questions.
        regions: file with the regions of the photographs, for a network that sees these; `regard regions` writes it.
            None takes `regions.tsv` beside a photograph or in the folder above, or else the regions that torchvision's
            Faster R-CNN finds, if its weights are on the machine.
        gallery: folder of images of persons, in which a network for re-identification looks for the person of each
            photograph: a ranking sheet is drawn, with the ten nearest.
        patient: in place of photographs, a table or a folder with patients' visits is given, for a network that
            predicts diagnoses; the number of the patient who is shown, from 0. None takes the first with two visits.
        out: the folder of the pictures, created if needed; a number is added to a file name that exists already.
        kwargs, more: arguments of the mechanism or system; `kwargs` can also hold those that have the name of an
            argument of this function.

    Raises:
        LookupError, FileNotFoundError, ValueError: as `open_network`; a photograph cannot be read; there is none; the
            network has neither attention nor class scores, or no such class or layer; `at` lies outside a photograph;
            `truth` does not fit the one photograph or the network; the network answers questions and there is none, or
            it does not; it sees regions and there are none of the photograph.
    """
    scale, out = scaling.checked(scale), Path(out)
    arguments = {**(kwargs or {}), **more}
    named = (mechanism, backbone, weights, pretrained, after, arguments)
    if photographs is None:
        others = (image_size, target, layer, at, truth, question, regions, gallery, patient)
        if any(named) or any(given is not None for given in others):
            raise ValueError(
                "photographs=None: at least one photograph is needed for a network of your choice; without any "
                "argument the network that comes with the library is shown"
            )
        return _examples(scale, out)
    paths = [Path(path) for path in ([photographs] if isinstance(photographs, str | Path) else photographs)]
    if not paths:
        raise ValueError("photographs=[]: at least one photograph is needed")
    if truth is not None and len(paths) > 1:
        raise ValueError(f"truth={str(truth)!r}: one photograph is needed, not {len(paths)}")
    if any(is_visits(path) for path in paths):
        options = {"image_size": image_size, "target": target, "layer": layer, "at": at, "truth": truth}
        options |= {"question": question, "regions": regions, "gallery": gallery}
        page, name, network_name, likely = patients.look(paths, named, options, patient)
        return Looks((_saved(page, out, name),), True, network=network_name, predictions=((name, likely),))
    if patient is not None:
        raise ValueError(f"patient={patient!r}: a table or a folder with patients' visits is needed")
    if any(is_volume(path) for path in paths):
        for name, given in (("at", at), ("truth", truth)):
            if given is not None:
                raise ValueError(f"{name}={given!r}: a network for volumes does not take it")
        return _volumes(paths, named, image_size, target, layer, scale, out)
    if any(clips.is_clip(path) for path in paths):
        options = {"image_size": image_size, "target": target, "layer": layer, "at": at, "truth": truth}
        return _clips(
            paths, named, {**options, "question": question, "regions": regions, "gallery": gallery}, scale, out
        )
    tracklets = None if gallery is None else ranking.of_clips(mechanism, weights, arguments)
    if gallery is not None and tracklets is not None:
        return _nearest(tracklets[0], paths, Path(gallery), scale, out, tracklets[1])
    network = open_network(
        mechanism if any(named) else EVERYWHERE,
        backbone=backbone,
        weights=None if weights is None else Path(weights),
        pretrained=pretrained,
        after=[after] if isinstance(after, str) else after,
        image_size=image_size,
        kwargs=arguments,
    )
    words.check_question(network, question)
    if gallery is not None:
        asked = {"target": target, "layer": layer, "at": at, "truth": truth, "question": question, "regions": regions}
        if taken := next((name for name, value in asked.items() if value is not None), None):
            raise ValueError(f"{taken}={asked[taken]!r}: a look at a gallery does not take it")
        return _nearest(network, paths, Path(gallery), scale, out)
    explainer = None if words.speaks(network) else Explainer(network, target, layer)
    with images.quiet():
        read = [_read(path, network, image_size) for path in paths]
    state = ", ".join([network.name, *network.changed])
    written: list[Path] = []
    answers: list[tuple[str, Prediction]] = []
    sentences: list[tuple[str, str]] = []
    for path, (shown, seen) in zip(paths, read, strict=True):
        if explainer is None:
            spoken = words.of_photograph(network, path, shown.float() / 255, seen, question, regions, scale)
            answers.append((path.name, ()))
            sentences.append((path.name, spoken.text))
            picture = photograph(picture_of(shown.float() / 255), path.name, question or "the caption is above")
            title = f"{path.name}: {state}: {spoken.text}"
            page = sheet([picture, *spoken.pictures], title, warning=warning(network))
            written.append(_saved(page, out, f"{path.stem}-{stem(network)}"))
            continue
        try:
            maps, returned = network.answer(seen)
        except ValueError as error:  # too small for the network
            raise ValueError(f"{path}: {error}") from error
        labels = said_of(network, returned, (seen.shape[1], seen.shape[2]))
        if truth is not None and labels is None:
            raise ValueError(f"truth={str(truth)!r}: {network.name} is no segmentation network")
        explained = explainer.explain(seen, maps, returned, labels)
        answers.append((path.name, predicted(network, returned) if labels is None else covered(labels)))
        facts = "; ".join(
            part for part in (f"{shown.shape[2]} x {shown.shape[1]} pixels", said(network, answers[-1][1])) if part
        )
        picture = photograph(picture_of(shown.float() / 255), path.name, facts)
        image = shown.float() / 255
        place = None if at is None else placed(path, at, square=not network.system)
        pictures = [picture]
        if labels is not None:
            true = None if truth is None else true_labels(Path(truth), path, labels.names)
            pictures += labels.pictures(image, at=place, truth=true)
        pictures += draw(
            maps,
            image,
            queries=None if place is None else [place],
            classes=None if labels is None else labels.order,
            scale=scale,
        )
        pictures += drawn(explained, image, scale)
        page = sheet(pictures, f"{path.name}: {state}", warning=warning(network))
        written.append(_saved(page, out, f"{path.stem}-{stem(network)}"))
    return Looks(
        tuple(written),
        network.trained,
        network.changed,
        network.untrained,
        network.name,
        tuple(answers),
        tuple(sentences),
    )


def _nearest(
    network: Network, paths: Sequence[Path], folder: Path, scale: Scale, out: Path, frames: int | None = None
) -> Looks:
    """Shows the nearest images, or tracklets of so many frames, of a gallery to each query."""
    gallery, written, sentences = ranking.Gallery(network, folder, frames), [], []
    for path in paths:
        found = gallery.ranked(path, scale=scale, warning=warning(network))
        written.append(_saved(found.page, out, f"{path.stem}-{stem(network)}-ranking"))
        if found.relations is not None:
            written.append(_saved(found.relations, out, f"{path.stem}-{stem(network)}-relations"))
        sentences.append((path.name, found.text))
    empty = tuple((path.name, ()) for path in paths)
    return Looks(
        tuple(written), network.trained, network.changed, network.untrained, network.name, empty, tuple(sentences)
    )


def _volumes(
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
        written.append(_saved(page, out, f"{path.name.partition('.nii')[0]}-{stem(network)}"))
    empty = tuple((path.name, ()) for path in paths)
    return Looks(tuple(written), network.trained, network.changed, network.untrained, network.name, empty)


def _clips(
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
        written.append(_saved(page, out, f"{path.stem if path.is_file() else path.name}-{stem(network)}"))
    return Looks(tuple(written), True, network.changed, "", network.name, tuple(answers), tuple(sentences))


def _examples(scale: Scale, out: Path) -> Looks:
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
    written = _saved(page, out, f"digits-{stem(network)}")
    return Looks((written,), True, (), "", network.name, tuple(answers))


def predicted(network: Network, returned: object) -> Prediction:
    """The most likely classes and their probabilities, of one image; empty where they are not known.

    Args:
        network: the network.
        returned: what it returned: the scores of the classes `1 K`, or those of several heads, whose mean prediction
            counts.
    """
    names = network.class_names
    shares = probabilities(returned, len(names))
    if not names or shares is None or network.untrained == "the whole network":
        return ()
    best = shares.topk(min(BEST, len(names)))
    return tuple((names[i], float(p)) for i, p in zip(best.indices, best.values, strict=True))


def covered(labels: Said) -> Prediction:
    """The classes of a label map with their shares of the pixels; empty where the weights are random."""
    if not labels.trained:
        return ()
    shares = labels.shares
    return tuple((name, shares[i]) for i, name in [*labels.order.items()][:BEST] if shares[i] > 0)


def placed(path: Path, at: tuple[int, int], *, square: bool) -> tuple[float, float]:
    """A pixel of a photograph as (x, y) in 0..1 of what the network sees: all of it, or its middle square.

    Raises: ValueError if it lies outside.
    """
    with images.quiet():
        width, height = images.measured(path)
    x, y = at
    if not (0 <= x < width and 0 <= y < height):
        raise ValueError(f"at={at!r}: a pixel of {path} is needed, x below {width} and y below {height}")
    side = min(width, height)
    wide, high = (side, side) if square else (width, height)
    found = (x + 0.5 - (width - wide) / 2) / wide, (y + 0.5 - (height - high) / 2) / high
    if not (0 <= found[0] <= 1 and 0 <= found[1] <= 1):
        raise ValueError(
            f"at={at!r}: a pixel in the middle {side} x {side} of {path} is needed, which the network sees"
        )
    return found


def listed(prediction: Prediction) -> str:
    """The classes of a prediction with their probabilities, those below one percent left out but for the first."""
    shown = [(name, share) for i, (name, share) in enumerate(prediction) if i == 0 or share >= 0.01]
    return ", ".join(f"{name} ({'>99' if share >= 0.995 else f'{100 * share:.0f}'} %)" for name, share in shown)


def said(network: Network, prediction: Prediction) -> str:
    """The prediction as text, or why a classifier gives none; empty for other networks."""
    if prediction:
        segments = network.system and network.entry is not None and "segmentation" in network.entry.tasks
        return f"{'of the pixels' if segments else 'predicted'}: {listed(prediction)}"
    if network.untrained == "the whole network":
        return "no prediction: the weights are random"
    if network.entry is not None and network.system and "classification" not in network.entry.tasks:
        return ""
    return "no prediction: the names of its classes are not known"


def warning(network: Network, of: str = "photograph") -> str:
    """What has to be said before everything else; empty if nothing has."""
    if not network.untrained:
        return ""
    return (
        f"RANDOM WEIGHTS: {network.untrained} is untrained. These maps show what random numbers do; they say nothing "
        f"about the {of}."
    )


def stem(network: Network) -> str:
    """The part of a picture's name that says which network it is of."""
    return network.name if network.entry is None else network.entry.name


def _saved(page: Image.Image, out: Path, stem: str) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    target = _free(out / f"{stem}.png")
    page.save(target)
    return target


def _read(path: Path, network: Network, longer: int | None) -> tuple[Tensor, Tensor]:
    """The image to draw on and the network's input: the middle square for a backbone, the whole image for a system."""
    if not network.system:
        assert network.size is not None
        square = images.read(path, network.size[0]).pixels
        return square, square
    shown = images.whole(path, scaled(images.measured(path), longer, LONGEST)).pixels
    return shown, shown if network.size is None else images.whole(path, network.size).pixels


def scaled(measured: tuple[int, int], longer: int | None, most: int | None = None) -> tuple[int, int]:
    """Height and width of a photograph that is scaled to a longer side.

    Args:
        measured: width and height of the photograph.
        longer: the longer side, in pixels; None keeps its own.
        most: the longest side if `longer` is None.
    """
    width, height = measured
    own = max(measured)
    factor = (longer or min(own, most or own)) / own
    return max(1, round(height * factor)), max(1, round(width * factor))


def _free(path: Path) -> Path:
    number = 1
    candidate = path
    while candidate.exists():
        number += 1
        candidate = path.with_stem(f"{path.stem}-{number}")
    return candidate
