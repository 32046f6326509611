"""The rules of the house: floors, labels, header sections, what an import may load, what stays readable."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import regard
from regard import catalog

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "regard"
FILES = sorted(SOURCE.rglob("*.py"))
MECHANISMS = sorted((SOURCE / "mechanisms").glob("[!_]*.py"))
SYSTEMS = sorted((SOURCE / "systems").glob("[!_]*.py"))

FLOORS = {
    "catalog": 0,
    "core": 1,
    "kernels": 2,
    "ops": 2,
    "layers": 2,
    "viewing": 2,
    "synchronised": 2,
    "checkpoints": 2,
    "batches": 2,
    "tracing": 2,
    "layouts": 2,
    "trained": 2,
    "mechanisms": 3,
    "siting": 4,
    "attaching": 4,
    "backbones": 4,
    "published": 4,
    "laws": 4,
    "frequencies": 4,
    "proposing": 4,
    "systems": 5,
    "data": 5,
    "tasks": 6,
    "training": 7,
    "recipes": 8,
    "comparing": 8,
    "looking": 8,
    "gazing": 8,
    "report": 9,
    "web": 9,
    "cli": 9,
    "__main__": 9,
}
# Rooms that may use each other although they share a floor; every other pair on one floor may not.
NEIGHBOURS = {
    ("attaching", "siting"),
    ("backbones", "siting"),
    ("__main__", "cli"),
    ("laws", "attaching"),
    ("cli", "report"),
    ("gazing", "looking"),
    ("ops", "kernels"),
}


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """The rooms of `regard` that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "regard":
            names = [f"regard.{alias.name}" for alias in node.names if not alias.name.startswith("__")]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("regard.")}
    return found


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.parent != SOURCE or path.name != "__init__.py"], ids=str
)
def test_imports_go_down(path: Path) -> None:
    here = room(path)
    assert here in FLOORS, f"{here} stands on no floor: give it one in FLOORS and in docs/architecture.md"
    for other in imports(path) - {here}:
        lower = FLOORS[other] < FLOORS[here]
        assert lower or (here, other) in NEIGHBOURS, f"{here} (floor {FLOORS[here]}) imports {other} ({FLOORS[other]})"


def test_mechanisms_never_import_each_other() -> None:
    for path in MECHANISMS:
        assert "mechanisms" not in imports(path), path.name


def test_the_architecture_page_has_every_room() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = {room(path) for path in FILES if path.parent != SOURCE or path.name != "__init__.py"}
    assert not {name for name in rooms if f"`{name}`" not in page}


def test_published_code_stands_under_the_name_of_what_it_rebuilds() -> None:
    machinery = {"__init__", "reference"}
    stems = {path.stem for path in (SOURCE / "published").glob("*.py")} - machinery
    assert stems <= {path.stem for path in (*MECHANISMS, *SYSTEMS)}
    assert not {path.stem for path in MECHANISMS} & {path.stem for path in SYSTEMS}, "one name, one file of rows"


def test_every_label_has_a_file_and_every_file_a_label() -> None:
    labelled = {entry.target.partition(":")[0] for entry in catalog.entries()}
    assert {f"{path.parent.name}.{path.stem}" for path in (*MECHANISMS, *SYSTEMS)} == labelled
    for entry in catalog.entries():
        assert inspect.isclass(entry.load()), entry.name


@pytest.mark.parametrize("path", MECHANISMS, ids=lambda path: path.stem)
def test_a_mechanism_file_has_its_sections_and_stays_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    header = ast.get_docstring(ast.parse(text)) or ""
    for section in ("Place:", "Cost:", "Deviations:", "Errata:"):
        assert f"\n{section}" in header, f"{path.name} lacks {section}"
    assert re.search(r"arXiv:\d{4}\.\d{4,5}|doi:10\.", header), "a citation with an arXiv id or a DOI"
    assert "Official code:" in header
    assert "(1)" in header, "numbered equations"
    assert len(text.splitlines()) <= 250


@pytest.mark.parametrize("entry", catalog.entries(), ids=lambda entry: entry.name)
def test_a_public_class_documents_its_contract(entry: catalog.Entry) -> None:
    cls = entry.load()
    for section in ("Args:", "Shapes:", "Maps:", "Raises:"):
        assert section in cls.__doc__, f"{cls.__name__} lacks {section}"
    parameters = inspect.signature(cls).parameters
    first = next(iter(parameters), "") == "channels"
    assert first or "channels" not in parameters, "channels, where there are any, come first"
    for name, parameter in list(parameters.items())[first:]:
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY, f"{name} must be keyword-only"
    documented = re.findall(r"^        ([\w, ]+):", cls.__doc__, flags=re.MULTILINE)
    assert {name for names in documented for name in names.split(", ")} == set(parameters)


@pytest.mark.parametrize("entry", catalog.entries(), ids=lambda entry: entry.name)
def test_every_option_of_the_constructor_is_tried_by_the_laws(entry: catalog.Entry) -> None:
    parameters = set(inspect.signature(entry.load()).parameters) - {"channels"}
    tried = {name for setting in entry.settings for name in setting.kwargs}
    assert parameters <= tried, f"no option tries {sorted(parameters - tried)}"


def loaded_by(code: str) -> set[str]:
    probe = f"import sys; {code}; print(' '.join(sys.modules))"
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_the_catalogue_loads_no_torch() -> None:
    modules = loaded_by("import regard; [e.header for e in regard.catalog.find(domain='channel')]; dir(regard)")
    outside = {name.partition(".")[0] for name in modules} - set(sys.stdlib_module_names) - {"regard", "__main__"}
    assert not {name for name in outside if name in ("torch", "numpy", "timm", "PIL", "typer", "rich")}


def test_the_command_line_answers_help_without_torch() -> None:
    assert "torch" not in loaded_by("import regard.cli")


def test_public_names() -> None:
    assert regard.__all__ == ["attach", "catalog", "check", "create", "detach", "published", "watch"]
    for name in regard.__all__:
        assert getattr(regard, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        regard.nothing  # noqa: B018


def test_the_version_is_stated_once_more_and_alike() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == regard.__version__
    assert f"## [{regard.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_no_file_is_a_drawer() -> None:
    for path in FILES:
        assert path.stem not in ("utils", "helpers", "misc", "common"), path
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 450, f"{path} is too long to read"


def test_the_changelog_names_every_entry() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    missing = [entry.name for entry in catalog.entries() if f"`{entry.name}`" not in text]
    assert not missing, missing


def test_committed_files_name_no_machine() -> None:
    for name in ("constraints.txt", "pyproject.toml", "Makefile"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.search(r"https?://|file://|/home/|/root/", text.replace("https://arxiv.org", "")), name
