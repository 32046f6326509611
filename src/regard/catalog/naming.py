"""Names as people type them, and the hint at the nearest known ones."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping


def plain(name: str) -> str:
    """A name without what people spell in several ways: capitals, spaces, punctuation."""
    return re.sub(r"[^a-z0-9]", "", name.lower().replace("²", "2"))


def hint(name: str, known: Mapping[str, str]) -> str:
    """A question that offers the three known names nearest to `name`.

    Args:
        name: as it was typed.
        known: spelling -> the name to offer; a name may have several spellings.
    """
    spelled = {plain(spelling): offered for spelling, offered in known.items()}
    close = difflib.get_close_matches(plain(name), spelled, n=len(spelled) or 1, cutoff=0.0)
    near = list(dict.fromkeys(spelled[spelling] for spelling in close))[:3]
    if not near:
        return "there is none"
    return f"did you mean {', '.join(near[:-1])} or {near[-1]}?" if len(near) > 1 else f"did you mean {near[0]}?"
