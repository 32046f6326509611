"""What a page shows, as Python that computes the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from regard.serving.editing import Change
from regard.serving.networks import SEED, Named


def of(named: Named, photograph: str, changes: Sequence[Change], alpha: float) -> str:
    """The code of a pass.

    Args:
        named: the network.
        photograph: the file's name.
        changes: the edits, in order.
        alpha: the factor of the gate.
    """
    arguments = [f"{name}={_written(value)}" for name, value in named.arguments.items()]
    shown = Path(photograph).name or "photograph"
    wanted = [name for name in ("Moved", "looks") if any(f"{name}(" in change.code for change in changes)]
    lines = [
        "from pathlib import Path",
        "",
        "import torch",
        "",
        "import regard",
        "from regard.saved.opening import open_network",
        *([f"from regard.serving.editing import {', '.join(wanted)}"] if wanted else []),
        *(["from regard.serving.gating import turned"] if alpha != 1 else []),
        "from regard.serving.seeing import seen",
        "",
        f"torch.manual_seed({SEED})  # weights that are random are those of the page",
        f"network = open_network({', '.join(arguments)})",
        f"x = network.prepared(seen(network, Path({shown!r})))",
    ]
    around = ["torch.no_grad()"]
    around += [f"turned(network.model, {alpha:g})"] if alpha != 1 else []
    around += [f"regard.edit(network.model, {{{change.pattern!r}: {change.code}}})" for change in changes]
    around += ["regard.watch(network.model) as maps"]
    lines += ["", "with (", *(f"    {each}," for each in around), "):", "    returned = network.model(x)", ""]
    return "\n".join(lines)


def _written(value: object) -> str:
    return f"Path({str(value)!r})" if isinstance(value, Path) else repr(value)
