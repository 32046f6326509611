"""What `regard.save` writes comes back by `regard.load` as the same function, and what does not fit says why."""

from __future__ import annotations

import copy
import json
import pickle
from typing import ClassVar

import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from safetensors.torch import save as serialised
from torch import nn
from torch.optim.swa_utils import AveragedModel

import regard
from regard import catalog
from regard.attaching.building import NarrowSite
from regard.attaching.restoring import attachments
from regard.backbones import BUILT, Built
from regard.saved import description
from regard.saved.description import Trained
from regard.saved.digests import sealed_weights
from regard.saved.opening import open_network
from regard.saved.recognising import recognised

ATTACHABLE = [entry.name for entry in catalog.find(attachable=True) if not entry.system]
FITTING = {"mha_2d": {"heads": 2}, "fca": {"frequencies": "top4"}}  # the widths of the small networks divide by these
GATES = ["none", "learned", "folded"]
TYPES = [torch.float32, torch.bfloat16]
SIDE = 53


def options(name):
    """Options that let a mechanism fit narrow sites and small maps."""
    own = {key: value for key, value in catalog.get(name).kwargs.items() if key not in ("channels", "grid")}
    return {**own, **FITTING.get(name, {})}


def image(dtype=torch.float32, side=SIDE, channels=3):
    return torch.randn(2, channels, side, side, generator=torch.Generator().manual_seed(7)).to(dtype)


def logits(model, x):
    with torch.no_grad():
        return model(x)


def alive(model):
    """The model in eval mode with random values in everything that starts at zero or one, the gates among it."""
    generator = torch.Generator().manual_seed(11)
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            noise = torch.rand(value.shape, generator=generator).to(value)
            if name.endswith("alpha"):
                value.copy_(0.3 + 0.4 * noise)
            elif name.endswith("running_var"):
                value.copy_(0.5 + noise)
            else:
                value.add_(0.1 * (noise - 0.5))
    return model.eval()


FEW = ["layer1.0.bn2", "layer3.0.bn3"]  # sites of the matrix below


def attended(name, gate="learned", dtype=torch.float32, backbone="test_resnet", after=None, **kwargs):
    torch.manual_seed(3)
    model = timm.create_model(backbone, num_classes=5, **kwargs)
    side = kwargs.get("img_size", SIDE)
    regard.attach(model, name, after=after, identity=gate != "none", example=image(side=side), **options(name))
    alive(model)
    return (regard.fold(model) if gate == "folded" else model).to(dtype)


def averaged(model):
    ema = AveragedModel(model)
    ema.update_parameters(model)
    return ema.eval()


def averaged_by_timm(model):
    return timm.utils.ModelEmaV3(model).eval()


def compiled(model):
    return torch.compile(model, backend="eager")


def compiled_in_place(model):
    model.compile(backend="eager")
    return model


def compiled_inside(model):
    model.layer1 = torch.compile(model.layer1, backend="eager")
    return model


def other_classes(model):
    model.reset_classifier(7)
    return model.eval().to(next(model.parameters()).dtype)


WAYS = {
    "plain": lambda model: model,
    "compiled": compiled,
    "copied": copy.deepcopy,
    "averaged": averaged,
    "reset": other_classes,
}
MORE_WAYS = {
    "compiled": compiled,
    "compiled in place": compiled_in_place,
    "compiled inside": compiled_inside,
    "averaged by timm": averaged_by_timm,
    "pickled": lambda model: pickle.loads(pickle.dumps(model)),
    "synchronised": nn.SyncBatchNorm.convert_sync_batchnorm,
    "several": nn.DataParallel,
}


def saved_and_loaded(model, path, x, stance="force_eager"):
    """Saves the model, asks that what is loaded computes the same to the bit, and returns it and its logits.

    Where compiling is not the question a compiled model runs eagerly, since compiling 30 mechanisms takes minutes.
    """
    with torch.compiler.set_stance(stance):
        wanted = logits(model, x)
    regard.save(model, path)
    loaded = regard.load(path)
    assert torch.equal(logits(loaded, x), wanted)
    return loaded, wanted


def comes_back(model, path, x, stance="force_eager"):
    """As `saved_and_loaded`, and once more into a backbone without attention; returns what is loaded."""
    loaded, wanted = saved_and_loaded(model, path, x, stance)
    assert not any(module.training for module in loaded.modules())
    bare = regard.detach(copy.deepcopy(loaded))
    for value in bare.state_dict().values():
        value.zero_()
    assert torch.equal(logits(regard.load(path, backbone=bare), x), wanted)
    return loaded


# A diagonal of the matrix: every mechanism, gate, type and way once or more.
DIAGONAL = [
    (name, GATES[i % 3], TYPES[i % 2], list(WAYS)[i % 5]) for i, name in enumerate(ATTACHABLE)
]  # fmt: skip


@pytest.mark.parametrize(("name", "gate", "dtype", "way"), DIAGONAL)
def test_what_is_saved_comes_back(name, gate, dtype, way, tmp_path):
    comes_back(WAYS[way](attended(name, gate, dtype, after=FEW)), tmp_path / "model.safetensors", image(dtype))


# Every mechanism with every gate, each mechanism and each gate in both types.
PAIRS = [(name, gate, TYPES[(i + j) % 2]) for i, name in enumerate(ATTACHABLE) for j, gate in enumerate(GATES)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "gate", "dtype"), PAIRS)
def test_everything_comes_back_in_every_way(name, gate, dtype, tmp_path):
    model, x = attended(name, gate, dtype, after=FEW), image(dtype)
    for way, made in WAYS.items():
        saved_and_loaded(made(copy.deepcopy(model)), tmp_path / f"{way}.safetensors", x)


@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=[pytest.mark.slow] if way.startswith("compiled") else []) for way in MORE_WAYS]
)
def test_models_in_other_wrappings_come_back(way, tmp_path):
    loaded = comes_back(MORE_WAYS[way](attended("se")), tmp_path / "model.safetensors", image(), "default")
    assert [each.gate for each in attachments(loaded)] == ["learned"] * 4


@pytest.mark.parametrize("name", ["se", "sse", "rga", "nonlocal"])
def test_tokens_come_back(name, tmp_path):
    model = attended(name, "folded", backbone="test_vit", img_size=48)
    loaded = comes_back(model, tmp_path / "model.safetensors", image(side=48))
    assert attachments(loaded) == attachments(model) and attachments(loaded)[0].prefix == 1


@pytest.mark.parametrize("backbone", ["test_efficientnet", "test_convnext", "test_nfnet", "test_byobnet"])
def test_other_families_come_back(backbone, tmp_path):
    comes_back(attended("cbam", backbone=backbone), tmp_path / "model.safetensors", image(side=64))


def test_mixed_types_come_back(tmp_path):
    model = attended("se").bfloat16()
    model.fc.float()
    model.global_pool.register_forward_hook(lambda module, inputs, output: output.float())
    regard.save(model, tmp_path / "m.safetensors")
    loaded = regard.load(tmp_path / "m.safetensors")
    types = {name: value.dtype for name, value in loaded.state_dict().items()}
    assert types == {name: value.dtype for name, value in model.state_dict().items()}
    assert {types["fc.weight"], types["conv1.0.weight"]} == {torch.float32, torch.bfloat16}


def test_several_mechanisms_at_their_sites_and_what_the_file_says(tmp_path):
    path = tmp_path / "model.safetensors"
    model = regard.create_model(
        "test_resnet", attention="se(reduction=8)@layer1, CBAM@layer3+layer4", identity=True, num_classes=6, in_chans=1,
        image_size=48, drop_rate=0.25,
    )  # fmt: skip
    assert [(each.site, each.mechanism, each.arguments) for each in attachments(model)] == [
        ("layer1.0.bn2", "se", {"reduction": 8}),
        ("layer3.0.bn3", "cbam", {}),
        ("layer4.0.bn2", "cbam", {}),
    ]
    loaded = comes_back(alive(model), path, image(channels=1))
    assert loaded.drop_rate == 0.25 and loaded.pretrained_cfg["input_size"] == (1, 48, 48)
    found = description.read(path)
    assert found.name == "se and cbam on test_resnet" and found.entry == "cbam" and list(found.image) == [1, 48, 48]
    assert found.attached.classes == 6 and found.attached.options == {"in_chans": 1, "drop_rate": 0.25}
    assert found.normalise == ([0.5], [0.5])
    assert open_network("se", weights=path).name == found.name
    with pytest.raises(ValueError, match="is of se and cbam, not eca: leave out --with"):
        open_network("eca", weights=path)
    opened = open_network(weights=path)
    assert (opened.name, opened.size, opened.channels, opened.trained) == (found.name, (48, 48), 1, True)
    assert torch.equal(logits(opened.model, image(channels=1)), logits(model, image(channels=1)))


def test_create_model_without_attention_or_with_a_users_own():
    bare = regard.create_model("test_resnet", attention="none")
    assert attachments(bare) == [] and bare.num_classes == 1000 and bare.training
    own = regard.create_model(
        "test_resnet", attention=lambda channels: nn.Conv2d(channels, channels, 1), after="layer2"
    )
    assert [(each.site, each.mechanism, each.kind) for each in attachments(own)] == [("layer2.0", None, "Conv2d")]
    with pytest.raises(ValueError, match="attention='all': names of mechanisms are needed; all is a row"):
        regard.create_model("test_resnet", attention="all")
    with pytest.raises(LookupError, match="did you mean"):
        regard.create_model("test_resnet", attention="cbamm")
    with pytest.raises(ValueError, match="classes=-1"):
        regard.create_model("test_resnet", num_classes=-1)


# -- adapters and backbones of a user's own ---------------------------------------------------------------------------
def test_an_adapter_goes_into_a_backbone(tmp_path):
    model, x, path = attended("cbam"), image(), tmp_path / "cbam.safetensors"
    regard.save(model, path, only="attention")
    tensors = load_file(path)
    assert tensors and all(".attention" in name for name in tensors)
    bare = regard.detach(copy.deepcopy(model))
    bare.layer1.train()
    assert torch.equal(logits(regard.load(path, backbone=bare.eval()), x), logits(model, x))
    with pytest.raises(ValueError, match="has the attention alone: give the network for it as backbone="):
        regard.load(path)
    with pytest.raises(ValueError, match=r"regard\.load\(path, backbone=model\)"):
        open_network(weights=path)
    other = nn.Sequential(nn.Conv2d(3, 5, 1))
    with pytest.raises(
        LookupError, match=r"Sequential has no module 'layer1\.0\.bn2', which ConvBlockAttention follows"
    ):
        regard.load(path, backbone=other)
    assert list(dict(other.named_modules())) == ["", "0"] and not other[0]._forward_hooks


def test_an_adapter_for_another_width_leaves_the_backbone_as_it_was(tmp_path):
    path = tmp_path / "se.safetensors"
    regard.save(attended("se"), path)
    bare = timm.create_model("test_resnet", num_classes=9)
    before = [name for name, _ in bare.named_modules()], copy.deepcopy(bare.state_dict())
    with pytest.raises(ValueError, match=r"fc\.weight has shape \(5, 96\); \(9, 96\) is needed"):
        regard.load(path, backbone=bare)
    assert before[0] == [name for name, _ in bare.named_modules()]
    assert all(torch.equal(value, before[1][name]) for name, value in bare.state_dict().items())
    assert not any(module._forward_hooks for module in bare.modules())


class Own(nn.Module):
    """A network that is not timm's."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        return self.head(self.norm(self.stem(x)).relu().mean((2, 3)))


class OwnGate(regard.Attention):
    maps: ClassVar = {"gate": "B C 1 1"}

    def __init__(self, channels, width=4):
        super().__init__()
        self.score = nn.Linear(channels, channels)

    def forward(self, x):
        return x * self.see("gate", self.score(x.mean((2, 3))).sigmoid()[:, :, None, None])


def test_a_network_of_ones_own_is_given_when_its_file_is_loaded(tmp_path):
    model, path = (
        alive(regard.attach(Own(), "se", after="norm", identity=True, example=image())),
        tmp_path / "o.safetensors",
    )
    regard.save(model, path, normalise=((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)), image=(3, 31, 37))
    found = description.read(path)
    assert found.attached.backbone is None and list(found.image) == [3, 31, 37] and found.normalise[1] == [1.0] * 3
    assert torch.equal(logits(regard.load(path, backbone=Own().eval()), image()), logits(model, image()))
    with pytest.raises(ValueError, match=r"Own is not a network of timm's.*give it as backbone="):
        regard.load(path)
    regard.save(model, path)
    assert description.read(path).image is None
    assert torch.equal(logits(regard.load(path, backbone=Own().eval()), image()), logits(model, image()))


def test_attention_of_ones_own_comes_back_where_it_is_attached(tmp_path):
    model, path = attended("se"), tmp_path / "o.safetensors"
    regard.attach(regard.detach(model), OwnGate, after="layer1.*.bn2", identity=True, width=3)
    regard.save(alive(model), path)
    with pytest.raises(ValueError, match=r"OwnGate after 'layer1\.0\.bn2' is not of the catalogue: attach it"):
        regard.load(path)
    with pytest.raises(ValueError, match="is not of the catalogue; attach it to the backbone before"):
        regard.load(path, backbone=timm.create_model("test_resnet", num_classes=5))
    again = timm.create_model("test_resnet", num_classes=5).eval()
    regard.attach(again, OwnGate, after="layer1.*.bn2", identity=True, width=3)
    assert torch.equal(logits(regard.load(path, backbone=again), image()), logits(model, image()))
    other = regard.attach(timm.create_model("test_resnet", num_classes=5), "se")
    with pytest.raises(ValueError, match=r"the attention of the backbone after 'layer1\.0\.bn2' is another"):
        regard.load(path, backbone=other)


def test_where_a_network_was_built_is_not_part_of_it(tmp_path):
    model = regard.create_model("test_resnet", attention="se", num_classes=5)
    setattr(model, BUILT, Built("test_resnet", {"in_chans": 3, "device": "cuda:7", "dtype": torch.bfloat16}))
    assert recognised(model).arguments == {"in_chans": 3}  # as newer versions of timm are told
    comes_back(alive(model), tmp_path / "m.safetensors", image())


def test_a_class_of_the_catalogue_is_known_by_its_name(tmp_path):
    model = regard.attach(timm.create_model("test_resnet", num_classes=5), regard.get("se").load(), reduction=4)
    comes_back(alive(model), tmp_path / "m.safetensors", image())


@pytest.mark.parametrize("gate", ["learned", "folded"])
def test_gates_learned_and_folded_load_into_each_other_and_into_nothing_else(gate, tmp_path):
    model, path = attended("se", gate), tmp_path / "m.safetensors"
    regard.save(model, path)
    for other in ("learned", "folded"):
        target = attended("se", other)
        for value in target.state_dict().values():
            value.zero_()
        assert torch.equal(logits(regard.load(path, backbone=target), image()), logits(model, image()))
    with pytest.raises(ValueError, match=r"the attention of the backbone after 'layer1\.0\.bn2' is another"):
        regard.load(path, backbone=attended("se", "none"))


def test_a_network_that_timm_builds_otherwise_is_not_taken_for_its_own(tmp_path):
    changed = attended("se")
    changed.act1 = nn.SiLU()
    assert "module act1 differs" in recognised(changed).reason
    pooled = attended("se")
    pooled.reset_classifier(5, "max")
    comes_back(pooled.eval(), tmp_path / "p.safetensors", image())
    strided = attended("se")
    strided.layer4[0].conv2.stride = (2, 1)
    assert recognised(strided).name is None and "stride of module layer4.0.conv2 differs" in recognised(strided).reason
    regard.save(strided, tmp_path / "m.safetensors")
    with pytest.raises(
        ValueError, match=r"does not name a network of timm's .*stride of module.*: give it as backbone="
    ):
        regard.load(tmp_path / "m.safetensors")
    heads = timm.create_model("test_vit", num_heads=1)  # no weight has another shape
    assert recognised(heads).arguments == {"num_heads": 1}
    del heads._model_args  # as of versions of timm that do not keep them
    assert "num_heads of module blocks.0.attn differs" in recognised(heads).reason


# -- arguments and files that do not fit ------------------------------------------------------------------------------
def test_what_cannot_be_saved_is_said(tmp_path):
    model, path = attended("se"), tmp_path / "m.safetensors"
    for arguments, error, message in [
        ((model, tmp_path / "m.pt"), ValueError, "a name that ends in .safetensors is needed"),
        ((timm.create_model("test_resnet"), path), ValueError, "model=ResNet: nothing is attached to it"),
        ((model.state_dict(), path), TypeError, "model=OrderedDict: a module is needed"),
        ((model.to("meta"), path), ValueError, "is no tensor with values"),
    ]:
        with pytest.raises(error, match=message):
            regard.save(*arguments)
    with pytest.raises(ValueError, match="only='all': None or 'attention' is needed"):
        regard.save(attended("se"), path, only="all")
    with pytest.raises(ValueError, match="normalise is"):
        regard.save(attended("se"), path, normalise=((0.5,), (0.0,)))
    assert not list(tmp_path.iterdir())


def test_saving_replaces_a_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    regard.save(attended("se"), path)
    before = path.read_bytes()
    monkeypatch.setattr("os.fsync", lambda file: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        regard.save(attended("cbam"), path)
    assert path.read_bytes() == before
    monkeypatch.undo()
    regard.save(attended("cbam"), path)
    assert description.read(path).entry == "cbam"


def test_what_cannot_be_loaded_is_said(tmp_path):
    torch.save(attended("se").state_dict(), tmp_path / "m.pt")
    save_file({"a": torch.zeros(3)}, tmp_path / "bare.safetensors")
    regard.save(attended("se"), tmp_path / "m.safetensors")
    content = (tmp_path / "m.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(content[:-7])
    (tmp_path / "flipped.safetensors").write_bytes(content[:-7] + bytes([content[-7] ^ 1]) + content[-6:])
    for name, error, message in [
        ("m.pt", ValueError, "a .safetensors file is needed; others may run code"),
        ("none.safetensors", FileNotFoundError, "no file"),
        ("bare.safetensors", ValueError, "does not describe its network"),
        ("cut.safetensors", ValueError, "cut.safetensors cannot be read as safetensors"),
        ("flipped.safetensors", ValueError, "flipped.safetensors is damaged"),
    ]:
        with pytest.raises(error, match=message):
            regard.load(tmp_path / name)
    with pytest.raises(TypeError, match="backbone=str: a module is needed"):
        regard.load(tmp_path / "m.safetensors", backbone="resnet18")


def rewritten(path, place, change):
    """Changes what the description in the file says at a place, with a digest that is right."""
    with safe_open(path, framework="pt") as file:
        facts = json.loads(file.metadata()[description.KEY])
    inner = facts
    for key in place:
        inner = inner[key]
    inner.update(change)
    path.write_bytes(sealed_weights(serialised(load_file(path), {description.KEY: json.dumps(facts)})))


ABSURD = {  # what it changes -> where, to what, and a part of the message
    "depth beyond all": (("attached", "options"), {"depth": 10**9}, "description of its network is damaged"),
    "depth": (("attached", "options"), {"depth": 10**6}, "asks for 1,000,000, more than any axis of its 105 tensors"),
    "deep": (("attached", "options"), {"depth": 2**16}, "it has more tensors than fit the 105 tensors of the file"),
    "width": (("attached", "options"), {"embed_dim": 2**16}, "it has more values than fit"),
    "side": (("attached", "options"), {"img_size": 2**16}, "it has more values than fit"),
    "file": (
        ("attached", "options"),
        {"checkpoint_path": "/etc/passwd"},
        "checkpoint_path= of the backbone is refused",
    ),
    "weights": (("attached", "options"), {"pretrained": True}, "pretrained= of the backbone is refused"),
    "device": (("attached", "options"), {"device": "meta"}, "device= of the backbone is refused"),
    "kinds": (("attached", "options"), {"depth": [3], "embed_dim": {"a": None}}, "'test_vit.*' cannot be built|vit"),
    "many classes": (("attached",), {"classes": 2**16}, "it has more values than fit|head.weight has shape"),
    "classes": (("attached",), {"classes": 7}, r"head\.weight has shape \(5, 64\); \(7, 64\) is needed"),
    "no classes": (("attached",), {"classes": "7"}, "description of its network is damaged: attached is"),
    "hub": (("attached",), {"backbone": "hf-hub:some/one"}, "no backbone 'hf-hub:some/one'"),
    "no sites": (("attached",), {"sites": []}, "description of its network is damaged"),
    "sites": (("attached",), {"sites": 3}, "description of its network is damaged"),
    "channels": (("attached", "sites", 0), {"channels": 2**16}, "it has more values than fit"),
    "mechanism": (("attached", "sites", 0), {"mechanism": "os.system"}, "no entry 'os.system'"),
    "system": (("attached", "sites", 0), {"mechanism": "ram"}, "only a mechanism that takes one map"),
    "site": (("attached", "sites", 0), {"site": "blocks.77.mlp"}, "has no module 'blocks.77.mlp'"),
    "axes": (("attached", "sites", 0), {"axes": "B W"}, "description of its network is damaged"),
    "hidden": (("attached", "sites", 0, "arguments"), {"hidden": 2**16}, "it has more values than fit|does not fit"),
    "no hidden": (("attached", "sites", 0, "arguments"), {"hidden": 10**12}, "description of its network is damaged"),
    "image": ((), {"image": [3, 10**9, 10**9]}, "description of its network is damaged: image is"),
    "mean": ((), {"normalise": [[float("nan")] * 3, [1.0] * 3]}, "description of its network is damaged: NaN is no"),
    "format": ((), {"format": 3}, "in a format that .* cannot read"),
}


@pytest.mark.parametrize("name", ABSURD)
def test_an_absurd_description_is_refused_before_it_costs_anything(name, tmp_path):
    place, change, message = ABSURD[name]
    path = tmp_path / "m.safetensors"
    regard.save(attended("se", backbone="test_vit", img_size=48), path)
    rewritten(path, place, change)
    state = torch.get_rng_state()
    for load in (regard.load, lambda path: open_network(weights=path)):
        with pytest.raises((ValueError, LookupError), match=message) as caught:
            load(path)
        assert "m.safetensors" in str(caught.value) and len(str(caught.value)) < 700
    assert torch.equal(torch.get_rng_state(), state)


def test_a_system_that_asks_for_too_much_is_refused(tmp_path):
    """`regard look --weights` builds systems as well, whose depth may be a number in the description."""
    path = tmp_path / "model.safetensors"
    name, arguments = description.arguments(regard.get("wide_resnet").load())
    network = regard.create(name, **arguments)
    what = Trained(entry=name, arguments=arguments, normalise=None, image=(3, 32, 32))
    path.write_bytes(sealed_weights(serialised(network.state_dict(), what.metadata())))
    assert regard.load(path).state_dict().keys() == network.state_dict().keys()
    for depth, message in [
        (10**9, "description of its network is damaged: arguments is"),
        (6 * 10**4 + 4, "wide_resnet cannot be built: it has more"),
        (22, "does not fit wide_resnet: it has no"),
    ]:
        rewritten(path, ("arguments",), {"depth": depth})
        with pytest.raises(ValueError, match=message):
            open_network(weights=path)


# -- files of earlier versions, and of comparisons --------------------------------------------------------------------
@pytest.mark.parametrize("identity", [False, True])
def test_a_file_of_the_first_format_opens(identity, tmp_path):
    """There the description is one call of `attach`."""
    path = tmp_path / "model.safetensors"
    model = regard.create_model("test_resnet", num_classes=5, image_size=48)
    alive(regard.attach(model, "cbam", after=["layer2.0.bn2", "layer3.0.bn3"], identity=identity, reduction=8))
    facts = {
        "format": 1, "version": "0.1.0", "entry": "cbam", "arguments": {}, "normalise": [[0.5] * 3, [0.25] * 3],
        "image": [3, 48, 48], "prefix": "", "recipe": None, "tiny": False,
        "attached": {
            "backbone": "test_resnet", "classes": 5, "after": ["layer2.0.bn2", "layer3.0.bn3"], "identity": identity,
            "arguments": {"reduction": 8},
        },
    }  # fmt: skip
    path.write_bytes(serialised(model.state_dict(), {description.KEY: json.dumps(facts)}))
    assert torch.equal(logits(regard.load(path), image()), logits(model, image()))
    opened = open_network(weights=path)
    assert (opened.name, opened.size, opened.normalise[1]) == ("cbam on test_resnet", (48, 48), [0.25] * 3)
    bare = timm.create_model("test_resnet", num_classes=5).eval()
    assert torch.equal(logits(regard.load(path, backbone=bare), image()), logits(model, image()))
    facts["image"] = [3, 5000, 5000]
    path.write_bytes(serialised(model.state_dict(), {description.KEY: json.dumps(facts)}))
    with pytest.raises(ValueError, match="images of 5000 pixels: at most 4096 are accepted"):
        regard.load(path)


def test_a_narrow_backbone_comes_back_with_the_reductions_that_it_got(tmp_path):
    path = tmp_path / "m.safetensors"
    with pytest.warns(NarrowSite):
        model = regard.create_model("ghostnet_050", attention="se", num_classes=5)
    found = {each.channels: each.arguments for each in attachments(model)}
    assert found == {channels: {"reduction": channels} if channels < 16 else {} for channels in found} and 8 in found
    comes_back(alive(model), path, image(side=64))  # without another warning
    assert [each.arguments for each in description.read(path).attached.sites] == [
        each.arguments for each in attachments(model)
    ]
