"""What the laws do not ask of pyramid attention: bicubic resizing, half precision out of range, what fits together."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from regard import create, published


def random(module: torch.nn.Module) -> torch.nn.Module:
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, 0.1, 0.3)
    return module.eval()


@pytest.mark.slow
def test_bicubic_resizing_exports_too() -> None:
    module = random(create("fpa", channels=8, upsample="bicubic"))
    dim = torch.export.Dim
    sizes = ({0: dim("B", min=2), 2: dim("H", min=16), 3: dim("W", min=16)},)
    program = torch.export.export(module, (torch.randn(2, 8, 28, 20),), dynamic_shapes=sizes).module()
    for shape in ((2, 8, 28, 20), (3, 8, 16, 23), (2, 8, 33, 31)):
        x = torch.randn(shape)
        torch.testing.assert_close(program(x), module(x))


def test_a_product_beyond_float16_saturates() -> None:
    module = create("fpa", channels=4).eval()
    for parameter in module.parameters():
        torch.nn.init.constant_(parameter, 0.1 if parameter.ndim > 1 else 1)
    x = torch.full((1, 4, 8, 8), 1e3)
    top = torch.finfo(torch.float16).max
    assert module(x).min() > top
    assert (module.half()(x.half()) == top).all()


def test_what_does_not_fit_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"hidden=3.*1 or 8"):
        create("fpa", channels=8, hidden=3, upsample="bilinear")
    with pytest.raises(ValueError, match="gate_channels=6, out_channels=8: one number"):
        create("gau", channels=8, gate_channels=6, upsample="nearest")
    with pytest.raises(ValueError, match=r"g of shape \(2, 6, 5, 5\): \(4, 4\) behind the channels is needed for x"):
        create("gau", channels=8, gate_channels=6)(torch.zeros(2, 8, 8, 8), torch.zeros(2, 6, 5, 5))
    with pytest.raises(ValueError, match="channels=3"):
        create("fpa", channels=3)


def test_an_odd_side_loses_the_last_row_of_the_transposed_convolution() -> None:
    module = random(create("gau", channels=4, gate_channels=6)).double()
    x, g = torch.randn(1, 4, 10, 8, dtype=torch.float64), torch.randn(1, 6, 5, 4, dtype=torch.float64)
    whole, cut = module(x, g), module(x[:, :, :9, :7], g)
    # the 3 × 3 convolution of the fine map sees the new border, one row further in
    torch.testing.assert_close(cut[:, :, :8, :6], whole[:, :, :8, :6])


def smp_state(channels: list[int], width: int) -> dict[str, torch.Tensor]:
    """A random state of segmentation-models-pytorch's decoder over `channels`, coarse ones first."""
    layers = {"fpa.branch1.1": (channels[0], width, 1), "fpa.mid.0": (channels[0], width, 1)}
    layers |= {"fpa.down1.1": (channels[0], 1, 7), "fpa.down2.1": (1, 1, 5), "fpa.down3.1": (1, 1, 3)}
    layers |= {"fpa.down3.2": (1, 1, 3), "fpa.conv2": (1, 1, 5), "fpa.conv1": (1, 1, 7)}
    for i, number in enumerate(channels[1:]):
        name = f"gau{len(channels) - 1 - i}"
        layers |= {f"{name}.conv1.1": (width, width, 1), f"{name}.conv2": (number, width, 3)}
    state = {}
    for name, (before, after, size) in layers.items():
        state[f"{name}.conv.weight"] = torch.randn(after, before, size, size, dtype=torch.float64) / size
        state[f"{name}.conv.bias"] = torch.randn(after, dtype=torch.float64)
        state[f"{name}.bn.weight"] = torch.randn(after, dtype=torch.float64)
        state[f"{name}.bn.bias"] = torch.randn(after, dtype=torch.float64)
        state[f"{name}.bn.running_mean"] = torch.randn(after, dtype=torch.float64)
        state[f"{name}.bn.running_var"] = torch.rand(after, dtype=torch.float64) + 0.5
    return state


def smp_decoded(state: dict[str, torch.Tensor], features: list[torch.Tensor], mode: str) -> torch.Tensor:
    """The decoder of segmentation-models-pytorch, written down by its state; features are fine ones first."""

    def layer(name: str, x: torch.Tensor, *, relu: bool = True) -> torch.Tensor:
        weight = state[f"{name}.conv.weight"]
        x = F.conv2d(x, weight, state[f"{name}.conv.bias"], padding=weight.shape[-1] // 2)
        norm = [state[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        x = F.batch_norm(x, *norm)
        return x.relu() if relu else x

    def resized(x: torch.Tensor, like: torch.Tensor, mode: str = "bilinear") -> torch.Tensor:
        return F.interpolate(x, like.shape[2:], mode=mode, align_corners=True if mode == "bilinear" else None)

    features = features[2:]
    x = features[-1]
    x1 = layer("fpa.down1.1", F.max_pool2d(x, 2))
    x2 = layer("fpa.down2.1", F.max_pool2d(x1, 2))
    x3 = layer("fpa.down3.2", layer("fpa.down3.1", F.max_pool2d(x2, 2)))
    pyramid = layer("fpa.conv2", x2) + resized(x3, x2)
    pyramid = resized(layer("fpa.conv1", x1) + resized(pyramid, x1), x)
    y = pyramid * layer("fpa.mid.0", x) + layer("fpa.branch1.1", x.mean((2, 3), keepdim=True))
    for i in range(len(features) - 1, 0, -1):
        gate = layer(f"gau{i}.conv1.1", y.mean((2, 3), keepdim=True), relu=False).sigmoid()
        fine = features[i - 1]
        y = resized(y, fine, mode) + gate * layer(f"gau{i}.conv2", fine)
    return y


@pytest.mark.parametrize(("depth", "mode"), [(5, "bilinear"), (4, "nearest"), (3, "bilinear")])
def test_the_whole_decoder_of_segmentation_models_pytorch(depth: int, mode: str) -> None:
    torch.manual_seed(depth)
    encoder = [3, 5, 7, 11, 13, 17][: depth + 1]
    sizes = [(32 * 2 ** (depth - 2) // 2**i, 48 * 2 ** (depth - 2) // 2**i) for i in range(depth + 1)]
    features = [torch.randn(2, c, *size, dtype=torch.float64) for c, size in zip(encoder, sizes, strict=True)]
    state = smp_state(encoder[:1:-1], 6)
    arguments = {"encoder_channels": encoder, "encoder_depth": depth, "decoder_channels": 6}
    module = published.rebuild(
        "pan/qubvel-org.segmentation_models.pytorch/PANDecoder", {**arguments, "interpolation_mode": mode}, state
    )
    wanted = smp_decoded(state, features, mode)
    torch.testing.assert_close(module(features), wanted)
    torch.testing.assert_close(module(*features), wanted)
    with pytest.raises(ValueError, match="encoder_depth=2: 3, 4 or 5 is accepted"):
        published.rebuild(
            "pan/qubvel-org.segmentation_models.pytorch/PANDecoder", {**arguments, "encoder_depth": 2}, state
        )


def test_a_decoder_asks_for_its_maps_by_name() -> None:
    decoder = create("pan_decoder", channels=8, finer=(6, 5)).eval()
    x, second, third = torch.zeros(2, 8, 8, 8), torch.zeros(2, 6, 8, 8), torch.zeros(2, 5, 16, 16)
    assert decoder(x, second, third).shape == (2, 5, 16, 16)
    with pytest.raises(ValueError, match="1 finer maps: 2 are needed"):
        decoder(x, second)
    with pytest.raises(ValueError, match=r"\(2, 6, 8, 8\): B F h w, B=2, F=5"):
        decoder(x, second, second)
    with pytest.raises(ValueError, match="width=4: None is needed with upsample='deconvolution'"):
        create("pan_decoder", channels=8, finer=(6,), width=4)
    with pytest.raises(ValueError, match=r"finer=\(6, 5, 4, 3\): at most three"):
        create("pan_decoder", channels=8, finer=(6, 5, 4, 3))
