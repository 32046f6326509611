"""The command that translates a sentence: `translate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from regard.cli import arguments

out = Console()


def translate(
    text: Annotated[str, typer.Argument(help="The sentence.")],
    weights: Annotated[Path, typer.Option(help="Trained weights: a file, or a run folder of `regard train`.")],
    beam: Annotated[int, typer.Option(help="Number of hypotheses of the search; 1 is greedy.")] = 5,
    show: Annotated[int, typer.Option(help="How many of the hypotheses are printed.")] = 1,
    layer: Annotated[
        int | None, typer.Option(help="The layer whose alignment is drawn, from 0; all of them without it.")
    ] = None,
    head: Annotated[
        int | None, typer.Option(help="The head whose alignment is drawn, from 0; the mean of all without it.")
    ] = None,
    folder: Annotated[Path, typer.Option("--out", help="Folder of the pictures.")] = Path("regard-translate"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with the alignment in numbers.")] = False,
) -> None:
    """Translate a sentence with a trained network, and draw which words it read for each word that it wrote.

    Example: `regard translate "Ein Hund rennt." --weights run/`, where `regard train rnn-search --data multi30k/` wrote
    """
    arguments.there(weights)
    for option, value, least in (("--beam", beam, 1), ("--show", show, 1), ("--layer", layer, 0), ("--head", head, 0)):
        arguments.at_least(option, value, least)
    from regard.looking.translating import drawn, open_translator
    from regard.looking.translating import translate as translated
    from regard.viewing.sheet import sheet

    translator = open_translator(weights)
    found = translated(translator, text, beam=beam)[:show]
    best = found[0]
    written = []
    if best.maps:
        folder.mkdir(parents=True, exist_ok=True)
        written = [folder / "alignment.png"]
        sheet(drawn(best, layer=layer, head=head), f"{text} → {best.text}", columns=2).save(written[0])
    if as_json:
        facts = [
            {
                "text": one.text, "score": one.score, "read": one.read, "written": one.written, "unknown": one.unknown,
                "maps": {name: map.tolist() for name, map in one.maps.items()},
            }
            for one in found
        ]  # fmt: skip
        typer.echo(json.dumps({"translations": facts, "pictures": [str(path) for path in written]}))
        return
    if best.unknown:
        out.print(f"Unknown words: {', '.join(best.unknown)}", markup=False, highlight=False, soft_wrap=True)
    for one in found:
        out.print(one.text, markup=False, highlight=False, soft_wrap=True)
    for path in written:
        out.print(f"{path}", markup=False, highlight=False, soft_wrap=True)
