"""A network with six mistakes, for docs/doctor.md, and the picture of what the doctor finds in it.

python docs/doctor.py docs/images/doctor.jpg
regard doctor docs/doctor.py:build --images photos/
"""

from __future__ import annotations

import sys
from pathlib import Path

import skimage.data
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

import regard
from regard.examining.findings import Examination, shown
from regard.viewing.pictures import Picture
from regard.viewing.sheet import sheet

WIDTH, SIDE = 64, 112
PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket")


class Attention(nn.Module):
    """Self-attention over tokens `B N C`, as one writes it oneself, with at most one mistake."""

    def __init__(self, mistake: str = "") -> None:
        super().__init__()
        self.mistake = mistake
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        nn.init.normal_(self.qkv.weight, std=WIDTH**-0.5)
        if mistake == "unused":
            self.relative = nn.Linear(WIDTH, 2)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(x).chunk(3, dim=-1)
        if self.mistake == "collapsed":
            query = 0 * query + query.mean(1, keepdim=True)
        scale = WIDTH ** (0.5 if self.mistake == "wrong scale" else -0.5)
        weights = functional.softmax(query @ key.transpose(1, 2) * scale, dim=-1)
        mixed: Tensor = self.out(weights @ value)
        return 0 * mixed if self.mistake == "ignored" else mixed


class Gate(nn.Module):
    """A gate for each channel, centred over the batch, or a gate for each place that is shut."""

    def __init__(self, mistake: str) -> None:
        super().__init__()
        self.mistake = mistake
        self.score = nn.Conv2d(WIDTH, 1 if mistake == "saturated" else WIDTH, 1)
        if mistake == "saturated":
            nn.init.constant_(self.score.bias, 9.0)

    def forward(self, x: Tensor) -> Tensor:
        if self.mistake == "saturated":
            return x * torch.sigmoid(self.score(x))
        squeezed = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.score(squeezed - squeezed.mean(0)))


class Mistaken(nn.Module):
    """A small network of convolutions, gates and a transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, WIDTH, 8, stride=8), nn.ReLU())
        self.channels, self.places = Gate("batch axis"), Gate("saturated")
        self.blocks = nn.ModuleList(Attention(mistake) for mistake in ("unused", "wrong scale", "collapsed", "ignored"))
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in self.blocks)
        self.head = nn.Linear(WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.places(self.channels(self.stem(x))).flatten(2).transpose(1, 2)
        for norm, block in zip(self.norms, self.blocks, strict=True):
            tokens = tokens + block(norm(tokens))
        scores: Tensor = self.head(tokens.mean(1))
        return scores


def build() -> nn.Module:
    """The network, with the same random weights every time."""
    torch.manual_seed(0)
    return Mistaken()


def photographs() -> Tensor:
    """Four photographs of scikit-image, normalised."""
    images = [Image.fromarray(getattr(skimage.data, name)()).convert("RGB") for name in PHOTOGRAPHS]
    pixels = [torch.frombuffer(bytearray(one.resize((SIDE, SIDE)).tobytes()), dtype=torch.uint8) for one in images]
    return torch.stack([one.view(SIDE, SIDE, 3).permute(2, 0, 1) for one in pixels]).float() / 128 - 1


def picture(examination: Examination) -> Image.Image:
    """Every finding with its map over a photograph."""
    drawn = []
    for finding in examination.findings:
        found = examination.picture(finding) if finding.severity != "note" else None
        if found is not None:
            side = "above" if finding.above else "below"
            facts = f"{finding.place}: {shown(finding.number)}, {side} {shown(finding.threshold)}"
            drawn.append(Picture(f"{finding.severity}: {finding.check}", found.image, facts, found.ends, found.span))
    return sheet(drawn, f"regard doctor docs/doctor.py:build: {examination.summary.partition(': ')[2]}", columns=3)


if __name__ == "__main__":
    result = regard.doctor(build(), photographs(), name="build")
    print(result)
    if len(sys.argv) > 1:
        picture(result).save(Path(sys.argv[1]), quality=88, optimize=True)
