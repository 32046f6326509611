"""Training with a frozen backbone: only the attention modules and the classifier are trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from torch import nn

from regard.core import Attention

FREEZE = ("backbone",)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def learning(model: nn.Module, classes: int, attached: Iterable[str] = ()) -> tuple[str, ...]:
    """Names of the modules and parameters that are trained when the backbone is frozen.

    Args:
        model: a classifier, whose last layer has one output for each class.
        classes: the number of classes.
        attached: names of attached modules and parameters, in addition to every `Attention`.

    Raises: ValueError if the classifier layer cannot be found.
    """
    attention = [name for name, module in model.named_modules() if name and isinstance(module, Attention)]
    return tuple(dict.fromkeys([*attached, *attention, *classifiers(model, classes)]))


def classifiers(model: nn.Module, classes: int) -> tuple[str, ...]:
    """Names of the classifier layers: those that timm declares, or the last layer with an output for each class.

    Raises: ValueError if there is no such layer.
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
        raise ValueError(f"{type(model).__name__} has no layer of {classes} outputs: a classifier layer is needed")
    return (outputs[-1],)


@contextmanager
def frozen(model: nn.Module, learning: Sequence[str]) -> Iterator[None]:
    """Trains only these modules and parameters in the block; all other batch norms are in evaluation mode.

    Raises: ValueError if a name is neither a module nor a parameter of the model.
    """
    parameters = dict(model.named_parameters())
    modules = dict(model.named_modules())
    for name in learning:
        if name not in parameters and name not in modules:
            raise ValueError(f"{type(model).__name__} has no module or parameter {name!r} to train")

    def learns(name: str) -> bool:
        return any(name == own or name.startswith(f"{own}.") for own in learning)

    before = {name: parameter.requires_grad for name, parameter in parameters.items()}
    for name, parameter in parameters.items():
        parameter.requires_grad_(before[name] and learns(name))
    # A hook, since the training loop sets the whole model to training mode later.
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
