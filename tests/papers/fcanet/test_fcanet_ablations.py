"""The script of docs/ablations.md: what it holds equal, its controls, and that it goes on where it stopped."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Generator, Tensor, nn

SIZES = ("SMALL", "LARGE")
SCRIPT = Path(__file__).parents[3] / "docs" / "ablations.py"


@pytest.fixture(scope="module")
def ablations() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ablations", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pictures(ablations: ModuleType) -> object:
    """Two batches of images of two classes, which differ in their brightness, without a file to read."""
    data = ablations.Images.__new__(ablations.Images)
    data.classes, data.flips, data.size = 2, True, ablations.SMALL
    data.labels = torch.arange(250) % 2
    data.images = (
        torch.randn(250, 3, 8, 8, generator=Generator().manual_seed(3)) + 2.0 * data.labels[:, None, None, None]
    )
    data.test_images, data.test_labels = data.images[:60], data.labels[:60]
    return data


class Linear(nn.Module):
    """A classifier by the mean of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.end = nn.Linear(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.end(x.mean((1, 2, 3))[:, None])


@pytest.mark.slow
def test_networks_of_a_comparison_have_the_same_parameters(ablations: ModuleType) -> None:
    data = pictures(ablations)
    for rows, size in ((rows, size) for rows in (ablations.RAN, ablations.LTPA) for size in SIZES):
        data.size = getattr(ablations, size)
        with torch.device("meta"):
            counts = [ablations.counted(build(data)) for build in rows.values()]
        assert max(counts) / min(counts) < 1.02, counts


@pytest.mark.slow
def test_the_controls_take_the_masks_away(ablations: ModuleType) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 16, 16, generator=Generator().manual_seed(1))
    masked = ablations.RAN["f1, mixed"](pictures(ablations)).eval()
    other = ablations.RAN["f1, mask of another image"](pictures(ablations)).eval()
    state = {key.replace(".module.", "."): key for key in other.state_dict()}
    other.load_state_dict({state[key]: value for key, value in masked.state_dict().items()})
    assert not torch.allclose(other(x), masked(x))
    twins = x[:1].expand(2, -1, -1, -1)
    torch.testing.assert_close(other(twins), masked(twins))  # the mask of an equal image is the same mask
    for attention in ablations.LTPA["uniform weights, concat"](pictures(ablations)).attentions:
        c, _ = attention(torch.randn(2, attention.channels, 3, 5), torch.randn(2, attention.gate_channels))
        assert c.count_nonzero() == 0


def test_an_augmented_image_is_shifted_and_mirrored(ablations: ModuleType) -> None:
    x = torch.arange(7 * 5 * 6).reshape(7, 1, 5, 6).float()
    for flips in (False, True):
        y = ablations.augmented(x, 2, flips, Generator().manual_seed(2))
        down, right, mirror = torch.randint(0, 5, (3, 7), generator=Generator().manual_seed(2))
        padded = torch.nn.functional.pad(x, (2, 2, 2, 2), mode="reflect")
        for i in range(7):
            wanted = padded[i, :, down[i] : down[i] + 5, right[i] : right[i] + 6]
            torch.testing.assert_close(y[i], wanted.flip(2) if flips and mirror[i] % 2 else wanted)


def test_a_step_is_that_of_torchs_sgd(ablations: ModuleType) -> None:
    torch.manual_seed(0)
    ours, theirs = Linear(), Linear()
    theirs.load_state_dict(ours.state_dict())
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    x, y = 20 * torch.randn(6, 3, 2, 2, generator=Generator().manual_seed(1)), torch.tensor([0, 1, 1, 0, 1, 0])
    descent = ablations.Descent(ours, x.clone(), y.clone(), recorded=False)
    for step in range(3):
        batch = x * (2 - step)
        descent.step(batch, y, 0.1 / (1 + step))
        optimizer.param_groups[0]["lr"] = 0.1 / (1 + step)
        loss = nn.functional.cross_entropy(theirs(batch), y)
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            lengths = [parameter.grad.norm() for parameter in theirs.parameters()]
            assert torch.stack(lengths).norm() > ablations.CLIP  # it is clipped
        nn.utils.clip_grad_norm_(theirs.parameters(), ablations.CLIP)
        optimizer.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_a_run_goes_on_where_it_stopped(ablations: ModuleType, tmp_path: Path) -> None:
    data, how, settings = pictures(ablations), {"epochs": 8, "rate": 0.5}, {"what": "linear"}
    built = []

    def build(data: object) -> nn.Module:
        built.append(data)
        return Linear()

    rows = {"one": build, "two": build}
    results = ablations.Results(tmp_path / "a.json", settings)
    ablations.trained(rows, data, results, seeds=range(2), how=how)
    assert len(built) == 4 and results.errors["one"] == results.errors["two"]  # equal weights and batches
    assert max(results.errors["one"].values()) < 20  # 50 by chance
    again = ablations.Results(tmp_path / "a.json", settings)
    ablations.trained(rows, data, again, seeds=range(3), how=how)
    assert len(built) == 6 and set(again.errors["one"]) == {"0", "1", "2"}
    with pytest.raises(SystemExit, match="other settings"):
        ablations.Results(tmp_path / "a.json", {"what": "other"})


def test_the_table_pairs_the_seeds_of_all_files(
    ablations: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = ({"plain": {"0": 20.0, "1": 22.0}, "se": {"0": 18.0, "1": 21.0}}, {"plain": {"2": 24.0}, "se": {"2": 21.0}})
    files = []
    for name, errors in zip("ab", parts, strict=True):
        files.append(str(tmp_path / name))
        content = {"settings": {"what": "x"}, "parameters": {"plain": 1000, "se": 1010}, "errors": errors}
        Path(files[-1]).write_text(json.dumps(content))
    monkeypatch.setattr(sys, "argv", ["ablations.py", "table", *files])
    ablations.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| 3 seeds |")
    assert lines[2] == "| plain | 1,000 | 22.0 [17.0, 27.0] |  |"
    assert lines[3] == "| se | 1,010 | 20.0 [15.7, 24.3] | +2.0 [-0.5, +4.5] |"


@pytest.mark.slow
def test_the_search_keeps_its_figures(ablations: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, built = pictures(ablations), []

    def build(data: object, frequencies: tuple[tuple[int, int], ...]) -> nn.Module:
        built.append(frequencies)
        return Linear()

    monkeypatch.setattr(ablations, "frequent", build)
    results = ablations.Results(tmp_path / "a.json", {"what": "fca"})
    ranking = ablations.searched(data, results, {"epochs": 1, "rate": 0.5})
    assert len(built) == 49 + 5 and len(ranking.scores) == 49 and set(ranking.together) == {1, 2, 4, 8, 16}
    assert {len(pairs) for pairs in built} == {1, 2, 4, 8, 16}
    again = ablations.searched(
        data, ablations.Results(tmp_path / "a.json", {"what": "fca"}), {"epochs": 1, "rate": 0.5}
    )
    assert len(built) == 49 + 5 + 5  # those alone are known
    assert again.top(16) == ranking.top(16)
