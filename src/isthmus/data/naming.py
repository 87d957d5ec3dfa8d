"""Whether the first line of a text names its columns."""

import contextlib
from pathlib import Path

import numpy as np

from isthmus.data.cells import MISSING
from isthmus.errors import DataError, a_few

MANY = 8  # measurements of a row, which seldom rise or fall all the way


def are_names(cells: list[str], *, comma: bool) -> bool:
    """Whether a first line names the columns.

    A line of numbers, of which some may be missing, is values; unless it counts 0, 1, 2 ..., as
    pandas names columns.
    """
    filled = [cell for cell in cells if cell.strip().lower() not in MISSING]
    try:
        [float(cell.replace(",", ".") if comma else cell) for cell in filled]
    except ValueError:
        return True
    counted = len(cells) > 1 and filled == [str(i) for i in range(len(filled))]
    return counted or not filled


def check_names(path: Path, names: list[str]) -> None:
    """Refuse a first line that is a row with some text in it: most are numbers, in no order.

    Years and wavelengths are names, and rise or fall; so may a few measurements, by chance.

    Raises
    ------
    DataError
        If the names are such.
    """
    numbers = []
    for name in names:
        with contextlib.suppress(ValueError):
            numbers.append(float(name))
    steps = np.diff(numbers)
    counts = len(numbers) >= MANY or all(number.is_integer() for number in numbers)
    ordered = counts and ((steps > 0).all() or (steps < 0).all())
    if 2 * len(numbers) > len(names) and not ordered:
        raise DataError(
            f"The first line of {path} reads as a row, not as names of columns "
            f"({a_few([*map(repr, names)])}): write a line of names above it."
        )
