"""Charts for the page: where lines, ticks and marks stand, in percent of the plot.

Percentages, since a chart then fits every width of screen without a script, and its text keeps
its size. Vertical ones count from the top, as SVG does.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isthmus.evaluation.against_pca import AgainstPCA
from isthmus.evaluation.words import count, figure, percent, power
from isthmus.fitting.curves import Curve, Point, Training, window

SMALL = 0.02  # of the widest error: smaller ones are drawn logarithmically
TINY = 1e-6  # and still smaller ones as nothing
NEAR = 25.0  # percent of the width, within which two marks would be written over each other
LONG = 1e5  # from which the ticks of a logarithmic axis are powers of ten
MOST_POINTS = 400  # of a line; more cannot be told apart


class Tick(NamedTuple):
    """A value on an axis."""

    at: float  # percent
    text: str


class Line(NamedTuple):
    """A line that is drawn."""

    name: str
    look: str  # a class of the style sheet
    points: str  # "x,y x,y", percent


class Mark(NamedTuple):
    """A point that is pointed out."""

    x: float
    y: float
    text: str
    look: str
    side: str  # of the point on which the text stands: "left" or "right", and "below" or above


class Chart(NamedTuple):
    """A drawing of lines."""

    title: str
    words: str  # what it shows, for who cannot see it
    lines: list[Line]
    marks: list[Mark]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    x_name: str
    y_name: str


class Axis(NamedTuple):
    """A range of values on a plot's side, on a logarithmic one both above zero."""

    low: float
    high: float
    log: bool = False

    def at(self, value: float) -> float:
        """Return where a value stands, percent from the low end, kept within reach."""
        low, value, high = (self._scaled(each) for each in (self.low, value, self.high))
        share = (value - low) / ((high - low) or 1.0)
        return round(float(np.clip(100 * share, -20, 120)), 2)

    def ticks(self, most: int = 5, *, whole: bool = False) -> list[Tick]:
        """Return round values."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        step = round_step((high - low) / most)
        step = max(step, 1.0) if whole or self.log else step
        step = math.ceil(step) if self.log else step
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        values = [i * step for i in range(first, last + 1)]
        shown = [10.0**value for value in values] if self.log else values
        if self.log and self.high >= LONG:
            return [Tick(self.at(value), power(value)) for value in shown]
        return [Tick(self.at(value), figure(value, 6)) for value in shown]

    def _scaled(self, value: float) -> float:
        return math.log10(max(value, np.finfo(float).tiny)) if self.log else value


def round_step(step: float) -> float:
    """Return 1, 2 or 5 times a power of ten, at least `step`."""
    if not 0 < step < math.inf:
        return 1.0
    power = 10.0 ** math.floor(math.log10(step))
    return next(times * power for times in (1, 2, 5, 10) if times * power >= step * (1 - 1e-9))


def line(name: str, look: str, x: ArrayLike, y: ArrayLike, across: Axis, up: Axis) -> Line:
    """Return a line through points; of very many, evenly spread ones."""
    xs, ys = np.asarray(x, np.float64), np.asarray(y, np.float64)
    keep = np.unique(np.linspace(0, len(xs) - 1, min(len(xs), MOST_POINTS)).round().astype(int))
    pairs = (f"{across.at(xs[i])},{100 - up.at(ys[i]):.2f}" for i in keep if np.isfinite(ys[i]))
    return Line(name, look, " ".join(pairs))


def pca_chart(versus: AgainstPCA) -> Chart:
    """Draw the error of PCA by width, and where the model stands."""
    curve, k, error = versus.curve, versus.width, versus.error.value
    reach = max(k, int(versus.ties.value) if versus.ties else k)
    last = min(len(curve) - 1, max(3, math.ceil(1.6 * reach)))
    widths = np.arange(last + 1)
    across = Axis(0, max(last, k))
    up = _errors_axis(curve[: last + 1], error)
    lines = [
        line("PCA", "pca", widths, curve[: last + 1], across, up),
        line("level", "level", [k, reach], [error, error], across, up),
    ]
    marks = _beside_the_curve(versus, across, up)
    return Chart(
        title="Error by width",
        words=(
            f"The squared error of PCA falls from {figure(curve[0])} without any numbers to "
            f"{figure(versus.pca_error.value)} with {count(k, 'number')}; this model's is "
            f"{figure(error)}."
        ),
        lines=lines,
        marks=marks,
        x_ticks=across.ticks(whole=True),
        y_ticks=up.ticks(4),
        x_name="numbers in the code",
        y_name=f"squared error a row, {versus.unit_name} squared{', logarithmic' * up.log}",
    )


def _errors_axis(curve: NDArray[np.float64], error: float) -> Axis:
    """Return an axis that shows the model's error too, where it is a small part of the first."""
    highest = max(float(curve.max()), error)
    if TINY * highest < error < SMALL * highest:
        above = curve[curve > 0]
        return Axis(max(float(above.min()), error / 100) / 2, 2 * highest, log=True)
    return Axis(0, 1.05 * highest or 1.0)


def _beside_the_curve(versus: AgainstPCA, across: Axis, up: Axis) -> list[Mark]:
    """Mark the model and the PCA that ties with it; both texts stand off the curve."""
    x, y = across.at(versus.width), min(100 - up.at(versus.error.value), 100.0)
    below = versus.ties is None or versus.ties.value >= versus.width
    left = x > 70 or (below and x > 25)
    low = y > 85  # where the axis would be written over
    side = "left" if left and (low or not below) else "left below" if left else "right"
    marks = [Mark(x, y, "this model", "model", side)]
    at = x if versus.ties is None else across.at(versus.ties.value)
    if versus.ties is not None and abs(at - x) > NEAR:
        side = "right" if at < 75 else "left"
        marks.append(Mark(at, y, f"PCA ties at {figure(versus.ties.value)}", "tie", side))
    return marks


def training_charts(training: Training) -> list[Chart]:
    """Draw each group of stages, and each term where the loss has several."""
    charts = []
    for name, group in training.groups.items():
        terms = list(dict.fromkeys(curve.name for curve in group))
        # Of a loss with one term, the term is the loss.
        shown = terms if len(terms) > 2 else terms[:1]
        for term in shown:
            curves = [curve for curve in group if curve.name == term]
            if any(math.isfinite(point.loss) for curve in curves for point in curve.points):
                charts.append(_training_chart(name, term, curves, training))
    return charts


def _training_chart(name: str, term: str, curves: list[Curve], training: Training) -> Chart:
    points = [point for curve in curves for point in curve.points if math.isfinite(point.loss)]
    epochs = Axis(min(p.epoch for p in points), max(1, max(p.epoch for p in points)))
    up = Axis(*window([point.loss for point in points]))
    lines = [
        line(
            "held out" if curve.held_out else "training",
            "held-out" if curve.held_out else "training",
            [p.epoch for p in curve.points],
            [p.loss for p in curve.points],
            epochs,
            up,
        )
        for curve in curves
    ]
    chosen = name == training.main
    unit = "squared error a row" if term == "reconstruction_error" else "nats a row"
    spoken = term.replace("_", " ")
    return Chart(
        title=f"{name[:1].upper()}{name[1:]}: {spoken}",
        words=_spoken(spoken, curves),
        lines=lines,
        marks=_kept(curves, training, epochs, up) if chosen else [],
        x_ticks=epochs.ticks(whole=True),
        y_ticks=up.ticks(4),
        x_name="epoch",
        y_name=f"{spoken}, {unit}{', logarithmic' * up.log}",
    )


def _spoken(term: str, curves: Sequence[Curve]) -> str:
    """Say where the lines begin and end."""
    said = []
    for held_out, which in ((False, "training"), (True, "held-out")):
        ends = [curve.points for curve in curves if curve.held_out == held_out]
        if ends:
            first = float(np.mean([points[0].loss for points in ends]))
            last = float(np.mean([points[-1].loss for points in ends]))
            said.append(f"The {which} {term} goes from {figure(first, 4)} to {figure(last, 4)}.")
    return " ".join(said)


def _kept(curves: Sequence[Curve], training: Training, epochs: Axis, up: Axis) -> list[Mark]:
    """Mark the epoch that made the model."""
    judged = [curve for curve in curves if curve.held_out] or list(curves)
    values = [_at(curve.points, training.kept) for curve in judged]
    at = 100 - up.at(float(np.mean(values)))
    text = f"kept: epoch {training.kept}"
    x = epochs.at(training.kept)
    return [Mark(x, min(max(at, 0.0), 100.0), text, "model", "left" if x > 60 else "right")]


def _at(points: Sequence[Point], epoch: int) -> float:
    """Return the loss at an epoch, or at the nearest before it, or the first."""
    before = [point.loss for point in points if point.epoch <= epoch]
    return before[-1] if before else points[0].loss


def explained_chart(explained: NDArray[np.float64]) -> Chart:
    """Draw how far a series (steps, channels) is explained, step by step."""
    low = min(0.0, float(np.nanmin(explained, initial=0.0)))
    across, up = Axis(0, max(1, len(explained) - 1)), Axis(100 * low, 100)
    steps = np.arange(len(explained))
    return Chart(
        title="Share explained",
        words=f"On average {percent(float(np.nanmean(explained)))} of each step is explained.",
        lines=[
            line(f"channel {i}", f"step-{min(2 * i, 6)}", steps, 100 * channel, across, up)
            for i, channel in enumerate(explained.T)
        ],
        marks=[],
        x_ticks=across.ticks(whole=True),
        y_ticks=up.ticks(4),
        x_name="step",
        y_name="percent of the variance",
    )


def bars(counts: NDArray[np.integer]) -> str:
    """Return a histogram as the path of an SVG of as many units as bins, and 10 high."""
    top = max(int(counts.max()), 1)
    return "".join(f"M{i},10v{-10 * n / top:.2f}h1V10z" for i, n in enumerate(counts.tolist()) if n)
