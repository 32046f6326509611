"""Checkpoint mappings for Neural Baby Talk, whose words, regions and classes are numbered from 1, with 0 the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn

from regard.networks.captioner import decode
from regard.papers.neural_baby_talk.regions import overlaps, roi_align
from regard.papers.neural_baby_talk.targets import Losses, Told, losses, wanted
from regard.published.reference import Names, Reference, State, unsupported

_CAPTIONS = 5  # of each image, as the released code has it

_POINTER = {"sentinel": "f_fc1", "sentinel_key": "f_fc2", "state": "h_fc1", "score": "alpha_net"}
_PARTS = {
    "over_grid.state": "attention.h2att",
    "over_grid.score": "attention.alpha_net",
    "over_regions.state": "attention2.h2att",
    "over_regions.score": "attention2.alpha_net",
    **{f"pointer.{ours}": f"adaPnt.{theirs}" for ours, theirs in _POINTER.items()},
}
_CORES = {
    "top-down": {
        **_PARTS, "looks": "att_lstm", "speaks": "lang_lstm", "gate_input": "i2h_2", "gate_state": "h2h_2",
    },
    "att2in2": {**_PARTS, "of_grid": "a2c1", "of_regions": "a2c2", "of_input": "i2h", "of_state": "h2h"},
}  # fmt: skip
_NAMING = {
    "plural": "bn_fc",
    "name": "fg_fc",
    "vectors": "fg_emb",
    "hidden": "fg_mask",
}


def _arguments(args: Mapping[str, Any], core: str) -> dict[str, Any]:
    if args.get("cnn_backend", "res101") not in ("res101", "res152"):
        raise unsupported("cnn_backend", args["cnn_backend"], "'res101' or 'res152', whose average is the whole image")
    if args["fc_feat_size"] != args["att_feat_size"]:
        raise unsupported("fc_feat_size", args["fc_feat_size"], f"att_feat_size={args['att_feat_size']} is accepted")
    return {
        "channels": args["att_feat_size"],
        "vocabulary": args["vocab_size"] + 1,
        "classes": args["detect_size"] + 1,
        "names": (1,) * args["fg_size"],  # their classes are in the state
        "width": args["rnn_size"],
        "embedding": args["input_encoding_size"],
        "hidden": args["att_hid_size"],
        "core": core,
        "dropout": args["drop_prob_lm"],
    }


def _names(core: str) -> Names:
    names = {
        "embed": "embed.0",
        "place": "loc_fc.0",
        "class_vectors": "det_fc.0.weight",
        "of_grid": "att_embed.0",
        "of_region": "pool_embed.0",
        "grid_key": "ctx2att",
        "region_key": "ctx2pool",
        "logit": "logit",
    }
    if core == "top-down":
        names["of_whole"] = "fc_embed.0"
    names |= {f"core.{ours}": f"core.{theirs}" for ours, theirs in _CORES[core].items()}
    return names | {f"naming.{ours}": f"ccr_core.{theirs}" for ours, theirs in _NAMING.items()}


def _options(
    vocab_size, detect_size, fg_size, image_crop_size=512, input_encoding_size=512, rnn_size=1024, num_layers=1,
    drop_prob_lm=0.5, seq_length=20, fc_feat_size=2048, att_feat_size=2048, att_hid_size=512, finetune_cnn=False,
    cbs=False, cbs_mode="all", cnn_backend="res101", fixed_block=1, self_critical=False, beta=1, beam_size=1,
    seed=None, B=None, T=None,
):  # fmt: skip
    """The released options with their defaults, and what else a recording has."""
    return dict(locals())


def _taking(build: Callable[[dict[str, Any]], tuple[dict[str, Any], Names]]) -> Callable[..., Any]:
    """`build` of the released options, which all of its classes take."""

    @wraps(_options)
    def taking(*args: Any, **options: Any) -> tuple[dict[str, Any], Names]:
        given = _options(*args, **options)
        if given["beta"] != 1:
            raise unsupported("beta", given["beta"], "1 is accepted; the released code sets it to 1")
        if given["cbs"]:
            raise unsupported("cbs", True, "False is accepted; `ops.constrained_search` has the constrained search")
        return build(given)

    return taking


def _model(core: str) -> Callable[..., Any]:
    return _taking(lambda args: (_arguments(args, core), _names(core)))


def _unused(core: str) -> Any:
    """The released one-layer decoder has a layer for the whole image that it never uses."""

    def state(state: State, args: Mapping[str, Any]) -> State:
        if core == "top-down":
            return state
        return {key: value for key, value in state.items() if not key.startswith("fc_embed.")}

    return state


class _Training(nn.Module):
    """The loss of the released training: five captions an image, boxes in pixels, and single precision at the end."""

    def __init__(self, module: Any, args: Mapping[str, Any]) -> None:
        super().__init__()
        self.module, self.size, self.longest = module, args["image_crop_size"], args["seq_length"]

    def forward(
        self, features: Tensor, proposals: Tensor, truth: Tensor, counts: Tensor, sentences: Tensor, hidden: Tensor
    ) -> Tensor:
        first = self.module.vocabulary  # of the classes
        proposals, sentences = proposals.detach().repeat_interleave(_CAPTIONS, 0), sentences.flatten(0, 1)
        ended = (sentences[:, 1 : self.longest, 0].sum(0) == 0).nonzero()
        length = int(ended[0]) + 1 if len(ended) else self.longest
        given, after = sentences[:, :length], sentences[:, 1 : length + 1]
        of_class = (after[..., 0] - first + 1).clamp_min(0)
        own = after[..., 0].where(of_class == 0, after[..., 3])
        classes = proposals[..., 4].long()
        target = wanted(
            of_class,
            after[..., 1],
            after[..., 2],
            own,
            overlap=overlaps(proposals[..., :4], truth.detach().repeat_interleave(_CAPTIONS, 0)[..., :4], pixel=1.0),
            meant=(hidden.flatten(0, 1)[..., 1 : length + 1] == 0).mT,
            classes=classes,
            scores=proposals[..., 5],
        )
        visible = torch.arange(proposals.shape[1]) < counts.detach().repeat_interleave(_CAPTIONS, 0)[:, 1:2]
        seen = (features, *_seen(proposals, self.size), visible)
        seen = (seen[0].repeat_interleave(_CAPTIONS, 0), *seen[1:])
        told: Told = self.module(*seen, given[..., 0], chosen=target.chosen)
        written = torch.where(target.visual, first, target.words) > 0
        counted = torch.cat([written.new_ones(len(written), 1), written[:, :-1]], 1) | target.visual
        found: Losses = losses(told, target, counted)
        named = found.name_count.float().clamp_min(1)
        total: Tensor = found.words.float() / found.word_count.float()
        return total + found.plural.float() / named + found.names.float() / named


def _seen(proposals: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes from 0 to 1, classes and scores of proposals `B N 6` in pixels."""
    return proposals[..., :4] / size, proposals[..., 4].long(), proposals[..., 5]


class _Written(nn.Module):
    """The released decoding: greedy for a beam of one, which goes on behind the end, or with a beam."""

    def __init__(self, module: Any, args: Mapping[str, Any]) -> None:
        super().__init__()
        self.module, self.size = module, args["image_crop_size"]
        self.longest, self.beam = args["seq_length"], args.get("beam_size", 1)

    def forward(self, features: Tensor, proposals: Tensor, counts: Tensor) -> tuple[Tensor, ...]:
        visible = torch.arange(proposals.shape[1]) < counts[:, 1:2]
        seen = (features, *_seen(proposals, self.size), visible)
        with torch.no_grad():
            words, chances = self.greedy(seen) if self.beam == 1 else self.searched(seen)
            ended = (words == 0).cumsum(1) - (words == 0).long() > 0
            plural, names = (found.max(2) for found in self.module.named(seen, words, start=0))
        region = words >= self.module.vocabulary
        found = [plural.indices.where(region, 0), names.indices.where(region, 0)]
        shown = [chances, plural.values, names.values]
        if self.beam > 1:
            found = [one.masked_fill(ended, 0) for one in found]
            shown = [one.masked_fill(ended, 0).float() for one in shown]
        return (words.masked_fill(ended, 0), *found, *shown)

    def greedy(self, seen: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        state = self.module.start(*seen)
        word = torch.zeros(len(seen[0]), dtype=torch.int64)
        words, chances = [], []
        for _ in range(self.longest):
            step = self.module.step(word, state)
            chance, word = step.log_probabilities.max(1)
            state = step.state
            words.append(word)
            chances.append(chance)
        return torch.stack(words, 1), torch.stack(chances, 1)

    def searched(self, seen: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        found = decode(
            self.module, seen, beam=self.beam, longest=self.longest, finished="aside", start=0, end=0, never=()
        )
        words = torch.zeros(len(found), self.longest, dtype=torch.int64)
        chances = seen[0].new_zeros(len(found), self.longest)
        for row, several in enumerate(found):
            count = len(several[0].words)
            words[row, :count] = torch.tensor(several[0].words)
            chances[row, :count] = torch.tensor(several[0].log_probabilities, dtype=chances.dtype)
        return words, chances


_SMALL = {  # of a network of which a part is published alone
    "channels": 1, "vocabulary": 2, "classes": 2, "names": (1,), "width": 1, "embedding": 1, "hidden": 1,
    "word_vector": 1,
}  # fmt: skip


def _pointer(rnn_size, att_hid_size, regions=None):
    return {**_SMALL, "width": rnn_size, "hidden": att_hid_size}, dict(_POINTER)


class _Pointing(nn.Module):
    """The pointer with the softmax that follows it; the released one is given the regions too, and ignores them."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, h: Tensor, sentinel: Tensor, regions: Tensor, keys: Tensor, masked: Tensor) -> Tensor:
        found: Tensor = self.module(h, sentinel, keys, masked).log_softmax(1)
        return found


def _core(core: str) -> Any:
    def build(args: dict[str, Any]) -> tuple[dict[str, Any], Names]:
        sizes = {"width": args["rnn_size"], "embedding": args["input_encoding_size"], "hidden": args["att_hid_size"]}
        return {**_SMALL, **sizes, "core": core, "dropout": args["drop_prob_lm"]}, dict(_CORES[core])

    return _taking(build)


class _Step(nn.Module):
    """A step of the decoder, with states whose first axis counts the layers."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(
        self, x: Tensor, whole: Tensor, grid: Tensor, grid_keys: Tensor, regions: Tensor, region_keys: Tensor,
        masked: Tensor, taken: Tensor, h: Tensor, c: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        seen = (x, whole, grid, grid_keys, regions, region_keys, masked, taken)
        found = self.module(*seen, h.transpose(0, 1), c.transpose(0, 1))
        return found.output, found.scores.log_softmax(1), found.h.transpose(0, 1), found.c.transpose(0, 1)


def _cascade(args: dict[str, Any]) -> tuple[dict[str, Any], Names]:
    sizes = {"width": args["rnn_size"], "classes": args["detect_size"] + 1, "names": (1,) * args["fg_size"]}
    return {**_SMALL, **sizes, "word_vector": 300, "dropout": args["drop_prob_lm"]}, dict(_NAMING)


class _Naming(nn.Module):
    """The heads for plural and name, with the classes of all words in one row."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, of_class: Tensor, regions: Tensor, h: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        plural, names = self.module(of_class.view(h.shape[:2]), regions, h, chosen)
        return plural, names


def _align(aligned=1, spatial_scale=0.03125):
    return dict(_SMALL), {}


class _Align(nn.Module):
    """The RoI align of the paper, with boxes in pixels behind the index of their image."""

    def __init__(self, module: nn.Module, args: Mapping[str, Any]) -> None:
        super().__init__()
        self.bins, self.scale = args.get("aligned", 1), args.get("spatial_scale", 0.03125)

    def forward(self, features: Tensor, rois: Tensor) -> Tensor:
        rois = rois.detach()
        height, width = features.shape[2:]
        boxes = rois[:, None, 1:] * self.scale / rois.new_tensor([width, height, width, height])
        return roi_align(features[rois[:, 0].long()], boxes, self.bins)[:, 0]


def _submodule(path: str) -> Any:
    return lambda module, args: module.get_submodule(path)


_NBT = "jiasenlu.NeuralBabyTalk"
_CALLS = {"TopDown": "top-down", "Att2in2": "att2in2"}

REFERENCES = (
    Reference(f"nbt_roi_align/{_NBT}/RoIAlignAvg", "neural_baby_talk", _align, host=_Align),
    Reference(
        f"nbt_pointer/{_NBT}/adaPnt",
        "neural_baby_talk",
        _pointer,
        host=_submodule("core.pointer"),
        adapt=lambda module, args: _Pointing(module),
        recording="the pointer with its softmax, and its sizes",
    ),
    Reference(
        f"nbt_cascade/{_NBT}/CascadeCore",
        "neural_baby_talk",
        _taking(_cascade),
        host=_submodule("naming"),
        adapt=lambda module, args: _Naming(module),
    ),
    *(
        Reference(
            f"nbt_core/{_NBT}/{published}Core",
            "neural_baby_talk",
            _core(ours),
            host=_submodule("core"),
            adapt=lambda module, args: _Step(module),
        )
        for published, ours in _CALLS.items()
    ),
    *(
        Reference(
            f"{kind}/{_NBT}/{published}Model.{call}",
            "neural_baby_talk",
            _model(ours),
            state=_unused(ours),
            adapt=adapt,
            recording=recording,
        )
        for published, ours in _CALLS.items()
        for kind, call, adapt, recording in (
            ("neural_baby_talk", "_forward", _Training, "the sum of the three losses, on feature maps as images"),
            ("nbt_sample", "_sample", _Written, "greedy decoding, on feature maps as images"),
            ("nbt_sample", "_sample_beam", _Written, "decoding with a beam, on feature maps as images"),
        )
    ),
)
