"""The labels and how they are found."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import regard
from regard import catalog
from regard.catalog import Paper, vocabulary
from regard.catalog.naming import plain


def test_create_builds_by_name() -> None:
    gate = regard.create("se", channels=32, reduction=8)
    assert gate.reduce.out_channels == 4


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("cbamm", "cbam, cam or bam"),
        ("see", "se, sse or cse"),
        ("global context block", "gc, "),
        ("qqqqqq", ""),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest_three(wrong: str, near: str) -> None:
    for call in (catalog.get, catalog.create):
        with pytest.raises(LookupError) as caught:
            call(wrong)
        assert str(caught.value).startswith(f"no entry {wrong!r}; did you mean {near}")
        assert str(caught.value).endswith("?")
        assert str(caught.value).count(", ") == 1, "three names: a, b or c"


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("se", "se"), ("SE", "se"), ("SE-Net", "se"), ("senet", "se"), ("squeeze_excite", "se"),
        ("SqueezeExcite", "se"), ("GlobalContext", "gc"), ("GCNet", "gc"), ("non_local", "nonlocal"),
        ("A²-Net", "a2"), ("a2net", "a2"), ("ccnet", "ccnet"), ("genet", "ge"), ("resnet", "paper_network"),
        ("RNNsearch", "rnnsearch"), ("Itti-Koch-Niebur", "itti"),
    ],
)  # fmt: skip
def test_get_takes_names_classes_aliases_and_folders(spelling: str, name: str) -> None:
    assert catalog.get(spelling).name == name


def test_a_paper_of_several_mechanisms_has_to_be_named_more_closely() -> None:
    several = "name one of sononet_gate, sononet_aggregation, gated_sononet"
    with pytest.raises(LookupError, match=f"'sononet' is a paper with several entries: {several}"):
        catalog.get("sononet")


def test_every_spelling_means_one_entry() -> None:
    """No name, class or alias of one entry reads like one of another, like another's folder or like a network."""
    owners: dict[str, set[str]] = {plain(network): {network} for network in catalog.networks()}
    for entry in catalog.entries():
        for spelling in entry.spellings:
            assert plain(spelling), spelling
            owners.setdefault(plain(spelling), set()).add(entry.name)
    assert not {spelling: names for spelling, names in owners.items() if len(names) > 1}
    folders = {plain(entry.folder): entry.folder for entry in catalog.entries()}
    for entry in catalog.entries():
        assert all(folders.get(plain(one), entry.folder) == entry.folder for one in entry.spellings), entry.name
        assert len(set(entry.aliases)) == len(entry.aliases), entry.name
        assert entry.name not in entry.aliases, entry.name


def test_a_network_is_created_by_name_and_is_no_entry() -> None:
    network = regard.create("se_resnet20", classes=7)
    assert type(network).__name__ == "PaperNetwork"
    with pytest.raises(LookupError, match=r"'se_resnet50' is a network of senet: regard.create\('se_resnet50'\)"):
        catalog.get("se_resnet50")
    with pytest.raises(LookupError, match=r"no entry 'se_resnet5'; did you mean se_resnet5.*se_resnet5"):
        regard.create("se_resnet5")


def test_an_argument_that_is_not_known_is_answered_with_those_that_are() -> None:
    with pytest.raises(TypeError) as caught:
        regard.create("se", channels=32, redution=8)
    assert str(caught.value) == (
        "se: no argument 'redution'; did you mean reduction, hidden or bias? "
        "It takes channels, reduction, hidden, bias."
    )
    with pytest.raises(TypeError, match=r"SE-Net: missing a required argument: 'channels'; it takes channels, red"):
        regard.create("SE-Net")
    with pytest.raises(TypeError, match="se_resnet20: no argument 'clases'; did you mean classes"):
        regard.create("se_resnet20", clases=3)
    with pytest.raises(TypeError, match="gradient_transfer: no argument 'x'; did you mean"):
        regard.create("gradient_transfer", x=1)


@pytest.mark.parametrize("entry", catalog.entries(), ids=lambda entry: entry.name)
def test_the_arguments_are_read_without_importing_the_class(entry: catalog.Entry) -> None:
    assert entry.arguments == tuple(inspect.signature(entry.load()).parameters)


def names(**conditions: Any) -> set[str]:
    return {entry.name for entry in catalog.find(**conditions)}


CONDITIONS = {  # of some entries it is known which answer, whatever papers come later
    "since=2021": ({"since": 2021}, lambda entry: entry.paper.year >= 2021, {"fca"}, {"eca", "itti"}),
    "until=2013": ({"until": 2013}, lambda entry: entry.paper.year <= 2013, {"itti", "objectness"}, {"ram"}),
    "one year": ({"since": 2012, "until": 2012}, lambda entry: entry.paper.year == 2012, {"objectness"}, {"itti"}),
    "domain": ({"domain": "self"}, lambda entry: "self" in entry.domains, {"nonlocal", "pam"}, {"se"}),
    "attachable": ({"attachable": True}, lambda entry: entry.drop_in, {"se", "cbam"}, {"ocr", "ram"}),
    "not attachable": ({"attachable": False}, lambda entry: not entry.drop_in, {"ocr", "ram"}, {"se", "cbam"}),
    "acts_on": (
        {"acts_on": "image"},
        lambda entry: "image" in entry.acts_on,
        {"itti", "ram", "dram", "stn", "attention_crop", "ra_cnn", "gradient_transfer"},
        {"se", "pam"},
    ),
    "grain": ({"grain": "value"}, lambda entry: "value" in entry.grain, {"residual_attention", "fpa"}, {"se", "sse"}),
    "kind and drive": (
        {"kind": "focus", "driven_by": "bottom-up"},
        lambda entry: entry.kind == "focus" and entry.driven_by == "bottom-up",
        {"itti", "objectness"},
        {"ram", "se"},
    ),
    "reach and domain": (
        {"reach": "point to region", "domain": "scale"},
        lambda entry: entry.reach == "point to region" and "scale" in entry.domains,
        {"apnb", "afnb", "annet"},
        {"pam", "a2"},
    ),
    "task": ({"task": "captioning"}, lambda entry: "captioning" in entry.tasks, {"sca"}, {"bahdanau"}),
    "task and domain": (
        {"task": "translation", "domain": "cross"},
        lambda entry: "translation" in entry.tasks and "cross" in entry.domains,
        {"bahdanau", "mha", "decoder_layer"},
        {"sinusoidal", "encoder_layer"},
    ),
}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_find_by_every_condition(condition: str) -> None:
    given, holds, among, never = CONDITIONS[condition]
    found = names(**given)
    assert found == {entry.name for entry in catalog.entries() if holds(entry)}
    assert among <= found and not never & found


def test_find_without_conditions_gives_everything() -> None:
    assert catalog.find() == catalog.entries()


def test_soft_hard_and_both() -> None:
    assert names(soft=True) | names(soft=False) == names()
    assert names(soft=False) >= {"ram", "dram", "attention_crop", "ra_cnn"}
    assert names(soft=True) & names(soft=False) >= {"attention_crop", "ra_cnn"}
    assert [catalog.get(name).weights for name in ("se", "ram", "ra_cnn")] == ["soft", "hard", "both"]


def test_mixed_is_channel_and_spatial_together() -> None:
    assert names(domain="mixed") == names(mixed=True) == names(domain="channel+spatial")
    assert names(domain=("spatial", "channel")) == names(mixed=True)
    assert "cbam" in names(mixed=True)
    assert {"se", "sse", "nonlocal"} <= names(mixed=False)
    assert names(mixed=True) | names(mixed=False) == names()
    assert names(domain="mixed+scale") >= {"fpa"}


def test_patterns_fit_names_folders_classes_and_aliases() -> None:
    assert names(pattern="*eca*") >= {"eca", "eca_ns"}
    assert names(pattern="ECA") == {"eca"}  # capitals do not count; without a wildcard it is the whole name
    assert names(pattern="pan") == {"fpa", "gau", "pan_decoder", "pan"}  # a folder
    assert names(pattern="criss-cross*") >= {"cca"}  # an alias
    assert names(pattern="*squeezeexcite") >= {"se", "cse", "sse", "scse"}  # classes
    assert names(pattern="?se", soft=True) >= {"cse", "sse"}
    assert names(pattern="nothing*") == set()


@pytest.mark.parametrize(
    ("axis", "wrong", "near"),
    [
        ("domain", "chanel", "channel"), ("domain", "self+chanel", "channel"), ("acts_on", "feature", "features"),
        ("grain", "pixel", "position"), ("kind", "weight", "weights"), ("driven_by", "top-down", "bottom-up"),
        ("reach", "point to points", "point to point"), ("task", "segment", "segmentation"),
    ],
)  # fmt: skip
def test_a_wrong_word_is_answered_with_the_nearest(axis: str, wrong: str, near: str) -> None:
    with pytest.raises(LookupError, match=f"no {axis} '{wrong.rpartition('+')[2]}'; did you mean .*{near}"):
        catalog.find(**{axis: wrong})  # type: ignore[arg-type]


def test_settings_fill_in_what_an_option_leaves_open() -> None:
    default, *options = catalog.get("nonlocal").settings
    assert default.kwargs == {"channels": 6}
    assert default.inputs == ("B C H W",)
    video = next(option for option in options if option.kwargs.get("dims") == 3)
    assert video.inputs == ("B C T H W",)
    assert video.maps == {"affinity": "B Q K"}
    average = next(option for option in catalog.get("gc").settings if option.kwargs.get("pool") == "average")
    assert average.maps == {}


def test_sections_of_the_header_are_read_without_importing_it() -> None:
    entry = catalog.get("cbam")
    assert entry.summary.startswith("Channel gate from several pools")
    assert entry.section("Deviations").startswith("paper, Eq. 3")
    assert "Errata" not in entry.section("Deviations")
    assert entry.section("No such section") == ""


def test_papers_point_somewhere() -> None:
    assert Paper("T", "A", "V", 2018, arxiv="1709.01507").url == "https://arxiv.org/abs/1709.01507"
    assert Paper("T", "A", "V", 2018, doi="10.1/x").url == "https://doi.org/10.1/x"
    assert Paper("T", "A", "V", 1998).url is None


def test_labels_are_in_order_and_unique() -> None:
    entries = catalog.entries()
    assert [entry.paper.year for entry in entries] == sorted(entry.paper.year for entry in entries)
    assert len({entry.name for entry in entries}) == len(entries)
    assert all(entry.paper.url for entry in entries)


@pytest.mark.parametrize("entry", catalog.entries(), ids=lambda entry: entry.name)
def test_every_word_of_a_label_is_in_the_vocabulary(entry: catalog.Entry) -> None:
    for words, known in (
        (entry.domains, vocabulary.DOMAINS),
        (entry.acts_on, vocabulary.ACTS_ON),
        (entry.grain, vocabulary.GRAINS),
        (entry.tasks, vocabulary.TASKS),
    ):
        assert words
        assert set(words) <= set(known)
        assert len(set(words)) == len(words)
    assert entry.kind in vocabulary.KINDS
    assert entry.driven_by in vocabulary.DRIVEN_BY
    assert entry.reach is None or entry.reach in vocabulary.REACHES
    assert entry.parity in vocabulary.PARITIES
    assert set(entry.exempt) <= set(vocabulary.LAWS)


def test_what_relates_pairs_says_so() -> None:
    """A map over pairs (of positions, channels or items) and the axis `reach` go together."""
    for entry in catalog.entries():
        shown = [axes.split() for setting in entry.settings for axes in (setting.maps or {}).values()]
        pairs = any(set(axes) >= {"Q", "K"} or axes[-2:] in (["C", "C"], ["Q", "S"]) for axes in shown)
        assert entry.reach is not None or not pairs or entry.name in ("paper_network", "isqrt_covariance"), entry.name


def test_every_word_of_the_vocabulary_is_used() -> None:
    entries = catalog.entries()
    assert {word for entry in entries for word in entry.domains} == set(vocabulary.DOMAINS)
    assert {word for entry in entries for word in entry.acts_on} == set(vocabulary.ACTS_ON)
    assert {word for entry in entries for word in entry.grain} == set(vocabulary.GRAINS)
    assert {word for entry in entries for word in entry.tasks} == set(vocabulary.TASKS)
    assert {entry.reach for entry in entries} == {None, *vocabulary.REACHES}


def test_the_laws_of_the_vocabulary_are_those_that_are_asked() -> None:
    from regard import laws

    assert tuple(laws.LAWS) == vocabulary.LAWS
