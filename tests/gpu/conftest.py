"""The one place where a GPU and the CPU that stands in for it differ; the tests themselves run the same code on both.

    python -m pytest tests/gpu -m gpu                              on a GPU; skipped where there is none
    REGARD_TEST_DEVICE=cpu python -m pytest tests/gpu -m gpu       the same code with the CPU in its place

`REGARD_TESTS_UNTIL`, in seconds of the system's clock, is the time after which no further test begins;
`REGARD_TEST_ENTRIES`, names with commas between them, keeps the tests of these entries alone.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS needs to repeat itself, read when it starts

# What cannot run without waiting for the GPU: name of the entry -> (settings that it concerns, reason).
WAITS: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "itti": ({}, "it refuses a picture that is not finite, and its winners are read one after the other"),
    "objectness": ({}, "edges are grouped and windows ranked by NumPy, on the CPU"),
    "rnnsearch_gru": ({}, "the recurrent network takes the lengths of a packed batch on the CPU"),
    "stn": ({"transform": "spline"}, "the inverse of the spline's system is kept as numbers, exact in every precision"),
    "stn_classifier": ({"transform": "spline"}, "it holds such a transformer"),
    "top_down_captioner": ({"norms": 2, "train": True}, "only visible regions are in the statistics of a batch"),
}


def pytest_configure(config: pytest.Config) -> None:
    # torch 2.11 meets its own deprecation when its compiler is first imported.
    config.addinivalue_line("filterwarnings", "ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What matters comes first: defaults before options, and compiling, which takes longest, behind both."""
    mine = [item for item in items if item.path.parent == Path(__file__).parent]
    only = os.environ.get("REGARD_TEST_ENTRIES")
    if only is not None:
        others = [item for item in mine if _entry(item) not in only.split(",")]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]

    def turn(item: pytest.Item) -> tuple[bool, bool]:
        subject = _parameters(item).get("subject")
        return subject is not None and not subject.plain, item.path.stem == "test_compiled"

    own = iter(sorted((item for item in items if item in mine), key=turn))
    items[:] = [next(own) if item in mine else item for item in items]


def _parameters(item: pytest.Item) -> Mapping[str, Any]:
    return item.callspec.params if hasattr(item, "callspec") else {}


def _entry(item: pytest.Item) -> str | None:
    """The name of the entry that a test is about."""
    parameters = _parameters(item)
    return parameters["subject"].name.partition("(")[0] if "subject" in parameters else parameters.get("name")


@pytest.fixture(scope="session")
def device() -> torch.device:
    """Where the tests run; without a GPU they are skipped."""
    name = os.environ.get("REGARD_TEST_DEVICE", "cuda")
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch sees no GPU here; REGARD_TEST_DEVICE=cpu runs the same tests on the CPU")
    return torch.device(name, 0) if name == "cuda" else torch.device(name)


@pytest.fixture(autouse=True)
def _in_time() -> None:
    until = os.environ.get("REGARD_TESTS_UNTIL")
    if until is not None and time.time() > float(until):
        pytest.skip("the time budget is spent")


@pytest.fixture(autouse=True)
def _full_float32() -> Iterator[None]:
    """TensorFloat-32 keeps ten bits of a float32's 23, and cuDNN uses it unless told not to."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.fixture(autouse=True)
def _own_random_state() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        yield


@pytest.fixture
def backend(device: torch.device) -> str:
    """The compiler; on the CPU the quick one, since inductor is tested there by the laws."""
    return "inductor" if device.type == "cuda" else "aot_eager"


@pytest.fixture
def without_waiting(device: torch.device) -> Callable[[], AbstractContextManager[object]]:
    """A block in which waiting for the GPU is an error."""
    return _cuda_without_waiting if device.type == "cuda" else Waiting


@contextmanager
def _cuda_without_waiting() -> Iterator[None]:
    torch.cuda.synchronize()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls the mode a prototype
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


class Waiting(TorchDispatchMode):
    """Refuses operators for which the CPU would have to wait for a GPU: they read a value, or size one by values.

    Copies from the CPU, which wait too, are refused only where the other side is a GPU.
    """

    READS = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal.default", "unique", "bincount")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = str(func)
        if any(part in name for part in self.READS):
            raise RuntimeError(f"{name}: called a synchronizing CUDA operation")
        if _crosses(name, args, kwargs):
            raise RuntimeError(f"{name} between devices: called a synchronizing CUDA operation")
        return func(*args, **kwargs)


def _crosses(name: str, args: Any, kwargs: Mapping[str, Any]) -> bool:
    """Whether an operator copies from one device to another; a single number may come along with the call."""
    if name.startswith("aten._to_copy"):
        return kwargs.get("device") is not None and torch.device(kwargs["device"]).type != args[0].device.type
    if name.startswith("aten.copy_"):
        return bool(args[0].device.type != args[1].device.type)
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    return len({x.device.type for x in tensors if x.ndim}) > 1  # an index on the CPU is brought over


@pytest.fixture
def waiting() -> type[Waiting]:
    return Waiting


@pytest.fixture
def waits() -> Callable[..., str | None]:
    """(entry, arguments, train=) -> why it has to wait for the GPU, or None."""

    def reason(entry: str, kwargs: Mapping[str, Any], *, train: bool) -> str | None:
        settings, why = WAITS.get(entry, (None, None))
        given = {**kwargs, "train": train}
        concerned = settings is not None and all(given.get(key) == value for key, value in settings.items())
        return why if concerned else None

    return reason


class SameDraws(TorchFunctionMode):
    """Random numbers that modules draw are the same on every device and in every precision: drawn on the CPU."""

    def __init__(self, seed: int = 7) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.rand, torch.randn):
            wanted = {key: kwargs.pop(key) for key in ("device", "dtype") if kwargs.get(key) is not None}
            return func(*args, **kwargs, dtype=torch.float64, generator=self.generator).to(
                wanted.get("device", "cpu"), wanted.get("dtype", torch.get_default_dtype())
            )
        if func in (torch.rand_like, torch.randn_like):
            draw = torch.rand if func is torch.rand_like else torch.randn
            x = args[0]
            return draw(x.shape, dtype=torch.float64, generator=self.generator).to(x.device, x.dtype)
        return func(*args, **kwargs)


@pytest.fixture
def same_draws() -> Callable[[], SameDraws]:
    return SameDraws
