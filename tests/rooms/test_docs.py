"""What the documentation says holds: pages are fresh, links and names lead somewhere, code and commands run."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import timm
import torch
import typer
from click import Command
from PIL import Image
from torch import Tensor

import regard
from regard import catalog, cli, published
from regard.catalog import costs, recipes
from regard.laws import subjects
from regard.laws.costs import standard_cost

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
ENTRIES = sorted((ROOT / "docs" / "entries").glob("*.md"))
PROSE = [README, *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [*PROSE, ROOT / "CONTRIBUTING.md", *ENTRIES]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def python_of(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


@pytest.mark.slow
def test_nothing_generated_is_stale() -> None:
    result = subprocess.run(
        [sys.executable, ROOT / "docs" / "build.py", "--check"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_costs_are_measured_and_a_wrong_one_is_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--check` above measures all again; here it is shown to notice."""
    for name in ("se", "mha", "stn_classifier"):
        assert costs.cost(catalog.get(name)) == standard_cost(catalog.get(name))
    spec = importlib.util.spec_from_file_location("build", ROOT / "docs" / "build.py")
    assert spec is not None and spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    wrong = costs.Cost(input="1 × 2", parameters=3, flops=5)
    monkeypatch.setattr(build, "standard_cost", lambda entry: wrong if entry.name == "se" else costs.cost(entry))
    monkeypatch.setattr(sys, "argv", ["build.py", "--check"])
    assert build.main() == 1
    stale = {line.partition(" is stale")[0] for line in capsys.readouterr().out.splitlines()}
    assert stale == {"docs/entries/se.md", "src/regard/papers/senet/costs.json"}


def test_the_readme_has_every_entry() -> None:
    text = README.read_text(encoding="utf-8")
    for entry in catalog.entries():
        assert f"[`{entry.name}`](docs/entries/{entry.name}.md)" in text


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_inside_the_project_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


# What the blocks of a page find, as a reader would have it. Each page runs from top to bottom in an empty folder.


def own_images(folder: Path) -> dict[str, object]:
    for name in ("cat", "dog"):
        (folder / "photos" / name).mkdir(parents=True)
        for i in range(4):
            Image.effect_noise((60, 50), 40 + i).convert("RGB").save(folder / "photos" / name / f"{i}.png")
    aircraft = folder / "fgvc-aircraft-2013b"
    (aircraft / "images").mkdir(parents=True)
    names = [f"{i:07d}" for i in range(8)]
    for name in names:
        Image.effect_noise((60, 50), 40).convert("RGB").save(aircraft / "images" / f"{name}.jpg")
    (aircraft / "images_box.txt").write_text("".join(f"{name} 5 3 40 25\n" for name in names))
    for level, file in (("variant", "variants"), ("family", "families")):
        (aircraft / f"{file}.txt").write_text("A320\nBoeing 747\n")
        for part, own in (("trainval", names[:4]), ("test", names[4:])):
            rows = (f"{name} {('A320', 'Boeing 747')[i % 2]}\n" for i, name in enumerate(own))
            (aircraft / f"images_{level}_{part}.txt").write_text("".join(rows))
    return {}


def two_images(folder: Path) -> dict[str, object]:
    Image.effect_noise((90, 70), 60).convert("RGB").save(folder / "photo.jpg")
    return {"images": torch.rand(2, 3, 64, 96)}


def authors_block(folder: Path) -> dict[str, object]:
    """The state of Woo's CBAM on 64 channels, with the names and shapes of the released code."""
    shapes = {
        "ChannelGate.mlp.1.weight": (4, 64), "ChannelGate.mlp.1.bias": (4,), "ChannelGate.mlp.3.weight": (64, 4),
        "ChannelGate.mlp.3.bias": (64,), "SpatialGate.spatial.conv.weight": (1, 2, 7, 7),
    }  # fmt: skip
    state = {name: torch.randn(shape) for name, shape in shapes.items()}
    norm = {"weight": torch.ones(1), "bias": torch.zeros(1), "running_mean": torch.zeros(1)}
    norm |= {"running_var": torch.ones(1)}
    return {"state_dict": state | {f"SpatialGate.spatial.bn.{name}": value for name, value in norm.items()}}


def authors_glimpses(folder: Path) -> dict[str, object]:
    """A file like kevinzakka's, with random numbers under its names and in its shapes."""
    state: dict[str, Tensor] = {}
    for layer, (out, into) in {
        "sensor.fc1": (128, 64), "sensor.fc2": (128, 2), "sensor.fc3": (256, 128), "sensor.fc4": (256, 128),
        "rnn.i2h": (256, 256), "rnn.h2h": (256, 256), "locator.fc": (2, 256), "classifier.fc": (10, 256),
        "baseliner.fc": (1, 256),
    }.items():  # fmt: skip
        state |= {f"{layer}.weight": torch.randn(out, into), f"{layer}.bias": torch.randn(out)}
    torch.save({"model_state": state}, folder / "ram_6_8x8_2_model_best.pth.tar")
    return {}


def photographs(folder: Path) -> dict[str, object]:
    """Ten images with label maps of three classes."""
    for place in ("images", "labels"):
        (folder / "photographs" / place).mkdir(parents=True)
    for i in range(10):
        Image.effect_noise((60, 50), 40).convert("RGB").save(folder / "photographs" / "images" / f"{i}.jpg")
        labels = torch.arange(3000).view(50, 60).remainder(3).to(torch.uint8)
        Image.fromarray(labels.numpy()).save(folder / "photographs" / "labels" / f"{i}.png")
    (folder / "photographs" / "classes.txt").write_text("sky\nroad\ntree\n")
    return {}


FOUND = {
    "README.md": two_images,
    "docs/watching.md": two_images,
    "docs/gradcam.md": two_images,
    "docs/own_attention.md": two_images,
    "docs/editing.md": two_images,
    "docs/faithful.md": two_images,
    "docs/data.md": own_images,
    "docs/label_maps.md": photographs,
    "docs/itti.md": two_images,
    "docs/faithfulness.md": authors_block,
    "docs/glimpses.md": authors_glimpses,
    "docs/saliency.md": lambda folder: {"saliency": torch.rand(600, 800)},
}
# Nothing is downloaded in a test, and a network of hundreds of megabytes is built without its weights.
INSTEAD = {"pretrained=True": "pretrained=False"}
ON_META = {"docs/networks.md"}


SECONDS = {
    "docs/comparing.md",
    "docs/watching.md",
    "docs/saving.md",
    "docs/own_attention.md",
    "docs/editing.md",
    "docs/faithful.md",
    "docs/doctor.md",
}  # pages whose examples take seconds
RUNNING = [
    pytest.param(page, marks=[pytest.mark.slow] if name_of(page) in SECONDS else [], id=name_of(page))
    for page in PROSE
    if python_of(page)
]


@pytest.mark.parametrize("page", RUNNING)
def test_the_python_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    prepare = FOUND.get(name_of(page))
    names: dict[str, object] = {"regard": regard, **(prepare(tmp_path) if prepare else {})}
    with torch.device("meta" if name_of(page) in ON_META else "cpu"):
        for block in python_of(page):
            for written, instead in INSTEAD.items():
                block = block.replace(written, instead)
            exec(compile(block, name_of(page), "exec"), names)


def test_the_readmes_ten_lines_print_what_they_say(capsys: pytest.CaptureFixture[str]) -> None:
    code = python_of(README)[0].replace("pretrained=True", "pretrained=False")
    exec(compile(code, "README.md", "exec"), {"images": torch.rand(2, 3, 64, 96)})
    assert capsys.readouterr().out == "torch.Size([2, 1, 2, 3])\n"


@pytest.mark.parametrize("entry", catalog.entries(), ids=lambda entry: entry.name)
def test_the_page_of_an_entry_says_how_to_build_attach_and_import_it(entry: catalog.Entry) -> None:
    page = ROOT / "docs" / "entries" / f"{entry.name}.md"
    (block,) = python_of(page)
    names: dict[str, object] = {"regard": regard}
    if entry.drop_in:
        names |= {"model": timm.create_model("test_resnet"), "images": torch.rand(2, 3, 160, 160)}
    else:
        inputs = next(subjects(entry)).tensors()
        names |= {"x": inputs[0], **{f"x{i}": x for i, x in enumerate(inputs, 1)}}
    exec(compile(block, name_of(page), "exec"), names)
    assert type(names["module"]) is entry.load()
    assert names["maps"] or not entry.maps
    (place,) = re.findall(r"^Class: `([\w.]+)`", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert resolved(place) is entry.load()


def inline_code(page: Path) -> Iterator[str]:
    """What stands between single backticks, and the lines of blocks in no language."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"^```\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE):
        yield from block.replace("\\\n", " ").splitlines()
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    yield from (" ".join(code.split()) for code in re.findall(r"`([^`]+)`", text))


def resolved(dotted: str) -> object:
    """The module or attribute called `dotted`."""
    found: object = regard
    path = "regard"
    for part in dotted.split(".")[1:]:
        path += f".{part}"
        try:
            found = getattr(found, part)
        except AttributeError:
            found = importlib.import_module(path)
    return found


@pytest.mark.parametrize("page", PROSE, ids=name_of)
def test_names_of_the_library_exist(page: Path) -> None:
    for code in inline_code(page):
        for dotted in re.findall(r"(?<![\w./])regard(?:\.[a-z_]\w*|\.[A-Z]\w*)+", code):
            resolved(dotted)
        for path in re.findall(r"(?<![\w/.])(?:tests|docs|benchmarks|src)/[\w/]+\.(?:py|md)", code):
            assert (ROOT / path).is_file(), f"{page.name} names {path}"
        for path in re.findall(r"(?<![\w/.])regard/[\w/]+\.py", code):
            assert (ROOT / "src" / path).is_file(), f"{page.name} names {path}"


@cache
def commands() -> dict[tuple[str, ...], Command]:
    group = typer.main.get_command(cli.app)
    found: dict[tuple[str, ...], Command] = {}
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        found[(name,)] = command
        found |= {(name, below): inner for below, inner in getattr(command, "commands", {}).items()}
    return found


PLACEHOLDER = re.compile(r"[A-Z]+(\.py:[A-Z]+)?|…|\[.*|<.*")


def check_command(line: str) -> None:
    """Asks that `regard …` names a command, its options, entries and recipes that exist.

    Raises: AssertionError naming what does not.
    """
    words = shlex.split(line.partition(" #")[0].partition(" | ")[0].replace("\\", " "))[1:]
    if not words or words[0].startswith("-"):
        assert set(words) <= {"--version", "--help", "-h", "--debug", "--install-completion", "--show-completion"}, line
        return
    pair = tuple(words[:2])
    path = pair if pair in commands() else pair[:1]
    assert path in commands(), f"`{line}`: no command {words[0]!r}"
    command = commands()[path]
    assert not hasattr(command, "commands") or len(words) == 1, f"`{line}`: no command {' '.join(words[:2])!r}"
    takes_value = {option: not param.is_flag for param in command.params for option in getattr(param, "opts", ())
                   + getattr(param, "secondary_opts", ()) if option.startswith("-")}  # fmt: skip
    options: dict[str, str] = {}
    given: list[str] = []
    rest = iter(words[len(path) :])
    for word in rest:
        if word.startswith("--"):
            assert word in takes_value, f"`{line}`: no option {word}"
            options[word] = next(rest, "…") if takes_value[word] else ""
        else:
            given.append(word)
    if "--with" in options and not PLACEHOLDER.fullmatch(options["--with"]):
        catalog.get(options["--with"])
    first = given[0] if given else ""
    if first and not PLACEHOLDER.fullmatch(first):
        if path in (("show",), ("published", "list")) or (path == ("check",) and ":" not in first):
            catalog.get(first)
        if path == ("train",):
            recipes.get(first)
    for option in ("--kwargs", "--args"):
        json.loads(options.get(option, "{}"))


@pytest.mark.parametrize("page", [*PROSE, ROOT / "CONTRIBUTING.md"], ids=name_of)
def test_commands_exist(page: Path) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    for code in inline_code(page):
        if re.match(r"regard [a-z-]", code):
            check_command(code)
        for target in re.findall(r"^make ([a-z-]+)", code):
            assert target in targets, f"{page.name}: make {target}"
        for module in re.findall(r"python -m (benchmarks[\w.]*)", code):
            assert importlib.util.find_spec(module), f"{page.name}: python -m {module}"
        for path in re.findall(r"python (?:-m pytest )?([\w./]+)", code):
            assert path.startswith("-") or not path.endswith(".py") or (ROOT / path).is_file(), f"{page.name}: {path}"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("regard watch", "no command 'watch'"),
        ("regard published references", "no command 'published references'"),
        ("regard look photo.jpg --wiht cbam", "no option --wiht"),
        ("regard show cbamm", "no entry 'cbamm'"),
        ("regard train ram-mnits", "no recipe"),
    ],
)
def test_a_command_that_does_not_exist_is_found(line: str, complaint: str) -> None:
    with pytest.raises((AssertionError, LookupError), match=complaint):
        check_command(line)


@pytest.mark.parametrize("script", sorted((ROOT / "docs").glob("*.py")), ids=name_of)
def test_scripts_of_the_documentation_import_what_exists(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(script.parent))  # as when it is run: a script may use another's functions
    spec = importlib.util.spec_from_file_location(f"docs_{script.stem}", script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # where a dataclass looks for the names in its annotations
    spec.loader.exec_module(module)


def test_references_named_in_the_documentation_are_known() -> None:
    for page in PROSE:
        for name in re.findall(r'"(\w+/[\w.-]+/[\w.-]+)"', page.read_text(encoding="utf-8")):
            assert published.get(name).name == name


WRONG = ROOT / "docs" / "wrong.md"


def rows_of_wrong() -> list[list[str]]:
    """The hand-written rows of the page of what others get wrong: who, what, theirs, here, shown by."""
    written = WRONG.read_text(encoding="utf-8").partition("## Paper by paper")[0]
    rows = [line.strip("| ").split(" | ") for line in written.splitlines() if line.startswith("| ")]
    return [row for row in rows if row[0] != "who"]


def test_what_others_get_wrong_is_shown_by_what_is_named() -> None:
    rows = rows_of_wrong()
    assert len(rows) > 30 and {len(row) for row in rows} == {5}
    for row in rows:
        named = re.findall(r"`(tests/[^`]+)`", row[4])
        assert named, f"{row[0]}: nothing shows it"
        for case in named:
            file, _, name = case.partition("::")
            assert (ROOT / file).is_file(), case
            if name:
                assert f"\ndef {name}(" in (ROOT / file).read_text(encoding="utf-8"), case
            else:
                assert file.endswith(".safetensors"), case


def test_what_is_here_instead_exists() -> None:
    """The column `here` names entries, their arguments, and references."""
    references = {reference.name for reference in published.references()}
    for who, _, _, here, _ in rows_of_wrong():
        entries = []
        for code in re.findall(r"`([^`]+)`", here):
            if "/" in code:
                assert code in references, f"{who}: {code}"
                continue
            name = re.match(r"(\w+)(\(|$)", code)
            if name:
                entries.append(catalog.get(name[1]))
            for argument in re.findall(r"(\w+)=", code):
                assert any(argument in entry.arguments for entry in entries), f"{who}: {argument}="
        assert entries or "reference" in here, who


def test_errata_of_every_header_are_gathered() -> None:
    page = WRONG.read_text(encoding="utf-8")
    for path in sorted(catalog.FOLDER.rglob("*.py")):
        header = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        text = " ".join(header.partition("\nErrata:")[2].split())
        assert not text or text == "none known." or text[1:].replace("|", "/") in page, f"{path}: run `make docs`"
