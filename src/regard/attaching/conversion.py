"""Attached attention kept through `SyncBatchNorm.convert_sync_batchnorm`.

torch's conversion, and timm's, build a new norm and give it the children of the old one, but neither its hooks nor its
further parameters. So the `attention` of a site knows the site, and a norm that takes it over takes the hook and the
gate over too. Conversions that drop the children as well, such as timm's to frozen norms, cannot be noticed.
"""

from __future__ import annotations

import weakref
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.module import register_module_module_registration_hook

LINK = "_regard_site"


class _Link:
    """A weak reference from an attached module to its site, which a copy of the model has to its own site.

    Weak, since a cycle would keep the memory of a model that is deleted until the next garbage collection.
    """

    def __init__(self, site: nn.Module | None) -> None:
        self._reference = None if site is None else weakref.ref(site)

    @property
    def site(self) -> nn.Module | None:
        return None if self._reference is None else self._reference()

    def __deepcopy__(self, memo: dict[int, Any]) -> _Link:
        return _Link(memo.get(id(self.site)))  # None where the module is copied without its site

    def __reduce__(self) -> tuple[type[_Link], tuple[nn.Module | None]]:
        return _Link, (self.site,)


def link(module: nn.Module, site: nn.Module) -> None:
    """Notes on an attached module which site it belongs to."""
    module.__dict__[LINK] = _Link(site)


def unlink(module: nn.Module) -> None:
    module.__dict__.pop(LINK, None)


def _take_over(norm: nn.Module, name: str, module: nn.Module | None) -> None:
    """Gives a norm that gets the attention of another site the hook and the gate of that site."""
    if module is None or LINK not in module.__dict__ or not isinstance(norm, _BatchNorm):
        return
    site = module.__dict__[LINK].site
    if site is None or site is norm or site._modules.get(name) is not module:
        return
    from regard.attaching import ALPHA, AttentionHook  # which import this module

    for hook in list(site._forward_hooks.values()):
        if isinstance(hook, AttentionHook):
            norm.register_forward_hook(hook)
    if ALPHA in site._parameters:
        norm.register_parameter(ALPHA, site._parameters[ALPHA])
    elif ALPHA in site._buffers:
        norm.register_buffer(ALPHA, site._buffers[ALPHA])
    link(module, norm)


register_module_module_registration_hook(_take_over)
