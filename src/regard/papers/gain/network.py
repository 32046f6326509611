"""GAIN: a classifier whose Grad-CAM is part of the loss, so that it is trained where to look.

Tell Me Where to Look: Guided Attention Inference Network. Li, Wu, Peng, Ernst, Fu. CVPR 2018, arXiv:1802.10171.
Official code: none is public; known here through the paper's equations and the ports ngxbac/GAIN (PyTorch) and
    alokwhitewolf/Guided-Attention-Inference-Network (Chainer).

    s = f(I),     w^c_k = mean_hw ∂s^c/∂f_k                     stream S_cl and the weights of channels    Eq. 1    (1)
    A^c = relu(Σ_k w^c_k f_k), at the size of the image         what speaks for class c                    Eq. 2    (2)
    T(A) = sigmoid(ω (A − σ)),     I*^c = I − T(A^c) ⊙ I        the image without it                       Eq. 3, 4 (3)
    s* = f(I*^c)                                                stream S_am, with the same weights                  (4)

The losses on s, s*^c and A^c are in task.py. f_k is the last map of the convolutions.

Place: classifiers that are to look at the whole object (S_am finds what A^c leaves out), or at the right one where few
    masks tell which (S_ext); A^c are seeds of a segmentation with labels of images alone (recipe.py, seeding.py).
Cost: training, two passes and a second derivative of what stands behind f; prediction, one pass of the backbone.
Deviations: paper, gradients go through w^c as well, since the map is to be trained | ports take w^c as a constant |
    as the paper; detach=True as the ports. σ and ω have no value in the paper | ngxbac 0.25, 100 and A^c between 0 and
    1 over the whole batch; Chainer 0.5, 8 and each image by itself, whose extremes are constants | arguments.
Errata: ngxbac multiplies the gradient in (1) by the sum of the batch's target scores, so that the map shows what speaks
    against the class where the sum is negative; and puts the model into training mode for the map, also in evaluation.
    A map scaled over the whole batch makes each image depend on the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from regard.attaching.layouts import Layout, layout_of
from regard.backbones import build
from regard.checks import check_input, check_norm_batch, choice, flag, number, positive, text, whole_numbers
from regard.core import Attention
from regard.ops import pooling
from regard.ops.precision import widened
from regard.papers.gain.streams import Streams

NORMALISE = ("none", "sample", "sample_detached", "batch")


class Plain(nn.Module):
    """A small classifier in place of a backbone: 3 × 3 convolutions with ReLU, pooled by 2 behind the first; average.

    Args:
        channels: channels of the image.
        classes: K.
        widths: channels of each convolution.
        norm: a batch norm behind each.
    """

    def __init__(self, channels: int, classes: int, widths: Sequence[int], *, norm: bool) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise((channels, *widths)))
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) if norm else nn.Identity() for width in widths)
        self.features = nn.Identity()  # the map to explain goes through here
        self.classify = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        for i, (convolve, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            x = convolve(F.max_pool2d(x, 2) if i == 1 else x)
            if isinstance(norm, nn.BatchNorm2d):
                check_norm_batch(norm, x)
            x = norm(x).relu()
        scores: Tensor = self.classify(pooling.average(self.features(x)))
        return scores


class GAIN(Attention):
    """Classifier whose Grad-CAM is trained: what speaks for a class, and the image without it.

    Args:
        channels: channels of the image.
        classes: K, the number of classes.
        backbone: any classifier of timm's, the paper's is `"vgg16"`; None: a small one of convolutions with `widths`
            channels.
        widths: of those convolutions.
        norm: batch norms behind them.
        layer: the module of the backbone whose output is f, by its name; None: the last map that timm declares, before
            its pooling. Of a transformer whose head reads the class token alone, name an earlier block.
        sigma: σ, where the mask is 1/2.
        omega: ω, the mask's steepness.
        normalise: what (3) gets: A^c itself (`"none"`); scaled to 0..1 for each image (`"sample"`), also with its
            extremes as constants (`"sample_detached"`); or over the whole batch (`"batch"`).
        align_corners: how A^c is resized.
        detach: take w^c as a constant, as the ports do.

    Shapes: x `B C H W` -> scores `B K`. With `present`, the class of each image, int64 `B`, or the classes present in
        it, 0 and 1 in `B K`, the `Streams`.
    Maps: cam `B 1 H W`, A^c, and mask `B 1 H W`, T(A^c), of the class predicted; with `present`, of its pairs.
    Raises: ValueError for an argument out of range, images of another shape, or if `present` does not fit; LookupError
        if timm has no such backbone, or that no such layer.
    """

    def __init__(
        self,
        channels: int = 3,
        *,
        classes: int,
        backbone: str | None,
        widths: Sequence[int] = (32, 64, 128),
        norm: bool = True,
        layer: str | None = None,
        sigma: float = 0.5,
        omega: float = 10.0,
        normalise: str = "sample",
        align_corners: bool = False,
        detach: bool = False,
    ) -> None:
        super().__init__()
        self.channels, self.classes = positive("channels", channels), positive("classes", classes)
        widths = whole_numbers("widths", widths)
        flag("norm", norm)
        if backbone is not None:
            text("backbone", backbone)
        if layer is not None:
            text("layer", layer)
        self.sigma, self.omega = number("sigma", sigma), number("omega", omega, above=0)
        self.normalise = choice("normalise", normalise, NORMALISE)
        self.align_corners, self.detach = flag("align_corners", align_corners), flag("detach", detach)
        self.backbone = backbone
        self.summed = False  # as ngxbac's port, see Errata; set by published.py alone
        self.smallest = 2 if backbone is None and len(widths) > 1 else 1
        self.classifier = (
            Plain(channels, classes, widths, norm=norm) if backbone is None else _timm(backbone, channels, classes)
        )
        self.layer = _last(self.classifier) if layer is None else layer
        if self.layer not in dict(self.classifier.named_modules()):
            raise LookupError(f"layer={layer!r}: a module of {backbone or 'the network'} is needed")

    def start_from(self, state: Mapping[str, Tensor] | None = None) -> None:
        """Loads weights into the backbone: those given, by timm's names, or the published ones; the classifier is new.

        Raises: OSError if the published ones cannot be loaded; ValueError if those given do not fit.
        """
        if self.backbone is not None:
            loaded = _timm(self.backbone, self.channels, self.classes, pretrained=state is None, state=state)
            self.classifier.load_state_dict(loaded.state_dict())

    def forward(self, x: Tensor, present: Tensor | None = None) -> Tensor | Streams:
        check_input(x, "B C H W", C=self.channels)
        if min(x.shape[2:]) < self.smallest:
            least = f"a height and a width of at least {self.smallest} are needed"
            raise ValueError(f"input of shape {tuple(x.shape)}: {least}")
        if present is None and not self.watched:
            scores: Tensor = self.classifier(x)
            return scores
        learning = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, *self.parameters()))
        with torch.inference_mode(False), torch.enable_grad():  # the maps need gradients also where the caller has none
            x = x.clone() if x.is_inference() else x
            scores, f = self._read(x, learning)
            layout = self._layout(f, (x.shape[2], x.shape[3]))
            image, label, rank = _pairs(scores, scores.detach().argmax(1) if present is None else present)
            weights = self._weights(scores, f, layout, (image, label, rank), learning)
            cams = (weights[:, :, None, None] * widened(layout.bring(f[image]))).sum(1, keepdim=True).relu()
        cams = F.interpolate(cams, x.shape[2:], mode="bilinear", align_corners=self.align_corners)
        if not learning:
            scores, cams = scores.detach(), cams.detach()
        masks = self.masked(cams)
        self.show("cam", cams)
        self.show("mask", masks)
        if present is None:
            return scores
        erased = x[image] * (1 - masks).to(x.dtype)
        return Streams(scores, image, label, cams, masks, erased, self.classifier(erased))

    def masked(self, cams: Tensor) -> Tensor:
        """T of equation (3), after the normalisation: `M 1 H W` -> `M 1 H W`."""
        if self.normalise != "none" and len(cams):
            axes = (0, 1, 2, 3) if self.normalise == "batch" else (1, 2, 3)
            low, high = cams.amin(axes, keepdim=True), cams.amax(axes, keepdim=True)
            if self.normalise == "sample_detached":
                low, high = low.detach(), high.detach()
            extent = high - low
            cams = (cams - low) / torch.where(extent > 0, extent, 1)  # a flat map becomes 0
        return (self.omega * (cams - self.sigma)).sigmoid()

    def _read(self, x: Tensor, learning: bool) -> tuple[Tensor, Tensor]:
        """One pass: s, `B K`, and f as it came out of its module, in the graph of s."""
        found: list[Tensor] = []

        def catch(module: nn.Module, inputs: object, output: object) -> Tensor:
            if not isinstance(output, Tensor):
                raise ValueError(f"layer={self.layer!r} returns {type(output).__name__}: one tensor is needed")
            f = output if learning and output.requires_grad else output.detach().requires_grad_()
            found.append(f)
            return f.clone()  # what follows may work in place, which a leaf forbids

        handle = self.classifier.get_submodule(self.layer).register_forward_hook(catch)
        # Only the plain form of attention has second derivatives.
        with sdpa_kernel(SDPBackend.MATH) if learning and not self.detach else nullcontext():
            try:
                scores: Tensor = self.classifier(x)
            finally:
                handle.remove()
        if len(found) != 1:
            raise ValueError(f"layer={self.layer!r} was called {len(found)} times: a module called once is needed")
        return scores, found[0]

    def _layout(self, f: Tensor, size: tuple[int, int]) -> Layout:
        """The order of f's axes, for images of that size. Raises: ValueError if f is no map."""
        module = self.classifier.get_submodule(self.layer)
        shape = tuple(f.shape)
        prefix = getattr(self.classifier, "num_prefix_tokens", None)
        layout = layout_of([module], shape, size, prefix) if f.ndim in (3, 4) else None
        if layout is None:
            raise ValueError(f"layer={self.layer!r} outputs {shape}: a map B C h w or tokens are needed")
        return layout

    def _weights(
        self, scores: Tensor, f: Tensor, layout: Layout, pairs: tuple[Tensor, Tensor, Tensor], learning: bool
    ) -> Tensor:
        """Equation (1) for each pair: `M D`, a value for each of f's D channels.

        The gradients of the first class of every image come from one backward pass, those of the second from the next:
        the scores of an image depend on its own map alone.
        """
        whole = learning and not self.detach
        image, label, rank = pairs
        weights = [widened(layout.bring(f.detach())).mean((2, 3))[:0]]
        for r in range(int(rank.max()) + 1 if len(rank) else 0):
            here = rank == r
            chosen = scores[image[here], label[here]].sum()
            (slopes,) = torch.autograd.grad(chosen, f, create_graph=whole, retain_graph=True, materialize_grads=True)
            if layout.prefix and bool(slopes[:, : layout.prefix].any()) and not slopes[:, layout.prefix :].any():
                raise ValueError(f"layer={self.layer!r}: after it the class tokens alone are read; name an earlier one")
            if self.summed:
                slopes = slopes * chosen.detach()
            weights.append(widened(layout.bring(slopes)).mean((2, 3))[image[here]])
        found = torch.cat(weights)
        return found if whole else found.detach()


def _pairs(scores: Tensor, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Image, class, and the how-manieth class of its image, of each pair: first classes first, `M` each.

    Raises: ValueError if `present` is neither a class for each image nor 0 and 1 for each class.
    """
    batch, classes = scores.shape
    if present.shape == (batch,) and not present.is_floating_point() and present.dtype != torch.bool:
        if len(present) and not 0 <= int(present.min()) <= int(present.max()) < classes:
            raise ValueError(f"present={present.tolist()}: classes from 0 to {classes - 1} are needed")
        return torch.arange(batch, device=present.device), present.long(), torch.zeros_like(present)
    if present.shape != (batch, classes):
        raise ValueError(f"present of shape {tuple(present.shape)}: {(batch,)} or {(batch, classes)} is needed")
    there = present > 0
    image, label = there.nonzero(as_tuple=True)
    rank = (there.cumsum(1) - 1)[image, label]
    order = rank.argsort(stable=True)
    return image[order], label[order], rank[order]


def _last(classifier: nn.Module) -> str:
    """The module of the last map: of timm's declared stages, the last that is no pooling."""
    if isinstance(classifier, Plain):
        return "features"
    modules = dict(classifier.named_modules())
    declared = [str(stage["module"]) for stage in getattr(classifier, "feature_info", None) or ()]
    found = [name for name in declared if name in modules and not isinstance(modules[name], nn.MaxPool2d)]
    if not found:
        raise ValueError(f"layer=None: the name of a module of {type(classifier).__name__} is needed")
    return found[-1]


def _timm(
    backbone: str, channels: int, classes: int, *, pretrained: bool = False, state: Mapping[str, Tensor] | None = None
) -> nn.Module:
    """Raises: LookupError if there is no such backbone; as `backbones.build`."""
    try:
        return build(backbone, classes=classes, in_chans=channels, pretrained=pretrained, state=state)
    except LookupError as error:
        raise LookupError(f"backbone={backbone!r}: {error}") from error
