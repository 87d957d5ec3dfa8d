"""Whether columns and their correlations are those of the real rows.

Shapes: n real rows, m generated ones, D columns.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from isthmus.evaluation.generation.samples import Floats, rows_of


class TableDistances(NamedTuple):
    """How far the columns of generated rows are from those of real ones; 0 is best."""

    marginal: float  # mean of `by_column`
    by_column: Floats  # (D,) 1-Wasserstein distance, in standard deviations of X's column
    correlation: float  # mean absolute difference over the pairs of columns, 0 to 2


def table_distances(X: npt.ArrayLike, G: npt.ArrayLike) -> TableDistances:
    """Return how far single columns and their correlations are from the real ones.

    ``by_column_d = integral |F_d(t) - H_d(t)| dt / std(X_d)``, F and H the distribution functions
    of X and G: as far as the values must be moved on average. Columns that are constant in X are in
    the units given; one that is constant in X or in G correlates with nothing.

    Parameters
    ----------
    X : array-like of shape (n, ...)
        Real rows.
    G : array-like of shape (m, ...)
        Generated ones.

    Raises
    ------
    DataError
        As `precision_recall`.
    """
    from scipy.stats import wasserstein_distance

    real, made = rows_of(X=X, G=G)
    spread = _spread(real)
    columns = zip((real / spread).T, (made / spread).T, strict=True)
    by_column = np.array([wasserstein_distance(a, b) for a, b in columns])
    pairs = np.triu_indices(real.shape[1], 1)
    apart = np.abs(_correlations(real) - _correlations(made))[pairs]
    return TableDistances(
        float(by_column.mean()), by_column, float(apart.sum() / max(apart.size, 1))
    )


def _spread(rows: Floats) -> Floats:
    """Return the standard deviations of the columns, 1 of those that do not vary."""
    return np.where(np.ptp(rows, axis=0) > 0, rows.std(axis=0), 1.0)


def _correlations(rows: Floats) -> Floats:
    """Return the correlations of the columns; none of those that do not vary."""
    varies = np.ptp(rows, axis=0) > 0
    scaled = np.where(varies, (rows - rows.mean(axis=0)) / _spread(rows), 0.0)
    correlations: Floats = scaled.T @ scaled / len(rows)
    return correlations
