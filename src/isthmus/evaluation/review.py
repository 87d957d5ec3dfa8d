"""A fitted model looked at from every side, before anything is drawn."""

from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import ArrayLike

from isthmus.errors import ParameterError
from isthmus.estimators.diagnosis.finding import Finding
from isthmus.estimators.transformer import SavedTransformer
from isthmus.evaluation.against_pca import AgainstPCA, against_pca, pca_of
from isthmus.evaluation.classes import ClassErrors, class_errors
from isthmus.evaluation.code_map import CodeMap, Projection, code_map
from isthmus.evaluation.detection import Detection, detection
from isthmus.evaluation.examples import (
    Decibels,
    Examples,
    FeatureErrors,
    Similarity,
    decibels,
    examples,
    feature_errors,
    similarity,
)
from isthmus.evaluation.findings import findings
from isthmus.evaluation.labels import Labels, labels_of
from isthmus.evaluation.origin import Origin, origin
from isthmus.evaluation.quality import Quality, quality
from isthmus.evaluation.subject import Subject, look
from isthmus.evaluation.units import Activity, Units, activity, units
from isthmus.evaluation.verdict import Evidence, Verdict, gravest_first, judge
from isthmus.fitting.curves import Training, curves, training


class Review(NamedTuple):
    """Everything that a report shows; what a model cannot show is None."""

    verdict: Verdict
    findings: list[Finding]
    model: Any
    subject: Subject
    labels: Labels | None
    versus: AgainstPCA | None
    explained: float | None  # share of these rows' variance that is rebuilt
    training: Training | None
    map: CodeMap
    examples: Examples | None
    decibels: Decibels | None
    similarity: Similarity | None
    features: FeatureErrors | None
    units: Units | None
    activity: Activity
    quality: Quality
    classes: ClassErrors | None
    detection: Detection | None
    origin: Origin
    path: Path | None = None  # of the page, if there is one

    def __repr__(self) -> str:
        where = f" The page: {self.path}" if self.path is not None else ""
        return f"{self.verdict}{where}"


def review(
    model: Any,
    X: ArrayLike,
    y: ArrayLike | None = None,
    *,
    target: ArrayLike | None = None,
    sample_shape: tuple[int, ...] | None = None,
    projection: Projection = "auto",
) -> Review:
    """Look at a fitted model before rows; `report` names the parameters and the errors."""
    _check(model)
    subject = look(model, X, target=target, sample_shape=sample_shape)
    labels = labels_of(y, subject.n_given).at(subject.judged) if y is not None else None
    rebuilds = subject.rebuilds
    pca, used = pca_of(subject), activity(subject)
    seen = Evidence(
        model=model,
        subject=subject,
        findings=gravest_first(findings(model, subject)),
        versus=against_pca(subject, pca) if rebuilds and not subject.around else None,
        explained=subject.explained if rebuilds else None,
        features=feature_errors(subject) if rebuilds else None,
        quality=quality(subject, labels, pca),
        classes=None if labels is None else class_errors(subject, labels),
        detection=detection(subject, labels),
    )
    return Review(
        verdict=judge(seen),
        findings=seen.findings,
        model=model,
        subject=subject,
        labels=labels,
        versus=seen.versus,
        explained=seen.explained,
        training=training(model) if curves(model.history_) else None,
        map=code_map(subject, projection),
        examples=examples(subject) if rebuilds else None,
        decibels=decibels(subject),
        similarity=similarity(subject),
        features=seen.features,
        units=units(subject) if rebuilds and not subject.around else None,
        activity=used,
        quality=seen.quality,
        classes=seen.classes,
        detection=seen.detection,
        origin=origin(model, X, labelled=labels is not None),
    )


def _check(model: Any) -> None:
    """Refuse a model of another library: what is told of ours is not known of it."""
    if not isinstance(model, SavedTransformer):
        raise ParameterError(
            f"report takes a fitted estimator of isthmus, not {type(model).__name__}: put others "
            f"beside one by compare."
        )
