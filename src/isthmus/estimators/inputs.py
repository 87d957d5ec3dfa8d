"""What comes into an estimator: arrays, memmaps, frames and tensors, checked without copies."""

import math
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_array, validate_data

from isthmus.data.rows import chunks
from isthmus.data.tiles import to_light
from isthmus.errors import DataError, ParameterError, a_few, caution
from isthmus.estimators import samples
from isthmus.estimators.arrays import column_of, real_numbers, refusing, unwrapped
from isthmus.parts.networks.network import Network
from isthmus.parts.slots import Likelihood

Array = NDArray[np.generic]
Floats = NDArray[np.floating[Any]]

RGB = 3  # channels of a model of colours, to which grey is three that are equal


class Reading(NamedTuple):
    """How an estimator reads its rows."""

    pads: bool = False  # rows may be sequences that end early
    light: bool = False  # bytes are shares of full light, as for pictures of any size

    @classmethod
    def of(cls, estimator: Any) -> "Reading":
        """Return how rows are read for the network that an estimator, or one within it, names."""
        network = network_of(estimator)
        return cls() if network is None else cls(network.sequences, network.skips)


def network_of(estimator: Any) -> Network | None:
    """Return the network that an estimator, or the one within it, names; machines have none."""
    within = getattr(estimator, "autoencoder", None)
    named = getattr(estimator if within is None else within, "network", None)
    return None if named is None else Network.of(named)


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
    if reset:
        estimator._reading = Reading.of(estimator)
    X, (pads, light) = unwrapped(X, name), getattr(estimator, "_reading", Reading())
    fitted = None if reset else getattr(estimator, "sample_shape_", None)
    with refusing(X, name):
        if fitted is not None:
            samples.check_several(X, fitted, name)
        if pads:
            room = fitted or getattr(estimator, "sample_shape", None) or (None,)
            X = samples.padded(X, name, room[0] if len(room) == 2 else None)
        X, shape = samples.flattened(X, name)
    if fitted is not None:
        samples.check_same_shape(fitted, shape, name)
    _check_enough(_n_rows(X), at_least, estimator, name)  # before scikit-learn says it its way
    array = _validated(estimator, X, name, reset=reset)
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
    check_values(array, X, name, estimator.sample_shape_ if pads else ())
    return to_light(array) if light and array.dtype != np.float32 else array


def count_further(estimator: BaseEstimator, array: Array) -> None:
    """Count the rows of a further portion; what nobody counted before stays unknown."""
    seen = getattr(estimator, "n_samples_seen_", None)
    estimator.n_samples_seen_ = None if seen is None else seen + len(array)


def _dtypes(X: Any) -> list[str] | None:
    """Return the names of the types of a frame's columns."""
    return [str(dtype) for dtype in X.dtypes] if hasattr(X, "columns") else None


def _validated(estimator: BaseEstimator, X: Any, name: str, *, reset: bool) -> Array:
    """Return an array of numbers; our own finiteness check follows, which says where."""
    options = {"dtype": "numeric", "ensure_all_finite": False, "ensure_min_samples": 0}
    if name == "X":
        return real_numbers(lambda: validate_data(estimator, X, reset=reset, **options), X, name)
    return real_numbers(lambda: check_array(X, **options), X, name)


def _check_enough(n_rows: int | None, at_least: int, estimator: BaseEstimator, name: str) -> None:
    if n_rows is not None and n_rows < at_least:
        raise DataError(
            f"{name} has {n_rows} sample(s), and {type(estimator).__name__} needs at least "
            f"{at_least}: give it more rows."
        )


def check_codes(Z: ArrayLike, n_components: int) -> Array:
    """Return codes (B, K) as an array.

    Raises
    ------
    DataError
        If the width is not K or a value is not finite.
    """
    Z = unwrapped(Z, "Z")
    options = {"dtype": "numeric", "ensure_all_finite": False, "input_name": "Z"}
    array = real_numbers(lambda: check_array(Z, **options), Z, "Z")
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
        If it is none, has NaN, or other channels than a model of several (grey goes with three).
    """
    with refusing(picture, "The picture"):
        array = np.asarray(unwrapped(picture, "The picture"))
    if array.ndim not in (2, 3) or array.size == 0 or array.dtype.kind not in "uf":
        raise DataError(
            f"The picture is {array.dtype} of shape {array.shape}: give floats or unsigned "
            f"integers of shape (height, width) or (height, width, channels)."
        )
    array = array if array.ndim == 3 else array[..., None]
    grey = n_channels == RGB and array.shape[2] == 1
    if not grey and n_channels not in (1, array.shape[2]):
        raise DataError(
            f"The picture has {array.shape[2]} channel(s) and the model {n_channels}: give one of "
            f"{n_channels}{', or a grey one' * (n_channels == RGB)}."
        )
    if array.dtype.kind == "f" and not all_finite(array):
        raise DataError("The picture has pixels that are NaN or infinite: fill them in.")
    return array


def check_values(array: Array, given: Any, name: str, sequence: tuple[int, ...] = ()) -> None:
    """Refuse NaN and infinity; rows that are sequences (T, F) may be padded with NaN."""
    if len(sequence) == 2:
        samples.check_padding(array, sequence[1], name)
    else:
        check_finite(array, given, name)


def check_finite(array: Array, given: Any, name: str) -> None:
    """Refuse NaN and infinity, and say where the first one stands."""
    if array.dtype.kind not in "fc":
        return
    parts = [part for part in chunks(*array.shape) if not all_finite(array[part])]
    if not parts:
        return
    wrong = ~np.isfinite(array[parts[0]])
    row, column = (int(i) for i in np.argwhere(wrong)[0])
    is_nan = bool(np.isnan(array[parts[0]][row, column]))
    advice = "fill such values in (sklearn.impute.SimpleImputer) or drop these rows"
    if not is_nan:
        advice = "correct such values or drop these rows"
    elif len(array) > 1 and np.isnan(array[:, column]).all():
        advice = "drop that column, which holds nothing else"
    raise DataError(
        f"{name} has {'NaN' if is_nan else 'infinity (inf)'} at row {parts[0].start + row}, column "
        f"{column_of(given, column)}{_further(array, parts, given)}: {advice}."
    )


def _further(array: Array, parts: list[slice], given: Any) -> str:
    """Say how many values of some rows are not finite, and in which columns, if several are."""
    counts = sum((~np.isfinite(array[part])).sum(0) for part in parts)
    columns, n = np.flatnonzero(counts), np.sum(counts)
    shown = a_few([column_of(given, int(column)) for column in columns])
    where = "all in that column" if len(columns) == 1 else f"in columns {shown}"
    return f" (the first of {n:,} such cells, {where})" if n > 1 else ""


def all_finite(array: Array) -> bool:
    """Whether no number of an array is NaN or infinite."""
    # A sum is not finite if a term is not, and needs no second array; but it may overflow.
    with np.errstate(all="ignore"):
        return bool(np.isfinite(array.sum()) or np.isfinite(array).all())


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
        caution(
            "y has the shape of X and is ignored: if it holds clean rows, write fit(X, target=y).",
            UserWarning,
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
    first, second = pair_of(validation, paired=paired)
    if first is second:
        rows = further(estimator, first, likelihood, "validation")
        return rows, rows
    noisy = check_rows(estimator, first, reset=False, name="validation[0]")
    clean = further(estimator, second, likelihood, "validation[1]")
    check_paired(noisy, clean, "validation[1]", "validation[0]")
    return noisy, clean


def pair_of(validation: Any, *, paired: bool) -> tuple[Any, Any]:
    """Return what goes in and what should come out; the same object where one is both.

    Raises
    ------
    DataError
        If there is no pair where X is ``paired``.
    """
    if isinstance(validation, tuple) and len(validation) == 2:
        return validation
    if paired:
        raise DataError(
            "validation has no clean rows, and X has target: give validation=(noisy, clean)."
        )
    return validation, validation


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


def _n_rows(X: Any) -> int | None:
    shape = getattr(X, "shape", None)
    return int(shape[0]) if shape is not None and len(shape) == 2 else None
