"""The commands that hold modules and checkpoints to what they should be: `check` and `published`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from regard import catalog
from regard.cli import arguments, completion, listing

out = Console()
err = Console(stderr=True)

published_app = typer.Typer(help="List and convert authors' checkpoints.", no_args_is_help=True)


def check(
    target: Annotated[
        str,
        typer.Argument(help="A name that `regard list` prints, or PATH.py:CLASS.", autocompletion=completion.entries),
    ],
    kwargs: Annotated[str, typer.Option(help="Arguments of the class, as JSON.")] = "{}",
    channels: Annotated[
        int | None, typer.Option(help="Channels of the input, where neither arguments nor layers tell.")
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option(help="Axes of an input, once for each: 'B C H W', 'bool B T', 'word<11> B T' (numbers below 11)."),
    ] = None,
    outputs: Annotated[list[str] | None, typer.Option(help="Axes of an output, once for each output.")] = None,
    law: Annotated[
        list[str] | None, typer.Option(help="Ask only this law; may be repeated.", autocompletion=completion.laws)
    ] = None,
) -> None:
    """Hold a module, yours or the library's, to the laws of the library. PATH.py is run, as `python PATH.py` runs it.

    What only the library's own entries promise is advice for other modules: the exit code is 0 unless a law is broken.

    Example: `regard check my_module.py:MyAttention --kwargs '{"channels": 64}'`
    """
    given = arguments.json_object("--kwargs", kwargs)
    arguments.at_least("--channels", channels, 1)
    arguments.axes("--inputs", inputs or [])
    arguments.axes("--outputs", [text for text in outputs or [] if text])  # no axes: a single number
    arguments.laws(law or [])
    subject: Any = catalog.get(target).name if ":" not in target else None
    if subject is None:
        from regard.cli.loading import class_at

        subject = class_at(target)
    from regard import laws

    with err.status("") as line:  # on a terminal only

        def tell(setting: str, asked: str, done: int, total: int) -> None:
            line.update(f"{escape(setting)}: {asked} ({done + 1} of {total})")

        report = laws.check(
            subject,
            kwargs=given,
            channels=channels,
            inputs=tuple(inputs or ("B C H W",)),
            outputs=tuple(outputs or ("B C H W",)),
            laws=law,
            on_law=tell,
        )
    out.print(str(report), highlight=False, markup=False, soft_wrap=True)
    if not report.ok:
        raise typer.Exit(1)


@published_app.command("list")
def published_list(
    entry: Annotated[
        str | None, typer.Argument(help="Only those of one entry, in full.", autocompletion=completion.entries)
    ] = None,
) -> None:
    """List the published modules whose checkpoints can be loaded, with their own arguments.

    Example: `regard published list nonlocal`
    """
    name = None if entry is None else catalog.get(entry).name
    from regard import published

    width = out.width if out.is_terminal and name is None else None
    for reference in published.references(name):
        line = f"{reference.name} {reference.signature} -> {reference.entry}"
        if reference.recording is not None:
            line += f" (recorded from {reference.recording})"
        out.print(line if width is None else listing.cut(line, width), markup=False, highlight=False, soft_wrap=True)


@published_app.command("convert")
def published_convert(
    source: Annotated[Path, typer.Argument(help="The authors' .pth, .pt, .bin or .safetensors file.")],
    target: Annotated[Path, typer.Argument(help="The .safetensors file to write; never overwritten.")],
    reference: Annotated[str, typer.Option(help="A name that `regard published list` prints.")],
    args: Annotated[str, typer.Option(help="The published constructor's arguments, as JSON.")] = "{}",
    prefix: Annotated[str, typer.Option(help="Take only the keys under this prefix.")] = "",
) -> None:
    """Rewrite an authors' checkpoint under the library's parameter names; no code in the file is run.

    Example: `regard published convert se.pth se.safetensors --reference se/moskomule.senet.pytorch/SELayer
    --args '{"channel": 64}' --prefix layer1.0.se.`
    """
    given = arguments.json_object("--args", args)
    arguments.there(source)
    if target.exists():
        raise FileExistsError(f"{target} exists; choose another name")
    if "/" not in reference:
        raise LookupError(
            f"no published module {reference!r}; `regard published list` prints mechanism/repository/Class"
        )
    from regard import published

    module = published.convert(source, target, reference=reference, args=given, prefix=prefix)
    told = f"{target}: {type(module).__name__}, {len(module.state_dict())} tensors"
    out.print(told, highlight=False, soft_wrap=True)
