"""What is wrong with how a model was trained, or with what came of it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.base import is_outlier_detector

from isthmus.estimators.diagnosis.finding import MOSTLY, Finding, Judged
from isthmus.fitting.optimizers import Optimizer
from isthmus.fitting.session import STAGE as PORTIONS
from isthmus.parts.code import Plain

if TYPE_CHECKING:
    from isthmus.estimators.base import BaseAutoencoder

WORSE = 1.01  # times PCA's error
HUGE = 1e6  # from which the size of a loss is enough
LEAP = 2.0  # times the loss at the start, by which a later one exceeds it


def diverged(model: Any, on: Judged | None = None) -> Iterator[Finding]:
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

    Outliers are not found by rebuilding all rows well, nor are new rows made of a label; and what
    still is the probabilistic PCA that it began as rebuilds a little less well by design.
    """
    parts, versus = model.model_.parts, model.versus_pca_
    by_design = parts.starts_as_pca and model.n_iter_ == 0 and getattr(parts.code, "beta", 1) <= 1
    weighs = not parts.likelihood.isotropic  # what it rebuilds well is what has little noise
    if is_outlier_detector(model) or parts.n_labels or by_design or weighs:
        return
    if versus is not None and versus.ratio > WORSE:
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
    given = model.parameters_["learning_rate"]
    rate = Optimizer.of(model.parameters_["optimizer"]).rate_for(given)
    auto = "" if given == "auto" else ", or leave it at 'auto'"
    return f"Lower learning_rate (now {rate}) to a tenth{auto}."


def stopped_at_limit(model: "BaseAutoencoder", on: Judged) -> Iterator[Finding]:
    """Whether the training was cut off while it still got better."""
    if unsteady(model):  # longer would help less than slower
        return
    portions_last = model.versus_pca_ is None and model.history_[-1]["stage"] == PORTIONS
    if portions_last or model.model_.parts.network.skips:  # nothing judged them
        return
    judged = [record["epoch"] for record in model.history_ if "held_out_loss" in record]
    limit = max(judged, default=np.inf)  # what max_epochs="auto" came to
    if model.stopped_by_ == "limit" and model.n_iter_ >= MOSTLY * limit > 0:
        yield Finding(
            "stopped at its limit",
            f"The training ended at its limit and was still getting better (best epoch: "
            f"{model.n_iter_}).",
            f"Raise max_epochs (now {limit}).",
        )
