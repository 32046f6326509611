"""Trains what docs/faithful.md reports: whether maps matter, and what or where they tell.

    python docs/faithful.py digits --out faithful-digits      # CBAM and a non-local block on cluttered digits
    python docs/faithful.py scenes --out faithful-scenes      # attention over places, on far cues
    python docs/faithful.py picture docs/images/faithful.png  # of the network that comes with regard
    python docs/faithful.py table faithful-digits faithful-scenes > table.md

Each is a `regard compare` with the command's defaults, of five and of three seeds, which the same command resumes. Of
the digits, every training of CBAM is then asked what explains the variance of its gates; `faithful.json` in the folder
keeps the figures of each seed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

import regard
from regard.comparing import Trial, result
from regard.comparing.folder import Folder
from regard.comparing.statistics import over_seeds
from regard.data import load
from regard.data.batches import normalised
from regard.insight.faithfulness.faithful import faithful
from regard.looking import examples
from regard.looking.faithfulness import SHOWN, pictures_of
from regard.report import Interval
from regard.saved.files import write_whole
from regard.saved.opening import open_network
from regard.viewing.sheet import sheet

DIGITS = ("cbam", "nonlocal")
SCENES = ("nonlocal", "pam")
IMAGES = 500  # of the test digits, in which the variance is taken
CURVES = 24  # of these, for the curves
NAMES = {"even": "even", "mean": "mean over queries", "images": "mean over images", "shuffled": "shuffled"}


def digits(out: Path, seeds: int) -> None:
    """Compares on digits, and takes CBAM's gates apart."""
    regard.compare("digits", attention=DIGITS, seeds=seeds, out=out)
    test = load("digits").test
    chosen = range(IMAGES)
    images = test.images(list(chosen))
    regions = [test.region(i) for i in chosen]
    places = torch.stack([region for region in regions if region is not None])
    labels = [test.labels[i] for i in chosen]
    kept = {}
    for seed in range(seeds):
        network = open_network(weights=Folder(out).trial(Trial("cbam", seed)))
        x = normalised(images, network.normalise)
        told = json.loads(
            faithful(
                network.model,
                x,
                "*",
                labels,
                places=places,
                baselines=("mean",),
                steps=2,
                squares=0,
                stages=0,
                batch=100,
            ).json()
        )
        part = x[:CURVES]
        curves = json.loads(
            faithful(network.model, part, "*/spatial", labels[:CURVES], baselines=("road",), stages=0).json()
        )
        kept[str(seed)] = {"origins": told["origins"], "effects": told["effects"], "rows": curves["rows"]}
        write_whole(out / "faithful.json", json.dumps(kept).encode())


def picture(out: Path) -> None:
    """Draws what is found of the network that comes with regard, on images that it has not seen."""
    network, shown = open_network(weights=examples.weights()), examples.images(12)
    pixels = [shown.pixels(i) for i in range(len(shown))]
    x = torch.cat([network.prepared(one) for one in pixels])
    found = faithful(network.model, x, "*", list(shown.labels), baselines=("blur", "road"))
    print(found)
    names = [(shown.name(i), network.class_names[shown.labels[i]]) for i in range(len(shown))]
    pictures = pictures_of(found, [one.float() / 255 for one in pixels], names)
    curves = 2 * len(found.rows[0].deletion)
    kept = pictures[: curves + (len(pictures) - curves) // SHOWN]  # of the first image only
    sheet(kept, f"{network.name}, {len(x)} images of cluttered digits").save(out)


def table(folders: list[Path]) -> None:
    """Prints the tables of the page."""
    for folder in folders:
        found = result(folder)
        print(f"| {found.run['data']} | {found.measure.title} | against none | " + " | ".join(NAMES.values()) + " |")
        print("|---" * (3 + len(NAMES)) + "|")
        for row in found.rows:
            cells = [_percent(row.score), "" if row.gain is None else _points(row.gain)]
            cells += [_points(row.replaced[name]) if name in row.replaced else "" for name in NAMES]
            print(f"| {row.name} | " + " | ".join(cells) + " |")
        print()
        if (folder / "faithful.json").exists():
            _variance(json.loads((folder / "faithful.json").read_text()))
            _areas(json.loads((folder / "faithful.json").read_text()))


def _variance(kept: dict[str, dict[str, dict[str, dict[str, dict[str, float]]]]]) -> None:
    print("| gate | class | place | class, shuffled | place, shuffled |\n|---|---|---|---|---|")
    every = [set(seed["origins"]) for seed in kept.values()]
    for key in sorted(set.intersection(*every)):  # a gate that is the same for all images of a seed has no variance
        told = [
            over_seeds([seed["origins"][key][which][part] for seed in kept.values()])
            for part in ("value", "shuffled")
            for which in ("what", "where")
        ]
        print(f"| `{key}` | " + " | ".join(f"{one.mean:.2f} ({one.low:.2f} … {one.high:.2f})" for one in told) + " |")
    print()


def _areas(kept: dict[str, dict[str, list[dict[str, dict[str, dict[str, dict[str, float]]]]]]]) -> None:
    """Areas with ROAD's imputation, over seeds, and infidelity."""
    print("| map | deletion | insertion | infidelity |\n|---|---|---|---|")
    for number, row in enumerate(next(iter(kept.values()))["rows"]):
        rows = [seed["rows"][number] for seed in kept.values()]
        told = [over_seeds([one[curve]["road"]["area"]["mean"] for one in rows]) for curve in ("deletion", "insertion")]
        told.append(over_seeds([one["infidelity"]["mean"] for one in rows]))  # type: ignore[misc]
        print(
            f"| {row['name']} | "
            + " | ".join(f"{one.mean:.3f} ({one.low:.3f} … {one.high:.3f})" for one in told)
            + " |"
        )
    print()


def _percent(one: Interval) -> str:
    return f"{100 * one.mean:.1f} ({100 * one.low:.1f} … {100 * one.high:.1f})"


def _points(one: Interval) -> str:
    return f"{100 * one.mean:+.1f} ({100 * one.low:+.1f} … {100 * one.high:+.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("digits", "scenes"):
        one = commands.add_parser(name)
        one.add_argument("--out", type=Path, default=Path(f"faithful-{name}"))
        one.add_argument("--seeds", type=int, default={"digits": 5, "scenes": 3}[name])
    commands.add_parser("picture").add_argument("out", type=Path)
    commands.add_parser("table").add_argument("folders", type=Path, nargs="+")
    given = parser.parse_args()
    if given.command == "digits":
        digits(given.out, given.seeds)
    elif given.command == "scenes":
        regard.compare(task="segment", attention=SCENES, seeds=given.seeds, out=given.out)
    elif given.command == "picture":
        picture(given.out)
    else:
        table(given.folders)


if __name__ == "__main__":
    main()
