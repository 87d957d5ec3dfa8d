"""Drawings of a fit: what it made of pictures, and how its loss went.

Drawn on a canvas of their own: neither pyplot's global figures nor a display are touched.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from isthmus.data.replacing import replacing
from isthmus.errors import DataError, missing
from isthmus.fitting.curves import Point, Window, best_of, lines, window

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 200
CELL, GAP, HEAD = 1.25, 0.12, 0.18  # inches: a picture and its gap, the gap, a heading's line
INK, PALE, LINE = "#1a1a1a", "#6b6b6b", "#d4d4d4"  # headings, notes, frames
TRAINING, HELD_OUT = "#8a8f98", "#0b6e99"


def side_by_side(columns: Mapping[str, npt.ArrayLike], path: str | os.PathLike[str]) -> None:
    """Draw pictures in columns under their headings, one example a row, and write a PNG file.

    Parameters
    ----------
    columns : mapping of str to array-like of shape (n, h, w)
        Light from 0 (drawn white, as ink on paper) to 1, clipped to that. Each key is a heading:
        its first line is a name, drawn bold, and the others a note, such as "18.9 dB".
    path : str or path-like
        The file to write or to replace.

    Raises
    ------
    DataError
        If there are no columns, or they are not all of the same shape (n, h, w).
    FileError
        If the file cannot be written.
    MissingDependencyError
        If matplotlib is not installed.
    """
    pictures = {heading: np.asarray(column) for heading, column in columns.items()}
    shapes = {column.shape for column in pictures.values()}
    shape = next(iter(shapes), ())
    if len(shapes) != 1 or len(shape) != 3 or not all(shape):
        raise DataError(
            f"columns have the shapes {sorted(shapes)}: give at least one, all of the same shape "
            f"(n, h, w)."
        )
    most_notes = max(heading.count("\n") for heading in pictures)
    figure, grid = _grid(shape, len(pictures), HEAD * (1 + most_notes))
    for column, (heading, examples) in zip(grid.T, pictures.items(), strict=True):
        for axes, picture in zip(column, examples, strict=True):
            _draw(axes, picture)
        _head(column[0], heading, most_notes)
    _save(figure, path)


def _grid(shape: tuple[int, ...], n_columns: int, head: float) -> tuple["Figure", npt.NDArray[Any]]:
    """Return a figure and its axes, which have the shape (n, h, w) of each column."""
    wide = CELL - GAP
    tall = wide * shape[1] / shape[2]
    width, height = (wide + GAP) * n_columns, (tall + GAP) * shape[0]
    figure = _figure(width + GAP, height + GAP + head)
    place = {
        "left": GAP / (width + GAP),
        "right": width / (width + GAP),
        "bottom": GAP / (height + GAP + head),
        "top": height / (height + GAP + head),
        "wspace": GAP / wide,
        "hspace": GAP / tall,
    }
    grid: npt.NDArray[Any] = figure.subplots(shape[0], n_columns, squeeze=False, gridspec_kw=place)
    return figure, grid


def _draw(axes: "Axes", picture: npt.NDArray[Any]) -> None:
    axes.imshow(picture, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=LINE, linewidth=0.6)


def _head(axes: "Axes", heading: str, most_notes: int) -> None:
    """Write name and notes above a column; all names stand at one height."""
    name, _, notes = heading.partition("\n")
    lines = ((name, 4 + 11 * most_notes, INK, "bold"), (notes, 4, PALE, "normal"))
    for text, points, colour, weight in lines:
        axes.annotate(
            text,
            (0.5, 1),
            (0, points),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="center",
            va="bottom",
            color=colour,
            fontsize=8,
            fontweight=weight,
        )


def curve(history: Sequence[Mapping[str, Any]], path: str | os.PathLike[str]) -> None:
    """Draw the training and the held-out loss by epoch, mark the best, and write a PNG file.

    Parameters
    ----------
    history : sequence of dict
        What a fit left in `history_`. Where it went in folds, each has a line, and the best epoch
        is that of their mean, as it was for the fit.
    path : str or path-like
        The file to write or to replace.

    Raises
    ------
    DataError
        If there is no loss in the history.
    FileError
        If the file cannot be written.
    MissingDependencyError
        If matplotlib is not installed.
    """
    training, held_out = lines(history, "loss"), lines(history, "held_out_loss")
    if not training and not held_out:
        raise DataError(f"history has {len(history)} records and no loss: give a fit's history_.")
    figure = _figure(6.4, 3.6)
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    for drawn, colour, label in (
        (training, TRAINING, "training"),
        (held_out, HELD_OUT, "held out"),
    ):
        for i, line in enumerate(drawn):
            axes.plot(*zip(*line, strict=True), color=colour, lw=1.6, label=None if i else label)
    if held_out:
        _mark(axes, best_of(held_out))
    _dress(axes, [point.loss for line in (*training, *held_out) for point in line])
    _save(figure, path)


def _mark(axes: "Axes", best: Point) -> None:
    axes.axvline(best.epoch, color=LINE, lw=1, zorder=0)
    axes.plot(
        *best, "o", ms=7, mfc="white", mec=HELD_OUT, mew=1.8, label=f"best: epoch {best.epoch}"
    )


def draw_window(axes: "Axes", shown: Window) -> None:
    """Let axes show a range of losses."""
    axes.set_yscale("log" if shown.log else "linear")
    axes.set_ylim(shown.low, shown.high)


def _dress(axes: "Axes", losses: Iterable[float]) -> None:
    """Label the axes."""
    draw_window(axes, window(losses))
    axes.set_xlabel("epoch", color=INK, fontsize=10)
    axes.set_ylabel("loss (nats per sample)", color=INK, fontsize=10)
    axes.tick_params(colors=PALE, labelsize=9, length=3)
    for name, spine in axes.spines.items():
        spine.set(visible=name in ("left", "bottom"), color=LINE)
    axes.legend(frameon=False, fontsize=9, labelcolor=INK)


def _figure(width: float, height: float) -> "Figure":
    """Return an empty white figure of these inches."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise missing("matplotlib", "Drawing pictures", "pictures") from None
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: "Figure", path: str | os.PathLike[str]) -> None:
    with replacing(Path(path)) as beside:
        figure.savefig(beside, format="png")
