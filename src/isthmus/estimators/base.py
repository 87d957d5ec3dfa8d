"""What all autoencoders share: one scikit-learn contract over one model and one loop.

Shapes: N rows, D features, K components.
"""

from __future__ import annotations  # help texts name the types, and do not unfold them

import contextlib
import copy
import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Self

import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from isthmus.data.rows import fit_scaling, moments, select
from isthmus.data.scaling import Scaling
from isthmus.errors import ParameterError
from isthmus.estimators import inputs
from isthmus.estimators.diagnosis import Finding, diagnose
from isthmus.estimators.inputs import Floats
from isthmus.estimators.parameters import Parameters, check
from isthmus.estimators.planning import plan_for, warn
from isthmus.estimators.saving import Learned
from isthmus.estimators.transformer import SavedTransformer
from isthmus.fitting.classifier import Encoder
from isthmus.fitting.fit import Fitted, Task, VersusPCA, fit
from isthmus.fitting.model import (
    Model,
    Parts,
    build,
    check_batches,
    check_together,
    check_width,
    settle,
)
from isthmus.fitting.observers import ProgressBar
from isthmus.fitting.session import Session
from isthmus.fitting.streams import Streams
from isthmus.parts.slots import Network


class BaseAutoencoder(SavedTransformer, Parameters, BaseEstimator, ABC):
    """The methods of every autoencoder; a subclass declares parameters and returns its parts.

    Attributes
    ----------
    model_ : Model
        The torch module: scaling, encoder, code, decoder.
    history_ : list of dict
        A record per epoch: terms in nats per sample, learning rate, seconds.
    versus_pca_ : VersusPCA
        The error beside that of PCA of the same width, on held-out rows, in the user's units (in
        standard deviations if ``scaling="standard"``); None after `partial_fit`.
    n_iter_ : int
        Epochs that made the model; 0 where the PCA it began as was not beaten.
    mean_ : ndarray (D,)
        Of the training rows.
    stopped_by_ : str
        "patience", "limit", "interrupted" or "diverged".
    parameters_ : dict
        The parameters as they were when the model was fitted, whatever `set_params` did since.
    """

    model_: Model
    history_: list[dict[str, Any]]
    versus_pca_: VersusPCA | None
    n_iter_: int
    mean_: Floats
    stopped_by_: str
    parameters_: dict[str, Any]
    _session: Session | None

    @abstractmethod
    def parts(self) -> Parts:
        """Return what fills the slots."""

    # Fitting -----------------------------------------------------------------------------

    def fit(
        self,
        X: ArrayLike,
        y: Any = None,
        *,
        target: ArrayLike | None = None,
        validation: ArrayLike | tuple[ArrayLike, ArrayLike] | None = None,
    ) -> Self:
        """Fit to the rows of `X`.

        Parameters
        ----------
        X : array, memmap, frame or tensor (N, D)
            A float32 array (memory-mapped or not) is used where it lies, without a copy.
        y : ignored, as pipelines pass it; clean rows go to `target`.
        target : (N, D), optional
            The clean rows, where `X` is noisy; by default `X` itself.
        validation : (M, D), or a tuple of noisy and clean rows, optional
            Rows to stop by, instead of a part of `X`; with `target` they have to be such a pair.

        Returns
        -------
        self

        Raises
        ------
        ParameterError
            If a parameter is unknown, out of range or at odds with another.
        DataError
            If the rows are too few, not numbers, not finite or outside the likelihood's domain.
        """
        check(self)
        parts, array = self.parts(), inputs.check_rows(self, X, reset=True, at_least=2)
        inputs.warn_of_lost_rows(y, array.shape)
        check_together(parts)
        check_width(parts, self.n_components, array.shape[1])
        clean = array
        if target is None:
            inputs.check_domain(array, parts.likelihood, "X")
        else:
            clean = inputs.further(self, target, parts.likelihood, "target")
            inputs.check_paired(array, clean, "target", "X")
        scaling, plan = fit_scaling(self.scaling, clean), plan_for(self, len(array))
        check_batches(parts, plan.batch_size)
        judge = None
        if validation is not None:
            paired = target is not None
            held_out = inputs.held_out(self, validation, parts.likelihood, paired=paired)
            judge = select(*held_out, scaling, plan.device)
        with contextlib.ExitStack() as stack:
            show = [ProgressBar(type(self).__name__)] if self.verbose else []
            observers = [stack.enter_context(bar) for bar in show]
            streams = Streams(self.random_state)
            task = Task(parts, self.n_components, scaling, plan, streams, observers)
            rows = select(array, clean, scaling, plan.device)
            fitted = fit(task, rows, judge, self.validation_fraction)
        self._session = None
        self.mean_ = moments(array)[0].numpy()
        self._adopt(fitted, scaling)
        warn(self.stopped_by_, self.n_iter_)
        return self

    def partial_fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Pass once over the rows of `X`; the first call also fixes the scaling and the start.

        Nothing is held out, and the learning rate does not move within a portion; it, the
        batches and the device are those of the parameters at each call. A model that has been
        fitted moves at a tenth of the rate, so that it adapts and does not forget; the first 100
        steps after `fit` or `load`, or with another optimizer or device, rise to the rate. Give
        large portions: each step follows its own rows alone. `history_` goes on, and
        `versus_pca_`, which no longer holds, becomes None. A pass that is interrupted never was.

        Raises
        ------
        ParameterError
            As `fit`; and if the parts, the width or the scaling are no longer the model's.
        DataError
            As `fit`.
        """
        check(self)
        begun = hasattr(self, "model_")
        parts = self.parts()
        check_together(parts)
        if begun:
            self._check_unchanged(parts)
        array = inputs.check_rows(self, X, reset=not begun, at_least=1 if begun else 2)
        inputs.warn_of_lost_rows(y, array.shape)
        inputs.check_domain(array, parts.likelihood, "X")
        check_width(parts, self.n_components, array.shape[1])
        plan = plan_for(self, len(array))
        check_batches(parts, plan.batch_size)
        if begun:
            scaling = copy.deepcopy(self.model_.scaling).cpu()
        else:
            scaling = fit_scaling(self.scaling, array)
        rows = select(array, array, scaling, plan.device)
        session = getattr(self, "_session", None)
        if session is None or not session.serves(plan):
            streams = Streams(self.random_state)
            task = Task(parts, self.n_components, scaling, plan, streams, [])
            made = (self.model_, self.n_iter_, self.history_) if begun else None
            session = Session(streams, plan, *(made or (task.begin(rows).model, 0, [])))
        fitted = session.run(rows, plan)
        self._session = session
        if not begun:
            self.mean_ = moments(array)[0].numpy()
        self._adopt(fitted, scaling)
        warn(self.stopped_by_, self.n_iter_)
        return self

    # Using -------------------------------------------------------------------------------

    def transform(self, X: ArrayLike) -> Floats:
        """Encode rows (N, D) to their deterministic codes (N, K)."""
        rows = self._rows(X)
        return apply(self.model_, Model.encode, rows, self._n_features_out)

    def inverse_transform(self, Z: ArrayLike) -> Floats:
        """Decode codes (N, K) to rows (N, D), in the user's units."""
        check_is_fitted(self, "model_")
        array = inputs.check_codes(Z, self._n_features_out)
        return apply(self.model_, Model.decode, array, self.n_features_in_)

    def reconstruct(self, X: ArrayLike) -> Floats:
        """Encode and decode rows (N, D)."""
        rows = self._rows(X)
        return apply(self.model_, Model.reconstruct, rows, self.n_features_in_)

    def reconstruction_error(self, X: ArrayLike, *, per_feature: bool = False) -> Floats:
        """Return each row's squared error in the user's units, summed over features, (N,).

        With ``per_feature=True`` the squared errors themselves, (N, D). In float64, since the
        squares of float32 may be too large for it. Whatever the scaling is: of features in
        different units, those with the largest numbers decide. To find outliers, see
        `score_samples`.
        """

        def squared(model: Model, x: Tensor) -> Tensor:
            errors = (x - model.reconstruct(x)).square()
            return errors if per_feature else errors.sum(1)

        rows = self._rows(X)
        width = [self.n_features_in_] if per_feature else []
        return apply(self.model_, squared, rows, *width, exact=True)

    def score_samples(self, X: ArrayLike) -> Floats:
        """Return log p(x | code of x) of each row, nats, (N,): higher is more usual.

        Raises
        ------
        DataError
            If a value is outside the likelihood's domain, as in `fit`.
        """
        rows = self._rows(X)
        inputs.check_domain(rows, self.model_.parts.likelihood, "X")
        return apply(self.model_, Model.log_likelihood, rows, exact=True)

    def score(self, X: ArrayLike, y: Any = None) -> float:
        """Return the fraction of the variance about the training mean that is explained.

        ``1 - sum |x - reconstruct(x)|^2 / sum |x - mean_|^2``; 1 is perfect, 0 is the mean's.
        """
        rows, mean = self._rows(X), torch.from_numpy(self.mean_)

        def squared(_: Model, x: Tensor) -> Tensor:
            return (x - mean.to(x)).square().sum(1)

        spread = apply(self.model_, squared, rows, exact=True)
        total, lost = float(spread.sum()), float(self.reconstruction_error(X).sum())
        return 1 - lost / total if total > 0 else float(lost == 0)

    def diagnose(self, X: ArrayLike) -> list[Finding]:
        """Say in plain words what is wrong with the fit, judged on `X`, and what to change."""
        rows = self._rows(X)
        return diagnose(self, rows, apply(self.model_, Model.encode, rows, self._n_features_out))

    @property
    def _n_features_out(self) -> int:
        return self.model_.n_components

    # How it is done ----------------------------------------------------------------------

    def _encoder(self) -> Encoder:
        """Return a copy of what makes the codes."""
        model, parts = self.model_, self.model_.parts
        scaling, network, memory = copy.deepcopy((model.scaling, model.encoder, model.memory))
        return Encoder(
            scaling, network, parts.code, memory, model.n_components, parts.network.rows_apart
        )

    def _learned(self) -> Learned:
        """Return what is saved besides the parameters."""
        versus = self.versus_pca_
        facts = {
            "n_iter": self.n_iter_,
            "stopped_by": self.stopped_by_,
            "versus_pca": None if versus is None else versus._asdict(),
            "history": self.history_,
        }
        return facts, {**self.model_.state_dict(), "mean": torch.from_numpy(self.mean_)}

    def _relearn(self, facts: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Take over what was saved."""
        self.mean_ = tensors.pop("mean").numpy()
        scaling = Scaling(tensors["scaling.offset"], tensors["scaling.scale"])
        model = build(self.parts(), self.n_components, scaling, torch.Generator())
        model.load_state_dict(tensors)
        versus = facts["versus_pca"]
        fitted = Fitted(
            model,
            facts["n_iter"],
            facts["stopped_by"],
            facts["history"],
            None if versus is None else VersusPCA(**versus),
        )
        self._adopt(fitted, scaling)

    def _adopt(self, fitted: Fitted, scaling: Scaling) -> None:
        """Take over what a fit has made, or a file has kept."""
        self.model_ = settle(fitted.model, scaling)
        self.history_ = fitted.history
        self.versus_pca_ = fitted.versus_pca
        self.n_iter_ = fitted.n_epochs
        self.stopped_by_ = fitted.reason
        self.parameters_ = self.get_params(deep=False)

    def _network(self) -> Network:
        """Return the network with the shorthands applied."""
        shorthand = {"hidden": self.hidden, "activation": self.activation}
        given = {name: value for name, value in shorthand.items() if value is not None}
        network = Network.of(self.network)
        for field in dataclasses.fields(network):  # type: ignore[arg-type]
            if field.name in given and getattr(network, field.name) != field.default:
                raise ParameterError(
                    f"{field.name} is given twice, by {field.name}={given[field.name]!r} and by "
                    f"network={str(network)!r}: leave one of the two out."
                )
        return dataclasses.replace(network, **given)  # type: ignore[type-var]

    def _check_unchanged(self, parts: Parts) -> None:
        """Refuse parameters that are no longer those of the model that has begun."""
        begun = (self.model_.parts, self.model_.n_components, self.parameters_["scaling"])
        if (parts, self.n_components, self.scaling) != begun:
            raise ParameterError(
                "The parts, n_components or scaling are no longer those of the model that has "
                "begun: set them back, or call fit to begin anew."
            )

    def _rows(self, X: ArrayLike) -> inputs.Array:
        """Check rows that are not learned from."""
        check_is_fitted(self, "model_")
        return inputs.check_rows(self, X, reset=False)


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
    return inputs.in_chunks(lambda x: function(model, x), array, device, *width, exact=exact)
