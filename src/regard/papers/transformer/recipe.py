"""Recipe for the Transformer: any parallel corpus.

Attention Is All You Need. Vaswani et al. NIPS 2017, arXiv:1706.03762, Section 5: Adam with β 0.9 and 0.98 and ε 1e-9,
the rate of `Noam` with 4,000 steps of warm-up, labels smoothed by 0.1, one vocabulary of 37,000 pieces for both
languages, beams of 4 with the length penalty of Wu et al. at α 0.6.

Deviations: words in place of pieces of words; batches count sentences, 256, in place of 25,000 words; the passes are
    those of a small corpus.
"""

from __future__ import annotations

from functools import partial

from regard.data.batches import Buckets
from regard.papers.transformer.network import Transformer
from regard.training.plan import Plan
from regard.training.schedules import Cosine, Noam
from regard.training.translation import Training, recipe

ADAM = {"betas": (0.9, 0.98), "eps": 1e-9}
TRAINING = Training(
    optimizer="adam",
    options=ADAM,
    lr=1.0,
    schedule=Noam(width=512, warmup=4000),
    batch=256,
    epochs=60,
    smoothing=0.1,
    longest=100,
    beam=4,
    penalty=("wu", 0.6),
    most=37_000 - 4,
    shared=True,
    where="Section 5",
)
QUICK = Plan(
    epochs=10,
    batch_size=32,
    lr=3e-3,
    weight_decay=0.0,
    optimizer="adam",
    options=ADAM,
    schedule=Cosine(),
    warmup=0.05,
    order=Buckets(),
)

translate = partial(
    recipe,
    make=partial(Transformer, shared="all"),
    small=partial(Transformer, channels=48, layers=2, heads=4, hidden=96, shared="all", dropout=0.0),
    training=TRAINING,
    quick=QUICK,
)
