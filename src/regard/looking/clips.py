"""What a network for clips attends to in a video, and what it says of it: its class, or a sentence.

A video is a folder of frames, or a file where a decoder is installed (`regard.data.videos`). As many frames as the
network was trained with are seen, at even distances over the whole video, each as its middle square.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from regard import catalog
from regard.core import Attention, Maps, axes_of
from regard.data import videos
from regard.data.batches import normalised
from regard.data.captioned_clips import evenly
from regard.data.images import shown as shown_path
from regard.data.words import Words
from regard.looking.words import BEAM, LONGEST
from regard.networks.captioner import Captioner, decode
from regard.saved import description as trained
from regard.saved.building import built, changes
from regard.saved.description import Trained
from regard.saved.opening import Network
from regard.viewing import draw
from regard.viewing.painting import picture_of, staged, tiled
from regard.viewing.pictures import SIDE, Picture
from regard.viewing.scaling import Scale
from regard.viewing.words import strip
from regard.watching import watch


@dataclass(frozen=True)
class Said:
    """What a network says of one video.

    Args:
        sentence: of a network that writes; empty for a classifier.
        returned: what a classifier returned; None of a network that writes.
        pictures: the frames, and what was looked at.
    """

    sentence: str
    returned: object
    pictures: list[Picture]


def is_clip(path: Path) -> bool:
    """Whether it is a folder of frames, or has the name of a video file."""
    return path.is_dir() or path.suffix.lower() in videos.FILES


def opened(mechanism: str | None, weights: Path | None, kwargs: Mapping[str, Any]) -> tuple[Network, Trained]:
    """Opens a system for clips, and the description of its weights.

    Args:
        mechanism: the name of the system, which the weights know as well.
        weights: a file of trained weights, or the folder of a run.
        kwargs: arguments of the system.

    Raises: LookupError if there is no such system; FileNotFoundError, ValueError if the weights cannot be read, do not
        fit or have no description, or the network is not one for clips.
    """
    path = None if weights is None else trained.located(weights)
    found = None if path is None else trained.read(path)
    if path is None or found is None or found.entry is None:
        what = "no weights are given" if path is None else f"{path} does not describe its network"
        raise ValueError(f"{what}: a look at a video needs weights of `regard train` for clips (--weights)")
    entry = catalog.get(found.entry)
    if mechanism is not None and catalog.get(mechanism) is not entry:
        raise ValueError(f"{path} is of {entry.name}, not {mechanism}: leave out --with, or give other weights")
    volumes = any("D" in axes.split() for setting in entry.settings for axes in setting.inputs or ())
    if len(found.image or ()) != 4 or volumes:
        raise ValueError(
            f"{path} is of {entry.name}, which was not trained on clips: a photograph or a volume is needed"
        )
    model: nn.Module = built(path, found, arguments=dict(kwargs)).float().eval()
    assert found.image is not None
    words = found.vocabulary
    network = Network(
        entry=entry,
        model=model,
        trained=True,
        name=entry.name,
        channels=found.image[0],
        normalise=found.normalise,
        changed=changes(found, dict(kwargs)),
        class_names=tuple(found.class_names),
        vocabulary=() if isinstance(words, Mapping) else tuple(words),
    )
    return network, found


def of_video(path: Path, network: Network, found: Trained, scale: Scale) -> Said:
    """What the network says of one video, with its frames and the maps over them.

    Args:
        path: the video.
        network, found: as `opened` gives them.
        scale: as for `regard.draw`.

    Raises: ValueError, with the path, if the video cannot be read, or a network that writes has no words.
    """
    assert found.image is not None
    _, count, size, _ = found.image
    clip = evenly(path, count, size)
    frames = [picture_of(frame) for frame in clip.unbind(1)]
    told = videos.opened(path).count
    facts = f"{count} of {told} frames, at even distances" if told != count else f"{count} frames"
    pictures = [Picture(shown_path(path.name), tiled([staged(frame, SIDE) for frame in frames], SIDE), facts)]
    x = normalised(clip[None], network.normalise)
    if isinstance(network.model, Captioner):
        sentence, more = _written(network, x, clip, scale)
        return Said(sentence, None, [*pictures, *more])
    attends = any(isinstance(module, Attention) for module in network.model.modules())
    with torch.no_grad(), watch(network.model, foreign=False) if attends else nullcontext(Maps()) as maps:
        returned = network.model(x)
    return Said("", returned, [*pictures, *draw(maps, clip, scale=scale)])


def _written(network: Network, x: Tensor, clip: Tensor, scale: Scale) -> tuple[str, list[Picture]]:
    """The best sentence of a beam search, and the pictures of each map over its words and of their probabilities."""
    if not network.vocabulary or not isinstance(network.vocabulary, tuple):
        raise ValueError(f"{network.name}: its words are not known: give --weights with the run of `regard train`")
    words = Words(network.vocabulary)
    best = decode(network.model, (x,), beam=BEAM, longest=LONGEST)[0][0]
    said = [words.tokens[number] for number in best.words]
    maps = Maps()
    assert isinstance(network.model, Attention)
    for name, map in best.maps.items():
        maps[name], maps.axes[name] = [map[None].cpu()], axes_of(network.model, name, map[None])
    maps.words["L"] = [said]
    sure = torch.tensor(best.log_probabilities).exp()
    facts = f"{len(said)} words; the probability of each after those before it"
    probable = Picture("words", strip(sure, said, width=SIDE, longest=1.0), facts)
    return " ".join(words.decode(best.words)), [*draw(maps, clip, scale=scale), probable]
