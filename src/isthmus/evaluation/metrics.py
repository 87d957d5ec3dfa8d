"""How near cleaned rows come to the clean ones."""

import numpy as np
import numpy.typing as npt

from isthmus.errors import DataError, ParameterError

Floats = npt.NDArray[np.float64]


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
    a, b = np.asarray(clean, np.float64), np.asarray(cleaned, np.float64)
    if a.shape != b.shape or a.ndim < 2 or not a.size:
        raise DataError(
            f"clean has shape {a.shape} and cleaned {b.shape}: give both the same shape, (n, ...), "
            f"with one sample a row."
        )
    if not data_range > 0:
        raise ParameterError(
            f"data_range={data_range!r} must be more than 0: give the distance from the least to "
            f"the greatest value that the data can have."
        )
    error = np.square(a - b).reshape(len(a), -1).mean(axis=1)
    with np.errstate(divide="ignore"):  # no error at all is infinitely many decibels
        decibels: Floats = 10 * np.log10(data_range**2 / error)
    return decibels
