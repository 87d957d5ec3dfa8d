"""The map of the codes: its dots, its colours, and what a dot tells when it is pointed at."""

import math
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.evaluation.examples import misses, spread_of
from isthmus.evaluation.labels import Labels
from isthmus.evaluation.page.images import Sheet
from isthmus.evaluation.review import Review
from isthmus.evaluation.subject import Subject
from isthmus.evaluation.words import figure

N_COLOURS = 10
N_STEPS = 7  # of a scale
MARGIN = 2.0  # percent
MOST_MISSES = 5
MOST_STEPS = 48  # of a curve that is shown

Floats = NDArray[np.float64]


class Key(NamedTuple):
    """A colour and what it means."""

    look: str
    text: str


class Colouring(NamedTuple):
    """One way to colour the dots."""

    name: str
    title: str
    keys: list[Key]


class MapPanel(NamedTuple):
    """What the template draws."""

    dots: list[tuple[float, float, str]]  # percent, percent, classes of the style sheet
    colourings: list[Colouring]
    facts: dict[str, Any]  # what the script reads
    n_rows: int


def map_panel(review: Review) -> MapPanel:
    """Lay the dots out and colour them."""
    subject, rows, labels = review.subject, review.map.rows, review.labels
    looks: list[list[str]] = []
    colourings: list[Colouring] = []
    if labels is not None:
        part = labels.at(rows)
        found, keys = _classes(part) if part.classes else _scale("v", part.values)
        looks.append(found)
        colourings.append(Colouring("label", "by label", keys))
    if subject.rebuilds:
        found, keys = _scale("e", subject.errors[rows])
        looks.append(found)
        colourings.append(Colouring("error", "by error", keys))
    classes = [" ".join(each) for each in zip(*looks, strict=True)] if looks else [""] * len(rows)
    places = _percent(review.map.places)
    dots = [(float(x), float(y), look) for (x, y), look in zip(places, classes, strict=True)]
    return MapPanel(dots, colourings, _facts(review, rows), len(rows))


def _percent(places: Floats) -> Floats:
    """Return places in percent of the plot, the second from the top."""
    low, high = places.min(axis=0), places.max(axis=0)
    size = np.where(high > low, high - low, 1.0)
    share = np.where(high > low, (places - low) / size, 0.5)
    share[:, 1] = 1 - share[:, 1]
    inside: Floats = np.round(MARGIN + (100 - 2 * MARGIN) * share, 2)
    return inside


def _classes(labels: Labels) -> tuple[list[str], list[Key]]:
    """Give a colour to each class; the rarest of many share one."""
    own = N_COLOURS if len(labels.classes) <= N_COLOURS else N_COLOURS - 1
    looks = ["c-none" if code < 0 else f"c{min(code, own)}" for code in labels.codes.tolist()]
    keys = [Key(f"c{i}", name) for i, name in enumerate(labels.classes[:own])]
    if len(labels.classes) > own:
        keys.append(Key(f"c{own}", f"{len(labels.classes) - own} others"))
    if (labels.codes < 0).any():
        keys.append(Key("c-none", "no label"))
    return looks, keys


def _scale(letter: str, values: Floats) -> tuple[list[str], list[Key]]:
    """Divide numbers into steps of as many rows each."""
    known = values[np.isfinite(values)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, N_STEPS + 1)[1:-1]))
    steps = np.searchsorted(edges, values, side="right")
    looks = [
        f"{letter}{step}" if math.isfinite(value) else "c-none"
        for step, value in zip(steps.tolist(), values.tolist(), strict=True)
    ]
    ends = [float(known.min()), *edges.tolist(), float(known.max())]
    texts = [f"{figure(a, 2)} to {figure(b, 2)}" for a, b in pairwise(ends)]
    keys = [Key(f"{letter}{i}", text) for i, text in enumerate(texts)]
    if len(known) < len(values):
        keys.append(Key("c-none", "no label"))
    return looks, keys


def _facts(review: Review, rows: NDArray[np.intp]) -> dict[str, Any]:
    """Return what each dot tells: its row, its label, its error, and the row itself."""
    subject, labels = review.subject, review.labels
    facts: dict[str, Any] = {"rows": subject.judged[rows].tolist()}
    if labels is not None:
        facts["labels"] = [labels.name_of(row) for row in rows.tolist()]
    if not subject.rebuilds:
        return facts
    facts["errors"] = [figure(error) for error in subject.errors[rows].tolist()]
    if subject.pictures:
        return facts | _sheets(subject, rows)
    if subject.series:
        return facts | _curves(subject, rows)
    spread = spread_of(subject)
    told = [misses(subject, row, MOST_MISSES, spread) for row in rows.tolist()]
    named = sorted({miss.feature for each in told for miss in each})
    place = {feature: i for i, feature in enumerate(named)}
    facts["names"] = [subject.name_of(feature) for feature in named]
    facts["misses"] = [
        [[place[m.feature], figure(m.true), figure(m.rebuilt)] for m in each] for each in told
    ]
    return facts


def _sheets(subject: Subject, rows: NDArray[np.intp]) -> dict[str, Any]:
    kinds = {"true": subject.clean, "rebuilt": subject.rebuilt}
    if subject.noisy:
        kinds = {"noisy": subject.seen, **kinds}
    sheets = {name: Sheet(subject.light(each[rows]), 0, 1) for name, each in kinds.items()}
    one = next(iter(sheets.values()))
    return {
        "sheets": {name: sheet.address for name, sheet in sheets.items()},
        "size": [one.width, one.height, one.across],
    }


def _curves(subject: Subject, rows: NDArray[np.intp]) -> dict[str, Any]:
    """Return the first channel of each row, true and rebuilt, in whole percent of its range."""
    steps = subject.shape[0]
    keep = np.linspace(0, steps - 1, min(steps, MOST_STEPS)).round().astype(int)
    pair = [
        subject.laid_out(values[rows])[:, keep, 0] for values in (subject.clean, subject.rebuilt)
    ]
    low = np.minimum(*(values.min(axis=1) for values in pair))[:, None]
    high = np.maximum(*(values.max(axis=1) for values in pair))[:, None]
    size = np.where(high > low, high - low, 1.0)
    true, rebuilt = ((99 * (values - low) / size).round().astype(int).tolist() for values in pair)
    return {"curves": {"true": true, "rebuilt": rebuilt}}
