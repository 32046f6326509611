"""Attention goes into any backbone without changing its names, and comes out again without a trace."""

import copy
import io
import pickle
import warnings

import pytest
import timm
import torch
import torchvision
from torch import nn

import regard
from regard import catalog
from regard.attaching import AttentionHook, attach, detach, fold, sites
from regard.attaching.building import NarrowSite
from regard.attaching.optimizing import add_attention_parameters

SINGLE = [entry.name for entry in catalog.entries() if entry.drop_in and not entry.system]


FITTING = {"mha_2d": {"heads": 2}, "fca": {"frequencies": "top4"}}  # widths of 16, 24 and 32 divide by these


def small(name):
    """Options that let it fit narrow sites and small maps: those of its label, or of `FITTING`."""
    own = {key: value for key, value in catalog.get(name).kwargs.items() if key not in ("channels", "grid")}
    return {**own, **FITTING.get(name, {})}


def resnet(channels=(16, 32, 32, 32)):
    """Every block of one kind, with a shortcut of its own in one; trained-like: no branch starts silent."""
    torch.manual_seed(0)
    net = timm.models.resnet.ResNet(
        timm.models.resnet.BasicBlock, (1, 1, 1, 1), channels=channels, num_classes=5, zero_init_last=False
    )
    net.pretrained_cfg = {"input_size": (3, 64, 64)}
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return net.eval()


def vit():
    """A class token and three registers before a grid of 4 x 4."""
    torch.manual_seed(0)
    return timm.create_model(
        "vit_tiny_patch16_224", img_size=64, depth=2, embed_dim=32, num_heads=2, reg_tokens=3, num_classes=5
    ).eval()


def swin():
    """Channels last."""
    torch.manual_seed(0)
    return timm.create_model(
        "swin_tiny_patch4_window7_224",
        img_size=32,
        embed_dim=16,
        depths=(1, 1),
        num_heads=(2, 2),
        window_size=4,
        num_classes=5,
    ).eval()


def mobilenet():
    torch.manual_seed(0)
    return torchvision.models.mobilenet_v2(width_mult=0.25, num_classes=5).eval()


BACKBONES = {"resnet": resnet, "vit": vit, "swin": swin, "mobilenet": mobilenet}
SIZES = {"resnet": 64, "vit": 64, "swin": 32, "mobilenet": 64}
AFTER = {"resnet": "layer*.*.bn2", "vit": "blocks.*.mlp", "swin": "layers.*.blocks.*", "mobilenet": "features.1[01]"}


def image(side=64, batch=2, channels=3):
    return torch.randn(batch, channels, side, side, generator=torch.Generator().manual_seed(7))


def logits(model, x):
    with torch.no_grad():
        return model(x)


def snapshot(model):
    """All that a model is: names and values in order, children, hooks, training flags."""
    return (
        [(name, value.clone()) for name, value in model.state_dict().items()],
        [(name, module.training, len(module._forward_hooks)) for name, module in model.named_modules()],
    )


def assert_same(left, right):
    assert left[1] == right[1]
    assert [name for name, _ in left[0]] == [name for name, _ in right[0]]
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(left[0], right[0], strict=True))


class Unet(nn.Module):
    """A user's own: no residuals, a skip by concatenation, one grey channel."""

    def __init__(self):
        super().__init__()

        def double(a, b):
            return nn.Sequential(
                nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(inplace=True), nn.Conv2d(b, b, 3, padding=1)
            )

        self.down = double(1, 8)
        self.pool = nn.MaxPool2d(2)
        self.middle = double(8, 16)
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.fuse = double(16, 8)
        self.out = nn.Conv2d(8, 2, 1)

    def forward(self, x):
        skip = self.down(x)
        return self.out(self.fuse(torch.cat((skip, self.up(self.middle(self.pool(skip)))), 1)))


class Block(nn.Module):
    def __init__(self, channels, inplace):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn = nn.BatchNorm2d(channels)
        self.act = nn.ReLU(inplace=inplace)

    def forward(self, x):
        return self.act(self.bn(self.conv(x)))


class Residual(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        return x + self.body(x)


# -- which sites ------------------------------------------------------------------------------------------------------
def test_residual_networks_get_attention_at_the_end_of_every_branch():
    found = sites(resnet())
    assert [site.name for site in found] == [f"layer{i}.0.bn2" for i in (1, 2, 3, 4)]
    assert [site.channels for site in found] == [16, 32, 32, 32]
    assert found[0].shape == (2, 16, 16, 16)


def test_small_and_oblong_images_choose_the_same_places():
    names = [site.name for site in sites(resnet())]
    for height, width in ((32, 32), (33, 97), (128, 32)):
        found = sites(resnet(), example=torch.randn(1, 3, height, width))
        assert [site.name for site in found] == names
        assert found[-1].shape[2:] == (-(-height // 32), -(-width // 32))


def test_the_longer_way_is_the_branch_whichever_summand_it_is():
    class Swapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.deep = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
            self.short = nn.BatchNorm2d(4)

        def forward(self, x):
            return self.short(x) + self.deep(x)

    model = nn.Sequential(nn.Conv2d(3, 4, 1), Swapped(), nn.ReLU(inplace=True))
    assert [site.name for site in sites(model, example=image(8))] == ["1.deep.3"]


def test_parallel_branches_are_attended_after_their_block():
    class Parallel(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.three = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, x):
            return (self.one(x) + self.three(x)).relu()

    model = nn.Sequential(nn.Conv2d(3, 4, 1), Parallel(), Parallel())
    assert [site.name for site in sites(model, example=image(8))] == ["1", "2"]


def test_an_own_unet_gets_attention_at_every_resolution_but_not_on_its_output():
    model = Unet()
    found = sites(model, example=image(32, channels=1))
    assert [(site.name, site.shape) for site in found] == [("middle.3", (2, 16, 16, 16)), ("fuse.3", (2, 8, 32, 32))]
    assert [site.shape for site in sites(model)] == [(2, 16, 112, 112), (2, 8, 224, 224)]  # the default example


def test_a_last_site_that_only_the_class_token_follows_is_left_out():
    assert [site.name for site in sites(vit())] == ["blocks.0.mlp"]  # of two blocks
    assert [site.name for site in sites(vit(), "blocks.*.mlp")] == ["blocks.0.mlp", "blocks.1.mlp"]
    averaged = timm.create_model(
        "vit_tiny_patch16_224", img_size=64, depth=2, embed_dim=32, num_heads=2, global_pool="avg", num_classes=5
    )
    assert [site.name for site in sites(averaged)] == ["blocks.0.mlp", "blocks.1.mlp"]


def test_encodings_of_one_layer_and_maps_of_one_channel_are_no_branches():
    class Gate(nn.Module):
        def __init__(self):
            super().__init__()
            self.squeeze = nn.Conv2d(4, 1, 1)
            self.refine = Residual(nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.ReLU(), nn.Conv2d(1, 1, 1)))

        def forward(self, x):
            return x * self.refine(self.squeeze(x)).sigmoid()

    encoding = Residual(nn.Conv2d(4, 4, 3, padding=1))
    branch = Residual(nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1), Gate()))
    model = nn.Sequential(nn.Conv2d(3, 4, 1), encoding, branch)
    assert [site.name for site in sites(model, example=image(8))] == ["2.body.3"]


def test_tokens_and_channels_last_are_brought_to_a_grid():
    for site in sites(vit()):
        assert (site.layout.axes, site.layout.prefix, site.shape) == ("B N C", 4, (2, 32, 4, 4))
    assert [(site.layout.axes, site.shape) for site in sites(swin(), "layers.*.blocks.*")] == [
        ("B H W C", (2, 16, 8, 8)),
        ("B H W C", (2, 32, 4, 4)),
    ]


def test_tokens_of_an_oblong_image_keep_its_aspect():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.patch, self.mlp, self.token = (
                nn.Conv2d(3, 8, 4, 4),
                nn.Linear(8, 8),
                nn.Parameter(torch.zeros(1, 1, 8)),
            )

        def forward(self, x):
            x = self.patch(x).flatten(2).transpose(1, 2)
            return self.mlp(torch.cat((self.token.expand(len(x), -1, -1), x), 1))

    (site,) = sites(Tokens(), "mlp", torch.randn(2, 3, 16, 24))
    assert (site.shape, site.layout.prefix) == ((2, 8, 4, 6), 1)
    # Attention sees H and W as they are: a mechanism that shows where it looks sees the left half of the picture left.
    seen = []

    class Look(nn.Module):
        def __init__(self, channels):
            super().__init__()

        def forward(self, x):
            seen.append(x)
            return x

    model = Tokens()
    tokens = model(torch.zeros(1, 3, 16, 24))
    x = torch.zeros(1, 3, 16, 24)
    x[..., 16:] = 1
    attach(model, Look, after="mlp", example=torch.randn(2, 3, 16, 24))
    seen.clear()
    model(x)
    changed = (seen[0] - tokens[:, 1:].transpose(1, 2).unflatten(2, (4, 6))).abs().sum((0, 1)) > 1e-6
    assert changed[:, 4:].all() and not changed[:, :4].any()


def test_globs_stay_within_one_part_of_a_name():
    model = resnet()
    assert [site.name for site in sites(model, "layer*")] == [f"layer{i}.0" for i in (1, 2, 3, 4)]  # not layer1.0.bn2
    assert [site.name for site in sites(model, ["layer4.*.bn2", "layer[12].0.bn?", "bn1"])] == [
        "bn1",
        "layer1.0.bn1",
        "layer1.0.bn2",
        "layer2.0.bn1",
        "layer2.0.bn2",
        "layer4.0.bn2",
    ]


def test_finding_sites_leaves_everything_alone():
    model = resnet()
    model.train()
    model.layer2.eval()
    before, state = snapshot(model), torch.get_rng_state()
    sites(model)
    assert_same(before, snapshot(model))
    assert torch.equal(state, torch.get_rng_state())


# -- attaching --------------------------------------------------------------------------------------------------------
def test_attention_is_applied_exactly_where_it_was_asked_for():
    model = resnet()
    x = image()
    inputs = {}
    block = model.layer3[0]
    handle = block.register_forward_hook(lambda module, args, output: inputs.update(x=args[0], y=output))
    attach(model, "se", after="layer3.0.bn2", reduction=4)
    model(x)
    handle.remove()
    attention = block.bn2.attention
    detach(model)
    h = block.bn2(block.conv2(block.act1(block.bn1(block.conv1(inputs["x"])))))
    expected = block.act2(attention(h) + block.downsample(inputs["x"]))
    torch.testing.assert_close(inputs["y"], expected, rtol=0, atol=0)


def test_prefix_tokens_stay_and_the_rest_is_attended_on_the_grid():
    model, x = vit(), image()
    outputs = []
    model.blocks[0].mlp.register_forward_hook(lambda module, args, output: outputs.append(output))
    plain = logits(model, x) is not None and outputs.pop()
    attach(model, "sse", after="blocks.0.mlp")
    model.blocks[0].mlp.register_forward_hook(lambda module, args, output: outputs.append(output))
    logits(model, x)
    attended = outputs.pop()
    assert torch.equal(attended[:, :4], plain[:, :4])
    grid = plain[:, 4:].transpose(1, 2).reshape(2, 32, 4, 4)
    expected = model.blocks[0].mlp.attention(grid).flatten(2).transpose(1, 2)
    torch.testing.assert_close(attended[:, 4:], expected)
    assert not torch.equal(attended[:, 4:], plain[:, 4:])


def test_channels_last_maps_are_attended_over_their_channels():
    model, x = swin(), image(32)
    block = model.layers[1].blocks[0]
    outputs = []
    block.register_forward_hook(lambda module, args, output: outputs.append(output))
    logits(model, x)
    attach(model, "se", after="layers.1.blocks.0", reduction=4)
    block.register_forward_hook(lambda module, args, output: outputs.append(output))
    logits(model, x)
    plain, attended = outputs[0], outputs[-1]
    torch.testing.assert_close(attended, block.attention(plain.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


def test_names_of_the_backbone_stay_and_its_weights_keep_loading():
    state = {
        name: value * 1.1 + 0.01 if value.is_floating_point() else value
        for name, value in resnet().state_dict().items()
    }
    model = attach(resnet(), "cbam", reduction=4, identity=True)
    assert [name for name in model.state_dict() if "attention" not in name] == list(state)
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert unexpected == [] and missing and all("attention" in name for name in missing)
    plain = resnet()
    plain.load_state_dict(state)
    assert torch.equal(logits(model, image()), logits(plain, image()))


def test_watching_names_the_site_and_the_map():
    model = attach(resnet(), "cbam", reduction=4, identity=True)
    with regard.watch(model) as maps:
        model(image())
    assert set(maps) == {f"layer{i}.0.bn2.attention/{map}" for i in (1, 2, 3, 4) for map in ("channel", "spatial")}
    assert maps["layer1.0.bn2.attention/spatial"][0].shape == (2, 1, 16, 16)


def test_a_function_of_the_channels_serves_as_well_as_a_name():
    def make(channels, groups):
        return nn.Conv2d(channels, channels, 1, groups=groups)

    model = attach(resnet(), make, after="layer[12].0.bn2", groups=2)
    assert [model.layer1[0].bn2.attention.groups, model.layer2[0].bn2.attention.weight.shape[0]] == [2, 32]


def test_different_mechanisms_at_different_sites():
    model = resnet()
    before = snapshot(model)
    attach(model, "se", after="layer1.0.bn2", reduction=4)
    attach(model, "eca", after="layer2.0.bn2", identity=True)
    assert type(model.layer1[0].bn2.attention) is catalog.get("se").load()
    assert type(model.layer2[0].bn2.attention) is catalog.get("eca").load()
    assert_same(before, snapshot(detach(model)))


def test_new_modules_take_the_type_and_the_mode_of_the_model():
    model = attach(resnet().bfloat16(), "se", reduction=4, identity=True)
    assert {value.dtype for name, value in model.named_parameters() if "attention" in name} == {torch.bfloat16}
    assert not any(module.training for module in model.modules())
    assert logits(model, image().bfloat16()).dtype == torch.bfloat16
    trained = attach(resnet().train(), "se", reduction=4)
    assert all(module.training for module in trained.modules())


def test_tokens_of_another_image_size():
    model = timm.create_model(
        "vit_tiny_patch16_224", img_size=64, depth=1, embed_dim=32, num_heads=2, num_classes=5, dynamic_img_size=True
    ).eval()
    x = image(96)
    before = logits(model, x)
    attach(model, "se", identity=True)
    assert torch.equal(logits(model, x), before)
    with torch.no_grad():
        model.blocks[0].mlp.attention_alpha.fill_(1)
    with regard.watch(attach(detach(model), "sse")) as maps:
        model(x)
    assert maps["blocks.0.mlp.attention/spatial"][0].shape == (2, 1, 6, 6)


# -- identity ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("name", SINGLE)
def test_identity_starts_from_the_very_same_logits(backbone, name):
    model, x = BACKBONES[backbone](), image(SIZES[backbone])
    before, state = logits(model, x), snapshot(model)
    attach(model, name, after=AFTER[backbone], identity=True, example=x, **small(name))
    assert len([module for module in model.modules() if isinstance(module, regard.core.Attention)]) >= 2
    assert torch.equal(logits(model, x), before)
    assert torch.equal(logits(detach(model), x), before)
    assert_same(state, snapshot(model))


@pytest.mark.parametrize("name", SINGLE)
def test_gradients_reach_the_mechanism_after_one_step(name):
    # Wide enough for every mechanism's bottleneck to have living units.
    options = small(name) if name == "rga" else {}  # whose default bottlenecks need larger maps
    model, x = attach(resnet((64,) * 4), name, identity=True, example=image(), **options).train(), image()
    if not any(True for _ in model.layer1[0].bn2.attention.parameters()):
        return

    untrained = copy.deepcopy(model.layer1[0].bn2.attention)

    def reached(module, least=0.0):
        largest = {n: p.grad.abs().max().item() for n, p in module.named_parameters() if p.grad is not None}
        return {n for n, value in largest.items() if value > least * max(largest.values())}

    def alone(perturbed):
        """What the mechanism by itself gives gradients to, beyond rounding: a softmax moves with no bias."""
        module = copy.deepcopy(untrained).train()
        for parameter in module.parameters():
            parameter.data.add_(torch.randn_like(parameter), alpha=perturbed)
        h = torch.randn(2, 64, 16, 16)  # the map of the site that it comes from
        (module(h) * torch.randn_like(h)).sum().backward()
        return reached(module, 1e-4)

    optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
    sets = []
    for _ in range(3):
        optimizer.zero_grad()
        model(x).square().sum().backward()
        sets.append([reached(layer[0].bn2.attention) for layer in (model.layer1, model.layer2)])
        optimizer.step()
    for after_one, after_two in zip(sets[1], sets[2], strict=True):
        assert after_one and after_one >= alone(perturbed=0)  # its own zero initialisation may hold others back
        assert after_two >= alone(perturbed=0.5)


def test_only_mechanisms_that_need_a_gate_get_one():
    names = {name: [n for n, _ in attach(resnet(), name, identity=True).named_parameters()] for name in ("gc", "se")}
    assert not any("alpha" in name for name in names["gc"])
    assert [name for name in names["se"] if "alpha" in name] == [
        f"layer{i}.0.bn2.attention_alpha" for i in (1, 2, 3, 4)
    ]


def test_what_passes_one_map_by_chance_gets_a_gate_all_the_same():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1))
    attach(model, lambda channels: nn.ReLU(), after="1", identity=True, example=image(8))
    assert "1.attention_alpha" in dict(model.named_parameters())


@pytest.mark.parametrize("alpha", [0.0, 0.3, -2.0])
def test_folding_keeps_the_function_and_ends_the_training(alpha):
    model, x = attach(resnet(), "se", reduction=4, identity=True), image()
    for name, parameter in model.named_parameters():
        if name.endswith("alpha"):
            nn.init.constant_(parameter, alpha)
    before = logits(model, x)
    low = copy.deepcopy(model).bfloat16()
    before_low = logits(low, x.bfloat16())
    fold(model)
    assert not any("alpha" in name for name, _ in model.named_parameters())
    assert {name: value.item() for name, value in model.named_buffers() if "alpha" in name} == {
        f"layer{i}.0.bn2.attention_alpha": pytest.approx(alpha) for i in (1, 2, 3, 4)
    }
    assert torch.equal(logits(model, x), before)
    assert torch.equal(logits(fold(low), x.bfloat16()), before_low)
    assert torch.equal(logits(fold(copy.deepcopy(model)), x), before)
    assert_same(snapshot(resnet()), snapshot(detach(model)))


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_a_gate_never_leaves_the_state_dict_without_a_word(alpha):
    """Whatever loads strictly gives the same logits, and what lacks a gate, or has one too many, does not load."""
    x = image()
    torch.manual_seed(3)
    learned = attach(resnet(), "se", reduction=4, identity=True)
    for name, parameter in learned.named_parameters():
        if name.endswith("alpha"):
            nn.init.constant_(parameter, alpha)
    folded = fold(copy.deepcopy(learned))
    ungated = attach(resnet(), "se", reduction=4)
    for source in (learned, folded):
        for make in (lambda model: model, fold):
            target = make(attach(resnet(), "se", reduction=4, identity=True))
            target.load_state_dict(source.state_dict())
            assert torch.equal(logits(target, x), logits(learned, x))
            with pytest.raises(RuntimeError, match=r"Missing key.*layer1\.0\.bn2\.attention_alpha"):
                target.load_state_dict(ungated.state_dict())
        with pytest.raises(RuntimeError, match=r"Unexpected key.*layer1\.0\.bn2\.attention_alpha"):
            ungated.load_state_dict(source.state_dict())


# -- gradients where the next activation works in place ---------------------------------------------------------------
@pytest.mark.parametrize("identity", [False, True])
@pytest.mark.parametrize("ending", [nn.Identity, nn.ReLU, nn.Sigmoid])
def test_activations_in_place_after_the_site_do_not_harm_gradients(identity, ending):
    gradients = []
    for inplace in (False, True):
        torch.manual_seed(0)
        model = nn.Sequential(Block(3, inplace), Block(3, inplace))
        attach(
            model,
            lambda c: nn.Sequential(nn.Conv2d(c, c, 1), ending()),
            after="*.bn",
            identity=identity,
            example=image(8),
        )
        for name, parameter in model.named_parameters():
            if name.endswith("alpha"):
                nn.init.constant_(parameter, 0.7)
        model(image(8)).square().sum().backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    assert len(gradients[0]) == (14 if identity else 12)
    for name, expected in gradients[0].items():
        assert expected.abs().sum() > 0, name
        torch.testing.assert_close(gradients[1][name], expected, rtol=0, atol=0)


# -- what is done with models -----------------------------------------------------------------------------------------
def folded_half():
    model = attach(resnet(), "se", reduction=4, identity=True)
    for name, parameter in model.named_parameters():
        if name.endswith("alpha"):
            nn.init.constant_(parameter, 0.7)
    return fold(model)


def both():
    return [
        (attach(resnet(), "se", reduction=4), image()),
        (attach(mobilenet(), "cbam", after="features.1[01]", identity=True), image()),
        (folded_half(), image()),
    ]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_copies_are_whole_and_independent(which):
    model, x = both()[which]
    before = logits(model, x)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), torch.load(file, weights_only=False)):
        assert torch.equal(logits(twin, x), before)
        for name, parameter in twin.named_parameters():
            if "attention" in name:
                nn.init.constant_(parameter, 0.5)
        assert not torch.equal(logits(twin, x), before)
        assert torch.equal(logits(model, x), before)
        assert list(detach(twin).state_dict()) == [name for name in model.state_dict() if "attention" not in name]


@pytest.mark.slow
@pytest.mark.parametrize("which", [0, 1, 2])
def test_compiles_whole(which):
    model, x = both()[which]
    before = logits(model, x)
    torch.compiler.reset()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(logits(compiled, x), before)
    with regard.watch(compiled) as maps:
        compiled(x)
    assert maps and all(".attention/" in key and "_orig_mod" not in key for key in maps)
    # The compiled code contains the attention: another gate, another result.
    for name, parameter in model.named_parameters():
        if "attention" in name:
            nn.init.constant_(parameter, 0.5)
    torch.testing.assert_close(logits(compiled, x), logits(model, x))
    assert not torch.allclose(logits(compiled, x), before)


@pytest.mark.slow
@pytest.mark.parametrize("which", [0, 1, 2])
def test_exports(which):
    model, x = both()[which]
    for name, parameter in model.named_parameters():
        if name.endswith("alpha"):
            nn.init.constant_(parameter, 0.7)
    program = torch.export.export(model, (x,))
    torch.testing.assert_close(program.module()(x), logits(model, x))
    assert any("attention" in name for name in program.state_dict)


# -- detaching --------------------------------------------------------------------------------------------------------
def test_detach_after_training_leaves_the_trained_backbone():
    model = attach(resnet(), "se", reduction=4, identity=True).train()
    model(image()).sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.01).step()
    trained = {name: value.clone() for name, value in model.state_dict().items() if "attention" not in name}
    detach(model)
    plain = resnet().train()
    plain.load_state_dict(trained)
    assert_same(snapshot(plain), snapshot(model))
    assert torch.equal(logits(plain.eval(), image()), logits(model.eval(), image()))


def test_detach_without_attention_and_other_hooks_stay():
    model = resnet()
    calls = []
    model.layer1[0].bn2.register_forward_hook(lambda *_: calls.append(1))
    before = snapshot(model)
    assert detach(model) is model
    assert_same(before, snapshot(detach(attach(model, "eca"))))
    calls.clear()
    model(image())
    assert calls == [1]


# -- errors: one line that says what is wrong, and the model as it was ------------------------------------------------
class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x):
        return self.conv(x), x


class Odd(nn.Module):
    """Modules that are no sites, each for a reason of its own."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.pair = Pair()
        self.twice = nn.ReLU()
        self.idle = nn.Conv2d(4, 4, 1)
        self.loop = nn.ModuleDict({"a": nn.Conv2d(4, 4, 1), "b": nn.ReLU()})
        self.list = nn.ModuleList([nn.Conv2d(4, 4, 1)])
        self.own = nn.Conv2d(4, 4, 1)
        self.own.attention = nn.Identity()
        self.runner = Runner()
        self.split = nn.Flatten(0, 1)
        self.head = nn.Linear(4, 5)
        self.alias = self.head

    def forward(self, x):
        x = self.twice(self.stem(x)) + self.twice(x[:, :1])
        self.pair(x[:, :3])
        for part in self.list:
            x = part(x)
        self.split(x)
        x = self.runner(self.own(x))
        return self.head(x.mean((2, 3)))


class Runner(nn.Module):
    """Its forward runs whatever children it has."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        for child in self.children():
            x = child(x)
        return x


@pytest.mark.parametrize(
    ("after", "error", "message"),
    [
        ("stemm", LookupError, "after='stemm' matches no module of Odd; near: stem"),
        ("loo*b", LookupError, "after='loo*b' matches no module of Odd: a wildcard stops at dots; near: loop.b"),
        ([], LookupError, "after=[]: at least one pattern is needed"),
        (["stem", "layer9.*"], LookupError, "after='layer9.*' matches no module"),
        ("pair", ValueError, "'pair' (Pair) outputs a tuple of 2; attention needs one map"),
        ("head", ValueError, "'head' (Linear) outputs 2 x 5; attention needs one map"),
        ("alias", ValueError, "'head' (Linear) outputs 2 x 5"),
        ("twice", ValueError, "'twice' (ReLU) outputs 2 x 4 x 8 x 8 and 2 x 1 x 8 x 8 in 2 calls; attention needs"),
        ("idle", ValueError, "'idle' (Conv2d) is not called in the forward pass"),
        ("list", ValueError, "'list' (ModuleList) is not called in the forward pass"),
        ("split", ValueError, "'split' (Flatten) outputs 8 x 8 x 8 for a batch of 2"),
        ("own", ValueError, "'own' (Conv2d) has an attribute 'attention' already"),
        ("runner", ValueError, "'runner' (Runner) calls all of its children"),
    ],
)
def test_ill_fitting_sites_are_named_with_what_they_output(after, error, message):
    model = Odd()
    before = snapshot(model)
    with pytest.raises(error) as caught:
        attach(model, "eca", after=after, example=image(8))
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert_same(before, snapshot(model))


class Narrow(nn.Module):
    def __init__(self, channels):
        super().__init__()

    def forward(self, x):
        return x[:, :1]


class Overwrites(nn.Module):
    def __init__(self, channels):
        super().__init__()

    def forward(self, x):
        return x.mul_(2)


class Infinite(nn.Module):
    def __init__(self, channels):
        super().__init__()

    def forward(self, x):
        return x / 0


@pytest.mark.parametrize(
    ("mechanism", "kwargs", "error", "message"),
    [
        ("ssee", {}, LookupError, "did you mean sse"),
        ("se", {"reduction": 99}, ValueError, "after 'layer1.0.bn2' with 16 channels: reduction=99"),
        ("se", {"ratio": 2}, TypeError, "ratio"),
        (Narrow, {}, ValueError, "Narrow after 'layer1.0.bn2' returns 2 x 1 x 16 x 16 for 2 x 16 x 16 x 16"),
        (lambda c: nn.Conv2d(8, 8, 1), {}, ValueError, "Conv2d after 'layer1.0.bn2' does not accept its map 2 x 16"),
        (lambda c: None, {}, TypeError, "a function that returns a module is needed, not a NoneType"),
        (nn.ReLU(), {}, TypeError, "mechanism=ReLU: a name in the catalogue is needed"),
        (3, {}, TypeError, "mechanism=int: a name"),
        (Overwrites, {"identity": True}, ValueError, "overwrites its input"),
        (Infinite, {"identity": True}, ValueError, "not finite"),
    ],
)
def test_ill_fitting_mechanisms_leave_the_model_as_it_was(mechanism, kwargs, error, message):
    model = resnet()
    before = snapshot(model)
    with pytest.raises(error) as caught:
        attach(model, mechanism, **kwargs)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert_same(before, snapshot(model))


def test_one_module_for_several_sites_is_refused():
    shared = nn.Identity()
    with pytest.raises(ValueError, match="a function that returns a new module for every site"):
        attach(resnet(), lambda channels: shared)


def test_a_second_attachment_says_detach_first_and_keeps_the_first():
    model = attach(resnet(), "se", after="layer4.0.bn2", reduction=4)
    before = snapshot(model)
    with pytest.raises(ValueError, match=r"'layer4\.0\.bn2' has attention already \(SqueezeExcite\); detach"):
        attach(model, "eca")
    assert_same(before, snapshot(model))
    assert isinstance(next(iter(model.layer4[0].bn2._forward_hooks.values())), AttentionHook)


def test_an_example_that_does_not_run_is_named():
    with pytest.raises(ValueError, match=r"ResNet does not run on an example of 2 x 7 x 64 x 64: .*7 channels"):
        attach(resnet(), "se", example=image(channels=7))
    with pytest.raises(ValueError, match=r"a tensor with a batch"):
        sites(resnet(), example=(3,))
    with pytest.raises(ValueError, match=r"does not run on an example of 2 x 3 x 224 x 224: .*give an example="):
        sites(nn.Linear(5, 5))


def test_a_model_without_maps_is_refused():
    with pytest.raises(ValueError, match="no module of Sequential outputs one map"):
        attach(nn.Sequential(nn.Flatten(), nn.Linear(192, 4)), "se", example=image(8))


def test_a_compiled_model_would_not_notice_and_is_refused():
    for change in (lambda model: attach(model, "se"), detach, fold):
        with pytest.raises(ValueError, match="wrapped in OptimizedModule"):
            change(torch.compile(resnet(), backend="eager"))
        model = resnet()
        model.compile(backend="eager")
        with pytest.raises(ValueError, match="ResNet is compiled"):
            change(model)


def test_code_compiled_before_is_compiled_again():
    """Attaching, folding and detaching change what compiled code computes that was handed out before."""
    model, x = nn.Sequential(Block(3, False), nn.Flatten(), nn.Linear(192, 5)).eval(), image(8)
    compiled = torch.compile(model, backend="eager")
    bare = logits(compiled, x)
    attach(model, "se", after="0.bn", hidden=2, identity=True, example=x)
    nn.init.constant_(model[0].bn.attention_alpha, 0.7)
    attended = logits(compiled, x)
    assert torch.equal(attended, logits(model, x)) and not torch.equal(attended, bare)
    fold(model)
    assert torch.equal(logits(compiled, x), attended)
    detach(model)
    assert torch.equal(logits(compiled, x), bare)


# -- conversions to synchronised batch norm ---------------------------------------------------------------------------
@pytest.mark.parametrize("convert", [nn.SyncBatchNorm.convert_sync_batchnorm, timm.layers.convert_sync_batchnorm])
@pytest.mark.parametrize("way", [lambda model: model, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
@pytest.mark.parametrize("gate", ["none", "learned", "folded"])
def test_attention_stays_through_a_conversion_to_synchronised_norms(convert, way, gate):
    model, x = attach(resnet(), "cbam", reduction=4, identity=gate != "none"), image()
    for name, parameter in model.named_parameters():
        if name.endswith("alpha"):
            nn.init.constant_(parameter, 0.7)
    model = way(fold(model) if gate == "folded" else model)
    before, names = logits(model, x), set(model.state_dict())
    parameters = {name: parameter for name, parameter in model.named_parameters() if "attention" in name}
    converted = convert(model)
    assert isinstance(converted.layer1[0].bn2, nn.SyncBatchNorm)
    assert torch.equal(logits(converted, x), before)
    assert set(converted.state_dict()) == names
    assert all(dict(converted.named_parameters())[name] is parameter for name, parameter in parameters.items())
    with regard.watch(converted) as maps:
        converted(x)
    assert len(maps) == 8 and all(len(looks) == 1 for looks in maps.values())
    assert not any("attention" in name for name in detach(converted).state_dict())
    assert not torch.equal(logits(converted, x), before)


def test_a_module_that_was_detached_or_copied_alone_takes_no_hook_along():
    model = attach(resnet(), "se", reduction=4)
    alone, inner = copy.deepcopy(model.layer1[0].bn2.attention), model.layer1[0].bn2.attention
    detach(model)
    for module in (alone, inner, pickle.loads(pickle.dumps(inner))):
        norm = nn.BatchNorm2d(16)
        norm.attention = module
        assert not norm._forward_hooks


# -- sites that are too narrow for the default reduction --------------------------------------------------------------
WIDE = {"ge": {"variant": "theta_plus", "extent": 2}}  # the setting that has a bottleneck
NARROW = ["se", "cse", "scse", "cbam", "bam", "gc", "cca", "pam", "ge", "spa", "a2", "rga"]


@pytest.mark.parametrize("name", NARROW)
def test_a_narrow_site_gets_the_largest_reduction_that_fits(name):
    model, x = resnet((1, 32, 32, 32)), image()
    with pytest.warns(NarrowSite) as caught:
        attach(model, name, after=["layer1.0.bn2", "layer2.0.bn2"], example=x, **WIDE.get(name, {}))
    assert len(caught) == 1
    message = str(caught[0].message)
    assert message.startswith(f"{name}: its default reduction is too large for {2 if name == 'rga' else 1} of the")
    assert "reduction=1 after 'layer1.0.bn2' (1 channel)" in message.replace(" and gate_reduction=2", "")
    assert logits(model, x).isfinite().all()


def test_every_mechanism_with_a_reduction_is_among_the_narrow_ones():
    found = {entry.name for entry in catalog.find(attachable=True) if not entry.system}
    found = {name for name in found if any(one.endswith("reduction") for one in catalog.get(name).arguments)}
    assert found - set(NARROW) == {"sk", "fca"}  # which has a least width; whose frequencies need wide sites anyway


def test_the_reduction_is_the_largest_for_each_site_and_a_given_one_stays():
    model = resnet((8, 12, 16, 32))
    with pytest.warns(
        NarrowSite,
        match=r"2 of the sites, where the largest that fits is taken: reduction=8 after 'layer1\.0\.bn2' "
        r"\(8 channels\), reduction=12 after 'layer2\.0\.bn2' \(12 channels\)$",
    ):
        attach(model, "se")
    squeezed = [model.get_submodule(f"layer{i}.0.bn2.attention.reduce").weight.shape[:2] for i in (1, 2, 3, 4)]
    assert squeezed == [(1, 8), (1, 12), (1, 16), (2, 32)]
    before = snapshot(resnet((8, 12, 16, 32)))
    model = resnet((8, 12, 16, 32))
    with pytest.raises(ValueError, match=r"after 'layer1\.0\.bn2' with 8 channels: reduction=16"):
        attach(model, "se", reduction=16)
    assert_same(before, snapshot(model))
    attach(model, "se", hidden=3)  # without a word


def test_choosing_a_reduction_moves_no_random_state():
    states = []
    for reduction in ({}, {"reduction": 8}):
        torch.manual_seed(5)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NarrowSite)
            attach(resnet((8, 8, 8, 8)), "se", **reduction)
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


def test_relations_on_few_positions_take_a_smaller_gate_reduction():
    model = resnet((64, 64, 64, 64))
    x = image(224)
    with pytest.warns(NarrowSite, match=r"gate_reduction=7 after 'layer4\.0\.bn2' \(64 channels\)"):
        attach(model, "rga", after="layer4.*.bn2", example=x)
    assert model.layer4[0].bn2.attention.grid == (7, 7)


# -- optimizers that were made before ---------------------------------------------------------------------------------
def test_an_optimizer_made_before_trains_what_is_added_to_it():
    model, x = resnet(), image()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    attach(model, "se", reduction=4, identity=True)
    own = {name: parameter for name, parameter in model.named_parameters() if "attention" in name}
    model.layer1[0].bn2.attention.reduce.bias.requires_grad_(False)
    expected = sum(parameter.numel() for parameter in own.values()) - 4
    assert add_attention_parameters(optimizer, model, lr=0.2) == expected
    assert (optimizer.param_groups[1]["lr"], optimizer.param_groups[1]["momentum"]) == (0.2, 0.9)
    assert add_attention_parameters(optimizer, torch.compile(model, backend="eager")) == 0
    assert len(optimizer.param_groups) == 2
    before = {name: parameter.detach().clone() for name, parameter in own.items()}
    for _ in range(3):
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()
    moved = {name for name, parameter in own.items() if not torch.equal(parameter, before[name])}
    assert {f"layer{i}.0.bn2.attention_alpha" for i in (1, 2, 3, 4)} <= moved
    assert "layer1.0.bn2.attention.reduce.bias" not in moved and "layer1.0.bn2.attention.expand.bias" in moved


def test_what_an_optimizer_cannot_take_is_said():
    model = resnet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="ResNet has no attached attention"):
        add_attention_parameters(optimizer, model)
    torch.optim.lr_scheduler.StepLR(optimizer, 5)
    attach(model, "se", reduction=4)
    with pytest.raises(ValueError, match=r"optimizer=SGD: a learning-rate schedule was made for it"):
        add_attention_parameters(optimizer, model)
    with pytest.raises(TypeError, match="optimizer=list: an optimizer of torch is needed"):
        add_attention_parameters([optimizer], model)


def test_tokens_that_are_no_grid_any_more_are_refused_in_words():
    model = attach(vit(), "sse", after="blocks.0.mlp")
    with pytest.raises(ValueError, match="11 tokens, 4 of them before the grid, form no grid of the aspect 4 x 4"):
        model.blocks[0](torch.randn(1, 11, 32))
