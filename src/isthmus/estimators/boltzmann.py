"""What all restricted Boltzmann machines share: one scikit-learn contract over one training.

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

from isthmus.data.rows import Selection, moments, select
from isthmus.data.scaling import Scaling
from isthmus.errors import ParameterError, caution
from isthmus.estimators import inputs
from isthmus.estimators.inputs import Array
from isthmus.estimators.parameters import BoltzmannParameters, check
from isthmus.estimators.resuming import CheckpointLike, keeping
from isthmus.estimators.saving import Learned, copied, filled
from isthmus.estimators.transformer import SavedTransformer
from isthmus.estimators.unharmed import or_unharmed
from isthmus.estimators.using_machines import UsingMachine
from isthmus.estimators.watching import watching
from isthmus.fitting.classifier import Encoder, layer_of
from isthmus.fitting.contrastive import ContrastiveOptions, Session, train_rbm
from isthmus.fitting.observers import Observer
from isthmus.fitting.plan import pick_batch_size, pick_device, pick_max_epochs
from isthmus.fitting.schedules import Schedule
from isthmus.fitting.streams import Streams
from isthmus.parts.boltzmann import RestrictedBoltzmann
from isthmus.parts.code import Plain
from isthmus.parts.slots import Nothing


class BaseRBM(UsingMachine, SavedTransformer, BoltzmannParameters, BaseEstimator, ABC):
    """The methods of every machine; a subclass says what its units are and what it can see.

    Attributes
    ----------
    model_ : RestrictedBoltzmann
        Weights, biases and offsets, float64.
    components_ : ndarray (K, D)
        Weights.
    intercept_hidden_, intercept_visible_ : ndarray (K,), (D,)
        Biases of the same machine without offsets.
    history_ : list of dict
        A record per epoch: reconstruction error, learning rate, seconds.
    n_iter_ : int
        Epochs that made the machine.
    n_samples_seen_ : int or None
        Rows of training; None if an old file did not say.
    mean_ : ndarray (D,)
        Of the training rows.
    stopped_by_ : str
        "limit", "interrupted" or "diverged".
    """

    history_: list[dict[str, Any]]
    n_iter_: int
    n_samples_seen_: int | None
    stopped_by_: str
    scaling: str
    _session: Session | None

    # What tells the two machines apart ---------------------------------------------------

    @abstractmethod
    def _kinds(self) -> tuple[str, str]:
        """Return the kinds of visible and of hidden units."""

    @abstractmethod
    def _fit_scaling(self, array: Array) -> Scaling:
        """Return the map from the user's units to those that the machine sees."""

    # Fitting -----------------------------------------------------------------------------

    @or_unharmed
    def fit(
        self,
        X: ArrayLike,
        y: Any = None,
        *,
        checkpoint: CheckpointLike = None,
        observers: Sequence[Observer] = (),
    ) -> Self:
        """Fit to the rows of `X` (N, D); `y` is ignored, as pipelines pass it.

        In the folder `checkpoint` the fit is kept while it lasts, as an autoencoder's is.
        `observers` are told of every epoch; see `isthmus.observers`.

        Raises
        ------
        ParameterError
            If a parameter is unknown or out of range.
        DataError
            If the rows are too few, not numbers, not finite or outside the machine's domain.
        FileError
            If `checkpoint` is another fit's, or in use.
        """
        check(self)
        array = inputs.check_rows(self, X, reset=True, at_least=2)
        self._check_domain(array, self.scaling)
        scaling = self._fit_scaling(array)
        rows = select(array, array, scaling, pick_device(self.device))
        with keeping(self, checkpoint, {"X": X}) as keeper, watching(self, observers) as told:
            streams = keeper.streams(self.random_state)
            rbm = self._begin(rows, streams)
            options = self._options(len(array))._replace(keeper=keeper)
            trained = train_rbm(rbm, rows, options, streams, told)
        self._session, self._scaling = None, scaling
        self.mean_ = moments(array)[0].numpy()
        self.model_ = rbm.double()
        self.parameters_ = copied(self)
        self.history_, self.n_iter_, self.stopped_by_ = trained
        self._warn()
        return self

    @or_unharmed
    def partial_fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Pass once over the rows of `X`; the first call also fixes the scaling and the start.

        The learning rate does not move within a portion; it and the batches are those of the
        parameters at each call. After `fit` or `load`, it goes on from there with fresh chains;
        `history_` goes on too.

        Raises
        ------
        ParameterError
            If n_components or the units are no longer the machine's.
        """
        check(self)
        begun = hasattr(self, "model_")
        if begun:
            self._check_unchanged()
        array = inputs.check_rows(self, X, reset=not begun, at_least=1 if begun else 2)
        self._check_domain(array, self.scaling)
        scaling = self._scaling if begun else self._fit_scaling(array)
        options = self._options(len(array))
        rows = select(array, array, scaling, options.device)
        session = getattr(self, "_session", None)
        if session is None or not session.serves(options):
            streams = Streams(self.random_state)
            rbm = copy.deepcopy(self.model_).float() if begun else self._begin(rows, streams)
            made = (self.n_iter_, self.history_) if begun else (0, [])
            session = Session(rbm.to(options.device), options, streams, *made)
        after = session.run(rows, options)
        if begun:
            inputs.count_further(self, array)
        else:
            self.mean_ = moments(array)[0].numpy()
        self._session, self._scaling = after, scaling
        kept = after or session
        self.model_ = copy.deepcopy(kept.rbm).double()
        self.parameters_ = copied(self)
        self.history_, self.n_iter_ = list(kept.history), kept.epoch
        self.stopped_by_ = "limit" if after else "diverged"
        self._warn()
        return self

    # How it is done ----------------------------------------------------------------------

    def _encoder(self) -> Encoder:
        """Return a copy of what makes the codes, as a layer with the weights in float32."""
        scaling = copy.deepcopy(self._scaling).to(self.model_.weight.device)
        layer, width = layer_of(self.model_).requires_grad_(True), self._n_features_out
        return Encoder(scaling, layer, Plain(), Nothing(), width, True)

    def _check_unchanged(self) -> None:
        """Refuse parameters that are no longer those of the machine that has begun."""
        rbm = self.model_
        begun = (
            len(rbm.hidden_bias),
            rbm.visible.name,
            rbm.hidden.name,
            self.parameters_["scaling"],
        )
        if (self.n_components, *self._kinds(), self.scaling) != begun:
            raise ParameterError(
                "n_components, scaling or the kind of the units are no longer those of the machine "
                "that has begun: set them back, or call fit to begin anew."
            )

    def _options(self, n_rows: int) -> ContrastiveOptions:
        batch_size = pick_batch_size(self.batch_size, n_rows, whole=False)
        return ContrastiveOptions(
            n_epochs=pick_max_epochs(self.n_iter, n_rows, batch_size),
            batch_size=batch_size,
            learning_rate=float(self.learning_rate),
            schedule=Schedule.of(self.schedule),
            n_steps=self.n_steps,
            persistent=self.persistent,
            n_chains=self.n_chains,
            offset_rate=float(self.offset_rate) if self.centred else 0.0,
            momentum=self.momentum,
            final_momentum=self.final_momentum,
            momentum_epochs=self.momentum_epochs,
            weight_decay=float(self.weight_decay),
            precision=self.precision,
            device=pick_device(self.device),
        )

    def _begin(self, rows: Selection, streams: Streams) -> RestrictedBoltzmann:
        """Return a fresh machine whose visible units have the means of the rows."""
        total = torch.zeros(rows.rows.n_features, dtype=torch.float64, device=rows.rows.device)
        for v, _ in rows.batches(4096):
            total += v.sum(0, dtype=torch.float64)
        mean = (total / rows.n_rows).float().cpu()
        visible, hidden = self._kinds()
        generator = streams.generator("init")
        return RestrictedBoltzmann.begin(
            mean, self.n_components, visible, hidden, generator, centred=self.centred
        ).to(rows.rows.device)

    def _warn(self) -> None:
        kept = f"the weights of epoch {self.n_iter_}, the last good one, are kept"
        sentences = {
            "diverged": f"The training diverged: {kept}. Lower learning_rate.",
            "interrupted": f"The fit was interrupted: {kept}.",
        }
        if self.stopped_by_ in sentences:
            caution(sentences[self.stopped_by_])

    def _learned(self) -> Learned:
        """Return what is saved besides the parameters."""
        facts = {"n_iter": self.n_iter_, "stopped_by": self.stopped_by_, "history": self.history_}
        scaling = {"scaling.offset": self._scaling.offset, "scaling.scale": self._scaling.scale}
        mean = torch.from_numpy(self.mean_)
        return facts, {**self.model_.state_dict(), **scaling, "mean": mean}

    def _relearn(self, facts: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Take over what was saved."""
        self.n_iter_, self.stopped_by_ = facts["n_iter"], facts["stopped_by"]
        self.history_ = facts["history"]
        self.mean_ = tensors.pop("mean").numpy()
        self._scaling = Scaling(tensors.pop("scaling.offset"), tensors.pop("scaling.scale"))
        sizes, kinds = (len(self.mean_), self.n_components), self._kinds()
        self.model_ = filled(lambda: RestrictedBoltzmann(*sizes, *kinds), tensors).double()
        self.parameters_ = copied(self)
