"""From an estimator's parameters to the plan of its fit, and from its end to a warning."""

from collections.abc import Mapping, Sequence
from typing import Any

from isthmus.errors import caution
from isthmus.estimators.diagnosis.training import highest_leap
from isthmus.estimators.parameters import Training
from isthmus.fitting.optimizers import Optimizer
from isthmus.fitting.plan import Plan, pick_batch_size, pick_device, pick_max_epochs
from isthmus.fitting.schedules import Schedule


def plan_for(estimator: Training, n_rows: int) -> Plan:
    """Return how a fit to so many rows runs."""
    optimizer = Optimizer.of(estimator.optimizer)
    batch_size = pick_batch_size(estimator.batch_size, n_rows, whole=optimizer.whole)
    max_epochs = pick_max_epochs(estimator.max_epochs, n_rows, batch_size)
    return Plan(
        optimizer=optimizer,
        rate=optimizer.rate_for(estimator.learning_rate),
        schedule=Schedule.of(estimator.schedule),
        batch_size=batch_size,
        max_epochs=max_epochs,
        stop_after=max_epochs,
        patience=estimator.patience,
        precision=estimator.precision,
        device=pick_device(estimator.device),
    )


def warn(
    stopped_by: str,
    n_epochs: int,
    history: Sequence[Mapping[str, Any]] = (),
    rate: float | str = "auto",
) -> None:
    """Say if a fit ended otherwise than asked, or moved in vain at a rate of the user's own."""
    leap = highest_leap(history) if n_epochs == 0 and rate != "auto" else None
    if stopped_by == "diverged":
        said = (
            f"The training diverged: the weights of epoch {n_epochs}, the last good ones, are "
            f"kept. Lower learning_rate, or scale X."
        )
    elif stopped_by == "interrupted":
        said = (
            f"The fit was interrupted: the weights of epoch {n_epochs}, the best so far, are kept."
        )
    elif leap is not None:
        said = (
            f"The loss leapt from {leap.start:.4g} to {leap.loss:.4g} at epoch {leap.epoch} and no "
            f"epoch was better than the start, which is kept. Lower learning_rate."
        )
    else:
        return
    caution(said)
