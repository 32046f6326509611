"""Grad-CAM, guided backpropagation and their product, against closed forms; what a call leaves behind; layouts."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.nn import functional

import regard
from regard import gradcam, guided_backpropagation, guided_gradcam
from regard.attaching import siting
from regard.data.batches import normalised
from regard.looking import examples
from regard.metrics.localisation import energy, pointing
from regard.saved.opening import open_network


class Small(nn.Module):
    """Convolution, in-place activation, global mean, linear: Grad-CAM has a closed form."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, padding=1)
        self.norm = nn.BatchNorm2d(5)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(5, 4)

    def forward(self, x):
        x = self.norm(self.conv(x))
        x = x.relu_()
        return self.head(self.drop(x.mean((2, 3))))


class Patches(nn.Module):
    """A transformer of two blocks with a class token, of two registers, on patches of 8 x 8."""

    def __init__(self, width=7, prefix=3):
        super().__init__()
        self.prefix = prefix
        self.embed = nn.Conv2d(3, width, 8, 8)
        self.first = nn.Parameter(torch.randn(1, prefix, width))
        self.blocks = nn.Sequential(*(nn.TransformerEncoderLayer(width, 1, 11, batch_first=True) for _ in range(2)))
        self.head = nn.Linear(width, 5)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat((self.first.expand(len(x), -1, -1), x), 1)
        return self.head(self.blocks(x)[:, 0])


@pytest.fixture
def small():
    torch.manual_seed(0)
    return Small().double()


@pytest.fixture
def patches():
    torch.manual_seed(1)
    return Patches()


def images(*shape, dtype=torch.float64, seed=3):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def closed_form(small, x, chosen):
    """Behind the norm: relu, mean, linear; so the slope of channel k is w_ck · [A > 0] / (HW)."""
    small.eval()
    activation = small.norm(small.conv(x)).detach()
    slopes = small.head.weight.detach()[chosen][:, :, None, None] * (activation > 0) / activation[0, 0].numel()
    return (slopes.mean((2, 3), keepdim=True) * activation).sum(1).relu()


# ---- values


@pytest.mark.parametrize("target", [2, [0, 3, 1], torch.tensor([0, 3, 1]), None])
def test_gradcam_equals_its_closed_form(small, target):
    x = images(3, 3, 6, 7)
    small.eval()
    chosen = small(x).argmax(1) if target is None else torch.as_tensor(target).expand(3)
    small.train()
    heat = gradcam(small, x, target, "norm", upsample=False)
    torch.testing.assert_close(heat, closed_form(small, x, chosen), rtol=1e-12, atol=1e-15)


def test_gradcam_before_a_global_mean_is_the_class_activation_map(small):
    """Behind an activated map, mean and linear alone: Σ_k w_ck A_k / (HW), rectified (Zhou et al. 2016)."""
    model = nn.Sequential(small.conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), small.head)
    x = images(2, 3, 6, 7)
    cam = torch.einsum("bkhw,k->bhw", model[:2](x), small.head.weight[1]).detach() / 42
    torch.testing.assert_close(gradcam(model, x, 1, "1", upsample=False), cam.relu(), rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(gradcam(model, x, 1), cam.relu(), rtol=1e-12, atol=1e-15)


def test_a_map_has_the_size_of_the_images(small):
    model = nn.Sequential(nn.Conv2d(3, 5, 2, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4))
    x = images(2, 3, 6, 10).float()
    low = gradcam(model, x, upsample=False)
    assert low.shape == (2, 3, 5) and low.max() > 0
    expected = functional.interpolate(low[:, None], (6, 10), mode="bilinear", align_corners=False)[:, 0]
    assert torch.equal(gradcam(model, x), expected)


def test_a_function_explains_whatever_the_model_returns(small):
    x = images(3, 3, 6, 7)
    named = {"scores": small, "extra": nn.Identity()}

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.small = small

        def forward(self, x):
            return {"scores": named["scores"](x), "extra": x}

    expected = gradcam(small, x, 2, "conv")
    assert torch.equal(gradcam(Both(), x, lambda found: found["scores"][:, 2], "small.conv"), expected)
    assert torch.equal(gradcam(Both(), x, lambda found: found["scores"][:, 2].sum(), "small.conv"), expected)
    against = gradcam(small, x, lambda scores: -scores[:, 2], "conv")
    assert against.max() > 0 and not torch.allclose(against, expected), "what speaks against a class"


def test_several_layers_come_from_one_pass(small):
    x, calls = images(3, 3, 6, 7), []
    small.register_forward_pre_hook(lambda module, inputs: calls.append(1))
    separate = [gradcam(small, x, 1, layer) for layer in ("norm", "conv")]
    sites = siting.named(small, ["norm", "conv"], x)
    calls.clear()
    together = gradcam(small, x, 1, layer=sites)
    assert len(calls) == 1 and isinstance(together, list)
    for one, other in zip(separate, together, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-15)
    for parameter in small.parameters():
        parameter.requires_grad_(False)
    torch.testing.assert_close(gradcam(small, x, 1, layer=["norm", small.conv]), together, rtol=1e-12, atol=1e-15)


def test_guided_backpropagation_lets_positive_gradients_of_positive_outputs_through(small):
    """Two rectifiers, written out: of the second, and of the first in place."""
    torch.manual_seed(5)
    first, second, head = (nn.Linear(*sizes).double() for sizes in ((12, 7), (7, 5), (5, 3)))
    x = images(4, 1, 3, 4)

    class Two(nn.Module):
        def __init__(self, form):
            super().__init__()
            self.layers, self.form = nn.ModuleList([first, second, head]), form

        def forward(self, x):
            return head(self.form(second(self.form(first(x.flatten(1))))))

    with torch.no_grad():
        inner = first(x.flatten(1))
        outer = second(inner.relu())
        slopes = head.weight[2].expand(4, -1)
        slopes = (slopes.relu() * (outer > 0)) @ second.weight
        expected = ((slopes.relu() * (inner > 0)) @ first.weight).view(4, 1, 3, 4)
        plain = (((head.weight[2] * (outer > 0)) @ second.weight * (inner > 0)) @ first.weight).view(4, 1, 3, 4)
    assert not torch.allclose(plain, expected)

    def ignored(x):
        x.relu_()  # the result is used through x
        return x

    def by_keywords(x):
        return functional.relu(input=x, inplace=True)

    for form in (
        torch.relu,
        functional.relu,
        by_keywords,
        nn.ReLU(),
        nn.ReLU(inplace=True),
        torch.Tensor.relu_,
        ignored,
    ):
        model = Two(form)
        before = model(x)
        torch.testing.assert_close(guided_backpropagation(model, x, 2), expected, rtol=1e-12, atol=1e-15)
        assert torch.equal(model(x), before), "the model is what it was"


def test_smooth_activations_are_guided_by_their_own_slope():
    torch.manual_seed(0)
    line = nn.Linear(6, 4).double()
    for act, function in (
        (nn.GELU(), functional.gelu),
        (nn.SiLU(inplace=True), functional.silu),
        (nn.ReLU6(), functional.relu6),
    ):
        x = images(2, 1, 2, 3)
        with torch.enable_grad():
            inner = line(x.flatten(1)).detach().requires_grad_()
            outer = function(inner)
            (slope,) = torch.autograd.grad(outer.sum(), inner)
        weights = torch.tensor([1.0, -2.0, 3.0, -4.0], dtype=torch.float64)
        expected = (weights.relu() * (outer > 0) * slope) @ line.weight
        model = nn.Sequential(nn.Flatten(), line, act)
        found = guided_backpropagation(model, x, lambda y, weights=weights: (y * weights).sum(1))
        torch.testing.assert_close(found, expected.view(2, 1, 2, 3).detach(), rtol=1e-12, atol=1e-15)


def test_guided_gradcam_is_the_product(small):
    x = images(3, 3, 6, 7)
    product = guided_backpropagation(small, x, 1) * gradcam(small, x, 1, "norm")[:, None]
    assert torch.equal(guided_gradcam(small, x, 1, "norm"), product) and product.shape == x.shape
    assert (
        product.abs().max() > 0 and (product[:, :, closed_form(small, x, torch.ones(3).long()).sum(0) == 0] == 0).all()
    )


def test_a_model_without_known_activations_cannot_be_guided(small):
    model = nn.Sequential(small.conv, nn.Sigmoid(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ValueError, match="Sequential calls no activation that can be guided"):
        guided_backpropagation(model, images(2, 3, 6, 7))


# ---- what a call leaves


def fails(small, x):
    def broken(scores):
        raise KeyError("of the caller")

    with pytest.raises(KeyError, match="of the caller"):
        gradcam(small, x, broken, "conv")
    with pytest.raises(KeyError, match="of the caller"):
        guided_backpropagation(small, x, broken)


@pytest.mark.parametrize("context", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize(
    "call",
    [
        lambda small, x: gradcam(small, x),
        lambda small, x: gradcam(small, x, layer=["conv", "norm"]),
        lambda small, x: guided_gradcam(small, x, 1, "conv"),
        fails,
    ],
    ids=["one", "several", "guided", "error"],
)
def test_nothing_is_left_behind(small, context, call):
    small.train()
    small.norm.eval()
    small.head.weight.grad = torch.ones_like(small.head.weight)
    small.conv.requires_grad_(False)
    before = {name: value.clone() for name, value in small.state_dict().items()}
    with context():
        x = images(2, 3, 5, 5) + 0
        kept, grad = x.clone(), torch.is_grad_enabled()
        first = call(small, x)
        again = call(small, x)
        assert torch.is_grad_enabled() == grad and torch.equal(x, kept) and not x.requires_grad
    if first is not None:
        for one, other in zip([*first], [*again], strict=True):
            assert torch.equal(one, other) and one.max() > 0 and not one.requires_grad, "no dropout"
    assert [module.training for module in (small, small.conv, small.norm, small.drop)] == [True, True, False, True]
    assert torch.equal(small.head.weight.grad, torch.ones_like(small.head.weight)) and small.conv.weight.grad is None
    assert [p.requires_grad for p in small.conv.parameters()] == [False, False] and small.head.weight.requires_grad
    assert all(torch.equal(value, before[name]) for name, value in small.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in small.modules())


def test_frozen_parameters_are_no_hindrance(small):
    small.requires_grad_(False)
    x = images(2, 3, 5, 5)
    assert gradcam(small, x).max() > 0 and guided_backpropagation(small, x).abs().max() > 0


def test_what_is_attached_to_the_layer_is_seen(small):
    """An attached mechanism is a forward hook on the site; the map is of what the hook returns."""
    x = images(2, 3, 5, 5)
    small.norm.register_forward_hook(
        lambda module, inputs, output: output * torch.linspace(0, 1, 5, dtype=torch.float64)
    )
    assert (gradcam(small, x, layer="norm")[:, :, 0] == 0).all()


@pytest.mark.slow
def test_a_compiled_model_gives_the_same_maps(small):
    x = images(2, 3, 6, 7)
    small.eval()
    maps, pixels = gradcam(small, x, 1, "norm"), guided_backpropagation(small, x, 1)
    compiled = torch.compile(small, backend="eager")
    compiled(x)  # with hooks that it no longer heeds
    assert torch.equal(gradcam(compiled, x, 1, "norm"), maps) and torch.equal(gradcam(compiled, x, 1, small.norm), maps)
    assert torch.equal(guided_backpropagation(compiled, x, 1), pixels)
    small.compile(backend="eager")
    small(x)
    assert torch.equal(gradcam(small, x, 1, "norm"), maps) and gradcam(small, x).shape == (2, 6, 7)


def test_autocast_is_accepted_and_a_training_inside_goes_on(small):
    small.float()
    x = images(2, 3, 6, 7, dtype=torch.float32)
    plain = gradcam(small, x, 1, "conv")
    with torch.autocast("cpu", torch.bfloat16):
        rough = gradcam(small, x, 1, "conv")
        gradcam(small, x, 1)
        small(x).square().mean().backward()
    assert rough.dtype == torch.float32 and plain.max() > 0
    torch.testing.assert_close(rough, plain, atol=0.05 * float(plain.max()), rtol=0.05)
    assert all(parameter.grad is not None for parameter in small.parameters()), "weights cast without gradients"
    assert gradcam(small.bfloat16(), x.bfloat16()).dtype == torch.float32


# ---- losses on maps


def test_a_differentiable_map_has_the_slope_of_its_values(small):
    x = images(2, 3, 5, 7).requires_grad_()
    small.eval()
    total = gradcam(small, x, 1, "conv", differentiable=True).square().sum()
    step = 1e-6
    parameters = (small.conv.weight, small.head.weight, x)
    for parameter, slope in zip(parameters, torch.autograd.grad(total, parameters), strict=True):
        at = (1, 2, 1, 1) if slope.dim() == 4 else (1, 2)
        with torch.no_grad():
            ends = []
            for move in (step, -2 * step):
                parameter[at] += move
                ends.append(gradcam(small, x.detach(), 1, "conv").square().sum())
            parameter[at] += step
        assert slope[at].abs() > 1e-9
        assert float(slope[at]) == pytest.approx(float(ends[0] - ends[1]) / (2 * step), rel=1e-4)


def test_a_differentiable_map_is_of_the_training_pass(small):
    x = images(2, 3, 5, 7)
    small.train()
    mean = small.norm.running_mean.clone()
    assert gradcam(small, x, 1, differentiable=True).requires_grad
    assert not torch.equal(small.norm.running_mean, mean), "batch statistics, as in any step"
    small.requires_grad_(False)
    with pytest.raises(ValueError, match="differentiable=True: parameters or images that need gradients"):
        gradcam(small, x, 1, differentiable=True)


def test_attention_has_second_derivatives():
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", img_size=48, depth=3, num_classes=5)
    x = images(2, 3, 48, 48, dtype=torch.float32)
    gradcam(model, x, 1, differentiable=True).sum().backward()
    slope = model.blocks[0].attn.qkv.weight.grad
    assert slope.isfinite().all() and slope.abs().max() > 0


# ---- layers and layouts


@pytest.mark.parametrize("size", [(40, 24), (24, 56)])
def test_tokens_become_a_grid_without_what_stands_before_it(patches, size):
    x = images(2, 3, *size, dtype=torch.float32)
    grid = (size[0] // 8, size[1] // 8)
    heat = gradcam(patches, x, 1, upsample=False)
    assert heat.shape == (2, *grid) and heat.max() > 0
    kept = []
    handle = patches.blocks[0].register_forward_hook(lambda module, inputs, output: kept.append(output))
    patches.eval()
    slopes = torch.autograd.grad(patches(x)[:, 1].sum(), kept)[0][:, 3:]
    handle.remove()
    weights = slopes.mean(1, keepdim=True)
    torch.testing.assert_close(heat, (weights * kept[0].detach()[:, 3:]).sum(2).relu().view(2, *grid))
    assert gradcam(patches, x).shape == (2, *size)


def test_a_layer_that_only_the_class_token_leaves_is_refused(patches):
    x = images(2, 3, 40, 24, dtype=torch.float32)
    assert siting.last(patches, x).name == "blocks.0"
    with pytest.raises(ValueError, match=r"layer='blocks\.1': after it the network reads its class tokens alone"):
        gradcam(patches, x, layer="blocks.1")


def test_channels_last_are_found():
    torch.manual_seed(0)
    model = timm.create_model(
        "swin_tiny_patch4_window7_224", img_size=64, depths=(1, 1), num_heads=(1, 2), embed_dim=24, num_classes=5
    )
    x = images(2, 3, 64, 64, dtype=torch.float32)
    site = siting.last(model, x)
    assert (site.name, site.layout.axes, site.shape[1:]) == ("norm", "B H W C", (48, 8, 8))
    heat = gradcam(model, x, 2, upsample=False)
    kept = []
    handle = model.norm.register_forward_hook(lambda module, inputs, output: kept.append(output))
    model.eval()
    slopes = torch.autograd.grad(model(x)[:, 2].sum(), kept)[0]
    handle.remove()
    torch.testing.assert_close(heat, (slopes.mean((1, 2), keepdim=True) * kept[0].detach()).sum(3).relu())


def test_attached_attention_does_not_move_the_layer():
    model = timm.create_model("test_resnet", num_classes=5)
    x = images(2, 3, 64, 64, dtype=torch.float32)
    bare = siting.last(model, x).name
    regard.attach(model, "cbam", example=x)
    assert siting.last(model, x).name == bare and gradcam(model, x).shape == (2, 64, 64)


@pytest.mark.parametrize(
    ("name", "side", "layer", "grid"),
    [
        ("resnet18", 96, "layer4.1", (3, 3)),
        ("vgg16", 64, "features.29", (4, 4)),  # conv5_3, rectified: the layer of the paper
        ("densenet121", 64, "features.norm5", (2, 2)),
        ("mobilenet_v3_small", 64, "features.12.2", (2, 2)),
        ("vit_b_16", 224, "encoder.layers.encoder_layer_10", (14, 14)),
        ("swin_t", 64, "permute", (2, 2)),
    ],
)
@pytest.mark.slow
def test_torchvision_networks_need_no_layer(name, side, layer, grid):
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, num_classes=5)
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.constant_(parameter, 0.5)  # a new head of zeros, which no training leaves, hears nothing
    if name == "vit_b_16":
        nn.init.normal_(model.heads.head.weight)
    x = images(1, 3, side, side, dtype=torch.float32)
    site = siting.last(model, x[[0, 0]])
    assert site.name == layer
    assert gradcam(model, x, layer=site, upsample=False).shape == (1, *grid)


SMALL_SWIN = {"img_size": (64, 96), "depths": (1, 1), "embed_dim": 24, "num_heads": (1, 2)}
SMALL_VIT = {"img_size": (64, 96), "depth": 3}

# model, what makes it small, its images; the layer, how it holds its map, the map
FOUND = [
    ("resnet10t", {}, (64, 96), "layer4.0", "B C H W", (2, 3)),
    ("regnetx_002", {}, (64, 96), "s4", "B C H W", (2, 3)),
    ("mobilenetv3_small_050", {}, (64, 96), "blocks.5.0", "B C H W", (2, 3)),
    ("tf_efficientnet_lite0", {}, (64, 96), "bn2", "B C H W", (2, 3)),
    ("ghostnet_050", {}, (64, 96), "blocks.9.0", "B C H W", (2, 3)),
    ("convnext_atto", {"conv_mlp": False}, (64, 96), "stages.3", "B C H W", (2, 3)),
    ("repvgg_a0", {}, (64, 96), "final_conv", "B C H W", (2, 3)),
    ("dla46_c", {}, (64, 96), "level5", "B C H W", (2, 3)),
    ("pvt_v2_b0", {}, (64, 96), "stages.3", "B C H W", (2, 3)),
    ("vit_tiny_patch16_224", SMALL_VIT, (64, 96), "blocks.1", "B N C", (4, 6)),
    ("deit_tiny_distilled_patch16_224", SMALL_VIT, (64, 96), "blocks.1", "B N C", (4, 6)),
    ("vit_medium_patch16_gap_240", SMALL_VIT, (64, 96), "blocks.2", "B N C", (4, 6)),
    ("cait_xxs24_224", SMALL_VIT, (64, 96), "blocks.2", "B N C", (4, 6)),
    ("mixer_s32_224", {}, (224, 224), "blocks.7", "B N C", (7, 7)),
    ("levit_128s", {}, (224, 224), "stages.2", "B N C", (4, 4)),
    ("crossvit_tiny_240", {}, (240, 240), "blocks.2.blocks.1.3", "B N C", (14, 14)),
    ("swin_tiny_patch4_window7_224", SMALL_SWIN, (64, 96), "norm", "B H W C", (8, 12)),
    ("swinv2_tiny_window8_256", SMALL_SWIN, (64, 96), "norm", "B H W C", (8, 12)),
    ("mambaout_femto", {}, (64, 96), "stages.3", "B H W C", (2, 3)),
]


@pytest.mark.parametrize(
    ("name", "kwargs", "size", "layer", "axes", "grid"), [pytest.param(*row, id=row[0]) for row in FOUND]
)
@pytest.mark.slow
def test_networks_of_timm_need_no_layer(name, kwargs, size, layer, axes, grid):
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=5, **kwargs).eval()
    for parameter_name, parameter in model.named_parameters():
        if not parameter_name.endswith("bias") and not parameter.any():
            nn.init.constant_(parameter, 0.5)  # branches that training opens
    x = images(1, 3, *size, dtype=torch.float32)
    site = siting.last(model, x[[0, 0]])
    assert (site.name, site.layout.axes) == (layer, axes)
    heat = gradcam(model, x, layer=site, upsample=False)
    assert heat.shape == (1, *grid) and heat.isfinite().all()


def test_bad_arguments_are_named(small):
    x = images(2, 3, 5, 5)
    for arguments, error, words in [
        ((x, 4), ValueError, r"target=4: classes from 0 to 3 are needed"),
        ((x, -1), ValueError, r"target=-1: classes from 0 to 3 are needed"),
        ((x, [0, 1, 2]), ValueError, r"target=\[0, 1, 2\]: one class, or 2, one for each sample"),
        ((x, 1.5), ValueError, r"target=1\.5: one class"),
        ((x, lambda scores: scores), ValueError, r"it returns \(2, 4\); one number, or 2"),
        ((x, 1, "conb"), LookupError, r"layer='conb': a module of Small is needed; near: conv"),
        ((x, 1, nn.Identity()), LookupError, "layer=Identity: a module of Small is needed"),
        ((x, 1, 3), ValueError, "layer=3: a module, its name or a site is needed"),
        ((x, 1, "head"), ValueError, r"layer='head': 'head' \(Linear\) outputs 2 x 4"),
        ((x[0], 1), ValueError, r"images=torch\.float64 \(3, 5, 5\): floating-point images B C H W are needed"),
        ((x.byte(), 1), ValueError, r"images=torch\.uint8"),
        ((x[:0], 1), ValueError, r"images=torch\.float64 \(0, 3, 5, 5\)"),
    ]:
        with pytest.raises(error, match=words):
            gradcam(small, *arguments)
    with pytest.raises(ValueError, match=r"layer=\[\]: at least one layer"):
        gradcam(small, x, layer=[])
    with pytest.raises(ValueError, match=r"class scores B K are needed, and the model returns \(2, 5, 5, 5\)"):
        gradcam(nn.Sequential(small.conv, nn.ReLU()), x, layer="0")
    assert not small.conv._forward_hooks


# ---- of a trained network


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_map_of_a_trained_network_lies_on_the_digit(seed):
    """On images that are drawn anew: against the area, the map of another image, and the same network untrained."""
    network, new = open_network(weights=examples.weights()), examples.images(100, seed=seed)
    x = normalised(new.images(range(100)), network.normalise)
    regions = torch.stack([new.region(i) for i in range(100)])
    heat = gradcam(network.model, x, layer="stages.3", upsample=False)
    assert heat.shape == (100, 6, 6)
    untrained = copy.deepcopy(network.model)
    torch.manual_seed(seed)
    for module in untrained.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    area = regions.double().mean().item()
    assert energy(heat, regions).mean() > 2.5 * area
    assert energy(heat, regions).mean() > 1.3 * energy(heat.roll(10, 0), regions).mean()
    plain = gradcam(untrained, x, layer="stages.3", upsample=False)
    assert energy(heat, regions).mean() > 1.5 * energy(plain, regions).mean()
    assert pointing(heat, regions).mean() > 0.8 > pointing(plain, regions).mean() + 0.2
