"""What is wrong with a fitted model of any kind, judged on the rows that it is shown."""

from collections.abc import Iterator
from typing import Any

from isthmus.estimators.diagnosis.finding import Finding
from isthmus.estimators.diagnosis.units import tell_dead
from isthmus.evaluation.subject import Subject


def findings(model: Any, subject: Subject) -> list[Finding]:
    """Return what `diagnose` finds, and whether a model that is to take off noise puts more on.

    Of scikit-learn's own models, what their codes tell.
    """
    if not hasattr(model, "diagnose"):
        return [*tell_dead(subject.codes, "Lower n_components.")]
    return [*_by_the_noise(model, subject), *model.diagnose(subject.rows)]


def _by_the_noise(model: Any, subject: Subject) -> Iterator[Finding]:
    """Whether a model that is to take off noise puts more on."""
    left = subject.noise_left
    if hasattr(model, "denoise") and left >= 1:
        around = ', or let what pictures show go around the code: network="conv(skip=True)"'
        yield Finding(
            "adds to the noise",
            f"Rows come out with {left:.3g} times the squared error with which they went in.",
            f"Raise n_components or max_epochs{around * subject.pictures}.",
        )
