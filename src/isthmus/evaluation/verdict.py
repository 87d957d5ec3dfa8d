"""Three sentences that say whether the autoencoder earned its place, with their figures."""

import math
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np

from isthmus.estimators.diagnosis.finding import Finding
from isthmus.evaluation.against_pca import AgainstPCA, Interval
from isthmus.evaluation.classes import ClassErrors
from isthmus.evaluation.detection import Detection
from isthmus.evaluation.examples import FeatureErrors
from isthmus.evaluation.quality import Quality
from isthmus.evaluation.subject import Subject, is_conditional
from isthmus.evaluation.words import count, figure, isolated, percent, times

BETTER, WORSE = 0.99, 1.01  # times PCA's error
WELL = 0.9  # of a feature's variance
RANKED, TURNED = 0.9, 0.5  # areas under a ROC curve: from which on well, and below which wrongly
MUCH = 2.5  # times the error on these rows, from which on the fit must have seen them
HALF = 0.5  # of the noise's squared error, from which on it is well taken off

# What a finding makes of everything else.
SPOILED = {
    "diverged": "The training broke off.",
    "learning rate too high": "The learning rate is too high.",
    "input not scaled": "A few columns drown the others.",
    "free to copy": "The code is wide enough to copy.",
    "adds to the noise": "It adds to the noise.",
}


Tone = Literal["good", "even", "bad"]


class KeyFigure(NamedTuple):
    """A number that is printed large."""

    value: str
    label: str


class Verdict(NamedTuple):
    """What is to be said first."""

    headline: str
    tone: Tone
    sentences: tuple[str, str, str]
    figures: tuple[KeyFigure, ...]

    def __str__(self) -> str:
        return " ".join([self.headline, *self.sentences])


class Evidence(NamedTuple):
    """What a verdict rests on."""

    model: Any
    subject: Subject
    findings: list[Finding]  # the gravest first
    versus: AgainstPCA | None
    explained: float | None  # share of these rows' variance
    features: FeatureErrors | None
    quality: Quality
    classes: ClassErrors | None
    detection: Detection | None


def judge(seen: Evidence) -> Verdict:
    """Say what the evidence comes to."""
    headline, tone = _headline(seen)
    sentences = (_place(seen), _kept(seen), _advice(seen))
    return Verdict(headline, tone, sentences, tuple(_figures(seen)))


def held_out_ratio(model: Any) -> float | None:
    """Return the error beside PCA's on rows that were held out of the fit, where some were."""
    versus = getattr(model, "versus_pca_", None)
    return versus.ratio if versus is not None and versus.rows == "held out" else None


def _ratio(seen: Evidence) -> float:
    """Return the error beside PCA's on rows held out, or else on these; NaN without either."""
    held_out = held_out_ratio(seen.model)
    if held_out is not None:
        return held_out
    return seen.versus.ratio.value if seen.versus is not None else math.nan


def _asked_to_rebuild(seen: Evidence) -> bool:
    return hasattr(seen.model, "reconstruct")


def _aims_elsewhere(seen: Evidence) -> bool:
    """Whether penalties, noise or a sparse code ask for more than the least error."""
    return bool(seen.model.model_.parts.hides)


def _headline(seen: Evidence) -> tuple[str, Tone]:
    if seen.findings and seen.findings[0].name in SPOILED:
        return SPOILED[seen.findings[0].name], "bad"
    if seen.subject.around:
        return _of_noise(seen)
    if seen.versus is None:
        return _of_a_classifier(seen)
    if not _asked_to_rebuild(seen):
        return "A model of the rows, which was not asked to rebuild them.", "even"
    if seen.detection is not None:
        return _of_a_detector(seen.detection)
    ratio = _ratio(seen)
    if ratio < BETTER:
        return "It earned its place.", "good"
    if ratio <= WORSE:
        return "It is as good as PCA, and no better.", "even"
    if seen.model.model_.parts.code.prior:
        return "It says how rows are distributed, and PCA rebuilds better.", "even"
    if _aims_elsewhere(seen):
        return "PCA rebuilds better: its code has to be worth it.", "even"
    return "PCA would have served better.", "bad"


def _of_noise(seen: Evidence) -> tuple[str, Tone]:
    left = seen.subject.noise_left
    if math.isnan(left):
        return "It rebuilds rows by a way around its code.", "even"
    return f"It takes off {percent(1 - left)} of the noise.", "good" if left < HALF else "even"


def _of_a_detector(said: Detection) -> tuple[str, Tone]:
    known = said.known
    if known is None:
        return f"It calls {said.n_found:,} of {count(said.n_rows, 'row')} outliers.", "even"
    found = f"It finds {known.n_found:,} of {count(known.n_rows, 'row')} labelled"
    tone: Tone = "good" if known.area >= RANKED else "bad" if known.area < TURNED else "even"
    return f"{found} {isolated(known.name)}, of {said.n_found:,} that it calls outliers.", tone


def gravest_first(findings: list[Finding]) -> list[Finding]:
    """Return those that spoil everything else before the others."""
    return sorted(findings, key=lambda finding: finding.name not in SPOILED)


def _of_a_classifier(seen: Evidence) -> tuple[str, Tone]:
    if seen.classes is None:
        return "A classifier, which only labelled rows can judge.", "even"
    return f"It is right about {percent(seen.classes.accuracy)} of the labelled rows.", "even"


# The three sentences -----------------------------------------------------------------------


def _place(seen: Evidence) -> str:
    """Say where the model stands beside PCA."""
    versus, n_features = seen.versus, seen.subject.clean.shape[1]
    width = count(seen.subject.codes.shape[1], "number")
    begin = f"With {width} for {count(n_features, 'feature')} it"
    if seen.subject.around:
        left = seen.subject.noise_left
        some = f"leaves {times(left)} of the noise's error"
        makes = "rebuilds rows" if math.isnan(left) else some
        return f"{begin} {makes}; input goes around the code too, so no PCA is a match for it."
    if versus is None:
        return f"{begin} tells classes; it does not rebuild rows, so no PCA stands beside it."
    if not _asked_to_rebuild(seen):
        kept = percent(max(seen.explained or 0.0, 0.0))
        return (
            f"{begin} learned how the rows are distributed; going up and down once keeps {kept} of "
            f"their variance."
        )
    if versus.pca_error.value == 0:
        return f"{begin} has as many as the rows need: a PCA of that width loses nothing of them."
    return f"{begin} rebuilds {_compared(seen, versus)}{_tie(versus)}."


def _compared(seen: Evidence, versus: AgainstPCA) -> str:
    held_out, ratio = held_out_ratio(seen.model), _ratio(seen)
    where = "these rows" if held_out is None else "rows that it was not fitted to"
    where += " from noisy versions" if seen.subject.noisy else ""
    if BETTER <= ratio <= WORSE:
        return f"{where} as well as a PCA of that width does"
    draws = f" ({_between(versus.ratio)})" if held_out is None else ""
    return f"{where} with {times(ratio)} times{draws} the squared error of a PCA of that width"


def _tie(versus: AgainstPCA) -> str:
    if versus.ties is None:
        least = figure(float(versus.curve.min()) / versus.error.value)
        return (
            f"; on these rows the best PCA, of {count(versus.best, 'number')}, makes {least} times "
            f"its error"
        )
    needed = int(versus.ties.value)
    if needed == 0:
        return "; the mean of every feature would do better on these rows"
    if needed == versus.width:
        return ""
    more = "would need" if needed > versus.width else "needs only"
    return f"; a PCA {more} {count(needed, 'number')} to do as well on these rows"


def _between(interval: Interval) -> str:
    return f"{figure(interval.low)} to {figure(interval.high)}"


def _kept(seen: Evidence) -> str:
    """Say what of the rows is left."""
    if seen.features is None or seen.explained is None or not _asked_to_rebuild(seen):
        return _told(seen) or "No labels were given, so what its code tells is not known."
    shares = seen.features.explained
    varying = np.flatnonzero(np.isfinite(shares))
    if not len(varying):
        return "No feature of these rows varies, so there is nothing to explain."
    well, noun = int((shares[varying] >= WELL).sum()), "pixel"
    least = ""
    if not seen.subject.pictures:
        worst, noun = varying[int(shares[varying].argmin())], "feature"
        name = isolated(seen.subject.name_of(int(worst)))
        least = f", {name} least ({percent(shares[worst])})"
    kept = f"It keeps {percent(seen.explained)} of the variance of these rows"
    if seen.explained < 0:
        kept = f"Its error is {times(1 - seen.explained)} times that of the mean of every feature"
    return (
        f"{kept}: {well:,} of "
        f"{count(len(varying), f'varying {noun}')} are explained to {percent(WELL)} or more{least}"
        f"{_unseen(seen)}."
    )


def _unseen(seen: Evidence) -> str:
    """Say how much worse rows came out that were held out of the fit, if much."""
    versus = seen.versus
    if versus is None or held_out_ratio(seen.model) is None or seen.subject.noisy:
        return ""
    held_out = seen.model.versus_pca_.error
    more = held_out / versus.error.value if versus.error.value > 0 else 1.0
    return f"; rows held out of its fit had {times(more)} times their error" if more > MUCH else ""


def _advice(seen: Evidence) -> str:
    """Say what to change, or what the code is good for."""
    if not seen.findings:
        good_for = _good_for(seen) if _asked_to_rebuild(seen) else ""
        return f"Nothing was found to be wrong{good_for}."
    first, n = seen.findings[0], len(seen.findings)
    found = "One finding" if n == 1 else f"{count(n, 'finding')}, the gravest"
    return f"{found}, \u201c{first.name}\u201d: {first.change[0].lower()}{first.change[1:]}"


def _good_for(seen: Evidence) -> str:
    told, quality = _told(seen), seen.quality
    if told:
        return f"; {told[0].lower()}{told[1:].rstrip('.')}"
    if quality.code.trustworthiness is None:
        return ""
    trust = figure(quality.code.trustworthiness)
    return f"; neighbours in the code are neighbours in truth (trustworthiness {trust} of 1)"


def _told(seen: Evidence) -> str:
    """Say what a linear model makes of the code."""
    if seen.detection is not None and seen.detection.known is not None:
        known = seen.detection.known
        return (
            f"A row labelled {isolated(known.name)} scores below another with a chance of "
            f"{percent(known.area)}."
        )
    quality = seen.quality
    ours, theirs = quality.code.probe, quality.pca.probe
    if ours is None or theirs is None:
        return ""
    if quality.classes:
        told = is_conditional(seen.model)
        beside = "; its decoder is told the label, which the code need not hold" if told else ""
        return (
            f"A linear classifier on its code is right about {percent(ours)} of the rows, on PCA's "
            f"{percent(theirs)}{beside}."
        )
    return (
        f"A linear model on its code explains {percent(ours)} of the labels' variance, on PCA's "
        f"{percent(theirs)}."
    )


def _figures(seen: Evidence) -> Iterator[KeyFigure]:
    """Yield the figures that are printed large."""
    versus, width = seen.versus, seen.subject.codes.shape[1]
    if seen.detection is not None:
        yield from _found(seen.detection)
    if seen.classes is not None:
        yield KeyFigure(percent(seen.classes.accuracy), "of the labelled rows right")
    if versus is not None and versus.pca_error.value > 0 and _asked_to_rebuild(seen):
        where = "on these rows" if held_out_ratio(seen.model) is None else "on held-out rows"
        yield KeyFigure(times(_ratio(seen)), f"times the squared error of PCA as wide, {where}")
        if versus.ties is not None and versus.ties.value not in (0, width):
            yield KeyFigure(
                f"{int(versus.ties.value):,}", f"numbers PCA needs to tie with {width:,}"
            )
    if seen.subject.around and seen.subject.noisy:
        yield KeyFigure(times(seen.subject.noise_left), "times the squared error of the noise")
    if seen.explained is not None:
        yield (
            KeyFigure(percent(seen.explained), "of the variance kept, in your units")
            if seen.explained >= 0
            else KeyFigure(times(1 - seen.explained), "times the squared error of the mean")
        )
    quality = seen.quality
    if seen.detection is not None and seen.detection.known is not None:
        return
    if quality.code.probe is not None and quality.classes:
        yield KeyFigure(percent(quality.code.probe), "of the classes told by a linear rule")
    elif quality.code.trustworthiness is not None:
        yield KeyFigure(
            figure(quality.code.trustworthiness),
            "trustworthiness: neighbours in the code that are so in truth",
        )


def _found(said: Detection) -> Iterator[KeyFigure]:
    yield KeyFigure(f"{said.n_found:,}", f"of {count(said.n_rows, 'row')} called outliers")
    if said.known is not None:
        outliers = f"with {isolated(said.known.name)} for the outliers"
        yield KeyFigure(figure(said.known.area), f"area under the ROC curve, {outliers}")
