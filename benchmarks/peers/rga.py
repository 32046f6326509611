"""Relation-aware global attention."""

from benchmarks.peers.peer import Peer


def _rga(setting: str) -> Peer:
    return Peer(
        entry="rga",
        place="microsoft/Relation-Aware-Global-Attention-Networks:reid/models/models_utils/rga_modules.py",
        attribute="RGA_Module",
        arguments=lambda shape: {
            "in_channel": shape.channels,
            "in_spatial": shape.height * shape.width,
            "use_spatial": "spatial" in setting,
            "use_channel": "channel" in setting,
        },
        reference="rga/microsoft.Relation-Aware-Global-Attention-Networks/RGA_Module",
        setting=setting,
        edits={"print (": "str (", "print(": "str("},
        # its weights grow with the square of the positions
        largest=(8, 32, 16),
    )


PEERS = (_rga("spatial and channel"), _rga("spatial"), _rga("channel"))
