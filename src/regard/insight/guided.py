"""Guided backpropagation and guided Grad-CAM: the pixels that speak for a class.

Striving for Simplicity: The All Convolutional Net. Springenberg, Dosovitskiy, Brox, Riedmiller. ICLR workshop 2015,
arXiv:1412.6806, Section 3.4. Its product with Grad-CAM: Selvaraju et al. (see `gradcam`), Section 3.2.

    R  = [f(x) > 0] · [R' > 0] · R' · f'(x)   gradient behind an activation f, of R' before it   (1)
    G  = R_image · L                          guided Grad-CAM, L scaled to the image             (2)

For ReLU, f'(x) = [f(x) > 0] and (1) is the paper's; for smooth activations it is the same rule, which the papers do
not define. Both are sharp because they follow the edges of the image: they change little when a network's last layers
get random weights (Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018), so they show which edges a network
could have used, not what it has learned.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from regard.insight.gradcam import Layer, check_images, explaining, gradcam, unwrapped
from regard.insight.targets import Target, explained
from regard.ops.precision import widened

RECTIFIERS = frozenset(
    f"{name}{place}"
    for name in (
        *("celu", "elu", "gelu", "hardswish", "hardtanh", "leaky_relu"),
        *("mish", "relu", "relu6", "selu", "silu", "softplus"),
    )
    for place in ("", "_")
)


def guided_backpropagation(model: nn.Module, images: Tensor, target: Target = None) -> Tensor:
    """Returns the gradients of what is explained with respect to the images, by guided backpropagation.

        pixels = regard.guided_backpropagation(model, images)  # B C H W

    Every activation that is called through torch (ReLU, GELU, SiLU and their like, as modules or functions, also in
    place) lets only positive gradients of positive outputs through. The model is not changed; as for `gradcam`, it runs
    in evaluation mode and is left as it was.

    Args:
        model, images, target: as for `gradcam`.

    Shapes: images `B C H W` -> `B C H W`, of either sign, float32 or wider.
    Raises: ValueError if the network calls no activation that is known, or as `gradcam`.
    """
    check_images(images)
    model = unwrapped(model)
    guide = _Guide()
    with explaining(model):
        x = images.detach().clone().requires_grad_()
        with guide:
            returned = model(x)
        if not guide.met:
            raise ValueError(
                f"{type(model).__name__} calls no activation that can be guided: one of torch's, such as ReLU or GELU, "
                "outside of scripted code, is needed"
            )
        score = explained(returned, target, len(images)).sum()
        (slopes,) = torch.autograd.grad(score, [x], allow_unused=True, materialize_grads=True)
    return widened(slopes)


def guided_gradcam(model: nn.Module, images: Tensor, target: Target = None, layer: Layer | None = None) -> Tensor:
    """Returns guided Grad-CAM: guided backpropagation where the Grad-CAM map lies.

        pixels = regard.guided_gradcam(model, images, target=281)  # B C H W

    Args:
        model, images, target, layer: as for `gradcam`.

    Shapes: images `B C H W` -> `B C H W`, of either sign, float32 or wider.
    Raises: as `gradcam` and `guided_backpropagation`.
    """
    return guided_backpropagation(model, images, target) * gradcam(model, images, target, layer)[:, None]


class _Rectified(torch.autograd.Function):
    """The identity; equation (1) without f', for the output of an activation."""

    @staticmethod
    def forward(ctx: Any, y: Tensor) -> Tensor:
        ctx.save_for_backward(y > 0)
        return y.clone()

    @staticmethod
    def backward(ctx: Any, slopes: Tensor) -> Tensor:
        positive: Tensor = ctx.saved_tensors[0]
        return slopes.clamp_min(0) * positive


class _Guide(TorchFunctionMode):
    """Puts `_Rectified` behind every activation that is called; `met` says whether one was."""

    def __init__(self) -> None:
        super().__init__()
        self.met = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name not in RECTIFIERS:
            return func(*args, **kwargs)
        self.met = True
        if not (name.endswith("_") or kwargs.get("inplace", False)):
            return _Rectified.apply(func(*args, **kwargs))
        # In place: on a copy, whose guided result then takes the place of x.
        x = args[0] if args else kwargs.pop("input")
        return x.copy_(_Rectified.apply(func(x.clone(), *args[1:], **kwargs)))
