"""The command line: parse, check and call.

Torch and timm are imported by the commands that need them, after their arguments have been checked.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from regard import __version__
from regard.cli import browsing, comparing, doctor, faithful, holding, looking, regions, serve, training, translating

out = Console()
err = Console(stderr=True)
INTERRUPTED = 130  # the exit code after Ctrl-C, which typer returns

app = typer.Typer(
    name="regard",
    help="Visual attention: list it, attach it, watch it, compare it on your own images.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        out.print(f"regard {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def start(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Visual attention: list it, attach it, watch it, compare it on your own images.

    Example: `regard look` shows a trained network at work; `regard compare digits --attention se,eca,cbam,gc --out
    regard-report`; `regard --install-completion` makes the shell complete commands, options and names.
    """


app.command("list")(browsing.list_entries)
app.command()(browsing.show)
app.command()(looking.look)
app.command()(looking.gaze)
app.command()(faithful.faithful)
app.command()(regions.regions)
app.command()(serve.serve)
app.command()(translating.translate)
app.command()(holding.check)
app.command()(doctor.doctor)
app.add_typer(holding.published_app, name="published")


app.command()(comparing.compare)
app.command("recipes")(browsing.list_recipes)
app.command()(training.train)
app.command("eval")(training.evaluate)


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line. An error is one line and a non-zero exit code; `--debug` adds the traceback."""
    given = sys.argv[1:] if arguments is None else arguments
    # --debug may stand anywhere on the line, which is where people add it after an error
    debug = "--debug" in given
    command = typer.main.get_command(app)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warned(warnings.showwarning)
            words = [word for word in given if word != "--debug"]
            code = command.main(words, prog_name="regard", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):  # of an older typer
        _stopped(given)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # a wrong word on the line: click's own, or typer's
            error.show()
            sys.exit(error.exit_code)
        if debug:
            raise
        _fail(_told(error), 1)
    else:
        if code == INTERRUPTED:
            _stopped(given)
        sys.exit(code if isinstance(code, int) else 0)


def _warned(otherwise: Callable[..., None]) -> Callable[..., None]:
    """Shows the library's own warnings as one line, without the place in the code, and others as before."""
    here = Path(__file__).parents[1]

    def show(message: Warning | str, category: type[Warning], file: str, *place: Any) -> None:
        if category.__module__.startswith("regard.") or (category is UserWarning and here in Path(file).parents):
            err.print(f"[yellow]regard:[/] {_escaped(str(message))}", highlight=False, soft_wrap=True)
        else:
            otherwise(message, category, file, *place)

    return show


def _stopped(given: list[str]) -> None:
    """Ends after Ctrl-C."""
    resumes = any(word in ("compare", "train") for word in given[:2])  # behind --debug, which may stand first
    _fail("stopped; the same command goes on where it stopped" if resumes else "stopped", INTERRUPTED)


def _told(error: Exception) -> str:
    """The error as one line, with advice if memory ran out."""
    line = " ".join(str(error).split()) or type(error).__name__
    if "torch" in sys.modules:
        from regard.training import memory

        if memory.exhausted(error):
            return f"out of memory: a smaller --image-size needs less ({line})"
    return line


def _fail(message: str, code: int) -> None:
    err.print(f"[red]regard:[/] {_escaped(message)}", highlight=False, soft_wrap=True)
    sys.exit(code)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
