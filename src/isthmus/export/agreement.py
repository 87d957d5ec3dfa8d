"""Whether an exported file answers as the model does: on drawn rows, and on the user's own.

Shapes: N rows, D features, K code units.
"""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isthmus.data.scaling import Scaling
from isthmus.estimators import inputs
from isthmus.estimators.boltzmann import BaseRBM
from isthmus.export.signatures import PARTS

TOLERANCE = 1e-4
N_DRAWN, N_GIVEN = 64, 1000  # rows that are compared
MAY_SWITCH = 0.05  # share of the rows in which a unit may stand on the edge of being switched

Rows = NDArray[np.float32]
Answers = NDArray[np.floating[Any]]


class Agreement(NamedTuple):
    """How far the answers of a file are from those of the model."""

    difference: float  # the largest, relative
    n_rows: int  # that were compared
    n_switched: int  # of them left out, since float32 switched a unit on or off

    @property
    def holds(self) -> bool:
        """Whether the file is as good as the model."""
        return self.difference <= TOLERANCE and self.n_switched <= MAY_SWITCH * self.n_rows


class Examples(NamedTuple):
    """What a model is asked, and what it answers."""

    given: Rows  # (N, D) or (N, K)
    expected: Answers  # (N, A)
    size: Answers  # (N, A) by which differences are divided
    switches: bool  # whether the code sets units to zero, at an edge


def examples(model: Any, part: str, X: ArrayLike | None) -> Examples:
    """Ask a fitted estimator about drawn rows, and about up to 1,000 of the user's.

    Raises
    ------
    DataError, ParameterError
        If its own method refuses the rows, or it has no such answer.
    """
    rows = _drawn(model)
    if X is not None:
        own = inputs.check_rows(model, X, reset=False)
        own = own[:: -(-len(own) // N_GIVEN)].astype(np.float32)
        rows = np.concatenate([rows, own])
    asked = copy.copy(model)  # about arrays, and to answer arrays
    for name in ("feature_names_in_", "_sklearn_output_config"):
        vars(asked).pop(name, None)
    signature = PARTS[part]
    given = np.asarray(asked.transform(rows)) if signature.given == "codes" else rows
    expected = np.asarray(getattr(asked, signature.method)(given)).reshape(len(given), -1)
    slots = getattr(model.model_, "parts", model.model_)
    switches = getattr(getattr(slots, "code", None), "switches", False)
    return Examples(given, expected, _size(expected, part, _scaling(model)), switches)


def _scaling(model: Any) -> Scaling:
    scaling: Scaling = model._scaling if isinstance(model, BaseRBM) else model.model_.scaling
    return scaling


def _drawn(model: Any) -> Rows:
    """Draw rows about the mean of the training, in the domain of the model; some sequences end."""
    generator, net, scaling = np.random.default_rng(0), model.model_, _scaling(model)
    offset, scale = (each.cpu().numpy() for each in (scaling.offset, scaling.scale))
    scaled = generator.normal(size=(N_DRAWN, len(offset)))
    if isinstance(model, BaseRBM) and net.visible.binary:
        scaled = generator.uniform(size=scaled.shape)
    rows = (offset + scale * scaled).astype(np.float32)
    if hasattr(net, "parts"):
        rows = rows.clip(net.parts.likelihood.low, net.parts.likelihood.high)
    if getattr(net, "padded", False) and len(model.sample_shape_) == 2:
        n_steps, n_features = model.sample_shape_
        lengths = generator.integers(1, n_steps + 1, size=(N_DRAWN, 1))
        rows[np.repeat(np.arange(n_steps) >= lengths, n_features, axis=1)] = np.nan
    return rows


def _size(expected: Answers, part: str, scaling: Scaling) -> Answers:
    """Return what differences are divided by, (N, A).

    Nats by their amount, or 1; chances by 1; codes by their root mean square; rows by that of
    their scaled values in units of the scaling, of which one is the spread of the training rows.
    """
    if part == "score":
        return np.maximum(np.abs(expected), 1)
    if part == "classify":
        return np.ones_like(expected)
    if part == "encode":
        return np.full_like(expected, _root_mean_square(expected) or 1)
    offset, unit = (each.cpu().numpy() for each in (scaling.offset, scaling.scale))
    size = _root_mean_square((expected - offset) / unit) or 1
    return np.broadcast_to(unit * (max(size, 1) if scaling.changes else size), expected.shape)


def _root_mean_square(values: Answers) -> float:
    return float(np.sqrt(np.nanmean(np.square(values, dtype=np.float64))))


def agreement(examples: Examples, answers: Callable[[Rows], Answers]) -> Agreement:
    """Compare what is answered with what is expected, all rows at once and the first alone."""
    given, expected, size, switches = examples
    found = np.concatenate([answers(given), answers(given[:1])]).reshape(len(given) + 1, -1)
    expected, size = (
        np.concatenate([each, each[:1]]).astype(np.float64) for each in (expected, size)
    )
    # A last place of float32 can be a large share of the spread about a large mean.
    place = np.spacing(np.abs(expected).astype(np.float32)).astype(np.float64)
    gaps = (np.abs(found - expected) - 2 * place).clip(0) / size
    gaps[np.isnan(found) & np.isnan(expected)] = 0
    worst = np.where(np.isnan(gaps), np.inf, gaps).max(1)
    off = (worst > TOLERANCE) & switches
    return Agreement(float(worst[~off].max(initial=0)), len(given), int(off.sum()))
