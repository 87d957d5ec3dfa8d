"""What is wrong with the units of a code.

Shapes: N rows, K components.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_outlier_detector
from torch import Tensor

from isthmus.estimators.diagnosis.finding import MOSTLY, Finding, Judged
from isthmus.estimators.inputs import Array, Floats
from isthmus.parts import ActivityKL

if TYPE_CHECKING:
    from isthmus.estimators.base import BaseAutoencoder

DEAD = 1e-6  # of the widest unit's standard deviation
NEAR_LIMIT = 0.01  # of a unit's range
LOUD = 2.0  # times the mean activity that a penalty wants
ACTIVE = 0.01  # variance of a unit that tells something, beside a prior of 1


def idle_units(model: "BaseAutoencoder", on: Judged) -> Iterator[Finding]:
    """Whether units of the code never move, or stick at the ends of their range."""
    if not model.model_.parts.code.random:  # of those `collapsed_units` speaks
        change = "Lower n_components or the penalties, or lower learning_rate."
        yield from tell_dead(on.codes, change)
    yield from tell_stuck(model, on.codes, "Lower learning_rate, or write scaling='standard'.")


def tell_dead(codes: Floats, change: str, noun: str = "code units") -> Iterator[Finding]:
    """Tell of units that are the same for every row, of two at least, and what to change."""
    found = dead_units(codes)
    if len(codes) > 1 and len(found):
        what = f"{len(found)} of {codes.shape[1]} {noun} are the same for every row"
        yield Finding("dead units", f"{what} ({listed(found)}).", change)


def tell_stuck(
    model: Any, codes: Floats, change: str, noun: str = "code units"
) -> Iterator[Finding]:
    """Tell of units that stand at an end of their range and are not dead, and what to change."""
    found = stuck_units(model, codes)
    if len(found):
        what = f"{len(found)} of {codes.shape[1]} {noun} stand at an end of their range"
        often = f"for over {MOSTLY:.0%} of the rows ({listed(found)})."
        yield Finding("saturated units", f"{what} {often}", change)


def loud_units(model: "BaseAutoencoder", on: Judged) -> Iterator[Finding]:
    """Whether units speak far more often than a penalty on their mean activity wants."""
    for penalty in model.model_.parts.penalties:
        if isinstance(penalty, ActivityKL) and on.codes.mean() > LOUD * penalty.target:
            yield Finding(
                "not sparse",
                f"Units are active to {on.codes.mean():.2g} on average, and the target is "
                f"{penalty.target:g}.",
                "Raise learning_rate, max_epochs or the penalty's weight; or write "
                "sparsity='topk(k=8)', which is exact.",
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


def stuck_units(model: Any, codes: Floats) -> NDArray[np.intp]:
    """Return the units at an end of their range for nearly all rows, and not for every row.

    At the high end alone, where they are silent by design.
    """
    low, high, silent_by_design = _range(model)
    if not np.isfinite([low, high]).all():
        return np.empty(0, np.intp)
    margin = NEAR_LIMIT * (high - low)
    ends = codes > high - margin
    if not silent_by_design:
        ends |= codes < low + margin
    return np.setdiff1d(np.flatnonzero(ends.mean(axis=0) > MOSTLY), dead_units(codes))


def _range(model: Any) -> tuple[float, float, bool]:
    """Return the range of a model's units, and whether they are silent by design."""
    module = getattr(model, "model_", None)
    parts = getattr(module, "parts", None)
    if parts is not None:
        return parts.code.low, parts.code.high, any(each.hides for each in parts.penalties)
    binary = getattr(getattr(module, "hidden", None), "binary", False)
    return (0.0, 1.0, False) if binary else (-np.inf, np.inf, False)


def free_to_copy(model: "BaseAutoencoder", on: Judged) -> Iterator[Finding]:
    """Whether the code is as wide as the input and nothing asks more than copying.

    A detector judges densities, for which a code of full width is as good as any.
    """
    n_units = on.codes.shape[1]
    if is_outlier_detector(model):
        return
    if n_units >= model.n_features_in_ and not model.model_.parts.hides:
        yield Finding(
            "free to copy",
            f"The code has {n_units} units for {model.n_features_in_} features and "
            f"nothing keeps it from copying them.",
            "Lower n_components"
            + ", or add a corruption such as 'gaussian(std=0.1)'" * hasattr(model, "corruption")
            + ".",
        )


def listed(units: Array) -> str:
    """Return the first few numbers."""
    head = ", ".join(str(unit) for unit in units[:5])
    return f"{head}, ..." if len(units) > 5 else head
