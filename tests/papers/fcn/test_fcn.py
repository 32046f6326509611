"""Segmentation networks known by name: their counts, outputs, maps and starting weights; plain and attending heads."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

import regard
from regard import catalog, published
from regard.networks import segmenter
from regard.papers.fcn.network import Segmenter

TINY: dict[str, Any] = {"backbone": "test_resnet", "output_stride": 8, "classes": 5}
BLOCKS = {512: 4, 1024: 23, 2048: 3}  # of ResNet-101's stages 3 to 5, by their width


def count(module: nn.Module | None) -> int:
    return 0 if module is None else sum(parameter.numel() for parameter in module.parameters())


def on_meta(name: str, **arguments: Any) -> Segmenter:
    with torch.device("meta"):
        network: Segmenter = regard.create(name, **arguments)
    return network


@pytest.mark.parametrize(
    ("name", "classes", "total", "trunk", "head", "auxiliary"),
    [
        ("danet_resnet101", 19, 66_454_779, 42_500_160, 23_954_619, 0),
        ("ccnet_resnet101", 19, 71_287_911, 42_623_936, 23_934_100, 4_729_875),
        ("fcn_resnet50", 21, 35_322_218, 23_508_032, 9_448_981, 2_365_205),
        pytest.param("fcn_resnet101", 21, 54_314_346, 42_500_160, 9_448_981, 2_365_205, marks=pytest.mark.slow),
        pytest.param("ocrnet_resnet101", 19, 57_988_838, 42_623_936, 15_364_902, 0, marks=pytest.mark.slow),
        pytest.param("annet_resnet101", 19, 67_694_310, 42_623_936, 25_070_374, 0, marks=pytest.mark.slow),
        pytest.param("ocrnet_hrnet_w48", 19, 70_372_678, 65_325_120, 5_047_558, 0, marks=pytest.mark.slow),
    ],
)
def test_counts_of_the_whole_networks(
    name: str, classes: int, total: int, trunk: int, head: int, auxiliary: int
) -> None:
    network = on_meta(name, classes=classes)
    assert (count(network.trunk), count(network.head), count(network.auxiliary)) == (trunk, head, auxiliary)
    assert count(network) == total == trunk + head + auxiliary
    design = segmenter.find(name)
    assert design.classes == classes and design.parameters in (None, total)


@pytest.mark.slow
def test_gcnet_has_a_context_block_in_every_block_of_stages_3_to_5() -> None:
    network = on_meta("gcnet_resnet101", classes=19)
    plain = on_meta("fcn_resnet101", classes=19)
    blocks = sum(n * ((c + 1) + 2 * c * (c // 16) + c // 16 + 2 * (c // 16) + c) for c, n in BLOCKS.items())
    assert count(network) - count(plain) == blocks
    found = [name for name, part in network.named_modules() if type(part).__name__ == "GlobalContext"]
    assert len(found) == sum(BLOCKS.values()) and found[0] == "trunk.network.layer2.0.bn3.attention"


@pytest.mark.slow
def test_multi_grid_belongs_to_danet_and_goes_with_its_trunk() -> None:
    grid = [block.conv2.dilation[0] for block in on_meta("danet_resnet101").trunk.network.layer4]
    other = [block.conv2.dilation[0] for block in on_meta("danet_resnet101", backbone="resnet50").trunk.network.layer4]
    assert (grid, other) == ([4, 8, 16], [2, 4, 4])


@pytest.mark.slow
@pytest.mark.parametrize("depth", [50, 101])
def test_plain_networks_are_torchvisions(depth: int) -> None:
    from torchvision.models import segmentation

    build = getattr(segmentation, f"fcn_resnet{depth}")
    theirs = build(weights=None, weights_backbone=None, num_classes=7, aux_loss=True).eval()
    ours = published.rebuild(f"fcn/torchvision/fcn_resnet{depth}", {"num_classes": 7}, theirs.state_dict())
    x = torch.randn(2, 3, 37, 29)
    mine, wanted = ours(x), theirs(x)
    assert list(mine) == list(wanted) == ["out", "aux"]
    for name, logits in wanted.items():
        torch.testing.assert_close(mine[name], logits, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "outputs", "main"),
    [("danet_resnet101", 3, 0), ("ccnet_resnet101", 2, 0), ("annet_resnet101", 2, 1), ("ocrnet_resnet101", 2, 1)],
)
def test_the_prediction_comes_first_at_the_size_of_the_image(name: str, outputs: int, main: int) -> None:
    torch.manual_seed(2)
    network = regard.create(name, **TINY).eval()
    x = torch.rand(2, 3, 37, 53)
    seen: list[Any] = []
    network.head.register_forward_hook(lambda module, inputs, output: seen.append(output))
    found = network(x)
    assert [tuple(y.shape) for y in found] == [(2, 5, 37, 53)] * outputs
    (inside,) = seen
    logits = inside if isinstance(inside, torch.Tensor) else inside[main]
    torch.testing.assert_close(found[0], F.interpolate(logits, (37, 53), mode="bilinear", align_corners=True))
    torch.testing.assert_close(found[0][..., ::36, ::52], logits[..., [0, -1]][..., [0, -1], :])  # corners on corners
    network.train()
    assert len(network(x)) == outputs


@pytest.mark.parametrize(
    "head", ["pam", *(pytest.param(head, marks=pytest.mark.slow) for head in ("cca(recurrence=2)", "ocr"))]
)
def test_a_plain_head_has_as_many_parameters_as_an_attending_one(head: str) -> None:
    torch.manual_seed(3)
    attending = Segmenter(head=head, width=24, auxiliary=False, **TINY)
    torch.manual_seed(3)
    plain = Segmenter(head="fcn", parameters=count(attending), auxiliary=False, **TINY)
    assert abs(count(plain) / count(attending) - 1) < 0.005
    wider = Segmenter(head="fcn", width=plain.head.conv1.out_channels + 1, auxiliary=False, **TINY)
    narrower = Segmenter(head="fcn", width=plain.head.conv1.out_channels - 1, auxiliary=False, **TINY)
    gaps = [abs(count(network) - count(attending)) for network in (narrower, plain, wider)]
    assert gaps[1] == min(gaps)
    for ours, theirs in zip(plain.trunk.parameters(), attending.trunk.parameters(), strict=True):
        assert torch.equal(ours, theirs)  # one seed draws one trunk, whatever the head
    assert not any(isinstance(part, regard.Attention) for part in plain.modules())


@pytest.mark.slow
def test_maps_go_by_the_names_of_their_places() -> None:
    network = Segmenter(head="pam", attention="eca@layer3", auxiliary=False, **TINY).eval()
    with regard.watch(network) as maps:
        network(torch.rand(1, 3, 40, 24))
    assert sorted(maps) == ["head.attention/affinity", "trunk.network.layer3.0.bn3.attention/channel"]
    assert maps["head.attention/affinity"][0].shape == (1, 15, 15)
    assert maps.grids["head.attention/affinity"] == {"Q": (5, 3), "K": (5, 3)}


def test_a_mechanism_stands_between_the_two_convolutions_of_the_plain_head() -> None:
    attending = Segmenter(head="pam", width=16, auxiliary=False, **TINY).eval()
    plain = Segmenter(head="fcn", width=16, auxiliary=False, **TINY).eval()
    state = attending.state_dict()
    plain.load_state_dict({name: value for name, value in state.items() if "attention" not in name})
    x = torch.rand(1, 3, 33, 41)
    torch.testing.assert_close(attending(x), plain(x))  # its gate starts at zero
    nn.init.ones_(attending.head.attention.gamma)
    assert (attending(x) - plain(x)).abs().max() > 1e-4


def test_the_trunk_starts_from_given_weights() -> None:
    whole = timm.create_model("test_resnet").state_dict()
    network = Segmenter(head="fcn", **TINY)
    before = {name: value.clone() for name, value in network.head.state_dict().items()}
    network.start_from(whole)
    for name, value in network.trunk.network.state_dict().items():
        assert torch.equal(value, whole[name]), name
    assert all(torch.equal(value, before[name]) for name, value in network.head.state_dict().items())
    with pytest.raises(ValueError, match="the weights have no"):
        network.start_from({"conv1.0.weight": whole["conv1.0.weight"]})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "danet_resnet50"}, "name='danet_resnet50'.*danet_resnet101"),
        ({"head": "pamm"}, "head='pamm'.*pam"),
        ({"head": "se@layer4"}, "head='se@layer4'.*without a place"),
        ({"head": "all"}, "head='all': fcn, danet, ccnet, annet, ocrnet or a mechanism"),
        ({"head": "danet", "width": 3}, "width=3: .*at least 8"),
        ({"width": 8, "parameters": 500_000}, "parameters=500000: None is needed with width=8"),
        ({"parameters": 1_000}, "parameters=1000: more are needed, 372688 are those of backbone='test_resnet'"),
        pytest.param(
            {"head": "annet", "backbone": "hrnet_w18_small"},
            "head='annet': a trunk that gives more than one map",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"backbone": "hrnet_w18_small", "auxiliary": True},
            "auxiliary=True: False is needed",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_a_network_cannot_be_is_refused_by_name(arguments: dict[str, Any], message: str) -> None:
    with torch.device("meta"), pytest.raises((ValueError, LookupError), match=message):
        Segmenter(**{**TINY, "auxiliary": False, **arguments})


def test_names_are_built_by_create_and_offered_by_get() -> None:
    assert set(catalog.segmenters()) >= {"fcn_resnet50", "danet_resnet101", "ocrnet_hrnet_w48"}
    assert type(on_meta("ccnet_resnet101", backbone="test_resnet", classes=3)) is Segmenter
    with pytest.raises(LookupError, match=r"a network of danet: regard\.create\('danet_resnet101'\)"):
        catalog.get("danet_resnet101")
    with pytest.raises(LookupError, match="danet_resnet101"):
        regard.create("danet_resnet102")


def authors_state(layers: str, stem: dict[str, str], deep: str, head: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """Weights by the names of the authors' code: torchvision's in the stages, and those given for stem and head."""
    trunk = timm.create_model(deep).state_dict()
    named = {f"{layers}{name}": value for name, value in trunk.items() if name.startswith("layer")}
    for theirs, timms in stem.items():
        named |= {
            f"{theirs}.{name.rpartition('.')[2]}": value
            for name, value in trunk.items()
            if name.rpartition(".")[0] == timms
        }
    return named | {name: torch.rand(shape) for name, shape in head.items()}


DEEP = {"conv1": "conv1.0", "bn1": "conv1.1", "conv2": "conv1.3", "bn2": "conv1.4", "conv3": "conv1.6", "bn3": "bn1"}


def normed(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")}


@pytest.mark.slow
def test_checkpoints_of_danet_go_by_pretrained_and_head() -> None:
    c = 512
    head: dict[str, tuple[int, ...]] = {"head.sa.gamma": (1,), "head.sc.gamma": (1,)}
    for part, inside in (("conv5a", 2048), ("conv5c", 2048), ("conv51", c), ("conv52", c)):
        head |= {f"head.{part}.0.weight": (c, inside, 3, 3), **normed(f"head.{part}.1", c)}
    for part, out in (("query", 64), ("key", 64), ("value", c)):
        head |= {f"head.sa.{part}_conv.weight": (out, c, 1, 1), f"head.sa.{part}_conv.bias": (out,)}
    for part in ("conv6", "conv7", "conv8"):
        head |= {f"head.{part}.1.weight": (7, c, 1, 1), f"head.{part}.1.bias": (7,)}
    stem = {"pretrained.conv1": "conv1", "pretrained.bn1": "bn1"}
    state = authors_state("pretrained.", stem, "resnet50", head)
    state |= {"pretrained.fc.weight": torch.rand(1000, 2048), "pretrained.fc.bias": torch.rand(1000)}
    network = published.rebuild("danet/junfu1115.DANet/DANet", {"nclass": 7, "backbone": "resnet50"}, state)
    assert torch.equal(network.head.classify[1].bias, state["head.conv8.1.bias"])
    assert torch.equal(network.trunk.network.layer4[2].conv2.weight, state["pretrained.layer4.2.conv2.weight"])
    assert network.trunk.network.layer4[2].conv2.dilation == (16, 16) and network.align_corners
    with pytest.raises(ValueError, match="backbone='resnest50'"):
        published.rebuild("danet/junfu1115.DANet/DANet", {"nclass": 7, "backbone": "resnest50"}, state)


@pytest.mark.slow
def test_checkpoints_of_ccnet_have_positive_norms_and_a_stem_of_three_convolutions() -> None:
    c = 512
    head = {f"head.cca.{part}_conv.weight": (out, c, 1, 1) for part, out in (("query", 64), ("key", 64), ("value", c))}
    head |= {f"head.cca.{part}_conv.bias": (out,) for part, out in (("query", 64), ("key", 64), ("value", c))}
    head |= {"head.cca.gamma": (1,), "dsn.0.bias": (c,)}
    for part, inside in (("head.conva", 2048), ("head.convb", c), ("head.bottleneck", 2048 + c), ("dsn", 1024)):
        head |= {f"{part}.0.weight": (c, inside, 3, 3), **normed(f"{part}.1", c)}
    for part in ("head.bottleneck.3", "dsn.3"):
        head |= {f"{part}.weight": (7, c, 1, 1), f"{part}.bias": (7,)}
    state = authors_state("", DEEP, "resnet50s", head)
    state["bn2.weight"].neg_()
    arguments = {"num_classes": 7, "layers": (3, 4, 6, 3)}
    network = published.rebuild("ccnet/speedinghzl.CCNet/ResNet", arguments, state)
    torch.testing.assert_close(network.trunk.network.conv1[4].weight, state["bn2.weight"].abs() + 1e-5)
    assert torch.equal(network.trunk.network.conv1[6].weight, state["conv3.weight"])
    assert torch.equal(network.auxiliary.classify.bias, state["dsn.3.bias"])
    assert torch.equal(network.head.merge.conv.weight, state["head.bottleneck.0.weight"])
    with pytest.raises(ValueError, match="recurrence=3: 2 is accepted"):
        published.rebuild("ccnet/speedinghzl.CCNet/ResNet", {**arguments, "recurrence": 3}, state)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reference", "arguments"),
    [
        ("annet/MendelXu.ANN/asymmetric_non_local_network", {"backbone": "deepbase_resnet50_dilated8"}),
        ("ocrnet/openseg-group.openseg.pytorch/SpatialOCRNet", {"backbone": "deepbase_resnet50_dilated8"}),
        ("ocrnet/HRNet.HRNet-Semantic-Segmentation/HighResolutionNet", {"width": 18}),
        ("danet/open-mmlab.mmsegmentation/EncoderDecoder", {"depth": 50}),
        ("ccnet/open-mmlab.mmsegmentation/EncoderDecoder", {"depth": 50}),
    ],
)
def test_every_tensor_of_a_whole_network_has_a_published_name(reference: str, arguments: dict[str, Any]) -> None:
    row = published.get(reference)
    built, names = row.build(num_classes=7, **arguments)
    own = {name: value for name, value in built.items() if "." not in name}
    network = regard.create("segmenter", **own)
    state: dict[str, torch.Tensor] = {}
    for key, value in network.state_dict().items():
        prefix = max((name for name in names if key == name or key.startswith(f"{name}.")), key=len)
        theirs = f"{names[prefix]}{key.removeprefix(prefix)}".strip(".")
        assert theirs not in state
        state[theirs] = value
    first = {
        "annet": "backbone.prefix.conv1.weight",
        "ocrnet": "backbone.resinit.conv1.weight" if "openseg" in reference else "transition1.1.0.0.weight",
        "danet": "backbone.stem.0.weight",
        "ccnet": "decode_head.conv_cat.conv.weight",
    }
    assert first[reference.partition("/")[0]] in state
    rebuilt = published.rebuild(reference, {"num_classes": 7, **arguments}, state)
    x = torch.rand(1, 3, 33, 41)
    assert isinstance(rebuilt, Segmenter)
    assert rebuilt.align_corners == ("mmseg" not in reference)
    if "ccnet" not in reference:  # whose ReLU is leaky unless it is mmsegmentation's
        for ours, theirs_ in zip(rebuilt(x), network.eval()(x), strict=True):
            torch.testing.assert_close(ours, theirs_)
    else:
        assert rebuilt.head.slope == 0.0 and network.head.slope == 0.01
