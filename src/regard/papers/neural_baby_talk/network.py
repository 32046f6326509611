"""Neural Baby Talk: a sentence with slots, each of which is filled by pointing at a detected region.

Neural Baby Talk. Lu, Yang, Batra, Parikh. CVPR 2018, arXiv:1803.09845. Official code: jiasenlu/NeuralBabyTalk.

    v_i = relu(W [roi align(map, box_i); relu(W_l [box_i; score_i]); relu(e(class_i))])     region features          (1)
    c_t = attention over the grid + attention over the regions                              Section 3.3              (2)
    h_t, s_t = the language layer of [c_t; h¹_t] and its sentinel                           visual sentinel          (3)
    P(r) = softmax over [s_t; v_1 … v_N] of the pointer                                     Eq. 4, 5                 (4)
    p(word w) = P(s_t) softmax(W h_t)_w,     p(region i) = P(v_i)                           Eq. 3, 6                 (5)
    plural and name of a region from [h_t; v_i]                                             Eq. 7, 8                 (6)

    The words are numbered from 0, and the regions of the image behind them: word V + i is region i. What is read of a
    region as the last word is the embedding of its class.

Place: a captioner for images whose objects are detected: with a detector's boxes, classes and scores it names what was
    never described together, or at all.
Cost: a step of two LSTM layers, two additive attentions and the pointer; the grid and the regions are projected once.
Deviations: paper takes the sentinel from the cell after the step | official code, in its two-layer decoder, from the
    cell before it | as the code. Official code has five captions an image on one pass of its trunk | here each caption
    is a sample. A region that was chosen is hidden from the pointer afterwards, as released, in decoding and in
    `forward`; not in training, where the released code does not hide it either. The released one-layer decoder has a
    layer for the whole image that it never uses | left out here.
Errata: the released constrained beam search moves the masks of chosen regions by the row inside a state of the search
    and not by state and row, so that some hypotheses hide what others chose. torchvision's RoI align is another
    function than this code's. The released overlaps count the last pixel of a box, which `pixel` does in `targets`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from regard.checks import check_input, choice, number, positive, whole, whole_numbers
from regard.core import Attention
from regard.metrics.words.object_words import plural
from regard.networks.captioner import Encoder, Step, acting, evaluated, log_softmax, teacher_forced
from regard.ops.words import END, SPECIAL, START
from regard.papers.neural_baby_talk.decoder import LEAST, Att2in2, Looked, Naming, TopDown
from regard.papers.neural_baby_talk.regions import roi_align
from regard.papers.neural_baby_talk.targets import Told

CORES = {"top-down": TopDown, "att2in2": Att2in2}


class State(NamedTuple):
    """What is known after a word: the image and its regions, what is hidden, and the states of the layers.

    Attributes:
        whole: the whole image, `B R`; None in a decoder that does not use it.
        grid, grid_keys: `B H W R` and `B H W A`.
        regions, region_keys: `B N R` and `B N A`.
        classes: of the regions, `B N`.
        masked: which slots of the pointer are padding, `bool B N+1`; the first is the sentinel.
        taken: `masked`, and the regions that were chosen.
        h, c: of every layer, `B layers R`.
        output: the output of the last step, `B R`.
    """

    whole: Tensor | None
    grid: Tensor
    grid_keys: Tensor
    regions: Tensor
    region_keys: Tensor
    classes: Tensor
    masked: Tensor
    taken: Tensor
    h: Tensor
    c: Tensor
    output: Tensor


class Slot(NamedTuple):
    """A word of a sentence: textual, or a region with what it is called.

    Attributes:
        word: its number, or None for a region.
        region: its index, or None for a textual word.
        of_class: of the region, 0 for a textual word.
        plural: 0 for singular or a textual word, 1 for plural.
        name: of the region, 0 for a textual word.
    """

    word: int | None
    region: int | None = None
    of_class: int = 0
    plural: int = 0
    name: int = 0


class NeuralBabyTalk(Attention):
    """Writes sentences whose visual words are regions that it points at, and then names.

    Args:
        channels: C of the features, or of the images with a `backbone`.
        vocabulary: V, the textual words, the four special ones included.
        classes: K, the classes of the regions, the first of which is none.
        names: the class of each name by which regions are called, from 1; F is their number and none.
        width: R of the layers and the projected features.
        embedding: E of the words.
        hidden: A, the width in which scores are formed.
        word_vector: the width of the fixed word vectors of classes and names; 300 of GloVe.
        core: "top-down" with two layers of LSTM, or "att2in2" with one.
        dropout: of embeddings, projections and outputs in training.
        backbone: None for feature maps as input, or a network of timm's for images, or "convolutions".
        output_stride: of the backbone.

    Shapes: features `B C H W`, boxes `B N 4` (x0, y0, x1, y1, from 0 to 1), classes `B N` and scores `B N`, visible
        `bool B N` or None, and words `B L` below V + N -> log-probabilities `B L V+N`. With `chosen`, `B L N` of zeros
        and ones, the words are below V + K - 1, V + k - 1 being the class k, and the result is `Told`.
    Maps: attention `B L H W` and regions `B L N`, each of which sums to 1; pointer `B L N` and sentinel `B L`, which
        sum to 1 together.
    Raises: ValueError for an argument out of range, or inputs of other shapes.
    """

    class_vectors: Tensor

    def __init__(
        self,
        channels: int,
        *,
        vocabulary: int,
        classes: int,
        names: Sequence[int],
        width: int = 1024,
        embedding: int = 512,
        hidden: int = 512,
        word_vector: int = 300,
        core: str = "top-down",
        dropout: float = 0.5,
        backbone: str | None = None,
        output_stride: int = 32,
    ) -> None:
        super().__init__()
        self.channels = positive("channels", channels)
        self.vocabulary, self.classes = whole("vocabulary", vocabulary, 2), whole("classes", classes, 2)
        names = whole_numbers("names", names, 1, classes - 1)
        self.names, self.width = len(names) + 1, positive("width", width)
        positive("embedding", embedding)
        positive("hidden", hidden)
        positive("word_vector", word_vector)
        kind = CORES[choice("core", core, CORES)]
        number("dropout", dropout, least=0, most=0.999)
        choice("output_stride", output_stride, (4, 8, 16, 32))
        self.seen = ("features" if backbone is None else "image", "boxes", "classes", "scores", "boxes_mask")
        self.encoder = None
        if backbone is not None:
            self.encoder = Encoder(backbone, channels, output_stride=output_stride)
            channels = self.encoder.width
        self.embed = nn.Embedding(vocabulary + classes - 1, embedding)
        self.place = nn.Linear(5, word_vector)
        self.register_buffer("class_vectors", 2 * torch.rand(classes, word_vector) - 1)
        self.of_whole = nn.Linear(channels, width) if kind is TopDown else None
        self.of_grid = nn.Linear(channels, width)
        self.of_region = nn.Linear(channels + 2 * word_vector, width)
        self.grid_key = nn.Linear(width, hidden)
        self.region_key = nn.Linear(width, hidden)
        self.core = kind(embedding, width, hidden, dropout)
        self.logit = nn.Linear(width, vocabulary)
        self.naming = Naming(width, classes, names, word_vector, dropout)
        self.dropout = nn.Dropout(dropout)
        self.fixed_dropout = nn.Dropout(0.5 if dropout else 0.0)  # of the places and classes, as published

    def start_from(self, state: Mapping[str, Tensor] | None = None) -> None:
        """Loads the weights of the backbone, as `networks.captioner.Encoder` does.

        Raises: ValueError without a backbone, and as the encoder.
        """
        if self.encoder is None:
            raise ValueError("backbone=None: a network of timm's is needed to begin with its weights")
        self.encoder.start_from(state)

    def start(self, x: Tensor, boxes: Tensor, classes: Tensor, scores: Tensor, visible: Tensor | None = None) -> State:
        """Reads the image and its regions: equation (1)."""
        check_input(x, "B C H W", C=self.channels)
        batch = x.shape[0]
        check_input(boxes, "B N 4", B=batch)
        count = boxes.shape[1]
        for one in (classes, scores) if visible is None else (classes, scores, visible):
            check_input(one, "B N", B=batch, N=count)
        features = x if self.encoder is None else self.encoder(x)
        boxes, scores = boxes.to(features.dtype), scores.to(features.dtype)
        region = torch.cat(
            [
                roi_align(features, boxes).flatten(2),
                self.fixed_dropout(self.place(torch.cat([boxes, scores[..., None]], 2)).relu()),
                self.fixed_dropout(self.class_vectors[classes].relu()),
            ],
            2,
        )
        regions = self.dropout(self.of_region(region).relu())
        grid = self.dropout(self.of_grid(features.movedim(1, -1)).relu())
        whole_image = None if self.of_whole is None else self.dropout(self.of_whole(features.mean((2, 3))).relu())
        masked = classes.new_zeros(batch, count + 1, dtype=torch.bool)
        if visible is not None:
            masked = torch.cat([masked[:, :1], ~visible], 1)
        zeros = grid.new_zeros(batch, self.core.layers, self.width)
        keys, region_keys = self.grid_key(grid), self.region_key(regions)
        return State(whole_image, grid, keys, regions, region_keys, classes, masked, masked, zeros, zeros, zeros[:, 0])

    def step(self, words: Tensor, state: State) -> Step:
        """The next word, or region, after words `B` below V + N: equations (2) to (5)."""
        region = words - self.vocabulary
        at = region.clamp_min(0)[:, None]
        of_class = state.classes.gather(1, at)[:, 0]
        chosen = torch.zeros_like(state.taken).scatter(1, at + 1, (region >= 0)[:, None])
        rows = torch.where(region >= 0, self.vocabulary - 1 + of_class, words)
        state = state._replace(taken=state.taken | chosen)
        found = self._looked(rows, state)
        spoken, pointer = self._spoken(found, state)
        maps = {
            "attention": found.grid.unflatten(1, state.grid.shape[1:3]),
            "regions": found.regions,
            "pointer": pointer[:, 1:].exp(),
            "sentinel": pointer[:, 0].exp(),
        }
        return Step(
            torch.cat([spoken, pointer[:, 1:]], 1), state._replace(h=found.h, c=found.c, output=found.output), maps
        )

    def _looked(self, rows: Tensor, state: State) -> Looked:
        def act(name: str, map: Tensor) -> Tensor:
            return acting(self, name, map, *(state.grid.shape[1:3] if name == "attention" else map.shape[1:]))

        x = self.dropout(self.embed(rows).relu())
        found: Looked = self.core(
            x,
            state.whole,
            state.grid.flatten(1, 2),
            state.grid_keys.flatten(1, 2),
            state.regions,
            state.region_keys,
            state.masked,
            state.taken,
            state.h,
            state.c,
            act,
        )
        return found

    def _spoken(self, found: Looked, state: State) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the textual words `B V`, and of the sentinel and the regions `B N+1`."""
        pointer = found.scores.log_softmax(1).masked_fill(state.taken, LEAST)
        if self.watched:
            own = pointer[:, :1].exp(), pointer[:, 1:].exp()
            sentinel, regions = acting(self, "sentinel", own[0]), acting(self, "pointer", own[1], own[1].shape[1])
            if sentinel is not own[0] or regions is not own[1]:
                pointer = torch.cat([sentinel, regions], 1).log().clamp_min(LEAST)
        return log_softmax(self.logit(found.output)) + pointer[:, :1], pointer

    def forward(self, *inputs: Tensor | None, chosen: Tensor | None = None) -> Tensor | Told:
        *seen, words = inputs
        assert words is not None and seen[0] is not None
        check_input(words, "B L", B=seen[0].shape[0])
        if chosen is None:
            return teacher_forced(self, seen, words).log_probabilities
        return self.told(seen, words, chosen)

    def told(self, seen: Sequence[Any], words: Tensor, chosen: Tensor) -> Told:
        """A sentence with the true words given, for training.

        Args:
            seen: the inputs.
            words: the given words, below V + K - 1: V + k - 1 is any region of class k.
            chosen: the regions of the next word, of zeros and ones.
        """
        state = self.start(*seen)
        steps, outputs = [], []
        for rows in words.unbind(1):
            found = self._looked(rows, state)
            state = state._replace(h=found.h, c=found.c)
            steps.append(self._spoken(found, state))
            outputs.append(found.output)
        spoken, pointer = (torch.stack(list(parts), 1) for parts in zip(*steps, strict=True))
        of_class = (chosen * state.classes[:, None]).amax(2).to(torch.int64)
        plural, names = self.naming(of_class, state.regions, torch.stack(outputs, 1), chosen.to(state.regions.dtype))
        return Told(spoken, pointer[..., 1:], plural, names)

    def named(self, seen: Sequence[Any], words: Tensor, *, start: int = START) -> tuple[Tensor, Tensor]:
        """Log-probabilities of plurals and names in sentences that were written.

        A region is named from the state that wrote it, so that the sentences are read once more.

        Args:
            seen: the inputs.
            words: behind the start, below V + N.
            start: the number of the start.

        Shapes: words `B L` -> `B L 2` and `B L F`.
        """
        state, outputs = self.start(*seen), []
        before = torch.cat([words.new_full((words.shape[0], 1), start), words[:, :-1]], 1)
        for word in before.unbind(1):
            state = self.step(word, state).state
            outputs.append(state.output)
        region = words - self.vocabulary
        count = state.classes.shape[1]
        chosen = (region[:, :, None] == torch.arange(count, device=words.device)).to(state.regions.dtype)
        of_class = state.classes.gather(1, region.clamp(0, count - 1)).where(region >= 0, 0)
        found: tuple[Tensor, Tensor] = self.naming(of_class, state.regions, torch.stack(outputs, 1), chosen)
        return found

    def slots(
        self, seen: Sequence[Any], sentences: Sequence[Sequence[int]], *, start: int = START, end: int = END
    ) -> list[list[Slot]]:
        """The words of sentences up to their end, and what their regions are called; without gradients.

        Args:
            seen: the inputs, an image for each sentence.
            sentences: numbers below V + N, as `networks.captioner.decode` finds them.
            start, end: the numbers of the start and the end.
        """
        if not any(sentences):
            return [[] for _ in sentences]
        with evaluated(self), torch.no_grad():
            rows = [torch.tensor(list(sentence), dtype=torch.int64) for sentence in sentences]
            words = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=end)
            first = next(one for one in seen if one is not None)
            plural, names = self.named(seen, words.to(first.device), start=start)
        classes = seen[2]
        assert classes is not None
        found = []
        for row, sentence in enumerate(sentences):
            slots = []
            for at, word in enumerate(sentence):
                if word == end:
                    break
                region = word - self.vocabulary
                if region < 0:
                    slots.append(Slot(word))
                else:
                    of_class = int(classes[row, region])
                    number, name = int(plural[row, at].argmax()), int(names[row, at].argmax())
                    slots.append(Slot(None, region, of_class, number, name))
            found.append(slots)
        return found

    def spelled(
        self, seen: Sequence[Any], sentences: Sequence[Sequence[int]], vocabulary: Mapping[str, Sequence[str]]
    ) -> list[list[str]]:
        """The text of each number of sentences that were written, the end included; a region is called by its name.

        Args:
            seen, sentences: as for `slots`.
            vocabulary: the tokens of the "words" and of the "names", the four special ones first.
        """
        words, names = vocabulary["words"], ("", *vocabulary["names"][len(SPECIAL) :])
        found = []
        for sentence, slots in zip(sentences, self.slots(seen, sentences), strict=True):
            texts = [
                words[slot.word] if slot.word is not None else (plural if slot.plural else str)(names[slot.name])
                for slot in slots
            ]
            found.append([*texts, *[words[number] for number in sentence[len(slots) :]]])
        return found
