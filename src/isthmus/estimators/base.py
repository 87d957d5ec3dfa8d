"""What all autoencoders share: one scikit-learn contract over one model and one loop.

Shapes: N rows, D features, K components.
"""

from __future__ import annotations  # help texts name the types, and do not unfold them

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from torch import Tensor

from isthmus.data.rows import Selection, select
from isthmus.data.scaling import Scaling
from isthmus.errors import ParameterError
from isthmus.estimators import inputs
from isthmus.estimators.conditions import learn_labels, learn_shares, with_labels
from isthmus.estimators.diagnosis import diagnose
from isthmus.estimators.diagnosis.finding import Finding
from isthmus.estimators.gathering import gather, mean_of, scale, width_for
from isthmus.estimators.inputs import Floats
from isthmus.estimators.parameters import Parameters, check
from isthmus.estimators.planning import plan_for, warn
from isthmus.estimators.resuming import CheckpointLike, keeping
from isthmus.estimators.sampling import Sampling
from isthmus.estimators.saving import Learned, copied, filled
from isthmus.estimators.transformer import SavedTransformer
from isthmus.estimators.unharmed import or_unharmed
from isthmus.estimators.using import Using, apply
from isthmus.estimators.watching import watching
from isthmus.fitting.assembly import build, settle
from isthmus.fitting.classifier import Encoder
from isthmus.fitting.fit import Fitted, Task, fit
from isthmus.fitting.model import Model, Parts
from isthmus.fitting.observers import Observer
from isthmus.fitting.pairs import check_shape, check_steps, check_together, check_width
from isthmus.fitting.plan import Plan
from isthmus.fitting.session import Session
from isthmus.fitting.streams import Streams
from isthmus.fitting.versus import VersusPCA


class BaseAutoencoder(Using, Sampling, SavedTransformer, Parameters, BaseEstimator, ABC):
    """The methods of every autoencoder; a subclass declares parameters and returns its parts.

    Attributes
    ----------
    model_ : Model
        The torch module: scaling, encoder, code, decoder.
    history_ : list of dict
        A record per epoch: terms in nats per sample, learning rate, seconds.
    versus_pca_ : VersusPCA
        The error beside that of PCA of the same width, on held-out rows, in the user's units (in
        standard deviations if ``scaling="standard"``); None after `partial_fit`, of codes as wide
        as the rows, and of networks with skips, for which PCA is no fair match.
    n_components_ : int
        Width K of the code.
    n_iter_ : int
        Epochs that made the model; 0 where the PCA it began as was not beaten.
    n_samples_seen_ : int or None
        Rows of training, or pictures of different sizes; None if an old file did not say.
    mean_ : ndarray (D,)
        Of the training rows.
    codes_ : ndarray (M, K)
        Codes of training rows, 10,000 at the most, in float32: by these `sample` knows where
        codes lie. After `partial_fit` of its last rows; none of networks with skips.
    sample_shape_ : tuple of int
        What the network takes a row for; (D,) where it is flat.
    classes_ : ndarray (L,)
        Labels, where the model is conditional on them.
    label_name_ : str or None
        Of the column that held these, where it had a name.
    stopped_by_ : str
        "patience", "limit", "interrupted" or "diverged"; "solved" where a linear network begins
        as the best there is, and nothing was trained.
    parameters_ : dict
        The parameters as they were when the model was fitted, whatever `set_params` did since.
    """

    model_: Model
    history_: list[dict[str, Any]]
    versus_pca_: VersusPCA | None
    n_components_: int
    n_iter_: int
    n_samples_seen_: int | None
    mean_: Floats
    sample_shape_: tuple[int, ...]
    stopped_by_: str
    classes_: inputs.Array
    label_name_: str | None
    parameters_: dict[str, Any]
    _feature_dtypes: list[str] | None
    _session: Session | None

    @abstractmethod
    def parts(self) -> Parts:
        """Return what fills the slots."""

    # Fitting -----------------------------------------------------------------------------

    @or_unharmed
    def fit(
        self,
        X: ArrayLike,
        y: Any = None,
        *,
        target: ArrayLike | None = None,
        validation: ArrayLike | tuple[ArrayLike, ArrayLike] | None = None,
        checkpoint: CheckpointLike = None,
        observers: Sequence[Observer] = (),
    ) -> Self:
        """Fit to the rows of `X`.

        Parameters
        ----------
        X : array, memmap, frame or tensor (N, D), or samples (N, *S)
            A float32 array (memory-mapped or not) is used where it lies, without a copy. Pictures
            are (N, height, width) or (N, channels, height, width). A network with skips also
            takes a list of pictures of different sizes, and trains on crops of large ones; pixels
            that are unsigned integers are then shares of full light, such as 25/255.
        y : labels (N,) if ``conditional``; else ignored, as pipelines pass it; clean rows go to
            `target`.
        target : (N, D), optional
            The clean rows, where `X` is noisy; by default `X` itself.
        validation : (M, D), or a tuple of noisy and clean rows, optional
            Rows to stop by, instead of a part of `X`; with `target` they have to be such a pair.
        checkpoint : path or Checkpoint, optional
            A folder in which the fit is kept while it lasts. If it was ended, the same call, or
            `isthmus.resume`, goes on from there and gives the same model bit for bit.
        observers : list of observers, optional
            They are told of every epoch, and change nothing of the fit; see `isthmus.observers`.

        Returns
        -------
        self

        Raises
        ------
        ParameterError
            If a parameter is unknown, out of range or at odds with another.
        DataError
            If the rows are too few, not numbers, not finite or outside the likelihood's domain.
        FileError
            If `checkpoint` is another fit's, or in use.
        """
        check(self)
        labels = learn_labels(self, X, y, validation)
        parts = self.parts()
        if labels is None:
            inputs.warn_of_lost_rows(y, getattr(X, "shape", None))
        rows = {"X": X, "target": target, "validation": validation, "y": labels}
        with keeping(self, checkpoint, rows) as keeper, watching(self, observers) as told:
            streams = keeper.streams(self.random_state)
            given = gather(self, parts, streams, X, target, validation)
            width = width_for(self, parts, given.rows, streams)
            if labels is not None:
                given = given._replace(rows=with_labels(given.rows, labels, parts.n_labels))
            plan = given.plan._replace(keeper=keeper)
            task = self._task(parts, width, given.scaling, plan, streams, told)
            fitted = fit(task, given.rows, given.judge, given.fraction)
        self._session = None
        self.mean_ = given.mean
        if labels is not None:
            learn_shares(fitted.model, labels)
        self._adopt(fitted, given.scaling)
        warn(self.stopped_by_, self.n_iter_, self.history_, self.learning_rate)
        self._finish(X, given.rows, streams)
        return self

    @or_unharmed
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
        if getattr(self, "conditional", False):
            raise ParameterError("conditional=True learns labels at once: call fit(X, y).")
        begun = hasattr(self, "model_")
        parts = self.parts()
        check_together(parts)
        if begun:
            self._check_unchanged(parts)
        array = inputs.check_rows(self, X, reset=not begun, at_least=1 if begun else 2)
        inputs.warn_of_lost_rows(y, array.shape)
        inputs.check_domain(array, parts.likelihood, "X")
        check_shape(parts, self.sample_shape_)
        check_width(parts, self.n_components, array.shape[1])
        plan = plan_for(self, len(array))
        check_steps(parts, plan)
        scaling = copy.deepcopy(self.model_.scaling).cpu() if begun else scale(self, parts, array)
        rows = select(array, array, scaling, plan.device)
        session = getattr(self, "_session", None)
        if session is None or not session.serves(plan):
            streams = Streams(self.random_state)
            if begun:
                made = (self.model_, self.n_iter_, self.history_)
            else:
                width = width_for(self, parts, rows, streams)
                task = self._task(parts, width, scaling, plan, streams, [])
                made = (task.begin(rows).model, 0, [])
            session = Session(streams, plan, *made)
        self._session, fitted = session.run(rows, plan)
        if begun:
            inputs.count_further(self, array)
        else:
            self.mean_ = mean_of(parts, array, scaling, self.sample_shape_)
        self._adopt(fitted, scaling)
        warn(self.stopped_by_, self.n_iter_)
        self._finish(X, rows, Streams(self.random_state))
        return self

    def diagnose(self, X: ArrayLike) -> list[Finding]:
        """Say in plain words what is wrong with the fit, judged on `X`, and what to change."""
        rows = self._rows(X)
        return diagnose(self, rows, apply(self.model_, Model.encode, rows, self._n_features_out))

    # How it is done ----------------------------------------------------------------------

    def _finish(self, X: ArrayLike, rows: Selection, streams: Streams) -> None:
        """Keep what the finished model makes of its training rows."""
        self.codes_ = self._keep_codes(rows, streams)

    def _encoder(self) -> Encoder:
        """Return a copy of what makes the codes."""
        model = copy.deepcopy(self.model_)
        model.thaw()
        parts = model.parts
        return Encoder(
            scaling=model.scaling,
            network=model.encoder,
            code=parts.code,
            memory=model.memory,
            n_components=model.n_components,
            rows_apart=parts.network.rows_apart,
            padded=parts.network.sequences,
        )

    def _learned(self) -> Learned:
        """Return what is saved besides the parameters."""
        versus = self.versus_pca_
        facts = {
            "n_components": self.n_components_,
            "n_iter": self.n_iter_,
            "stopped_by": self.stopped_by_,
            "versus_pca": None if versus is None else versus._asdict(),
            "history": self.history_,
        }
        beside = {"mean": torch.from_numpy(self.mean_), "codes": torch.from_numpy(self.codes_)}
        return facts, {**self.model_.state_dict(), **beside}

    def _relearn(self, facts: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Take over what was saved."""
        self.mean_ = tensors.pop("mean").numpy()
        is_share = self.n_components < 1
        width = facts["n_components"] if is_share else int(self.n_components)
        nothing = torch.empty(0, width)
        self.codes_ = tensors.pop("codes", nothing).numpy()  # of an earlier version: none
        scaling = Scaling(tensors["scaling.offset"], tensors["scaling.scale"])
        parts, generator = self.parts(), torch.Generator()
        has_path = any(name.startswith("encoder.linear.") for name in tensors)
        if parts.starts_as_pca and not has_path:  # of an earlier version, in which fewer had one
            parts = parts._replace(network=parts.network.but(linear_path="none"))
        shape = self.sample_shape_
        model = filled(lambda: build(parts, width, scaling, generator, shape), tensors)
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
        if not self.model_.parts.n_labels:
            for of_an_earlier_fit in ("classes_", "label_name_"):
                self.__dict__.pop(of_an_earlier_fit, None)
        self.n_components_ = fitted.model.n_components
        self.history_ = fitted.history
        self.versus_pca_ = fitted.versus_pca
        self.n_iter_ = fitted.n_epochs
        self.stopped_by_ = fitted.reason
        self.parameters_ = copied(self)

    def _task(
        self,
        parts: Parts,
        width: int,
        scaling: Scaling,
        plan: Plan,
        streams: Streams,
        observers: Sequence[Observer],
    ) -> Task:
        """Return what a fit is given besides its rows."""
        return Task(parts, width, self.sample_shape_, scaling, plan, streams, observers)

    def _check_unchanged(self, parts: Parts) -> None:
        """Refuse parameters that are no longer those of the model that has begun."""
        begun = copy.copy(self).set_params(**self.parameters_)
        before = (begun.parts(), begun.n_components, begun.scaling)
        if (parts, self.n_components, self.scaling) != before:
            raise ParameterError(
                "The parts, n_components or scaling are no longer those of the model that has "
                "begun: set them back, or call fit to begin anew."
            )
