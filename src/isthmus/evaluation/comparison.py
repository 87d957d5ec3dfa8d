"""Several models before the same rows, side by side."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isthmus.data.artefact import versions
from isthmus.errors import MissingDependencyError, ParameterError
from isthmus.estimators import inputs
from isthmus.evaluation.against_pca import AgainstPCA, Interval, against_pca, bootstrap, interval
from isthmus.evaluation.findings import findings
from isthmus.evaluation.labels import Labels, labels_of
from isthmus.evaluation.origin import fingerprint
from isthmus.evaluation.quality import Quality, quality
from isthmus.evaluation.subject import Subject, look
from isthmus.evaluation.units import activity
from isthmus.evaluation.verdict import held_out_ratio
from isthmus.evaluation.words import figure, isolated, named, percent, times

Floats = NDArray[np.float64]

# What is laid out: how it is called, and how its figures are written.
MEASURES: dict[str, tuple[str, Callable[[Any], str]]] = {
    "kind": ("kind", str),
    "width": ("numbers in the code", str),
    "error": ("squared error", figure),
    "times_best": ("  times the least", times),
    "times_pca": ("  times that of PCA as wide", times),
    "held_out": ("  the same, rows held out of the fit", times),
    "pca_ties": ("width at which PCA ties", figure),
    "explained": ("variance kept, in your units", percent),
    "probe": ("labels told by a linear rule", percent),
    "neighbours": ("labels told by the nearest rows", percent),
    "trustworthiness": ("trustworthiness", figure),
    "continuity": ("continuity", figure),
    "dead": ("dead units", str),
    "findings": ("findings", str),
    "seconds": ("seconds to fit", figure),
}


class Compared(NamedTuple):
    """One model before the rows; what it cannot show is None."""

    name: str
    kind: str
    subject: Subject
    errors: Floats | None  # (N,) squared, summed over features, in the units of the comparison
    explained: float | None  # share of the rows' variance, in the user's units
    versus: AgainstPCA | None
    times_best: Interval | None  # its error over the least of all, drawn on the same rows
    quality: Quality
    findings: list[str]  # their names
    dead: int
    held_out: float | None  # error over PCA's, on rows that were held out of the fit
    seconds: float | None

    def row(self) -> dict[str, Any]:
        """Return the figures by name."""
        errors, versus, measured = self.errors, self.versus, self.quality.code
        return {
            "model": self.name,
            "kind": self.kind,
            "width": self.subject.codes.shape[1],
            "error": None if errors is None else float(errors.mean()),
            "times_best": None if self.times_best is None else self.times_best.value,
            "times_pca": None if versus is None else versus.ratio.value,
            "held_out": self.held_out,
            "pca_ties": None if versus is None or versus.ties is None else versus.ties.value,
            "explained": self.explained,
            "probe": measured.probe,
            "neighbours": measured.neighbours,
            "trustworthiness": measured.trustworthiness,
            "continuity": measured.continuity,
            "dead": self.dead,
            "findings": len(self.findings),
            "seconds": self.seconds,
        }


class Comparison(NamedTuple):
    """A table of models; its text is the table."""

    models: list[Compared]
    n_given: int
    n_rows: int  # that were judged
    standardised: bool  # whether errors are in standard deviations, not in the user's units
    sha256: str  # of all that were given
    versions: dict[str, str]
    path: Path | None = None

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A record for each model, as ``pandas.DataFrame`` takes it."""
        return [model.row() for model in self.models]

    def to_frame(self) -> Any:
        """Return a pandas frame with a row for each model.

        Raises
        ------
        MissingDependencyError
            If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise MissingDependencyError(
                "to_frame needs pandas, which is not installed: pip install pandas."
            ) from None
        return pd.DataFrame(self.rows).set_index("model")

    @property
    def best(self) -> Compared | None:
        """The model of the least error; None, where none rebuilds rows."""
        known = [model for model in self.models if model.times_best is not None]
        return min(known, key=lambda model: model.row()["error"], default=None)

    def headline(self) -> str:
        """Say which model errs least, and whether that may be chance."""
        best = self.best
        if best is None:
            return "Codes of which none rebuilds rows."
        others = [each.times_best for each in self.models if each is not best and each.times_best]
        doubt = any(other.low <= 1 for other in others)
        name = isolated(named(best.name))
        return f"\u201c{name}\u201d errs least{', which may be chance' if doubt else ''}."

    def cells(self) -> list[list[str]]:
        """Return the table in words, a line for each measure and a column for each model.

        The names of the models come first; measures that none has are left out.
        """
        rows = self.rows
        lines = [["", *(named(row["model"]) for row in rows)]]
        for name, (title, write) in MEASURES.items():
            values = [row[name] for row in rows]
            if any(value is not None for value in values):
                lines.append([title, *("-" if each is None else write(each) for each in values)])
        return lines

    def __repr__(self) -> str:
        cells = self.cells()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = []
        for title, *values in cells:
            right = [v.rjust(width) for v, width in zip(values, widths[1:], strict=True)]
            lines.append("  ".join([title.ljust(widths[0]), *right]))
        return "\n".join(lines)


def comparison(
    models: Mapping[str, Any],
    X: ArrayLike,
    y: ArrayLike | None = None,
    *,
    target: ArrayLike | None = None,
) -> Comparison:
    """Show the same rows to several models; `compare` names the parameters and the errors."""
    if not isinstance(models, Mapping):
        raise ParameterError(
            f"models has the type {type(models).__name__}: give fitted models by name, "
            f"{{'first': model, 'second': other}}."
        )
    if not models:
        raise ParameterError("models is empty: give one fitted model or more, by name.")
    subjects = {str(name): look(model, X, target=target) for name, model in models.items()}
    first = next(iter(subjects.values()))
    labels = labels_of(y, first.n_given).at(first.judged) if y is not None else None
    standardised = all(subject.standardised for subject in subjects.values())
    scale = first.scaling.scale.numpy() if standardised else np.ones(())
    found = [
        _compared(name, model, subject, labels, scale)
        for (name, subject), model in zip(subjects.items(), models.values(), strict=True)
    ]
    return Comparison(
        models=_beside_the_best(found),
        n_given=first.n_given,
        n_rows=len(first.judged),
        standardised=standardised,
        sha256=fingerprint(inputs.check_rows(next(iter(models.values())), X, reset=False)),
        versions=versions(),
    )


def _compared(
    name: str, model: Any, subject: Subject, labels: Labels | None, scale: Floats
) -> Compared:
    used = activity(subject)
    history = getattr(model, "history_", None) or []
    seconds = {record["stage"]: record["seconds"] for record in history}
    return Compared(
        name=name,
        kind=type(model).__name__,
        subject=subject,
        errors=_squared(subject.rebuilt - subject.clean, scale) if subject.rebuilds else None,
        explained=subject.explained if subject.rebuilds else None,
        versus=against_pca(subject) if subject.rebuilds and not subject.around else None,
        times_best=None,
        quality=quality(subject, labels),
        findings=[finding.name for finding in findings(model, subject)],
        dead=len(used.dead),
        held_out=held_out_ratio(model),
        seconds=sum(seconds.values()) if seconds else None,
    )


def _squared(differences: Floats, scale: Floats) -> Floats:
    """Return the squared length of each difference in units of `scale`, (N,)."""
    squares: Floats = np.square(differences / scale).sum(axis=1)
    return squares


def _beside_the_best(found: list[Compared]) -> list[Compared]:
    """Divide each model's error by the least of all, with draws of the same rows."""
    errors = {model.name: model.errors for model in found}
    known = {name: each for name, each in errors.items() if each is not None}
    if not known:
        return found
    draws = dict(zip(known, bootstrap(np.column_stack(list(known.values()))).T, strict=True))
    best = min(known, key=lambda name: float(known[name].mean()))
    least, tiny = float(known[best].mean()), np.finfo(float).tiny

    def beside(model: Compared) -> Compared:
        if model.name not in known:
            return model
        value = float(known[model.name].mean()) / max(least, tiny)
        drawn = draws[model.name] / np.maximum(draws[best], tiny)
        return model._replace(times_best=interval(value, drawn))

    return [beside(model) for model in found]
