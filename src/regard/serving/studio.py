"""What one session of the page has: networks, photographs, and passes of one through the other.

Nothing here knows HTTP. All methods are meant for one thread, which the server gives them.
"""

from __future__ import annotations

import hashlib
import io
import math
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from regard.core import Formed, Maps, NothingSeen
from regard.data import images
from regard.examining import doctor
from regard.examining.findings import Finding
from regard.examining.findings import shown as numbered
from regard.looking.explaining import Explainer, probabilities
from regard.looking.results import warning
from regard.looking.segmenting import said_of
from regard.saved.opening import Network
from regard.serving import slices, transcript
from regard.serving.editing import Change, built
from regard.serving.following import NAMES, Asked, line
from regard.serving.gating import gates, turned
from regard.serving.networks import Named, Networks
from regard.serving.seeing import seen
from regard.serving.store import BYTES, IMAGES, PASSES, Store
from regard.viewing.painting import picture_of
from regard.watching import listen, watch
from regard.watching.editing import edit

UPLOAD = 8 * 2**20  # bytes of a photograph
PIXELS = 40_000_000  # of a photograph
LIKELY = 20  # classes of a prediction that are sent
THUMBNAIL = 112  # pixels
EDITS = 64  # of one pass
EXAMINED = 6  # photographs that the doctor gets
STRONGEST_GATE = 2.0  # the largest factor of α


class Missing(LookupError):
    """Something that the server has not, or no longer, in memory."""


@dataclass(frozen=True)
class Photograph:
    """A photograph that was given: its content as it came, its name, and the size of the upright image."""

    number: int
    id: str
    name: str
    content: bytes
    width: int
    height: int

    def facts(self) -> dict[str, Any]:
        """What a page needs, as JSON."""
        return {"id": self.id, "name": self.name, "width": self.width, "height": self.height}


@dataclass(frozen=True)
class Pass:
    """One forward pass.

    Args:
        id: by which a page asks for its maps.
        named, photograph: the network and the photograph.
        maps: what was recorded, as it acted.
        seen: the pixels that the network saw, uint8 `3 H W`.
        forward: seconds of the forward pass alone.
        changes, alpha: the edits and the factor of the gate under which it ran.
        answer: the rest of what the page is told, as JSON.
    """

    id: str
    named: Named
    photograph: Photograph
    maps: Maps
    seen: Tensor
    forward: float
    changes: Sequence[Change]
    alpha: float
    answer: Mapping[str, Any]

    @property
    def bytes(self) -> int:
        """Of its maps and its pixels."""
        return self.seen.nbytes + weight(self.maps)


class Studio:
    """The networks, the photographs and the passes of a session.

    Args:
        networks: what can be opened.
        total: bytes of photographs and maps that are kept.
    """

    def __init__(self, networks: Networks, *, total: int = BYTES) -> None:
        self.networks = networks
        self.store = Store({"image": IMAGES, "pass": PASSES}, total)
        self._passes = self._came = 0

    def add(self, content: bytes, name: str) -> Photograph:
        """Keeps a photograph, read by the library's own reader.

        Args:
            content: the file as it came.
            name: the file's name, for people only.

        Raises: UnreadableImage if it is no image that is read; ValueError if it has too many pixels.
        """
        with images.quiet():
            width, height = images.measured(io.BytesIO(content))
            if width * height > PIXELS:
                raise ValueError(
                    f"{width} x {height} is {width * height / 1e6:.0f} megapixels: up to {PIXELS // 10**6} are accepted"
                )
            images.read(io.BytesIO(content), THUMBNAIL)  # a damaged file is refused now, not at the first pass
        id = hashlib.sha256(content).hexdigest()[:16]
        self._came += 1
        photograph = Photograph(self._came, id, name, content, width, height)
        self.store.put("image", id, photograph, size=len(content))
        return photograph

    def photograph(self, id: object) -> Photograph:
        """A photograph that is kept. Raises: Missing if it is not."""
        try:
            found: Photograph = self.store.get("image", str(id))
        except KeyError:
            raise Missing(f"image {id!r} is not in memory: drop the photograph again") from None
        return found

    def photographs(self) -> list[Photograph]:
        """All that are kept, in the order in which they came."""
        return sorted(self.store.values("image"), key=lambda one: one.number)

    def forget(self) -> None:
        """Forgets all photographs and passes."""
        self.store.clear()

    def thumbnail(self, id: str) -> bytes:
        """The middle square of a photograph, small, as PNG. Raises: Missing."""
        with images.quiet():
            pixels = images.read(io.BytesIO(self.photograph(id).content), THUMBNAIL).pixels
        return _encoded(picture_of(pixels.float() / 255), "PNG")

    def run(self, asked: Mapping[str, Any]) -> Pass:
        """One forward pass of a photograph through a network, with what is changed in it.

        Args:
            asked: as a page asks: `model`, `image`, and perhaps `edits` and `alpha`.

        Raises:
            Missing: a photograph is not in memory.
            LookupError, ValueError: there is no such network, or it cannot be opened or changed so.
        """
        named, photograph, wanted, alpha = self.asked(asked)
        network = self.networks.open(named)
        changes = self._built(named, wanted)
        pixels = self.seen(network, photograph)
        x = network.prepared(pixels)
        with torch.no_grad(), _changed(network, changes, alpha):
            maps, shown, returned, forward = watched(network.model, x)
        prediction, of = _prediction(network, returned, pixels)
        if not maps and prediction:
            maps = Explainer(network, None, None).explain(pixels, maps, returned)
        self._passes += 1
        answer = {
            "prediction": prediction, "of": of, "width": pixels.shape[2], "height": pixels.shape[1],
            "maps": described(maps, shown), "gates": gates(network.model), "title": network.name,
            "warning": warning(network), "python": transcript.of(named, photograph.name, changes, alpha),
        }  # fmt: skip
        made = Pass(f"p{self._passes}", named, photograph, maps, pixels, forward, changes, alpha, answer)
        self.store.put("pass", made.id, made, size=made.bytes)
        return made

    def _built(self, named: Named, wanted: Sequence[Any]) -> tuple[Change, ...]:
        """The edits that a page asks for. Raises: ValueError for what is none; Missing for a photograph."""
        if len(wanted) > EDITS:
            raise ValueError(f"edits: up to {EDITS} are accepted, not {len(wanted)}")
        everything = [photograph.id for photograph in self.photographs()]
        return tuple(built(one, lambda id: self._maps(named, id), everything) for one in wanted)

    def _maps(self, named: Named, id: str) -> tuple[Maps, str]:
        """The maps of a photograph without any change, and its name. Raises: Missing."""
        photograph = self.photograph(id)
        name = f"{photograph.id} {named}"
        try:
            maps: Maps = self.store.get("maps", name)
        except KeyError:
            network = self.networks.open(named)
            with torch.no_grad():
                maps = watched(network.model, network.prepared(self.seen(network, photograph)))[0]
            self.store.put("maps", name, maps, size=weight(maps))
        return maps, photograph.name

    def asked(self, asked: Mapping[str, Any]) -> tuple[Named, Photograph, Sequence[Any], float]:
        """The network, the photograph, the edits and the factor of the gate that a page asks for.

        Raises: Missing, LookupError, ValueError as `run`.
        """
        if unknown := set(asked) - {"model", "image", "edits", "alpha"}:
            raise ValueError(f"{min(unknown)}: model, image, edits and alpha are accepted")
        named = self.networks.named(asked.get("model"))
        photograph = self.photograph(asked.get("image"))
        alpha = asked.get("alpha", 1)
        if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 <= alpha <= STRONGEST_GATE:
            raise ValueError(f"alpha={alpha!r}: a number from 0 to {STRONGEST_GATE:g} is accepted")
        changes = asked.get("edits", [])
        if not isinstance(changes, list):
            raise ValueError("edits: a list is accepted")
        return named, photograph, changes, float(alpha)

    def seen(self, network: Network, photograph: Photograph) -> Tensor:
        """What a network sees of a photograph, uint8 `3 H W`."""
        name = f"{photograph.id} {'whole' if network.system else 'square'} {network.size}"
        try:
            found: Tensor = self.store.get("seen", name)
        except KeyError:
            found = seen(network, io.BytesIO(photograph.content))
            self.store.put("seen", name, found, size=found.nbytes)
        return found

    def followed(self, asked: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The curves of a map under what is changed, one line for each of `following.NAMES`.

        Between two lines other passes may run.

        Args:
            asked: as for `run`, with `key`, the map.

        Raises: as `run`; ValueError if the map has no places or the network gives no class scores.
        """
        made = self.run({name: value for name, value in asked.items() if name != "key"})
        key, network = asked.get("key"), self.networks.open(made.named)
        if not isinstance(key, str) or key not in made.maps:
            raise LookupError(f"no map {key!r}")
        if made.answer["of"] != "classes":
            raise ValueError(f"{network.name} gives no class scores that could be followed")
        plain = self._plain(made)
        likely = plain[0]
        what = Asked(made.maps, key, network.prepared(made.seen), likely["index"])
        for name in NAMES:
            with _changed(network, made.changes, made.alpha):
                found = line(network.model, what, name)
            if found is not None:
                yield {**found, "target": likely["name"]}

    def _plain(self, made: Pass) -> Sequence[Mapping[str, Any]]:
        """The prediction of the same photograph without changes."""
        if not made.changes and made.alpha == 1:
            found: Sequence[Mapping[str, Any]] = made.answer["prediction"]
            return found
        network = self.networks.open(made.named)
        with torch.no_grad():
            returned = network.model(network.prepared(made.seen))
        return _prediction(network, returned, made.seen)[0]

    def examined(self, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What `regard.doctor` finds in a network on the photographs that are kept, as JSON.

        Args:
            asked: `model`, and `image`, which comes first in the batch.

        Raises: as `run`; NothingSeen, a ValueError, if the network has no attention.
        """
        named, photograph, _, _ = self.asked(asked)
        network = self.networks.open(named)
        others = [one for one in reversed(self.photographs()) if one.id != photograph.id]
        batch = [network.prepared(self.seen(network, photograph))]
        for other in others:
            x = network.prepared(self.seen(network, other))
            if x.shape == batch[0].shape and len(batch) < EXAMINED:
                batch.append(x)
        found = doctor(network.model, torch.cat(batch), name=network.name)
        return [
            {"check": one.check, "level": one.severity, "key": one.key, "module": one.module, "text": _said(one)}
            for one in found.findings
        ]

    def passed(self, id: str) -> Pass:
        """A pass that is kept. Raises: Missing if it is not."""
        try:
            found: Pass = self.store.get("pass", id)
        except KeyError:
            raise Missing(f"pass {id!r} is not in memory: ask for it again") from None
        return found

    def picture(self, id: str) -> bytes:
        """What the network saw in a pass, as PNG. Raises: Missing."""
        return _encoded(picture_of(self.passed(id).seen.float() / 255), "PNG")

    def cut(self, id: str, key: str, *, look: int, part: int | None, query: int | None) -> slices.Slice:
        """A slice of a map. Raises: Missing if there is no such pass; otherwise as `slices.cut`."""
        return slices.cut(self.passed(id).maps, key, look, part=part, query=query)


def weight(maps: Maps) -> int:
    """Bytes of maps."""
    return sum(look.nbytes for looks in maps.values() for look in looks)


@contextmanager
def _changed(network: Network, changes: Sequence[Change], alpha: float) -> Iterator[None]:
    """Turns the gate and edits the maps inside the block."""
    with ExitStack() as around:
        around.enter_context(turned(network.model, alpha))
        for change in changes:
            around.enter_context(edit(network.model, {change.pattern: change.edit}))
        yield


def watched(model: nn.Module, x: Tensor) -> tuple[Maps, set[str], object, float]:
    """A forward pass: the maps, the keys of those that are shown only, what is returned, and seconds."""
    shown: set[str] = set()
    acting: set[str] = set()
    returned: object = None
    forward = 0.0

    def note(formed: Formed) -> None:
        (acting if formed.acts else shown).add(formed.key)

    maps = Maps()
    try:
        with watch(model) as maps, listen(model, note, edits=True):  # what acts step by step is told to edits alone
            start = time.perf_counter()
            returned = model(x)
            forward = time.perf_counter() - start
    except NothingSeen:  # told before the pass or after it
        if returned is None:
            start = time.perf_counter()
            returned = model(x)
            forward = time.perf_counter() - start
    return maps, shown - acting, returned, forward


def described(maps: Maps, shown: Container[str] = ()) -> list[dict[str, Any]]:
    """What a page needs to know of each map, as JSON.

    Args:
        maps: the maps of a pass.
        shown: the keys of those that are shown only.
    """
    found = []
    for key, looks in maps.items():
        values = [look[0].detach().float() for look in looks]
        found.append(
            {
                "key": key,
                "axes": maps.axes.get(key, ""),
                "shape": list(looks[0].shape[1:]),
                "sums": maps.sums.get(key, ""),
                "foreign": key in maps.foreign,
                "acts": key not in shown,
                "tokens": list(maps.tokens.get(key, {}).get("K", ())),
                "looks": [slices.layout(maps, key, number).facts() for number in range(len(looks))],
                "span": [
                    _finite(min(float(one.min()) for one in values)),
                    _finite(max(float(one.max()) for one in values)),
                ],
            }
        )
    return found


def _said(one: Finding) -> str:
    """A finding as a sentence, and what it usually means."""
    side = "above" if one.above else "below"
    detail = f"; {one.detail}" if one.detail else ""
    return f"{one.measures} {numbered(one.number)}, {side} {numbered(one.threshold)}{detail}. {one.means}"


def _finite(value: float) -> float:
    """A number that JSON can hold."""
    return value if math.isfinite(value) else math.copysign(1e38, value)


def _prediction(network: Network, returned: object, seen: Tensor) -> tuple[list[dict[str, Any]], str]:
    """The most likely classes with their shares, and of what these are: classes, pixels, or nothing."""
    labels = said_of(network, returned, (seen.shape[1], seen.shape[2]))
    names = network.class_names
    if labels is not None:
        shares, names, of = torch.tensor(labels.shares), labels.names, "pixels"
    else:
        found = probabilities(returned, len(names))
        if found is None:
            return [], ""
        shares, of = found, "classes"
    best = shares.topk(min(LIKELY, len(shares)))
    return [
        {"index": index, "name": names[index] if index < len(names) else f"class {index}", "share": round(share, 6)}
        for share, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ], of


def _encoded(picture: Image.Image, format: str) -> bytes:
    content = io.BytesIO()
    picture.save(content, format)
    return content.getvalue()
