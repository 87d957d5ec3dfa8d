"""The classical denoisers that a denoising fit is compared with, each at its best.

Their few parameters are chosen on training pictures, never on those that they are judged by.
Shapes: n pictures of h x w pixels, light from 0 to 1; std is the noise's, in the same units.
"""

from collections.abc import Callable, Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from isthmus.errors import DataError, ParameterError, guess, missing
from isthmus.evaluation.metrics import Floats, psnr

# Training pictures, evenly spread, that choose the parameters: fewer where each takes long.
N_JUDGES = {"median": 1000, "nlm": 150, "wavelet": 100, "pca": 1000}
N_SHIFTS = 4  # along each axis, over which wavelets are averaged
MOST_LEVELS = 3


class Baseline(NamedTuple):
    """A denoiser whose parameters are chosen."""

    name: str
    setting: str  # the parameters, in words
    denoise: Callable[[Floats], Floats]  # noisy (n, h, w) -> cleaned (n, h, w), not clipped


def tune(name: str, clean_train: npt.ArrayLike, noisy_train: npt.ArrayLike, std: float) -> Baseline:
    """Return the denoiser of that name whose parameters serve the training pictures best.

    Best is the highest mean PSNR once the result is clipped to [0, 1].

    Parameters
    ----------
    name : {"median", "nlm", "wavelet", "pca"}
        Median filter, non-local means (Buades et al., 2005), shrinkage of wavelet coefficients
        averaged over shifts (Coifman & Donoho, 1995), or PCA fitted to the clean pictures.
    clean_train : array-like of shape (n, h, w)
    noisy_train : array-like of shape (n, h, w)
        The same pictures with noise.
    std : float
        Standard deviation of the noise, in the pictures' units.

    Returns
    -------
    Baseline
        `denoise` takes and returns pictures (n, h, w).

    Raises
    ------
    ParameterError
        If the name is unknown or `std` is not positive.
    DataError
        If they are not of the same shape, at least 2 pictures of 2 x 2 pixels.
    MissingDependencyError
        If scikit-image ("nlm", "wavelet") or PyWavelets ("wavelet") is not installed.
    """
    clean, noisy = np.asarray(clean_train, np.float64), np.asarray(noisy_train, np.float64)
    _check(name, clean, noisy, std)
    judges = np.linspace(0, len(clean) - 1, min(N_JUDGES[name], len(clean))).astype(int)

    def quality(baseline: Baseline) -> float:
        cleaned = np.clip(baseline.denoise(noisy[judges]), 0, 1)
        return float(psnr(clean[judges], cleaned).mean())

    return max(CANDIDATES[name](clean, std), key=quality)


def _check(name: str, clean: Floats, noisy: Floats, std: float) -> None:
    if name not in CANDIDATES:
        raise ParameterError(
            f"There is no baseline {name!r}{guess(name, CANDIDATES)}: use {', '.join(CANDIDATES)}."
        )
    if not std > 0:
        raise ParameterError(f"std={std!r} must be more than 0: give that of the noise.")
    if clean.shape != noisy.shape or clean.ndim != 3 or min(clean.shape) < 2:
        raise DataError(
            f"clean_train has shape {clean.shape} and noisy_train {noisy.shape}: give both as the "
            f"same (n, h, w), at least 2 pictures of 2 x 2 pixels."
        )


# What there is to choose from ------------------------------------------------------------

_PLUS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]])
_BOXES = {f"{h} x {w}": np.ones((h, w)) for h, w in product((1, 2, 3), repeat=2) if h * w > 1}
_FOOTPRINTS = {**_BOXES, "a plus of 5": _PLUS}
_BORDERS = {"mirrored": "reflect", "dark": "constant"}


def _medians(clean: Floats, std: float) -> Iterator[Baseline]:
    """Yield small footprints; the noise's size does not matter to a median."""
    from scipy.ndimage import median_filter

    for (size, footprint), (border, mode) in product(_FOOTPRINTS.items(), _BORDERS.items()):

        def denoise(noisy: Floats, footprint: Floats = footprint, mode: str = mode) -> Floats:
            cleaned: Floats = median_filter(noisy, footprint=footprint[None], mode=mode)
            return cleaned

        yield Baseline("median", f"{size} pixels, {border} border", denoise)


def _non_local_means(clean: Floats, std: float) -> Iterator[Baseline]:
    """Yield sizes of the patches, how far they are sought, and how alike they must be."""
    try:
        from skimage.restoration import denoise_nl_means
    except ImportError:
        raise missing("scikit-image", "The baseline 'nlm'", "pictures") from None

    for size, distance, share in product((3, 5, 7), (1, 3, 7), (0.5, 0.7, 0.9, 1.1, 1.4)):
        options = {"patch_size": size, "patch_distance": distance, "h": share * std}

        def denoise(noisy: Floats, options: dict[str, float] = options) -> Floats:
            cleaned = [denoise_nl_means(p, sigma=std, fast_mode=False, **options) for p in noisy]
            return np.stack(cleaned)

        setting = f"{size} x {size} patches within {distance}, h = {share:g} std"
        yield Baseline("nlm", setting, denoise)


def _wavelets(clean: Floats, std: float) -> Iterator[Baseline]:
    """Yield wavelets that fit into the pictures; VisuShrink at half its threshold.

    That threshold is meant for the limit of large pictures, and takes too much from small ones.
    """
    try:
        from pywt import dwtn_max_level
        from skimage.restoration import denoise_wavelet
    except ImportError as error:
        package = "PyWavelets" if error.name == "pywt" else "scikit-image"
        raise missing(package, "The baseline 'wavelet'", "pictures") from None

    methods = (("BayesShrink", 1.0), ("VisuShrink", 0.5))
    for wavelet, (method, share) in product(("db1", "db2", "sym4"), methods):
        deepest = min(MOST_LEVELS, dwtn_max_level(clean.shape[1:], wavelet))
        for levels in range(1, deepest + 1):
            options = {"wavelet": wavelet, "method": method, "wavelet_levels": levels}

            def denoise(
                noisy: Floats, options: dict[str, object] = options, share: float = share
            ) -> Floats:
                return _over_shifts(
                    lambda p: denoise_wavelet(p, sigma=share * std, channel_axis=0, **options),
                    noisy,
                )

            yield Baseline(
                "wavelet", f"{method} at {share:g} std, {wavelet}, {levels} deep", denoise
            )


def _over_shifts(denoise: Callable[[Floats], Floats], noisy: Floats) -> Floats:
    """Average over cyclic shifts, which spreads out the artefacts of the wavelets' grid."""
    total = np.zeros_like(noisy)
    for shift in product(range(N_SHIFTS), repeat=2):
        back = (-shift[0], -shift[1])
        total += np.roll(denoise(np.roll(noisy, shift, axis=(1, 2))), back, axis=(1, 2))
    return total / N_SHIFTS**2


def _pcas(clean: Floats, std: float) -> Iterator[Baseline]:
    """Yield widths of the PCA of the clean pictures: all of them up to 64, then fewer."""
    from sklearn.decomposition import PCA

    rows = clean.reshape(len(clean), -1)
    pca = PCA(svd_solver="covariance_eigh").fit(rows)
    widest = min(rows.shape[1], max(1, len(rows) - 1))
    spread = np.geomspace(1, widest, 64).round().astype(int)
    for width in sorted({*range(1, min(64, widest) + 1), *spread.tolist()}):
        axes = pca.components_[:width]

        def denoise(noisy: Floats, axes: Floats = axes) -> Floats:
            codes = (noisy.reshape(len(noisy), -1) - pca.mean_) @ axes.T
            cleaned: Floats = (codes @ axes + pca.mean_).reshape(noisy.shape)
            return cleaned

        yield Baseline("pca", f"{width} components", denoise)


CANDIDATES: dict[str, Callable[[Floats, float], Iterator[Baseline]]] = {
    "median": _medians,
    "nlm": _non_local_means,
    "wavelet": _wavelets,
    "pca": _pcas,
}
