"""Frequency channel attention."""

from benchmarks.peers.floor import Floor
from benchmarks.peers.peer import Peer

PEERS = (
    Peer(
        entry="fca",
        place="cfzd/FcaNet:model/layer.py",
        attribute="MultiSpectralAttentionLayer",
        arguments=lambda shape: {"channel": shape.channels, "dct_h": shape.height, "dct_w": shape.width},
        reference="fca/cfzd.FcaNet/MultiSpectralAttentionLayer",
        # The released filters are rounded to float32, which a comparison in float64 would see.
        edits={
            "torch.zeros(channel, tile_size_x, tile_size_y)": "torch.zeros(channel, tile_size_x, tile_size_y).double()"
        },
    ),
)

FLOORS = (Floor("fca", 2, lambda shape: {"channels": shape.channels, "size": shape.grid}),)
