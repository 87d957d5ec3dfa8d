"""Principal component analysis over rows that may not fit into memory twice.

Shapes: N rows, D features, K components.
"""

import functools
import operator
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from isthmus.data.rows import CHUNK_BYTES, Selection
from isthmus.fitting.plan import one_thread

EXACT_UP_TO = 2048  # features; above, the covariance is never formed
OVERSAMPLING = 10
POWER_ITERATIONS = 6
FIRST_GUESS = 64  # components, where a share of the variance says how many
NOTHING = 1e-14  # of the widest variance
TIE = 1e-4  # of the largest number of an axis


class PCA(NamedTuple):
    """The best linear autoencoder of K units (Baldi & Hornik 1989), in float64."""

    center: Tensor  # (D,) mean of the rows
    axes: Tensor  # (K, D) orthonormal, widest first
    variances: Tensor  # (K,) of the rows along the axes
    total: Tensor  # ()  variance of the rows, summed over all directions


def principal_axes(selection: Selection, n_components: int, generator: torch.Generator) -> PCA:
    """Find the PCA of the clean rows, in scaled units.

    Up to 2,048 features by the eigenvectors of the covariance, exactly; above, by randomised
    subspace iteration (Halko, Martinsson & Tropp 2011, algorithm 4.4), chunk by chunk. Where
    there are fewer rows or features than components, the axes that are missing are zero.
    """
    n_rows, n_features = selection.n_rows, selection.target.n_features
    k = min(n_components, n_features)
    center = mean_row(selection)
    if n_features <= EXACT_UP_TO:
        covariance = _sum(selection, lambda x: (x - center).T @ (x - center)) / n_rows
        total = covariance.trace()
        with one_thread():  # several wait for each other, and round in their own way
            variances, vectors = torch.linalg.eigh(covariance)
    else:
        variances, vectors = _randomised(selection, center, k, generator)
        total = _sum(selection, lambda x: (x - center).square().sum()) / n_rows
    axes, variances = vectors.T.flip(0)[:k], variances.flip(0)[:k]
    # What rounding leaves of a variance that is zero has no axis.
    axes[variances <= NOTHING * variances.max()] = 0
    axes = _turned(axes)
    missing = n_components - k
    axes = torch.cat([axes, axes.new_zeros(missing, n_features)])
    variances = torch.cat([variances.clamp(min=0), variances.new_zeros(missing)])
    return PCA(center, axes, variances, total)


def width_of(selection: Selection, share: float, generator: torch.Generator) -> int:
    """Return the least K with which the PCA of the clean rows keeps more than the share, below 1.

    The same as scikit-learn's ``PCA(share)``; of rows that are all alike one.
    """
    n_rows, n_features = selection.n_rows, selection.target.n_features
    most = min(n_rows, n_features)
    k = n_features if n_features <= EXACT_UP_TO else FIRST_GUESS
    _, _, variances, total = principal_axes(selection, k, generator)
    enough = share * total
    while k < most and variances.sum() <= enough:
        k = min(2 * k, n_features)
        variances = principal_axes(selection, k, generator).variances
    width = int(torch.searchsorted(variances.cumsum(0), enough, right=True)) + 1
    return min(width, most) if enough > 0 else 1


def _turned(axes: Tensor) -> Tensor:
    """Turn each axis (K, D) so that its largest number is positive, as scikit-learn's PCA has it.

    Of numbers that are as large but for rounding the first decides, on every machine alike.
    """
    sizes = axes.abs()
    largest = (sizes >= (1 - TIE) * sizes.amax(1, keepdim=True)).byte().argmax(1, keepdim=True)
    return axes * axes.gather(1, largest).sign()


def no_axes(selection: Selection, n_components: int, _: torch.Generator) -> PCA:
    """Return the mean of the rows alone, with axes of zero."""
    center = mean_row(selection)
    axes, variances = center.new_zeros(n_components, len(center)), center.new_zeros(n_components)
    return PCA(center, axes, variances, center.new_zeros(()))


def mean_row(selection: Selection) -> Tensor:
    """Return the mean of the clean rows, in scaled units, (D,) in float64."""
    return _sum(selection, lambda x: x.sum(0)) / selection.n_rows


def _randomised(
    selection: Selection, center: Tensor, k: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return at least k variances, ascending, and their axes (D, .), as `eigh` does."""
    n_features = len(center)
    width = min(k + OVERSAMPLING, n_features)
    basis = torch.randn(n_features, width, generator=generator, dtype=torch.float64)
    basis = basis.to(center.device)
    for _ in range(POWER_ITERATIONS):
        basis = torch.linalg.qr(basis).Q
        basis = _sum(selection, functools.partial(_onto, center, basis))
    basis = torch.linalg.qr(basis).Q
    small = _sum(selection, lambda x: ((x - center) @ basis).T @ ((x - center) @ basis))
    variances, vectors = torch.linalg.eigh(small / selection.n_rows)
    return variances, basis @ vectors


def _onto(center: Tensor, basis: Tensor, x: Tensor) -> Tensor:
    """Multiply the unscaled covariance of the rows `x` with the basis."""
    return (x - center).T @ ((x - center) @ basis)


def _sum(selection: Selection, term: Callable[[Tensor], Tensor]) -> Tensor:
    """Add `term` over chunks of the clean rows, in float64."""
    size = max(1, CHUNK_BYTES // (8 * selection.target.n_features))
    # Padding counts as the mean of scaled rows.
    terms = (term(target.double().nan_to_num(0)) for _, target in selection.batches(size))
    return functools.reduce(operator.iadd, terms)
