"""The batch protocol: torch's own dataset, collate function and `DataLoader`, and the order of the batches.

    dataset[i]               a sample: a mapping of names to tensors, numbers or strings, or a pair (image, label)
    dataset.__getitems__     optional: reads all samples of a batch in one call
    dataset.collate_fn       optional: samples -> batch, in place of `collate`
    order.batches(...)       the samples of each batch of an epoch: a function of data, seed and epoch only

The library itself uses the fields `image` (`C H W`, 0..1), `label`, `mask`, `region`, `boxes`, and `index`, the index
of the sample in its dataset, which every batch has. `padded` pads fields of tensors of unequal length, and adds the
mask of each as `<field>_mask`.
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

from regard.checks import flag, positive
from regard.ops.seeds import mixed

Normalisation = tuple[Sequence[float], Sequence[float]]
Sample = Mapping[str, Any]
Augment = Callable[[Sample, Generator], Sample]


class Data(Protocol):
    """A map-style dataset, as `torch.utils.data.Dataset` describes it; an item is a sample or a pair (image, label)."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> object: ...


class Batch(dict[str, Any]):
    """A batch of samples: field names -> tensors, whose first axis counts the samples, or lists."""

    @property
    def size(self) -> int:
        """The number of samples."""
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
    """Converts an item of a dataset to a sample; `(image, label)` becomes `{"image": image, "label": label}`.

    Raises: TypeError if the item is neither a mapping nor a pair.
    """
    if isinstance(item, Mapping):
        return item
    if isinstance(item, tuple | list) and len(item) == 2:
        return {"image": item[0], "label": item[1]}
    raise TypeError(
        f"an item of the dataset is {type(item).__name__}: a mapping of names, or (image, label), is needed"
    )


def samples(data: Data, indices: Sequence[int]) -> list[Sample]:
    """The samples at `indices`, read in one call where the dataset has `__getitems__`."""
    if hasattr(data, "__getitems__"):
        return [as_sample(item) for item in data.__getitems__(list(indices))]
    return [as_sample(data[index]) for index in indices]


# Collating


def collate(several: Sequence[Sample], *, listed: Iterable[str] = ()) -> Batch:
    """Collates samples into a batch: tensors are stacked, numbers become int64 or float32, the rest become lists.

    Args:
        several: samples that have the same fields.
        listed: names of fields that stay lists, such as masks of several sizes.

    Raises: ValueError if a field is missing in a sample, or if tensors differ in shape; the message names the sample
        and the field.
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
    """Collates samples as `collate` does, pads fields of unequal length along the first axis, and adds their masks.

    Args:
        several: samples that have the same fields.
        fields: field name -> padding value; `<field>_mask` is true where the field is not padding.
        listed: as in `collate`.

    Shapes: a field of `T *` each -> `B T_max *`, its mask `bool B T_max`.
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
            raise ValueError(
                f"sample {sample.get('index', '?')} has the fields {here}: the fields of its batch, {there}, are needed"
            )
    return [sample[name] for sample in several]


def _alike(name: str, values: list[Tensor], several: Sequence[Sample]) -> list[Tensor]:
    for value, sample in zip(values, several, strict=True):
        if value.shape != values[0].shape:
            one, other = several[0].get("index", 0), sample.get("index", "?")
            raise ValueError(
                f"{name} of sample {other} has shape {tuple(value.shape)}, and of sample {one} "
                f"{tuple(values[0].shape)}: one shape is needed, or `padded` as collate function"
            )
    return values


# Orders


class Order(Protocol):
    """An order of samples: the batches of an epoch as a function of the data, the seed and the epoch only.

    The number of batches is the same in every epoch.
    """

    def batches(self, data: Data, batch_size: int, seed: int, epoch: int) -> list[list[int]]: ...


def permutation(seed: int, epoch: int, size: int) -> Tensor:
    """The order of the samples in epoch `epoch` (from 0), `[size]`: a function of the arguments only."""
    return torch.randperm(size, generator=Generator().manual_seed(mixed("order", seed, epoch)))


def evenly(indices: Tensor, batch_size: int) -> list[list[int]]:
    """Splits the samples of an epoch into ⌈N / batch_size⌉ batches whose sizes differ by at most one.

    A small last batch would have too much weight, and a batch norm cannot train on one sample.
    """
    return [part.tolist() for part in indices.tensor_split(math.ceil(len(indices) / batch_size))]


@dataclass(frozen=True)
class Shuffled:
    """Random order: every sample once per epoch."""

    def batches(self, data: Data, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
        return evenly(permutation(seed, epoch, len(data)), batch_size)


@dataclass(frozen=True)
class Buckets:
    """Batches of samples of similar length, which need little padding; every sample once per epoch.

    The samples are shuffled, sorted by length within groups of `width` batches and split into batches, which are
    shuffled again.

    Args:
        width: the number of batches in a group; a larger group pads less and shuffles less.

    Raises: ValueError if `width` is not positive; TypeError, in training, if the dataset has no `lengths`.
    """

    width: int = 20

    def __post_init__(self) -> None:
        positive("width", self.width)

    def batches(self, data: Data, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
        lengths = torch.as_tensor(_attribute(data, "lengths", "the length of each sample"))
        shuffled = permutation(seed, epoch, len(data))
        groups = shuffled.split(self.width * batch_size)
        ranked = torch.cat([group[lengths[group].argsort(stable=True)] for group in groups])
        cut = evenly(ranked, batch_size)
        return [cut[i] for i in permutation(mixed("batches", seed), epoch, len(cut)).tolist()]


@dataclass(frozen=True)
class Identities:
    """Batches of P identities with K samples each, for losses that compare samples of the same and other identities.

    In Defense of the Triplet Loss for Person Re-Identification. Hermans, Beyer, Leibe. 2017, arXiv:1703.07737.

    P is batch_size / K. An epoch has ⌈N / batch_size⌉ batches. The identities are taken in a random order, each once
    before any is repeated; so are the samples of an identity, which are repeated if it has fewer than K.

    Args:
        samples: K, at least 2.
        once: whether an epoch has as many batches as show each identity once, rather than as many as there are samples.

    Raises: ValueError if K is below 2, or, in training, if K does not divide the batch size or there are fewer than P
        identities; TypeError, in training, if the dataset has no `labels`.
    """

    samples: int = 4
    once: bool = False

    def __post_init__(self) -> None:
        if positive("samples", self.samples) < 2:
            raise ValueError("samples=1: at least 2 samples of each identity are needed")
        flag("once", self.once)

    def batches(self, data: Data, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
        if batch_size % self.samples:
            raise ValueError(f"batch_size={batch_size}: a multiple of samples={self.samples} is needed")
        members: dict[int, list[int]] = {}
        for i, label in enumerate(_attribute(data, "labels", "the identity of each sample")):
            members.setdefault(int(label), []).append(i)
        people = batch_size // self.samples
        count = math.ceil(len(members) / people) if self.once else math.ceil(len(data) / batch_size)
        if len(members) < people:
            found = f"batch_size={batch_size}, samples={self.samples}"
            raise ValueError(f"{found}: {people} identities are needed, and the dataset has {len(members)}")
        turns = {label: _in_turn(own, ("samples", seed, epoch, label)) for label, own in members.items()}
        labels = _distinct(sorted(members), people, count, ("identities", seed, epoch))
        return [[next(turns[label]) for label in chosen for _ in range(self.samples)] for chosen in labels]


def _attribute(data: Data, name: str, what: str) -> Sequence[int]:
    found = getattr(data, name, None)
    if found is None:
        raise TypeError(f"{type(data).__name__} has no `{name}`: this order of batches needs {what}")
    if len(found) != len(data):
        raise ValueError(
            f"{type(data).__name__} has {len(found)} `{name}`: one for each of {len(data)} samples is needed"
        )
    return cast(Sequence[int], found)


def _in_turn(values: Sequence[int], key: tuple[object, ...]) -> Iterator[int]:
    """Yields the values endlessly, in a new random order each time; `key` seeds the orders."""
    turn = 0
    while True:
        for i in torch.randperm(len(values), generator=Generator().manual_seed(mixed(*key, turn))).tolist():
            yield values[i]
        turn += 1


def _distinct(values: Sequence[int], each: int, count: int, key: tuple[object, ...]) -> list[list[int]]:
    """`count` groups of `each` different values, taken from `_in_turn`."""
    stream, groups = _in_turn(values, key), []
    kept: list[int] = []  # drawn a second time within a group, and kept for the next one
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
    """The augmented samples at keys (epoch, index), each with its index; picklable, for worker processes."""

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
    """A `DataLoader` over the samples at the given keys; the caller's random state is unchanged.

    Args:
        data: the dataset; its `collate_fn` is used if it has one.
        keys: for each batch, the (epoch, index) of its samples.
        augment: `(sample, generator) -> sample`, with a generator seeded by (seed, epoch, index).
        seed: the seed of the augmentation.
        device: the device of the batches; memory is pinned for CUDA.
        workers: the number of processes that read samples ahead.
    """
    return DataLoader(
        cast(Dataset[Batch], _Reader(data, augment, seed)),
        batch_sampler=cast(Iterable[list[Any]], keys),
        num_workers=workers,
        collate_fn=partial(_batch, getattr(data, "collate_fn", collate)),
        pin_memory=torch.device(device).type == "cuda",
        generator=Generator(),  # without one, it would draw from the caller's
    )


def in_order(indices: Sequence[int], batch_size: int) -> list[list[tuple[int, int]]]:
    """The keys of `loader` for samples in the given order, for evaluation."""
    positive("batch_size", batch_size)
    return [[(0, i) for i in indices[start : start + batch_size]] for start in range(0, len(indices), batch_size)]


def normalised(images: Tensor, normalise: Normalisation | None) -> Tensor:
    """Normalises images `B C H W`, or clips `B C T H W`, by the mean and standard deviation of each channel.

    None returns them unchanged.
    """
    if normalise is None:
        return images
    mean, std = (images.new_tensor(values).view(-1, *[1] * (images.ndim - 2)) for values in normalise)
    return (images - mean) / std
