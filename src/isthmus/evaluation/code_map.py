"""A map of the codes in two dimensions.

Shapes: M rows on the map, K code units, D features.
"""

import warnings
from importlib.util import find_spec
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import MissingDependencyError, ParameterError, guess
from isthmus.evaluation.subject import Subject
from isthmus.evaluation.words import percent

FEWEST_FOR_UMAP = 50  # rows
MOST_POINTS = 2500  # more hide each other
PROJECTIONS = ("auto", "pca", "umap")

Projection = Literal["auto", "pca", "umap"]
Floats = NDArray[np.float64]


class CodeMap(NamedTuple):
    """Where rows lie on the map."""

    places: Floats  # (M, 2)
    rows: NDArray[np.intp]  # (M,) places among the rows that are judged
    how: str  # in words
    axes: tuple[str, str]


def code_map(subject: Subject, projection: Projection = "auto", *, seed: int = 0) -> CodeMap:
    """Draw a part of the rows and lay their codes out.

    Two units are drawn as they are, one over the row's number. ``"auto"`` is UMAP where it is
    installed, else the first two principal components of the codes.

    Raises
    ------
    ParameterError
        If the projection is unknown.
    MissingDependencyError
        If UMAP is asked for and not installed.

    References
    ----------
    McInnes, L., Healy, J. & Melville, J. (2018). UMAP: uniform manifold approximation and
    projection for dimension reduction.
    """
    _check(projection, len(subject.codes))
    n_rows = len(subject.codes)
    rows = np.arange(n_rows)
    if n_rows > MOST_POINTS:
        rows = np.sort(np.random.default_rng(seed).choice(n_rows, MOST_POINTS, replace=False))
    codes = subject.codes[rows]
    width = codes.shape[1]
    if width == 1:
        places = np.column_stack([rows, codes[:, 0]]).astype(np.float64)
        return CodeMap(places, rows, "The one unit, over the number of the row.", ("row", "unit 0"))
    if width == 2:
        return CodeMap(codes, rows, "The two units as they are.", ("unit 0", "unit 1"))
    if projection == "umap" or (projection == "auto" and _has_umap(n_rows)):
        how = f"UMAP of the {width} units: neighbours are kept, distances are not."
        return CodeMap(_umap(codes, seed), rows, how, ("UMAP 1", "UMAP 2"))
    places, shares = _principal(codes)
    part = f"{percent(sum(shares))} of their variance"
    how = f"The first two principal components of the {width} units: {part}."
    names = [f"component {i + 1} ({percent(share)})" for i, share in enumerate(shares)]
    return CodeMap(places, rows, how, (names[0], names[1]))


def _check(projection: str, n_rows: int) -> None:
    if projection not in PROJECTIONS:
        raise ParameterError(
            f"projection={projection!r} is unknown{guess(projection, PROJECTIONS)}: it must be "
            f"'auto', 'pca' or 'umap'."
        )
    if projection == "umap" and n_rows < FEWEST_FOR_UMAP:
        raise ParameterError(
            f"projection='umap' needs at least {FEWEST_FOR_UMAP} rows, and there are {n_rows}: "
            f"write 'pca'."
        )


def _has_umap(n_rows: int) -> bool:
    """Whether UMAP is there for so many rows; by its name alone, importing it takes seconds."""
    return n_rows >= FEWEST_FOR_UMAP and find_spec("umap") is not None


def _principal(codes: Floats) -> tuple[Floats, tuple[float, float]]:
    """Return the first two components and their shares of the variance."""
    centred = codes - codes.mean(axis=0)
    left, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    # The largest weight of each axis is positive, so that a map is not mirrored by chance.
    signs = np.sign(axes[np.arange(2), np.abs(axes[:2]).argmax(axis=1)])
    total = np.square(sizes).sum() or 1.0
    shares = np.square(sizes[:2]) / total
    return left[:, :2] * sizes[:2] * signs, (float(shares[0]), float(shares[1]))


def _umap(codes: Floats, seed: int) -> Floats:
    try:
        from umap import UMAP
    except ImportError:
        raise MissingDependencyError(
            "projection='umap' needs umap-learn, which is not installed: pip install umap-learn."
        ) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a seed makes it run on one thread, and it says so
        places = UMAP(random_state=seed).fit_transform(codes)
    return np.asarray(places, np.float64)
