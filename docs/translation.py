"""Trains the translators of docs/translation.md on Multi30k, German to English, and prints its tables.

    python docs/translation.py run --data multi30k/task1/raw --seed 1 --out found/
    python docs/translation.py run --data multi30k/task1/raw --row rnnsearch --seed 1 --out found/
    python docs/translation.py plain --data multi30k/task1/raw --out found/
    python docs/translation.py table --out found/

Translators learn on sentences of at most 15 words, and translate all 1,000 sentences of test 2016. A run writes one
file for each network and seed, and does not train again what has its file. `plain` is IBM's first model, a dictionary
with probabilities, which translates word by word. Settings were chosen on the validation split with seed 100.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from regard import watch
from regard.comparing.statistics import over_seeds
from regard.data import parallel
from regard.data.batches import Buckets
from regard.data.sentence_pairs import Pair, SentencePairs, joined, tokens, vocabularies
from regard.data.words import Words
from regard.metrics.words.translations import Translations
from regard.ops.words import SPECIAL
from regard.papers.rnn_search.network import RNNSearch
from regard.papers.transformer.network import Transformer
from regard.saved.files import write_whole
from regard.tasks.translate import Translate
from regard.training.loop import fit
from regard.training.plan import Plan
from regard.training.schedules import Cosine
from regard.training.translation import short

LONGEST, LEAST = 15, 4  # words of a training sentence at most; how often a word has to occur
SEEDS = (1, 2, 3, 4, 5)
BINS = ((1, 8), (9, 10), (11, 12), (13, 15), (16, 18), (19, 99))  # words of the German sentence
RECURRENT = {"embedding": 96, "hidden": 96, "attention": 96, "lag": False, "bias": True, "std": 0.1, "dropout": 0.2}
ROWS: Mapping[str, tuple[Any, bool, Mapping[str, Any]]] = {  # network, one vocabulary, what differs in the plan
    "rnnsearch": (partial(RNNSearch, **RECURRENT, maxout=96), False, {"epochs": 3, "lr": 4e-3}),
    # as many parameters: the width of the maxout makes up for those of the alignment model
    "rnnencdec": (partial(RNNSearch, **RECURRENT, maxout=104, context="ends"), False, {"epochs": 3, "lr": 4e-3}),
    "transformer": (
        partial(Transformer, channels=112, layers=2, heads=4, hidden=224),
        False,
        {"epochs": 3, "lr": 2e-3},
    ),
}
SMOOTHING = {"transformer": 0.1}
NAMES = {
    "rnnsearch": "RNNsearch",
    "rnnencdec": "RNNencdec, one vector of the sentence",
    "transformer": "Transformer",
    "plain": "IBM model 1, word by word",
}
KINDS = ("punctuation", "numbers", "words")  # of tokens that are the same in both languages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "plain", "table"))
    parser.add_argument("--data", type=Path, help="the folder of Multi30k's raw files of task 1")
    parser.add_argument("--row", choices=tuple(ROWS), help="one network; all of them without it")
    parser.add_argument("--seed", type=int, action="append", help=f"may stand several times; {SEEDS} without it")
    parser.add_argument("--test", default="test_2016_flickr", help="the split that is scored")
    parser.add_argument("--epochs", type=int, help="in place of those of the table")
    parser.add_argument("--out", type=Path, required=True, help="the folder of the results")
    args = parser.parse_args()
    if args.what == "table":
        print(table(args.out))
        return
    if args.data is None:
        parser.error("--data is needed")
    splits = parallel.read(args.data, "de", "en")
    train, test = short(splits["train"], LONGEST), splits[args.test]
    args.out.mkdir(parents=True, exist_ok=True)
    if args.what == "plain":
        _write(args.out / "plain.json", plain(train, test))
        return
    for seed in args.seed or SEEDS:
        for row in [args.row] if args.row else ROWS:
            path = args.out / f"{row}-{seed}.json"
            if not path.exists():
                _write(path, trained(row, seed, train, test, epochs=args.epochs))


def trained(row: str, seed: int, train: Sequence[Pair], test: Sequence[Pair], *, epochs: int | None) -> dict[str, Any]:
    """Trains one network, and scores its translations and its alignment."""
    make, shared, changes = ROWS[row]
    source, target = vocabularies(train, least=LEAST, lower=True, shared=shared)
    pairs = [SentencePairs(some, source, target, lower=True) for some in (train, test)]
    torch.manual_seed(seed)
    model: nn.Module = make(source_vocabulary=len(source), vocabulary=len(target))
    plan = Plan(
        batch_size=64,
        weight_decay=0.0,
        optimizer="adam",
        schedule=Cosine(),
        clip=1.0,
        order=Buckets(),
        seed=seed,
        **{**changes, **({} if epochs is None else {"epochs": epochs})},
    )
    task = Translate(target, beam=5, longest=50, smoothing=SMOOTHING.get(row, 0.0), lower=True)
    began = time.process_time()
    history = fit(model, task, pairs[0], plan, on_epoch=lambda done, _: print(row, seed, done, file=sys.stderr))
    seconds = time.process_time() - began
    found = {
        "seed": seed,
        "parameters": sum(one.numel() for one in model.parameters()),
        "pairs": len(train),
        "loss": history[-1]["loss"],
        "seconds": seconds,
        **scored(model, task, pairs[1]),
        "aligned": aligned(model, pairs[1]),
    }
    greedy = replace(task, beam=1)
    return found | {"greedy": scored(model, greedy, pairs[1])["bleu"]}


def scored(model: nn.Module, task: Translate, data: SentencePairs) -> dict[str, Any]:
    """BLEU of all sentences and by the length of the source, and sacrebleu's signature."""
    model.eval()
    texts: list[str] = []
    for start in range(0, len(data), 50):
        batch = data.collate_fn([data[i] for i in range(start, min(start + 50, len(data)))])
        texts += task.answers(model, batch)[0]
    return by_length(texts, data.pairs)


def by_length(texts: Sequence[str], pairs: Sequence[Pair]) -> dict[str, Any]:
    """BLEU of translations, and by the number of words of their sources."""
    bins: dict[str, Translations] = defaultdict(partial(Translations, lowercase=True))
    whole = Translations(lowercase=True)
    for text, (source, target) in zip(texts, pairs, strict=True):
        words = len(tokens(source))
        name = next(f"{low}-{high}" for low, high in BINS if words <= high)
        for metric in (whole, bins[name]):
            metric.update([text], [[target]])
    each = {name: {"bleu": one.compute()["bleu"], "count": len(one.texts)} for name, one in bins.items()}
    return {**whole.compute(), "bins": each, "signature": whole.signature}


def kind(word: str) -> str:
    return "numbers" if word[0].isdigit() else "words" if word[0].isalpha() else "punctuation"


def anchors(pair: Pair, source: Words, target: Words) -> list[tuple[int, int, str]]:
    """Tokens that stand once on both sides and are known words: their two places, and their kind."""
    one, other = (tokens(side.lower()) for side in pair)
    return [
        (one.index(word), place, kind(word))
        for place, word in enumerate(other)
        if one.count(word) == other.count(word) == 1 and word in source and word in target
    ]


def aligned(model: nn.Module, data: SentencePairs) -> dict[str, Any]:
    """The share of α on the same word of the source, when the true translation is read; uniform is the control.

    α is the mean over the heads, of each layer.
    """
    sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for i, pair in enumerate(data.pairs):
        found = anchors(pair, data.source, data.target)
        if not found:
            continue
        sample = data[i]
        with torch.no_grad(), watch(model) as maps:
            model(sample["source"][None], None, sample["words"][None, :-1])
        layers = _layers(maps)
        for from_, to, what in found:
            for name, alpha in layers.items():
                sums[name][what] += float(alpha[to, from_])
                sums[f"{name} is highest"][what] += float(alpha[to].argmax() == from_)
            sums["uniform"][what] += 1 / len(sample["source"])
            sums["count"][what] += 1
    return {
        name: dict(values) if name == "count" else {what: total / sums["count"][what] for what, total in values.items()}
        for name, values in sums.items()
    }


def _layers(maps: Mapping[str, Sequence[Tensor]]) -> dict[str, Tensor]:
    """α `L T` of each layer that looks at the source."""
    if "attention" in maps:
        return {"attention": maps["attention"][-1][0]}
    cross = [key for key in maps if key.endswith("/cross")]
    return {f"layer {number}": maps[key][-1][0].mean(0) for number, key in enumerate(cross, 1)}


# IBM's first model


def plain(train: Sequence[Pair], test: Sequence[Pair], *, rounds: int = 5) -> dict[str, Any]:
    """Trains t(e | f) by expectation and maximisation, and translates each word by its likeliest translation.

    The Mathematics of Statistical Machine Translation. Brown, Della Pietra, Della Pietra, Mercer. Computational
    Linguistics 1993. A source word is translated by the word e with the largest t(e | f) p(f | e), the product of both
    directions, so that articles do not translate nouns.
    """
    source, target = vocabularies(train, least=LEAST, lower=True)
    sides = [
        tuple([word if word in words else SPECIAL[3] for word in tokens(text.lower())] for words, text in zip(
            (source, target), pair, strict=True)) for pair in train
    ]  # fmt: skip
    forth = dictionary([(one, other) for one, other in sides], rounds)
    back = dictionary([(other, one) for one, other in sides], rounds)
    best = {f: max(row, key=lambda e: row[e] * back.get(e, {}).get(f, 0.0)) for f, row in forth.items()}
    texts, sums = [], defaultdict[str, float](float)
    count: dict[str, float] = defaultdict(float)
    for pair in test:
        words = tokens(pair[0].lower())
        texts.append(joined([best[word] if word in best and best[word] != SPECIAL[3] else word for word in words]))
        for from_, to, what in anchors(pair, source, target):
            word = tokens(pair[1].lower())[to]
            row = [forth.get(f, {}).get(word, 1e-9) for f in words]
            sums[what] += row[from_] / sum(row)
            count[what] += 1
    share = {what: total / count[what] for what, total in sums.items()}
    return {**by_length(texts, test), "aligned": {"posterior": share, "count": dict(count)}}


def dictionary(pairs: Sequence[tuple[list[str], list[str]]], rounds: int) -> dict[str, dict[str, float]]:
    """t(e | f) for the words f, e that stand in one pair."""
    t: dict[str, dict[str, float]] = defaultdict(dict)
    for one, other in pairs:
        for f in one:
            t[f].update(dict.fromkeys(other, 1.0))
    for _ in range(rounds):
        counts: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        for one, other in pairs:
            for e in other:
                total = sum(t[f][e] for f in one)
                for f in one:
                    counts[f][e] += t[f][e] / total
        t = {f: {e: n / sum(row.values()) for e, n in row.items()} for f, row in counts.items()}
    return t


# The tables


def table(folder: Path) -> str:
    """The tables of all seeds that have a file: means, and 95 % intervals over seeds."""
    found = {
        row: [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob(f"{row}-*.json"))]
        for row in ROWS
    }
    dictionary = folder / "plain.json"
    if dictionary.exists():
        found["plain"] = [json.loads(dictionary.read_text(encoding="utf-8"))]
    found = {row: results for row, results in found.items() if results}
    if not found:
        raise SystemExit(f"{folder}: no results; `run` writes them")
    names = [f"{low}-{high}" for low, high in BINS]
    counts = next(iter(found.values()))[0]["bins"]
    heads = ["", "seeds", "parameters", "BLEU", *(f"{name} ({counts[name]['count']})" for name in names)]
    lines = [_row(heads), _row(["---"] * len(heads))]
    for row, results in found.items():
        bins = [_mean([one["bins"][name]["bleu"] for one in results]) for name in names]
        parameters = f"{results[0]['parameters']:,}" if row in ROWS else "none"
        lines.append(_row([NAMES[row], str(len(results)), parameters, _mean([one["bleu"] for one in results]), *bins]))
    lines += ["", *_gains(found), ""]
    heads = ["share of α on the same word", *KINDS]
    lines += [_row(heads), _row(["---"] * len(heads))]
    for row, results in found.items():
        for name in results[0]["aligned"]:
            if name != "count":
                cells = [_mean([100 * one["aligned"][name].get(what, math.nan) for one in results]) for what in KINDS]
                lines.append(_row([f"{NAMES[row]}: {name}, %", *cells]))
    return "\n".join(lines)


def _gains(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """How much more BLEU attention has than the control, over seeds that both have."""
    ours, theirs = ({one["seed"]: one for one in found.get(row, ())} for row in ("rnnsearch", "rnnencdec"))
    both = [(ours[seed], theirs[seed]) for seed in sorted(ours.keys() & theirs.keys())]
    if len(both) < 2:
        return []
    lines = [_row(["RNNsearch − RNNencdec", "BLEU"]), _row(["---"] * 2)]
    for name in ("all", *(f"{low}-{high}" for low, high in BINS)):
        gains = [
            one["bleu"] - other["bleu"] if name == "all" else one["bins"][name]["bleu"] - other["bins"][name]["bleu"]
            for one, other in both
        ]
        lines.append(_row([f"{name} words" if name != "all" else "all sentences", _mean(gains)]))
    return lines


def _mean(values: Sequence[float]) -> str:
    if len(values) < 2:
        return f"{values[0]:.1f}"
    interval = over_seeds(values)
    return f"{interval.mean:.1f} [{interval.low:.1f}, {interval.high:.1f}]"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _write(path: Path, content: Mapping[str, Any]) -> None:
    write_whole(path, json.dumps(content, indent=1).encode())


if __name__ == "__main__":
    main()
