"""Recorded inputs, parameters, outputs, gradients and maps of the authors' code, in float64."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from regard import catalog, published, watch

CASES = sorted(Path(__file__).parent.glob("*/golden/*.safetensors"))
CLOSE = {"rtol": 1e-8, "atol": 1e-11}


def read(path: Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    with safe_open(path, "pt") as file:
        return file.metadata(), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def in_order(tensors: dict[str, torch.Tensor], prefix: str) -> list[torch.Tensor]:
    found = {key: value for key, value in part(tensors, prefix).items() if key.isdigit()}
    return [found[str(i)] for i in range(len(found))]


def by_name(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Those that the published module is given by keyword: masks."""
    return {key: value for key, value in part(tensors, prefix).items() if not key.isdigit()}


def drawn(facts: dict[str, str], tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What was drawn in a recording, and the baseline that it was scored against; nothing where nothing was drawn."""
    if "sampled attention" not in facts["mode"]:
        return {}
    return {"choice": tensors["output.3"], "baseline": tensors["map.baseline_time_before"]}


def rebuilt(path: Path) -> tuple[torch.nn.Module, dict[str, str], dict[str, torch.Tensor]]:
    facts, tensors = read(path)
    module = published.rebuild(facts["reference"], json.loads(facts["args"]), part(tensors, "param."))
    for layer in module.modules():
        if isinstance(layer, torch.nn.modules.dropout._DropoutNd):
            layer.p = 0.0  # as in every recording of training
    return module.train(facts["mode"] == "train"), facts, tensors


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parents[1].name}-{path.stem}")
def test_outputs_and_gradients_equal_the_authors(path: Path) -> None:
    module, facts, tensors = rebuilt(path)
    if "data" in facts:  # what is recorded are texts
        texts = json.loads(facts["data"])
        assert texts and [module(text["triples"]) for text in texts] == [text["sentence"] for text in texts]
        return
    inputs = [x.requires_grad_(x.is_floating_point()) for x in in_order(tensors, "input.")]
    result = module(*inputs, **by_name(tensors, "input."), **drawn(facts, tensors))
    if isinstance(result, dict):  # several results that go by names
        recorded = [part(tensors, "output.")[name] for name in result]
        outputs = list(result.values())
        assert len(outputs) == len(part(tensors, "output."))
    else:
        outputs = list(result) if isinstance(result, tuple) else [result]
        recorded = in_order(tensors, "output.")
    assert len(outputs) == len(recorded)
    for ours, theirs in zip(outputs, recorded, strict=True):
        assert ours.dtype == theirs.dtype
        torch.testing.assert_close(ours, theirs, **CLOSE)

    gradients = part(tensors, "grad.")
    if not gradients:
        return
    for key, recorded_gradient in part(gradients, "input.").items():
        i, _, name = key.partition(".")  # each of several results that go by names has gradients of its own
        if name:
            (found,) = torch.autograd.grad(result[name], inputs[int(i)], retain_graph=True)
            torch.testing.assert_close(found, recorded_gradient, **CLOSE)
    probes = in_order(tensors, "probe.")  # of a loss none, of outputs without a gradient none at the end
    torch.autograd.backward(outputs[: len(probes) or 1], probes or None)
    for i, x in enumerate(inputs):
        if f"input.{i}" in gradients:
            torch.testing.assert_close(x.grad, gradients[f"input.{i}"], **CLOSE)
    # The gradients travel under the published names, exactly as a checkpoint does; only some were recorded.
    unknown = {key: torch.full_like(value, torch.nan) for key, value in part(tensors, "param.").items() if value.ndim}
    recorded_state = {**unknown, **part(gradients, "param.")}
    as_weights = published.rebuild(facts["reference"], json.loads(facts["args"]), recorded_state)
    checked = 0
    for (name, ours), theirs in zip(module.named_parameters(), as_weights.parameters(), strict=True):
        assert ours.grad is not None, name
        if not theirs.isnan().any():
            torch.testing.assert_close(ours.grad, theirs.detach(), **CLOSE)
            checked += 1
    assert checked >= len(part(gradients, "param."))  # more, where one published tensor is several of ours


def known_maps(path: Path) -> dict[str, str]:
    """Recorded map -> ours, where it is an attention map rather than an intermediate result."""
    facts, tensors = read(path)
    maps = published.get(facts["reference"]).maps
    return {theirs: ours for theirs, ours in maps.items() if f"map.{theirs}" in tensors}


@pytest.mark.parametrize(
    "path", [path for path in CASES if known_maps(path)], ids=lambda path: f"{path.parents[1].name}-{path.stem}"
)
def test_maps_equal_the_authors(path: Path) -> None:
    module, _, tensors = rebuilt(path)
    with watch(module, foreign=False) as maps:
        module(*in_order(tensors, "input."), **by_name(tensors, "input."))
    shown = {key.removeprefix("module."): looks for key, looks in maps.items()}
    for theirs, ours in known_maps(path).items():
        seen = shown[ours][-1]
        torch.testing.assert_close(seen, tensors[f"map.{theirs}"].reshape(seen.shape), **CLOSE)


def has_statistics(path: Path) -> bool:
    """Whether the recorded module has batch norms."""
    return any(key.endswith("running_mean") for key in read(path)[1])


@pytest.mark.parametrize(
    "path",
    [path for path in CASES if read(path)[0]["mode"] == "train" and has_statistics(path)],
    ids=lambda path: f"{path.parents[1].name}-{path.stem}",
)
def test_running_statistics_equal_the_authors(path: Path) -> None:
    module, facts, tensors = rebuilt(path)
    module(*in_order(tensors, "input."))
    after = part(tensors, "after.") or part(tensors, "buffer_after.")
    assert after
    state = {**part(tensors, "param."), **after}
    wanted = published.rebuild(facts["reference"], json.loads(facts["args"]), state)
    for name, buffer in wanted.named_buffers():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(module.get_buffer(name), buffer, **CLOSE)


def test_a_case_may_have_words_for_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Sum(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Parameter(torch.arange(55.0, dtype=torch.float64).view(11, 5))

        def forward(self, words: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.embedding(words, self.table).sum(1) * scale

    def rebuild(reference: str, args: dict[str, object], state: dict[str, torch.Tensor]) -> Sum:
        module = Sum()
        module.load_state_dict(state)
        return module

    monkeypatch.setattr(published, "rebuild", rebuild)
    words, scale = torch.tensor([[3, 0, 10], [7, 7, 1]]), torch.tensor([[0.5], [2.0]], dtype=torch.float64)
    table, probe = Sum().table.detach(), torch.arange(1.0, 11.0, dtype=torch.float64).view(2, 5)
    gradient = torch.zeros(11, 5, dtype=torch.float64)
    for row, weight, upstream in zip(words, scale, probe, strict=True):
        for word in row.tolist():
            gradient[word] += weight * upstream
    summed = torch.stack([table[row].sum(0) for row in words])
    case = {
        "input.0": words, "input.1": scale, "param.table": table, "probe.0": probe, "output.0": summed * scale,
        "grad.input.1": (probe * summed).sum(1, keepdim=True), "grad.param.table": gradient,
    }  # fmt: skip
    path = tmp_path / "case.safetensors"
    facts = {"reference": "sum", "args": "{}", "mode": "eval"}
    save_file(case, path, facts)
    test_outputs_and_gradients_equal_the_authors(path)
    for changed in ({"input.0": words.flip(1) - 1 + (words.flip(1) == 0)}, {"grad.param.table": gradient.flip(0)}):
        save_file({**case, **changed}, path, facts)
        with pytest.raises(AssertionError):
            test_outputs_and_gradients_equal_the_authors(path)


def test_every_mechanism_with_published_code_has_a_recorded_case() -> None:
    covered = {published.get(read(path)[0]["reference"]).entry for path in CASES}
    wanted = {entry.name for entry in catalog.entries() if entry.parity == "exact"}
    assert wanted <= covered, f"no recorded case for {sorted(wanted - covered)}"


def test_the_recorded_cases_stay_small() -> None:
    assert sum(path.stat().st_size for path in CASES) < 32 * 2**20
