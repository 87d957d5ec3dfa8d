"""How a fit went, and where it stands beside PCA."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from isthmus.evaluation import against_pca as pca
from isthmus.evaluation.pictures import draw_window
from isthmus.evaluation.subject import look
from isthmus.evaluation.words import figure
from isthmus.fitting import curves
from isthmus.plots.canvas import MODEL, OTHER, axes_of, check_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def training_curve(model: Any, *, ax: "Axes | None" = None) -> "Axes":
    """Draw the loss of the stage that chose the epoch, and mark that epoch.

    Raises
    ------
    DataError
        If the model's history has no record.
    MissingDependencyError
        If matplotlib is not installed.
    """
    check_extra()
    check_is_fitted(model)
    training = curves.training(model)
    group = training.groups[training.main]
    lines = [curve for curve in group if curve.name == group[0].name]
    axes = axes_of(ax, 7.0, 4.0)
    for curve in lines:
        name, colour = ("held out", MODEL) if curve.held_out else ("training", OTHER)
        known = name in axes.get_legend_handles_labels()[1]
        axes.plot(*zip(*curve.points, strict=True), color=colour, label=None if known else name)
    axes.axvline(training.kept, color=MODEL, lw=1, ls=":", label=f"kept: epoch {training.kept}")
    losses = (point.loss for curve in lines for point in curve.points)
    draw_window(axes, curves.window(losses))
    axes.set(xlabel="epoch", ylabel=group[0].name.replace("_", " "), title=training.main)
    axes.legend(frameon=False)
    return axes


def against_pca(
    model: Any, X: ArrayLike, *, target: ArrayLike | None = None, ax: "Axes | None" = None
) -> "Axes":
    """Draw the error of PCA by width, and where the model stands.

    Raises
    ------
    ParameterError
        If the model does not rebuild rows.
    MissingDependencyError
        If matplotlib is not installed.
    """
    check_extra()
    versus = pca.against_pca(look(model, X, target=target))
    last = min(len(versus.curve), 1 + max(4, round(1.6 * _reach(versus))))
    axes = axes_of(ax, 7.0, 4.0)
    axes.plot(np.arange(last), versus.curve[:last], color=OTHER, label="PCA")
    axes.plot(versus.width, versus.error.value, "o", color=MODEL, label="this model")
    if versus.ties is not None:
        tie = f"PCA ties at {figure(versus.ties.value)}"
        axes.plot(versus.ties.value, versus.error.value, "o", mfc="none", color=OTHER, label=tie)
    axes.set(
        xlabel="numbers in the code", ylabel=f"squared error a row, {versus.unit_name} squared"
    )
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    return axes


def _reach(versus: pca.AgainstPCA) -> float:
    return max(versus.width, versus.ties.value if versus.ties is not None else 0)
