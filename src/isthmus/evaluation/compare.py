"""A table of several models, and the page that shows it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from isthmus.data.replacing import replacing
from isthmus.evaluation import page
from isthmus.evaluation.comparison import Comparison, comparison


def compare(
    models: Mapping[str, Any],
    X: ArrayLike,
    y: ArrayLike | None = None,
    path: str | os.PathLike[str] | None = None,
    *,
    target: ArrayLike | None = None,
) -> Comparison:
    """Show the same rows to several fitted models, and lay out what each makes of them.

    Errors are in the units of `X`, so that models of different scalings can be compared, or in
    standard deviations where all scale feature by feature; the ratio to PCA is in each model's
    own.

    Parameters
    ----------
    models : mapping of str to estimator
        Fitted, by name: of this library, or any transformer of scikit-learn's.
    X : array-like (N, D)
        Rows that all of them take; of more than 10,000 a part is judged, the same for all.
    y : array-like (N,), optional
        Classes or numbers to judge the codes by.
    path : str or path-like, optional
        Where to write the table as a page.
    target : array-like (N, D), optional
        The clean rows, where `X` is noisy.

    Returns
    -------
    Comparison
        Printed, it is a table; ``.rows`` are records, ``.to_frame()`` is a frame.

    Raises
    ------
    ParameterError
        If there is no model, or one is no fitted transformer.
    DataError
        If the rows do not fit a model, or labels and target do not fit the rows.
    FileError
        If the page cannot be written.
    MissingDependencyError
        If Jinja2 or Pillow, which the page needs, is not installed.
    """
    if path is None:
        return comparison(models, X, y, target=target)
    page.check_extras("Writing a comparison")  # and whether the path is a file's, before the work
    with replacing(path) as beside:
        made = comparison(models, X, y, target=target)._replace(path=Path(path))
        beside.write_bytes(page.comparison_page(made))
    return made
