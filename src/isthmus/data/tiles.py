"""A function of small pictures, applied to a large one tile by tile.

Shapes: a picture is (h, w, c); a function takes and returns maps (1, c, h', w').
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isthmus.errors import DataError

Function = Callable[[Tensor], Tensor]
Floats = NDArray[np.float32]


class Tiling(NamedTuple):
    """How a picture is divided; all lengths in pixels."""

    side: int  # of a tile; a multiple of `multiple`, and wider than two margins and the blend
    margin: int  # of a tile that is thrown away, where another tile has it within
    blend: int  # over which one tile passes into the next
    multiple: int  # that the tiles begin at


class Span(NamedTuple):
    """What a tile covers along one axis."""

    start: int
    stop: int
    weight: Floats  # (stop - start,) between 0 and 1; those of all tiles add up to 1


def tiled(function: Function, picture: NDArray[np.generic], tiling: Tiling) -> NDArray[np.generic]:
    """Apply a function to a picture (h, w, c) of light; the answer has its shape and dtype.

    Unsigned integers are shares of their largest value. Never is more than a row of tiles in
    floats.
    """
    height, width, n_channels = picture.shape
    answer = np.empty_like(picture)
    waiting: Floats = np.zeros((0, width, n_channels), np.float32)
    rows = spans(height, tiling)
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        band = _band(function, picture[row.start : row.stop], tiling)
        band *= row.weight[:, None, None]
        band[: len(waiting)] += waiting
        stop = row.stop if following is None else following.start
        answer[row.start : stop] = from_light(band[: stop - row.start], picture.dtype)
        waiting = band[stop - row.start :]
    return answer


def _band(function: Function, band: NDArray[np.generic], tiling: Tiling) -> Floats:
    """Apply the function to one row of tiles."""
    answer = np.zeros(band.shape, np.float32)
    for start, stop, weight in spans(band.shape[1], tiling):
        tile = torch.from_numpy(to_light(band[:, start:stop])).permute(2, 0, 1)[None]
        done = function(tile)[0].permute(1, 2, 0).numpy()
        answer[:, start:stop] += weight[:, None] * done
    return answer


def spans(length: int, tiling: Tiling) -> list[Span]:
    """Divide an axis into tiles that overlap by two margins and what is blended."""
    starts = list(_starts(length, tiling))
    stops = [min(start + tiling.side, length) for start in starts]
    weights = [np.ones(stop - start, np.float32) for start, stop in zip(starts, stops, strict=True)]
    for i in range(1, len(starts)):
        seam = np.arange(starts[i], stops[i - 1])  # what both have
        middle = (starts[i] + stops[i - 1] - 1) / 2
        rise = np.clip((seam - middle) / (tiling.blend + 1) + 0.5, 0, 1).astype(np.float32)
        weights[i - 1][-len(seam) :] *= 1 - rise
        weights[i][: len(seam)] *= rise
    return [Span(*each) for each in zip(starts, stops, weights, strict=True)]


def _starts(length: int, tiling: Tiling) -> Iterator[int]:
    overlap = 2 * tiling.margin + tiling.blend
    step = (tiling.side - overlap) // tiling.multiple * tiling.multiple
    start = 0
    yield start
    while start + tiling.side < length:
        start += step
        yield start


def to_light(values: NDArray[np.generic]) -> Floats:
    """Return light, float32; unsigned integers are shares of their largest value.

    Raises
    ------
    DataError
        If float32 cannot hold it.
    """
    if values.dtype.kind == "u":
        return np.divide(values, full_light(values.dtype), dtype=np.float32)
    with np.errstate(over="ignore"):
        light = values.astype(np.float32)
    if values.dtype.itemsize > light.itemsize and not np.isfinite(light).all():
        raise DataError("Pixels are too large for float32: divide them by what is white.")
    return light


def from_light(light: Floats, dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    """Return light as what it came from; unsigned integers are rounded, within their range."""
    if dtype.kind == "u":
        levels = np.clip(light, 0, 1).astype(np.float64) * full_light(dtype)
        return np.rint(levels).astype(dtype)
    return light.astype(dtype)


def full_light(dtype: np.dtype[Any]) -> int:
    """Return the largest value of integers."""
    return int(np.iinfo(dtype).max)
