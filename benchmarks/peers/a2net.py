"""Double attention; no code of the authors is public."""

from benchmarks.peers.peer import Peer

PEERS = (
    Peer(
        entry="a2",
        place="nguyenvo09/Double-Attention-Network:double_attention_layer.py",
        attribute="DoubleAttentionLayer",
        arguments=lambda shape: {
            "in_channels": shape.channels,
            "c_m": shape.channels // 4,
            "c_n": shape.channels // 4,
            "reconstruct": True,
        },
        reference="a2net/nguyenvo09.Double-Attention-Network/DoubleAttentionLayer",
    ),
    Peer(
        entry="a2",
        place="changzy00/pytorch-attention:attention_mechanisms/double_attention.py",
        attribute="DoubleAttention",
        arguments=lambda shape: {
            "in_channels": shape.channels,
            "c_m": shape.channels // 4,
            "c_n": shape.channels // 4,
        },
        reference="a2net/changzy00.pytorch-attention/DoubleAttention",
    ),
)
