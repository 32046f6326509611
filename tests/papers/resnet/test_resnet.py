"""The papers' networks: published counts, where the mechanisms stand, and wrong arguments."""

from __future__ import annotations

import re
import runpy
from collections import Counter
from pathlib import Path

import pytest
import torch

from regard import catalog, published, watch
from regard.core import Attention
from regard.networks import design
from regard.papers.resnet.network import PaperNetwork
from regard.papers.senet.mechanism import SqueezeExcite

NETWORKS = {name: design.find(name) for name in catalog.networks()}
COUNTED = [name for name, network in NETWORKS.items() if network.parameters is not None]
NETWORK_SIZES = [3, 5, 5, 7]


@pytest.mark.slow
@pytest.mark.parametrize("name", COUNTED)
def test_as_many_parameters_as_published(name: str) -> None:
    with torch.device("meta"):
        network = PaperNetwork(name=name, classes=NETWORKS[name].classes)
    assert sum(parameter.numel() for parameter in network.parameters()) == NETWORKS[name].parameters


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_answers_in_small(name: str) -> None:
    network = PaperNetwork(1, name=name, classes=7, width=16, blocks=(1, 2, 2), image_size=(48, 32)).eval()
    frames = (8,) if "T" in NETWORKS[name].backbone.axes else ()
    clip = torch.randn(2, 1, *frames, 48, 32)
    if NETWORKS[name].attention is None:
        assert not any(isinstance(part, Attention) for part in network.modules())
        assert network(clip).shape == (2, 7)
        return
    with watch(network) as maps, torch.no_grad():
        assert network(clip).shape == (2, 7)
    assert maps


def test_every_network_has_a_place_that_its_backbone_offers() -> None:
    assert {name for name, network in NETWORKS.items() if network.place not in network.backbone.places} == set()


@pytest.mark.parametrize(
    ("name", "width"),
    [("se_resnext50", 2), ("se_resnet18", 8), ("se_resnet20", 8), ("cbam_resnet18", 8), ("bam_resnet18", 1),
     ("ge_resnet50_theta_plus", 2), ("gc_resnet50_r16", 1), ("psppse_resnet18", 8), ("fcanet50", 4)],
)  # fmt: skip
def test_a_network_may_be_narrower_than_its_reduction(name: str, width: int) -> None:
    """A gate keeps one hidden channel where the reduction of the paper, 16, would leave none."""
    network = PaperNetwork(2, name=name, classes=3, width=width, blocks=(1, 1), image_size=40).train()
    network(torch.randn(3, 2, 40, 40)).square().mean().backward()
    hidden = [part.reduce.weight.shape[0] for part in network.modules() if isinstance(part, SqueezeExcite)]
    assert all(count >= 1 for count in hidden)
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("se_resnet50", {"se": 16}),
        ("se_resnet20", {"se": 9}),
        ("senet154", {"se": 50}),
        ("sknet50", {"sk": 16}),
        ("ge_resnet50_theta", {"ge": 16}),
        ("eca_resnet101", {"eca": 33}),
        ("cbam_resnet18", {"cbam": 8}),
        ("bam_resnet50", {"bam": 3}),
        ("fcanet34", {"fca": 16}),
        ("gsop_net1", {"gsop": 4}),
        ("gsop_net2", {"gsop": 3, "isqrt_covariance": 1}),
        ("sppse_resnet18", {"spa": 8}),
        ("cpsppse_resnet50", {"spa_pre": 16}),
        ("gc_resnet50_r16", {"gc": 13}),
        ("nonlocal_resnet50", {"nonlocal": 1}),
        ("nonlocal5_resnet50", {"nonlocal": 5}),
        ("nonlocal5_c2d_resnet50", {"nonlocal": 5}),
        ("nonlocal5_i3d_resnet101_8f", {"nonlocal": 5}),
        ("nonlocal10_i3d_resnet50", {"nonlocal": 10}),
        ("cbam_resnet50_cifar", {"cbam": 16}),
        ("bam_resnet101_cifar", {"bam": 3}),
        ("eca_mobilenetv2", {"eca": 17}),
        ("se_mobilenetv2", {"se": 17}),
        ("psppse_resnext29", {"spa_pre": 9}),
        ("ge_resnet50_theta_e8", {"ge": 16}),
        ("a2_resnet50", {"a2": 5}),
        ("a2_resnet26", {"a2": 4}),
    ],
)
def test_as_many_mechanisms_as_in_the_paper(name: str, counts: dict[str, int]) -> None:
    with torch.device("meta"):
        network = PaperNetwork(name=name)
    labels = catalog.labels_by_class()
    parts = [part for part in network.modules() if isinstance(part, Attention)]
    assert Counter(labels[type(part).__module__, type(part).__qualname__].name for part in parts) == counts


@pytest.mark.parametrize(
    ("name", "size", "sides"),
    [
        ("eca_mobilenetv2", 224, [112, 112, 56, 28, 14, 14, 7, 7]),
        ("se_mobilenetv2", 32, [32, 32, 32, 16, 8, 8, 4, 4]),
        ("cbam_resnet18_cifar", 32, [32, 32, 16, 8, 4]),
        ("se_resnext29", 32, [32, 32, 16, 8]),
    ],
)
def test_maps_shrink_as_in_the_released_networks(name: str, size: int, sides: list[int]) -> None:
    seen = []
    with torch.device("meta"):
        network = PaperNetwork(name=name).eval()
        for part in (network.stem, *network.stages):
            part.register_forward_hook(lambda part, x, y: seen.append(y.shape[-1]))
        network(torch.empty(1, 3, size, size))
    assert seen == sides


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(LookupError, match=r"name='se_resnet5'.*did you mean.*se_resnet50"):
        PaperNetwork(name="se_resnet5")
    with pytest.raises(ValueError, match=r"blocks=\(\): at least one value"):
        PaperNetwork(blocks=())
    with pytest.raises(ValueError, match=r"blocks=\(1, 2, 3, 4, 5\).*4 stages"):
        PaperNetwork(blocks=(1, 2, 3, 4, 5))
    with pytest.raises(ValueError, match="blocks=0"):
        PaperNetwork(blocks=(0, 1))
    with pytest.raises(ValueError, match="width=0"):
        PaperNetwork(width=0)


@pytest.mark.slow
@pytest.mark.parametrize("reference", published.references("paper_network"), ids=lambda reference: reference.name)
def test_every_published_network_names_all_that_is_in_ours(reference: published.Reference) -> None:
    args = {"k_size": NETWORK_SIZES} if "eca_resnet50" in reference.name else {}
    if "ResidualNet" in reference.name:
        args = {"network_type": "CIFAR100", "depth": 50, "num_classes": 10, "att_type": "BAM"}
    elif "eca_resnet" in reference.name and not args:
        with pytest.raises(ValueError, match="k_size"):
            reference.build()
        return
    arguments, names = reference.build(**args)
    with torch.device("meta"):
        network = PaperNetwork(**arguments)
    for key in network.state_dict():
        assert any(key == ours or key.startswith(f"{ours}.") for ours in names), key


def test_published_networks_that_the_table_lacks_are_refused() -> None:
    for name, args in (
        ("cbam/Jongchan.attention-module/ResidualNet", {"network_type": "SVHN", "att_type": "CBAM"}),
        ("cbam/Jongchan.attention-module/ResidualNet", {"network_type": "ImageNet", "att_type": "SE"}),
    ):
        with pytest.raises(ValueError, match="network_type, att_type"):
            published.rebuild(name, {"depth": 50, "num_classes": 10, **args}, {})
    with pytest.raises(ValueError, match="upto='conv2_1'"):
        published.rebuild("sk/implus.SKNet/sknet50", {"upto": "conv2_1"}, {})
    with pytest.raises(ValueError, match=r"width_mult=0\.5"):
        published.rebuild("eca/BangguWu.ECANet/eca_mobilenet_v2", {"width_mult": 0.5}, {})


def test_the_page_has_every_network_and_its_count() -> None:
    docs = Path(__file__).parents[3] / "docs"
    page = (docs / "networks.md").read_text(encoding="utf-8")
    row = runpy.run_path(str(docs / "networks.py"))["row"]
    for name, network in NETWORKS.items():
        if network.parameters is None:
            before, after = row(name, network, "#").split("#")
            assert re.search(re.escape(before) + r"[\d,]+" + re.escape(after), page), name
        else:
            assert row(name, network, f"{network.parameters:,}") in page
