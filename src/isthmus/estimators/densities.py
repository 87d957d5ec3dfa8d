"""Densities fitted to codes, to draw further codes from. M codes of K units."""

import warnings
from collections.abc import Callable

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning

from isthmus.estimators.inputs import Floats

N_PEAKS = 10  # Gaussians of a mixture, as in Ghosh et al. (2020)
PER_PEAK = 5  # codes for each number of a full covariance matrix row; fewer get a diagonal
FLOOR = 1e-6  # of the codes' variance: the least a Gaussian has
ROUNDING = np.finfo(np.float32).eps ** 2  # of their squares, by which float32 tells codes apart
WIDTHS = np.geomspace(0.05, 1, 9)  # in standard deviations of the codes
N_CHOOSING = 2000  # codes that choose a width


def gaussian(codes: Floats, n: int, seed: int) -> Floats:
    """Draw from the Normal with the codes' mean and covariance, (n, K)."""
    rng = np.random.default_rng(seed)
    # Of one code, the Normal is that code.
    covariance = np.atleast_2d(np.cov(codes, rowvar=False, ddof=min(1, len(codes) - 1)))
    return rng.multivariate_normal(codes.mean(axis=0), covariance, n, method="eigh")


def mixture(codes: Floats, n: int, seed: int) -> Floats:
    """Draw from a mixture of ten Normals, (n, K), in no order; fewer where codes are few."""
    from sklearn.mixture import GaussianMixture  # a tenth of what a fit imports, and not for fits

    n_codes, n_units = codes.shape
    if n_codes == 1:
        return gaussian(codes, n, seed)
    n_peaks = max(1, min(N_PEAKS, n_codes // (2 * PER_PEAK)))
    full = n_codes >= PER_PEAK * n_peaks * n_units
    fit = GaussianMixture(
        n_peaks,
        covariance_type="full" if full else "diag",
        reg_covar=FLOOR * float(codes.var(axis=0).mean())
        + ROUNDING * float(np.square(codes).mean())
        + np.finfo(np.float32).tiny,
        random_state=seed,
    )
    with warnings.catch_warnings(), np.errstate(under="ignore"):
        warnings.simplefilter("ignore", ConvergenceWarning)
        drawn: Floats = fit.fit(codes).sample(n)[0]  # peak by peak
    return np.random.default_rng(seed).permutation(drawn)


def kde(codes: Floats, n: int, seed: int) -> Floats:
    """Draw codes and add Gaussian noise, (n, K), as wide as serves codes that are left out."""
    spread, rng = codes.std(axis=0), np.random.default_rng(seed)
    few = rng.permutation(len(codes))[:N_CHOOSING]
    chosen = codes[rng.integers(len(codes), size=n)]
    if len(few) < 2:
        return chosen
    width = _likeliest_width(codes[few] / np.where(spread > 0, spread, 1.0))
    return chosen + width * spread * rng.normal(size=chosen.shape)


def _likeliest_width(codes: Floats) -> float:
    """Return the width of Gaussians on one half of the codes that suits the other half best."""
    half = len(codes) // 2
    squares = cdist(codes[half:], codes[:half], "sqeuclidean")
    nats = [
        logsumexp(-squares / (2 * width**2), axis=1).mean() - codes.shape[1] * np.log(width)
        for width in WIDTHS
    ]
    return float(WIDTHS[int(np.argmax(nats))])


DENSITIES: dict[str, Callable[[Floats, int, int], Floats]] = {
    "gaussian": gaussian,
    "mixture": mixture,
    "kde": kde,
}
