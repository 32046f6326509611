"""What Baby Talk's field adds to its classifiers, and templates against a language model, on drawn scenes.

    python docs/triples.py run --seeds 11 12 13 14 15 --out triples.json
    python docs/triples.py table triples.json
    python docs/triples.py text FILE ... --out text.json
    python docs/triples.py words text.json ...

For each seed: linear classifiers of the objects and colours of true boxes are trained on few scenes, so that they err;
potentials of text are read from the captions of the training scenes. Rows: the classifiers alone (each label by itself,
opponent and control at once, since it is the field without text), the field with all weights 1, the field with
weights found by coordinate search on validation scenes, the same with the potentials of text shuffled over the objects
(the control that takes the claim away), and the commonest triple of the captions. Measured: F1 of the triples of
all pairs, and CIDEr-D of a sentence about the pair that captions name, by template and by language model.

`text` reads files of sentences as a corpus: the words of a grammar, the priors, and how well the language model of nine
sentences of ten foretells the tenth, beside its words without their context. `words` prints that.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from regard.comparing.statistics import over_seeds
from regard.data.batches import Batch
from regard.data.scene_sentences import told
from regard.data.scenes import scenes
from regard.data.sentence_files import sentences_of
from regard.metrics.words.captions import Captions
from regard.papers.baby_talk.fitting import coordinate_search
from regard.papers.baby_talk.network import WEIGHTS, BabyTalk
from regard.papers.baby_talk.prepositions import FUNCTIONS
from regard.papers.baby_talk.task import Describe, set_priors
from regard.papers.baby_talk.text.corpus import grammar_of, perplexity
from regard.papers.baby_talk.text.drawn import GRAMMAR, DrawnTriples
from regard.papers.baby_talk.text.language import NGrams
from regard.papers.baby_talk.text.templates import Triple, described
from regard.papers.baby_talk.text.triples import agreement, priors
from regard.training.loop import fit
from regard.training.plan import Plan

TRAIN, VALIDATION, TEST, SIZE = 300, 100, 200, 32
PLAN = Plan(epochs=30, batch_size=64, lr=5e-3, optimizer="adam", weight_decay=0.0, warmup=0.0)
ROWS = ("classifiers", "field, weights 1", "field, weights searched", "text shuffled", "commonest triple")
FUNCTION = ("a", "is", "the", "there", "picture", "shows", "you", "see")
MOST = 6  # words that `text` keeps of each sort
PHRASES = {"above": ["above"], "below": ["below"], "left": ["left", "of"], "right": ["right", "of"]}


def run(seed: int) -> dict[str, dict[str, float]]:
    """The figures of every row for one seed."""
    torch.manual_seed(seed)
    drawn, test = scenes(train_size=TRAIN + VALIDATION, test_size=TEST, size=SIZE, seed=seed)
    train = replace(drawn, count=TRAIN)
    texts = [caption for scene in range(TRAIN) for caption in train.captions(scene)]
    known = priors(GRAMMAR, texts)
    kinds, shades, words = GRAMMAR.names
    regions = DrawnTriples(train)
    model = BabyTalk(regions.channels, objects=len(kinds), attributes=len(shades), prepositions=len(words))
    task = Describe(GRAMMAR)
    fit(model, task, regions, replace(PLAN, seed=seed))
    model.eval()
    everything = DrawnTriples(drawn)
    validation = seen_of(everything, range(TRAIN, TRAIN + VALIDATION))
    batch = seen_of(DrawnTriples(test), range(TEST))
    model_text = NGrams(texts)

    def found(weights: list[float], which: Batch) -> list[list[Triple]]:
        with torch.no_grad():
            model.weights.copy_(torch.tensor(weights))
            return task.found(model, which)

    def score(weights: Any) -> float:
        return agreement(found(list(weights), validation), validation["triples"]).f1

    alone, ones = [1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0], [1.0] * 7
    set_priors(model, known.attributes, known.prepositions)
    searched, _ = coordinate_search(score, ones, rounds=2)
    rows = {ROWS[0]: found(alone, batch), ROWS[1]: found(ones, batch), ROWS[2]: found(searched, batch)}
    order = torch.randperm(len(kinds), generator=torch.Generator().manual_seed(seed))
    set_priors(model, known.attributes[order], known.prepositions[order][:, :, order])
    rows[ROWS[3]] = found(searched, batch)
    counted = [triple for text in texts for triple in GRAMMAR.read(text)[1]]
    commonest = max(sorted(set(counted), key=str), key=counted.count)
    rows[ROWS[4]] = [[commonest] * len(true) for true in batch["triples"]]
    figures: dict[str, dict[str, float]] = {}
    for name, triples in rows.items():
        template, filled = Captions(), Captions()
        for scene, several in enumerate(triples):
            (one, word, other) = several[named(test.objects(scene))]
            references = [[list(caption) for caption in test.captions(scene)]]
            text = described([(one, " ".join(PHRASES[word]), other)]).lower().replace(".", "").split()
            template.update([text], references)
            content = [[part for part in thing if part] for thing in (one, other)]
            filled.update([model_text.filled([content[0], PHRASES[word], content[1]], FUNCTION, beam=10)], references)
        figures[name] = {
            "f1": agreement(triples, batch["triples"]).f1,
            "template": template.compute()["cider"],
            "language model": filled.compute()["cider"],
        }
    figures["weights"] = dict(zip(WEIGHTS, searched, strict=True))
    return figures


def text(files: list[str]) -> dict[str, Any]:
    """What files of sentences say: sizes, the most probable words, and the perplexities of every tenth line."""
    several = [sentences_of(file) for file in files]
    sentences = [one for lines in several for one in lines]
    grammar = grammar_of(sentences, FUNCTIONS)
    known = priors(grammar, sentences)
    read = [grammar.read(tokens) for tokens in sentences]
    told = [triple for _, triples in read for triple in triples]
    kinds, shades, _ = grammar.names
    first = known.objects.topk(MOST).indices.tolist()
    held = [one for lines in several for one in lines[9::10]]  # the same line of every file is of one image
    model = NGrams(one for lines in several for at, one in enumerate(lines) if at % 10 != 9)
    of_prepositions = Counter(word for _, word, _ in told)
    return {
        "sentences": len(sentences),
        "words": len({token for tokens in sentences for token in tokens}),
        "tokens": sum(map(len, sentences)),
        "things": sum(len(things) for things, _ in read),
        "triples": len(told),
        "objects": [(kinds[i], float(known.objects[i].exp())) for i in first],
        "attributes": {
            kinds[i]: [(shades[j], float(known.attributes[i, j].exp())) for j in known.attributes[i].topk(3).indices]
            for i in first
        },
        "prepositions": [(word, of_prepositions[word] / len(told)) for word, _ in of_prepositions.most_common(MOST)],
        "commonest": [
            (f"{one[1]} {word} {other[1]}", count)
            for (one, word, other), count in Counter(
                ((None, one[1]), word, (None, other[1])) for one, word, other in told
            ).most_common(MOST)
        ],
        "held out": len(held),
        "trigrams": len(model.triple),
        "perplexity": perplexity(model, held),
        "perplexity, words alone": perplexity(model, held, order=1),
    }


def words(found: dict[str, Any]) -> str:
    """A table of what `text` found in each corpus."""
    rows: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
        ("sentences, tokens, words", lambda one: f"{one['sentences']:,}, {one['tokens']:,}, {one['words']:,}"),
        ("objects and triples read", lambda one: f"{one['things']:,}, {one['triples']:,}"),
        ("nouns", lambda one: _listed(one["objects"])),
        ("prepositions", lambda one: _listed(one["prepositions"])),
        *((f"attributes, noun {n}", partial(_attributes_of, n - 1)) for n in (1, 2, 3)),
        ("triples", lambda one: ", ".join(f"{name} ({count:,})" for name, count in one["commonest"][:3])),
        ("sentences held out; trigrams", lambda one: f"{one['held out']:,}; {one['trigrams']:,}"),
        ("perplexity of the trigrams", lambda one: f"{one['perplexity']:.1f}"),
        ("perplexity of words alone", lambda one: f"{one['perplexity, words alone']:.1f}"),
    ]
    lines = [f"| | {' | '.join(found)} |", f"|---{'|---' * len(found)}|"]
    lines += [f"| {name} | {' | '.join(tell(one) for one in found.values())} |" for name, tell in rows]
    return "\n".join(lines)


def _attributes_of(place: int, one: dict[str, Any]) -> str:
    noun = one["objects"][place][0]
    return f"{noun}: {_listed(one['attributes'][noun])}"


def _listed(several: list[Any]) -> str:
    return ", ".join(f"{name} {100 * share:.1f} %" for name, share in several)


def named(objects: Any) -> int:
    """The number of the pair that captions name."""
    wanted = {objects.index(one) for one in told(objects)}
    pairs = [{i, j} for i in range(len(objects)) for j in range(i + 1, len(objects))]
    return pairs.index(wanted)


def seen_of(data: DrawnTriples, which: range) -> Batch:
    return data.collate_fn([data[i] for i in which])


def table(found: dict[str, Any]) -> str:
    """The means over seeds with 95 % t intervals; of F1 also the paired difference to the classifiers alone."""
    lines = ["| row | F1 of triples | against the classifiers | CIDEr-D, template | CIDEr-D, language model |"]
    lines.append("|---|---|---|---|---|")
    for row in ROWS:
        values = {name: [one[row][name] for one in found.values()] for name in ("f1", "template", "language model")}
        paired = [one[row]["f1"] - one[ROWS[0]]["f1"] for one in found.values()]
        cells = [_told(values["f1"]), _told(paired), _told(values["template"]), _told(values["language model"])]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _told(values: list[float]) -> str:
    one = over_seeds(values)
    return f"{sum(values) / len(values):.3f} [{one.low:.3f}, {one.high:.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13, 14, 15])
    running.add_argument("--out", type=Path, required=True)
    showing = commands.add_parser("table")
    showing.add_argument("file", type=Path, nargs="+")
    reading = commands.add_parser("text")
    reading.add_argument("file", nargs="+")
    reading.add_argument("--out", type=Path, required=True)
    telling = commands.add_parser("words")
    telling.add_argument("file", type=Path, nargs="+")
    given = parser.parse_args()
    if given.command == "text":
        given.out.write_text(json.dumps(text(given.file), indent=1))
        return
    if given.command == "words":
        print(words({file.stem: json.loads(file.read_text()) for file in given.file}))
        return
    if given.command == "table":
        merged = {seed: one for file in given.file for seed, one in json.loads(file.read_text()).items()}
        print(table(merged))
        return
    found = json.loads(given.out.read_text()) if given.out.exists() else {}
    for seed in given.seeds:
        if str(seed) not in found:
            found[str(seed)] = run(seed)
            given.out.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
