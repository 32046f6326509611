"""Which map and which sum the options of Learn To Pay Attention mean."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

import regard

CASES = sorted((Path(__file__).parent / "golden").glob("[!n]*.safetensors"))  # no net_*


def randn(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_shows_the_authors_map_of_the_normalisation_that_is_used(path: Path) -> None:
    with safe_open(path, "pt") as file:
        facts = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    args = json.loads(facts["args"])
    state = {key.removeprefix("param."): value for key, value in tensors.items() if key.startswith("param.")}
    module = regard.published.rebuild(facts["reference"], args, state)
    with regard.watch(module) as maps:
        module(tensors["input.0"], tensors["input.1"])
    name = "attention_softmax" if args.get("normalize_attn", True) else "attention_sigmoid"
    torch.testing.assert_close(maps["attention"][0], tensors[f"map.{name}"], rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("normalise", ["softmax", "sigmoid"])
@pytest.mark.parametrize("compatibility", ["parametrised", "dot"])
@pytest.mark.parametrize("project", ["local", "global", None])
def test_a_projection_is_the_same_through_the_query_as_over_the_map(
    compatibility: str, project: str | None, normalise: str
) -> None:
    gate = 6 if project is None else 10
    kwargs = {"compatibility": compatibility, "project": project, "normalise": normalise}
    module = regard.create("ltpa", 6, gate_channels=gate, **kwargs, return_compatibility=True).double()
    x, g = randn(2, 6, 5, 7), randn(2, gate)
    local, to = x.flatten(2), g
    if project == "local":
        local = module.project.weight @ local
    elif project == "global":
        to = g @ module.project.weight.T
    if compatibility == "dot":
        c = (local * to[..., None]).sum(1)
    else:
        c = ((local + to[..., None]) * module.score.weight.T).sum(1)
    a = c.softmax(-1) if normalise == "softmax" else c.sigmoid() / 35
    seen, attended = module(x, g)
    torch.testing.assert_close(seen.flatten(1), c)
    torch.testing.assert_close(attended, (local * a[:, None]).sum(-1))


def test_refuses() -> None:
    for kwargs, message in (
        ({"compatibility": "cosine"}, "compatibility='cosine': 'parametrised', 'dot' or 'additive'"),
        ({"normalise": "sum"}, "normalise='sum'"),
        ({"project": "both"}, "project='both'"),
        ({"project": "local", "compatibility": "additive"}, "None is needed with the additive"),
    ):
        with pytest.raises(ValueError, match=message):
            regard.create("ltpa", 6, **kwargs)
    module = regard.create("ltpa", 6, gate_channels=10)
    with pytest.raises(ValueError, match=r"\(2, 6\): B G, B=2, G=10 is needed"):
        module(torch.randn(2, 6, 5, 7), torch.randn(2, 6))
    with pytest.raises(ValueError, match=r"\(2, 10, 2, 1\): B G 1 1, B=2, G=10 is needed"):
        module(torch.randn(2, 6, 5, 7), torch.randn(2, 10, 2, 1))
    with pytest.raises(ValueError, match=r"\(2, 6\): B G h w, B=2, G=6 is needed"):
        regard.create("ltpa", 6, compatibility="additive")(torch.randn(2, 6, 5, 7), torch.randn(2, 6))
    with pytest.raises(ValueError, match=r"\(2, 7\): B G, B=2, G=6 is needed"):
        regard.create("ltpa", 6, compatibility="dot")(torch.randn(2, 6, 5, 7), torch.randn(2, 7))
