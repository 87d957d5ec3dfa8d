"""Rows on their way into the network: held once, scaled, taken by index.

Shapes: N rows, D features, B rows of a batch.
"""

import dataclasses
import warnings
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from isthmus.data.copies import Copies, find_copies
from isthmus.data.scaling import Scaling, scaling_of
from isthmus.errors import DataError

CHUNK_BYTES = 2**26  # what a pass over all rows holds at once, in float64
# What float32 holds exactly is kept as it came, without a copy.
_KEPT = (np.float32, np.float16, np.uint8, np.int8, np.int16, np.bool_)
# Offsets and scales with which it can be scaled in float32 too, whose numbers end at 3e38.
_NARROWEST, _WIDEST = 1e-30, 1e30


def chunks(n_rows: int, n_features: int) -> Iterator[slice]:
    """Yield slices over the rows, each of bounded memory."""
    step = max(1, CHUNK_BYTES // (8 * max(1, n_features)))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def moments(values: NDArray[np.generic]) -> tuple[Tensor, Tensor]:
    """Return each feature's mean and variance (D,), in float64 and bounded memory.

    Summed about the first row, then about the mean: exact where the mean is large, and exactly
    zero where a feature is constant.
    """
    n_rows, n_features = values.shape
    first = values[0].astype(np.float64)
    mean, variance = first.copy(), np.zeros(n_features)
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large is infinite
        for part in chunks(n_rows, n_features):
            mean += (_doubles(values[part]) - first).sum(axis=0) / n_rows
        for part in chunks(n_rows, n_features):
            variance += np.square(_doubles(values[part]) - mean).sum(axis=0) / n_rows
    return torch.from_numpy(mean), torch.from_numpy(variance)


def _doubles(values: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return values in float64, row by row, so that sums are rounded alike however they lay."""
    return values.astype(np.float64, order="C")


def fit_scaling(name: str, values: NDArray[np.generic], n_channels: int | None = None) -> Scaling:
    """Build the named scaling from all rows.

    Where a row is so many channels of pixels, all pixels of a channel are taken alike.

    Raises
    ------
    DataError
        If the values are so large that their variance overflows.
    """
    mean, variance = moments(values)
    if not torch.isfinite(variance.sum()):
        largest = float(max(values.max(), -values.min()))
        raise DataError(
            f"The values reach {largest:g}, and their variance overflows: divide them by a large "
            f"number first."
        )
    _check_no_underflow(name, values, variance.numpy())
    if n_channels is not None:
        mean, variance = _pooled(mean, variance, n_channels)
    return scaling_of(name, mean, variance)


def _check_no_underflow(
    name: str, values: NDArray[np.generic], variance: NDArray[np.float64]
) -> None:
    """Refuse features that vary by so little that their variance is lost."""
    lost = variance < np.finfo(np.float64).tiny
    if name == "none" or not (lost.any() if name == "standard" else lost.all()):
        return
    for part in chunks(*values.shape):
        varies = (values[part] != values[0]).any(axis=0) & lost
        if varies.any():
            raise DataError(
                f"Feature {int(varies.argmax())} varies by less than 1e-154, and its variance "
                f"underflows: multiply the values by a large number first."
            )


def _pooled(mean: Tensor, variance: Tensor, n_channels: int) -> tuple[Tensor, Tensor]:
    """Return the moments of all pixels of a channel, for each of them, (D,)."""
    means, variances = mean.view(n_channels, -1), variance.view(n_channels, -1)
    spread = variances.mean(1) + means.var(1, correction=0)
    n_pixels = means.shape[1]
    return means.mean(1).repeat_interleave(n_pixels), spread.repeat_interleave(n_pixels)


def fit_range(values: NDArray[np.generic]) -> Scaling:
    """Build the scaling that takes each feature's lowest value to 0 and its highest to 1.

    Raises
    ------
    DataError
        If the values are so large that their range overflows.
    """
    low, high = values[0].astype(np.float64), values[0].astype(np.float64)
    for part in chunks(*values.shape):
        np.minimum(low, values[part].min(axis=0), out=low)
        np.maximum(high, values[part].max(axis=0), out=high)
    with np.errstate(over="ignore"):
        largest = float(np.maximum(high, -low).max())
        if not np.isfinite(2 * len(values) * largest):
            raise DataError(
                f"The values reach {largest:g}, and their range overflows: divide them by a large "
                f"number first."
            )
    return Scaling(torch.from_numpy(low), torch.from_numpy(np.where(high > low, high - low, 1.0)))


class Rows:
    """The training rows in scaled float32, without a copy where the array allows it.

    An array that float32 holds exactly (float32, float16, small integers) stays where it is,
    memory-mapped or not, and is scaled batch by batch; any other is scaled once in float64,
    so that a feature such as a time stamp keeps its digits.
    """

    def __init__(self, values: NDArray[np.generic], scaling: Scaling, device: str = "cpu") -> None:
        self.device = torch.device(device)
        if values.dtype.type in _KEPT and _is_moderate(scaling):
            self._storage = _shared(values).to(self.device)
            # The offset in two parts: float32 alone would round a large one.
            offset = scaling.offset.float()
            rest = (offset.double() - scaling.offset) / scaling.scale
            self._offset = offset.to(self.device)
            self._rest = rest.float().to(self.device)
            self._factor = (1 / scaling.scale).float().to(self.device)
            self._ready = not scaling.changes
        else:
            self._storage = _scaled(values, scaling).to(self.device)
            self._ready = True

    def __len__(self) -> int:
        return len(self._storage)

    @property
    def n_features(self) -> int:
        """D."""
        return self._storage.shape[1]

    def take(self, index: Tensor) -> Tensor:
        """Return the rows at `index` (B,), scaled, float32 (B, D)."""
        batch = self._storage.index_select(0, index)
        if self._ready:
            return batch.float()
        return torch.addcmul(self._rest, batch.float().sub_(self._offset), self._factor)


class Table(Protocol):
    """Rows that are taken by their numbers; a crop of a picture is one too."""

    device: torch.device

    def __len__(self) -> int:
        """How many there are."""

    @property
    def n_features(self) -> int:
        """D."""

    def take(self, index: Tensor) -> Tensor:
        """Return the rows at `index` (B,), scaled, float32 (B, D)."""


class Labelled:
    """Rows with a label each, which follows as one number for each class: 1 for its own, else 0."""

    def __init__(self, rows: Table, labels: Tensor, n_labels: int) -> None:
        self.rows = rows
        self._labels, self._n_labels = labels.to(rows.device), n_labels
        self.device = rows.device

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def n_features(self) -> int:
        """D + L."""
        return self.rows.n_features + self._n_labels

    def take(self, index: Tensor) -> Tensor:
        """Return the rows at `index` (B,) and their labels, float32 (B, D + L)."""
        labels = functional.one_hot(self._labels[index], self._n_labels)
        return torch.cat([self.rows.take(index), labels.float()], 1)


@dataclasses.dataclass(frozen=True)
class Selection:
    """Rows that go in, the clean rows that should come out, and which of them are meant."""

    rows: Table
    target: Table  # the same object where nothing else is given
    index: Tensor  # (N,)
    drawn_from: int | None = None  # an epoch draws its rows anew, from so many

    @property
    def n_rows(self) -> int:
        """N."""
        return len(self.index)

    @property
    def unlabelled(self) -> "Selection":
        """The same rows without labels."""
        target = self.target.rows if isinstance(self.target, Labelled) else self.target
        return dataclasses.replace(self, target=target)

    def at(self, index: Tensor) -> "Selection":
        """Return the same rows in another order, or fewer of them."""
        return dataclasses.replace(self, index=index.to(self.index.device))

    def shuffled(self, generator: torch.Generator) -> "Selection":
        """Return the rows of an epoch: all in a new order, or as many others."""
        if self.drawn_from is not None:
            return self.at(torch.randint(self.drawn_from, (self.n_rows,), generator=generator))
        return self.at(
            self.index[torch.randperm(self.n_rows, generator=generator).to(self.index.device)]
        )

    def copies(self) -> Copies:
        """Find which of the rows that go in are the same, as the network sees them."""
        index = self.index
        parts = (index[part] for part in chunks(len(index), self.rows.n_features))
        return find_copies(self.rows.take(part).cpu().numpy() for part in parts)

    def n_batches(self, size: int) -> int:
        """Return how many batches of about `size` rows there are, none of one row unless asked."""
        most = self.n_rows // min(size, 2)
        return max(1, min(-(-self.n_rows // size), most))

    def batches(self, size: int, skipped: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (seen, target), scaled, (B, D) each: every row once, in equal batches.

        The first so many batches are skipped.

        Batches of at most `size` that differ by one row at the most: no crumb at the end gets
        a step of its own. Where an odd number of rows is to go in pairs, three go together: a
        row alone has no batch statistics.
        """
        for index in self.index.tensor_split(self.n_batches(size))[skipped:]:
            x = self.rows.take(index)
            yield x, (x if self.target is self.rows else self.target.take(index))


def select(
    values: NDArray[np.generic], clean: NDArray[np.generic], scaling: Scaling, device: str
) -> Selection:
    """Select all rows of an array and of their clean originals (or the same array)."""
    rows = Rows(values, scaling, device)
    target = rows if clean is values else Rows(clean, scaling, device)
    return Selection(rows, target, torch.arange(len(rows), device=device))


def _shared(values: NDArray[np.generic]) -> Tensor:
    """Wrap the array as it is; rows and bytes that do not lie in order are laid so."""
    with warnings.catch_warnings():
        # torch warns that it has no read-only tensors; nothing here writes to the storage.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.ascontiguousarray(values, values.dtype.newbyteorder("=")))


def _is_moderate(scaling: Scaling) -> bool:
    """Whether float32 holds the numbers that come up when float32 rows are scaled."""
    scale, offset = scaling.scale, scaling.offset.abs()
    return bool(((scale > _NARROWEST) & (scale < _WIDEST)).all() and (offset < _WIDEST).all())


def _scaled(values: NDArray[np.generic], scaling: Scaling) -> Tensor:
    out = torch.empty(values.shape, dtype=torch.float32)
    for part in chunks(*values.shape):
        out[part] = scaling(torch.from_numpy(values[part].astype(np.float64)))
        if out[part].isinf().any():
            raise DataError(
                "Scaled values are too large for float32, in which networks are trained: write "
                "scaling='isotropic', and leave rows out that are nothing like the others."
            )
    return out
