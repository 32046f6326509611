"""Checkpoint mappings for the transformer, one file for each part."""

from regard.papers.transformer.published import layers, multi_head, network, positions, training

REFERENCES = (
    *multi_head.REFERENCES,
    *positions.REFERENCES,
    *layers.REFERENCES,
    *network.REFERENCES,
    *training.REFERENCES,
)
