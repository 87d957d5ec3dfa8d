"""What is wrong with a fitted model of any kind, judged on the rows that it is shown."""

from typing import Any

from isthmus.estimators.diagnosis.finding import Finding
from isthmus.evaluation.subject import Subject


def findings(model: Any, subject: Subject) -> list[Finding]:
    """Return what `diagnose` finds, and whether a model that is to take off noise puts more on.

    Nothing is known of scikit-learn's own models.
    """
    found: list[Finding] = model.diagnose(subject.rows) if hasattr(model, "diagnose") else []
    left = subject.noise_left
    if hasattr(model, "denoise") and left >= 1:
        around = ', or let what pictures show go around the code: network="conv(skip=True)"'
        worse = Finding(
            "adds to the noise",
            f"Rows come out with {left:.3g} times the squared error with which they went in.",
            f"Raise n_components or max_epochs{around if subject.pictures else ''}.",
        )
        found = [worse, *found]
    return found
