"""Recipe for RNNsearch: any parallel corpus.

Neural Machine Translation by Jointly Learning to Align and Translate. Bahdanau, Cho, Bengio. ICLR 2015,
arXiv:1409.0473, Section 4 and Appendix B: Adadelta with ρ 0.95 and ε 1e-6, batches of 80 sentences, gradients of a
norm of at most 1, sentences of at most 50 words, the 30,000 most frequent words of each language.

Deviations: the paper trains for about five days on 12.1 million pairs; here the passes are those of a small corpus. The
    network has the biases and the order of the official code.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from regard.data.batches import Buckets
from regard.papers.rnn_search.network import RNNSearch
from regard.training.plan import Plan
from regard.training.schedules import Cosine
from regard.training.translation import Training, recipe

TRAINING = Training(
    optimizer="adadelta",
    options={"rho": 0.95, "eps": 1e-6},
    lr=1.0,
    batch=80,
    clip=1.0,
    epochs=20,
    longest=50,
    beam=12,
    most=30_000 - 4,
    where="Section 4 and Appendix B; the beam from memory",
)
QUICK = Plan(
    epochs=14,
    batch_size=32,
    lr=5e-3,
    weight_decay=0.0,
    optimizer="adam",
    schedule=Cosine(),
    clip=1.0,
    order=Buckets(),
)
SMALL: Mapping[str, Any] = {"embedding": 32, "hidden": 48, "attention": 32, "maxout": 32, "std": 0.1}

translate = partial(
    recipe,
    make=partial(RNNSearch, lag=False, bias=True),
    small=partial(RNNSearch, lag=False, bias=True, **SMALL),
    training=TRAINING,
    quick=QUICK,
)
