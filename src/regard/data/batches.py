"""The batch protocol, which is torch's own: dataset, order of batches, collate function, `DataLoader`.

    dataset[i]               a sample: a mapping of names to tensors, numbers or strings; a pair (image, label) will do
    dataset.__getitems__     optional: reads the samples of a whole batch at once
    dataset.collate_fn       optional: samples -> batch, where `collate` will not do
    order.batches(...)       which samples form the batches of an epoch: a function of data, seed and epoch alone

Names that the library itself uses: `image` (`C H W`, 0..1), `label`, `mask`, `region`, `boxes`, and `index`, the place
of the sample in its dataset, which every batch has. A field of tensors of unequal length is padded by `padded`, which
adds its mask under the name `<field>_mask`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, cast

import torch
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset

from regard.checks import positive
from regard.ops.seeds import mixed

Normalisation = tuple[Sequence[float], Sequence[float]]
Sample = Mapping[str, Any]
Augment = Callable[[Sample, Generator], Sample]


class Data(Protocol):
    """A map-style dataset, as `torch.utils.data.Dataset` describes it; an item is a sample or a pair (image, label)."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> object: ...


class Batch(dict[str, Any]):
    """Several samples in one: names -> tensors whose first axis counts the samples, or lists."""

    @property
    def size(self) -> int:
        """How many samples there are."""
        return len(next(iter(self.values())))

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """The same batch with its tensors on `device`."""
        return Batch(
            {
                name: value.to(device, non_blocking=non_blocking) if isinstance(value, Tensor) else value
                for name, value in self.items()
            }
        )


def as_sample(item: object) -> Sample:
    """An item of a dataset as a sample; `(image, label)` becomes `{"image": image, "label": label}`.

    Raises: TypeError if it is neither a mapping nor a pair.
    """
    if isinstance(item, Mapping):
        return item
    if isinstance(item, tuple | list) and len(item) == 2:
        return {"image": item[0], "label": item[1]}
    raise TypeError(
        f"an item of the dataset is {type(item).__name__}: a mapping of names, or (image, label), is accepted"
    )


def samples(data: Data, indices: Sequence[int]) -> list[Sample]:
    """The samples at `indices`, read at once where the dataset can."""
    if hasattr(data, "__getitems__"):
        return [as_sample(item) for item in data.__getitems__(list(indices))]
    return [as_sample(data[index]) for index in indices]


# Collating


def collate(several: Sequence[Sample], *, listed: Iterable[str] = ()) -> Batch:
    """Stacks the fields of samples: tensors of one shape, numbers as int64 or float32; the rest are lists.

    Args:
        several: samples that have the same fields.
        listed: names of fields that stay lists, such as masks of several sizes.

    Raises: ValueError for fields that are missing in a sample, or tensors that differ in shape; the message names the
        sample and the field.
    """
    batch = Batch()
    for name in several[0]:
        values = _field(several, name)
        if name in listed or not isinstance(values[0], Tensor | int | float):
            batch[name] = values
        elif isinstance(values[0], Tensor):
            batch[name] = torch.stack(_alike(name, values, several))
        else:
            batch[name] = torch.tensor(values, dtype=torch.float32 if isinstance(values[0], float) else None)
    return batch


def padded(several: Sequence[Sample], *, fields: Mapping[str, float], listed: Iterable[str] = ()) -> Batch:
    """As `collate`, but pads fields of unequal length along their first axis and adds a mask for each.

    Args:
        several: samples that have the same fields.
        fields: name of a field -> what it is padded with; the mask, true where there is something, is `<field>_mask`.
        listed: as in `collate`.

    Shapes: of the field `T *` each -> `B T_max *`, its mask `bool B T_max`.
    Raises: ValueError as `collate`.
    """
    batch = collate(several, listed=(*listed, *fields))
    for name, value in fields.items():
        values = [torch.as_tensor(one) for one in batch[name]]
        batch[name] = torch.nn.utils.rnn.pad_sequence(values, batch_first=True, padding_value=value)
        lengths = torch.tensor([len(one) for one in values])
        batch[f"{name}_mask"] = torch.arange(batch[name].shape[1]) < lengths[:, None]
    return batch


def _field(several: Sequence[Sample], name: str) -> list[Any]:
    for sample in several:
        if sample.keys() != several[0].keys():
            here, there = sorted(sample), sorted(several[0])
            raise ValueError(f"sample {sample.get('index', '?')} has the fields {here}, another of its batch {there}")
    return [sample[name] for sample in several]


def _alike(name: str, values: list[Tensor], several: Sequence[Sample]) -> list[Tensor]:
    for value, sample in zip(values, several, strict=True):
        if value.shape != values[0].shape:
            one, other = several[0].get("index", 0), sample.get("index", "?")
            raise ValueError(
                f"{name} of sample {other} has shape {tuple(value.shape)}, that of sample {one} "
                f"{tuple(values[0].shape)}: the samples of a batch need one shape (or `padded` as collate function)"
            )
    return values


# Orders


class Order(Protocol):
    """Which samples form the batches of an epoch: a function of the data, the seed and the epoch alone.

    The number of batches is the same in every epoch.
    """

    def batches(self, data: Data, batch_size: int, seed: int, epoch: int) -> list[list[int]]: ...


def permutation(seed: int, epoch: int, size: int) -> Tensor:
    """The permutation `[size]` in which epoch `epoch` (from 0) sees the samples: a function of these numbers alone."""
    return torch.randperm(size, generator=Generator().manual_seed(mixed("order", seed, epoch)))


def evenly(indices: Tensor, batch_size: int) -> list[list[int]]:
    """Cuts an epoch into ⌈N / batch_size⌉ batches that differ by at most one sample; none is dropped.

    A small last batch would weigh too much, and a batch norm cannot train on one sample.
    """
    return [part.tolist() for part in indices.tensor_split(math.ceil(len(indices) / batch_size))]


@dataclass(frozen=True)
class Shuffled:
    """Every sample once in an epoch, in random order."""

    def batches(self, data: Data, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
        return evenly(permutation(seed, epoch, len(data)), batch_size)


@dataclass(frozen=True)
class Buckets:
    """Every sample once in an epoch, in batches of like length, so that little is padded.

    The samples are shuffled, sorted by length within groups of `width` batches, cut, and the batches shuffled.

    Args:
        width: batches in a group; a larger one pads less and shuffles less.

    Raises: ValueError if `width` is not positive; TypeError, in training, if the dataset has no `lengths`.
    """

    width: int = 20

    def __post_init__(self) -> None:
        positive("width", self.width)

    def batches(self, data: Data, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
        lengths = torch.as_tensor(_attribute(data, "lengths", "one whole number for each sample"))
        shuffled = permutation(seed, epoch, len(data))
        groups = shuffled.split(self.width * batch_size)
        ranked = torch.cat([group[lengths[group].argsort(stable=True)] for group in groups])
        cut = evenly(ranked, batch_size)
        return [cut[i] for i in permutation(mixed("batches", seed), epoch, len(cut)).tolist()]


@dataclass(frozen=True)
class Identities:
    """P identities in a batch with K samples each, for losses between samples of the same and of other identities.

    In Defense of the Triplet Loss for Person Re-Identification. Hermans, Beyer, Leibe. 2017, arXiv:1703.07737.

    P is batch_size / K. An epoch has ⌈N / batch_size⌉ batches; the identities come in turn, each permuted anew, and so
    do the samples of an identity, which begin again where it has fewer than K.

    Args:
        samples: K.

    Raises: ValueError if K is below 2, or, in training, does not divide the batch size, or if there are fewer than P
        identities; TypeError, in training, if the dataset has no `labels`.
    """

    samples: int = 4

    def __post_init__(self) -> None:
        if positive("samples", self.samples) < 2:
            raise ValueError("samples=1: at least 2 of each identity are accepted")

    def batches(self, data: Data, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
        if batch_size % self.samples:
            raise ValueError(f"batch_size={batch_size}: a multiple of samples={self.samples} is accepted")
        members: dict[int, list[int]] = {}
        for i, label in enumerate(_attribute(data, "labels", "the identity of each sample")):
            members.setdefault(int(label), []).append(i)
        people, count = batch_size // self.samples, math.ceil(len(data) / batch_size)
        if len(members) < people:
            needed = f"batch_size={batch_size} with samples={self.samples} needs {people} identities"
            raise ValueError(f"{needed}, the data have {len(members)}")
        turns = {label: _in_turn(own, ("samples", seed, epoch, label)) for label, own in members.items()}
        labels = _distinct(sorted(members), people, count, ("identities", seed, epoch))
        return [[next(turns[label]) for label in chosen for _ in range(self.samples)] for chosen in labels]


def _attribute(data: Data, name: str, what: str) -> Sequence[int]:
    found = getattr(data, name, None)
    if found is None:
        raise TypeError(f"{type(data).__name__} has no `{name}`, {what}, which this order of batches needs")
    if len(found) != len(data):
        raise ValueError(f"{type(data).__name__} has {len(found)} {name} for {len(data)} samples")
    return cast(Sequence[int], found)


def _in_turn(values: Sequence[int], key: tuple[object, ...]) -> Iterator[int]:
    """The values for ever, each round in another order that `key` decides."""
    turn = 0
    while True:
        for i in torch.randperm(len(values), generator=Generator().manual_seed(mixed(*key, turn))).tolist():
            yield values[i]
        turn += 1


def _distinct(values: Sequence[int], each: int, count: int, key: tuple[object, ...]) -> list[list[int]]:
    """`count` groups of `each` different values, drawn in turn."""
    stream, groups = _in_turn(values, key), []
    kept: list[int] = []  # drawn a second time within a group, and so left for the next
    for _ in range(count):
        group: list[int] = []
        while len(group) < each:
            value = kept.pop(0) if kept and kept[0] not in group else next(stream)
            (kept if value in group else group).append(value)
        groups.append(group)
    return groups


# Reading


@dataclass(frozen=True)
class _Reader(Dataset[Sample]):
    """Samples by (epoch, index), with their index and augmented; picklable, for worker processes."""

    data: Data
    augment: Augment | None
    seed: int

    def __getitems__(self, keys: list[tuple[int, int]]) -> list[Sample]:
        found: list[Sample] = []
        for (epoch, index), sample in zip(keys, samples(self.data, [i for _, i in keys]), strict=True):
            if self.augment is not None:
                sample = self.augment(sample, Generator().manual_seed(mixed("augment", self.seed, epoch, index)))
            found.append({**sample, "index": index})
        return found


def _batch(collate_fn: Callable[[list[Sample]], Mapping[str, Any]], several: list[Sample]) -> Batch:
    return Batch(collate_fn(several))


def loader(
    data: Data,
    keys: Iterable[list[tuple[int, int]]],
    *,
    augment: Augment | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    workers: int = 0,
) -> DataLoader[Batch]:
    """Batches of the given samples, each by its epoch and index; draws none of the caller's random numbers.

    Args:
        data: the dataset; its `collate_fn` is used where it has one.
        keys: for each batch its samples as (epoch, index).
        augment: `(sample, generator) -> sample`, with a generator seeded from (seed, epoch, index).
        seed: of the augmentation.
        device: memory is pinned for CUDA.
        workers: processes that read ahead.
    """
    return DataLoader(
        cast(Dataset[Batch], _Reader(data, augment, seed)),
        batch_sampler=cast(Iterable[list[Any]], keys),
        num_workers=workers,
        collate_fn=partial(_batch, getattr(data, "collate_fn", collate)),
        pin_memory=torch.device(device).type == "cuda",
        generator=Generator(),  # or it draws from the caller's
    )


def in_order(indices: Sequence[int], batch_size: int) -> list[list[tuple[int, int]]]:
    """Keys that read samples in the given order: for evaluation."""
    positive("batch_size", batch_size)
    return [[(0, i) for i in indices[start : start + batch_size]] for start in range(0, len(indices), batch_size)]


def normalised(images: Tensor, normalise: Normalisation | None) -> Tensor:
    """`(images - mean) / std` for each channel of `B C H W`; the images themselves where `normalise` is None."""
    if normalise is None:
        return images
    mean, std = (images.new_tensor(values)[:, None, None] for values in normalise)
    return (images - mean) / std
