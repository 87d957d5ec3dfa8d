"""``isthmus sample``: new samples from a saved model, as a picture, pictures or a table."""

import contextlib
import math
import re
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
from isthmus.estimators.sampling import CHAINS
from isthmus.estimators.saving import load
from isthmus.evaluation.drawing import drawn_shape, laid_out

GRID = ".png"
OF_CODES = {"method": "--method", "expected": "--drawn"}  # what only samples by codes have
MANY, LONGEST = 10, 40  # labels that are listed; letters of one in the name of a picture
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
    labelled, as_pictures = hasattr(estimator, "classes_"), ending in (GRID, "")
    if label is not None:
        options["y"] = _known_label(estimator, label)
    elif labelled and ending in (".npy", ".npz"):
        raise ParameterError(
            f"{out} holds no labels, and the samples have some: write a .csv or .parquet, or ask "
            f"for one label by --label."
        )
    made = estimator.sample(
        n_samples, random_state=seed, **options, **({"return_labels": True} if labelled else {})
    )
    samples, labels = made if labelled else (made, None)
    rows = np.asarray(samples).reshape(n_samples, -1)
    if as_pictures:
        _write_pictures(out, estimator, rows, labels, sample_shape)
    else:
        names = getattr(estimator, "feature_names_in_", None)
        columns = None if names is None else [str(name) for name in names]
        beside = {} if labels is None else {_free_name(estimator, columns): labels.tolist()}
        write(out, rows, columns, beside)
    of_each = "" if labels is None else f", of {_counted(labels)}"
    say(f"{out}: {n_samples} samples, seed {seed}{of_each}.")


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


def _known_label(estimator: Any, label: str) -> Any:
    """Return the class that is typed: as it is written, as a number, or in other case."""
    if not hasattr(estimator, "classes_"):
        raise ParameterError("The model was fitted without labels: leave out --label.")
    classes = estimator.classes_.tolist()
    known = {str(each): each for each in classes}
    figures = {each: each for each in classes if type(each) in (int, float)}
    if label in known:
        return known[label]
    with contextlib.suppress(ValueError, KeyError):
        return figures[float(label)]
    alike = [each for name, each in known.items() if name.lower() == label.lower()]
    if len(alike) == 1:
        return alike[0]
    raise ParameterError(
        f"--label {label} is none that the model knows{did_you_mean(label, known)} "
        f"({', '.join(known)})."
    )


def _names(n_samples: int, labels: npt.NDArray[Any] | None) -> list[str]:
    """Return names of pictures, in which their labels are spelled as all systems allow."""
    digits = len(str(n_samples - 1))
    numbers = [f"sample-{i:0{digits}}" for i in range(n_samples)]
    if labels is None:
        return [f"{number}.png" for number in numbers]
    words = [re.sub(r"[^\w.-]+", "_", str(label))[:LONGEST] for label in labels.tolist()]
    return [f"{number}-{word}.png" for number, word in zip(numbers, words, strict=True)]


def _counted(labels: npt.NDArray[Any]) -> str:
    """Say how many there are of each label."""
    kinds, counts = np.unique(labels, return_counts=True)
    told = [f"{kind} ({n})" for kind, n in zip(kinds.tolist(), counts, strict=True)]
    return ", ".join(told[:MANY]) + f" and {len(told) - MANY} others" * (len(told) > MANY)


def _free_name(estimator: Any, columns: Sequence[str] | None) -> str:
    """Return the name of the labels' column, which no feature has."""
    name: str = estimator.label_name_ or "label"
    while name in (columns or ()):
        name += "_"
    return name


def _write_pictures(
    out: Path,
    estimator: Any,
    rows: npt.NDArray[Any],
    labels: npt.NDArray[Any] | None,
    shape: tuple[int, ...] | None,
) -> None:
    """Write rows as one picture or as a folder of them, one label after the other."""
    if labels is not None:
        order = np.argsort(labels, kind="stable")
        rows, labels = rows[order], labels[order]
    pictures = _pictures(estimator, rows, shape)
    if out.suffix:
        _write_grid(out, pictures)
    else:
        write_pictures(out, pictures, _names(len(rows), labels))


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
