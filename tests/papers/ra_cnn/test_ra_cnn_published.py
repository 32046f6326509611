"""The port's RA-CNN on three VGG-19-BN, rebuilt from its own arguments and names."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from regard import published
from regard.papers.ra_cnn.network import RecurrentAttentionCNN
from regard.papers.ra_cnn.published import REFERENCES


@pytest.mark.parametrize(("name", "value"), [("in_size", 32), ("out_size", 16), ("apn_hidden", 16)])
def test_sizes_of_a_recording_need_its_c(name: str, value: int) -> None:
    build = next(row for row in REFERENCES if row.name.endswith("/RACNN")).build
    with pytest.raises(ValueError, match=f"{name}={value}: the published class has .* others need c"):
        build(3, **{name: value})
    arguments, _ = build(3, c=6, in_size=32, out_size=16, apn_hidden=16)
    assert arguments["widths"] == (3, 6) and arguments["image_size"] == 32 and arguments["crop_size"] == 16


@pytest.mark.slow
def test_the_port_s_class_is_rebuilt_from_its_own_arguments_with_vggs():
    """Its names and shapes, from the published code: three VGG-19-BN with their classifiers, and two proposals."""
    with torch.device("meta"):
        state = {f"classifier{i}.weight": torch.empty(7, 512) for i in (1, 2, 3)}
        state |= {f"classifier{i}.bias": torch.empty(7) for i in (1, 2, 3)}
        for i in (1, 2):
            state |= {f"apn{i}.0.weight": torch.empty(1024, 512 * 14 * 14), f"apn{i}.0.bias": torch.empty(1024)}
            state |= {f"apn{i}.2.weight": torch.empty(3, 1024), f"apn{i}.2.bias": torch.empty(3)}
        for i in (1, 2, 3):
            features = vgg_19()
            heads = nn.Sequential(*map(nn.Linear, (25088, 4096, 4096), (4096, 4096, 1000)))
            for key, value in features.state_dict().items():
                state[f"b{i}.features.{key}"] = value
            for place, head in zip((0, 3, 6), heads, strict=True):
                state |= {f"b{i}.classifier.{place}.{end}": x for end, x in head.state_dict().items()}
        name = "racnn_net/jeong-tae.RACNN-pytorch/RACNN"
        model = published.rebuild(name, {"num_classes": 7, "pretrained": False}, state)
        outputs = model(torch.empty(1, 3, 448, 448))
        with pytest.raises(ValueError, match=r"b2\.features\.40\.weight"):
            published.rebuild(
                name, {"num_classes": 7}, {k: v for k, v in state.items() if k != "b2.features.40.weight"}
            )
    assert [tuple(x.shape[1:]) for x in outputs] == [
        *[(7,)] * 3, (512, 28, 28), (512, 14, 14), (3,), (3,), (3, 224, 224), (3, 224, 224),
    ]  # fmt: skip


@pytest.mark.slow
def test_a_trunk_under_the_port_s_names_is_its_vgg_without_the_last_pooling():
    torch.manual_seed(0)
    features = vgg_19().eval()
    trunk = RecurrentAttentionCNN(classes=2, image_size=32, crop_size=32, scales=1, hidden=1).trunks[0].eval()
    _, names = next(row for row in REFERENCES if row.name.endswith("/RACNN")).build(2)
    inner = {ours.removeprefix("trunks.0."): theirs for ours, theirs in names.items() if ours.startswith("trunks.0.")}
    for ours, theirs in inner.items():
        trunk.get_submodule(ours).load_state_dict(
            features.get_submodule(theirs.removeprefix("b1.features.")).state_dict()
        )
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(trunk(x)[-1], features[:-1](x))


def vgg_19() -> nn.Sequential:
    """The convolutional part of VGG-19 with batch norms, as torchvision numbers its layers."""
    layers: list[nn.Module] = []
    before = 3
    for width, count in ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)):
        for _ in range(count):
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            before = width
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers)
