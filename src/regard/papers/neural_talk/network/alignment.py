"""Alignment of the words of a sentence with the regions of an image, learned from whole captions.

Deep Visual-Semantic Alignments for Generating Image Descriptions. Karpathy, Fei-Fei. CVPR 2015, arXiv:1412.2306.
Official code: none of this part; recorded are the paper's equations as transcribed from a2n-s/imgDesc.

    v_i = W_m f_i + b_m                                 f_i: the feature of region i                  Eq. 1   (1)
    e_t = max(0, W_w w_t + b_e)                         w_t: the vector of word t                     Eq. 3   (2)
    →h_t = max(0, e_t + W_f →h_{t-1} + b_f),  ←h_t = max(0, e_t + W_b ←h_{t+1} + b_b)                 Eq. 4,5 (3)
    s_t = max(0, W_d (→h_t + ←h_t) + b_d)                                                             Eq. 6   (4)
    S_kl = Σ_t max_i v_i·s_t                            image k, sentence l                           Eq. 8   (5)
    L = Σ_k [ Σ_l max(0, S_kl − S_kk + 1) + Σ_l max(0, S_lk − S_kk + 1) ]                             Eq. 9   (6)
    a = argmax Σ_t v_{a_t}·s_t + β Σ_t [a_t = a_{t+1}]                                                Eq. 10–12 (7)

Place: behind a detector (the paper: the 19 best regions of an RCNN, and the whole image) and vectors of words.
Cost: N·C·hidden for the regions, 5·hidden² a word, and N·T·hidden for each pair of an image and a sentence.
Deviations: paper (5) replaces Eq. 7, Σ_t Σ_i max(0, v_i·s_t) | `pairs="sum"`. Paper: l = k stands in (6), which adds
    2 for each pair | the same. Paper writes (7) as an energy that is minimised, with these terms | maximised, which is
    what is meant. The paper's activations are ReLU throughout, and its region vectors linear | the same. The paper:
    vectors of word2vec, kept | given, or learned with `vocabulary`. The paper: boxes of an RCNN | any regions, or the
    places of a map with `backbone`.
Errata: a larger β makes longer phrases point to one region; it is compared with the scores, so it has no fixed scale.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from regard.checks import check_input, choice, positive
from regard.core import Attention
from regard.data.words import Words
from regard.networks.captioner import Encoder
from regard.ops.precision import uncast, widened
from regard.ops.words import SPECIAL

PAIRS = ("max", "sum")
FITTING = 5  # words that are told of an image


class Alignment(Attention):
    """Scores of images for sentences, by the regions that the words fit best.

    Args:
        channels: of the feature of a region, or with a backbone of the image.
        vocabulary: the number of words, the four special ones included, whose vectors are then learned; None takes the
            vectors themselves.
        backbone: a network of timm's, or "convolutions", see `networks.captioner.Encoder`, the places of whose last map
            are then the regions; None takes regions.
        word: width of the vector of a word.
        hidden: width of the common space.
        pairs: a word counts by its best region ("max", equation 5) or by all that fit it ("sum").

    Shapes: regions `B N C` and their mask `bool B N` (None: all), or with a backbone an image `B C H W` alone; words
        `B L word`, or `int64 B L` with a vocabulary, and their mask `bool B L` (None: all) -> `B B`, every image (row)
        with every sentence (column).
    Maps: alignment `B L N`: v_i·s_t of each word of a sentence with the regions of its own image.
    Raises: ValueError for an argument out of range or inputs of other shapes; LookupError for an unknown backbone.
    """

    def __init__(
        self,
        channels: int,
        *,
        vocabulary: int | None = None,
        backbone: str | None = None,
        word: int,
        hidden: int = 1000,
        pairs: str = "max",
    ) -> None:
        super().__init__()
        self.channels, self.word = positive("channels", channels), positive("word", word)
        positive("hidden", hidden)
        self.pairs = choice("pairs", pairs, PAIRS)
        self.encoder = None if backbone is None else Encoder(backbone, channels)
        self._grid = (0, 0)
        self.seen = ("features", "features_mask") if self.encoder is None else ("image",)
        self.vectors = None if vocabulary is None else nn.Embedding(positive("vocabulary", vocabulary), word)
        self.region = nn.Linear(channels if self.encoder is None else self.encoder.width, hidden)
        self.embed = nn.Linear(word, hidden)
        self.ahead = nn.Linear(hidden, hidden)
        self.back = nn.Linear(hidden, hidden)
        self.mix = nn.Linear(hidden, hidden)

    def start_from(self, state: Mapping[str, Tensor] | None = None) -> None:
        """Loads the weights of the image encoder; see `networks.captioner.Encoder.start_from`."""
        if self.encoder is not None:
            self.encoder.start_from(state)

    def forward(self, *inputs: Tensor | None) -> Tensor:
        seen, regions_mask, words, words_mask = inputs if self.encoder is None else (inputs[0], None, *inputs[1:])
        assert seen is not None and words is not None
        axes = "B L E" if self.vectors is None else "B L"
        check_input(words, axes, B=seen.shape[0])
        v, regions_mask = self.regions(seen, regions_mask)
        s, words_mask = self.sentences(words, words_mask)
        own = None
        if self.watched:
            grid = {} if self.encoder is None else {"N": self._grid}
            with uncast(v):
                own = self.see("alignment", torch.einsum("bnd,bld->bln", v, s), **grid)
        return self.scores(v, regions_mask, s, words_mask, own)

    def regions(self, seen: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """v of equation (1): `B N C`, or an image with a backbone -> `B N hidden`, and the mask `bool B N`."""
        if self.encoder is not None:
            places = self.encoder(seen)
            self._grid = (places.shape[2], places.shape[3])
            seen = places.flatten(2).mT
        else:
            check_input(seen, "B N C", C=self.channels)
        return widened(self.region(seen)), _mask(seen, mask)

    def sentences(self, words: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """s of equations (2) to (4): `B L hidden`, and the mask `bool B L`; padding passes the state on."""
        if self.vectors is not None:
            check_input(words, "B L")
            words = self.vectors(words)
        check_input(words, "B L E", E=self.word)
        mask = _mask(words, mask)
        e = self.embed(words).relu()
        ahead = _recurrent(self.ahead, e.unbind(1), mask.unbind(1))
        back = _recurrent(self.back, e.unbind(1)[::-1], mask.unbind(1)[::-1])[::-1]
        return widened(self.mix(torch.stack(ahead, 1) + torch.stack(back, 1)).relu()), mask

    @torch.no_grad()
    def told(self, *seen: Tensor | None, words: Words) -> list[str]:
        """The words that fit one image best, each as a sentence of its own; their alignment `1 L N` is shown.

        Raises: ValueError for a network without a vocabulary, or for more images than one.
        """
        if self.vectors is None:
            raise ValueError("vocabulary=None: a network that has learned its words is needed")
        v, mask = self.regions(*seen)  # type: ignore[arg-type]
        check_input(v, "B N C", B=1)
        rows = torch.arange(len(SPECIAL), len(words), device=v.device)
        s, there = self.sentences(rows[:, None])
        best = self.scores(v, mask, s, there)[0].topk(min(FITTING, len(rows))).indices
        grid = {} if self.encoder is None else {"N": self._grid}
        self.show("alignment", torch.einsum("bnd,ld->bln", v, s[best, 0]), **grid)
        return [words.tokens[row] for row in rows[best].tolist()]

    def scores(
        self, v: Tensor, regions_mask: Tensor, s: Tensor, words_mask: Tensor, own: Tensor | None = None
    ) -> Tensor:
        """S of equation (5): `K N hidden`, `bool K N`, `J L hidden`, `bool J L` -> `K J`.

        Args:
            own: the fit of each image to the sentence of the same index, `K L N`, in place of its own products.
        """
        with uncast(v):
            fit = torch.einsum("knd,jld->kjnl", v, s)
        if own is not None:
            same = torch.arange(len(v), device=v.device)
            fit = fit.index_put((same, same), own.mT)
        if self.pairs == "max":
            best = fit.masked_fill(~regions_mask[:, None, :, None], -torch.inf).amax(2)
        else:
            best = (fit.relu() * regions_mask[:, None, :, None]).sum(2)
        return (best * words_mask[None]).sum(2)


def _mask(x: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return torch.ones_like(x[..., 0], dtype=torch.bool)
    check_input(mask, "B N", B=x.shape[0], N=x.shape[1])
    return mask


def _recurrent(layer: nn.Module, rows: tuple[Tensor, ...], masks: tuple[Tensor, ...]) -> list[Tensor]:
    """Equation (3) in one direction: each `B hidden`."""
    h, found = torch.zeros_like(rows[0]), []
    for row, mask in zip(rows, masks, strict=True):
        h = torch.where(mask[:, None], (row + layer(h)).relu(), h)
        found.append(h)
    return found
