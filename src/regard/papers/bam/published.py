"""Checkpoint mappings for BAM."""

from __future__ import annotations

from regard.published.reference import Reference


def _bam(gate_channel):
    return _bam_gates(gate_channel)


def _bam_gates(gate_channel, reduction_ratio=16, num_layers=1, dilation_conv_num=2, dilation_val=4):
    channel, spatial = "channel_att.gate_c.gate_c", "spatial_att.gate_s.gate_s"
    names = {"spatial.0": f"{spatial}_conv_reduce0", "spatial.1": f"{spatial}_bn_reduce0"}
    for i in range(num_layers):
        names |= {f"channel.{3 * i}": f"{channel}_fc_{i}", f"channel.{3 * i + 1}": f"{channel}_bn_{i + 1}"}
    for i in range(dilation_conv_num):
        names |= {f"spatial.{3 * i + 3}": f"{spatial}_conv_di_{i}", f"spatial.{3 * i + 4}": f"{spatial}_bn_di_{i}"}
    names |= {f"channel.{3 * num_layers}": f"{channel}_fc_final"}
    names |= {f"spatial.{3 * dilation_conv_num + 3}": f"{spatial}_conv_final"}
    return {
        "channels": gate_channel,
        "reduction": reduction_ratio,
        "layers": num_layers,
        "dilations": (dilation_val,) * dilation_conv_num,
    }, names


_MAPS = {"attention": "attention", "channel_logits": "channel", "spatial_logits": "spatial"}

REFERENCES = (
    Reference("bam/Jongchan.attention-module/BAM", "bam", _bam, maps=_MAPS),
    Reference(
        "bam/Jongchan.attention-module/BAM-ChannelGate-SpatialGate",
        "bam",
        _bam_gates,
        maps=_MAPS,
        recording="two classes, put together as BAM does with its defaults",
    ),
)
