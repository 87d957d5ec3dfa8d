"""What users do with a fitted autoencoder.

Shapes: N rows, D features, K components.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from isthmus.data.tiles import tiled
from isthmus.errors import ParameterError
from isthmus.estimators import answers, inputs
from isthmus.estimators.conditions import told
from isthmus.estimators.inputs import Floats
from isthmus.estimators.samples import like
from isthmus.fitting.model import Model
from isthmus.fitting.pairs import check_padded


class Using(TransformerMixin):
    """The methods of a fitted autoencoder; float32 rows give float32 answers.

    It is a transformer itself, since `set_output` reaches the `transform` of such classes alone.
    """

    model_: Model
    mean_: Floats
    n_features_in_: int
    sample_shape_: tuple[int, ...]
    _given_shape: tuple[int, ...]  # of a sample of the X of fit, (D,) where it was flat

    def transform(self, X: ArrayLike) -> Floats:
        """Encode rows (N, D) to their deterministic codes (N, K)."""
        rows = self._rows(X)
        return apply(self.model_, Model.encode, rows, self._n_features_out)

    def inverse_transform(self, Z: ArrayLike, y: Any = None) -> Floats:
        """Decode codes (N, K) to rows (N, D), or to samples of the shape of X, in its units.

        Parameters
        ----------
        y : a label, or (N,), where the model is conditional on them.

        Raises
        ------
        ParameterError
            If the network has skips, so that codes say too little, or labels are missing.
        """
        check_is_fitted(self, "model_")
        network = self.model_.parts.network
        if network.skips:
            raise ParameterError(
                f"network {str(network)!r} leads part of its input around the code, so that codes "
                f"alone cannot be decoded: use reconstruct, or fit with skip=False."
            )
        array = told(self, inputs.check_codes(Z, self._n_features_out), y)
        rows = apply(self.model_, Model.decode, array, self.n_features_in_)
        return rows.reshape(len(rows), *self._given_shape)

    def reconstruct(self, X: ArrayLike) -> Floats:
        """Encode and decode rows (N, D), or samples of any shape."""
        rows = self._rows(X)
        rebuilt = apply(self.model_, Model.reconstruct, rows, self.n_features_in_)
        return like(rebuilt, X, self.sample_shape_)

    def reconstruct_picture(self, picture: ArrayLike) -> inputs.Array:
        """Rebuild a picture of any size, as files hold it, by a network with skips.

        Parameters
        ----------
        picture : (height, width) or (height, width, channels)
            Floats in the units of the rows of `fit`, or integers, which are shares of full light.
            Grey models take each channel by itself; those of three channels take a grey picture
            as three equal ones, and give it back grey, as their mean.

        Returns
        -------
        ndarray of the same shape and dtype
            Large pictures are taken tile by tile, so that memory is bounded.

        Raises
        ------
        ParameterError
            If the network takes samples of one shape alone.
        DataError
            If it is no picture, or has other channels than the model.
        """
        check_is_fitted(self, "model_")
        network, shape = self.model_.parts.network, self.sample_shape_
        if network.tiling is None:
            raise ParameterError(
                f"network {str(network)!r} takes samples of the shape {shape} alone: give those to "
                f"reconstruct, or fit with network='conv(skip=True)'."
            )
        n_channels, device = (1, *shape)[-3], self.model_.scaling.offset.device
        array = inputs.check_picture(picture, n_channels)
        grey = array.shape[2] < n_channels

        def function(tile: Tensor) -> Tensor:
            maps = tile.expand(1, n_channels, -1, -1) if grey else tile
            parts = maps.reshape(-1, n_channels, *tile.shape[2:]).to(device)
            redrawn = self.model_.redraw(parts)
            redrawn = redrawn.mean(1, keepdim=True) if grey else redrawn.reshape(tile.shape)
            return redrawn.cpu()

        with torch.no_grad():
            rebuilt = tiled(function, array, network.tiling)
        answers.check_answer(rebuilt, array)
        return rebuilt.reshape(np.shape(picture))

    def reconstruction_error(self, X: ArrayLike, *, per_feature: bool = False) -> Floats:
        """Return each row's squared error in the user's units, summed over features, (N,).

        With ``per_feature=True`` the squared errors themselves, in the shape of X. In float64,
        since the squares of float32 may be too large for it. Whatever the scaling is: of features
        in different units, those with the largest numbers decide. To find outliers, see
        `score_samples`.
        """

        def squared(model: Model, x: Tensor) -> Tensor:
            errors = model.judged((x - model.reconstruct(x)).square())
            return errors if per_feature else errors.sum(1)

        rows = self._rows(X)
        if not per_feature:
            return apply(self.model_, squared, rows, exact=True)
        errors = apply(self.model_, squared, rows, self.n_features_in_, exact=True)
        return like(errors, X, self.sample_shape_)

    def score_samples(self, X: ArrayLike) -> Floats:
        """Return log p(x | code of x) of each row, nats, (N,): higher is more usual.

        Raises
        ------
        DataError
            If a value is outside the likelihood's domain, as in `fit`.
        """
        rows = self._likely_rows(X)
        return apply(self.model_, self._row_scores, rows, exact=True)

    def score(self, X: ArrayLike, y: Any = None) -> float:
        """Return the fraction of the variance about the training mean that is explained.

        ``1 - sum |x - reconstruct(x)|^2 / sum |x - mean_|^2``; 1 is perfect, 0 is the mean's.
        """
        rows, mean = self._rows(X), torch.from_numpy(self.mean_)

        def squared(model: Model, x: Tensor) -> Tensor:
            return model.judged((x - mean.to(x)).square()).sum(1)

        spread = apply(self.model_, squared, rows, exact=True)
        total, lost = float(spread.sum()), float(self.reconstruction_error(X).sum())
        return 1 - lost / total if total > 0 else float(lost == 0)

    @staticmethod
    def _row_scores(model: Model, x: Tensor) -> Tensor:
        """Return how usual a model finds the user's rows, nats, (B,)."""
        return model.log_likelihood(x)

    @property
    def _n_features_out(self) -> int:
        return self.model_.n_components

    def _rows(self, X: ArrayLike) -> inputs.Array:
        """Check rows that are not learned from."""
        check_is_fitted(self, "model_")
        return inputs.check_rows(self, X, reset=False)

    def _likely_rows(self, X: ArrayLike) -> inputs.Array:
        """Check rows that the likelihood is to judge."""
        rows, parts = self._rows(X), self.model_.parts
        inputs.check_domain(rows, parts.likelihood, "X")
        check_padded(parts, rows)
        return rows


def apply(
    model: Model,
    function: Callable[[Model, Tensor], Tensor],
    array: inputs.Array,
    *width: int,
    exact: bool = False,
) -> Floats:
    """Apply a function of the model and of float64 rows, in bounded memory, (N, *width).

    The answer has the precision of the rows, or is ``exact``: float64.
    """
    device = model.scaling.offset.device
    return answers.in_chunks(lambda x: function(model, x), array, device, *width, exact=exact)
