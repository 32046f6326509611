"""The rules of the house: floors, labels, header sections, what an import may load, what stays readable."""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

import regard
from regard import catalog

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "regard"
FILES = sorted(SOURCE.rglob("*.py"))
PAPERS = sorted(path.parent for path in (SOURCE / "papers").glob("*/label.py"))

FLOORS = {
    "catalog": 0,
    "checks": 0,
    "core": 1,
    "ops": 1,
    "layers": 2,
    "watching": 2,
    "viewing": 3,
    "attaching": 1,
    "metrics": 3,
    "networks": 3,
    "published": 4,
    "insight": 4,
    "backbones": 2,
    "laws": 4,
    "data": 4,
    "saved": 5,
    "tasks": 5,
    "training": 6,
    "papers": 7,
    "comparing": 7,
    "looking": 7,
    "examining": 7,
    "report": 6,
    "serving": 8,
    "cli": 9,
    "__main__": 9,
}
# Rooms that may use each other although they share a floor; every other pair on one floor may not.
NEIGHBOURS = {("__main__", "cli")}
# Inside the folder of a paper: what a file may import of its own folder stands below it.
SHELVES = {"label": 0, "mechanism": 1, "published": 2, "network": 2, "task": 3, "recipe": 4}
OTHER_SHELF = 1.5  # of a file that only this paper has: built on its mechanism, or a part of its network


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def paper_of(path: Path) -> str:
    return path.relative_to(SOURCE / "papers").parts[0]


def shelf(path: Path) -> str:
    """The file of a paper, or the folder of files that takes its place where one would be too long."""
    return path.relative_to(SOURCE / "papers").parts[1].removesuffix(".py")


def modules(path: Path) -> set[str]:
    """The modules and names of `regard` that a file imports, anywhere in it, without `regard.` in front."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "regard":
            names = [f"regard.{alias.name}" for alias in node.names if not alias.name.startswith("__")]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {name.removeprefix("regard.") for name in names if name.startswith("regard.")}
    return found


def imports(path: Path) -> set[str]:
    """The rooms of `regard` that a file imports."""
    return {name.partition(".")[0] for name in modules(path)}


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.parent != SOURCE or path.name != "__init__.py"], ids=str
)
def test_imports_go_down(path: Path) -> None:
    here = room(path)
    assert here in FLOORS, f"{here} stands on no floor: give it one in FLOORS and in docs/architecture.md"
    for other in imports(path) - {here}:
        lower = FLOORS[other] < FLOORS[here]
        assert lower or (here, other) in NEIGHBOURS, f"{here} (floor {FLOORS[here]}) imports {other} ({FLOORS[other]})"


def test_only_papers_know_papers_and_only_their_own() -> None:
    for path in FILES:
        known = {name.split(".")[1] for name in modules(path) if name.startswith("papers.")}
        allowed = {paper_of(path)} if room(path) == "papers" and path.parent != SOURCE / "papers" else set()
        assert known <= allowed, (
            f"{path.relative_to(SOURCE)} imports {sorted(known - allowed)}: ask the catalogue by name"
        )


def test_inside_a_paper_imports_go_down() -> None:
    for folder in PAPERS:
        for path in folder.rglob("*.py"):
            if path.parent == folder and path.stem == "__init__":
                continue
            own = SHELVES.get(shelf(path), OTHER_SHELF)
            for name in modules(path):
                parts = name.split(".")
                if parts[0] == "papers" and len(parts) > 2 and parts[2] != shelf(path):
                    other = SHELVES.get(parts[2], OTHER_SHELF)
                    assert other < own, f"{path.relative_to(SOURCE)} imports {parts[2]}"


def test_one_stem_for_one_paper() -> None:
    """A paper's folder, its tests, its recorded cases and its peers bear the same name."""
    stems = {folder.name for folder in PAPERS}
    tests = {path.name for path in (ROOT / "tests" / "papers").iterdir() if path.is_dir() and path.name[0] != "_"}
    assert tests <= stems, f"tests of no paper: {sorted(tests - stems)}"
    for folder in (ROOT / "tests" / "papers").iterdir():
        for path in folder.glob("test_*.py"):
            assert path.stem.startswith(f"test_{folder.name}"), path
    machinery = {"__init__", "floor", "peer", "stand_ins"}
    peers = {path.stem for path in (ROOT / "benchmarks" / "peers").glob("*.py")} - machinery
    assert peers <= stems, f"peers of no paper: {sorted(peers - stems)}"
    recorded = {path.parents[1].name for path in (ROOT / "tests" / "papers").glob("*/golden/*.safetensors")}
    exact = {entry.folder for entry in catalog.entries() if entry.parity == "exact" and entry.name != "paper_network"}
    assert exact <= recorded, f"no recorded case beside the tests of {sorted(exact - recorded)}"


def test_every_folder_of_papers_has_a_label_and_nothing_unknown() -> None:
    for folder in (SOURCE / "papers").iterdir():
        if folder.is_dir() and folder.name != "__pycache__":
            assert (folder / "label.py").is_file(), f"{folder.name} has no label.py"
            text = (folder / "__init__.py").read_text(encoding="utf-8")
            assert not text, f"{folder.name}/__init__.py is there to make a package, and stays empty"


def test_the_architecture_page_has_every_room() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = {room(path) for path in FILES if path.parent != SOURCE or path.name != "__init__.py"}
    assert not {name for name in rooms if f"`{name}`" not in page}


def test_every_label_has_a_file_and_every_file_a_label() -> None:
    labelled = {entry.target.partition(":")[0] for entry in catalog.entries()}
    files = {
        ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        for folder in PAPERS
        for path in folder.rglob("*.py")
        if shelf(path) in ("mechanism", "network") and path.stem != "__init__"
    }
    named = {*catalog.networks().values(), *catalog.segmenters().values()}
    for module in files - labelled:  # networks known by name belong to the entries `paper_network` and `segmenter`
        folder = module.split(".")[1]
        assert module.endswith(".network"), f"{module} has no label"
        assert folder in named, f"{module} has no label"
    assert labelled <= files
    for entry in catalog.entries():
        assert inspect.isclass(entry.load()), entry.name


@pytest.mark.parametrize("table", ["NETWORKS", "SEGMENTERS"])
def test_the_networks_of_a_label_are_those_of_its_file(table: str) -> None:
    named: dict[str, list[str]] = {}
    for name, folder in (catalog.networks() if table == "NETWORKS" else catalog.segmenters()).items():
        named.setdefault(folder, []).append(name)
    for folder in PAPERS:
        if (folder / "network.py").is_file():
            found = importlib.import_module(f"regard.papers.{folder.name}.network")
            assert list(getattr(found, table, {})) == named.get(folder.name, [])


MECHANISMS = [
    path for folder in PAPERS for path in folder.rglob("*.py") if shelf(path) == "mechanism" and path.stat().st_size
]


@pytest.mark.parametrize("path", MECHANISMS, ids=lambda path: f"{paper_of(path)}-{path.stem}")
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


HEAVY = {"torch", "numpy", "scipy", "timm", "PIL", "skimage", "sklearn", "safetensors", "jinja2"}


def test_the_catalogue_loads_no_torch() -> None:
    modules = loaded_by(
        "import regard; [e.header for e in regard.find(domain='channel')]; dir(regard); regard.get('SE-Net').summary; "
        "from regard.catalog import costs, recipes; costs.costs('senet'); recipes.listings()"
    )
    outside = {name.partition(".")[0] for name in modules} - set(sys.stdlib_module_names) - {"regard", "__main__"}
    assert not outside & {*HEAVY, "typer", "rich"}


def test_the_command_line_answers_help_without_torch() -> None:
    assert not {name.partition(".")[0] for name in loaded_by("import regard.cli")} & HEAVY


PUBLIC = [
    "Attention", "__version__", "add_attention_parameters", "attach", "catalog", "check", "compare", "create",
    "create_model", "detach", "doctor", "draw", "edit", "edits", "faithful", "find", "fold", "get", "gradcam",
    "guided_backpropagation", "guided_gradcam", "load", "look", "published", "relevance", "rollout", "save",
    "sites", "watch",
]  # fmt: skip


def test_public_names() -> None:
    assert dir(regard) == PUBLIC
    assert sorted(regard.__all__) == PUBLIC
    for name in PUBLIC:
        assert getattr(regard, name) is not None
    assert dir(regard) == PUBLIC, "loading a name shows no other"
    for missing in ("nothing", "core_", "Entry"):
        with pytest.raises(AttributeError, match=f"module 'regard' has no attribute '{missing}'"):
            getattr(regard, missing)


@pytest.mark.parametrize("name", [name for name in PUBLIC if name != "__version__"])
def test_a_public_name_begins_its_docstring_with_an_example(name: str) -> None:
    """A first line that says what it is; then, four spaces in, Python that names it as a user would."""
    first, empty, *rest = (inspect.getdoc(getattr(regard, name)) or "").splitlines()
    assert first.endswith(".") and not empty
    example = list(itertools.takewhile(lambda line: line.startswith("    ") or not line, rest))
    code = textwrap.dedent("\n".join(example))
    assert code.strip(), f"regard.{name} has no example"
    ast.parse(code)
    assert re.search(rf"\bregard\.{name}\b", code), f"the example of regard.{name} does not use it"


def test_type_checkers_see_the_names_that_are_loaded() -> None:
    """What stands under `if TYPE_CHECKING` and what is loaded at run time are the same."""
    tree = ast.parse((SOURCE / "__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and isinstance(node.test, ast.Name))
    seen = {
        alias.name: node.module if node.module == "regard" else f"{node.module}:{alias.name}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    modules = {f"regard.{name}:": "regard" for name in regard._HOMES} | {
        "regard.watching.edits:": "regard.watching:edits"
    }
    homes = {name: modules.get(home, home) for name, home in regard._HOMES.items()}
    assert seen == homes


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
