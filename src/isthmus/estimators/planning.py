"""From an estimator's parameters to the plan of its fit, and from its end to a warning."""

import warnings

from isthmus.errors import TrainingWarning
from isthmus.estimators.parameters import Training
from isthmus.fitting.optimizers import Optimizer
from isthmus.fitting.plan import Plan, pick_batch_size, pick_device, pick_max_epochs
from isthmus.fitting.schedules import Schedule


def plan_for(estimator: Training, n_rows: int) -> Plan:
    """Return how a fit to so many rows runs."""
    optimizer, rate = Optimizer.of(estimator.optimizer), estimator.learning_rate
    batch_size = pick_batch_size(estimator.batch_size, n_rows, whole=optimizer.whole)
    max_epochs = pick_max_epochs(estimator.max_epochs, n_rows, batch_size)
    return Plan(
        optimizer=optimizer,
        rate=optimizer.rate if rate == "auto" else float(rate),
        schedule=Schedule.of(estimator.schedule),
        batch_size=batch_size,
        max_epochs=max_epochs,
        stop_after=max_epochs,
        patience=estimator.patience,
        precision=estimator.precision,
        device=pick_device(estimator.device),
    )


def warn(stopped_by: str, n_epochs: int) -> None:
    """Say if a fit ended otherwise than asked."""
    if stopped_by == "diverged":
        warnings.warn(
            f"The loss was not finite any more: the weights of epoch {n_epochs}, the last good "
            f"ones, are kept. Lower learning_rate, or scale X.",
            TrainingWarning,
            stacklevel=3,
        )
    elif stopped_by == "interrupted":
        warnings.warn(
            f"The fit was interrupted: the weights of epoch {n_epochs}, the best so far, are kept.",
            TrainingWarning,
            stacklevel=3,
        )
