"""How a training went: its stages, the terms of its loss, and the epoch that was kept."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from isthmus.errors import DataError

HELD_OUT = "held_out_"
LEAPT = 100.0  # times the start, from which losses do not share a scale with it
# Of a record, what is no term of the loss.
FACTS = ("stage", "epoch", "learning_rate", "seconds")


class Point(NamedTuple):
    """A term by epoch."""

    epoch: int
    loss: float  # nats per sample; of a Boltzmann machine, squared error


class Curve(NamedTuple):
    """One term over the epochs of one stage."""

    stage: str
    name: str  # "loss", "nll", ...
    held_out: bool
    points: tuple[Point, ...]


class Training(NamedTuple):
    """The history of a fit."""

    groups: dict[str, tuple[Curve, ...]]  # by what is drawn together; the folds are
    main: str  # the group that chose the epoch
    kept: int  # epochs that made the model
    best: Point | None  # the lowest held-out loss, of the folds' mean; None where none was held out
    seconds: float  # of all stages together


def training(model: Any) -> Training:
    """Return how the fit of a model went.

    Raises
    ------
    DataError
        If its history has no loss.
    """
    history, groups = model.history_, dict[str, list[Curve]]()
    drawn = curves(history)
    if not drawn:
        raise DataError("The model's history_ has no loss: fit it for at least one epoch.")
    for curve in drawn:
        groups.setdefault(_group(curve.stage), []).append(curve)
    judged = [name for name, group in groups.items() if _held_out_losses(group)]
    main = (judged or list(groups))[-1]
    losses = _held_out_losses(groups[main])
    seconds = {record["stage"]: record["seconds"] for record in history}
    return Training(
        groups={name: tuple(group) for name, group in groups.items()},
        main=main,
        kept=model.n_iter_,
        best=best_of(losses) if losses else None,
        seconds=sum(seconds.values()),
    )


def _held_out_losses(group: Iterable[Curve]) -> list[Sequence[Point]]:
    return [curve.points for curve in group if curve.held_out and curve.name == "loss"]


def curves(history: Iterable[Mapping[str, Any]]) -> list[Curve]:
    """Return every term of every stage, in the order in which they were recorded."""
    found: dict[tuple[str, str], list[Point]] = {}
    for record in history:
        for name, value in record.items():
            if name not in FACTS:
                point = Point(record["epoch"], value)
                found.setdefault((record["stage"], name), []).append(point)
    return [
        Curve(stage, name.removeprefix(HELD_OUT), name.startswith(HELD_OUT), tuple(points))
        for (stage, name), points in found.items()
    ]


def lines(history: Iterable[Mapping[str, Any]], name: str) -> list[list[Point]]:
    """Return a line for each stage of the fit that recorded this term."""
    stages: dict[str, list[Point]] = {}
    for record in history:
        if name in record:
            stages.setdefault(record["stage"], []).append(Point(record["epoch"], record[name]))
    return list(stages.values())


def best_of(lines: Sequence[Sequence[Point]]) -> Point:
    """Return the lowest point of the mean of the lines; one that ended early stays at its end."""
    longest = max(lines, key=len)
    losses = [
        [*(p.loss for p in line), *[line[-1].loss] * (len(longest) - len(line))] for line in lines
    ]
    mean = np.mean(losses, axis=0)
    return Point(longest[int(mean.argmin())].epoch, float(mean.min()))


def _group(stage: str) -> str:
    """Return what a stage is drawn with: the folds together, all else by itself."""
    return "folds" if "fold " in stage else stage


class Window(NamedTuple):
    """A range to draw losses in."""

    low: float
    high: float
    log: bool = False  # whether equal ratios are drawn equally far apart

    def share(self, loss: float) -> float:
        """Return where a loss stands: 0 at the low end, 1 at the high one."""
        low, loss, high = (
            np.log([self.low, max(loss, self.low), self.high])
            if self.log
            else (self.low, loss, self.high)
        )
        return float((loss - low) / (high - low))


def window(values: Iterable[float]) -> Window:
    """Return the range to draw losses in, the first of which is the start.

    One that leapt far above its start is drawn logarithmically, or, where a loss is not positive,
    cut off there. A few others that are much higher than the rest are cut off: they would hide it.
    """
    known = np.asarray(list(values), np.float64)
    known = known[np.isfinite(known)]
    ordered, reach = np.sort(known), LEAPT * max(abs(float(known[0])), 1.0)
    if ordered[0] > 0 and ordered[-1] > reach:
        return Window(float(ordered[0]) / 2, 2 * float(ordered[-1]), log=True)
    ordered = np.minimum(ordered, reach)
    low, usual, top = ordered[0], ordered[int(0.95 * (len(ordered) - 1))], ordered[-1]
    if top - low > 2 * (usual - low) > 0:
        top = usual
    margin = 0.06 * (top - low) or 1.0
    return Window(float(low - margin), float(top + margin))
