"""Bottleneck attention."""

from benchmarks.peers.peer import Peer

PEERS = (
    Peer(
        entry="bam",
        place="Jongchan/attention-module:MODELS/bam.py",
        attribute="BAM",
        arguments=lambda shape: {"gate_channel": shape.channels},
        reference="bam/Jongchan.attention-module/BAM",
        # The released constructor stops at a name that is nowhere defined.
        edits={"self.gate_activation = gate_activation": "pass"},
    ),
)
