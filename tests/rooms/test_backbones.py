"""timm's networks by name, and any network as a list of maps."""

import warnings

import pytest
import timm
import torch
from torch import nn

from regard import backbones
from regard.attaching import attach, siting


def test_builds_what_was_asked_for():
    model = backbones.build("resnet10t", classes=3, in_chans=1, image_size=48)
    assert model.training and model.bn1.training
    assert model.bn1.num_batches_tracked == 0  # trying the image size has left no trace
    assert model(torch.randn(2, 1, 48, 48)).shape == (2, 3)
    small = backbones.build("vit_tiny_patch16_224", classes=3, image_size=64, depth=1)
    assert small(torch.randn(2, 3, 64, 64)).shape == (2, 3)
    assert len(small.blocks) == 1


def test_the_size_it_was_built_for_is_the_size_of_its_example():
    fixed = backbones.build("vit_tiny_patch16_224", classes=3, image_size=64, depth=2)
    assert siting.survey(fixed)[1][0].shape == (2, 3, 64, 64)
    free = backbones.build("resnet10t", classes=3, image_size=48, in_chans=1)
    assert siting.survey(free)[1][0].shape == (2, 1, 48, 48)


@pytest.mark.parametrize(
    ("name", "arguments", "error", "message"),
    [
        ("resnet81", {}, LookupError, "no backbone 'resnet81'; did you mean resnet18"),
        ("resnet18.a1_in2k", {}, LookupError, "no weights 'resnet18.a1_in2k'; there are resnet18.a1_in1k"),
        ("zzz", {}, LookupError, "timm.list_models() lists them"),
        ("hf-hub:someone/thing", {}, LookupError, "no backbone"),
        ("resnet10t", {"image_size": 0}, ValueError, "image_size=0"),
        ("resnet10t", {"classes": -1}, ValueError, "classes=-1"),
        ("resnet10t", {"speed": 3}, ValueError, "'resnet10t' cannot be built: "),
        ("inception_v3", {"image_size": 32}, ValueError, "'inception_v3' does not accept images of 32 x 32 pixels: "),
        ("vit_tiny_patch16_224", {"image_size": 8}, ValueError, "8 x 8"),
    ],
)
def test_wrong_arguments_get_one_clear_line(name, arguments, error, message):
    with pytest.raises(error) as caught:
        backbones.build(name, **{"classes": 3, **arguments})
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_weights_that_cannot_be_had_name_the_cause(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(OSError, match="the published weights of 'resnet10t' cannot be loaded") as caught:
        backbones.build("resnet10t", classes=3, pretrained=True)
    assert "\n" not in str(caught.value)
    with pytest.raises(OSError, match=r"the published weights of 'resnet26t' cannot be loaded.*HTTP 503"):
        monkeypatch.setattr(timm, "create_model", lambda *args, **kwargs: raised(RuntimeError("HTTP 503\nretry")))
        backbones.build("resnet26t", classes=3, pretrained=True)


def raised(error):
    raise error


def test_normalisation_is_what_the_weights_were_trained_with():
    assert backbones.normalisation(backbones.build("resnet10t", classes=3))[0] == (0.485, 0.456, 0.406)
    assert backbones.normalisation(backbones.build("vit_tiny_patch16_224", classes=3, depth=1))[1] == (0.5, 0.5, 0.5)
    (mean,), (deviation,) = backbones.normalisation(backbones.build("resnet10t", classes=3, in_chans=1))
    assert (round(mean, 3), round(deviation, 3)) == (0.449, 0.226)
    assert backbones.normalisation(nn.Sequential(nn.Conv2d(2, 3, 1))) == ((pytest.approx(0.449),) * 2, (0.226,) * 2)


def test_features_of_timm_are_its_stages():
    model = backbones.build("resnet10t", classes=3).eval()
    x = torch.randn(2, 3, 64, 64)
    maps = backbones.features(model, x)
    reference = timm.create_model("resnet10t", features_only=True).eval()
    reference.load_state_dict(model.state_dict(), strict=False)
    for ours, theirs in zip(maps, reference(x), strict=True):
        torch.testing.assert_close(ours, theirs)
    maps[-1].sum().backward()
    assert model.conv1[0].weight.grad.abs().sum() > 0
    assert not any(module._forward_hooks for module in model.modules())


def test_features_of_any_module_and_of_chosen_ones():
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 1), nn.Flatten())
    x = torch.randn(2, 3, 8, 8)
    assert [tuple(map.shape) for map in backbones.features(model, x)] == [(2, 4, 8, 8), (2, 6, 4, 4)]
    (map,) = backbones.features(model, x, "0")
    assert torch.equal(map, model[0](x))
    sites = siting.stages(model, x)
    assert [tuple(map.shape) for map in backbones.features(model, x, sites)] == [(2, 4, 8, 8), (2, 6, 4, 4)]
    with pytest.raises(LookupError, match="'9' matches no module"):
        backbones.features(model, x, "9")


def test_features_of_tokens_are_maps_and_show_the_attention():
    model = backbones.build("vit_tiny_patch16_224", classes=3, image_size=64, depth=2).eval()
    x = torch.randn(1, 3, 64, 64)
    plain = backbones.features(model, x, "blocks.0")[0]
    assert plain.shape == (1, 192, 4, 4)
    attach(model, "se", after="blocks.0")
    attended = backbones.features(model, x, "blocks.0")[0]
    torch.testing.assert_close(attended, model.blocks[0].attention(plain))
    assert not torch.allclose(attended, plain)


@pytest.mark.slow
def test_building_every_kind_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("resnet10t", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "convnext_atto"):
            siting.survey(backbones.build(name, classes=3, image_size=64))
