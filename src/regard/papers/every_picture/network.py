"""Every Picture Tells a Story: an image and a sentence meet in triplets of an object, an action and a scene.

Every Picture Tells a Story: Generating Sentences from Images. Farhadi, Hejrati, Sadeghi, Young, Rashtchian,
Hockenmaier, Forsyth. ECCV 2010, doi:10.1007/978-3-642-15561-1_2. Official code: none; recorded is a reading.

    φ_n(l) = w_n · x_n(l)                         n: object, action or scene; x: what detectors say of label l     (1)
    ψ(l, m) = w_e · [f(l), f(m), f(l, m), f(l, m) / (f(l) f(m))]          f: frequencies in a corpus of triplets   (2)
    score(o, a, s) = φ(o) + φ(a) + φ(s) + ψ(o, a) + ψ(o, s) + ψ(a, s)                                              (3)
    L = max_t [score(t) + Δ(t, t*)] − score(t*)           Δ: the number of wrong labels                            (4)
    meet(image, sentence) = Σ_t∈both 1 / (rank of t for the image · rank of t for the sentence)                    (5)

Of an image v are its features, `picture`; its x are

    x(l) = [s(l), mean of s(l) over its neighbours in v, mean of s(l) over its neighbours in s],   s = W v + b     (10)

Place: behind detectors; beside it a sentence is read as triplets too (`sentences`), and both are compared.
Cost: O·A·S additions for all triplets (the paper: 23·16·29 = 10,672), and N distances to the remembered images.
Deviations: the paper finds the best triplets by relaxing an edge and scoring again | all are scored, which is exact.
    The paper's features are those of detectors with parts, of classifiers of objects and of a gist of scenes | (6) to
    (9), detectors of one part and a small gist; any scores may be given instead. (5) and (10) are from memory: the
    paper sums the inverse ranks of the triplets that both have among their best, and has more than one such average.
    A triplet of drawn scenes, in which nothing acts, is an object, its colour, and the object that it lies by.
Errata: 0/0 in (2), of labels that never occur, is 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from regard.checks import check_input, positive, whole
from regard.core import Attention
from regard.papers.every_picture.picture import Picture
from regard.papers.every_picture.triplets import best_triplets, neighbours

NODES = ("object", "action", "scene")
MAPS = ("objects", "actions", "scenes")  # the potentials of each node
OF_AN_IMAGE = 3  # numbers of each label, equation (10)
NEAR = 10  # neighbours
SMALLEST = 1e-3  # of a deviation: a feature that is the same in all images says nothing


class EveryPicture(Attention):
    """Scores of all triplets of an object, an action and a scene.

    Args:
        channels: of the images, whose features are computed, equations (6) to (10); None takes the features of labels.
        objects: O, the number of objects; the paper has 23, with 16 actions and 29 scenes.
        actions: A, the number of actions.
        scenes: S, the number of scenes.
        features: F, how many numbers there are of each label; 3 where there are channels.
        known: N, the training images that are remembered, with channels.
        sentences: P, the sentences that `told` chooses from.

    The parameters `nodes`, w of equation (1) `3 F`, are 1 at first, and `edges`, w of equation (2) `4`, are 0, so that
    a text that was not read has no say. The buffers `of_actions` `O A`, `of_scenes` `O S` and `between` `A S` count the
    pairs of labels in the corpus; they are 1 until they are set. With channels `remember` sets the rest.

    Shapes: `B O F`, `B A F`, `B S F`, or images `B C H W` -> `B O A S`.
    Maps: objects `B O`, actions `B A` and scenes `B S`, the potentials of equation (1); with channels also detectors
        `B O H/2 W/2`, the responses of equation (8).
    Raises: ValueError for an argument out of range or inputs of other shapes.
    """

    seen = ("image",)

    def __init__(
        self,
        channels: int | None = None,
        *,
        objects: int,
        actions: int,
        scenes: int,
        features: int | None = None,
        known: int = 0,
        sentences: int = 0,
    ) -> None:
        super().__init__()
        self.sizes = (positive("objects", objects), positive("actions", actions), positive("scenes", scenes))
        self.channels = None if channels is None else positive("channels", channels)
        whole("known", known, 0)
        if channels is None:
            features = 1 if features is None else positive("features", features)
            if known:
                raise ValueError(f"known={known!r}, channels=None: 0 is needed without channels")
        elif features not in (None, OF_AN_IMAGE):
            raise ValueError(f"features={features!r}: None or {OF_AN_IMAGE} is needed with channels")
        else:
            features = OF_AN_IMAGE
            self.picture = Picture(channels, detectors=objects)
            self.classifiers = nn.Linear(self.picture.width, sum(self.sizes))
            self.register_buffer("mean", torch.zeros(self.picture.width))
            self.register_buffer("deviation", torch.ones(self.picture.width))
            self.register_buffer("known_features", torch.zeros(positive("known", known), self.picture.width))
            self.register_buffer("known_scores", torch.zeros(known, sum(self.sizes)))
            self.mean: Tensor
            self.deviation: Tensor
            self.known_features: Tensor
            self.known_scores: Tensor
        self.nodes = nn.Parameter(torch.ones(len(NODES), features))
        self.edges = nn.Parameter(torch.zeros(4))
        self.register_buffer("of_actions", torch.ones(objects, actions))
        self.register_buffer("of_scenes", torch.ones(objects, scenes))
        self.register_buffer("between", torch.ones(actions, scenes))
        self.register_buffer("sentences", torch.zeros(whole("sentences", sentences, 0), 3, dtype=torch.long))
        self.of_actions: Tensor
        self.of_scenes: Tensor
        self.between: Tensor
        self.sentences: Tensor

    def forward(self, *seen: Tensor) -> Tensor:
        nodes = seen if self.channels is None else self.labelled(*seen)
        potentials = []
        for name, x, size, weight in zip(MAPS, nodes, self.sizes, self.nodes, strict=True):
            check_input(x, "B K F", B=nodes[0].shape[0], K=size, F=len(weight))
            potentials.append(self.see(name, x @ weight))
        o, a, s = potentials
        table: Tensor = o[:, :, None, None] + a[:, None, :, None] + s[:, None, None, :] + self.pairs()
        return table

    def pairs(self) -> Tensor:
        """The sum of the three ψ of equation (3) for every triplet, `O A S`."""
        with_action, with_scene, between = (
            edge_features(counts) @ self.edges for counts in (self.of_actions, self.of_scenes, self.between)
        )
        table: Tensor = with_action[:, :, None] + with_scene[:, None, :] + between
        return table

    def described(self, image: Tensor) -> Tensor:
        """The features v of images, in units of their deviations over the training images: `B C H W` -> `B D`."""
        check_input(image, "B C H W", C=self.channels or 0)
        features, _ = self.picture(image, partial(self.see, "detectors"))
        standard: Tensor = (features - self.mean) / self.deviation
        return standard

    def labelled(self, image: Tensor) -> tuple[Tensor, ...]:
        """Equation (10): `B C H W` -> `B O 3`, `B A 3`, `B S 3`; while training an image is no neighbour of itself."""
        features = self.described(image)
        scores = self.classifiers(features)
        near = min(NEAR, len(self.known_features) - self.training)
        parts = [scores]
        for own, known in ((features, self.known_features), (scores, self.known_scores)):
            if near < 1:
                parts.append(torch.zeros_like(scores))
            else:
                parts.append(neighbours(own, known.to(own.dtype), self.known_scores, near, itself=self.training))
        o, a, s = torch.stack(parts, 2).split(self.sizes, 1)
        return o, a, s

    @torch.no_grad()
    def standardise(self, images: Sequence[Tensor]) -> None:
        """Sets the mean and the deviation of the features of training images, given in batches `B C H W`."""
        features = torch.cat([self.picture(batch)[0] for batch in images])
        self.mean.copy_(features.mean(0))
        self.deviation.copy_(features.std(0, correction=0).clamp_min(SMALLEST))

    @torch.no_grad()
    def remember(self, images: Sequence[Tensor]) -> None:
        """Sets the remembered features and scores to those of training images, given in batches `B C H W`.

        Raises: ValueError if there are not N images.
        """
        features = torch.cat([self.described(batch) for batch in images])
        if len(features) != len(self.known_features):
            raise ValueError(f"images: {len(self.known_features)} are needed, not {len(features)}")
        self.known_features.copy_(features)
        self.known_scores.copy_(self.classifiers(features))

    @torch.no_grad()
    def count(self, triplets: tuple[Tensor, Tensor, Tensor]) -> None:
        """Sets how often pairs of labels stand together in a corpus; see `triplets.counted`."""
        for buffer, counts in zip((self.of_actions, self.of_scenes, self.between), triplets, strict=True):
            buffer.copy_(counts)

    def told(self, image: Tensor, *, words: Mapping[str, Sequence[str]]) -> list[str]:
        """What is told of each image: the sentence whose triplet scores best, and the best triplet.

        Args:
            image: the images.
            words: the names of the objects, actions and scenes under `MAPS`, and under `sentences` the sentences.

        Shapes: `B C H W` -> B texts.
        """
        found = []
        for one in self(image):
            best = best_triplets(one, 1)[0][0].tolist()
            triplet = ", ".join(words[name][label] for name, label in zip(MAPS, best, strict=True))
            text = f"<{triplet}>"
            if len(self.sentences):
                o, a, s = self.sentences.T
                text = f"{words['sentences'][int(one[o, a, s].argmax())]} {text}"
            found.append(text)
        return found


def edge_features(counts: Tensor) -> Tensor:
    """The features of equation (2) from the counts of two labels together: `L M` -> `L M 4`."""
    check_input(counts, "L M")
    joint = counts / counts.sum().clamp_min(1)
    one, other = joint.sum(1, keepdim=True), joint.sum(0, keepdim=True)
    product = one * other
    lift = torch.where(product > 0, joint / product.clamp_min(torch.finfo(joint.dtype).tiny), 0)
    return torch.stack([one.expand_as(joint), other.expand_as(joint), joint, lift], -1)
