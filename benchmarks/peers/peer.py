"""One published module: where its code is, how it is built and called, and our module with its weights."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from regard import catalog, published

LIBRARIES = ("qubvel-org", "open-mmlab", "Project-MONAI")


class Shape(NamedTuple):
    """What a run is asked for; a mechanism that takes no map makes its own sizes of it."""

    batch: int
    channels: int
    height: int
    width: int

    @property
    def grid(self) -> tuple[int, int]:
        return self.height, self.width


Arguments = Callable[[Shape], dict[str, Any]]
Inputs = Callable[[Shape], Sequence[Tensor]]


def one_map(shape: Shape) -> list[Tensor]:
    """`B C H W`, what most mechanisms take."""
    return [torch.randn(shape)]


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One published module.

    Args:
        entry: the catalogue's name of the mechanism.
        place: an importable module (`timm.layers.cbam`), or `owner/repository:path/to/file.py` of fetched code.
            `repository@branch` is another version than the newest one; `first.py+second.py` are read one after the
            other into one module; of a notebook the code cells are read.
        attribute: the class in it, or a function.
        arguments: shape -> its constructor's arguments, or the function's further ones.
        reference: its id in `regard.published`; or
        twin: (peer, shape) -> our module with the peer's weights, where `regard.published` does not know it.
        known: shape -> the arguments under which `reference` knows it, where they are not `arguments`.
        inputs: shape -> what both are called with; one map where nothing is said.
        make: (code, arguments) -> the peer's module, where it is not `attribute` called with `arguments`.
        call: (module, inputs...) -> what is compared, where it is not what `module(*inputs)` returns. What
            `regard.published` rebuilds is called in the same way; a twin is called with the inputs.
        train: both in training mode.
        setting: what tells apart two rows of one class.
        largest: largest batch, height and width that it can stand; a larger shape is cut down for both sides.
        pick: the top-level definitions of the file to run, where the whole file does more than define.
        names: what the file imports and is not here: name -> what stands for it.
        edits: old text -> new text, for what keeps the file from running with today's torch on any device.
    """

    entry: str
    place: str
    attribute: str
    arguments: Arguments = lambda shape: {}
    reference: str | None = None
    twin: Callable[[nn.Module, Shape], nn.Module] | None = None
    known: Arguments | None = None
    inputs: Inputs = one_map
    make: Callable[[ModuleType, dict[str, Any]], nn.Module] | None = None
    call: Callable[..., Any] | None = None
    train: bool = False
    setting: str = ""
    largest: tuple[int, int, int] | None = None
    pick: tuple[str, ...] = ()
    names: Mapping[str, Any] = field(default_factory=dict)
    edits: Mapping[str, str] = field(default_factory=dict)

    @property
    def repository(self) -> str:
        """`owner/repository` of fetched code; empty for an installed package."""
        return self.place.partition(":")[0].partition("@")[0] if ":" in self.place else ""

    @property
    def name(self) -> str:
        owner = self.repository or self.place.partition(".")[0]
        return f"{owner} {self.attribute}" + (f", {self.setting}" if self.setting else "")

    @property
    def kind(self) -> str:
        """`authors` for the paper's own code, `port` for somebody else's research code, `library`."""
        if not self.repository or self.repository.partition("/")[0] in LIBRARIES:
            return "library"
        return "authors" if self.repository == catalog.get(self.entry).code else "port"

    def fit(self, shape: Shape) -> Shape:
        """The shape, cut down to `largest`."""
        if self.largest is None:
            return shape
        batch, height, width = (min(a, b) for a, b in zip((shape.batch, *shape.grid), self.largest, strict=True))
        return Shape(batch, shape.channels, height, width)

    def build(self, code: ModuleType, shape: Shape) -> nn.Module:
        """The peer's module in float64, every parameter drawn anew.

        Many start with a zero that hides a whole branch, and a gate must not compare zeros.
        """
        arguments = self.arguments(shape)
        published = getattr(code, self.attribute)
        if self.make is not None:
            module = self.make(code, arguments)
        elif inspect.isclass(published):
            module = published(**arguments)
        else:
            module = Function(published, arguments)
        generator = torch.Generator().manual_seed(0)
        module = module.double()
        statistics = (b for name, b in module.named_buffers() if name.endswith(("running_mean", "running_var")))
        with torch.no_grad():
            for tensor in (*module.parameters(), *statistics):
                if tensor.ndim > 1:
                    tensor.normal_(0, tensor[0].numel() ** -0.5, generator=generator)
                else:
                    tensor.uniform_(0.5, 1.5, generator=generator)
        return module.train(self.train)

    def ours(self, theirs: nn.Module, shape: Shape) -> nn.Module:
        """Our module with the weights of `theirs`, in its mode and dtype."""
        if self.twin is not None:
            return self.twin(theirs, shape).double().train(self.train)
        assert self.reference is not None
        known = (self.known or self.arguments)(shape)
        module = published.rebuild(self.reference, known, theirs.state_dict()).double().train(self.train)
        return self.called(module)

    def called(self, module: nn.Module) -> nn.Module:
        """The module as it is called here."""
        return module if self.call is None else Called(module, self.call)


class Function(nn.Module):
    """A published function as a module."""

    def __init__(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
        super().__init__()
        self.function = function
        self.arguments = arguments

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(*inputs, **self.arguments)


class Called(nn.Module):
    """A module that is called in another way."""

    def __init__(self, module: nn.Module, call: Callable[..., Any]) -> None:
        super().__init__()
        self.module = module
        self.call = call

    def forward(self, *inputs: Tensor) -> Any:
        return self.call(self.module, *inputs)


def load(entry: str, arguments: Mapping[str, Any], weights: Mapping[str, Tensor]) -> nn.Module:
    """Our entry with these weights; what has the same numbers in another shape is reshaped, what is absent is zero."""
    module: nn.Module = catalog.create(entry, **arguments).double()
    state = {
        key: weights[key].reshape(blank.shape) if key in weights else torch.zeros_like(blank)
        for key, blank in module.state_dict().items()
    }
    unknown = weights.keys() - state.keys()
    if unknown:
        raise KeyError(f"{entry} has no {', '.join(sorted(unknown))}")
    module.load_state_dict(state)
    return module


def renamed(state: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """The parameters under our prefixes: ours -> theirs."""
    return {
        f"{ours}{key.removeprefix(theirs)}": value
        for ours, theirs in names.items()
        for key, value in state.items()
        if key.startswith(f"{theirs}.")
    }


class NotFetched(LookupError):
    """The authors' repository is not in the folder of fetched code."""


def code_of(peer: Peer, authors: Path | None) -> tuple[ModuleType, str]:
    """The module that defines the peer, and which version of it.

    Raises:
        NotFetched: it belongs to a repository that is not there.
        ImportError: it is there and cannot be imported.
    """
    if not peer.repository:
        code = importlib.import_module(peer.place)
        return code, importlib.import_module(peer.place.partition(".")[0]).__version__
    at, _, paths = peer.place.partition(":")
    repository, _, branch = at.partition("@")
    code = ModuleType(f"peer_{peer.entry}_{peer.attribute}")
    code.__dict__.update(peer.names)
    version = ""
    for path in paths.split("+"):
        text, version = _read(repository, branch or "HEAD", path, authors)
        _execute(text, f"{repository}/{path}", peer, code)
    if not hasattr(code, peer.attribute):
        raise ImportError(f"{peer.place} has no {peer.attribute}")
    return code, version


def _read(repository: str, branch: str, path: str, authors: Path | None) -> tuple[str, str]:
    """A file of a repository, out of a clone, a bare clone or a plain copy below `authors`, and its version."""
    if authors is None:
        raise NotFetched("no folder of fetched code")
    owner, _, name = repository.partition("/")
    for base in (authors / f"{owner}+{name}", authors / owner / name, authors / owner / f"{name}.git"):
        for git in (base / ".git", base, *sorted(base.glob("*/.git")), *sorted(base.glob("*/"))):
            if (git / "HEAD").is_file() and (git / "objects").is_dir():
                return _git(git, "show", f"{branch}:{path}"), _git(git, "rev-parse", "--short=10", branch).strip()
        if (base / path).is_file():
            return (base / path).read_text(encoding="utf-8"), "unversioned copy"
    raise NotFetched(f"{repository} is not in {authors}")


def _git(folder: Path, *command: str) -> str:
    # The folder is one that the user named, perhaps fetched by somebody else.
    line = ["git", "-c", "safe.directory=*", "--git-dir", str(folder), *command]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotFetched(f"{folder}: {done.stderr.strip().partition(chr(10))[0]}")
    return done.stdout


def _execute(text: str, name: str, peer: Peer, code: ModuleType) -> None:
    """Runs a file, or what is picked of it, in `code`.

    An import that fails is left out if nothing that runs needs what it would have brought.
    """
    if name.endswith(".ipynb"):
        cells = [cell["source"] for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
        lines = [line for cell in cells for line in [*"".join(cell).splitlines(), ""]]
        text = "\n".join(line for line in lines if not line.startswith(("%", "!")))
    for old, new in peer.edits.items():
        text = text.replace(old, new)
    body = ast.parse(text, name).body
    imports = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    rest = [node for node in body if node not in imports]
    if peer.pick:
        rest = [node for node in rest if _defines(node) & set(peer.pick)]
    needed = {node.id for part in rest for node in ast.walk(part) if isinstance(node, ast.Name)} - peer.names.keys()
    for node in imports:
        brought = {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        if brought <= peer.names.keys():
            continue
        try:
            _run([node], name, code)
        except ImportError:
            # what an earlier file of the same peer has defined is there already
            if not brought.isdisjoint(needed - code.__dict__.keys()):
                raise
    code.__dict__.update(peer.names)
    _run(rest, name, code)


def _defines(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return {node.name}
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    return set()


def _run(body: Sequence[ast.stmt], name: str, code: ModuleType) -> None:
    exec(compile(ast.Module(list(body), []), name, "exec"), code.__dict__)
