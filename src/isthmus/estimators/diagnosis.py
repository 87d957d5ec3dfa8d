"""What is wrong with a fit, in plain words, and what to change.

Shapes: N rows, D features, K components.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_outlier_detector
from torch import Tensor

from isthmus.data.copies import find_copies
from isthmus.data.rows import chunks, moments
from isthmus.estimators.inputs import Array, Floats
from isthmus.parts.code import Plain

if TYPE_CHECKING:
    from isthmus.estimators.base import BaseAutoencoder

WORSE = 1.01  # times PCA's error
UNLIKE = 100.0  # times the median feature's variance, that one feature's may be
DEAD = 1e-6  # of the widest unit's standard deviation
NEAR_LIMIT = 0.01  # of a unit's range
MOSTLY = 0.95  # of the rows
ACTIVE = 0.01  # variance of a unit that tells something, beside a prior of 1
LOUD = 5.0  # times the widest feature's standard deviation, that the noise's may be
OUTSHINES = 0.5  # of the variance, that one row may make
FEWEST_COUNTED = 10  # rows, from which on numbers that rise evenly are no accident
REPEATED = 0.1  # of the rows
HUGE = 1e6  # from which the size of a loss is enough
LEAP = 2.0  # times the loss at the start, by which a later one exceeds it


class Finding(NamedTuple):
    """One thing that is wrong."""

    name: str
    what: str  # with the figures
    change: str  # what to do about it

    def __str__(self) -> str:
        return f"{self.what} {self.change}"


class Judged(NamedTuple):
    """The rows that a model is judged on, and what is known of them."""

    X: Array  # (N, D)
    codes: Floats  # (N, K) what the model makes of them
    mean: Floats  # (D,) of each feature
    variance: Floats  # (D,) of sequences that end early, of the steps that are there


def diagnose(model: "BaseAutoencoder", X: Array, codes: Floats) -> list[Finding]:
    """Return what is wrong, the gravest first; an empty list is good news.

    `X` (N, D) are rows and `codes` (N, K) what the model makes of them.
    """
    mean, variance = (each.numpy() for each in moments(X))
    if X.dtype.kind == "f" and np.isnan(X[:, -1]).any():
        variance = np.nanvar(X.astype(np.float64), axis=0)
    on = Judged(X, codes, mean, variance)
    return [finding for check in CHECKS for finding in check(model, on)]


def diverged(model: "BaseAutoencoder", on: Judged) -> Iterator[Finding]:
    """Whether the training broke off."""
    if model.stopped_by_ == "diverged":
        yield Finding(
            "diverged",
            f"The training diverged after epoch {model.n_iter_}.",
            "Lower learning_rate to a tenth, or scale X.",
        )


def leapt(model: "BaseAutoencoder", on: Judged) -> Iterator[Finding]:
    """Whether the loss leapt up instead of going down."""
    leap = highest_leap(model.history_)
    if leap is None or model.stopped_by_ == "diverged":
        return
    kept = " No epoch was better than the start, which is kept." if model.n_iter_ == 0 else ""
    yield Finding(
        "learning rate too high",
        f"The loss leapt from {_short(leap.start)} to {_short(leap.loss)} at epoch "
        f"{leap.epoch}.{kept}",
        _lower_rate(model),
    )


def _short(loss: float) -> str:
    """Return a loss: 12.35, and of a huge one its size alone, 5e15."""
    return (
        f"{loss:.4g}" if abs(loss) < HUGE else f"{loss:.0e}".replace("e+0", "e").replace("e+", "e")
    )


class Leap(NamedTuple):
    """A loss far above that of its stage's start, nats per sample."""

    loss: float
    start: float
    epoch: int


def highest_leap(history: Iterable[Mapping[str, Any]]) -> Leap | None:
    """Return the highest leap of the held-out loss; of the training's, where none was held out."""
    starts: dict[str, float] = {}
    leaps = []
    for record in history:
        loss = record.get("held_out_loss", record.get("loss"))
        if loss is not None:
            start = starts.setdefault(record["stage"], loss)
            if loss > start + LEAP * max(abs(start), 1.0):
                leaps.append(Leap(loss, start, record["epoch"]))
    return max(leaps, default=None)


def worse_than_pca(model: "BaseAutoencoder", on: Judged) -> Iterator[Finding]:
    """Whether PCA would have served better.

    Outliers are not found by rebuilding all rows well, and what still is the probabilistic PCA
    that it began as rebuilds a little less well by design.
    """
    versus = None if is_outlier_detector(model) else model.versus_pca_
    as_it_began = model.model_.parts.starts_as_pca and model.n_iter_ == 0
    if versus is not None and versus.ratio > WORSE and not as_it_began:
        yield Finding(
            "worse than PCA",
            f"The squared error on {versus.rows} rows is {_ratio(versus.ratio)} times that of PCA "
            f"of the same width.",
            _lower_rate(model) if unsteady(model) else _closer_to_pca(model),
        )


def _ratio(ratio: float) -> str:
    """Return a ratio, 1.25, and of a huge one its size alone."""
    return f"{ratio:.2f}" if ratio < HUGE else f"{ratio:.0e}".replace("e+", "e")


def _closer_to_pca(model: "BaseAutoencoder") -> str:
    """Say what brings the error down; a start from PCA only where the estimator allows it."""
    known = model.get_params(deep=False)
    if "code" in known:
        start = "likelihood='normal', code='plain', network='dense(linear_path=pca)'"
    elif isinstance(model.model_.parts.code, Plain):
        start = "likelihood='normal', network='dense(linear_path=pca)'"
    elif model.model_.parts.starts_as_pca:  # the probabilistic one
        return "The KL is what it pays for: lower beta, or fit an Autoencoder, which pays none."
    else:
        return (
            "Train longer (max_epochs), penalise less, or fit an Autoencoder, which starts as PCA."
        )
    return f"Train longer (max_epochs), penalise or corrupt less, or start from PCA: {start}."


def unsteady(model: Any) -> bool:
    """Whether the training diverged, or its loss leapt: the learning rate comes first then."""
    return model.stopped_by_ == "diverged" or highest_leap(model.history_) is not None


def _lower_rate(model: "BaseAutoencoder") -> str:
    rate = model.parameters_["learning_rate"]
    auto = "" if rate == "auto" else ", or leave it at 'auto'"
    return f"Lower learning_rate (now {rate}) to a tenth{auto}."


def not_scaled(model: "BaseAutoencoder", on: Judged) -> Iterator[Finding]:
    """Whether a few features drown the others."""
    if model.parameters_["scaling"] == "standard":
        return
    variance = on.variance
    varying = variance[variance > 0]
    if not len(varying) or varying.max() < UNLIKE * np.median(varying):
        return
    widest = int(variance.argmax())
    name = _name(model, widest)
    share = variance[widest] / variance.sum()
    yield Finding(
        "input not scaled",
        f"Feature {name} alone makes {share:.0%} of the variance: the model sees little else.",
        "If the features have different units, write scaling='standard'.",
    )


def loud_noise(model: "BaseAutoencoder", on: Judged) -> Iterator[Finding]:
    """Whether the noise of the training drowns the rows, as in another unit it would."""
    std = getattr(model.model_.parts.corruption, "std", 0.0)
    widest = float(on.variance.max()) ** 0.5
    if std > LOUD * widest > 0:
        yield Finding(
            "noise too strong",
            f"The noise has a standard deviation of {std:g}, and no feature one above "
            f"{widest:.3g}: little is left to see.",
            "Lower it; it is in X's units, for pictures of 0 to 1 such as 25/255.",
        )


def lone_row(model: "BaseAutoencoder", on: Judged) -> Iterator[Finding]:
    """Whether one row lies so far out that it drowns the others."""
    X, _, mean, variance = on
    if len(X) < FEWEST_COUNTED or not np.isfinite(mean).all() or not 0 < variance.sum() < np.inf:
        return
    unit = np.where(variance > 0, variance, 1) if model.parameters_["scaling"] == "standard" else 1
    squares = np.concatenate(
        [((X[part].astype(np.float64) - mean) ** 2 / unit).sum(1) for part in chunks(*X.shape)]
    )
    row = int(squares.argmax())
    share = squares[row] / squares.sum()
    if share > OUTSHINES:
        yield Finding(
            "a row far out",
            f"Row {row} alone makes {share:.0%} of the variance: the others hardly count.",
            "Drop it if it is a mistake; or write likelihood='laplace', which such rows move less.",
        )


def row_numbers(model: "BaseAutoencoder", on: Judged) -> Iterator[Finding]:
    """Whether a feature does nothing but count the rows, as a table's index does."""
    X = on.X
    if len(X) < FEWEST_COUNTED or X.dtype.kind == "b":
        return
    steps = X[1] - X[0]
    for feature in np.flatnonzero((steps != 0) & (X[2] - X[1] == steps)):
        column = X[:, feature]
        if (np.diff(column) == steps[feature]).all():
            name = _name(model, int(feature))
            yield Finding(
                "row numbers",
                f"Feature {name} counts the rows, from {column[0]:g} to {column[-1]:g}.",
                "Drop it, unless it is the time.",
            )


def _name(model: "BaseAutoencoder", feature: int) -> str:
    names = getattr(model, "feature_names_in_", None)
    return repr(str(names[feature])) if names is not None else str(feature)


def repeated_rows(model: "BaseAutoencoder", on: Judged) -> Iterator[Finding]:
    """Whether many rows are copies."""
    X = on.X
    n_copies = len(X) - len(find_copies(X[part] for part in chunks(*X.shape)).firsts)
    if n_copies > REPEATED * len(X):
        yield Finding(
            "repeated rows",
            f"{n_copies} of {len(X)} rows repeat an earlier one.",
            "If they were not observed as often as that, drop the copies: they weigh more in the "
            "training.",
        )


def idle_units(model: "BaseAutoencoder", on: Judged) -> Iterator[Finding]:
    """Whether units of the code never move, or stick at the ends of their range."""
    code, penalties, codes = model.model_.parts.code, model.model_.parts.penalties, on.codes
    dead = dead_units(codes)
    if len(dead) and not code.random:  # of those `collapsed_units` speaks
        yield Finding(
            "dead units",
            f"{len(dead)} of {codes.shape[1]} code units are the same for every row "
            f"({listed(dead)}).",
            "Lower n_components or the penalties, or lower learning_rate.",
        )
    by_design = any(penalty.hides for penalty in penalties)  # silent
    stuck = np.setdiff1d(stuck_units(codes, code.low, code.high, either=not by_design), dead)
    if len(stuck):
        yield Finding(
            "saturated units",
            f"{len(stuck)} of {codes.shape[1]} code units stand at an end of their range for "
            f"over {MOSTLY:.0%} of the rows ({listed(stuck)}).",
            "Lower learning_rate, or write scaling='standard'.",
        )


def collapsed_units(model: "BaseAutoencoder", on: Judged) -> Iterator[Finding]:
    """Whether units are the prior's noise whatever the row is: the posterior has collapsed."""
    code = model.model_.parts.code
    if not (code.prior and code.random) or is_outlier_detector(model):
        return
    variance: Tensor = model.model_.memory.variance  # type: ignore[assignment]
    codes, n_units = on.codes / variance.sqrt().cpu().numpy(), on.codes.shape[1]
    idle = inactive_units(codes)
    # What starts as PCA gave up only what does not pay
    more = "" if model.model_.parts.starts_as_pca else ", or raise warmup or free_bits"
    if len(idle):
        yield Finding(
            "collapsed units",
            f"{len(idle)} of {n_units} code units tell nothing of a row ({listed(idle)}): "
            f"their means vary by less than {ACTIVE:g} of the prior.",
            f"If the error is too high, lower beta{more}; else lower n_components.",
        )


def inactive_units(codes: Floats) -> NDArray[np.intp]:
    """Return the units of which the means' variance is small beside the prior's 1.

    Burda et al. (2016), section 5.
    """
    return np.flatnonzero(codes.var(axis=0) < ACTIVE)


def dead_units(codes: Floats) -> NDArray[np.intp]:
    """Return the units that are the same for every row."""
    spread = codes.std(axis=0)
    return np.flatnonzero(spread <= DEAD * max(float(spread.max()), np.finfo(float).tiny))


def stuck_units(codes: Floats, low: float, high: float, *, either: bool) -> NDArray[np.intp]:
    """Return the units at the high end of their range, or at ``either``, for nearly all rows."""
    if not np.isfinite([low, high]).all():
        return np.empty(0, np.intp)
    margin = NEAR_LIMIT * (high - low)
    ends = codes > high - margin
    if either:
        ends |= codes < low + margin
    return np.flatnonzero(ends.mean(axis=0) > MOSTLY)


def free_to_copy(model: "BaseAutoencoder", on: Judged) -> Iterator[Finding]:
    """Whether the code is as wide as the input and nothing asks more than copying."""
    n_units = on.codes.shape[1]
    if n_units >= model.n_features_in_ and not model.model_.parts.hides:
        yield Finding(
            "free to copy",
            f"The code has {n_units} units for {model.n_features_in_} features and "
            f"nothing keeps it from copying them.",
            "Lower n_components"
            + ", or add a corruption such as 'gaussian(std=0.1)'" * hasattr(model, "corruption")
            + ".",
        )


def stopped_at_limit(model: "BaseAutoencoder", on: Judged) -> Iterator[Finding]:
    """Whether the training was cut off while it still got better."""
    if unsteady(model):  # longer would help less than slower
        return
    if model.versus_pca_ is None:  # portions came last, and nothing judged them
        return
    judged = [record["epoch"] for record in model.history_ if "held_out_loss" in record]
    if model.stopped_by_ == "limit" and model.n_iter_ >= MOSTLY * max(judged, default=np.inf) > 0:
        yield Finding(
            "stopped at its limit",
            f"The training ended at its limit and was still getting better (best epoch: "
            f"{model.n_iter_}).",
            f"Raise max_epochs (now {model.parameters_['max_epochs']}).",
        )


def listed(units: Array) -> str:
    """Return the first few numbers."""
    head = ", ".join(str(unit) for unit in units[:5])
    return f"{head}, ..." if len(units) > 5 else head


CHECKS: tuple[Callable[["BaseAutoencoder", Judged], Iterator[Finding]], ...] = (
    diverged,
    leapt,
    worse_than_pca,
    not_scaled,
    loud_noise,
    lone_row,
    row_numbers,
    repeated_rows,
    idle_units,
    collapsed_units,
    free_to_copy,
    stopped_at_limit,
)
