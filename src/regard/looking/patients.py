"""What a trained network predicts for a patient, and which of the visits before it weighs.

Everything but the visits comes from the weights: the vocabulary, the names of the codes and the categories. Patients
have numbers; no identifier is read into a picture or a message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from regard import catalog
from regard.checks import whole
from regard.data import visit_layouts
from regard.data.images import shown
from regard.data.visits import Codes, History, several_hot
from regard.saved import description
from regard.saved.models import load
from regard.viewing.alignment import matrix
from regard.viewing.histories import listed, timeline
from regard.viewing.painting import bars
from regard.viewing.pictures import Picture, ends_of
from regard.viewing.sheet import sheet
from regard.watching import watch

TASK = "diagnosis prediction"
STRONGEST = 3  # visits before the last one whose codes are written
BEST = 10  # categories drawn


@dataclass(frozen=True)
class Predictor:
    """A trained predictor of diagnoses with its vocabulary.

    Args:
        name: of the network.
        model: the network, in evaluation mode.
        codes: the code of each input.
        names: each code with its name, where it has one.
        categories: of each output.
    """

    name: str
    model: nn.Module
    codes: Codes
    names: tuple[str, ...]
    categories: tuple[str, ...]


@dataclass(frozen=True)
class Prediction:
    """What is predicted after the last visit of a patient.

    Args:
        probabilities: of the categories, `K`.
        weights: row t the weights of the visits before t for the prediction after t, `T T`; None without attention.
        names: of the visits.
        days: of the visits, since the first; None where they are not known.
        codes: of each visit, those that the network knows, by name.
        unknown: of each visit, how many codes the network does not know.
    """

    probabilities: Tensor
    weights: Tensor | None
    names: tuple[str, ...]
    days: tuple[float, ...] | None
    codes: tuple[tuple[str, ...], ...]
    unknown: tuple[int, ...]


def open_predictor(weights: Path) -> Predictor:
    """Opens the weights of a predictor of diagnoses, a file or the folder of a run of `regard train`.

    Raises: FileNotFoundError if there is no such file; ValueError if it has no description, or is of a network that
        predicts no diagnoses; the errors of `regard.load`.
    """
    path = description.located(Path(weights))
    found = description.read(path)
    words: Any = None if found is None else found.vocabulary
    entry = None if found is None or found.entry is None else catalog.get(found.entry)
    if entry is None or TASK not in entry.tasks or not isinstance(words, Mapping) or "codes" not in words:
        kind = "weights without a description" if found is None else found.name
        raise ValueError(f"{path} has {kind}: weights of `regard train dipole` are needed for a patient's visits")
    assert found is not None
    codes = tuple(words["codes"])
    names = tuple(words.get("names", codes))
    return Predictor(entry.name, load(path), Codes(codes), names, tuple(found.class_names))


def predict(predictor: Predictor, history: History) -> Prediction:
    """Predicts the categories of the visit after the last one of a history."""
    visits = history.visits
    rows = [predictor.codes.rows(visit.codes) for visit in visits]
    seen = several_hot(rows, len(predictor.codes))[None]
    with torch.no_grad(), watch(predictor.model, foreign=False) as maps:
        scores = predictor.model(seen)[0, -1].float()
    weights = maps["temporal"][0][0].float() if "temporal" in maps else None
    days = [visit.day for visit in visits if visit.day is not None]
    known = len(days) == len(visits)
    return Prediction(
        probabilities=scores.softmax(0),
        weights=weights,
        names=tuple(f"{i + 1}: day {days[i]:.0f}" if known else f"visit {i + 1}" for i in range(len(visits))),
        days=tuple(days) if known else None,
        codes=tuple(tuple(predictor.names[row] for row in own) for own in rows),
        unknown=tuple(len(visit.codes) - len(own) for visit, own in zip(visits, rows, strict=True)),
    )


def pictures(predictor: Predictor, found: Prediction) -> list[Picture]:
    """The weights along the time line, visits over visits, the codes of the strongest visits, and the prediction."""
    drawn: list[Picture] = []
    count = len(found.names)
    strongest: list[int] = []
    if found.weights is not None and count > 1:
        last = found.weights[-1, :-1]
        strongest = last.topk(min(STRONGEST, count - 1)).indices.tolist()
        days = None if found.days is None else found.days[:-1]
        facts = f"{count - 1} visits; they sum to {float(last.sum()):.3g}"
        drawn.append(Picture("weights of the visits before the last", timeline(last, found.names[:-1], days), facts))
        image = matrix(found.weights, found.names, found.names, low=0.0, high=1.0)
        facts = "row: the visit after which is predicted; column: the visit that is weighed"
        drawn.append(Picture("visits over visits", image, facts, (0.0, 1.0), ends_of(found.weights)))
    best = found.probabilities.topk(min(BEST, len(found.probabilities)))
    named = [predictor.categories[i] for i in best.indices]
    facts = f"{len(named)} of {len(found.probabilities)} categories; probabilities, which sum to 1"
    drawn.append(
        Picture("predicted for the next visit", bars(best.values, longest=float(best.values[0]), names=named), facts)
    )
    for place in (count - 1, *strongest):
        weight = "the last visit" if place == count - 1 else f"weight {float(found.weights[-1, place]):.2f}"  # type: ignore[index]
        facts = f"{weight}; codes: {len(found.codes[place])}"
        facts += f", and {found.unknown[place]} that the network does not know" if found.unknown[place] else ""
        lines = found.codes[place] or ("no known code",)
        drawn.append(Picture(f"visit {found.names[place].removeprefix('visit ')}", listed(lines), facts))
    return drawn


def look(
    places: Sequence[Path], named: tuple[Any, ...], options: Mapping[str, object], patient: int | None
) -> tuple[Image.Image, str, str, tuple[tuple[str, float], ...]]:
    """The sheet of a patient, a name for it, that of the network, and the most likely categories.

    Args:
        places: one table or folder with visits; see `data.visit_layouts`.
        named: mechanism, backbone, weights, pretrained, after and arguments, as `regard.look` got them.
        options: its other options, none of which is accepted.
        patient: the number of the patient, from 0; None takes the first with several visits, or the first.

    Raises: ValueError if an option does not fit or there is no such patient; the errors of the reader and of
        `open_predictor`.
    """
    mechanism, backbone, weights, pretrained, after, arguments = named
    given = {
        "mechanism": mechanism,
        "backbone": backbone,
        "pretrained": pretrained,
        "after": after,
        "kwargs": arguments,
    }
    for name, value in {**{key: value or None for key, value in given.items()}, **options}.items():
        if value is not None:
            raise ValueError(f"{name}={value!r}: a network for visits does not take it")
    if len(places) != 1 or weights is None:
        raise ValueError(
            f"{shown(places[0])}: one table or folder of visits, and weights of `regard train`, are needed"
        )
    predictor = open_predictor(Path(weights))
    histories = visit_layouts.read(places[0], categories="codes", least=1).histories
    history = _chosen(histories, patient)
    found = predict(predictor, history)
    best = found.probabilities.topk(min(BEST, len(found.probabilities)))
    title = f"patient {history.patient}: {predictor.name}, {len(history.visits)} visits"
    page = sheet(pictures(predictor, found), title)
    likely = tuple((predictor.categories[i], float(p)) for i, p in zip(best.indices, best.values, strict=True))
    return page, f"patient-{history.patient}", predictor.name, likely


def _chosen(histories: Sequence[History], patient: int | None) -> History:
    """The longest history of a patient; of none the first one with several visits, or the first."""
    if patient is None:
        return next((history for history in histories if len(history.visits) > 1), histories[0])
    own = [history for history in histories if history.patient == whole("patient", patient, 0)]
    if not own:
        there = sorted({history.patient for history in histories})
        near = ", ".join(str(one) for one in sorted(sorted(there, key=lambda one: abs(one - patient))[:5]))
        raise ValueError(
            f"patient={patient}: a patient with codes is needed; {len(there)} have some, and the nearest are {near}"
        )
    return max(own, key=lambda history: len(history.visits))
