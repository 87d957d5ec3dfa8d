"""Rows as a model rebuilds them, and which features it explains."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isthmus.evaluation import examples
from isthmus.evaluation.subject import Subject, look
from isthmus.plots.canvas import (
    MODEL,
    MOST_NAMES,
    OTHER,
    Shape,
    axes_of,
    check_extra,
    draw_tiles,
    name_features,
    text,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def reconstructions(
    model: Any,
    X: ArrayLike,
    *,
    target: ArrayLike | None = None,
    sample_shape: Shape = None,
    n_each: int = 3,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw the rows that are rebuilt best, usually and worst, above each other.

    Of pictures a line each: what is seen where it is noisy, the true one, the rebuilt one and
    their difference. Other rows are drawn as curves over their features, the true ones grey.

    Parameters
    ----------
    model : estimator
        Fitted, one that rebuilds rows.
    X, target, sample_shape
        As `isthmus.report` takes them.
    n_each : int
        Rows of each kind, at the most.
    ax : matplotlib axes, optional
        Where to draw; by default on new ones.

    Raises
    ------
    ParameterError
        If the model does not rebuild rows.
    MissingDependencyError
        If matplotlib is not installed.
    """
    check_extra()
    subject = look(model, X, target=target, sample_shape=sample_shape)
    each = examples.examples(subject, n_each)
    chosen = np.concatenate(each)
    axes = axes_of(ax, 1.3 * len(chosen) if subject.pictures else 8.0, 5.5)
    if subject.pictures:
        _draw_pictures(axes, subject, chosen)
    else:
        kinds = np.repeat(["best", "usual", "worst"], [len(rows) for rows in each])
        _draw_curves(axes, subject, chosen, kinds)
        name_features(axes, model)
    axes.set_title("rebuilt best, usually and worst")
    return axes


def _draw_pictures(axes: "Axes", subject: Subject, chosen: NDArray[np.intp]) -> None:
    kinds = {"true": subject.clean, "rebuilt": subject.rebuilt}
    if subject.noisy:
        kinds = {"noisy": subject.seen, **kinds}
    low, high = subject.bounds
    middle = (low + high) / 2  # where there is no difference
    kinds["difference"] = middle + (subject.rebuilt - subject.clean) / 2
    lines = [[subject.laid_out(rows[i]) for i in chosen] for rows in kinds.values()]
    draw_tiles(axes, lines, (low, high))
    height = subject.shape[0] + 1
    axes.set_yticks([height * (i + 0.5) for i in range(len(kinds))], list(kinds))


def _draw_curves(
    axes: "Axes", subject: Subject, chosen: NDArray[np.intp], kinds: NDArray[np.str_]
) -> None:
    """Draw rows over each other, each moved down by its place."""
    offset, scale = subject.scaling.offset.numpy(), subject.scaling.scale.numpy()
    both = (subject.clean[chosen], subject.rebuilt[chosen])
    true, rebuilt = ((rows - offset) / scale for rows in both)
    step = max(float(np.ptp(row)) for row in true) or 1.0
    for i, (a, b) in enumerate(zip(true, rebuilt, strict=True)):
        axes.plot(a - i * step, color=OTHER, lw=1)
        axes.plot(b - i * step, color=MODEL, lw=1)
    axes.set_yticks([-i * step + float(true[i].mean()) for i in range(len(true))])
    rows = zip(kinds, subject.judged[chosen], strict=True)
    axes.set_yticklabels([f"{kind}: row {row}" for kind, row in rows])
    names, above = ["true", "rebuilt"], (1, 1)
    axes.legend(
        axes.lines[:2], names, loc="lower right", bbox_to_anchor=above, ncols=2, frameon=False
    )
    axes.set(xlabel="feature")


def feature_errors(
    model: Any,
    X: ArrayLike,
    *,
    target: ArrayLike | None = None,
    sample_shape: Shape = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw which share of each feature's variance is rebuilt, the least first; a picture's as one.

    Raises
    ------
    ParameterError
        If the model does not rebuild rows.
    MissingDependencyError
        If matplotlib is not installed.
    """
    check_extra()
    subject = look(model, X, target=target, sample_shape=sample_shape)
    explained = examples.feature_errors(subject).explained
    if subject.pictures:
        axes = axes_of(ax, 5.0, 4.0)
        drawn = axes.imshow(subject.laid_out(explained).mean(axis=2), vmin=0, vmax=1)
        axes.figure.colorbar(drawn, ax=axes, label="share of the variance explained")
        axes.set(xticks=[], yticks=[])
        return axes
    varying = np.flatnonzero(np.isfinite(explained))
    shown = varying[np.argsort(explained[varying], kind="stable")][:MOST_NAMES]
    axes = axes_of(ax, 6.0, 1.0 + 0.25 * len(shown))
    axes.barh([text(subject.name_of(int(i))) for i in shown], explained[shown], color=MODEL)
    axes.invert_yaxis()
    axes.set(xlabel="share of the variance explained")
    return axes
