"""``isthmus sample``: new samples from a saved model, as a picture, pictures or a table."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.cli.outputs import check_file, check_folder, check_path, say
from isthmus.data.pictures import levels_of
from isthmus.data.replacing import replacing
from isthmus.data.writing import write, write_pictures
from isthmus.errors import DataError, ParameterError, did_you_mean, missing
from isthmus.estimators.conditions import drawn_labels
from isthmus.estimators.sampling import CHAINS
from isthmus.estimators.saving import load
from isthmus.evaluation.drawing import drawn_shape, laid_out
from isthmus.fitting.streams import Streams

GRID = ".png"
OF_CODES = {"method": "--method", "expected": "--drawn"}  # what only samples by codes have
WIDE = 600  # pixels: a smaller grid is enlarged by a whole factor


def sample(
    model: Path,
    out: Path,
    *,
    n_samples: int,
    method: str | None,
    n_steps: int | None,
    label: str | None,
    drawn: bool,
    seed: int,
    sample_shape: tuple[int, ...] | None,
    force: bool,
) -> None:
    """Write new samples: a grid where `out` ends in .png, rows in a file, else a folder of PNG.

    Raises
    ------
    IsthmusError
        If the model cannot be sampled so, or the file cannot be written.
    """
    ending = out.suffix.lower()
    if ending in (GRID, ""):
        (check_path if ending else check_folder)(out, model, force=force)
    else:
        besides = f", {GRID} for one picture of all, or a folder"
        check_file(out, model, force=force, besides=besides)
    estimator = load(model)
    if not hasattr(estimator, "sample"):
        raise ParameterError(
            f"{model} is of {type(estimator).__name__}, which makes no samples: give the model of "
            f"an autoencoder or of a restricted Boltzmann machine."
        )
    asked = {"method": method, "n_steps": n_steps, "expected": False if drawn else None}
    options = {name: value for name, value in asked.items() if value is not None}
    _check_asked(estimator, options)
    labels = _labels(estimator, label, n_samples, seed)
    if labels is not None and label is None and ending in (".npy", ".npz"):
        raise ParameterError(
            f"{out} holds no labels, and the samples have some: write a .csv or .parquet, or ask "
            f"for one label by --label."
        )
    told = {} if labels is None else {"y": labels}
    made = estimator.sample(n_samples, random_state=seed, **told, **options)
    rows = np.asarray(made).reshape(n_samples, -1)
    if ending not in (GRID, ""):
        names = getattr(estimator, "feature_names_in_", None)
        columns = None if names is None else [str(name) for name in names]
        beside = {} if labels is None else {_free_name(estimator, columns): labels.tolist()}
        write(out, rows, columns, beside)
    else:
        pictures = _pictures(estimator, rows, sample_shape)
        if ending == GRID:
            _write_grid(out, pictures)
        else:
            digits = len(str(n_samples - 1))
            write_pictures(out, pictures, [f"sample-{i:0{digits}}.png" for i in range(n_samples)])
    say(f"{out}: {n_samples} samples, seed {seed}.")


def _check_asked(estimator: Any, asked: Mapping[str, Any]) -> None:
    """Refuse what needs codes where there are none, and steps where nothing goes by steps."""
    by_gibbs_alone = not hasattr(estimator, "codes_")
    strange = [flag for name, flag in OF_CODES.items() if name in asked]
    if by_gibbs_alone and strange:
        raise ParameterError(
            f"{type(estimator).__name__} samples by Gibbs alone: leave out {strange[0]}."
        )
    if "n_steps" in asked and not by_gibbs_alone and asked.get("method") not in CHAINS:
        raise ParameterError(
            f"--steps are those of a Markov chain, and there is none: leave it out, or add "
            f"--method {' or '.join(CHAINS)}."
        )


def _labels(estimator: Any, label: str | None, n_samples: int, seed: int) -> Any:
    """Return the label of each sample, the one that is typed or drawn ones; None if it has none."""
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        if label is not None:
            raise ParameterError("The model was fitted without labels: leave out --label.")
        return None
    if label is None:
        return drawn_labels(estimator, n_samples, Streams(seed))
    known = {str(each): each for each in classes.tolist()}
    if label not in known:
        raise ParameterError(
            f"--label {label} is none that the model knows{did_you_mean(label, known)} "
            f"({', '.join(known)})."
        )
    return np.array([known[label]] * n_samples)


def _free_name(estimator: Any, columns: Sequence[str] | None) -> str:
    """Return the name of the labels' column, which no feature has."""
    name: str = estimator.label_name_ or "label"
    while name in (columns or ()):
        name += "_"
    return name


def _pictures(
    estimator: Any, rows: npt.NDArray[Any], shape: tuple[int, ...] | None
) -> npt.NDArray[np.float32]:
    """Return rows as pictures (n, h, w, c)."""
    named = hasattr(estimator, "feature_names_in_")
    drawn = drawn_shape(estimator, rows.shape[1], shape, named=named)
    if len(drawn) < 2:
        raise DataError(
            f"The model's rows of {rows.shape[1]} values are no pictures: say how they are drawn "
            f"by --shape height,width, or write to a file such as samples.csv."
        )
    known = getattr(estimator, "sample_shape_", None)
    return laid_out(rows, (*drawn, 1)[:3], known)


def _write_grid(out: Path, pictures: npt.NDArray[np.float32]) -> None:
    """Write pictures (n, h, w, c) as one, in about as many lines as columns."""
    try:
        from PIL import Image
    except ImportError:
        raise missing("pillow", "Writing pictures", "pictures") from None
    levels = levels_of(pictures, deep=False)
    n_columns = math.ceil(math.sqrt(len(levels)))
    n_lines = math.ceil(len(levels) / n_columns)
    height, width = levels.shape[1:3]
    grid = np.full(
        (n_lines * (height + 1) - 1, n_columns * (width + 1) - 1, *levels.shape[3:]), 128
    )
    for i, picture in enumerate(levels):
        top, left = (i // n_columns) * (height + 1), (i % n_columns) * (width + 1)
        grid[top : top + height, left : left + width] = picture
    factor = max(1, math.ceil(WIDE / grid.shape[1]))
    large = grid.astype(np.uint8).repeat(factor, axis=0).repeat(factor, axis=1)
    with replacing(out) as beside:
        Image.fromarray(large).save(beside)
