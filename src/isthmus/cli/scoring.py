"""``isthmus score``: how well a model rebuilds rows, and which are least likely, or outliers."""

from pathlib import Path

import numpy as np
from rich.table import Table
from sklearn.base import is_outlier_detector

from isthmus.cli.applying import autoencoder_and_rows
from isthmus.cli.denoising import picture_denoiser
from isthmus.cli.outputs import check_file, facts, plain_console, say, titled
from isthmus.cli.picture_scores import score_pictures
from isthmus.cli.rows import Rows
from isthmus.data.writing import write
from isthmus.errors import ParameterError
from isthmus.estimators.inputs import Floats, check_domain
from isthmus.estimators.saving import load

WORST = 5  # rows that are listed
MOST_LISTED = 20  # outliers; all of them stand in the file that --out names


def score(data: Path, model: Path, target: Path | None, out: Path | None, *, force: bool) -> int:
    """Print how well a file's rows, or pictures beside clean ones, are rebuilt; write it to `out`.

    Returns
    -------
    int
        The exit code.

    Raises
    ------
    IsthmusError
        If a file or the model cannot be used.
    """
    if out is not None:
        check_file(out, data, force=force)
    if target is None:
        _score_rows(data, model, out)
        return 0
    denoise = picture_denoiser(load(model))
    if denoise is None:
        raise ParameterError(
            f"{model} takes rows of one width, and --target is for models of pictures of any size: "
            f"leave it out, or use isthmus report with --target."
        )
    return score_pictures(data, target, denoise, out, title=f"{data}, by {model}")


def _score_rows(data: Path, model: Path, out: Path | None) -> None:
    """Print the errors of a file's rows, and write them to a file if one is named."""
    estimator, rows = autoencoder_and_rows(model, data)
    check_domain(rows.values, estimator.model_.parts.likelihood, str(data))
    errors = estimator.reconstruction_error(rows.values)
    scores = estimator.score_samples(rows.values)
    finds = is_outlier_detector(estimator)
    name = "score" if finds else "log-likelihood"
    columns = {"squared_error": errors, name.replace("-", "_"): scores}
    rebuilt = {
        "mean squared error": f"{errors.mean():.6g} (squared units, summed over "
        f"{rows.values.shape[1]} features)",
        "explained variance": f"{estimator.score(rows.values):.4f} (1 is perfect)",
    }
    likely = {f"mean {name}": f"{scores.mean():.6g} nats per row"}
    pairs: dict[str, object] = {"rows": len(errors), **rebuilt, **likely}
    n_listed = WORST
    if finds:
        columns["outlier"] = scores < estimator.offset_
        n_found = int(columns["outlier"].sum())
        n_listed = min(max(n_found, WORST), MOST_LISTED)
        found = f"{n_found} (score below {estimator.offset_:.6g})"
        pairs = {"rows": len(errors), "outliers": found, **likely, **rebuilt}
    console = plain_console()
    console.print(facts(f"{data}, by {model}", pairs))
    console.print(worst(rows, errors, scores, name, n_listed))
    if out is not None:
        whole = [name for name, values in columns.items() if values.dtype == bool]
        write(out, np.column_stack([*columns.values()]), [*columns], rows.labels(), whole)
        say(f"{out}: {len(errors)} rows, {len(columns)} columns.")


def worst(rows: Rows, errors: Floats, scores: Floats, name: str, n_listed: int) -> Table:
    """Lay out the rows of the lowest scores, the worst first; rows are counted from 0.

    Squared errors in the user's units would only show the features with the largest numbers.
    """
    table = titled(f"Rows with the lowest {name}")
    table.add_column("row (from 0)", justify="right")
    if rows.names is not None:
        table.add_column("picture", overflow="fold")
    table.add_column(name, justify="right")
    table.add_column("squared error", justify="right")
    for row in np.argsort(scores, kind="stable")[:n_listed]:
        picture = [] if rows.names is None else [rows.names[row]]
        table.add_row(str(row), *picture, f"{scores[row]:.6g}", f"{errors[row]:.6g}")
    return table
