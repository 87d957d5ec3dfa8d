"""What tells rows from all others: their shape, their type and the SHA-256 of what they hold."""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.rows import chunks

Fingerprint = dict[str, Any]  # plain facts, as JSON holds them


def fingerprint(values: Any) -> Fingerprint:
    """Return the fingerprint of an array, a memmap, a frame, or a list of arrays of any shapes."""
    columns = getattr(values, "columns", None)
    try:
        array = np.asarray(values)
    except ValueError:  # of differing shapes
        return _joined([fingerprint(value) for value in values])
    if array.dtype == object and any(isinstance(each, np.ndarray | list) for each in array.flat):
        return _joined([fingerprint(each) for each in array.flat])
    facts = {"shape": list(array.shape), "dtype": str(array.dtype), "sha256": _digest(array)}
    return facts if columns is None else {**facts, "columns": [str(name) for name in columns]}


def _joined(parts: list[Fingerprint]) -> Fingerprint:
    return {
        "shape": [part["shape"] for part in parts],
        "dtype": sorted({part["dtype"] for part in parts}),
        "sha256": hashlib.sha256("".join(part["sha256"] for part in parts).encode()).hexdigest(),
    }


def _digest(array: NDArray[Any]) -> str:
    """Hash an array in bounded memory."""
    rows, sha = np.atleast_1d(array), hashlib.sha256()
    for part in chunks(len(rows), rows[:1].size):
        some = np.ascontiguousarray(rows[part])
        sha.update(repr(some.tolist()).encode() if some.dtype.hasobject else some.tobytes())
    return sha.hexdigest()
