"""Measures, each usable by itself: how near rebuilt rows come, and what a code keeps and tells."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.errors import DataError, ParameterError, missing

Floats = npt.NDArray[np.float64]

WINDOW = 7  # pixels, in which structural similarity looks


def psnr(clean: npt.ArrayLike, cleaned: npt.ArrayLike, *, data_range: float = 1.0) -> Floats:
    """Return the peak signal-to-noise ratio of each sample.

    ``psnr_i = 10 log10(data_range^2 / mean_d (clean_id - cleaned_id)^2)``

    Nothing is clipped: to judge pictures as they would be shown, clip `cleaned` before.

    Parameters
    ----------
    clean : array-like of shape (n, ...)
        The originals, one sample a row, such as rows (n, d) or pictures (n, h, w).
    cleaned : array-like of shape (n, ...)
        What they are judged by, of the same shape and in the same units.
    data_range : float
        The distance from the least to the greatest value that the data can have, in their units.

    Returns
    -------
    ndarray of shape (n,)
        Decibels; infinite where both are equal.

    Raises
    ------
    DataError
        If the shapes differ, or there are no values along at least two axes.
    ParameterError
        If `data_range` is not positive.

    References
    ----------
    Huynh-Thu, Q. & Ghanbari, M. (2008). Scope of validity of PSNR in image/video quality
    assessment.
    """
    a, b = _pairs(clean, cleaned, "clean", "cleaned")
    if not data_range > 0:
        raise ParameterError(
            f"data_range={data_range!r} must be more than 0: give the distance from the least to "
            f"the greatest value that the data can have."
        )
    error = np.square(a - b).reshape(len(a), -1).mean(axis=1)
    with np.errstate(divide="ignore"):  # no error at all is infinitely many decibels
        decibels: Floats = 10 * np.log10(data_range**2 / error)
    return decibels


def explained_variance(X: npt.ArrayLike, rebuilt: npt.ArrayLike) -> float:
    """Return the share of the variance of `X` about its own mean that is rebuilt.

    ``1 - sum |x - rebuilt|^2 / sum |x - mean(X)|^2``; 1 is perfect, 0 is what the mean gives.

    A fitted model's `score` counts from the mean of the training rows instead.

    Parameters
    ----------
    X, rebuilt : array-like of shape (n, ...)
        The originals and what is judged, of the same shape and in the same units.

    Raises
    ------
    DataError
        If the shapes differ, or there are no values along at least two axes.
    """
    a, b = _pairs(X, rebuilt, "X", "rebuilt")
    total, lost = np.square(a - a.mean(axis=0)).sum(), np.square(a - b).sum()
    return float(1 - lost / total) if total > 0 else float(lost == 0)


def ssim(clean: npt.ArrayLike, cleaned: npt.ArrayLike, *, data_range: float = 1.0) -> Floats:
    """Return the structural similarity of each picture, by scikit-image with its defaults.

    Parameters
    ----------
    clean, cleaned : array-like of shape (n, h, w) or (n, h, w, c)
        Pictures of at least 7 x 7 pixels, the originals and what is judged.
    data_range : float
        The distance from the least to the greatest value that the data can have, in their units.

    Returns
    -------
    ndarray of shape (n,)
        1 where both are equal.

    Raises
    ------
    DataError
        If the shapes differ, or are none of pictures.
    MissingDependencyError
        If scikit-image is not installed.

    References
    ----------
    Wang, Z. et al. (2004). Image quality assessment: from error visibility to structural
    similarity.
    """
    a, b = _pairs(clean, cleaned, "clean", "cleaned")
    if a.ndim not in (3, 4) or min(a.shape[1:3]) < WINDOW:
        raise DataError(
            f"clean has shape {a.shape}: give pictures (n, h, w) or (n, h, w, c) of at least "
            f"{WINDOW} x {WINDOW} pixels."
        )
    try:
        from skimage import metrics
    except ImportError:
        raise missing("scikit-image", "ssim", "pictures") from None
    compare: Any = metrics.structural_similarity
    options = {"data_range": data_range, "channel_axis": None if a.ndim == 3 else -1}
    return np.array([compare(p, q, **options) for p, q in zip(a, b, strict=True)])


# What a code keeps of who is beside whom ---------------------------------------------------


def trustworthiness(X: npt.ArrayLike, Z: npt.ArrayLike, *, n_neighbors: int = 10) -> float:
    """Return how far the neighbours in the code are neighbours in truth, 0 to 1.

    ``1 - 2 / (n k (2n - 3k - 1)) sum_i sum_{j in N_Z(i)} max(0, rank_X(i, j) - k)``, by
    scikit-learn. All pairs are looked at: of many rows give a part.

    Parameters
    ----------
    X : array-like of shape (n, d)
        The rows.
    Z : array-like of shape (n, k)
        Their codes.
    n_neighbors : int
        Less than half of the rows.

    Raises
    ------
    DataError
        If there is not one code for each row.
    ParameterError
        If `n_neighbors` is not from 1 to less than half of the rows.

    References
    ----------
    Venna, J. & Kaski, S. (2001). Neighborhood preservation in nonlinear projection methods.
    """
    from sklearn import manifold

    a, b = _rows(X, Z, n_neighbors)
    return float(manifold.trustworthiness(a, b, n_neighbors=n_neighbors))


def continuity(X: npt.ArrayLike, Z: npt.ArrayLike, *, n_neighbors: int = 10) -> float:
    """Return how far the neighbours in truth are still neighbours in the code, 0 to 1.

    `trustworthiness` with the two spaces exchanged, which names parameters, errors and paper.
    """
    return trustworthiness(Z, X, n_neighbors=n_neighbors)


def neighbour_overlap(X: npt.ArrayLike, Z: npt.ArrayLike, *, n_neighbors: int = 10) -> float:
    """Return the share of each row's nearest neighbours that are so in the code too, 0 to 1.

    ``mean_i |N_X(i) & N_Z(i)| / k``; by chance it is ``k / (n - 1)``. Parameters and errors are
    those of `trustworthiness`.
    """
    from sklearn.neighbors import NearestNeighbors

    near = [
        NearestNeighbors(n_neighbors=n_neighbors).fit(each).kneighbors(return_distance=False)
        for each in _rows(X, Z, n_neighbors)
    ]
    shared = [len(np.intersect1d(a, b)) for a, b in zip(*near, strict=True)]
    return float(np.mean(shared) / n_neighbors)


def active_units(Z: npt.ArrayLike, *, variance: float = 0.01) -> int:
    """Return how many units of a code vary over the rows by more than `variance`.

    The threshold is that of the paper, for codes near a standard normal distribution; of a code on
    another scale give another.

    Parameters
    ----------
    Z : array-like of shape (n, k)
        Deterministic codes.
    variance : float
        In the code's squared units.

    References
    ----------
    Burda, Y., Grosse, R. & Salakhutdinov, R. (2015). Importance weighted autoencoders.
    """
    return int((np.asarray(Z, np.float64).var(axis=0) > variance).sum())


# What a code tells of classes --------------------------------------------------------------


def probe_accuracy(Z: npt.ArrayLike, y: npt.ArrayLike, *, n_folds: int = 5, seed: int = 0) -> float:
    """Return the share of rows that a linear classifier on the code gets right.

    Logistic regression on standardised codes, cross-validated: each row is judged by a classifier
    that did not see it.

    Parameters
    ----------
    Z : array-like of shape (n, k)
        Codes, or rows.
    y : array-like of shape (n,)
        Their classes, each of at least `n_folds` rows.
    n_folds : int
        From 2.
    seed : int
        Of the folds; the same one, the same answer.

    Raises
    ------
    DataError
        If there is not one class for each row, one class only, or one of too few rows.
    ParameterError
        If `n_folds` is not at least 2.
    """
    from sklearn.linear_model import LogisticRegression

    return _accuracy(LogisticRegression(max_iter=1000), Z, y, n_folds, seed)


def knn_accuracy(
    Z: npt.ArrayLike, y: npt.ArrayLike, *, n_neighbors: int = 10, n_folds: int = 5, seed: int = 0
) -> float:
    """Return the share of rows whose nearest neighbours in the code tell their class.

    Cross-validated, on standardised codes; parameters and errors are those of `probe_accuracy`.
    Of few rows, all that a fold leaves are asked.
    """
    from sklearn.neighbors import KNeighborsClassifier

    most = len(np.asarray(y)) * (n_folds - 1) // max(n_folds, 1)  # rows that a fold can ask
    return _accuracy(KNeighborsClassifier(min(n_neighbors, most)), Z, y, n_folds, seed)


def _accuracy(estimator: Any, Z: npt.ArrayLike, y: npt.ArrayLike, n_folds: int, seed: int) -> float:
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    codes, classes = np.asarray(Z, np.float64), np.asarray(y)
    _check_classes(codes, classes, n_folds)
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    with last_step_serves():
        scores = cross_val_score(
            make_pipeline(StandardScaler(), estimator), codes, classes, cv=folds
        )
    return float(scores.mean())


@contextmanager
def last_step_serves() -> Iterator[None]:
    """Let a probe stop early: where the best weights are infinite, the last ones tell as well."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


# What is refused ---------------------------------------------------------------------------


def _pairs(
    first: npt.ArrayLike, second: npt.ArrayLike, name: str, other: str
) -> tuple[Floats, Floats]:
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.shape != b.shape or a.ndim < 2 or not a.size:
        raise DataError(
            f"{name} has shape {a.shape} and {other} {b.shape}: give both the same shape, "
            f"(n, ...), with one sample a row."
        )
    return a, b


def _rows(X: npt.ArrayLike, Z: npt.ArrayLike, n_neighbors: int) -> tuple[Floats, Floats]:
    a, b = np.asarray(X, np.float64), np.asarray(Z, np.float64)
    if a.ndim != 2 or b.ndim != 2 or len(a) != len(b):
        raise DataError(
            f"X has shape {a.shape} and Z {b.shape}: give one code for each row, (n, d) and (n, k)."
        )
    if not 1 <= n_neighbors < len(a) / 2:
        raise ParameterError(
            f"n_neighbors={n_neighbors!r} must be from 1 to less than half of the {len(a)} rows: "
            f"lower it, or give more rows."
        )
    return a, b


def _check_classes(codes: Floats, classes: npt.NDArray[Any], n_folds: int) -> None:
    if n_folds < 2:
        raise ParameterError(
            f"n_folds={n_folds!r} must be at least 2: one fold judges, others teach."
        )
    if codes.ndim != 2 or classes.shape != (len(codes),):
        raise DataError(
            f"Z has shape {codes.shape} and y {classes.shape}: give one class for each row, (n, k) "
            f"and (n,)."
        )
    kinds, counts = np.unique(classes, return_counts=True)
    if len(kinds) < 2 or counts.min() < n_folds:
        raise DataError(
            f"y has {len(kinds)} class(es), the smallest of {counts.min(initial=len(codes))} rows, "
            f"and {n_folds} folds need two classes of {n_folds} rows each: leave rare classes out, "
            f"or lower n_folds."
        )
