"""What single units do: the rows that they move, and what they look for."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from isthmus.errors import ParameterError
from isthmus.evaluation import units
from isthmus.evaluation.drawing import known_shape, laid_out
from isthmus.evaluation.subject import look
from isthmus.evaluation.words import figure
from isthmus.plots.canvas import (
    MOST_NAMES,
    WARM_AND_COOL,
    Shape,
    axes_of,
    check_extra,
    comparable,
    draw_grid,
    draw_way,
    name_axes,
    text,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def directions(
    model: Any,
    X: ArrayLike,
    *,
    n: int = 16,
    sample_shape: Shape = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw what a step of one standard deviation along each unit adds to a row, scaled.

    The strongest units first; of pictures a grid, else a table of units and features.

    Raises
    ------
    ParameterError
        If the model does not rebuild rows.
    MissingDependencyError
        If matplotlib is not installed.
    """
    check_extra()
    subject = look(model, X, sample_shape=sample_shape)
    found = units.units(subject)
    moved = found.directions[:n]
    if subject.pictures:
        return draw_grid(axes_of(ax, 8.0, 4.5), subject.laid_out(moved).mean(axis=3))
    features = np.sort(np.argsort(-np.square(moved).sum(axis=0), kind="stable")[:MOST_NAMES])
    axes = axes_of(ax, 8.0, 3.5 + 0.25 * len(moved))
    reach = float(np.abs(moved).max()) or 1.0
    shown = moved[:, features]
    drawn = axes.imshow(shown, cmap=WARM_AND_COOL, vmin=-reach, vmax=reach, aspect="auto")
    axes.figure.colorbar(drawn, ax=axes, label="scaled units")
    axes.set_yticks(range(len(moved)), [f"unit {unit}" for unit in found.chosen[:n]])
    names = [text(subject.name_of(int(i))) for i in features]
    axes.set_xticks(range(len(features)), names, rotation=90)
    return axes


def traversal(
    model: Any,
    X: ArrayLike,
    unit: int | None = None,
    *,
    n_steps: int = 7,
    sample_shape: Shape = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw rows on the way along a unit, by default the strongest, the others at their means.

    Raises
    ------
    ParameterError
        If the model does not rebuild rows, or has no such unit.
    MissingDependencyError
        If matplotlib is not installed.
    """
    check_extra()
    subject = look(model, X, sample_shape=sample_shape)
    n_units = subject.codes.shape[1]
    unit = int(units.units(subject).chosen[0]) if unit is None else unit
    if not 0 <= unit < n_units:
        raise ParameterError(f"unit={unit!r} is none of the model's: write 0 to {n_units - 1}.")
    way = units.traversal(subject, unit, n_steps)
    title = f"unit {unit} from {figure(way.values[0], 2)} to {figure(way.values[-1], 2)}"
    rows = way.rows if subject.pictures else comparable(model, way.rows)
    axes = draw_way(ax, subject.laid_out(rows), subject.bounds)
    if not subject.pictures:
        name_axes(axes, model)
    axes.set_title(title)
    return axes


def filters(
    model: Any, *, n: int = 64, sample_shape: Shape = None, ax: "Axes | None" = None
) -> "Axes":
    """Draw the encoder's first weights, scaled units, those of the largest norm first.

    Raises
    ------
    ParameterError
        If the model has no such weights, or its rows are no pictures.
    MissingDependencyError
        If matplotlib is not installed.
    """
    check_extra()
    check_is_fitted(model)
    weights = units.filters(model)
    side = int(np.sqrt(model.n_features_in_))
    shape: Any = sample_shape or known_shape(model.sample_shape_) or (side, side, 1)
    if weights is None or np.prod(shape) != weights.shape[1] or len(shape) < 2:
        raise ParameterError(
            "filters draws the weights of pictures: give sample_shape=(height, width, colours), "
            "or use directions(model, X)."
        )
    strongest = np.argsort(-np.linalg.norm(weights, axis=1), kind="stable")[:n]
    tiles = laid_out(weights[strongest], tuple(shape), model.sample_shape_)
    return draw_grid(axes_of(ax, 8.0, 5.0), tiles if tiles.ndim == 3 else tiles.mean(axis=3))
