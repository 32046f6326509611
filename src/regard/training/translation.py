"""Recipes for translation, shared by the papers' networks: any folder with a parallel corpus.

Pairs with a sentence longer than a limit are left out of the training; what is tested keeps all of them. Batches hold
sentences of like length. Translations are written by beam search, and scored by sacrebleu against the text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from regard.checks import choice, flag, positive
from regard.data import parallel
from regard.data.batches import Buckets
from regard.data.drawn_pairs import drawn_pairs
from regard.data.sentence_pairs import Pair, SentencePairs, tokens, vocabularies
from regard.ops.beam_search import Penalty
from regard.tasks.translate import Translate
from regard.training.plan import Plan
from regard.training.recipe import Phase, Recipe
from regard.training.schedules import Constant, Schedule

Make = Callable[..., nn.Module]  # source_vocabulary=, vocabulary= -> network
FOLDER = "train.de and train.en, val.… and test.…, or .gz, as in Multi30k; other languages by source= and target="
DRAWN = {"train_size": 1000, "test_size": 100, "longest": 10}  # pairs of the tiny variants, and words of a sentence


@dataclass(frozen=True, kw_only=True)
class Training:
    """The training of a translator by its authors.

    Args:
        optimizer, options, lr, schedule, clip: as for `Plan`.
        batch: the sentences in a step.
        epochs: the passes over a corpus of the size of Multi30k.
        smoothing: of the labels.
        longest: words of a training sentence at most.
        beam, penalty: how translations are written.
        most: words of each vocabulary.
        shared: one vocabulary of both languages.
        where: its place in the paper; what is from memory says so.
    """

    optimizer: str
    lr: float
    batch: int
    epochs: int
    longest: int
    beam: int
    most: int
    options: Mapping[str, Any] = field(default_factory=dict)
    schedule: Schedule = field(default_factory=Constant)
    clip: float | None = None
    smoothing: float = 0.0
    penalty: Penalty = "average"
    shared: bool = False
    where: str


def recipe(
    data: Path | None = None,
    *,
    tiny: bool = False,
    make: Make,
    small: Make,
    training: Training,
    quick: Plan,
    source: str = "de",
    target: str = "en",
    lower: bool = False,
    least: int = 2,
    longest: int | None = None,
    test: str | None = None,
) -> Recipe:
    """A recipe for one translator on a parallel corpus; the tiny variant trains on a drawn one.

    Args:
        data: the folder; see `data.parallel`.
        tiny: make the tiny variant.
        make, small: the network and its tiny variant, which take `source_vocabulary=` and `vocabulary=`.
        training: how the authors trained it.
        quick: the plan of the tiny variant.
        source, target: the languages, as the files' names end.
        lower: reads and writes lower case.
        least: how often a word has to occur in the training split.
        longest: words of a training sentence at most, in place of the authors'.
        test: the split that is scored; None for the first that begins with `test`, or `val` if there is none.

    Raises: ValueError if `data` is None and `tiny` is false, or an option is out of range; the errors of reading the
        folder, which name the file.
    """
    flag("lower", lower)
    positive("least", least)
    limit = training.longest if longest is None else positive("longest", longest)
    if tiny:
        splits = _drawn(**DRAWN)
    elif data is None:
        raise ValueError(f"data=None: a folder with {FOLDER} is needed (--data); --tiny trains on drawn sentences")
    else:
        splits = parallel.read(data, source, target)
    scored = _scored(splits, test)
    kept = short(splits["train"], limit)
    words = vocabularies(kept, least=least, most=training.most, lower=lower, shared=training.shared)
    train = SentencePairs(kept, *words, lower=lower)
    task = Translate(words[1], beam=training.beam, smoothing=training.smoothing, penalty=training.penalty, lower=lower)
    return Recipe(
        build=partial(small if tiny else make, source_vocabulary=len(words[0]), vocabulary=len(words[1])),
        train=train,
        test=SentencePairs(splits[scored], *words, lower=lower),
        phases=(Phase(name="translate", task=task, plan=quick if tiny else _plan(training)),),
        facts={
            "data": "drawn pairs" if tiny else str(data),
            "languages": "drawn" if tiny else f"{source} to {target}",
            "scored": scored,
            "pairs": len(train),
            "signature": task.metric().signature,
            "training": "tiny" if tiny else training.where,
        },
        vocabulary={"source": words[0], "target": words[1]},
    )


def short(pairs: Sequence[Pair], longest: int) -> list[Pair]:
    """The pairs in which neither sentence has more words. Raises: ValueError if there are none."""
    kept = [pair for pair in pairs if all(len(tokens(side)) <= longest for side in pair)]
    if not kept:
        raise ValueError(f"longest={longest}: every one of {len(pairs)} training pairs has more words")
    return kept


def _drawn(*, train_size: int, test_size: int, longest: int) -> dict[str, list[Pair]]:
    """Drawn pairs of short sentences: four are drawn for each that is needed."""
    found = [(one.source, one.target) for one in drawn_pairs(4 * (train_size + test_size), seed=0)]
    kept = short(found, longest)
    return {"train": kept[:train_size], "test": kept[train_size : train_size + test_size]}


def _scored(splits: Mapping[str, Sequence[Pair]], test: str | None) -> str:
    """The split that is scored."""
    if test is not None:
        return choice("test", test, splits)
    found = next((split for split in splits if split.startswith("test")), "val")
    if found not in splits:
        raise ValueError(f"test=None: a split named test… or val is needed; there is {', '.join(splits)}")
    return found


def _plan(training: Training) -> Plan:
    return Plan(
        epochs=training.epochs,
        batch_size=training.batch,
        lr=training.lr,
        weight_decay=0.0,
        optimizer=training.optimizer,
        options=training.options,
        schedule=training.schedule,
        warmup=0.0,
        clip=training.clip,
        order=Buckets(),
    )
