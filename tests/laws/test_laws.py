"""Every entry, every option, every law."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import SimpleNamespace

import pytest
from _pytest.mark import ParameterSet
from torch import nn

from regard import catalog
from regard.catalog import Entry
from regard.laws import LAWS, Broken, Subject, subjects

# Nine tenths of the time of all laws: each has a test of its own, and the quick tier asks one of them, in turn, of one
# default for each mechanism file.
COSTLY = ("compiles", "exports", "exports_to_onnx")
# The laws of one constructor, whatever its options: the quick tier asks them of the default of each mechanism.
OF_CONSTRUCTOR = ("names_wrong_arguments", "takes_widths")
# The others are asked of a setting in one test. The options of whole systems are for the slow tier.
TOGETHER = tuple(law for law in LAWS if law not in (*COSTLY, *OF_CONSTRUCTOR))

# Mechanisms that are made of others which have entries of their own.
COMPOSED = frozenset(
    (
        "annet",
        "ccnet",
        "danet",
        "multi_attention_gate",
        "ocrnet",
        "residual_attention",
        "sononet_aggregation",
    )
)
# These and whole systems are compiled and exported, and given wrong arguments, under the defaults of their labels, 15 s
# for one that writes words, and under the options that change the graph in kind: name -> for each of these options a
# part of the name of its subject. What they are made of is asked under all of its own options.
OTHER_GRAPHS: Mapping[str, tuple[str, ...]] = {
    "adaatt": ("maxout=True",),
    "annet": ("auxiliary=7",),
    "att2in": ("into='gates'",),
    "att_lstm": ("proposals=True",),
    "attention_sampling": ("hard='gumbel'",),
    "attention_to_scale": ("extra=True",),
    "attention_unet": ("port=True",),
    "attention_vgg": ("return_compatibility=True",),
    "dram": ("patches=3",),
    "dvsa": ("pairs='sum'",),
    "gain": ("detach=True",),
    "itti": ("scanpath='maxima'",),
    "neural_talk": ("rectified=True",),
    "paper_network": ("nonlocal5_i3d_resnet50_8f",),
    "ra_cnn": ("gradient='mask'",),
    "ram": ("patches=3",),
    "residual_attention": ("unit='resnext'", "unit='inception'"),
    "saliency_net": ("density=True",),
    "scse_segmenter": ("sdnet",),
    "segmenter": ("ocrnet_resnet101", "auxiliary=True"),
    "show_and_tell": ("backbone='convolutions'",),
    "show_attend_tell": ("hard=True", "form='tutorial'"),
    "sononet_aggregation": ("aggregation='separate'",),
    "top_down_captioner": ("boxed=True",),
    "transformer_model": ("norm_first=True",),
}


def asked(entry: Entry, subject: Subject, law: str) -> bool:
    """Whether a law is asked: all are, but those of graphs and of the constructor where they are as the default's."""
    whole = entry.system or entry.name in COMPOSED
    other = any(part in subject.name for part in OTHER_GRAPHS.get(entry.name, ()))
    return law in TOGETHER or not whole or subject.plain or other


def cases() -> Iterator[ParameterSet]:
    """Every subject with laws; the two laws of exporting follow each other, so that one process traces it once."""
    files: list[str] = []
    for entry in catalog.entries():
        file = entry.target.partition(":")[0]
        first = not entry.system and file not in files
        files += [file] if first else []
        for subject in subjects(entry):
            for laws in (TOGETHER, OF_CONSTRUCTOR, *((law,) for law in COSTLY)):
                if not all(asked(entry, subject, law) for law in laws):
                    continue
                quick = subject.plain or not entry.system
                if laws == OF_CONSTRUCTOR:
                    quick = subject.plain and not entry.system
                elif laws != TOGETHER:
                    quick = first and subject.plain and laws[0] == COSTLY[len(files) % len(COSTLY)]
                name = subject.name if laws == TOGETHER else "-".join((subject.name, *laws))
                yield pytest.param(entry, subject, laws, id=name, marks=[] if quick else [pytest.mark.slow])


CASES = list(cases())


def held(entry: Entry, subject: Subject, law: str) -> None:
    """Asks a subject a law. Raises: the error of the law; AssertionError if an exemption from it is not needed."""
    if law not in entry.exempt:
        LAWS[law](subject)
        return
    with suppress(Broken, RuntimeError, TypeError):
        LAWS[law](subject)
        raise AssertionError(f"{subject.name} is exempt from {law} but keeps it")


@pytest.mark.parametrize(("entry", "subject", "laws"), CASES)
def test_law(entry: Entry, subject: Subject, laws: tuple[str, ...], request: pytest.FixtureRequest) -> None:
    """Every law is asked, whatever broke before; docs/robustness.py reads which were kept."""
    broken: dict[str, Exception] = {}
    for law in laws:
        try:
            held(entry, subject, law)
        except Exception as error:  # a module may break a law by any error
            error.add_note(f"law: {law}")
            broken[law] = error
        request.node.user_properties.append((law, "broken" if law in broken else "kept"))
    if broken:
        raise ExceptionGroup(f"{subject.name} breaks {', '.join(broken)}", list(broken.values()))


def test_options_that_are_compiled_exist_once() -> None:
    for name, parts in OTHER_GRAPHS.items():
        options = [subject.name for subject in subjects(catalog.get(name)) if not subject.plain]
        for part in parts:
            assert sum(part in option for option in options) == 1, f"{name}: {part!r} of {options}"
    assert {catalog.get(name).name for name in COMPOSED} == COMPOSED


def test_every_setting_is_held_to_every_law_and_every_mechanism_file_quickly() -> None:
    assert len({case.id for case in CASES}) == len(CASES)
    assert sorted([*TOGETHER, *OF_CONSTRUCTOR, *COSTLY]) == sorted(LAWS)
    whole = [entry for entry in catalog.entries() if entry.system or entry.name in COMPOSED]
    alike = sum(len(entry.options) - len(OTHER_GRAPHS.get(entry.name, ())) for entry in whole)
    settings = sum(len(entry.settings) for entry in catalog.entries())
    assert sum(len(case.values[2]) for case in CASES) == len(LAWS) * settings - len({*COSTLY, *OF_CONSTRUCTOR}) * alike
    quick: dict[str, set[str]] = {}
    for case in CASES:
        entry, _, laws = case.values
        if not case.marks:
            quick.setdefault(entry.target.partition(":")[0], set()).update(laws)
    assert quick.keys() == {entry.target.partition(":")[0] for entry in catalog.entries()}
    assert all(set(TOGETHER) <= laws for laws in quick.values())
    mechanisms = [laws for file, laws in quick.items() if ".mechanism" in file]
    assert all(set(OF_CONSTRUCTOR) <= laws and len(laws & set(COSTLY)) == 1 for laws in mechanisms)
    assert {sum(law in laws for laws in mechanisms) for law in COSTLY} <= {
        len(mechanisms) // 3,
        len(mechanisms) // 3 + 1,
    }


def test_an_exemption_that_is_not_needed_fails_and_no_law_hides_another() -> None:
    sound = Subject("sound", lambda: nn.Conv2d(6, 6, 1), channels=6)
    wrong = Subject("wrong", lambda: nn.Conv2d(6, 6, 2, bias=False), channels=6)
    label = SimpleNamespace(exempt={"shapes": "for no reason"})
    held(label, wrong, "shapes")
    with pytest.raises(AssertionError, match="sound is exempt from shapes but keeps it"):
        held(label, sound, "shapes")
    request = SimpleNamespace(node=SimpleNamespace(user_properties=[]))
    laws = ("shapes", "deterministic", "names_wrong_inputs")
    with pytest.raises(ExceptionGroup, match="wrong breaks shapes, names_wrong_inputs") as found:
        test_law(SimpleNamespace(exempt={}), wrong, laws, request)
    assert request.node.user_properties == [(law, "kept" if law == "deterministic" else "broken") for law in laws]
    assert found.value.exceptions[1].__notes__ == ["law: names_wrong_inputs"]


@pytest.mark.slow
@pytest.mark.parametrize("name", [entry.name for entry in catalog.entries() if not entry.system])
def test_the_default_of_every_mechanism_compiles_with_inductor(name: str) -> None:
    from regard.laws.use import compiles

    compiles(next(subjects(catalog.get(name))), backend="inductor")
