"""A model beside the PCA of every width, on the same rows, with intervals.

Shapes: N rows, D features, G groups of rows, B draws, W widths from 0 on.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.data.rows import select
from isthmus.errors import ParameterError
from isthmus.evaluation.subject import Subject
from isthmus.fitting.pca import EXACT_UP_TO, PCA, principal_axes
from isthmus.fitting.streams import Streams

N_DRAWS = 1000
N_GROUPS = 1000  # that rows are drawn in: of more rows, many together
WIDEST = 256  # components that are tried where the features are too many for all
TAILS = (2.5, 97.5)  # percent
NOTHING = 1e-13  # of the rows' variance: less is rounding, of float32 weights

Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """A figure, and where it lies in 95 % of the draws."""

    value: float
    low: float
    high: float


class AgainstPCA(NamedTuple):
    """The model's error beside that of PCA, squared, summed over features, averaged over rows."""

    width: int  # K
    error: Interval
    pca_error: Interval  # of the same width
    ratio: Interval  # error / pca_error: below 1 is better than PCA
    best: int  # the width at which PCA is best; with noise this is not the widest
    ties: Interval | None  # the least width at which PCA is as good; None: none that was tried is
    curve: Floats  # (W,) the error of PCA by width
    unit_name: str  # what the errors are squares of


def against_pca(subject: Subject, pca: PCA | None = None, *, seed: int = 0) -> AgainstPCA:
    """Compare a model with the PCA of these rows, `pca_of` them, both shown the same noise.

    Units are those of `versus_pca_`: the user's, or standard deviations where each feature has a
    scale of its own. The PCA is fitted to the clean rows in scaled units.
    """
    if subject.around:
        raise ParameterError(
            "the network leads its input around the code: no PCA is a match for it."
        )
    k = subject.codes.shape[1]
    rows = subject.errors
    curves = pca_errors(subject, pca or pca_of(subject)) * subject.unit
    mean, widest = curves.mean(axis=0), curves.shape[1] - 1
    error, nothing = float(rows.mean()), NOTHING * mean[0]
    mean[mean < nothing] = 0
    together = np.column_stack([rows, curves])
    draws = bootstrap(together, seed)
    drawn, drawn_pca = draws[:, 0], draws[:, 1:]
    same = min(k, widest)
    return AgainstPCA(
        width=k,
        error=interval(error, drawn),
        pca_error=interval(mean[same], drawn_pca[:, same]),
        ratio=_ratio(error if error > nothing else 0, mean[same], drawn, drawn_pca[:, same]),
        best=int(mean.argmin()),
        ties=_ties(error, mean, drawn, drawn_pca),
        curve=mean,
        unit_name=subject.unit_name,
    )


def pca_of(subject: Subject) -> PCA:
    """Return the PCA of the clean rows in scaled units, of all widths where that is cheap."""
    least = subject.codes.shape[1]
    n_rows, n_features = subject.clean.shape
    most = min(n_rows, n_features)
    if n_features > EXACT_UP_TO:
        most = min(most, max(WIDEST, 2 * least))
    selection = select(subject.clean, subject.clean, subject.scaling, "cpu")
    return principal_axes(selection, most, Streams(0).generator("pca"))


def pca_errors(subject: Subject, pca: PCA) -> Floats:
    """Return each row's squared error under the PCA of each width, scaled units, (N, W).

    With a the clean row's components and s those of the row that is seen,
    ``|x - V_k V_k^T s|^2 = |x - V V^T x|^2 + sum_{j > k} a_j^2 + sum_{j <= k} (a_j - s_j)^2``: a
    sum of squares alone, so that a feature of large values takes no digits from the others.
    """
    axes, center = pca.axes.numpy(), pca.center.numpy()
    clean = subject.scaling(torch.from_numpy(subject.clean)).numpy() - center
    a = clean @ axes.T
    outside = np.square(clean - a @ axes).sum(axis=1, keepdims=True)
    left_out = np.cumsum(np.hstack([outside, np.square(a[:, ::-1])]), axis=1)[:, ::-1]
    if not subject.noisy:
        return left_out
    s = (subject.scaling(torch.from_numpy(subject.seen)).numpy() - center) @ axes.T
    left_out[:, 1:] += np.cumsum(np.square(a - s), axis=1)
    return left_out


def bootstrap(values: Floats, seed: int = 0) -> Floats:
    """Return the means of columns (N, .) over rows that are drawn with replacement, (B, .).

    More than 1,000 rows are drawn in as many random groups.
    """
    n_rows, rng = len(values), np.random.default_rng(seed)
    n_groups = min(n_rows, N_GROUPS)
    order = rng.permutation(n_rows)
    bounds = np.linspace(0, n_rows, n_groups + 1).astype(int)
    sums = np.add.reduceat(values[order], bounds[:-1], axis=0)  # (G, .)
    times = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), N_DRAWS).astype(float)
    means: Floats = (times @ sums) / (times @ np.diff(bounds))[:, None]
    return means


def interval(value: float, draws: Floats) -> Interval:
    """Return a figure with what holds 95 % of its draws."""
    low, high = np.percentile(draws, TAILS)
    return Interval(float(value), float(low), float(high))


def _ratio(error: float, pca_error: float, drawn: Floats, drawn_pca: Floats) -> Interval:
    """Return error / pca_error; 1 where both are nothing."""
    if pca_error == 0:
        value = 1.0 if error == 0 else float("inf")
        return Interval(value, value, value)
    return interval(error / pca_error, drawn / np.maximum(drawn_pca, np.finfo(float).tiny))


def _ties(error: float, curve: Floats, drawn: Floats, drawn_pca: Floats) -> Interval | None:
    """Return the least width at which PCA is as good as the model.

    Where its curve has no such width within a draw, the widest that was tried counts.
    """
    reached = curve <= error
    if not reached.any():
        return None
    as_good = drawn_pca <= drawn[:, None]
    widths = np.where(as_good.any(axis=1), as_good.argmax(axis=1), len(curve) - 1)
    return interval(int(reached.argmax()), widths)
