"""Visual attention for PyTorch: mechanisms and systems, attached, watched and compared.

    import regard

    regard.attach(model, "cbam")
    with regard.watch(model) as maps:
        model(images)

The public names load on first use, so that `import regard` and the catalogue need no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from regard import catalog, published
    from regard.attaching import attach, detach, fold, sites
    from regard.attaching.optimizing import add_attention_parameters
    from regard.backbones import create_model
    from regard.catalog import create, find, get
    from regard.comparing import compare
    from regard.core import Attention
    from regard.examining import doctor
    from regard.insight.faithfulness.faithful import faithful
    from regard.insight.gradcam import gradcam
    from regard.insight.guided import guided_backpropagation, guided_gradcam
    from regard.insight.relevance import relevance
    from regard.insight.rollout import rollout
    from regard.laws import check
    from regard.looking.photographs import look
    from regard.saved.models import load, save
    from regard.viewing import draw
    from regard.watching import edits, watch
    from regard.watching.editing import edit

__version__ = "0.1.0"
__all__ = [
    "Attention",
    "__version__",
    "add_attention_parameters",
    "attach",
    "catalog",
    "check",
    "compare",
    "create",
    "create_model",
    "detach",
    "doctor",
    "draw",
    "edit",
    "edits",
    "faithful",
    "find",
    "fold",
    "get",
    "gradcam",
    "guided_backpropagation",
    "guided_gradcam",
    "load",
    "look",
    "published",
    "relevance",
    "rollout",
    "save",
    "sites",
    "watch",
]

_HOMES = {
    "Attention": "regard.core:Attention",
    "add_attention_parameters": "regard.attaching.optimizing:add_attention_parameters",
    "attach": "regard.attaching:attach",
    "catalog": "regard.catalog:",
    "check": "regard.laws:check",
    "compare": "regard.comparing:compare",
    "create": "regard.catalog:create",
    "create_model": "regard.backbones:create_model",
    "detach": "regard.attaching:detach",
    "doctor": "regard.examining:doctor",
    "draw": "regard.viewing:draw",
    "edit": "regard.watching.editing:edit",
    "edits": "regard.watching.edits:",
    "faithful": "regard.insight.faithfulness.faithful:faithful",
    "find": "regard.catalog:find",
    "fold": "regard.attaching:fold",
    "get": "regard.catalog:get",
    "gradcam": "regard.insight.gradcam:gradcam",
    "guided_backpropagation": "regard.insight.guided:guided_backpropagation",
    "guided_gradcam": "regard.insight.guided:guided_gradcam",
    "load": "regard.saved.models:load",
    "look": "regard.looking.photographs:look",
    "published": "regard.published:",
    "relevance": "regard.insight.relevance:relevance",
    "rollout": "regard.insight.rollout:rollout",
    "save": "regard.saved.models:save",
    "sites": "regard.attaching:sites",
    "watch": "regard.watching:watch",
}


if not TYPE_CHECKING:  # a type checker would take any name for one that exists

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module 'regard' has no attribute {name!r}")
        module, _, attribute = _HOMES[name].partition(":")
        value: object = importlib.import_module(module)
        if attribute:
            value = getattr(value, attribute)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
