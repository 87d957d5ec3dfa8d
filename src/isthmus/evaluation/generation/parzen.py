"""How likely real samples are under a density about the generated ones.

Shapes: n real samples, m generated ones, D values each.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from isthmus.errors import DataError, ParameterError
from isthmus.evaluation.generation.samples import ROUNDING, Floats, rows_of, squared_distances

N_BANDWIDTHS = 20


class ParzenWindow(NamedTuple):
    """The log-likelihood of real samples under a density about generated ones."""

    log_likelihood: float  # mean, nats a sample, in the units given
    error: float  # its standard error over the samples
    bandwidth: float  # that served the validation samples best, in the units given


def parzen_log_likelihood(
    X: npt.ArrayLike,
    G: npt.ArrayLike,
    *,
    validation: npt.ArrayLike,
    bandwidths: npt.ArrayLike | None = None,
) -> ParzenWindow:
    """Return the mean log-likelihood of real samples under Gaussians about the generated ones.

    ``log p(x) = log 1/m sum_j Normal(x; g_j, h^2 I)``, h such that the validation samples are
    likeliest.

    It is biased, and to be read with care: in many dimensions it stays far below the generator's
    true log-likelihood however many samples are drawn, and ranks generators wrongly. Centres of
    clusters can beat samples of the true distribution. Where a model has a likelihood of its own,
    take that; this one is for comparisons with papers, at the same m.

    Parameters
    ----------
    X : array-like of shape (n, ...)
        Real samples that chose neither generator nor bandwidth.
    G : array-like of shape (m, ...)
        Generated samples.
    validation : array-like of shape (v, ...)
        Real samples that choose the bandwidth.
    bandwidths : array-like of positive floats, optional
        Those to choose from; by default 20 within the bounds that the best one has.

    Raises
    ------
    DataError
        As `precision_recall`; and if the validation samples all stand in G.
    ParameterError
        If a bandwidth is not positive.

    References
    ----------
    Breuleux, O., Bengio, Y. & Vincent, P. (2011). Quickly generating representative samples from an
    RBM-derived process. Theis, L., van den Oord, A. & Bethge, M. (2016). A note on the evaluation
    of generative models.
    """
    rows = rows_of(X=X, G=G, validation=validation)
    middle = rows[1].mean(axis=0)  # far from 0, squared distances lose their digits
    test, made, chooser = (each - middle for each in rows)
    if bandwidths is None:
        widths = _bandwidths(chooser, made)
    else:
        widths = np.atleast_1d(np.asarray(bandwidths))
        numbers = widths.ndim == 1 and widths.size and widths.dtype.kind in "iuf"
        if not numbers or not np.all(widths > 0):
            raise ParameterError(
                f"bandwidths={bandwidths!r} is no list of widths: write numbers above 0."
            )
    best = _log_densities(chooser, made, widths).mean(axis=1).argmax()
    (found,) = _log_densities(test, made, widths[[best]])
    error = found.std() / np.sqrt(len(found))
    return ParzenWindow(float(found.mean()), float(error), float(widths[best]))


def _log_densities(points: Floats, centres: Floats, widths: Floats) -> Floats:
    """Return log p of each point at each bandwidth, (widths, points)."""
    from scipy.special import logsumexp

    sums = [
        [logsumexp(squared / (-2 * width**2), axis=1) for width in widths]
        for squared in squared_distances(points, centres)
    ]
    volumes = np.log(len(centres)) + centres.shape[1] * np.log(np.sqrt(2 * np.pi) * widths)
    densities: Floats = np.concatenate(sums, axis=1) - volumes[:, None]
    return densities


def _bandwidths(points: Floats, centres: Floats) -> Floats:
    """Return bandwidths between the bounds of the likeliest.

    Its square is the mean squared distance a feature from points to centres, weighted towards the
    near ones: no less than that to the nearest ones, and no more than that to all.
    """
    nearest, to_all = [], []
    for squared in squared_distances(points, centres):
        nearest.append(squared.min(axis=1))
        to_all.append(squared.mean(axis=1))
    low, high = (np.concatenate(each).mean() / points.shape[1] for each in (nearest, to_all))
    if low <= ROUNDING * high:
        raise DataError(
            "validation has samples of G alone, under which the likelihood has no bound: add noise "
            "to values that are rounded, and keep copies out of G."
        )
    return np.geomspace(np.sqrt(low), np.sqrt(high), N_BANDWIDTHS)
