"""The card of a saved model: what people who find the folder want to know, in Markdown."""

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any

from isthmus.data.artefact import versions
from isthmus.estimators.own_modules import modules_in
from isthmus.estimators.parameters import changed
from isthmus.estimators.provenance import epochs, references, spelled
from isthmus.estimators.saving import held_out

MANY = 100  # columns that are listed
MEANINGS = {
    "loss": "the sum of its terms",
    "nll": "negative log-likelihood of a row",
    "divergence": "of the code from its prior",
    "cross_entropy": "negative log-probability of a row's class",
}


def card(model: Any) -> str:
    """Return the card of a fitted estimator."""
    papers = references(model)
    sections = {
        "Use": _use(model),
        "Data": _data(model),
        "Parameters": _parameters(model),
        "Figures": table(("figure", "value", "meaning"), _figures(model)),
        "Made with": ", ".join(f"{name} {number}" for name, number in versions().items()) + ".",
        "References": "\n".join(f"- {paper}" for paper in papers),
    }
    name, n_out = type(model).__name__, len(model.get_feature_names_out())
    head = f"# {name}: {model.n_features_in_} features to {n_out}\n\n{_first_line(model)}"
    parts = [head, *(f"## {title}\n\n{text}" for title, text in sections.items() if text)]
    return "\n\n".join(parts) + "\n"


def _first_line(model: Any) -> str:
    text = inspect.getdoc(type(model)) or ""
    return text.split("\n\n")[0].replace("\n", " ")


def _use(model: Any) -> str:
    own = modules_in(model.parameters_) is not None
    given = ", network=Custom(encoder, decoder)" if own else ""
    answer = "model.predict(X)" if hasattr(model, "predict") else "model.transform(X)"
    lines = ["from isthmus import load"] + ["from isthmus.parts import Custom"] * own
    lines += ["", f'model = load("this folder"{given})', answer]
    return "\n".join(["```python", *lines, "```"])


# Data ------------------------------------------------------------------------------------


def _data(model: Any) -> str:
    shape = " x ".join(map(str, model.sample_shape_))
    scaling = model.parameters_.get("scaling") or "that of the autoencoder within"
    seen = getattr(model, "n_samples_seen_", None)
    rows = [
        ("rows of training", "unknown" if seen is None else f"{seen}"),
        ("a row", f"{shape} numbers"),
        ("scaling, within the model", code(scaling)),
    ]
    if hasattr(model, "classes_"):
        rows.append(("classes", ", ".join(code(label) for label in model.classes_[:MANY])))
    names = list(getattr(model, "feature_names_in_", ()))
    facts = table(("fact", "value"), rows)
    return facts if not names else f"{facts}\n\n{_columns(names, model._feature_dtypes)}"


def _columns(names: list[Any], dtypes: list[str] | None) -> str:
    kinds = dtypes or ["unknown"] * len(names)
    rows = [(code(name), code(kind)) for name, kind in zip(names, kinds, strict=True)]
    more = f"\n\nand {len(rows) - MANY} more, in `config.json`." * (len(rows) > MANY)
    return table(("column", "type"), rows[:MANY]) + more


# Parameters and figures ------------------------------------------------------------------


def _parameters(model: Any) -> str:
    given = changed(model)
    if not given:
        return "All at their defaults."
    rows = [(code(name), code(spelled(value))) for name, value in given.items()]
    return "All others are at their defaults.\n\n" + table(("parameter", "value"), rows)


def _figures(model: Any) -> Iterator[tuple[str, str, str]]:
    versus = getattr(model, "versus_pca_", None)
    if versus is not None:
        beside = f"squared error, times that of PCA as wide; {versus.rows}, {versus.n_rows} rows"
        yield "error beside PCA", f"{versus.ratio:.3g}", beside
    for name, value in held_out(model).items():
        meaning = MEANINGS.get(name, "a penalty, its weight applied")
        yield f"held-out {name}", f"{value:.4g}", f"{meaning}; nats a row, at the epoch kept"
    yield "epochs", epochs(model), "that made the model"


# Markdown --------------------------------------------------------------------------------


def table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table of cells that are Markdown."""
    lines = [titles, ("---",) * len(titles), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def code(value: Any) -> str:
    """Return text that a user gave as a span of code, in which nothing is a mark, of one line."""
    text = re.sub(r"\s+", " ", str(value)).replace("|", "\\|")
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {text} {fence}" if longest or not text.strip() else f"{fence}{text}{fence}"
