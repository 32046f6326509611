"""Writes docs/robustness.md from a run of all tests: every entry under every option, held to every law.

make test-all TESTS=--junitxml=tests.xml
.venv/bin/python docs/robustness.py tests.xml > docs/robustness.md

Several files, as of `make test` and `make test-slow`, are read as one run.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

import torch

from regard import catalog, laws

HEAD = """# Robustness

Generated from a run of all tests with torch {version}; do not edit.

```
make test-all TESTS=--junitxml=tests.xml
.venv/bin/python docs/robustness.py tests.xml > docs/robustness.md
```

Every mechanism and system, under its default and each of its options, is held to {laws} laws: {kept} of {asked} are
kept, {exempt} are exempt, {broken} are broken. `regard check NAME` asks them of one entry, `regard check
my_module.py:MyAttention` of a module of yours.

{legend}

A cell says under how many settings a law is kept, of how many it was asked: whole systems are compiled and exported
under their default and under the options that change the graph in kind. A dash is an exemption, for the reason below
the table; its test fails when the law is kept after all.

"""

# The conditions of a law that the first line of its docstring leaves out.
INCLUDES = {
    "shapes": "7 × 5, 4 × 6, 1 × 9, the smallest (1 × 1 unless a label says more), a batch of 1; a module built for "
    "one size of map refuses another by a ValueError, an embedding a word beyond its last",
    "gradients_reach": "inputs are leaves of the graph",
    "gradcheck": "for inputs of words, the gradients of the parameters",
    "exports": "batch, height and width dynamic, run at other sizes than it was exported with",
}


def answers(path: str) -> dict[tuple[str, str], bool]:
    """(setting, law) -> whether it was kept, of all that the tests of a run asked."""
    found = {}
    for case in ElementTree.parse(path).iter("testcase"):
        name = case.get("name", "")
        if name.startswith("test_law["):
            told = {one.get("name", ""): one.get("value") == "kept" for one in case.iter("property")}
            setting = name.removeprefix("test_law[").removesuffix("]").removesuffix("-".join(("", *told)))
            found |= {(setting, law): kept for law, kept in told.items()}
    return found


def main() -> None:
    paths = sys.argv[1:]
    if not paths or not all(Path(path).is_file() for path in paths):
        sys.exit(__doc__)
    held = {question: kept for path in paths for question, kept in answers(path).items()}
    if not held:
        sys.exit(f"{' '.join(paths)}: no law was asked in it; the report of a run of tests/laws/test_laws.py is needed")
    count: Counter[str] = Counter()
    rows, exemptions = [], []
    for entry in catalog.entries():
        settings = [subject.name for subject in laws.subjects(entry)]
        cells = []
        for law in laws.LAWS:
            told = [held[setting, law] for setting in settings if (setting, law) in held]
            kept = sum(told)
            count["exempt" if law in entry.exempt else "kept"] += kept
            count["broken"] += len(told) - kept
            whole = law in entry.exempt and 0 < kept == len(told)
            cells.append("–" if whole else f"{kept}/{len(told)}")
        rows.append(f"| [{entry.name}](entries/{entry.name}.md) | {' | '.join(cells)} |")
        exemptions += [f"- {entry.name}, `{law}`: {reason}" for law, reason in entry.exempt.items()]
    legend = "\n".join(
        f"{number}. `{name}`: {(law.__doc__ or '').splitlines()[0].rstrip('.')}"
        + (f" ({INCLUDES[name]})" if name in INCLUDES else "")
        for number, (name, law) in enumerate(laws.LAWS.items(), 1)
    )
    facts = {name: f"{count[name]:,}" for name in ("kept", "exempt", "broken")}
    version = torch.__version__.partition("+")[0]
    print(HEAD.format(version=version, laws=len(laws.LAWS), asked=f"{count.total():,}", legend=legend, **facts), end="")
    print(f"| entry | {' | '.join(str(number) for number in range(1, len(laws.LAWS) + 1))} |")
    print(f"|---|{'---|' * len(laws.LAWS)}")
    print("\n".join(rows))
    if exemptions:
        print("\n## Exemptions\n")
        print("\n".join(exemptions))


if __name__ == "__main__":
    main()
