"""What to type after a fit."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from sklearn.base import is_outlier_detector

from isthmus.data.pictures import is_picture

if TYPE_CHECKING:
    from isthmus.estimators.base import BaseAutoencoder


def next_command(estimator: "BaseAutoencoder", data: Path, model: Path, *, denoises: bool) -> str:
    """Return what a fitted estimator, saved as `model`, is best used by."""
    if is_outlier_detector(estimator):
        return shlex.join(["isthmus", "score", str(data), "--model", str(model)])
    if estimator.model_.parts.code.prior and not denoises:
        out = Path("samples.png" if data.is_dir() else "samples.csv")
        return shlex.join(["isthmus", "sample", str(model), "--out", _apart(out, data)])
    return using_command(data, model, denoises=denoises)


def using_command(data: Path, model: Path, *, denoises: bool) -> str:
    """Return how the data go through a model."""
    ending = ".csv" if data.suffix == ".tsv" else data.suffix
    ending = ending if ending in (".csv", ".parquet", ".npz") else ".npy"
    ending = data.suffix if is_picture(data) else ending
    name = "clean" if denoises else "codes"
    out = Path(name if denoises and data.is_dir() else f"{name}{ending}")
    verb = "denoise" if denoises else "transform"
    return shlex.join(["isthmus", verb, str(data), _apart(out, data), "--model", str(model)])


def _apart(out: Path, data: Path) -> str:
    """Return where to write, which is not the data itself."""
    return str(out.with_stem(f"{out.stem}2") if out.resolve() == data.resolve() else out)
