"""A model beside the PCA of its width. M rows."""

import math
from typing import NamedTuple

from torch import Tensor

from isthmus.data.scaling import Scaling


class VersusPCA(NamedTuple):
    """The model beside the PCA of its width, which was fitted to the same training rows.

    Errors are squared, summed over features, averaged over rows; in the user's units, or in
    standard deviations where the scaling is ``"standard"``.
    """

    pca_error: float
    error: float
    ratio: float  # error / pca_error: below 1 is better than PCA
    rows: str  # "held out", or "training" where none were
    n_rows: int

    def __repr__(self) -> str:
        figures = f"pca_error={self.pca_error:.3g}, error={self.error:.3g}, ratio={self.ratio:.3g}"
        return f"VersusPCA({figures}, rows={self.rows!r}, n_rows={self.n_rows})"


def versus_pca(scaling: Scaling, pca_errors: Tensor, errors: Tensor, *, rows: str) -> VersusPCA:
    """Compare squared errors in scaled units (M,), by row."""
    unit = float(scaling.scale) ** 2 if scaling.scale.ndim == 0 else 1.0
    pca_error, error = float(pca_errors.mean()) * unit, float(errors.mean()) * unit
    ratio = error / pca_error if pca_error > 0 else (1.0 if error == 0 else math.inf)
    return VersusPCA(pca_error, error, ratio, rows, len(errors))
