"""Samples that a model makes up, and those on the way from one to another."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from isthmus.errors import ParameterError
from isthmus.estimators.arrays import unwrapped
from isthmus.evaluation.drawing import bounds_of, drawn_shape, laid_out
from isthmus.plots.canvas import (
    ACROSS,
    MODEL,
    OTHER,
    Shape,
    axes_of,
    check_extra,
    comparable,
    draw_curves,
    draw_tiles,
    draw_way,
    name_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_VALUES_DRAWN = (0.005, 0.995)  # of a sample's values; a few wild ones would dim all others


def samples(
    model: Any,
    n: int = 64,
    *,
    random_state: int = 0,
    sample_shape: Shape = None,
    ax: "Axes | None" = None,
    **how: Any,
) -> "Axes":
    """Draw new samples: pictures in lines of eight, other rows as curves over their features.

    Of columns that the model scales one by one, these are in scaled units.

    Parameters
    ----------
    model : estimator
        Fitted: an autoencoder or a restricted Boltzmann machine.
    n : int
        How many.
    random_state : int
        The same number, the same samples.
    sample_shape
        As `isthmus.report` takes it.
    ax : matplotlib axes, optional
        Where to draw; by default on new ones.
    **how
        What the model's `sample` takes, such as ``method="prior"`` or ``y=3``.

    Raises
    ------
    ParameterError
        If the model makes no samples, or not so.
    MissingDependencyError
        If matplotlib is not installed.
    """
    check_extra()
    shape = _shape_of(model, sample_shape, "sample")
    rows = np.asarray(model.sample(n, random_state=random_state, **how), np.float64)
    if len(shape) < 3:
        axes = axes_of(ax, 8.0, 4.0)
        curves = comparable(model, rows.reshape(n, -1)).reshape(n, *shape)
        draw_curves(axes, curves, MODEL, np.full(n, max(0.15, 1 / np.sqrt(n))))
        name_axes(axes, model)
        return axes
    drawn = laid_out(rows.reshape(n, -1), shape, getattr(model, "sample_shape_", None))
    low, high = bounds_of(np.quantile(drawn, MOST_VALUES_DRAWN))
    across = min(ACROSS, n)
    tiles = [*drawn, *np.full((-n % across, *shape), high)]
    lines = [tiles[i : i + across] for i in range(0, len(tiles), across)]
    axes = axes_of(ax, across, len(lines) * shape[0] / shape[1])
    draw_tiles(axes, lines, (low, high))
    return axes


def interpolation(
    model: Any,
    a: ArrayLike,
    b: ArrayLike,
    *,
    n_steps: int = 8,
    sample_shape: Shape = None,
    ax: "Axes | None" = None,
    **how: Any,
) -> "Axes":
    """Draw the samples on the way from one sample to another, between the two as they are.

    Parameters
    ----------
    model : estimator
        A fitted autoencoder.
    a, b : array-like
        Two samples, such as ``X[0]`` and ``X[1]``.
    n_steps : int
        Samples on the way; the first and the last are a and b as the model rebuilds them.
    sample_shape, ax
        As `samples` takes them.
    **how
        What the model's `interpolate` takes: ``path="sphere"``, ``y=3``.

    Raises
    ------
    ParameterError
        If the model does not interpolate, or not so.
    DataError
        If a or b is no single sample of the model's.
    MissingDependencyError
        If matplotlib is not installed.
    """
    check_extra()
    shape = _shape_of(model, sample_shape, "interpolate")
    way = np.asarray(model.interpolate(a, b, n_steps, **how), np.float64).reshape(n_steps, -1)
    first, last = (np.asarray(unwrapped(end), np.float64).ravel() for end in (a, b))
    rows = np.stack([first, *way, last])
    if len(shape) < 3:
        curves = comparable(model, rows).reshape(-1, *shape)
        axes = draw_way(ax, curves[1:-1], bounds_of(rows))
        draw_curves(axes, curves[[0, -1]], OTHER, np.ones(2))
        axes.legend(axes.lines[-2:-1], ["a and b as they are"])
        name_axes(axes, model)
        return axes
    drawn = laid_out(rows, shape, getattr(model, "sample_shape_", None))
    axes = draw_way(ax, drawn, bounds_of(rows[[0, -1]]))
    width = shape[1] + 1
    axes.set_xticks([width * (i + 0.5) for i in (0, n_steps + 1)], ["a", "b"])
    return axes


def _shape_of(model: Any, given: Shape, verb: str) -> tuple[int, ...]:
    """Return how a sample of a model is drawn, and refuse a model that makes none."""
    if not hasattr(model, verb):
        raise ParameterError(
            f"{type(model).__name__} cannot {verb}: give a fitted autoencoder of isthmus."
        )
    check_is_fitted(model)
    named = hasattr(model, "feature_names_in_")
    return drawn_shape(model, model.n_features_in_, given, named=named)
