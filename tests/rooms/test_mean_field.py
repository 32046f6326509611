"""Mean field inference against sums over all pairs of pixels."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from torch import Tensor

from regard.ops.mean_field import mean_field

SETTINGS = {"appearance": 2.0, "smoothness": 0.7, "far": 2.5, "alike": 0.3, "near": 1.3}


def given() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 3, 5, generator=generator, dtype=torch.float64)
    return logits, torch.rand(2, 3, 3, 5, generator=generator, dtype=torch.float64)


def by_pairs(logits: Tensor, image: Tensor, steps: int, symmetric: bool) -> Tensor:
    """The definition, pixel by pixel: `K H W`, `C H W` -> `K H W`."""
    classes, height, width = logits.shape
    pixels = list(product(range(height), range(width)))
    kernels = []
    for weight, kind in ((SETTINGS["appearance"], "appearance"), (SETTINGS["smoothness"], "smoothness")):
        kernel = {}
        for a, b in product(pixels, pixels):
            if a == b:
                continue
            apart = (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2
            if kind == "appearance":
                unlike = sum((image[c][a] - image[c][b]).item() ** 2 for c in range(image.shape[0]))
                energy = apart / (2 * SETTINGS["far"] ** 2) + unlike / (2 * SETTINGS["alike"] ** 2)
            else:
                energy = apart / (2 * SETTINGS["near"] ** 2)
            kernel[a, b] = math.exp(-energy)
        if symmetric:
            sums = {a: sum(kernel[a, b] for b in pixels if b != a) for a in pixels}
            kernel = {(a, b): value / math.sqrt(sums[a] * sums[b]) for (a, b), value in kernel.items()}
        kernels.append((weight, kernel))
    found = logits.softmax(0)
    for _ in range(steps):
        updated = torch.empty_like(found)
        for a in pixels:
            scores = [
                logits[k][a].item()
                + sum(w * kernel[a, b] * found[k][b].item() for w, kernel in kernels for b in pixels if b != a)
                for k in range(classes)
            ]
            updated[(slice(None), *a)] = torch.tensor(scores, dtype=found.dtype).softmax(0)
        found = updated
    return found


@pytest.mark.parametrize("symmetric", [False, True])
def test_messages_are_the_sums_over_all_other_pixels(symmetric: bool) -> None:
    logits, image = (x[1:] for x in given())
    seen = mean_field(logits, image, steps=1, symmetric=symmetric, **SETTINGS)
    torch.testing.assert_close(seen[0], by_pairs(logits[0], image[0], 1, symmetric), rtol=1e-10, atol=1e-12)


@pytest.mark.slow
def test_later_steps_read_the_marginals_of_the_one_before() -> None:
    logits, image = given()
    seen = mean_field(logits, image, steps=3, **SETTINGS)
    for i in range(2):
        torch.testing.assert_close(seen[i], by_pairs(logits[i], image[i], 3, True), rtol=1e-10, atol=1e-12)


def test_chunks_change_nothing() -> None:
    logits, image = given()
    whole = mean_field(logits, image, steps=2, **SETTINGS)
    for chunk in (1, 15 * 4, 10**6):
        torch.testing.assert_close(mean_field(logits, image, steps=2, chunk=chunk, **SETTINGS), whole)


def test_without_steps_or_kernels_it_is_a_softmax() -> None:
    logits, image = given()
    for settings in ({"steps": 0}, {"appearance": 0.0, "smoothness": 0.0}):
        torch.testing.assert_close(mean_field(logits, image, **settings), logits.softmax(1))


def test_a_label_spreads_over_what_looks_alike_and_stops_at_an_edge() -> None:
    image = torch.zeros(1, 3, 11, 13)
    image[..., 7:] = 1
    logits = torch.zeros(1, 2, 11, 13)
    logits[0, 0, 5, 3], logits[0, 1, 5, 9] = 5.0, 5.0  # one pixel of each side is known
    found = mean_field(logits, image, smoothness=0.0, far=20.0).argmax(1)[0]
    assert (found[:, :7] == 0).all() and (found[:, 7:] == 1).all()


def test_gradients_equal_finite_differences() -> None:
    logits, image = (x[:1, :2, :3, :2].clone().requires_grad_() for x in given())
    assert torch.autograd.gradcheck(lambda a, b: mean_field(a, b, steps=2, **SETTINGS), (logits, image), fast_mode=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": -1}, "steps=-1"),
        ({"far": 0.0}, r"far=0.0: a number above 0"),
        ({"appearance": -2.0}, "appearance=-2.0"),
        ({"symmetric": 1}, "symmetric=1"),
        ({"chunk": 0}, "chunk=0"),
        ({"image": torch.rand(2, 3, 3, 6)}, r"\(2, 3, 3, 6\): B K H W and B C H W"),
    ],
)
def test_wrong_arguments_are_named(change: dict[str, object], message: str) -> None:
    logits, image = given()
    with pytest.raises(ValueError, match=message):
        mean_field(logits, **{"image": image, **change})
