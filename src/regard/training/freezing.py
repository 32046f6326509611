"""Training with a frozen backbone: only the attention and the classifier learn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from torch import nn

from regard.core import Attention

FREEZE = ("backbone",)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def learning(model: nn.Module, classes: int, attached: Iterable[str] = ()) -> tuple[str, ...]:
    """Names of the modules and parameters that learn when the backbone is frozen.

    Args:
        model: ends in a layer with one output for each class.
        classes: how many there are.
        attached: names of what was put into it, beside every `Attention`.

    Raises: ValueError if no layer can be told to be the classifier.
    """
    attention = [name for name, module in model.named_modules() if name and isinstance(module, Attention)]
    return tuple(dict.fromkeys([*attached, *attention, *classifiers(model, classes)]))


def classifiers(model: nn.Module, classes: int) -> tuple[str, ...]:
    """Names of the layers that make the answers: those that timm declares, or the last with an output for each class.

    Raises: ValueError if there is none.
    """
    declared = (getattr(model, "pretrained_cfg", None) or {}).get("classifier") or ()
    modules = dict(model.named_modules())
    named = [declared] if isinstance(declared, str) else list(declared)
    if named and all(name in modules for name in named):
        return tuple(named)
    outputs = [
        name
        for name, module in modules.items()
        if classes in (getattr(module, "out_features", None), getattr(module, "out_channels", None))
    ]
    if not outputs:
        raise ValueError(f"no layer of {type(model).__name__} has {classes} outputs: its classifier cannot be told")
    return (outputs[-1],)


@contextmanager
def frozen(model: nn.Module, learning: Sequence[str]) -> Iterator[None]:
    """While the block runs, only these modules and parameters learn, and all other batch norms work as in evaluation.

    Raises: ValueError if a name is neither a module nor a parameter of the model.
    """
    parameters = dict(model.named_parameters())
    modules = dict(model.named_modules())
    for name in learning:
        if name not in parameters and name not in modules:
            raise ValueError(f"{type(model).__name__} has no {name!r} that could learn")

    def learns(name: str) -> bool:
        return any(name == own or name.startswith(f"{own}.") for own in learning)

    before = {name: parameter.requires_grad for name, parameter in parameters.items()}
    for name, parameter in parameters.items():
        parameter.requires_grad_(before[name] and learns(name))
    # A hook, since whoever trains puts the whole model into training mode after this.
    handles = [
        module.register_forward_pre_hook(_at_rest)
        for name, module in modules.items()
        if isinstance(module, BATCH_NORMS) and not learns(name)
    ]
    try:
        yield
    finally:
        for name, parameter in parameters.items():
            parameter.requires_grad_(before[name])
        for handle in handles:
            handle.remove()


def _at_rest(module: nn.Module, inputs: object) -> None:
    module.training = False  # not eval(), which would reach what is attached to it
