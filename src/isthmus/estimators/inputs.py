"""What comes into an estimator: arrays, memmaps, frames and tensors, checked without copies."""

import math
import warnings
from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_array, validate_data

from isthmus.data.rows import chunks
from isthmus.data.tables import as_number
from isthmus.data.tiles import to_light
from isthmus.errors import DataError, ParameterError
from isthmus.estimators import samples
from isthmus.parts.slots import Likelihood

WIDEST = 1024  # features that a chunk is planned for at least, since hidden layers take room too

Array = NDArray[np.generic]
Floats = NDArray[np.floating[Any]]


def check_rows(
    estimator: BaseEstimator, X: ArrayLike, *, reset: bool, at_least: int = 1, name: str = "X"
) -> Array:
    """Return `X` as rows (N, D) of numbers, not copied where that can be; remember its columns.

    Samples (N, *S) become rows, and S is remembered too.

    Parameters
    ----------
    reset : whether `X` sets the features that later rows must have (in `fit`).
    at_least : rows that are needed.

    Raises
    ------
    DataError
        If there are too few rows, text, or values that are not finite.
    """
    if type(X).__name__ == "LazyFrame":
        raise DataError(f"{name} is a LazyFrame, which holds no rows yet: give {name}.collect().")
    X, pads = from_torch(X), getattr(estimator, "_pads", False)
    fitted = None if reset else getattr(estimator, "sample_shape_", None)
    if pads:
        X = samples.padded(X, name, fitted[0] if fitted else None)
    X, shape = samples.flattened(X, name)
    if fitted is not None:
        samples.check_same_shape(fitted, shape, name)
    _check_enough(_n_rows(X), at_least, estimator, name)  # before scikit-learn says it its way
    try:
        array = _validated(estimator, X, reset=reset, further=name != "X")
    except (ValueError, TypeError) as error:
        raise _ragged_error(error, name) or _text_error(X, name) or error from None
    _check_enough(len(array), at_least, estimator, name)
    if array.shape[1] != estimator.n_features_in_:
        raise DataError(
            f"{name} has {array.shape[1]} columns, and X has {estimator.n_features_in_}: give rows "
            f"with the same columns."
        )
    if name != "X":
        _check_columns(estimator, X, name)
    if reset:
        declared = getattr(estimator, "sample_shape", None)
        estimator.sample_shape_ = samples.check_shape(declared, shape, array.shape[1])
        estimator._given_shape = shape or (array.shape[1],)
        estimator._feature_dtypes, estimator.n_samples_seen_ = _dtypes(X), len(array)
    if pads and len(estimator.sample_shape_) == 2:
        samples.check_padding(array, estimator.sample_shape_[1], name)
    else:
        check_finite(array, X, name)
    light = getattr(estimator, "_light", False)
    return to_light(array) if light and array.dtype != np.float32 else array


def count_further(estimator: BaseEstimator, array: Array) -> None:
    """Count the rows of a further portion; what nobody counted before stays unknown."""
    seen = getattr(estimator, "n_samples_seen_", None)
    estimator.n_samples_seen_ = None if seen is None else seen + len(array)


def _dtypes(X: Any) -> list[str] | None:
    """Return the names of the types of a frame's columns."""
    return [str(dtype) for dtype in X.dtypes] if hasattr(X, "columns") else None


def _validated(estimator: BaseEstimator, X: Any, *, reset: bool, further: bool) -> Array:
    """Return a numeric array; our own finiteness check follows, which says where."""
    options = {"dtype": "numeric", "ensure_all_finite": False, "ensure_min_samples": 0}
    array: Array = (
        check_array(X, **options)
        if further
        else validate_data(estimator, X, reset=reset, **options)
    )
    return array.astype(np.float64) if array.dtype.kind == "O" or array.itemsize > 8 else array


def _check_enough(n_rows: int | None, at_least: int, estimator: BaseEstimator, name: str) -> None:
    if n_rows is not None and n_rows < at_least:
        raise DataError(
            f"{name} has {n_rows} sample(s), and {type(estimator).__name__} needs at least "
            f"{at_least}: give it more rows."
        )


def from_torch(X: Any) -> Any:
    """Return a tensor as an array; anything else as it is."""
    if not isinstance(X, torch.Tensor):
        return X
    X = X.detach().cpu()
    return (X.float() if X.dtype is torch.bfloat16 else X).numpy()


def check_codes(Z: ArrayLike, n_components: int) -> Array:
    """Return codes (B, K) as an array.

    Raises
    ------
    DataError
        If the width is not K or a value is not finite.
    """
    Z = from_torch(Z)
    try:
        array: Array = check_array(Z, dtype="numeric", ensure_all_finite=False, input_name="Z")
    except ValueError as error:
        raise _ragged_error(error, "Z") or error from None
    if array.shape[1] != n_components:
        raise DataError(
            f"Z has {array.shape[1]} columns, and the code has n_components={n_components}: "
            f"give it what transform returned."
        )
    check_finite(array, Z, "Z")
    return array


def check_picture(picture: Any, n_channels: int) -> Array:
    """Return a picture as files hold it, (height, width, channels).

    Raises
    ------
    DataError
        If it is none, has NaN, or other channels than a model of several.
    """
    array = np.asarray(from_torch(picture))
    if array.ndim not in (2, 3) or array.size == 0 or array.dtype.kind not in "uf":
        raise DataError(
            f"The picture is {array.dtype} of shape {array.shape}: give floats or unsigned "
            f"integers of shape (height, width) or (height, width, channels)."
        )
    array = array if array.ndim == 3 else array[..., None]
    if n_channels not in (1, array.shape[2]):
        raise DataError(
            f"The picture has {array.shape[2]} channel(s) and the model {n_channels}: give one of "
            f"{n_channels}."
        )
    if array.dtype.kind == "f" and not np.isfinite(array.sum(dtype=np.float64)):
        raise DataError("The picture has pixels that are NaN or infinite: fill them in.")
    return array


def check_finite(array: Array, given: Any, name: str) -> None:
    """Refuse NaN and infinity, and say where the first one stands."""
    if array.dtype.kind not in "fc":
        return
    for part in chunks(*array.shape):
        # A sum is not finite if a term is not, and needs no second array. If it overflows though
        # no term does, the look below finds nothing.
        with np.errstate(all="ignore"):
            if np.isfinite(array[part].sum()):
                continue
        wrong = ~np.isfinite(array[part])
        if wrong.any():
            row, column = (int(i) for i in np.argwhere(wrong)[0])
            value = "NaN" if np.isnan(array[part][row, column]) else "infinity (inf)"
            raise DataError(
                f"{name} has {value} at row {part.start + row}, column "
                f"{_column(given, column)}: fill such values in (sklearn.impute.SimpleImputer) "
                f"or drop these rows."
            )


def _check_columns(estimator: BaseEstimator, given: Any, name: str) -> None:
    """Refuse a frame beside X whose columns are not X's."""
    wanted = getattr(estimator, "feature_names_in_", ())
    for mine, theirs in zip(getattr(given, "columns", ()), wanted, strict=False):
        if mine != theirs:
            raise DataError(
                f"{name} has the column {mine!r} where X has {theirs!r}: give the same columns in "
                f"the same order."
            )


def check_paired(noisy: Array, clean: Array, name: str, partner: str) -> None:
    """Refuse clean rows that are not one for each noisy row."""
    if len(noisy) != len(clean):
        raise DataError(
            f"{name} has {len(clean)} rows and {partner} has {len(noisy)}: give one clean row for "
            f"each noisy one, in the same order."
        )


def warn_of_lost_rows(y: Any, shape: tuple[int, ...] | None) -> None:
    """Say that `y` is ignored where it looks like clean rows: of X's shape."""
    if getattr(y, "shape", ()) == shape:
        warnings.warn(
            "y has the shape of X and is ignored: if it holds clean rows, write fit(X, target=y).",
            stacklevel=3,
        )


def further(estimator: BaseEstimator, X: ArrayLike, likelihood: Likelihood, name: str) -> Array:
    """Check the clean rows that `fit` is given besides X."""
    array = check_rows(estimator, X, reset=False, name=name)
    check_domain(array, likelihood, name)
    return array


def held_out(
    estimator: BaseEstimator, validation: Any, likelihood: Likelihood, *, paired: bool
) -> tuple[Array, Array]:
    """Check the rows to stop by; return what goes in and what should come out.

    Raises
    ------
    DataError
        As `check_rows`; and if they are no pair of noisy and clean rows where X is ``paired``.
    """
    if not isinstance(validation, tuple) or len(validation) != 2:
        if paired:
            raise DataError(
                "validation has no clean rows, and X has target: give validation=(noisy, clean)."
            )
        rows = further(estimator, validation, likelihood, "validation")
        return rows, rows
    noisy = check_rows(estimator, validation[0], reset=False, name="validation[0]")
    clean = further(estimator, validation[1], likelihood, "validation[1]")
    check_paired(noisy, clean, "validation[1]", "validation[0]")
    return noisy, clean


def check_domain(array: Array, likelihood: Likelihood, name: str) -> None:
    """Refuse values that the likelihood cannot have produced."""
    needs = f"likelihood {likelihood.name!r}"
    instead = "use likelihood='normal'"
    check_range(array, (likelihood.low, likelihood.high), name, needs, instead)


def check_range(
    array: Array, allowed: tuple[float, float], name: str, needs: str, instead: str
) -> None:
    """Refuse values outside a range; say what needs it and what else would do."""
    if allowed == (-math.inf, math.inf):
        return
    low, high = float(array.min()), float(array.max())
    if low < allowed[0] or high > allowed[1]:
        raise DataError(
            f"{name} runs from {low:g} to {high:g}, and {needs} needs values from "
            f"{allowed[0]:g} to {allowed[1]:g}: rescale {name} (pixels: divide by 255), or "
            f"{instead}."
        )


def check_count(name: str, value: Any, least: int) -> None:
    """Refuse what is no whole number from `least`."""
    if not isinstance(value, Integral) or value < least:
        raise ParameterError(f"{name}={value!r} is no count: write a whole number from {least}.")


def in_chunks(
    function: Callable[[torch.Tensor], torch.Tensor],
    array: Array,
    device: torch.device,
    *width: int,
    exact: bool = False,
) -> Floats:
    """Apply a function of float64 rows, in bounded memory, (N, *width).

    The answer has the precision of the rows, or is ``exact``: float64.
    """
    out = np.empty((len(array), *width), np.float64 if exact else float_type(array))
    with torch.no_grad():
        for part in chunks(len(array), max(array.shape[1], WIDEST)):
            x = torch.from_numpy(array[part].astype(np.float64)).to(device)
            out[part] = function(x).cpu().numpy()
    return out


def float_type(array: Array) -> type[np.floating[Any]]:
    """Return the type of the answer: float32 for float32 and smaller floats, else float64."""
    return np.float32 if array.dtype.kind == "f" and array.itemsize <= 4 else np.float64


def _n_rows(X: Any) -> int | None:
    shape = getattr(X, "shape", None)
    return int(shape[0]) if shape is not None and len(shape) == 2 else None


def _column(given: Any, column: int) -> str:
    columns = getattr(given, "columns", None)
    return repr(list(columns)[column]) if columns is not None else str(column)


def _ragged_error(error: Exception, name: str) -> DataError | None:
    """Say what NumPy's "setting an array element with a sequence" means."""
    if "array element with a sequence" not in str(error):
        return None
    return DataError(
        f"{name} has rows of different lengths, or a list where a number belongs: give every row "
        f"the same number of numbers."
    )


def _text_error(X: Any, name: str) -> DataError | None:
    """Say which column holds something that is no number, if one does."""
    frame = hasattr(X, "columns")
    table = np.asarray(X.to_numpy() if frame else X, dtype=object)
    if table.ndim != 2:
        return None
    for row, values in enumerate(table):
        for column, value in enumerate(values):
            kind = _no_number(value)
            if kind is not None:
                return DataError(
                    f"{name} has {kind} at row {row}, column {_column(X, column)} ({value!r}): "
                    f"drop that column, or {as_number(value)}."
                )
    return None


def _no_number(value: Any) -> str | None:
    """Call a value "text" or "a date" where it is no number."""
    if hasattr(value, "year") or isinstance(value, np.datetime64):
        return "a date"
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            return "text"
    return None
