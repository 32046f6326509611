"""Networks for persons: counts, the authors' names and outputs, baselines, clips, and what trains."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import regard
from regard import published
from regard.networks.person import PersonNetwork

RGA = "rga/microsoft.Relation-Aware-Global-Attention-Networks/ResNet50_RGA_Model"
IANET = "iaunet/blue-blue272.ImgReID-IAnet/IAResNet50_location"
IAUNET = "iaunet/blue-blue272.ImgReID-IAnet/IAUnet"
SMALL = {"classes": 5, "width": 4, "blocks": (1, 1, 1)}


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    "name, arguments, wanted",
    [
        ("rga_network", {"classes": 767}, 31_397_040),
        ("rga_network", {"classes": 767, "channel": False}, 28_306_744),
        ("rga_network", {"classes": 767, "spatial": False}, 28_173_240),
        ("ianet", {"classes": 751}, 25_057_071),
        ("iaunet", {"classes": 751}, 29_003_085),
    ],
)
def test_counts_are_those_of_the_released_code(name: str, arguments: dict[str, Any], wanted: int) -> None:
    with torch.device("meta"):
        assert count(regard.create(name, **arguments)) == wanted


def test_the_baseline_is_the_same_network_without_the_mechanism() -> None:
    with torch.device("meta"):
        plain = [
            regard.create("ianet", attention=False, **SMALL),
            regard.create("iaunet", attention=False, **SMALL),
            PersonNetwork(**SMALL),
        ]
        bare = regard.create("rga_network", spatial=False, channel=False, **SMALL)
    assert len({count(network) for network in plain}) == 1
    assert count(bare) == count(plain[0]) - 5  # its classifier has no bias, as RGA's has none
    assert not any(network.attention for network in (*plain, bare))


def names_of(row: str, args: Mapping[str, Any]) -> dict[str, Tensor]:
    """The names and sizes of the authors' state, by our table."""
    known = published.get(row)
    arguments, names = known.build(**args)
    with torch.device("meta"):
        own = regard.create(known.entry, **arguments).state_dict()
    found = {}
    for key, value in own.items():
        ours = max((name for name in names if key.startswith(f"{name}.")), key=len, default="")
        if not key.endswith("num_batches_tracked"):
            found[f"{names[ours]}{key.removeprefix(ours)}"] = value
    return found


def filled(names: Mapping[str, Tensor], kernels: Callable[[str, Tensor], tuple[int, ...]]) -> dict[str, Tensor]:
    """Weights that depend on names and sizes alone; the recorded outputs are of the authors' code with these."""
    state = {}
    counters = {key.replace("running_var", "num_batches_tracked") for key in names if key.endswith("running_var")}
    for i, key in enumerate(sorted(names.keys() | counters)):  # the authors' state has the counters too
        if key in counters:
            continue
        value = names[key]
        wave = torch.sin(torch.arange(value.numel(), dtype=torch.float64) * 0.7310585 + i * 1.37)
        if key.endswith("running_var"):
            wave = 1 + 0.5 * wave
        elif key.endswith(("running_mean", "bias")):
            wave = 0.1 * wave
        elif value.ndim == 1:
            wave = 1 + 0.3 * wave
        else:
            wave = wave * math.sqrt(2 / value[0].numel())
        state[key] = wave.reshape(kernels(key, value)).float()
    return state


def released_size(key: str, value: Tensor) -> tuple[int, ...]:
    """The authors write layers over nodes as 1 × 1 convolutions, with axes of one that ours lack."""
    inside = "rga_att" in key or key.startswith("IAU")
    pointwise = inside and value.ndim in (2, 3) and key.endswith("weight")
    return (*value.shape[:2], 1, 1) if pointwise else tuple(value.shape)


def image(batch: int, height: int, width: int) -> Tensor:
    t = torch.arange(batch * 3 * height * width, dtype=torch.float64)
    return torch.sin(t * 0.0137 + torch.sin(t * 1.7)).reshape(batch, 3, height, width).float()


RGA_ARGS = {"height": 64, "width": 32, "num_classes": 11, "d_scale": 2}
# Arguments, the size of the images, a digest of the names and sizes of the authors' state, and of each recorded output
# of their code its place among the outputs, the mean of its magnitudes and its first numbers.
RECORDED = {
    "rga_sc": (
        RGA,
        {**RGA_ARGS, "branch_name": "rgasc"},
        (64, 32),
        "89b7606f85ca813b",
        {0: (1.3994658, [0.0, 0.41416740, 0.37803429]), 1: (1.5772538, [0.20512281, 0.52831328, 0.27191454])},
    ),
    "rga_s": (
        RGA,
        {**RGA_ARGS, "branch_name": "rgas"},
        (64, 32),
        "0699f5b90148cf4d",
        {0: (6.3678284, [0.0, 0.50319850, 7.8960118]), 2: (10.428874, [-10.174172, 14.451351, 3.3345680])},
    ),
    "rga_c": (
        RGA,
        {**RGA_ARGS, "branch_name": "rgac"},
        (64, 32),
        "151ec3237c0411e7",
        {0: (7.7129850, [0.0, 0.67231148, 9.8432322]), 2: (8.1850290, [-7.1117897, 13.250303, 0.84062368])},
    ),
    "ianet": (
        IANET,
        {"last_s1": True, "num_classes": 11},
        (256, 128),
        "3881410c458aad9e",
        {0: (3732.4988, [13819.692, 8862.9268, 44.536598])},
    ),
    "iaunet": (
        IAUNET,
        {"num_classes": 11},
        (64, 48),
        "ddf57d7bf03ff3ed",
        {
            0: (315.84534, [-423.29938, -171.50460, 504.55130]),
            1: (24.389772, [0.13617478, 12.412814, 71.853371]),
            6: (0.035130058, [0.018845417, 0.014781455, 0.013443235]),
        },
    ),
}


@pytest.mark.parametrize("name", RECORDED)
def test_the_authors_names_and_sizes_are_known(name: str) -> None:
    row, args, _, digest, _ = RECORDED[name]
    lines = [f"{key} {released_size(key, value)}" for key, value in sorted(names_of(row, args).items())]
    assert hashlib.blake2b("\n".join(lines).encode(), digest_size=8).hexdigest() == digest


@pytest.mark.slow
@pytest.mark.parametrize("name", RECORDED)
def test_the_whole_network_gives_what_the_authors_code_gave(name: str) -> None:
    row, args, size, _, outputs = RECORDED[name]
    network = published.rebuild(row, args, filled(names_of(row, args), released_size))
    x = image(2, *size)
    with torch.no_grad():
        found = network([x]) if row == RGA else network(x)
    flat = [found] if isinstance(found, Tensor) else list(found)
    for place, (mean, first) in outputs.items():
        assert float(flat[place].abs().mean()) == pytest.approx(mean, rel=1e-4)
        torch.testing.assert_close(flat[place].flatten()[:3], torch.tensor(first), rtol=1e-3, atol=1e-3 * mean)


def test_what_was_never_trained_is_not_rebuilt() -> None:
    for row, args, message in (
        (RGA, {"num_classes": 5, "branch_name": "rgax"}, "branch_name='rgax': rgasc, rgas, rgac are accepted"),
        (RGA, {"num_classes": 5, "last_stride": 2}, "2048, 1 and 0 are accepted"),
        (IANET, {"num_classes": 5, "last_s1": False}, "last_s1=False: True is accepted"),
    ):
        with pytest.raises(ValueError, match=message):
            published.get(row).build(**args)


def test_frames_alone_are_images_and_together_they_are_not() -> None:
    torch.manual_seed(0)
    network = regard.create("iaunet", **SMALL).double().eval()
    for parameter in network.attention.parameters():
        nn.init.normal_(parameter, std=0.3)
    alone, together = (
        regard.create("iaunet", video=True, temporal=temporal, **SMALL).double().eval() for temporal in (False, True)
    )
    clips = torch.randn(2, 3, 3, 32, 16, dtype=torch.double)
    for video in (alone, together):
        video.load_state_dict(network.state_dict())
    behind, before, _, first, second = alone(clips)
    frames = [network(clips[:, :, t]) for t in range(3)]
    torch.testing.assert_close(before, torch.stack([frame[1] for frame in frames]).mean(0))
    torch.testing.assert_close(first, torch.stack([frame[3] for frame in frames], 1))
    assert first.shape == (2, 3, 4, 4, 2) and second.shape == (2, 3, 4, 2, 1) and behind.shape == before.shape
    assert not torch.allclose(together(clips)[1], before)
    torch.testing.assert_close(together(clips.flip(2))[1], together(clips)[1])  # no order of the frames is known


def test_rgas_neck_keeps_its_bias_at_zero() -> None:
    network = regard.create("rga_network", image_size=(32, 16), **SMALL)
    assert not network.neck.bias.requires_grad and not network.neck.bias.any()
    assert network.classify.bias is None and network.classify.weight.std() < 0.002
    with pytest.raises(ValueError, match=r"\(4, 3, 32, 32\).*H=32, W=16"):
        network(torch.rand(4, 3, 32, 32))


def test_wrong_settings_are_named() -> None:
    for name, wrong, message in (
        ("iaunet", {"blocks": (1,) * 5}, "at most 4 stages"),
        ("iaunet", {"video": 1}, "video=1"),
        ("ianet", {"widths": (3.0, 0.0)}, "widths=0"),
        ("rga_network", {"reduction": 0}, "reduction=0"),
    ):
        with pytest.raises(ValueError, match=message):
            regard.create(name, **{**SMALL, **wrong})
