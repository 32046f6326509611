"""Covariance pooling with a matrix square root."""

from benchmarks.peers.peer import Peer

PEERS = (
    Peer(
        entry="isqrt_covariance",
        place="jiangtaoxie/fast-MPN-COV:src/representation/MPNCOV.py",
        attribute="MPNCOV",
        arguments=lambda shape: {"input_dim": shape.channels, "iterNum": 5, "dimension_reduction": shape.channels},
        # The released constants are rounded to float32, which a comparison in float64 would see.
        edits={"device = x.device": "device = x.device, dtype = x.dtype"},
        reference="isqrt/jiangtaoxie.fast-MPN-COV/MPNCOV",
    ),
)
