"""METEOR 1.5 of captions, by its authors' program, which needs Java.

Meteor Universal: Language Specific Translation Evaluation for Any Target Language. Denkowski, Lavie. WMT 2014.

The program and its tables are those of the package pycocoevalcap (`pip install "regard[meteor]"`). Where Java or the
package is missing METEOR is not computed, and `missing` says why: functions of the same name elsewhere are another
algorithm with other numbers.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterable

from regard.metrics.words.grams import Sentence, paired


def missing() -> str:
    """Why METEOR cannot be computed here; empty if it can."""
    if shutil.which("java") is None:
        return "not computed: Java"
    if importlib.util.find_spec("pycocoevalcap") is None:
        return 'not computed: pip install "regard[meteor]"'
    return ""


def meteor(candidates: Iterable[Sentence], references: Iterable[Iterable[Sentence]]) -> tuple[float, list[float]]:
    """METEOR of all sentences together, and of each, from 0 to 1.

    Args:
        candidates: a sentence for each image, as words of `tokens.tokenise`.
        references: for each, those of its image.

    Raises: RuntimeError if Java or the package is missing; ValueError as for `bleu.bleu`.
    """
    pairs = paired(candidates, references)
    reason = missing()
    if reason:
        raise RuntimeError(f"METEOR is {reason}")
    from pycocoevalcap.meteor.meteor import Meteor

    program = Meteor()
    try:
        written = {place: [" ".join(candidate)] for place, (candidate, _) in enumerate(pairs)}
        known = {place: [" ".join(one) for one in several] for place, (_, several) in enumerate(pairs)}
        total, each = program.compute_score(known, written)
    finally:
        program.meteor_p.stdin.close()
        program.meteor_p.kill()
        program.meteor_p.wait()
        for stream in (program.meteor_p.stdout, program.meteor_p.stderr):
            stream.close()
    return float(total), [float(score) for score in each]
