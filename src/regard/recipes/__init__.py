"""The systems of the papers, trained: what with, how, and what the paper reports.

    recipe = recipes.get("ram-mnist").load()(data=Path("mnist"))
    result = running.train(recipe, out=Path("run"))

This file holds the words and imports no torch, so that a command line can list them at once. A recipe is a function in
a file of this room, called with the folder of its data set; every recipe has a tiny twin, which trains in seconds on
data that the project brings.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from regard import catalog

if TYPE_CHECKING:
    from torch import nn

    from regard.batches import Images
    from regard.training import Plan, Task


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What the paper reports.

    Args:
        measure: the name under which the recipe scores it.
        value: the paper's number, in the same unit.
        where: its place in the paper.
    """

    measure: str
    value: float
    where: str

    def __str__(self) -> str:
        return f"{self.measure} {self.value:g} ({self.where})"


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One recipe in the table.

    Args:
        name: what `regard train` calls it.
        target: `file:function` in this room.
        system: the catalogue's name of what it trains.
        summary: one line.
        data: what has to be in the folder that it is given; empty where it brings its own.
        claim: what the paper reports, where it does.
    """

    name: str
    target: str
    system: str
    summary: str
    data: str = ""
    claim: Claim | None = None

    def load(self) -> Build:
        """The function; this is what imports torch."""
        module, _, function = self.target.partition(":")
        found: Build = getattr(importlib.import_module(f"{__name__}.{module}"), function)

        def build(data: Path | None = None, *, tiny: bool = False) -> Recipe:
            return replace(found(data, tiny=tiny), tiny=tiny)

        return build


class Build(Protocol):
    """A recipe's function.

    `data` is the folder of its data set, None for what the project brings. `tiny` makes the twin: the same code on the
    smallest sizes that mean something, on embedded data.
    """

    def __call__(self, data: Path | None = None, *, tiny: bool = False) -> Recipe: ...


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One stretch of training.

    Args:
        name: names its folder of checkpoints.
        task: gives the loss.
        plan: how.
        trains: glob patterns of the parameters that learn; the others, and the batch norms without a learning
            parameter, stay as they are.
    """

    name: str
    task: Task
    plan: Plan
    trains: tuple[str, ...] = ("*",)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything to train and evaluate one system.

    Args:
        build: makes the untrained network: a class of the catalogue or a partial of one, whose arguments are written
            beside the weights, so that they can be opened without naming them again.
        train, test: the images.
        phases: run one after the other.
        score: model, test images and device -> numbers; by default what the last phase's task scores.
        prepare: model and training images -> None, called once before the first phase; for statistics that the network
            needs from the data.
        facts: what else result.json says.
        part: name of the part that is scored and looked at, where the network holds others too, as a student beside
            its teacher; `build` is then a partial with what makes that part under the same name.
        tiny: whether it is the twin; `Listing.load` says so.
    """

    build: Callable[[], nn.Module]
    train: Images
    test: Images
    phases: tuple[Phase, ...]
    score: Callable[[nn.Module, Images, Any], dict[str, float]] | None = None
    prepare: Callable[[nn.Module, Images], None] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    part: str = ""
    tiny: bool = False


LISTINGS: tuple[Listing, ...] = (
    Listing(
        name="ram-mnist",
        target="ram:mnist",
        system="ram",
        summary="digits of 28×28 by 6 glimpses of 8×8",
        data="MNIST's four idx files",
        claim=Claim(measure="error", value=1.12, where="Table 1a, 6 glimpses, 8×8, 1 scale; 1.29 in arXiv v1"),
    ),
    Listing(
        name="ram-translated",
        target="ram:translated",
        system="ram",
        summary="digits anywhere on 60×60 by 6 glimpses of 12×12 at 3 scales",
        data="MNIST's four idx files",
        claim=Claim(measure="error", value=1.22, where="Table 1b, 6 glimpses, 12×12, 3 scales; 1.86 in arXiv v1"),
    ),
    Listing(
        name="ram-cluttered",
        target="ram:cluttered",
        system="ram",
        summary="digits among 4 pieces of others on 60×60 by 6 glimpses of 12×12 at 3 scales",
        data="MNIST's four idx files",
        claim=Claim(measure="error", value=4.08, where="Table 2a, 6 glimpses, 12×12, 3 scales"),
    ),
    Listing(
        name="dram-pairs",
        target="dram:pairs",
        system="dram",
        summary="two digits on 100×100, read from left to right by 4 glimpses each",
        data="MNIST's four idx files",
        claim=Claim(measure="error", value=5.0, where="MNIST pairs, with the context network"),
    ),
    Listing(
        name="dram-strips",
        target="dram:strips",
        system="dram",
        summary="the same by a small network with 3 glimpses for each digit",
        data="MNIST's four idx files",
        claim=Claim(measure="error", value=5.0, where="MNIST pairs, with the context network"),
    ),
    Listing(
        name="transfer-none",
        target="attention_transfer:plain",
        system="wide_resnet",
        summary="a WRN-16-1 from labels alone, beside the teacher of the three below",
        data="CIFAR-10's files; none: embedded digits and smaller networks",
        claim=Claim(measure="error", value=8.77, where="Table 1, WRN-16-1"),
    ),
    Listing(
        name="attention-transfer",
        target="attention_transfer:activations",
        system="wide_resnet",
        summary="a WRN-16-1 from labels and the activations' attention of a WRN-16-2",
        data="CIFAR-10's files; none: embedded digits and smaller networks",
        claim=Claim(measure="error", value=7.93, where="Table 1, WRN-16-1 from WRN-16-2, AT"),
    ),
    Listing(
        name="gradient-transfer",
        target="attention_transfer:gradients",
        system="wide_resnet",
        summary="a WRN-16-1 from labels and the gradients of a WRN-16-2",
        data="CIFAR-10's files; none: embedded digits and smaller networks",
    ),
    Listing(
        name="distillation",
        target="attention_transfer:distillation",
        system="wide_resnet",
        summary="a WRN-16-1 from labels and the answers of a WRN-16-2",
        data="CIFAR-10's files; none: embedded digits and smaller networks",
        claim=Claim(measure="error", value=7.41, where="Table 1, WRN-16-1 from WRN-16-2, KD"),
    ),
    Listing(
        name="stn-rotated",
        target="stn:rotated",
        system="stn_classifier",
        summary="digits turned by up to 90°, read through an affine spatial transformer",
        data="MNIST's four idx files; none: embedded digits",
        claim=Claim(measure="error", value=0.7, where="Table 1, R, ST-CNN Aff"),
    ),
    Listing(
        name="stn-rotated-plain",
        target="stn:plain",
        system="stn_classifier",
        summary="digits turned by up to 90°, read by the same network without a transformer",
        data="MNIST's four idx files; none: embedded digits",
        claim=Claim(measure="error", value=1.2, where="Table 1, R, CNN"),
    ),
    Listing(
        name="salient-objects",
        target="saliency:objects",
        system="saliency_net",
        summary="masks of what stands out",
        data="DUTS-TR and DUTS-TE, or images and masks",
    ),
    Listing(
        name="fixations",
        target="saliency:fixations",
        system="saliency_net",
        summary="densities of where people look",
        data="images with fixations: SALICON, MIT1003, OSIE, or fixations.csv",
    ),
    Listing(
        name="ltpa-before",
        target="attention_vgg:before",
        system="attention_vgg",
        summary="a VGG that decides by what it attends to at three layers, before their poolings",
        data="the files of CIFAR-100, as claimed, or of CIFAR-10",
        claim=Claim(measure="error", value=22.97, where="Table 1, CIFAR-100, (VGG-att3)-concat-pc"),
    ),
    Listing(
        name="ltpa-after",
        target="attention_vgg:after",
        system="attention_vgg",
        summary="the same with attention after the poolings",
        data="the files of CIFAR-100 or CIFAR-10",
    ),
    Listing(
        name="ltpa-none",
        target="attention_vgg:plain",
        system="attention_vgg",
        summary="the same VGG without attention",
        data="the files of CIFAR-100, as claimed, or of CIFAR-10",
        claim=Claim(measure="error", value=30.62, where="Table 1, CIFAR-100, VGG"),
    ),
    Listing(
        name="gated-sononet",
        target="gated_sononet:planes",
        system="gated_sononet",
        summary="images of one's own, told apart by AG-Sononet-8",
        data="images, a subfolder for each class; the paper's scans are not public",
    ),
    Listing(
        name="residual-attention-cifar",
        target="classification:attention_cifar",
        system="residual_attention_network",
        summary="Attention-452 on CIFAR-10",
        data="CIFAR-10's or CIFAR-100's files",
        claim=Claim(measure="error", value=3.9, where="abstract, CIFAR-10, Attention-452"),
    ),
    Listing(
        name="residual-attention-imagenet",
        target="classification:attention_imagenet",
        system="residual_attention_network",
        summary="Attention-56",
        data="ImageNet's train/ and val/, a folder for each class",
        claim=Claim(measure="error", value=21.76, where="README of the released definitions, Attention-56"),
    ),
    Listing(
        name="spa-cifar",
        target="classification:spa_cifar",
        system="paper_network",
        summary="SPA-Net's CPSPPSE-ResNet-50 on CIFAR-100",
        data="CIFAR-10's or CIFAR-100's files",
        claim=Claim(measure="error", value=22.05, where="README, CPSPPSE-ResNet50, CIFAR-100"),
    ),
    Listing(
        name="se-imagenet",
        target="classification:se_imagenet",
        system="paper_network",
        summary="SE-ResNet-50",
        data="ImageNet's train/ and val/, a folder for each class",
        claim=Claim(measure="error", value=22.37, where="README, SE-ResNet-50"),
    ),
    Listing(
        name="sk-imagenet",
        target="classification:sk_imagenet",
        system="paper_network",
        summary="SKNet-50",
        data="ImageNet's train/ and val/, a folder for each class",
        claim=Claim(measure="error", value=20.79, where="README, SKNet-50, 224"),
    ),
    Listing(
        name="eca-imagenet",
        target="classification:eca_imagenet",
        system="paper_network",
        summary="ECA-Net50",
        data="ImageNet's train/ and val/, a folder for each class",
        claim=Claim(measure="error", value=22.58, where="README, ECA-Net50"),
    ),
    Listing(
        name="cbam-imagenet",
        target="classification:cbam_imagenet",
        system="paper_network",
        summary="ResNet-50 with CBAM",
        data="ImageNet's train/ and val/, a folder for each class",
        claim=Claim(measure="error", value=22.378, where="README, ResNet50+CBAM"),
    ),
    Listing(
        name="bam-imagenet",
        target="classification:bam_imagenet",
        system="paper_network",
        summary="ResNet-50 with BAM",
        data="ImageNet's train/ and val/, a folder for each class",
        claim=Claim(measure="error", value=23.14, where="README, ResNet50+BAM"),
    ),
    Listing(
        name="fca-imagenet",
        target="classification:fca_imagenet",
        system="paper_network",
        summary="FcaNet-50",
        data="ImageNet's train/ and val/, a folder for each class",
        claim=Claim(measure="error", value=21.48, where="README, FcaNet50"),
    ),
    Listing(
        name="gsop-imagenet",
        target="classification:gsop_imagenet",
        system="paper_network",
        summary="GSoP-Net2 on ResNet-50",
        data="ImageNet's train/ and val/, a folder for each class",
        claim=Claim(measure="error", value=21.19, where="README, GSoP-Net2"),
    ),
    Listing(
        name="ra-cnn",
        target="ra_cnn:photographs",
        system="ra_cnn",
        summary="fine-grained classes by looking closer twice",
        data="CUB-200-2011, or train/ and val/, a folder for each class",
        claim=Claim(measure="error", value=14.7, where="Table 1, CUB-200-2011, scales 1+2+3"),
    ),
    Listing(
        name="ra-cnn-birds",
        target="ra_cnn:drawn",
        system="ra_cnn",
        summary="the same on drawn birds whose kinds differ in a mark on the head",
    ),
    Listing(
        name="objectness",
        target="objectness:boxes",
        system="objectness",
        summary="windows ranked by whether they hold an object",
        data="images with boxes.csv or annotations.json (COCO)",
    ),
)


def get(name: str) -> Listing:
    """The recipe called `name`.

    Raises: LookupError if there is none; the message names the nearest.
    """
    for listing in LISTINGS:
        if listing.name == name:
            return listing
    raise LookupError(f"no recipe {name!r}; {catalog.nearest(name, tuple(listing.name for listing in LISTINGS))}")
