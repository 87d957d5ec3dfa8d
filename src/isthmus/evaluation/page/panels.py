"""What the template draws besides charts: rows, features and units, made ready.

Shapes: D features, K code units.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.evaluation.examples import Miss, misses, spread_of
from isthmus.evaluation.page import images
from isthmus.evaluation.page.charts import Axis, Chart, Line, bars, explained_chart, line
from isthmus.evaluation.review import Review
from isthmus.evaluation.subject import Subject
from isthmus.evaluation.units import filters, histogram, traversal
from isthmus.evaluation.words import figure, percent

Floats = NDArray[np.float64]

MOST_MISSES = 6  # features of a row that are listed
MOST_FEATURES = 40  # that are all listed; of more, the ends
ENDS = 15
MOST_CHANNELS = 4  # of a series
MOST_UNITS = 48  # that are drawn
MOST_MOVED = 8  # units that are followed
MOST_TOLD = 4  # features by which a unit is told
STRONGEST_FILTERS = 64


class Picture(NamedTuple):
    """An image with what it is."""

    name: str
    address: str


class Bar(NamedTuple):
    """A bar from zero, either way, percent of half the width."""

    name: str
    start: float
    length: float
    text: str
    negative: bool


class Card(NamedTuple):
    """One row: as pictures, as curves or as a list of features."""

    row: int
    label: str
    error: str
    pictures: list[Picture]
    curves: list[list[Line]]  # by channel
    misses: list[tuple[str, Miss, Bar]]


class Group(NamedTuple):
    """Rows that belong together."""

    name: str
    cards: list[Card]


def groups(review: Review) -> list[Group]:
    """Return the best, the usual and the worst rows."""
    if review.examples is None:
        return []
    titles = ("Best", "Usual", "Worst")
    places = zip(titles, review.examples, strict=True)
    spread = spread_of(review.subject)
    return [
        Group(title, [_card(review, int(row), spread) for row in rows]) for title, rows in places
    ]


def _card(review: Review, row: int, spread: Floats) -> Card:
    subject = review.subject
    pictures: list[Picture] = []
    curves: list[list[Line]] = []
    listed: list[tuple[str, Miss, Bar]] = []
    if subject.pictures:
        pictures = _pictures(subject, row)
    elif subject.series:
        curves = _curves(subject, row)
    else:
        found = misses(subject, row, MOST_MISSES, spread)
        reach = max([abs(miss.off) for miss in found] + [1.0])
        listed = [(subject.name_of(miss.feature), miss, bar("", miss.off, reach)) for miss in found]
    label = review.labels.name_of(row) if review.labels is not None else ""
    error = figure(float(subject.errors[row]))
    return Card(int(subject.judged[row]), label, error, pictures, curves, listed)


def _pictures(subject: Subject, row: int) -> list[Picture]:
    true, rebuilt = (subject.light(each[row]) for each in (subject.clean, subject.rebuilt))
    shown = [
        Picture("true", images.light(true, 0, 1)),
        Picture("rebuilt", images.light(rebuilt, 0, 1)),
        Picture("difference", images.signed(rebuilt - true, 1)),
    ]
    if not subject.noisy:
        return shown
    noisy = Picture("noisy", images.light(subject.light(subject.seen[row]), 0, 1))
    return [noisy, shown[1]._replace(name="cleaned"), shown[0], shown[2]]


def _curves(subject: Subject, row: int) -> list[list[Line]]:
    """Return the true and the rebuilt curve, over each other, of each channel."""
    kinds = [("true", subject.clean), ("rebuilt", subject.rebuilt)]
    if subject.noisy:
        kinds = [("noisy", subject.seen), *kinds]
    return channels(subject, [(name, values[row]) for name, values in kinds])


def channels(
    subject: Subject, rows: list[tuple[str, Floats]], *, alike: bool = False
) -> list[list[Line]]:
    """Return named rows as curves, channel by channel; of many channels those that vary most.

    Each channel has a range of its own, or, ``alike``, all have that of the widest.
    """
    spread = subject.laid_out(subject.clean.std(axis=0)).mean(axis=0)
    shown = np.sort(np.argsort(-spread, kind="stable")[:MOST_CHANNELS])
    cut = [(name, subject.laid_out(row)[:, shown]) for name, row in rows]
    everything = np.stack([values for _, values in cut])
    low, high = everything.min(axis=(0, 1)), everything.max(axis=(0, 1))
    if alike:
        low, high = np.full_like(low, low.min()), np.full_like(high, high.max())
    across = Axis(0, subject.shape[0] - 1)
    return [
        [line(name, name, np.arange(len(values)), values[:, i], across, up) for name, values in cut]
        for i, up in enumerate(map(_framed, low.tolist(), high.tolist()))
    ]


def _framed(low: float, high: float) -> Axis:
    margin = 0.05 * (high - low) or 1.0
    return Axis(low - margin, high + margin)


def bar(name: str, value: float, reach: float, text: str | None = None) -> Bar:
    """Return a bar from the middle."""
    length = round(50 * min(abs(value) / (reach or 1.0), 1), 2)
    start = round(50 - length, 2) if value < 0 else 50.0
    return Bar(name, start, length, figure(value, 2) if text is None else text, value < 0)


# Features ----------------------------------------------------------------------------------


class Features(NamedTuple):
    """How far each feature is explained."""

    picture: Picture | None
    chart: Chart | None  # of series
    bars: list[Bar]  # the least explained first
    more: list[Bar]  # the best explained, where not all are listed
    n_left_out: int
    n_constant: int
    median: float


def features(review: Review) -> Features | None:
    """Return the features' bars, or a picture of the pixels'."""
    if review.features is None:
        return None
    explained, subject = review.features.explained, review.subject
    varying = np.flatnonzero(np.isfinite(explained))
    order = varying[np.argsort(explained[varying], kind="stable")]
    constant = len(explained) - len(varying)
    median = float(np.median(explained[varying])) if len(varying) else float("nan")
    if subject.pictures:
        address = images.share(subject.laid_out(explained))
        picture = Picture("the share of each pixel that is explained", address)
        return Features(picture, None, [], [], 0, constant, median)
    if subject.series:
        drawn = explained_chart(subject.laid_out(explained))
        return Features(None, drawn, [], [], 0, constant, median)
    few = len(order) <= MOST_FEATURES
    first, last = (order, order[:0]) if few else (order[:ENDS], order[-ENDS:])
    listed, more = ([_share(subject, int(i), explained) for i in part] for part in (first, last))
    return Features(None, None, listed, more, len(order) - len(first) - len(last), constant, median)


def _share(subject: Subject, feature: int, explained: Floats) -> Bar:
    value = float(explained[feature])
    length = round(100 * float(np.clip(value, 0, 1)), 2)
    return Bar(subject.name_of(feature), 0.0, length, percent(value), value < 0)


# Units -------------------------------------------------------------------------------------


class Unit(NamedTuple):
    """What one unit does."""

    number: int
    share: str  # of all that is moved
    picture: Picture | None
    curves: list[list[Line]]
    told: list[Bar]  # the features that it moves most
    histogram: str  # an SVG path
    low: str
    high: str
    active: str  # share of the rows for which a mostly silent unit is not zero
    note: str  # "dead", "saturated" or nothing


class Strip(NamedTuple):
    """Rows on the way along one unit."""

    number: int
    pictures: list[Picture]
    curves: list[list[Line]]


def drawn_units(review: Review) -> list[Unit]:
    """Return the strongest units; where strength is not known, those that vary most."""
    if review.units is None:
        most = np.argsort(-review.activity.spread, kind="stable")[:MOST_UNITS]
        return [_used(review, int(unit)) for unit in most]
    found = zip(review.units.chosen, review.units.directions, review.units.strength, strict=True)
    return [
        _unit(review, int(number), direction, float(share))
        for number, direction, share in list(found)[:MOST_UNITS]
    ]


def _used(review: Review, number: int) -> Unit:
    """Return how a unit is used, of a model that cannot say what it does."""
    drawn = histogram(review.subject, number)
    note = {True: "dead"}.get(number in review.activity.dead, "")
    note = note or ("saturated" if number in review.activity.stuck else "")
    low, high = figure(drawn.low, 2), figure(drawn.high, 2)
    active = percent(drawn.active) if drawn.active < 1 else ""
    return Unit(number, "", None, [], [], bars(drawn.counts), low, high, active, note)


def _unit(review: Review, number: int, direction: Floats, share: float) -> Unit:
    subject, unit = review.subject, _used(review, number)._replace(share=percent(share))
    reach = float(np.abs(direction).max())
    if subject.pictures:
        words = f"what unit {number} adds to a picture and takes from it"
        address = images.signed(subject.laid_out(direction), reach)
        return unit._replace(picture=Picture(words, address))
    if subject.series:
        return unit._replace(curves=channels(subject, [("rebuilt", direction)], alike=True))
    moved = np.argsort(-np.abs(direction), kind="stable")[:MOST_TOLD]
    told = [bar(subject.name_of(int(i)), float(direction[i]), reach) for i in moved if direction[i]]
    return unit._replace(told=told)


def strips(review: Review) -> list[Strip]:
    """Return the way along each of the strongest units, of pictures and series."""
    subject = review.subject
    if review.units is None or not (subject.pictures or subject.series):
        return []
    made = []
    for number in review.units.chosen[:MOST_MOVED].tolist():
        way = traversal(subject, number)
        if subject.series:
            steps = [(f"step-{i}", row) for i, row in enumerate(way.rows)]
            made.append(Strip(number, [], channels(subject, steps)))
            continue
        shown = [
            Picture(
                f"unit {number} at {figure(value, 2)}",
                images.light(subject.light(row), 0, 1),
            )
            for value, row in zip(way.values, way.rows, strict=True)
        ]
        made.append(Strip(number, shown, []))
    return made


def first_weights(review: Review) -> list[Picture]:
    """Return the strongest filters of the encoder's first layer, of pictures."""
    weights = filters(review.model) if review.subject.pictures else None
    if weights is None:
        return []
    # A weight counts by what it meets.
    met = weights * (review.subject.clean.std(axis=0) / review.subject.scaling.scale.numpy())
    norms = np.linalg.norm(met, axis=1)
    strongest = np.argsort(-norms, kind="stable")[:STRONGEST_FILTERS]
    drawn = review.subject.laid_out(met)
    return [
        Picture(f"filter {i}", images.signed(drawn[i], float(np.abs(met[i]).max())))
        for i in strongest
    ]
