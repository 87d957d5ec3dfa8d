"""The code: its map, and how the rows use it."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from isthmus.evaluation import code_map as maps
from isthmus.evaluation import units
from isthmus.evaluation.labels import labels_of
from isthmus.evaluation.subject import look
from isthmus.evaluation.words import named
from isthmus.plots.canvas import MODEL, axes_of, check_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def code_map(
    model: Any,
    X: ArrayLike,
    y: ArrayLike | None = None,
    *,
    projection: maps.Projection = "auto",
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw the codes in two dimensions, coloured by `y`, or else by the error.

    Raises
    ------
    ParameterError
        If the projection is unknown.
    DataError
        If there is not one label for each row.
    MissingDependencyError
        If matplotlib, or UMAP where it is asked for, is not installed.
    """
    check_extra()
    subject = look(model, X)
    found = maps.code_map(subject, projection)
    axes = axes_of(ax, 7.0, 6.0)
    places = found.places
    if y is not None and (labels := labels_of(y, subject.n_given)).classes:
        codes = labels.at(subject.judged).codes[found.rows]
        for i, name in enumerate(labels.classes):
            axes.scatter(places[codes == i, 0], places[codes == i, 1], s=8, label=named(name))
        axes.legend(frameon=False, markerscale=2)
    else:
        numbers, name = (subject.errors, "squared error") if y is None else (None, "y")
        if numbers is None:
            numbers = labels.at(subject.judged).values
        drawn = axes.scatter(places[:, 0], places[:, 1], s=8, c=numbers[found.rows])
        axes.figure.colorbar(drawn, ax=axes, label=name)
    axes.set(xlabel=found.axes[0], ylabel=found.axes[1])
    return axes


def activity(model: Any, X: ArrayLike, *, ax: "Axes | None" = None) -> "Axes":
    """Draw the spread of each unit over the rows, the dead and the saturated ones marked.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    """
    check_extra()
    used = units.activity(look(model, X))
    axes = axes_of(ax, 8.0, 3.5)
    colours = np.full(used.n_units, MODEL, dtype=object)
    colours[used.stuck] = "#d1641f"
    axes.bar(np.arange(used.n_units), used.spread, color=colours)
    n_dead, n_stuck, n_alike = len(used.dead), len(used.stuck), len(used.pairs)
    axes.set(
        xlabel="unit",
        ylabel="standard deviation",
        title=f"{n_dead} dead, {n_stuck} saturated, {n_alike} pairs that say the same",
    )
    return axes
