"""Compiled on a GPU: one whole graph, the eager numbers, and maps that can still be watched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor

from regard import catalog
from regard.core import Attention
from regard.laws import Subject, subjects
from regard.laws.subject import SIZES, floats, gap, outputs_of
from regard.watching import watch

pytestmark = [
    pytest.mark.gpu,
    # The compiler recommends TensorFloat-32, which these tests have switched off.
    pytest.mark.filterwarnings("ignore:TensorFloat32 tensor cores:UserWarning"),
]

# As the law `compiles` allows on the CPU: other orders of summation, and for the gradients their own scale.
TOLERANCE, SHARE = 1e-4, 1e-2

_ALL = [list(subjects(entry)) for entry in catalog.entries() if "compiles" not in entry.exempt]
SUBJECTS = [own[0] for own in _ALL] + [subject for own in _ALL for subject in own[1:]]


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def pulled(outputs: list[Tensor], leaves: list[Tensor]) -> list[Tensor]:
    """Gradients of the leaves for weights that are the same at every call."""
    generator = torch.Generator().manual_seed(2)
    probes = [torch.randn(y.shape, generator=generator).to(y.device, y.dtype) for y in outputs]
    return list(torch.autograd.grad(outputs, leaves, probes))


@pytest.mark.parametrize("subject", SUBJECTS, ids=[subject.name for subject in SUBJECTS])
def test_one_graph_gives_the_eager_numbers_and_can_be_watched(
    subject: Subject, device: torch.device, backend: str
) -> None:
    module = subject.module().to(device)
    inputs = [x.to(device) for x in subject.tensors()]
    for x in floats(inputs):
        x.requires_grad_(subject.soft)
    compiled = torch.compile(module, fullgraph=True, backend=backend)
    with nullcontext() if subject.soft else torch.no_grad():
        torch.manual_seed(11)
        wanted = outputs_of(module(*inputs))
        torch.manual_seed(11)
        seen = outputs_of(compiled(*inputs))
    assert [y.shape for y in seen] == [y.shape for y in wanted]
    if subject.soft:  # what draws its places draws others when compiled
        assert gap(seen, wanted) <= TOLERANCE
        gradients, own = pulled(wanted, floats(inputs)), pulled(seen, floats(inputs))
        floor = SHARE * max(g.abs().max().item() for g in gradients)
        assert gap(own, gradients, max(1e-6, floor)) <= TOLERANCE
    if not subject.maps or not any(isinstance(part, Attention) for part in module.modules()):
        return
    looks = []
    for way in (module, compiled):
        torch.manual_seed(11)
        with watch(way) as maps, torch.no_grad():
            way(*inputs)
        looks.append(dict(maps))
    assert list(looks[1]) == list(looks[0])
    for key, eager in looks[0].items():
        assert gap(looks[1][key], eager) <= TOLERANCE, key


@pytest.mark.parametrize("name", ["cbam", "nonlocal", "danet"])
def test_a_compiled_module_takes_other_sizes(name: str, device: torch.device, backend: str) -> None:
    subject = next(subjects(catalog.get(name)))
    module = subject.module().to(device)
    compiled = torch.compile(module, fullgraph=True, backend=backend, dynamic=True)
    with torch.no_grad():
        for sizes in ({}, {"B": 3, "H": SIZES["H"] + 4, "W": SIZES["W"] + 6}):
            inputs = [x.to(device) for x in subject.tensors(sizes)]
            assert gap(outputs_of(compiled(*inputs)), outputs_of(module(*inputs))) <= TOLERANCE
