"""The default places and the promises of `attach` on small models of many families; docs/families.md has them all."""

import pytest
import timm
import torch
import torchvision
from torch import nn

from regard.attaching import attach, detach, sites

# model, what makes it small, side of the image; how many sites the default finds, and the first of them
FAMILIES = [
    ("resnet10t", {}, 64, 4, "layer1.0.bn2"),
    ("resnext26ts", {}, 64, 8, "stages.0.0.conv3_1x1.bn"),
    ("regnetx_002", {}, 64, 13, "s1.b1.conv3.bn"),
    ("tf_efficientnet_lite0", {}, 64, 9, "blocks.1.1.bn3"),
    ("mobilenetv2_035", {}, 64, 10, "blocks.1.1.bn3"),
    ("mobilenetv3_small_050", {}, 64, 7, "blocks.1.1.bn3"),
    ("ghostnet_050", {}, 64, 16, "blocks.0.0.ghost2"),
    ("convnext_atto", {"conv_mlp": False}, 64, 12, "stages.0.blocks.0.mlp"),
    ("densenet121", {}, 64, 5, "features.norm0"),
    ("vgg11", {"mlp_ratio": 0.02}, 64, 6, "features.1"),
    ("dla46_c", {}, 64, 12, "level2.tree1.bn3"),
    ("hrnet_w18_small", {}, 64, 23, "layer1.0.bn3"),
    ("res2net50_26w_4s", {"layers": [1, 1, 1, 1]}, 64, 4, "layer1.0.bn3"),
    ("inception_v3", {"aux_logits": False}, 128, 5, "Conv2d_2b_3x3"),
    ("xception41", {}, 64, 12, "blocks.0.stack.conv3.bn_pw"),
    ("repvgg_a0", {}, 64, 17, "stages.0.1.drop_path"),
    ("hgnetv2_b0", {}, 64, 4, "stages.0"),
    ("vit_tiny_r_s16_p8_224", {"img_size": 64, "depth": 3}, 64, 2, "blocks.0.mlp"),
    ("vit_tiny_patch16_224", {"img_size": 64, "depth": 3}, 64, 2, "blocks.0.mlp"),
    (
        "swin_tiny_patch4_window7_224",
        {"img_size": 64, "depths": (1, 1), "embed_dim": 24},
        64,
        2,
        "layers.0.blocks.0.mlp",
    ),
    ("torchvision resnet18", {}, 64, 8, "layer1.0.bn2"),
    ("torchvision mobilenet_v3_small", {}, 64, 6, "features.3.block.2.1"),
    ("torchvision densenet121", {}, 64, 5, "features.relu0"),
    ("torchvision swin_t", {}, 64, 12, "features.1.0.mlp.4"),
]


def build(name, kwargs, x):
    """The model with random weights but trained-like: no branch is silent, and the norms know what they get."""
    torch.manual_seed(0)
    library, _, plain = name.rpartition(" ")
    if library:
        model = torchvision.models.get_model(plain, num_classes=5, **kwargs)
    else:
        model = timm.create_model(name, num_classes=5, **kwargs)
    for parameter_name, parameter in model.named_parameters():
        if not parameter_name.endswith("bias") and not parameter.any():
            nn.init.constant_(parameter, 0.5)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(x)
    return model.eval()


# One of each way in which a place is found: the last norm of a branch, the ends of blocks, tokens, another library.
QUICK = {"resnet10t", "repvgg_a0", "hgnetv2_b0", "vit_tiny_patch16_224", "torchvision resnet18"}


@pytest.mark.parametrize(
    ("name", "kwargs", "side", "number", "first"),
    [pytest.param(*row, id=row[0], marks=[] if row[0] in QUICK else [pytest.mark.slow]) for row in FAMILIES],
)
def test_default_places_and_promises(name, kwargs, side, number, first):
    x = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(7))
    model = build(name, kwargs, x)
    with torch.no_grad():
        before = model(x)
    names, values = list(model.state_dict()), [value.clone() for value in model.state_dict().values()]
    found = sites(model, example=x)
    assert (len(found), found[0].name) == (number, first)

    attach(model, "se", identity=True, reduction=2, example=x)
    with torch.no_grad():
        assert torch.equal(model(x), before)
    assert [name for name in model.state_dict() if "attention" not in name or name in names] == names

    model(x).square().sum().backward()
    for site in found:
        assert site.module.attention_alpha.grad.abs().sum() > 0, site.name
        nn.init.constant_(site.module.attention_alpha, 0.5)
    model.zero_grad()
    model(x).square().sum().backward()
    for site in found:
        assert site.module.attention.expand.bias.grad.abs().sum() > 0, site.name

    detach(model)
    assert list(model.state_dict()) == names
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), values, strict=True))
    with torch.no_grad():
        assert torch.equal(model(x), before)
