"""The page of an examination: one self-contained HTML file, light and dark, without scripts."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from regard.examining.findings import SEVERITIES, Examination, Fact, Finding, shown
from regard.saved.files import write_whole

PICTURES = 4  # of one check; the findings farthest beyond the threshold are drawn
LISTED = 40  # findings of one check that are named
_SIGN = '<meta name="generator" content="regard doctor">'  # by which a page is known again
_HERE = Path(__file__).parent
_QUALITY = 85  # of the pictures, in WebP

# Columns of the table of maps: the number, its title, and whether it is a share, in percent.
COLUMNS = (
    ("low", "lowest", False),
    ("high", "highest", False),
    ("entropy", "entropy", False),
    ("spread", "spread of logits", False),
    ("rank", "rank", False),
    ("rows", "rows alike", False),
    ("heads", "heads alike", False),
    ("sink", "largest sink", True),
    ("images", "between images", True),
    ("effect", "output if even", True),
    ("effect of mean", "output if mean", True),
    ("loss", "loss if even", False),
    ("time", "time", True),
    ("memory", "memory", True),
)


@dataclass(frozen=True)
class Drawn:
    """A finding with its picture.

    Args:
        finding: what was found.
        address: of the picture, with the picture in it; empty where there is none.
        caption: of the picture.
    """

    finding: Finding
    address: str
    caption: str


def write(examination: Examination, path: Path) -> Path:
    """Writes the page, whole or not at all; see `Examination.report`."""
    if path.exists() and not _is_page(path):
        raise FileExistsError(f"{path} exists and is no page of regard doctor; name another file")
    write_whole(path, page(examination).encode("utf-8"))
    return path


def _is_page(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return _SIGN.encode() in file.read(4096)


def page(examination: Examination) -> str:
    """The page as text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = shown
    shown_columns = [column for column in COLUMNS if any(column[0] in fact.numbers for fact in examination.facts)]
    return environment.get_template("page.html").render(
        sign=Markup(_SIGN),
        style=Markup((_HERE / "page.css").read_text(encoding="utf-8")),
        network=examination.network,
        summary=examination.summary.removeprefix(f"{examination.network}: "),
        counts={one: len(examination.of(one)) for one in SEVERITIES},
        groups=[(group, _drawn(examination, group.findings), group.findings[:LISTED]) for group in examination.groups],
        facts=[(fact, [_cell(fact, column) for column in shown_columns]) for fact in examination.facts],
        columns=[title for _, title, _ in shown_columns],
        asked=examination.asked,
        unasked=examination.unasked,
        json=_address("application/json", examination.json().encode("utf-8")),
    )


def _drawn(examination: Examination, findings: tuple[Finding, ...]) -> list[Drawn]:
    """The findings of one check that are drawn, the worst first."""
    ranked = sorted(findings, key=lambda one: -one.number if one.above else one.number)
    found: dict[str, Drawn] = {}
    for finding in ranked:
        if len(found) == PICTURES:
            break
        if finding.key and finding.key not in found and (picture := examination.picture(finding)) is not None:
            stream = io.BytesIO()
            picture.image.convert("RGB").save(stream, "WEBP", quality=_QUALITY)
            address = _address("image/webp", stream.getvalue())
            found[finding.key] = Drawn(finding, address, picture.caption)
    return [*found.values()]


def _cell(fact: Fact, column: tuple[str, str, bool]) -> str:
    name, _, share = column
    if name not in fact.numbers:
        return ""
    return _percent(fact.numbers[name]) if share else shown(fact.numbers[name])


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _address(mime: str, content: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}"
