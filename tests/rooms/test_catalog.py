"""The labels and how they are found."""

from __future__ import annotations

import pytest

import regard
from regard import catalog
from regard.catalog import DOMAINS, Paper


def test_create_builds_by_name() -> None:
    gate = regard.create("se", channels=32, reduction=8)
    assert gate.reduce.out_channels == 4


@pytest.mark.parametrize(("wrong", "near"), [("cbamm", "cbam"), ("non_local", "nonlocal"), ("SE", "se")])
def test_a_wrong_name_is_answered_with_the_nearest(wrong: str, near: str) -> None:
    with pytest.raises(LookupError, match=f"no entry '{wrong}'; did you mean .*{near}"):
        regard.create(wrong, channels=8)


def test_a_hopeless_name_is_answered_with_all() -> None:
    with pytest.raises(LookupError, match=r"known: .*\bse, nonlocal, cbam\b"):
        catalog.get("qqqqqq")


def test_find_by_every_condition() -> None:
    assert {entry.name for entry in catalog.find(domain="self")} == {
        entry.name for entry in catalog.entries() if "self" in entry.domains
    }
    assert all(entry.paper.year >= 2019 for entry in catalog.find(since=2019))
    assert {entry.name for entry in catalog.find(since=2019)} >= {"gc", "eca"}
    assert all(entry.paper.year <= 2018 for entry in catalog.find(until=2018))
    assert "cbam" in {entry.name for entry in catalog.find(domain="mixed")}
    assert "se" not in {entry.name for entry in catalog.find(mixed=True)}
    assert catalog.find() == catalog.entries()
    assert set(catalog.find(soft=True)) | set(catalog.find(soft=False)) == set(catalog.entries())


def test_a_wrong_domain_is_answered_with_the_nearest() -> None:
    with pytest.raises(LookupError, match="did you mean channel"):
        catalog.find(domain="chanel")


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


def test_labels_are_in_order_unique_and_within_the_vocabulary() -> None:
    entries = catalog.entries()
    assert [entry.paper.year for entry in entries] == sorted(entry.paper.year for entry in entries)
    assert len({entry.name for entry in entries}) == len(entries)
    for entry in entries:
        assert entry.domains
        assert set(entry.domains) <= set(DOMAINS), entry.name
        assert entry.paper.url, entry.name
