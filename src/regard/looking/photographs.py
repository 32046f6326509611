"""The attention maps of a network, or its Grad-CAM maps, drawn over photographs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from regard.data import images
from regard.data.visit_layouts import is_visits
from regard.data.volumes import is_volume
from regard.looking import clips, kinds, own, patients, ranking, words
from regard.looking.explaining import Explainer, drawn
from regard.looking.results import Looks, Prediction, covered, predicted, said, saved, stem, warning
from regard.looking.segmenting import said_of, true_labels
from regard.saved.opening import Network, open_network
from regard.viewing import draw, scaling
from regard.viewing.painting import picture_of
from regard.viewing.scaling import Scale
from regard.viewing.sheet import photograph, sheet

LONGEST = 800  # pixels: larger photographs are reduced for a system
EVERYWHERE = "itti"  # for a photograph where no network is named: it needs no training


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
    values. Where weights are random it says so above everything else. A network that attends by itself, such as timm's
    transformers, is shown through its own attention, and one without any through Grad-CAM of its most likely classes.
    Of a segmentation network the label map comes before the maps, with the share
    of the pixels of each class, and its confidence. A network that writes captions is shown with its sentence and what
    it looks at for each word; one that answers questions with its answers.

    Args:
        photographs: one image file or several; or volumes, folders of the frames of a clip or video files, for a
            network trained on them; None shows the network that comes with the library, and then no other argument
            names one.
        mechanism, backbone, weights, pretrained, after: as for `regard.saved.opening.open_network`; if none of them is
            given, Itti's model of saliency looks at the photographs. A backbone or weights without attention need no
            mechanism.
        target: the name or the number of a class, of which a Grad-CAM map is drawn, also where there is attention; of a
            network that attends by itself the relevance through its layers too, as `regard.relevance`.
        layer: the name of the module that Grad-CAM explains; None takes the last with a map, as `regard.gradcam`. Of a
            network that attends by itself, the module whose attention is drawn, each head; None takes the last, and one
            picture of each other.
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
        return kinds.of_examples(scale, out)
    paths = [Path(path) for path in ([photographs] if isinstance(photographs, str | Path) else photographs)]
    if not paths:
        raise ValueError("photographs=[]: at least one photograph is needed")
    if truth is not None and len(paths) > 1:
        raise ValueError(f"truth={str(truth)!r}: one photograph is needed, not {len(paths)}")
    if any(is_visits(path) for path in paths):
        options = {"image_size": image_size, "target": target, "layer": layer, "at": at, "truth": truth}
        options |= {"question": question, "regions": regions, "gallery": gallery}
        page, name, network_name, likely = patients.look(paths, named, options, patient)
        return Looks((saved(page, out, name),), True, network=network_name, predictions=((name, likely),))
    if patient is not None:
        raise ValueError(f"patient={patient!r}: a table or a folder with patients' visits is needed")
    if any(is_volume(path) for path in paths):
        for name, given in (("at", at), ("truth", truth)):
            if given is not None:
                raise ValueError(f"{name}={given!r}: a network for volumes does not take it")
        return kinds.of_volumes(paths, named, image_size, target, layer, scale, out)
    if any(clips.is_clip(path) for path in paths):
        options = {"image_size": image_size, "target": target, "layer": layer, "at": at, "truth": truth}
        return kinds.of_clips(
            paths, named, {**options, "question": question, "regions": regions, "gallery": gallery}, scale, out
        )
    tracklets = None if gallery is None else ranking.of_clips(mechanism, weights, arguments)
    if gallery is not None and tracklets is not None:
        return kinds.of_gallery(tracklets[0], paths, Path(gallery), scale, out, tracklets[1])
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
        return kinds.of_gallery(network, paths, Path(gallery), scale, out)
    explainer = None if words.speaks(network) else Explainer(network, target, layer)
    with images.quiet():
        read = [_read(path, network, image_size) for path in paths]
    state = ", ".join([network.name, *network.changed])
    written: list[Path] = []
    answers: list[tuple[str, Prediction]] = []
    sentences: list[tuple[str, str]] = []
    attention = ""
    for path, (shown, seen) in zip(paths, read, strict=True):
        if explainer is None:
            spoken = words.of_photograph(network, path, shown.float() / 255, seen, question, regions, scale)
            answers.append((path.name, ()))
            sentences.append((path.name, spoken.text))
            picture = photograph(picture_of(shown.float() / 255), path.name, question or "the caption is above")
            title = f"{path.name}: {state}: {spoken.text}"
            page = sheet([picture, *spoken.pictures], title, warning=warning(network))
            written.append(saved(page, out, f"{path.stem}-{stem(network)}"))
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
        queries = None if place is None else [place]
        if maps.foreign:
            pictures += own.pictures(maps, image, layer=layer, queries=queries, scale=scale)
            attention = own.told(maps, layer)
        else:
            classes = None if labels is None else labels.order
            pictures += draw(maps, image, queries=queries, classes=classes, scale=scale)
        if maps.foreign and explainer.target is not None:
            pictures += own.relevant(network, seen, explainer.target, next(iter(explained)), image, scale)
        pictures += drawn(explained, image, scale)
        page = sheet(pictures, f"{path.name}: {state}", warning=warning(network))
        written.append(saved(page, out, f"{path.stem}-{stem(network)}"))
    return Looks(
        tuple(written),
        network.trained,
        network.changed,
        network.untrained,
        network.name,
        tuple(answers),
        tuple(sentences),
        attention,
    )


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
