"""What a look at a network gives: the files of its pictures, and what is said of its predictions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from regard.looking.explaining import BEST, probabilities
from regard.looking.segmenting import Said
from regard.saved.opening import Network

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
        attention: which layers are drawn of a network that attends by itself, in words.
    """

    pictures: tuple[Path, ...]
    trained: bool
    changed: tuple[str, ...] = ()
    untrained: str = ""
    network: str = ""
    predictions: tuple[tuple[str, Prediction], ...] = ()
    sentences: tuple[tuple[str, str], ...] = ()
    attention: str = ""


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


def saved(page: Image.Image, out: Path, stem: str) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    target = _free(out / f"{stem}.png")
    page.save(target)
    return target


def _free(path: Path) -> Path:
    number = 1
    candidate = path
    while candidate.exists():
        number += 1
        candidate = path.with_stem(f"{path.stem}-{number}")
    return candidate
