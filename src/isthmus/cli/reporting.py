"""``isthmus report`` and ``isthmus compare``: from saved models and a file to a page."""

import os
import shlex
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.cli.applying import model_and_rows
from isthmus.cli.options import at_the_shell
from isthmus.cli.outputs import check_page, say
from isthmus.cli.rows import Rows, read_labels, read_rows
from isthmus.data.replacing import replacing
from isthmus.errors import DataError, ParameterError
from isthmus.estimators.inputs import Reading
from isthmus.evaluation import page
from isthmus.evaluation.code_map import Projection
from isthmus.evaluation.compare import compare as compare_models
from isthmus.evaluation.review import review

SHOWN = 5  # names of columns


def report(
    model: Path,
    data: Path,
    out: Path,
    *,
    labels: str | None,
    target: Path | None,
    sample_shape: tuple[int, ...] | None,
    projection: Projection,
    force: bool,
) -> None:
    """Write the page of a saved model before a file's rows, and print its verdict.

    Raises
    ------
    IsthmusError
        If a file or the model cannot be used.
    """
    check_page(out, data, force=force)
    page.check_extras()
    estimator, rows = model_and_rows(model, data)
    made = review(
        estimator,
        _frame(estimator, rows),
        None if labels is None else read_labels(labels, data),
        target=None if target is None else _clean(rows, target),
        sample_shape=sample_shape or (None if Reading.of(estimator).pads else _shape(rows)),
        projection=projection,
    )
    typed = made.origin._replace(code=_typed(model, data, out, labels, target, sample_shape))
    with replacing(out) as beside:
        beside.write_bytes(page.report_page(made._replace(origin=typed)))
    say(at_the_shell(str(made.verdict)))
    say(f"{out}: open it in a browser.")


def compare(models: Sequence[Path], data: Path, out: Path | None, **options: Any) -> None:
    """Print what several saved models make of a file's rows, and write a page if one is named.

    Raises
    ------
    IsthmusError
        If a file or a model cannot be used.
    """
    if out is not None:
        check_page(out, data, force=options["force"])
        page.check_extras("Writing a comparison")
    loaded = {name: model_and_rows(path, data) for name, path in _names(models).items()}
    (beginning, (_, first)), *others = loaded.items()
    for name, (_, rows) in others:
        if None not in (rows.columns, first.columns) and rows.columns != first.columns:
            raise DataError(
                f"{beginning} takes {_shown(first)}, and {name} {_shown(rows)}: give models of "
                f"the same columns."
            )
    labels, target = options["labels"], options["target"]
    table = compare_models(
        {name: estimator for name, (estimator, _) in loaded.items()},
        first.values,
        None if labels is None else read_labels(labels, data),
        out,
        target=None if target is None else _clean(first, target),
    )
    say(repr(table))
    if out is not None:
        say(f"{out}: open it in a browser.")


def _frame(estimator: Any, rows: Rows) -> Any:
    """Return rows under the names of their columns, and remind the estimator of these."""
    if rows.columns is None or find_spec("polars") is None:
        return rows.values
    estimator.feature_names_in_ = np.array(rows.columns, dtype=object)
    return rows.named()


def _clean(rows: Rows, path: Path) -> Any:
    """Read the clean rows of noisy ones."""
    clean = read_rows(path, rows.meant())
    return clean.values if rows.columns is None else clean._replace(columns=rows.columns).named()


def _shape(rows: Rows) -> tuple[int, ...] | None:
    """Return the shape of pictures; a list of numbers tells none."""
    if len(rows.shape) == 2:
        return (*rows.shape, 1)
    return rows.shape if len(rows.shape) == 3 and rows.shape[2] in (1, 3) else None


def _shown(rows: Rows) -> str:
    """Return the number of columns, and their names; of many the first."""
    names = [*map(repr, rows.columns or ())]
    return f"{len(names)} columns ({', '.join([*names[:SHOWN], *['...'] * (len(names) > SHOWN)])})"


def _names(models: Sequence[Path]) -> dict[str, Path]:
    """Call models by their folders; those of the same name by their paths.

    Raises
    ------
    ParameterError
        If one is given twice.
    """
    places = [os.path.abspath(path) for path in models]
    for i, path in enumerate(models):
        if places[i] in places[:i]:
            raise ParameterError(f"{path} is given twice: give each model once.")
    names = [path.name for path in models]
    return {(path.name if names.count(path.name) == 1 else str(path)): path for path in models}


def _typed(
    model: Path,
    data: Path,
    out: Path,
    labels: str | None,
    target: Path | None,
    shape: tuple[int, ...] | None,
) -> str:
    """Return the command that makes the page again."""
    words = ["isthmus", "report", str(model), str(data)]
    shown = ",".join(map(str, shape)) if shape else None
    options = {"--labels": labels, "--target": target, "--shape": shown, "--out": out}
    for name, value in options.items():
        if value is not None:
            words += [name, str(value)]
    return shlex.join(words)
