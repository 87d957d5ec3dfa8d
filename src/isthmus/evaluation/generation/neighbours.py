"""Neighbourhoods: whether each sample lies where the others do.

Shapes: n real samples, m generated ones, D values each.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from isthmus.errors import ParameterError
from isthmus.evaluation.generation.samples import ROUNDING, Floats, rows_of, squared_distances


class PrecisionRecall(NamedTuple):
    """How far generated and real samples lie among each other, 0 to 1."""

    precision: float  # share of generated samples that lie among real ones; noise lowers it
    recall: float  # share of real samples that lie among generated ones; collapse lowers it


class DensityCoverage(NamedTuple):
    """How real samples are surrounded by generated ones."""

    density: float  # real balls that a generated sample lies in, over k: about 1, or more
    coverage: float  # share of real balls that hold a generated sample, 0 to 1


def precision_recall(
    X: npt.ArrayLike, G: npt.ArrayLike, *, n_neighbors: int = 3
) -> PrecisionRecall:
    """Return the precision and the recall of generated samples, by balls round the samples.

    ``precision = mean_j [g_j in union_i B(x_i, r_i)]``, r_i the distance from x_i to its k-th
    nearest other real sample; recall is the same with X and G exchanged. Both depend on how many
    samples there are: compare generators at the same numbers.

    Parameters
    ----------
    X : array-like of shape (n, ...)
        Real samples.
    G : array-like of shape (m, ...)
        Generated ones.
    n_neighbors : int
        The k: larger balls hold more.

    Raises
    ------
    DataError
        If the two do not have the same columns, or hold text, NaN or infinity.
    ParameterError
        If `n_neighbors` is no whole number from 1 to less than the samples of either.

    References
    ----------
    Kynkäänniemi, T. et al. (2019). Improved precision and recall metric for assessing generative
    models.
    """
    real, made = _neighbours_of(X, G, n_neighbors)
    precision, recall = (
        float((_balls(centres, points, n_neighbors)[0] > 0).mean())
        for centres, points in ((real, made), (made, real))
    )
    return PrecisionRecall(precision, recall)


def density_coverage(
    X: npt.ArrayLike, G: npt.ArrayLike, *, n_neighbors: int = 5
) -> DensityCoverage:
    """Return density and coverage: precision and recall that single odd samples do not mislead.

    ``density = 1 / (k m) sum_j sum_i [g_j in B(x_i, r_i)]``,
    ``coverage = mean_i [some g_j in B(x_i, r_i)]``. Balls are round real samples alone, so that one
    wild generated sample does not pass for many. Parameters and errors are those of
    `precision_recall`.

    References
    ----------
    Naeem, M. et al. (2020). Reliable fidelity and diversity metrics for generative models.
    """
    real, made = _neighbours_of(X, G, n_neighbors)
    around, held = _balls(real, made, n_neighbors)
    return DensityCoverage(float(around.mean() / n_neighbors), float((held > 0).mean()))


def authenticity(X: npt.ArrayLike, G: npt.ArrayLike) -> float:
    """Return the share of generated samples that are no copies of training samples, 0 to 1.

    ``mean_j [|g_j - x_i| > |x_i - x_l|]``, x_i the training sample nearest to g_j, and x_l the one
    nearest to x_i. Copies do well by every other measure here, and give 0; samples that are as new
    as held-out real ones give what those give.

    Parameters
    ----------
    X : array-like of shape (n, ...)
        What the generator was fitted to.
    G : array-like of shape (m, ...)
        Generated samples.

    Raises
    ------
    DataError
        As `precision_recall`.

    References
    ----------
    Alaa, A. et al. (2022). How faithful is your synthetic data? Sample-level metrics for evaluating
    and auditing generative models.
    """
    from sklearn.neighbors import NearestNeighbors

    real, made = _neighbours_of(X, G, 1)
    away, nearest = NearestNeighbors(n_neighbors=1).fit(real).kneighbors(made)
    return float((np.square(away) > _reach(real, 1)[nearest]).mean())


def _neighbours_of(X: npt.ArrayLike, G: npt.ArrayLike, n_neighbors: int) -> tuple[Floats, Floats]:
    """Return both, checked, about the mean of X: near zero, less is lost to rounding."""
    from isthmus.estimators.inputs import check_count

    check_count("n_neighbors", n_neighbors, 1)
    real, made = rows_of(X=X, G=G)
    if n_neighbors >= min(len(real), len(made)):
        raise ParameterError(
            f"n_neighbors={n_neighbors!r} must be less than the samples, of which X has "
            f"{len(real)} and G {len(made)}: lower it, or give more samples."
        )
    middle = real.mean(axis=0)
    return real - middle, made - middle


def _reach(centres: Floats, n_neighbors: int) -> Floats:
    """Return the squared distance from each to its k-th nearest other one, rounding allowed for."""
    from sklearn.neighbors import NearestNeighbors

    near, _ = NearestNeighbors(n_neighbors=n_neighbors).fit(centres).kneighbors()
    squared = np.square(near[:, -1])
    reach: Floats = squared + ROUNDING * (squared + np.square(centres).sum(axis=1))
    return reach


def _balls(
    centres: Floats, points: Floats, n_neighbors: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return how many balls each point lies in, and how many points each ball holds."""
    reach = _reach(centres, n_neighbors)
    around, held = [], np.zeros(len(centres), np.intp)
    for squared in squared_distances(points, centres):
        within = squared <= reach
        around.append(within.sum(axis=1))
        held += within.sum(axis=0)
    return np.concatenate(around), held
