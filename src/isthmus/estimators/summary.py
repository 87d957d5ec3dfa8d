"""A fitted estimator in a few lines: for the command line, and as a card for notebooks."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from isthmus.errors import DataError
from isthmus.estimators.provenance import epochs
from isthmus.fitting.curves import Curve, Training, training, window

if TYPE_CHECKING:
    from isthmus.fitting.versus import VersusPCA

FEW, MANY = 4, 10  # names of columns, and of classes, that are shown
WIDTH, HEIGHT = 240, 60  # of a card's curve
CARD = (
    '<div style="font: 13px/1.5 system-ui, sans-serif; display: flex; gap: 24px; padding: 8px 12px;'
    ' margin-bottom: 6px; border: 1px solid #8886; border-radius: 6px; width: fit-content">'
    "<div><strong>{title}</strong><table>{rows}</table></div>{curve}</div>"
)
ROW = (
    '<tr><td style="text-align: left; opacity: .7; padding: 0 12px 0 0">{name}</td>'
    '<td style="text-align: left; padding: 0">{fact}</td></tr>'
)


def how_it_went(estimator: Any) -> dict[str, str]:
    """Return how the fit went; only an autoencoder stands beside a PCA."""
    facts = {"epochs": epochs(estimator)}
    if hasattr(estimator, "classes_"):
        facts["labels"] = _labels(estimator)
    if not hasattr(estimator, "versus_pca_"):
        return facts
    return {"against PCA": _against_pca(estimator), **facts}


def _against_pca(estimator: Any) -> str:
    """Return the model's error beside that of PCA."""
    versus: VersusPCA | None = estimator.versus_pca_
    if versus is not None:
        aim = "; it was trained for likelihood, not for this" * estimator.model_.parts.code.random
        rows = f"{versus.rows}, {versus.n_rows} rows"
        return f"{versus.ratio:.2f} times the error of PCA ({rows}{aim})"
    if estimator.model_.parts.network.skips:
        return "not compared (the network has skips)"
    if estimator.n_components_ >= estimator.n_features_in_:
        return "not compared (PCA of this width loses nothing)"
    return "not compared (partial_fit holds no rows out)"


def _labels(estimator: Any) -> str:
    """List what the rows are labelled with."""
    classes = [str(each) for each in estimator.classes_.tolist()]
    name = getattr(estimator, "label_name_", None)
    listed = ", ".join(classes[:MANY]) + f", ... ({len(classes)})" * (len(classes) > MANY)
    return f"{name}: {listed}" if name else listed


# For notebooks ---------------------------------------------------------------------------


def card(estimator: Any) -> str:
    """Return HTML: what the estimator takes and makes, how its fit went, and its curve."""
    facts = {"shape": _shape(estimator), **how_it_went(estimator)}
    rows = (ROW.format(name=escape(name), fact=escape(fact)) for name, fact in facts.items())
    title = f"{type(estimator).__name__}, fitted"
    return CARD.format(title=escape(title), rows="".join(rows), curve=_curve(estimator))


def _shape(estimator: Any) -> str:
    sample = getattr(estimator, "sample_shape_", (estimator.n_features_in_,))
    spoken = " x ".join(map(str, sample)) + (" features" if len(sample) == 1 else "")
    names = [str(name) for name in getattr(estimator, "feature_names_in_", ())]
    shown = ", ".join(names[:FEW]) + ", ..." * (len(names) > FEW)
    listed = f" ({shown})" if names else ""
    made = [f"a code of {estimator._n_features_out}"]
    if hasattr(estimator, "classes_"):
        made.append(f"{len(estimator.classes_)} classes")
    return f"{spoken}{listed} to {', '.join(made)}"


def _curve(estimator: Any) -> str:
    """Return the loss of the stage that chose the epoch as an SVG, or nothing where none is."""
    try:
        went = training(estimator)
    except DataError:
        return ""
    term = went.groups[went.main][0].name
    drawn = [curve for curve in went.groups[went.main] if curve.name == term]
    if max(len(curve.points) for curve in drawn) < 2:
        return ""
    return _svg(drawn, went, f"{term.replace('_', ' ')} by epoch")


def _svg(drawn: Sequence[Curve], went: Training, words: str) -> str:
    shown = window([point.loss for curve in drawn for point in curve.points])
    last = max(point.epoch for curve in drawn for point in curve.points)
    looks = ({"stroke": "#8a8a8a"}, {"stroke": "#d9730d", "stroke-width": "1.5"})
    lines = [
        _line([(p.epoch / last, shown.share(p.loss)) for p in c.points], looks[c.held_out])
        for c in drawn
    ]
    kept = _line([(went.kept / last, 0), (went.kept / last, 1)], {"stroke": "#8a8a8a88"})
    legend = "grey: training; orange: held out" if any(c.held_out for c in drawn) else "training"
    return (
        f'<figure style="margin: 0"><svg width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{escape(words)}" viewBox="0 0 {WIDTH} {HEIGHT}" fill="none">'
        f'{kept}{"".join(lines)}</svg><figcaption style="font-size: 11px; opacity: .7">'
        f"{escape(words)}, {legend}</figcaption></figure>"
    )


def _line(points: Sequence[tuple[float, float]], look: Mapping[str, str]) -> str:
    """Return a line through points whose sides are shares, upwards."""
    at = " ".join(
        f"{WIDTH * x:.1f},{HEIGHT * (1 - min(max(y, 0.0), 1.0)):.1f}" for x, y in points if y == y
    )
    attributes = " ".join(f'{name}="{value}"' for name, value in look.items())
    return f'<polyline points="{at}" {attributes}/>'
