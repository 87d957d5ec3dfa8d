"""A fitted model before rows that it is judged by: everything that judges it begins here.

Shapes: N rows, D features, K code units.
"""

import copy
import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted

from isthmus.data.scaling import Scaling, scaling_of
from isthmus.errors import DataError, ParameterError
from isthmus.estimators import inputs
from isthmus.estimators.arrays import unwrapped
from isthmus.estimators.inputs import Array
from isthmus.evaluation.drawing import bounds_of, drawn_shape, laid_out
from isthmus.evaluation.words import NAMELESS, named
from isthmus.fitting.streams import Streams

MOST_ROWS = 10_000  # that are judged; of more, a part is drawn
MOST_VALUES = 10**7
FEWEST_ROWS = 200  # however wide they are
UNEVEN = 50.0  # times the median range of a pixel, that one pixel's may be

Floats = NDArray[np.float64]


class Subject(NamedTuple):
    """What a model makes of rows."""

    model: Any  # a copy that takes arrays, whatever it was fitted to
    n_given: int  # rows that were handed in
    judged: NDArray[np.intp]  # (N,) which of them are looked at
    rows: Any  # these as they came, (N, D)
    seen: Floats  # (N, D) what the model is shown: with noise, where it was trained with noise
    clean: Floats  # (N, D) what it should rebuild
    codes: Floats  # (N, K) of `rows`
    output: Floats | None  # (N, D) from `seen`; None where the model does not rebuild
    noise: str | None  # the corruption that was drawn for `seen`
    names: tuple[str, ...] | None  # of the features
    shape: tuple[int, ...]  # of a row as it is drawn: (D,), (steps, channels) or (h, w, colours)
    scaling: Scaling
    sample_shape: tuple[int, ...] | None = None  # of a row as the network takes it: colours first

    @property
    def noisy(self) -> bool:
        """Whether what the model sees is not what it should rebuild."""
        return self.seen is not self.clean

    @property
    def coded(self) -> Floats:
        """The rows that `codes` are of, (N, D)."""
        return self.seen if self.noise is None else self.clean

    @property
    def pictures(self) -> bool:
        """Whether rows are drawn as pictures."""
        return len(self.shape) == 3

    @property
    def series(self) -> bool:
        """Whether rows are drawn as curves."""
        return len(self.shape) == 2

    @property
    def unit_name(self) -> str:
        """What `errors` are squares of."""
        if not self.standardised:
            return "your units"
        known = getattr(self.model, "parameters_", {}).get("scaling") == "standard"
        return "standard deviations" if known else "scaled units"

    @property
    def around(self) -> bool:
        """Whether input goes around the code too, so that codes alone are not decoded."""
        return _skips(self.model)

    @property
    def rebuilds(self) -> bool:
        """Whether the model rebuilds rows."""
        return self.output is not None

    @property
    def rebuilt(self) -> Floats:
        """What the model makes of `seen`, (N, D).

        Raises
        ------
        ParameterError
            If the model does not rebuild rows.
        """
        if self.output is None:
            raise ParameterError(
                f"{type(self.model).__name__} does not rebuild rows: give the autoencoder that it "
                f"stands on (autoencoder_)."
            )
        return self.output

    @property
    def standardised(self) -> bool:
        """Whether errors are in standard deviations, not in the user's units."""
        return self.scaling.scale.ndim > 0

    @property
    def unit(self) -> float:
        """What a squared scaled error is multiplied with to be in the units of `versus_pca_`."""
        return 1.0 if self.standardised else float(self.scaling.scale) ** 2

    @property
    def errors(self) -> Floats:
        """Squared errors in the units of `versus_pca_`, summed over features, (N,).

        Those of `reconstruction_error`, but for features that each have a scale of their own.
        """
        return np.square(self.misses).sum(axis=1) * self.unit

    @property
    def misses(self) -> Floats:
        """Rebuilt less true in scaled units, as the model weighs them, (N, D)."""
        return (self.rebuilt - self.clean) / self.scaling.scale.numpy()

    @property
    def explained(self) -> float:
        """The share of these rows' variance that is rebuilt; of the training rows, what `score` is.

        In the user's units, whatever the scaling; of rows with noise, from what the model sees.
        """
        total = np.square(self.clean - self.clean.mean(axis=0)).sum()
        lost = np.square(self.rebuilt - self.clean).sum()
        return float(1 - lost / total) if total > 0 else float(lost == 0)

    @property
    def noise_left(self) -> float:
        """The squared error over that of the rows as they are seen; NaN where these are clean."""
        if not (self.noisy and self.rebuilds):
            return math.nan
        before = float(np.square(self.seen - self.clean).sum())
        return float(np.square(self.rebuilt - self.clean).sum()) / before if before else math.nan

    @property
    def uneven(self) -> bool:
        """Whether some pixels span so much more than most that one range would hide the rest."""
        span = np.ptp(self.clean, axis=0)
        usual = np.median(span[span > 0]) if span.any() else 1.0
        return self.pictures and bool(span.max() > UNEVEN * usual)

    def light(self, rows: Floats) -> Floats:
        """Return rows (..., D) laid out, from 0, black, to 1; each pixel by its range if uneven."""
        low, high = map(np.asarray, self.bounds)
        if self.uneven:
            low, high = self.clean.min(axis=0), self.clean.max(axis=0)
        return self.laid_out((rows - low) / np.where(high > low, high - low, 1.0))

    @property
    def bounds(self) -> tuple[float, float]:
        """The values that are drawn black and white: 0 and 1, or those of the true rows."""
        return bounds_of(self.clean)

    def laid_out(self, rows: Floats) -> Floats:
        """Return rows (..., D) as they are drawn."""
        return laid_out(rows, self.shape, self.sample_shape)

    def decode(self, codes: ArrayLike) -> Floats:
        """Return the rows of codes, user's units, (., D); under the commonest label, if any."""
        told = {"y": _commonest(self.model)} if is_conditional(self.model) else {}
        return np.asarray(self.model.inverse_transform(np.asarray(codes), **told), np.float64)

    def name_of(self, feature: int) -> str:
        """Return what to call a feature; one without a name is called by its number."""
        if self.series:
            return f"step {feature // self.shape[1]}, channel {feature % self.shape[1]}"
        name = named(self.names[feature]) if self.names is not None else NAMELESS
        return f"feature {feature}" if name == NAMELESS else name


def look(
    model: Any,
    X: ArrayLike,
    *,
    target: ArrayLike | None = None,
    sample_shape: tuple[int, ...] | None = None,
    seed: int = 0,
) -> Subject:
    """Show rows to a fitted model.

    Parameters
    ----------
    model : estimator
        Of this library; or any fitted transformer of scikit-learn's.
    X : array-like (N, D)
        In the units and with the columns that it was fitted to.
    target : (N, D), optional
        The clean rows, where `X` is noisy.
    sample_shape : tuple of int, optional
        How a row is drawn: ``(height, width, colours)``, ``(steps, channels)`` or ``(D,)``; by
        default what the network takes it for, or a square without names.
    seed : int
        Of the rows that are drawn from many, and of the noise.

    Raises
    ------
    ParameterError
        If the model is no transformer, or the shape does not hold D values.
    DataError
        If the rows are not those that the model takes, or fewer than two.
    """
    _check_model(model)
    bare, X = _without_names(model), unwrapped(X)
    names = getattr(model, "feature_names_in_", None)
    n_given = len(inputs.check_rows(model, X, reset=False, at_least=2))
    index = drawn(n_given, model.n_features_in_, seed)
    rows = _safe_indexing(X, index)
    array = inputs.check_rows(model, rows, reset=False).astype(np.float64)
    if np.isnan(array).any():
        raise DataError("X has sequences of differing lengths: give some that are equally long.")
    bare._given_shape = (array.shape[1],)  # rows are flat here
    scaling = scaling_within(model)
    clean, seen, noise = array, array, None
    if target is not None:
        clean = _clean(model, target, n_given)[index].astype(np.float64)
    elif (noise := _noise(model)) is not None:
        seen = _corrupted(model, array, seed)
    rebuilds = hasattr(model, "inverse_transform")
    codes = np.asarray(bare.transform(array), np.float64)
    return Subject(
        model=bare,
        n_given=n_given,
        judged=index,
        rows=rows,
        seen=seen,
        clean=clean,
        codes=codes,
        output=_rebuilt(bare, seen, None if seen is not array else codes) if rebuilds else None,
        noise=noise,
        names=None if names is None else tuple(map(str, names)),
        shape=drawn_shape(model, array.shape[1], sample_shape, named=names is not None),
        scaling=scaling,
        sample_shape=getattr(model, "sample_shape_", None),
    )


def drawn(n_rows: int, n_features: int, seed: int) -> NDArray[np.intp]:
    """Return the rows that are judged, in order: all of few, some of many, fewer of wide ones."""
    most = min(MOST_ROWS, max(FEWEST_ROWS, MOST_VALUES // n_features))
    if n_rows <= most:
        return np.arange(n_rows)
    return np.sort(np.random.default_rng(seed).choice(n_rows, most, replace=False))


def _check_model(model: Any) -> None:
    if not isinstance(model, BaseEstimator) or not hasattr(model, "transform"):
        raise ParameterError(
            f"{model!r} is no fitted transformer: give an estimator of isthmus, after fit."
        )
    check_is_fitted(model)


def _skips(model: Any) -> bool:
    parts = getattr(getattr(model, "model_", None), "parts", None)
    return parts is not None and bool(parts.network.skips)


def _without_names(model: Any) -> Any:
    """Return a copy that neither asks for names of columns nor answers with frames."""
    bare = copy.copy(model)
    vars(bare).pop("feature_names_in_", None)
    vars(bare).pop("_sklearn_output_config", None)
    return bare


def scaling_within(model: Any) -> Scaling:
    """Return the units that the model weighs errors in; the user's, where it has none."""
    module = getattr(model, "model_", None)
    scaling = getattr(module, "scaling", None) or getattr(model, "_scaling", None)
    if scaling is None:
        zero = torch.zeros(model.n_features_in_, dtype=torch.float64)
        return scaling_of("none", zero, zero)
    return copy.deepcopy(scaling).cpu().double()


def _noise(model: Any) -> str | None:
    """Return the corruption that the model was trained with, in words."""
    parts = getattr(getattr(model, "model_", None), "parts", None)
    return str(parts.corruption) if parts is not None and parts.corruption.hides else None


def _corrupted(model: Any, array: Floats, seed: int) -> Floats:
    """Return rows with the noise of the training, in the user's units."""
    module = copy.deepcopy(model.model_).cpu()
    noise = Streams(seed).generator("held_out")
    seen = module.see(module.scaling(torch.from_numpy(array)), noise).rows
    corrupted: Floats = module.scaling.inverse(seen).numpy()
    return corrupted


def _clean(model: Any, target: ArrayLike, n_rows: int) -> Array:
    clean = inputs.check_rows(model, target, reset=False, name="target")
    if len(clean) != n_rows:
        raise DataError(
            f"target has {len(clean)} rows and X has {n_rows}: give one clean row for each noisy "
            f"one, in the same order."
        )
    return clean


def _rebuilt(bare: Any, seen: Floats, codes: Floats | None) -> Floats:
    """Return what the model makes of the rows, of which it may have the codes already."""
    if is_conditional(bare) or _skips(bare):  # under the likeliest label; with what goes around
        return np.asarray(bare.reconstruct(seen), np.float64)
    codes = np.asarray(bare.transform(seen), np.float64) if codes is None else codes
    return np.asarray(bare.inverse_transform(codes), np.float64)


def is_conditional(model: Any) -> bool:
    """Whether the decoder is told labels."""
    return bool(getattr(model, "parameters_", {}).get("conditional"))


def _commonest(model: Any) -> Any:
    """Return the label that most training rows had."""
    return model.classes_[int(model.model_.shares.argmax())]
