"""Every Picture Tells a Story: an image and a sentence meet in triplets of an object, an action and a scene.

Every Picture Tells a Story: Generating Sentences from Images. Farhadi, Hejrati, Sadeghi, Young, Rashtchian,
Hockenmaier, Forsyth. ECCV 2010, doi:10.1007/978-3-642-15561-1_2. Official code: none; recorded is a reading.

    φ_n(l) = w_n · x_n(l)                         n: object, action or scene; x: what detectors say of label l     (1)
    ψ(l, m) = w_e · [f(l), f(m), f(l, m), f(l, m) / (f(l) f(m))]          f: frequencies in a corpus of triplets   (2)
    score(o, a, s) = φ(o) + φ(a) + φ(s) + ψ(o, a) + ψ(o, s) + ψ(a, s)                                              (3)
    L = max_t [score(t) + Δ(t, t*)] − score(t*)           Δ: the number of wrong labels                            (4)
    meet(image, sentence) = Σ_t∈both 1 / (rank of t for the image · rank of t for the sentence)                    (5)

Place: behind detectors; beside it a sentence is read as triplets too (`sentences`), and both are compared.
Cost: O·A·S additions for all triplets (the paper: 23·16·29 = 10,672).
Deviations: the paper finds the best triplets by relaxing an edge and scoring again | all are scored, which is exact.
    The paper's node features are scores of linear classifiers and averages over the nearest training images in two
    spaces | `neighbours` computes these averages; any features may be given. (5) is from memory: the paper sums the
    inverse ranks of the triplets that both have among their best.
Errata: 0/0 in (2), of labels that never occur, is 0.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from regard.checks import check_input, positive
from regard.core import Attention

NODES = ("object", "action", "scene")


class EveryPicture(Attention):
    """Scores of all triplets of an object, an action and a scene.

    Args:
        objects: O, the number of objects; the paper has 23, with 16 actions and 29 scenes.
        actions: A, the number of actions.
        scenes: S, the number of scenes.
        features: F, how many numbers there are of each label.

    The parameters `nodes`, w of equation (1) `3 F`, are 1 at first, and `edges`, w of equation (2) `4`, are 0, so that
    a text that was not read has no say. The buffers `of_actions` `O A`, `of_scenes` `O S` and `between` `A S` count the
    pairs of labels in the corpus; they are 1 until they are set.

    Shapes: `B O F`, `B A F`, `B S F` -> `B O A S`.
    Maps: none.
    Raises: ValueError for an argument out of range or inputs of other shapes.
    """

    def __init__(self, *, objects: int, actions: int, scenes: int, features: int = 1) -> None:
        super().__init__()
        self.sizes = (positive("objects", objects), positive("actions", actions), positive("scenes", scenes))
        self.nodes = nn.Parameter(torch.ones(len(NODES), positive("features", features)))
        self.edges = nn.Parameter(torch.zeros(4))
        self.register_buffer("of_actions", torch.ones(objects, actions))
        self.register_buffer("of_scenes", torch.ones(objects, scenes))
        self.register_buffer("between", torch.ones(actions, scenes))
        self.of_actions: Tensor
        self.of_scenes: Tensor
        self.between: Tensor

    def forward(self, objects: Tensor, actions: Tensor, scenes: Tensor) -> Tensor:
        potentials = []
        for x, size, weight in zip((objects, actions, scenes), self.sizes, self.nodes, strict=True):
            check_input(x, "B K F", B=objects.shape[0], K=size, F=len(weight))
            potentials.append(x @ weight)
        o, a, s = potentials
        with_action, with_scene, between = (
            edge_features(counts) @ self.edges for counts in (self.of_actions, self.of_scenes, self.between)
        )
        nodes = o[:, :, None, None] + a[:, None, :, None] + s[:, None, None, :]
        table: Tensor = nodes + with_action[:, :, None] + with_scene[:, None, :] + between
        return table


def edge_features(counts: Tensor) -> Tensor:
    """The features of equation (2) from the counts of two labels together: `L M` -> `L M 4`."""
    check_input(counts, "L M")
    joint = counts / counts.sum().clamp_min(1)
    one, other = joint.sum(1, keepdim=True), joint.sum(0, keepdim=True)
    product = one * other
    lift = torch.where(product > 0, joint / product.clamp_min(torch.finfo(joint.dtype).tiny), 0)
    return torch.stack([one.expand_as(joint), other.expand_as(joint), joint, lift], -1)
