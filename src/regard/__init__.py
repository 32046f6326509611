"""Visual attention: every mechanism of the field, faithful, attachable, watchable, compared and fast.

The public names load on first use, so that `import regard` and the whole catalogue cost no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from regard import catalog, published
    from regard.attaching import attach, detach
    from regard.catalog import create
    from regard.core import watch
    from regard.laws import check

__version__ = "0.1.0"
__all__ = ["attach", "catalog", "check", "create", "detach", "published", "watch"]

_HOMES = {
    "attach": "regard.attaching:attach",
    "catalog": "regard.catalog:",
    "check": "regard.laws:check",
    "create": "regard.catalog:create",
    "detach": "regard.attaching:detach",
    "published": "regard.published:",
    "watch": "regard.core:watch",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'regard' has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    value = importlib.import_module(module)
    if attribute:
        value = getattr(value, attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
