"""Rows of a comparison: how they are written, where they go, and that a trial says all of it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from regard import cli
from regard.attaching import attach
from regard.catalog import rows
from regard.catalog.rows import NONE, PLAIN, Variant, parse
from regard.comparing import Comparison, Trial, building, compare
from regard.comparing import trial as trials
from regard.core import Attention
from regard.data import load
from regard.saved.opening import open_network

TINY = {"backbone": "test_resnet", "seeds": 1, "epochs": 1, "image_size": 48, "train_size": 32, "test_size": 20}
SITES = ("layer1.0.bn2", "layer2.0.bn2", "layer3.0.bn3", "layer4.0.bn2")
PARALLEL = "cbam(order=parallel)@layer2+layer3"


# ---- the text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cbam", Variant("cbam")),
        (" SE-Net ", Variant("se")),
        ("ConvBlockAttention(order=parallel)", Variant("cbam", {"order": "parallel"})),
        ("cbam(kernel_size=3, norm=False)", Variant("cbam", {"kernel_size": 3, "norm": False})),
        ("cbam(norm=false,reduction=8)", Variant("cbam", {"reduction": 8, "norm": False})),
        ("cbam(pools=[avg, 'lp'])", Variant("cbam", {"pools": ["avg", "lp"]})),
        ('cbam(pools=("max", "lse"))', Variant("cbam", {"pools": ["max", "lse"]})),
        ("cbam(hidden=null)", Variant("cbam", {"hidden": None})),
        ("cbam@layer3+layer4", Variant("cbam", {}, ("layer3", "layer4"))),
        ("cbam()@ layer[34].*.bn2 + layer1", Variant("cbam", {}, ("layer[34].*.bn2", "layer1"))),
        ("all@layer4", Variant("all", {}, ("layer4",))),
    ],
)
def test_a_row_is_read_and_its_text_reads_the_same(text, expected):
    found = parse(text)
    assert found == expected
    assert parse(str(found)) == expected
    assert str(parse(str(found))) == str(found)


def test_one_row_has_one_text_however_it_is_written():
    ways = ["cbam(norm=False, order=parallel)@layer3", "CBAM( order = 'parallel',norm=false )@layer3+layer3"]
    assert {str(parse(way)) for way in ways} == {"cbam(norm=false, order=parallel)@layer3"}
    assert str(parse("cbam(pools=[avg, 'a b'])")) == "cbam(pools=[avg, 'a b'])"


def test_values_keep_their_kind():
    """A text that looks like a number or a constant stays a text."""
    for value in ("7", "true", "None", "-1", "a, b", "x)", "it's", 'say "no"', "", "ü"):
        row = Variant("cbam", {"order": value})
        assert parse(str(row)) == row, str(row)
    for value in (7, -1, 0.5, 1e-12, True, False, None, [1, [2, "x"]], {"a": [None, True, "b"]}):
        row = Variant("cbam", {"order": value})
        assert parse(str(row)) == row and type(parse(str(row)).options["order"]) is type(value)


def test_commas_inside_brackets_and_quotes_separate_nothing():
    text = (
        "cbam, cbam(order=parallel, pools=[avg, max])@layer3+layer4, residual_attention(mask=channel), sca(order='sc'),"
    )
    assert [str(row) for row in rows.rows(text)] == [
        "cbam",
        "cbam(order=parallel, pools=[avg, max])@layer3+layer4",
        "residual_attention(mask=channel)",
        "sca(order=sc)",
    ]
    assert rows.rows(["se, eca", "SE", "squeeze_excite"]) == (Variant("se"), Variant("eca"))


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("cbamm", LookupError, "no entry 'cbamm'; did you mean cbam"),
        ("cbam@", ValueError, "names of modules follow '@'"),
        ("cbam@layer3+", ValueError, "names of modules follow '@'"),
        ("@layer3", ValueError, "begins with the name of a mechanism"),
        ("cbam(order=parallel", ValueError, r"'\)' is missing at the end"),
        ("cbam(order='parallel)", ValueError, "\"'\" is missing at the end|'\\\\'' is missing|is missing at the end"),
        ("cbam(pools=[avg)]", ValueError, r"'\)' closes no bracket"),
        ("cbam)", ValueError, r"'\)' closes no bracket"),
        ("cbam(order=parallel)x", ValueError, r"the options end with '\)'"),
        ("cbam(parallel)", ValueError, "'parallel' is no option; name=value is accepted"),
        ("cbam(order=)", ValueError, "'order=' is no option"),
        ("cbam(norm=true, norm=false)", ValueError, "the option norm is given twice"),
        ("cbam(channels=8)", ValueError, "channels is known from the place"),
        ("cbam(ordr=parallel)", ValueError, "no argument 'ordr'; did you mean order"),
        ("cbam(kernel_size=7+)", ValueError, r"'7\+' is no value"),
        ("cbam(kernel_size=__import__('os'))", ValueError, "is no value"),
        ("none@layer3", ValueError, "none is a reference row"),
        ("plain(width=3)", ValueError, "plain is a reference row"),
        ("all(reduction=4)", ValueError, "all stands for many mechanisms"),
        ("mha", ValueError, "mha makes .*what makes one map B C H W of another is accepted"),
    ],
)
def test_a_row_that_cannot_be_read_says_why(text, kind, said):
    with pytest.raises(kind, match=said):
        parse(text)


def test_folders_are_safe_and_differ_where_rows_do():
    texts = ["se", "cbam", PARALLEL, "cbam(order='a/b')", "cbam(order='A/b')", "cbam@layer3.*", "cbam@layer3.?"]
    names = [rows.folder(text) for text in texts]
    assert names[:2] == ["se", "cbam"] and len({name.lower() for name in names}) == len(texts)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-") for name in names)
    assert len(rows.folder("cbam@" + "+".join(f"layer{i}" for i in range(100)))) < 80
    assert Trial("se", 3).folder == str(Trial("se", 3)) == "se-3"
    assert Trial(PARALLEL, 3).folder == f"{rows.folder(PARALLEL)}-3"


def test_rows_are_read_without_torch():
    code = "import sys; from regard.catalog.rows import rows; rows('cbam(order=parallel)@layer3'); "
    subprocess.run([sys.executable, "-c", code + "assert 'torch' not in sys.modules"], check=True)


def test_settings_know_each_row_once():
    found = Comparison(attention=("se, CBAM(order=parallel)@layer3", "se", "plain"))
    assert found.attention == (NONE, PLAIN, "se", "cbam(order=parallel)@layer3")
    assert [str(trial) for trial in found.trials][-1] == "cbam(order=parallel)@layer3-2"


# ---- where they go


@pytest.fixture(scope="module")
def images():
    return load("digits", image_size=48, train_size=32, test_size=20)


def surveyed(images, *attention, **changed):
    settings = Comparison(**{**TINY, "attention": attention, **changed})
    return settings, building.survey(settings, images)


def test_a_place_is_a_stage_a_pattern_or_a_module(images):
    wanted = {
        "se": SITES,
        "se@layer2": SITES[1:2],
        "se@layer3+layer2": SITES[1:3],
        "se@layer*.*.bn2": ("layer1.0.bn2", "layer2.0.bn2", "layer3.0.bn2", "layer4.0.bn2"),
        "se@layer3.0.bn3": ("layer3.0.bn3",),
        "se@layer3.[0]": ("layer3.0",),
        "se@layer2.0.conv1": ("layer2.0.conv1",),
        "se@layer4+layer4.*": ("layer4.0.bn2", "layer4.0"),
    }
    settings, blueprint = surveyed(images, *wanted)
    assert settings.rows == tuple(wanted)
    assert {row: blueprint.places[row].sites for row in wanted} == wanted
    together = blueprint.places[NONE].sites
    assert set(together) == {site for sites in wanted.values() for site in sites}
    assert together.index("layer3.0.bn2") < together.index("layer3.0.bn3") < together.index("layer3.0")
    assert len({(place.explained, place.layout) for place in blueprint.places.values()}) == 1
    model = building.build(settings, "se@layer3.[0]", 0, images, blueprint)
    assert [name for name, module in model.named_modules() if isinstance(module, Attention)] == ["layer3.0.attention"]


def test_after_decides_only_for_rows_without_a_place(images):
    _, blueprint = surveyed(images, "se", "se@layer2", after=("layer1.0.conv2",))
    assert blueprint.places["se"].sites == ("layer1.0.conv2",)
    assert blueprint.places["se@layer2"].sites == ("layer2.0.bn2",)


def test_plain_is_as_large_as_the_largest_row_at_its_sites(images):
    settings, blueprint = surveyed(images, "eca", "se(reduction=2)@layer2+layer4", "cbam@layer3")
    assert blueprint.largest == "se(reduction=2)@layer2+layer4"
    assert blueprint.places[PLAIN] == blueprint.places[blueprint.largest]
    assert blueprint.added[PLAIN] == pytest.approx(blueprint.added[blueprint.largest], rel=0.02)
    assert len(blueprint.widths) == 2
    model = building.build(settings, PLAIN, 0, images, blueprint)
    attached = {name for name, _ in model.named_modules() if name.endswith(".attention")}
    assert attached == {"layer2.0.bn2.attention", "layer4.0.bn2.attention"}


def test_options_reach_the_mechanism(images):
    settings, blueprint = surveyed(images, "cbam", PARALLEL, "cbam(kernel_size=3)")
    orders = {row: building.build(settings, row, 0, images, blueprint).layer3[0].bn3.attention for row in settings.rows}
    assert [module.order for module in orders.values()] == ["channel-spatial", "parallel", "channel-spatial"]
    assert orders["cbam(kernel_size=3)"].conv.kernel_size == (3, 3)
    assert blueprint.added["cbam"] - blueprint.added["cbam(kernel_size=3)"] == len(SITES) * 2 * (49 - 9)


@pytest.mark.parametrize(
    ("row", "kind", "said"),
    [
        ("se@layer9", LookupError, r"attention='se@layer9'.*'layer9' matches no module"),
        ("se@fc", ValueError, r"attention='se@fc'.*fc"),
        ("cbam(kernel_size=4)", ValueError, r"attention='cbam\(kernel_size=4\)'.*kernel_size=4"),
        ("cbam(order=sideways)@layer2", ValueError, r"attention='cbam\(order=sideways\)@layer2'.*order='sideways'"),
    ],
)
def test_a_row_that_does_not_fit_is_named_before_any_training(images, row, kind, said):
    with pytest.raises(kind, match=said):
        surveyed(images, "se", row)


@pytest.mark.slow
def test_all_takes_a_place(images):
    settings, left_out = building.fitting(Comparison(**{**TINY, "attention": ("all@layer2", "eca@layer2")}), images)
    assert {rows.parse(row).places for row in settings.rows} == {("layer2",)}
    assert settings.rows.count("eca@layer2") == 1 and "se@layer2" in settings.rows
    assert all(row.endswith("@layer2") for row in left_out)


# ---- what is written


def test_a_trial_says_its_options_and_place_and_opens_with_them(images, tmp_path):
    settings, blueprint = surveyed(images, "se", PARALLEL, identity=True)
    outcome = trials.run(
        settings, Trial(PARALLEL, 0), images, blueprint, folder=None, device=torch.device("cpu"),
        on_step=lambda done, total: None,
    )  # fmt: skip
    assert outcome.record.row == PARALLEL
    (tmp_path / "model.safetensors").write_bytes(outcome.weights)
    opened = open_network(weights=tmp_path)
    saved = load_file(tmp_path / "model.safetensors")
    attached = {name: m for name, m in opened.model.named_modules() if isinstance(m, Attention)}
    assert list(attached) == ["layer2.0.bn2.attention", "layer3.0.bn3.attention"]
    assert all(module.order == "parallel" for module in attached.values())
    assert opened.trained and set(opened.model.state_dict()) == set(saved)
    assert all(torch.equal(opened.model.state_dict()[name], saved[name]) for name in saved)


def test_rows_differ_by_nothing_but_the_attention(images):
    """The same mechanism at the same site, named in two ways: only what is attached draws anew."""
    settings, blueprint = surveyed(images, "se@layer2", "se@layer2.0.bn2")
    one, two = (building.build(settings, row, 0, images, blueprint).state_dict() for row in settings.rows)
    assert one.keys() == two.keys()
    differ = [name for name in one if not torch.equal(one[name], two[name])]
    assert differ and all(".attention." in name for name in differ)
    assert {name for name in one if ".attention." in name and one[name].dim() > 1} <= set(differ)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("rows") / "out"
    found = compare("digits", attention=f"SE, {PARALLEL}", out=out, patience=0.05, **{**TINY, "batch_size": 16})
    return out, found


@pytest.mark.slow
def test_every_file_of_a_run_knows_a_row_by_its_text(finished):
    out, found = finished
    names = [NONE, PLAIN, "se", PARALLEL]
    assert [record.row for record in found.records] == names
    assert [row.name for row in found.rows][:2] == names[:2], "the references stand first, then the best"
    assert {row.name: (row.domains, row.through) for row in found.rows[2:]} == {
        "se": (("channel",), "Grad-CAM"), PARALLEL: (("channel", "spatial"), "spatial map"),
    }  # fmt: skip
    assert list(json.loads((out / "costs.json").read_text())) == [*names, "digest"]
    assert {path.name for path in (out / "trials").iterdir()} == {f"{rows.folder(name)}-0" for name in names}
    assert found.run["places"] == {PARALLEL: ["layer2.0.bn2", "layer3.0.bn3"]} and found.run["sites"] == list(SITES)
    assert f"--attention 'se, {PARALLEL}'" in found.run["command"]
    assert any("at the sites of the largest row; the largest row here, se, adds" in each for each in found.sentences)
    page = found.report().read_text(encoding="utf-8")
    assert page.count(f'data-m="{PARALLEL}"') > 3 and f"{PARALLEL} after" in page
    assert Path(out / "report.html").is_file() and PARALLEL in str(found)


def test_the_command_of_a_run_goes_on_with_it(finished, capsys):
    out, found = finished
    before = (out / "results.jsonl").read_bytes()
    with pytest.raises(SystemExit) as end:
        cli.main(shlex.split(found.run["command"])[1:])
    assert not end.value.code
    printed = capsys.readouterr().out
    assert f"\n[1] {PARALLEL}\n" in printed, "a name too long for the table stands below it"
    assert any(line.startswith("[1] ") and line.count(" ") > 8 for line in printed.splitlines())
    assert (out / "results.jsonl").read_bytes() == before


def test_a_row_by_hand_is_the_same_model(images):
    """Building a row is attaching it."""
    settings, blueprint = surveyed(images, PARALLEL)
    built = building.build(settings, PARALLEL, 0, images, blueprint).eval()
    bare = building.build(settings, NONE, 0, images, blueprint).eval()
    attach(bare, "cbam", after=["layer2.0.bn2", "layer3.0.bn3"], order="parallel", example=images.test.images([0]))
    bare.load_state_dict(built.state_dict())
    x = images.test.images([0, 1, 2])
    with torch.no_grad():
        assert torch.equal(built(x), bare(x))
