"""Going on with fewer rows at once where a device's memory is too small."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from isthmus.errors import ParameterError, caution

T = TypeVar("T")

MOST_ROWS = 4096
MOST_PRODUCTS = 2**32  # at once: wide pictures would fill gigabytes with one layer


def rows_at_once(n_products: int) -> int:
    """Return how many rows may go forward at once, where each takes so many multiplications."""
    return max(1, min(MOST_ROWS, MOST_PRODUCTS // max(1, n_products)))


def halving(attempt: Callable[[int], T], size: int, least: int = 1) -> tuple[T, int]:
    """Call `attempt` with so many rows at once, and with half as many until they fit.

    Returns
    -------
    what it returned, and the size with which it did

    Raises
    ------
    ParameterError
        If not even the least number of rows fits.
    """
    while True:
        try:
            return attempt(size), size
        except torch.OutOfMemoryError:
            if size <= least:
                raise ParameterError(
                    f"The device has too little memory for this network, even with batches of "
                    f"{size} row(s): write a smaller network, or device='cpu'."
                ) from None
        # Only now is free what the attempt held.
        size = max(least, size // 2)


@contextlib.contextmanager
def enough_memory() -> Iterator[None]:
    """Say in one sentence that the machine has too little memory for a training.

    Raises
    ------
    ParameterError
        If the body runs out of it.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        short = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not short and "allocate memory" not in str(error):  # torch's own words
            raise
        raise ParameterError(
            "The network and its training need more memory than there is: write narrower layers "
            "(hidden), or give fewer features."
        ) from None


def tell_smaller(asked: int, taken: int) -> None:
    """Say once that batches had to be smaller than asked."""
    if taken < asked:
        caution(
            f"Batches of {asked} rows do not fit in the memory of the device: the fit went on with "
            f"{taken}. Write batch_size={taken}, or a smaller network.",
        )
