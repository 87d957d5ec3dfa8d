"""One report of what an autoencoder learned and whether it earned its place."""

import os
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from isthmus.data.replacing import replacing
from isthmus.evaluation import page
from isthmus.evaluation.code_map import Projection
from isthmus.evaluation.review import Review, review


def report(
    model: Any,
    X: ArrayLike,
    y: ArrayLike | None = None,
    path: str | os.PathLike[str] | None = "report.html",
    *,
    target: ArrayLike | None = None,
    sample_shape: tuple[int, ...] | None = None,
    projection: Projection = "auto",
) -> Review:
    """Look at a fitted model before rows, say what it is worth, and write it as one page.

    The page is one HTML file that asks no host for anything. Of more than 10,000 rows a part is
    judged, always the same; rows that the model has not seen tell more.

    Parameters
    ----------
    model : estimator
        Fitted, of this library.
    X : array-like (N, D)
        In the units and with the columns that it was fitted to; clean rows, or noisy ones with
        `target`.
    y : array-like (N,), optional
        Classes or numbers to colour and to judge the code by; -1, None and NaN are unlabelled.
    path : str or path-like, optional
        The file to write or to replace; None writes none.
    target : array-like (N, D), optional
        The clean rows, where `X` is noisy.
    sample_shape : tuple of int, optional
        How a row is drawn: ``(height, width, colours)``, ``(steps, channels)`` or ``(D,)``.
    projection : {"auto", "pca", "umap"}
        How codes of more than two units are laid out.

    Returns
    -------
    Review
        Its text is the verdict; its fields are everything that the page shows.

    Raises
    ------
    ParameterError
        If the model is none of this library's, or an option is unknown.
    DataError
        If rows, target or labels do not fit the model or each other.
    FileError
        If the page cannot be written.
    MissingDependencyError
        If Jinja2 or Pillow, which the page needs, is not installed.
    """
    options: dict[str, Any] = {
        "target": target,
        "sample_shape": sample_shape,
        "projection": projection,
    }
    if path is None:
        return review(model, X, y, **options)
    page.check_extras()  # and whether the path is a file's, before the work
    with replacing(path) as beside:
        made = review(model, X, y, **options)._replace(path=Path(path))
        beside.write_bytes(page.report_page(made))
    return made
