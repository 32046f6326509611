"""Checkpoint mappings for the networks that answer questions: hengyuan-hu's for PyTorch, and the paper's equations.

hengyuan-hu's padding is the last row of the vocabulary, and stands before the question.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from regard.papers.top_down.mechanism import TopDownAttention
from regard.published.reference import Names, Reference, State, unsupported


def _normed(ours: str, theirs: str) -> Names:
    return {f"{ours}.direction": f"{theirs}.weight_v", f"{ours}.size": f"{theirs}.weight_g", ours: theirs}


def _attention(v_dim: int = 2048, q_dim: int = 1024, num_hid: int = 1024) -> tuple[dict[str, Any], Names]:
    arguments = {"channels": v_dim, "query_channels": q_dim, "hidden": num_hid, "scores": "rectified"}
    return arguments, {**_normed("joint", "nonlinear.main.0"), **_normed("score", "linear")}


def _new_attention(
    v_dim: int = 2048, q_dim: int = 1024, num_hid: int = 1024, dropout: float = 0.2
) -> tuple[dict[str, Any], Names]:
    if num_hid != q_dim:
        raise unsupported("num_hid", num_hid, f"{q_dim} is accepted, as q_dim has it")
    arguments = {"channels": v_dim, "query_channels": q_dim, "hidden": num_hid, "scores": "product", "dropout": dropout}
    return arguments, {
        **_normed("of_region", "v_proj.main.0"),
        **_normed("of_query", "q_proj.main.0"),
        **_normed("score", "linear"),
    }


class _Weights(nn.Module):
    """Our attention, called with regions before the query; it gives the weights `B N 1`."""

    def __init__(self, module: TopDownAttention) -> None:
        super().__init__()
        self.module = module

    def forward(self, regions: Tensor, query: Tensor) -> Tensor:
        return self.module.see("attention", self.module.weights(query, self.module.project(regions)))[..., None]


def _answers(scores: str) -> Any:
    def build(
        v_dim: int = 2048, num_hid: int = 1024, ntoken: int = 19901, num_ans_candidates: int = 3129, word_dim: int = 300
    ) -> tuple[dict[str, Any], Names]:
        arguments = {
            "channels": v_dim,
            "vocabulary": ntoken + 1,
            "answers": num_ans_candidates,
            "embedding": word_dim,
            "hidden": num_hid,
            "scores": scores,
            "dropout": 0.5,
        }
        attention = {"joint": "nonlinear.main.0"}
        if scores == "product":
            attention = {"of_region": "v_proj.main.0", "of_query": "q_proj.main.0"}
        names = {"embed": "w_emb.emb", "input": "q_emb.rnn.ih_l0", "state": "q_emb.rnn.hh_l0"}
        for ours, theirs in (
            *((f"attention.{ours}", f"v_att.{theirs}") for ours, theirs in attention.items()),
            ("attention.score", "v_att.linear"),
            ("of_question", "q_net.main.0"),
            ("of_region", "v_net.main.0"),
            ("of_both", "classifier.main.0"),
            ("answer", "classifier.main.3"),
        ):
            names |= _normed(ours, theirs)
        return arguments, names

    return build


def _answers_state(state: State, args: Mapping[str, Any]) -> State:
    """The GRU's tensors as those of two layers, and the padding as the first row."""
    found = dict(state)
    for part in ("ih_l0", "hh_l0"):
        for kind in ("weight", "bias"):
            found[f"q_emb.rnn.{part}.{kind}"] = found.pop(f"q_emb.rnn.{kind}_{part}")
    found["w_emb.emb.weight"] = found["w_emb.emb.weight"].roll(1, 0)
    return found


class _Answerer(nn.Module):
    """Our network, called with regions, boxes, questions and soft scores; it gives the loss and the logits."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def forward(self, regions: Tensor, boxes: Tensor, question: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.module(regions, None, (question + 1) % self.module.vocabulary)
        return F.binary_cross_entropy_with_logits(logits, scores) * scores.shape[1], logits


def _paper(
    vocab: int = 9, word: int = 300, hidden: int = 512, feat: int = 2048, answers: int = 3129
) -> tuple[dict[str, Any], Names]:
    arguments = {
        "channels": feat,
        "vocabulary": vocab,
        "answers": answers,
        "embedding": word,
        "hidden": hidden,
        "embed.padding_idx": None,  # its word 0 is a word
    }
    names = {"embed": "embed", "input": "gru.ih", "state": "gru.hh", "attention.score": "att.w", "answer": "out"}
    for ours, theirs in (("attention.joint", "att"), ("of_question", "q"), ("of_region", "v"), ("of_both", "o")):
        names |= {f"{ours}.value": f"{theirs}.W", f"{ours}.gate": f"{theirs}.Wg"}
    return arguments, names


class _Paper(nn.Module):
    """Our network, called with regions and questions, which gives probabilities."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def forward(self, regions: Tensor, question: Tensor) -> Tensor:
        y: Tensor = self.module(regions, None, question).sigmoid()
        return y


def _gated_tanh(i: int, o: int) -> tuple[dict[str, Any], Names]:  # the layer of the regions
    arguments = {"channels": i, "vocabulary": 5, "answers": 1, "embedding": 1, "hidden": o}
    return arguments, {"value": "W", "gate": "Wg"}


def _layer_of_regions(module: Any, args: Mapping[str, Any]) -> nn.Module:
    layer: nn.Module = module.of_region
    return layer


QUESTIONS: tuple[Reference, ...] = (
    Reference(
        "updown_vqa_attention/hengyuan-hu.bottom-up-attention-vqa/Attention",
        "top_down",
        _attention,
        adapt=lambda module, args: _Weights(module),
    ),
    Reference(
        "updown_vqa_attention/hengyuan-hu.bottom-up-attention-vqa/NewAttention",
        "top_down",
        _new_attention,
        adapt=lambda module, args: _Weights(module),
    ),
    Reference(
        "updown_vqa/hengyuan-hu.bottom-up-attention-vqa/build_baseline0-instance_bce_with_logits",
        "top_down_answerer",
        _answers("rectified"),
        state=_answers_state,
        adapt=lambda module, args: _Answerer(module),
        maps={"attention": "module/attention"},
    ),
    Reference(
        "updown_vqa/hengyuan-hu.bottom-up-attention-vqa/build_baseline0_newatt-instance_bce_with_logits",
        "top_down_answerer",
        _answers("product"),
        state=_answers_state,
        adapt=lambda module, args: _Answerer(module),
        maps={"attention": "module/attention"},
    ),
    Reference(
        "updown_vqa_paper/paper",
        "top_down_answerer",
        _paper,
        recording="a reading of the equations of Section 3.3",
        adapt=lambda module, args: _Paper(module),
        maps={"attention": "module/attention"},
    ),
    Reference(
        "gated_tanh/paper",
        "top_down_answerer",
        _gated_tanh,
        recording="a reading of the gated tanh of Section 3.3",
        host=_layer_of_regions,
    ),
)
