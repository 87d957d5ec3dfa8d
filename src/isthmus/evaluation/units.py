"""What each unit of a code does: how it moves a row, how it is used, and what it repeats.

Shapes: N rows, D features, K code units, U units that are looked at, S steps.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.estimators.diagnosis.units import dead_units, stuck_units
from isthmus.evaluation.subject import MOST_VALUES, Subject

FEWEST = 64  # units that are looked at, however many features there are
N_BINS = 24
MOSTLY_ZERO = 0.5  # share of the rows that are not, below which a unit is mostly zero
ALIKE = 0.95  # correlation from which two units say the same
ENDS = (2.5, 97.5)  # percent of the rows between which a unit is moved

Floats = NDArray[np.float64]
Places = NDArray[np.intp]


class Units(NamedTuple):
    """The units that move rows most, the strongest first."""

    chosen: Places  # (U,) their numbers
    directions: Floats  # (U, D) what half a spread up adds to a row and half one down takes, scaled
    strength: Floats  # (U,) share of what all of these units move


class Activity(NamedTuple):
    """How the units are used by the rows."""

    n_units: int  # K
    dead: Places
    stuck: Places  # that stand at an end of their range for nearly all rows
    silent: Floats  # (K,) share of the rows for which a unit is exactly zero
    spread: Floats  # (K,) standard deviations
    pairs: list["Pair"]  # that say the same, the most alike first


class Pair(NamedTuple):
    """Two units that say the same."""

    first: int
    second: int
    correlation: float


class Histogram(NamedTuple):
    """How often a unit takes which values; of one that is mostly zero, which others."""

    unit: int
    active: float  # share of the rows that are counted
    counts: NDArray[np.int64]  # (24,)
    low: float
    high: float


class Traversal(NamedTuple):
    """Rows on the way along one unit, the others at their means."""

    unit: int
    values: Floats  # (S,) of the unit
    rows: Floats  # (S, D) user's units


def units(subject: Subject) -> Units:
    """Find how each unit moves a row about the mean code, by one standard deviation.

    ``direction_k = (decode(mean + std_k e_k / 2) - decode(mean - std_k e_k / 2)) / scale``; of a
    linear decoder that is its column times the unit's spread. Of very many units, those that vary
    most.
    """
    codes, n_features = subject.codes, subject.clean.shape[1]
    spread, mean = codes.std(axis=0), codes.mean(axis=0)
    most = max(FEWEST, MOST_VALUES // n_features)
    places = np.sort(np.argsort(-spread, kind="stable")[:most])
    steps = np.zeros((len(places), codes.shape[1]))
    steps[np.arange(len(places)), places] = spread[places] / 2
    moved = subject.decode(mean + steps) - subject.decode(mean - steps)
    directions = moved / subject.scaling.scale.numpy()
    strength = np.square(directions).sum(axis=1)
    order = np.argsort(-strength, kind="stable")
    total = strength.sum() or 1.0
    return Units(places[order], directions[order], strength[order] / total)


def activity(subject: Subject) -> Activity:
    """Find how the rows use the units."""
    codes = subject.codes
    dead = dead_units(codes)
    return Activity(
        n_units=codes.shape[1],
        dead=dead,
        stuck=stuck_units(subject.model, codes),
        silent=(codes == 0).mean(axis=0),
        spread=codes.std(axis=0),
        pairs=pairs(codes, dead),
    )


def pairs(codes: Floats, dead: Places) -> list[Pair]:
    """Return the pairs of units whose correlation is at least 0.95 in size."""
    rounding = 1e-12 * np.abs(codes).max(axis=0)
    alive = np.setdiff1d(np.flatnonzero(codes.std(axis=0) > rounding), dead)
    if len(alive) < 2:
        return []
    correlation = np.triu(np.corrcoef(codes[:, alive].T), k=1)
    found = [
        Pair(int(alive[i]), int(alive[j]), float(correlation[i, j]))
        for i, j in np.argwhere(np.abs(correlation) >= ALIKE)
    ]
    return sorted(found, key=lambda pair: -abs(pair.correlation))


def histogram(subject: Subject, unit: int) -> Histogram:
    """Count how often a unit takes which values, zero apart where it is mostly that."""
    values = subject.codes[:, unit]
    active = values[values != 0] if 0 < (values != 0).mean() < MOSTLY_ZERO else values
    counts, edges = np.histogram(active, N_BINS)
    return Histogram(unit, len(active) / len(values), counts, float(edges[0]), float(edges[-1]))


def traversal(subject: Subject, unit: int, n_steps: int = 7) -> Traversal:
    """Move one unit over the middle 95 % of its values, or over all where these are one."""
    values = subject.codes[:, unit]
    low, high = np.percentile(values, ENDS)
    if low == high:
        low, high = values.min(), values.max()
    steps = np.linspace(low, high, n_steps)
    codes = np.repeat(subject.codes.mean(axis=0, keepdims=True), n_steps, axis=0)
    codes[:, unit] = steps
    return Traversal(unit, steps, subject.decode(codes))


def filters(model: Any) -> Floats | None:
    """Return the first weights of the encoder, (units, D) in scaled units.

    None, where it does not begin with a weight for each feature.
    """
    module = getattr(model, "model_", model)
    weight = getattr(module, "weight", None)
    if weight is None:
        matrices = (p for p in module.encoder.parameters() if p.ndim == 2)
        weight = next(matrices, None)
    if weight is None or weight.shape[1] != model.n_features_in_:
        return None
    first: Floats = weight.detach().cpu().double().numpy()
    return first
