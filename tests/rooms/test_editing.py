"""`regard.edit`: which maps act, nesting, gradients, compiled models, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import regard
from regard import edits


class Gate(regard.Attention):
    maps = {"gate": "B C 1 1"}  # noqa: RUF012

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.score = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.score(x.mean((2, 3))).sigmoid()[:, :, None, None]
        return x * self.see("gate", gate)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 1), Gate(), nn.Conv2d(3, 3, 1), Gate()).eval()


IMAGES = torch.linspace(-1, 1, 2 * 2 * 5 * 7).view(2, 2, 5, 7)


def test_the_network_computes_with_the_edited_map_and_watch_records_it() -> None:
    model = network()
    with regard.edit(model, {"1/gate": edits.constant(2)}), regard.watch(model) as maps:
        edited = model(IMAGES)
    assert torch.equal(maps["1/gate"][0], torch.full((2, 3, 1, 1), 2.0))
    assert torch.equal(edited, model[3](model[2](2 * model[0](IMAGES))))


def test_watch_and_edit_nest_in_any_order_and_edits_act_in_the_order_of_entering() -> None:
    model = network()
    plain = model(IMAGES)
    with (
        regard.watch(model) as outer,
        regard.edit(model, {"1/gate": edits.constant(2)}),
        regard.edit(model, {"*/gate": edits.scale(3)}),
        regard.watch(model) as inner,
    ):
        model(IMAGES)
    assert torch.equal(outer["1/gate"][0], torch.full((2, 3, 1, 1), 6.0))
    assert torch.equal(outer["1/gate"][0], inner["1/gate"][0])
    assert torch.equal(outer["3/gate"][0], inner["3/gate"][0])
    assert torch.equal(model(IMAGES), plain)


def test_patterns_of_one_edit_act_in_their_order() -> None:
    model = network()
    with regard.edit(model, {"1/*": edits.constant(2), "?/gate": edits.scale(0.5)}), regard.watch(model) as maps:
        model(IMAGES)
    assert torch.equal(maps["1/gate"][0], torch.ones(2, 3, 1, 1))


def test_the_identity_changes_no_bit_and_gradients_reach_the_edits_own_parameters() -> None:
    model = network()
    strength = torch.tensor(1.0, requires_grad=True)
    told: list[tuple[str, str, dict[str, object]]] = []

    def weaker(map: Tensor, *, key: str, axes: str, grids: dict[str, object]) -> Tensor:
        told.append((key, axes, grids))
        return map * strength

    plain = model(IMAGES)
    with regard.edit(model, {"3/gate": lambda map, **_: map}):
        assert torch.equal(model(IMAGES), plain)
    with regard.edit(model, {"3/gate": weaker}):
        out = model(IMAGES)
    assert torch.equal(out, plain)
    assert told == [("3/gate", "B C 1 1", {})]
    (gradient,) = torch.autograd.grad(out.sum(), strength)
    torch.testing.assert_close(gradient, plain.sum())  # the output is linear in the last gate


@pytest.mark.slow
def test_a_compiled_model_gives_the_eager_edited_output_and_afterwards_its_old_one() -> None:
    model = network()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    with torch.no_grad():
        plain = compiled(IMAGES)
        with regard.edit(model, {"1/gate": edits.constant(2)}):
            wanted = model(IMAGES)
        with regard.edit(compiled, {"1/gate": edits.constant(2)}), regard.watch(compiled) as maps:
            edited = compiled(IMAGES)
        assert torch.equal(edited, wanted)
        assert sorted(maps) == ["1/gate", "3/gate"]
        assert torch.equal(compiled(IMAGES), plain)
        assert not torch.equal(plain, wanted)


def test_a_pattern_that_fits_nothing_or_a_map_that_is_never_formed_raises_at_the_end() -> None:
    model = network()
    with (
        pytest.raises(ValueError, match=r"'layer4/gate' fits no map that was formed; there were 1/gate, 3/gate"),
        regard.edit(model, {"layer4/gate": edits.uniform()}),
    ):
        model(IMAGES)
    with (
        pytest.raises(ValueError, match="'1/gate': no map was formed while the block ran"),
        regard.edit(model, {"1/gate": edits.uniform()}),
    ):
        pass
    with pytest.raises(KeyError, match="the user's own"), regard.edit(model, {"nothing": edits.uniform()}):
        raise KeyError("the user's own")  # is not hidden by the pattern


def test_what_is_no_edit_is_refused() -> None:
    model = network()
    with (
        pytest.raises(TypeError, match=r"'1/gate': an edit of regard.edits or a function is needed, not 2"),
        regard.edit(model, {"1/gate": 2}),  # type: ignore[dict-item]
    ):
        pass
    with (
        pytest.raises(TypeError, match="the edit of 1/gate returns NoneType: a tensor is needed"),
        regard.edit(model, {"1/gate": lambda map, **_: None}),
    ):
        model(IMAGES)
    with (
        pytest.raises(ValueError, match=r"the edit of 1/gate returns \(2, 3\) on cpu: \(2, 3, 1, 1\) on cpu is needed"),
        regard.edit(model, {"1/gate": lambda map, **_: map[:, :, 0, 0]}),
    ):
        model(IMAGES)
    with pytest.raises(ValueError, match="nothing else in it attended"), regard.edit(nn.ReLU(), {"*": edits.uniform()}):
        pass
    model(IMAGES)  # nobody listens any more
    assert all(module.watcher is None for module in model if isinstance(module, Gate))


def test_the_type_of_a_half_precision_map_is_kept() -> None:
    model = network().bfloat16()
    with regard.edit(model, {"1/gate": lambda map, **_: map.double()}), regard.watch(model) as maps:
        model(IMAGES.bfloat16())
    assert maps["1/gate"][0].dtype == torch.bfloat16


def test_a_map_that_is_shown_only_is_refused_at_once() -> None:
    model = regard.create("itti").eval()
    with (
        pytest.raises(ValueError, match=r"'scan.*': scanpath is shown only: no edit of it changes what"),
        regard.edit(model, {"scan*": edits.uniform()}),
    ):
        raise AssertionError("the block is not entered")


class ShowsOnly(Gate):
    def forward(self, x: Tensor) -> Tensor:
        self.show("gate", self.score(x.mean((2, 3)))[:, :, None, None])
        return x


def test_a_class_without_a_label_says_by_show_that_a_map_does_not_act() -> None:
    model = nn.Sequential(ShowsOnly(2))
    with (
        pytest.raises(ValueError, match="'0/gate': 0/gate is shown only"),
        regard.watch(model) as maps,
        regard.edit(model, {"0/gate": edits.uniform()}),
    ):
        model(IMAGES)
    assert list(maps) == ["0/gate"]


def test_fused_paths_are_left_while_a_map_is_edited() -> None:
    model = regard.create("mha", 6, heads=2).eval()
    torch.manual_seed(0)
    x = torch.randn(2, 5, 6)
    with torch.no_grad():
        with regard.edit(model, {"affinity": edits.uniform()}):
            even = model(x)
        assert not torch.allclose(even, model(x), atol=1e-4)
        torch.testing.assert_close(even, even.mean(1, keepdim=True).expand_as(even))  # each query gets the same mean


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [("pam", {"hard": "argmax"}), ("nonlocal", {"hard": "top-k", "top_k": 2}), ("gc", {"hard": "argmax", "hidden": 4})],
)
def test_hard_choices_are_made_with_the_map_that_is_returned(name: str, kwargs: dict[str, object]) -> None:
    torch.manual_seed(0)
    model = regard.create(name, 8, **kwargs).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, 0.1, 0.3)
    x = torch.randn(2, 8, 3, 5)
    with torch.no_grad():
        plain = model(x)
        with regard.edit(model, {"*": lambda map, **_: map.roll(1, -1)}):
            edited = model(x)
    assert (edited - plain).abs().max() > 1e-3


def test_a_captioner_looks_where_an_edit_says_word_by_word() -> None:
    torch.manual_seed(0)
    model = regard.create("show_attend_tell", 4, vocabulary=11, embed=3, hidden=5, attention=6, selector=False).eval()
    image, words = torch.randn(2, 4, 3, 5), torch.tensor([[1, 4, 7], [1, 9, 5]])
    places = torch.zeros(1, 3, 3, 5)  # one place for each of three words
    for word, (row, column) in enumerate([(0, 1), (2, 4), (1, 0)]):
        places[0, word, row, column] = 1
    with torch.no_grad(), regard.edit(model, {"attention": edits.swap(places)}), regard.watch(model) as maps:
        edited = model(image, words)
    (looked,) = maps["attention"]
    assert torch.equal(looked, places.expand(2, -1, -1, -1))
    with torch.no_grad():
        state = model.start(image)
        for word, (row, column) in enumerate([(0, 1), (2, 4), (1, 0)]):
            alone = torch.zeros(2, 15)
            alone[:, 5 * row + column] = 1
            logits, state, _ = model.advance(model.words(words[:, word]), state, choices=[alone])
            torch.testing.assert_close(logits.log_softmax(-1), edited[:, word])


def test_ram_looks_at_an_edited_place() -> None:
    torch.manual_seed(0)
    model = regard.create("ram", 1, glimpses=3, glimpse_size=4).eval()
    x = torch.zeros(1, 1, 20, 20)
    x[..., 12:18, 2:8] = 1  # a bright square around (-0.5, 0.5)
    square = torch.tensor([-0.5, 0.5]).view(1, 1, 2)
    with (
        torch.no_grad(),
        regard.edit(model, {"path": lambda map, **_: square.expand_as(map)}),
        regard.watch(model) as maps,
    ):
        edited = model(x)
    assert torch.equal(maps["path"][0], square.expand(1, 3, 2))
    torch.testing.assert_close(maps["glimpse"][0][0, 0], torch.tensor([-0.7, 0.3, -0.3, 0.7]))
    with torch.no_grad(), regard.edit(model, {"path": lambda map, **_: square.expand_as(map)}):
        torch.testing.assert_close(model(torch.ones_like(x)), edited)  # every glimpse is all bright


def test_ra_cnn_enlarges_an_edited_square_of_the_whole_image() -> None:
    torch.manual_seed(0)
    model = regard.create(
        "ra_cnn", 2, classes=5, image_size=24, crop_size=12, backbone=None, widths=(3, 4), hidden=6
    ).eval()
    left, inner = torch.tensor([-1.0, -1.0, 0.0, 0.0]), torch.tensor([-0.5, -0.5, 0.0, 0.0])
    squares = iter([left, inner])
    x = torch.randn(1, 2, 24, 24)
    with torch.no_grad(), regard.edit(model, {"glimpse": lambda map, **_: next(squares).expand_as(map)}):
        views = model(x, views=True)
    torch.testing.assert_close(views.boxes[0], torch.stack([left, inner]))
    torch.testing.assert_close(views.images[1][..., 2:-2, 2:-2], x[..., 2:10, 2:10])  # 12 pixels stay 12


def test_maps_of_rounded_places_are_kept_inside_the_image() -> None:
    model = regard.create("attention_crop", size=6).eval()
    x, square = torch.randn(2, 3, 12, 10), torch.tensor([[5.0, 6.0, 3.0], [4.0, 4.0, 3.0]])
    outside = torch.tensor([-4.0, 0.5, 7.0, 0.25])
    with regard.edit(model, {"glimpse": lambda map, **_: outside.expand_as(map)}):
        assert model(x, square).isfinite().all()


def _by_hand(block: nn.Module, x: Tensor, ablated: int) -> Tensor:
    """timm's attention in plain steps, with the output of one head zeroed."""
    batch, count, width = x.shape
    heads = block.num_heads
    q, k, v = block.qkv(x).view(batch, count, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
    out = (q @ k.mT * (width // heads) ** -0.5).softmax(-1) @ v
    out[:, ablated] = 0
    return block.proj(out.transpose(1, 2).reshape(batch, count, width))


@pytest.mark.slow
def test_ablating_a_head_of_a_foreign_transformer_zeroes_the_output_slice_of_the_head() -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2).eval()
    x, seen = torch.randn(2, 3, 32, 32), []
    attention = model.blocks[1].attn
    hook = attention.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0].clone(), output.clone())))
    with torch.no_grad():
        plain = model(x)
        with regard.edit(model, {"blocks.1.attn/affinity": edits.ablate(head=2)}), regard.watch(model) as maps:
            edited = model(x)
        hook.remove()
        torch.testing.assert_close(seen[1][1], _by_hand(attention, seen[1][0], 2))
        attention.forward = lambda x, *_, **__: _by_hand(attention, x, 2)
        torch.testing.assert_close(edited, model(x))
    assert not maps["blocks.1.attn/affinity"][0][:, 2].any()
    assert maps["blocks.0.attn/affinity"][0].all()
    assert (edited - plain).abs().max() > 1e-3


@pytest.mark.slow
def test_ablating_a_channel_of_a_foreign_gate_zeroes_the_channel() -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    model = timm.create_model("seresnet50", zero_init_last=False).eval()
    x, seen = torch.randn(2, 3, 40, 40), []
    name = next(name for name, _ in model.named_modules() if name.endswith("layer1.0.se"))
    gated = model.get_submodule(name)
    hook = gated.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0].clone(), output.clone())))
    with torch.no_grad():
        plain = model(x)
        with regard.edit(model, {f"{name}/gate": edits.ablate(channel=[1, 5])}):
            edited = model(x)
        with regard.edit(model, {f"{name}/gate": lambda map, **_: map}):
            same = model(x)
    hook.remove()
    inside, output = seen[1]
    assert not output[:, [1, 5]].any()
    rest = [channel for channel in range(output.shape[1]) if channel not in (1, 5)]
    torch.testing.assert_close(output[:, rest], seen[0][1][:, rest])
    assert inside[:, [1, 5]].any()
    torch.testing.assert_close(same, plain)
    assert not torch.allclose(edited, plain)
