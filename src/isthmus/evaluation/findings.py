"""What is wrong with a fitted model of any kind, judged on the rows that it is shown."""

from collections.abc import Iterator
from typing import Any

from isthmus.estimators.diagnosis.finding import Finding
from isthmus.evaluation.subject import Subject
from isthmus.evaluation.units import Activity

FEW = 5  # units that are listed


def findings(model: Any, subject: Subject, used: Activity) -> list[Finding]:
    """Return what `diagnose` finds; of a model without it, what its end and its units tell.

    Of a classifier, what is found of the autoencoder that it began with comes after.
    """
    if hasattr(model, "diagnose"):
        return [*_by_the_noise(model, subject), *model.diagnose(subject.rows)]
    within: Any = getattr(model, "autoencoder_", None)
    inner = within.diagnose(subject.rows) if hasattr(within, "diagnose") else []
    return [*_by_its_end(model), *_by_its_units(used), *map(_of_the_autoencoder, inner)]


def _by_the_noise(model: Any, subject: Subject) -> Iterator[Finding]:
    """Whether a model that is to take off noise puts more on."""
    left = subject.noise_left
    if hasattr(model, "denoise") and left >= 1:
        yield Finding(
            "adds to the noise",
            f"Rows come out with {left:.3g} times the squared error with which they went in.",
            "Raise n_components or max_epochs, or let what pictures show go around the code: "
            'network="conv(skip=True)".',
        )


def _by_its_end(model: Any) -> Iterator[Finding]:
    if getattr(model, "stopped_by_", "") == "diverged":
        yield Finding(
            "diverged",
            f"The training diverged after epoch {model.n_iter_}.",
            "Lower learning_rate to a tenth, or scale X.",
        )


def _by_its_units(used: Activity) -> Iterator[Finding]:
    for name, places, what, change in (
        ("dead units", used.dead, "are the same for every row", "Lower n_components"),
        (
            "saturated units",
            used.stuck,
            "stand at an end of their range for nearly every row",
            "Lower learning_rate, or scale X",
        ),
    ):
        if len(places):
            listed = ", ".join(map(str, places[:FEW])) + (", ..." if len(places) > FEW else "")
            what = f"{len(places)} of {used.n_units} units {what} ({listed})."
            yield Finding(name, what, f"{change}.")


def _of_the_autoencoder(finding: Finding) -> Finding:
    what = f"Of the autoencoder as it was before the labels: {finding.what}"
    return finding._replace(name=f"autoencoder {finding.name}", what=what)
