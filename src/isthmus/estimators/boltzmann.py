"""What all restricted Boltzmann machines share: one scikit-learn contract over one training.

Shapes: N rows, D features, K components.
"""

from __future__ import annotations  # help texts name the types, and do not unfold them

import copy
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Literal, Self

import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from isthmus.data.rows import Selection, moments, select
from isthmus.data.scaling import Scaling
from isthmus.errors import TrainingWarning
from isthmus.estimators import inputs
from isthmus.estimators.inputs import Array, Floats
from isthmus.estimators.parameters import BoltzmannParameters, RandomState, check
from isthmus.estimators.resuming import CheckpointLike, keeping
from isthmus.estimators.saving import Learned
from isthmus.estimators.transformer import SavedTransformer
from isthmus.fitting.classifier import Encoder, layer_of
from isthmus.fitting.contrastive import ContrastiveOptions, Session, train_rbm
from isthmus.fitting.observers import ProgressBar
from isthmus.fitting.partition import Annealing, log_partition
from isthmus.fitting.plan import pick_batch_size, pick_device, pick_max_epochs
from isthmus.fitting.schedules import Schedule
from isthmus.fitting.streams import Streams
from isthmus.parts.boltzmann import RestrictedBoltzmann
from isthmus.parts.code import Plain
from isthmus.parts.slots import Nothing


class BaseRBM(SavedTransformer, BoltzmannParameters, BaseEstimator, ABC):
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
    mean_ : ndarray (D,)
        Of the training rows.
    stopped_by_ : str
        "limit", "interrupted" or "diverged".
    """

    model_: RestrictedBoltzmann
    history_: list[dict[str, Any]]
    n_iter_: int
    mean_: Floats
    stopped_by_: str
    _scaling: Scaling
    _session: Session | None

    # What tells the two machines apart ---------------------------------------------------

    @abstractmethod
    def _kinds(self) -> tuple[str, str]:
        """Return the kinds of visible and of hidden units."""

    @abstractmethod
    def _fit_scaling(self, array: Array) -> Scaling:
        """Return the map from the user's units to those that the machine sees."""

    @abstractmethod
    def _check_domain(self, array: Array) -> None:
        """Refuse rows that the machine cannot have produced."""

    @abstractmethod
    def _see(self, x: Tensor) -> Tensor:
        """Return user's rows (B, D) as the machine sees them."""

    @abstractmethod
    def _log_density_unit(self) -> float:
        """Return what turns the machine's log densities into the user's units, by subtraction."""

    @abstractmethod
    def _score(self, v: Tensor) -> Tensor:
        """Return `score_samples` of rows that the machine sees, (B,)."""

    # Fitting -----------------------------------------------------------------------------

    def fit(self, X: ArrayLike, y: Any = None, *, checkpoint: CheckpointLike = None) -> Self:
        """Fit to the rows of `X` (N, D); `y` is ignored, as pipelines pass it.

        In the folder `checkpoint` the fit is kept while it lasts, as an autoencoder's is.

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
        self._check_domain(array)
        scaling = self._fit_scaling(array)
        rows = select(array, array, scaling, pick_device(self.device))
        with ExitStack() as stack:
            keeper = stack.enter_context(keeping(self, checkpoint, {"X": X}))
            streams = keeper.streams(self.random_state)
            rbm = self._begin(rows, streams)
            show = [ProgressBar(type(self).__name__)] if self.verbose else []
            observers = [stack.enter_context(bar) for bar in show]
            options = self._options(len(array))._replace(keeper=keeper)
            trained = train_rbm(rbm, rows, options, streams, observers)
        self._session, self._scaling = None, scaling
        self.mean_ = moments(array)[0].numpy()
        self.model_ = rbm.double()
        self.parameters_ = self.get_params(deep=False)
        self.history_, self.n_iter_, self.stopped_by_ = trained
        self._warn()
        return self

    def partial_fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Pass once over the rows of `X`; the first call also fixes the scaling and the start.

        The learning rate does not move. After `fit` or `load`, it goes on from there with fresh
        chains.
        """
        check(self)
        begun = hasattr(self, "model_")
        array = inputs.check_rows(self, X, reset=not begun, at_least=1 if begun else 2)
        self._check_domain(array)
        scaling = self._scaling if begun else self._fit_scaling(array)
        rows = select(array, array, scaling, pick_device(self.device))
        session = getattr(self, "_session", None)
        if session is None:
            streams = Streams(self.random_state)
            rbm = copy.deepcopy(self.model_).float() if begun else self._begin(rows, streams)
            session = Session(rbm, self._options(len(array)), streams)
        sound = session.run(rows)
        if not begun:
            self.mean_ = moments(array)[0].numpy()
        self._session, self._scaling = (session if sound else None), scaling
        self.model_ = copy.deepcopy(session.rbm).double()
        self.parameters_ = self.get_params(deep=False)
        self.history_, self.n_iter_ = list(session.history), len(session.history)
        self.stopped_by_ = "limit" if sound else "diverged"
        self._warn()
        return self

    # Using -------------------------------------------------------------------------------

    def transform(self, X: ArrayLike) -> Floats:
        """Return the expected hidden states E[h | x] of rows (N, D), (N, K)."""
        return self._map(X, lambda rbm, v: rbm.mean_hidden(v), self.n_components)

    def inverse_transform(self, Z: ArrayLike) -> Floats:
        """Return the expected rows E[x | h] of hidden states (N, K), user's units, (N, D)."""
        check_is_fitted(self, "model_")
        array = inputs.check_codes(Z, self.n_components)

        def rows(h: Tensor) -> Tensor:
            return self._scaling.inverse(self.model_.mean_visible(h).cpu())

        return inputs.in_chunks(rows, array, self.model_.weight.device, self.n_features_in_)

    def sample(
        self, n_samples: int = 1, n_steps: int = 1000, random_state: RandomState = None
    ) -> Floats:
        """Draw rows (n_samples, D) by `n_steps` of Gibbs sampling, begun without the weights."""
        check_is_fitted(self, "model_")
        inputs.check_count("n_samples", n_samples, 1)
        rbm, generator = self.model_, self._generator(random_state)
        start = rbm.visible.field_of(self._seen_mean()).repeat(n_samples, 1)
        return self._drawn(rbm.visible.sample(start, generator), n_steps, generator)

    def gibbs(self, X: ArrayLike, n_steps: int = 1, random_state: RandomState = None) -> Floats:
        """Draw rows (N, D) by `n_steps` of Gibbs sampling from the rows of `X`."""
        v = torch.from_numpy(self._map(X, lambda _, v: v, self.n_features_in_))
        return self._drawn(v.to(self.model_.weight), n_steps, self._generator(random_state))

    def free_energy(self, X: ArrayLike) -> Floats:
        """Return ``F(x) = -log p(x) - log Z`` of rows, nats, units the machine sees, (N,)."""
        return self._map(X, lambda rbm, v: rbm.free_energy(v))

    def log_likelihood(
        self,
        X: ArrayLike,
        method: Literal["exact", "ais", "ais-reverse"] = "ais",
        *,
        n_chains: int = 100,
        n_betas: int = 10_000,
        random_state: RandomState = 0,
    ) -> Floats:
        """Return log p(x) of rows, nats, a density in the user's units if X is continuous, (N,).

        Parameters
        ----------
        method : how the normalising constant is found
            "exact": by all states of the smaller binary side, of 25 units at the most. "ais": by
            annealed importance sampling; rather too high. "ais-reverse": by annealing back from
            samples of the machine; rather too low.
        n_chains, n_betas : chains of the annealing, and its steps.
        random_state : of the annealing; the same number, the same answer.

        Raises
        ------
        ParameterError
            If the method is unknown or cannot serve this machine.
        """
        check_is_fitted(self, "model_")
        inputs.check_count("n_chains", n_chains, 1)
        inputs.check_count("n_betas", n_betas, 1)
        free_energy = self.free_energy(X)
        annealing, generator = Annealing(n_chains, n_betas), self._generator(random_state)
        log_z = log_partition(self.model_, method, self._seen_mean(), annealing, generator)
        return -free_energy - (log_z.value + self._log_density_unit())

    def score_samples(self, X: ArrayLike) -> Floats:
        """Return a score per row, higher is more usual, (N,); the class says which."""
        return self._map(X, lambda _, v: self._score(v))

    def score(self, X: ArrayLike, y: Any = None) -> float:
        """Return the mean of `score_samples`."""
        return float(self.score_samples(X).mean())

    # What scikit-learn's own machine has -------------------------------------------------

    @property
    def components_(self) -> Floats:
        """Weights, (K, D)."""
        return self.model_.weight.cpu().numpy()

    @property
    def intercept_hidden_(self) -> Floats:
        """Hidden biases of the same machine without offsets, (K,)."""
        rbm = self.model_
        return (rbm.hidden_bias - rbm.weight @ rbm.visible_offset).cpu().numpy()

    @property
    def intercept_visible_(self) -> Floats:
        """Visible biases of the same machine without offsets, (D,)."""
        rbm = self.model_
        return (rbm.visible_bias - rbm.hidden_offset @ rbm.weight).cpu().numpy()

    @property
    def _n_features_out(self) -> int:
        return self.n_components

    # How it is done ----------------------------------------------------------------------

    def _encoder(self) -> Encoder:
        """Return a copy of what makes the codes, as a layer with the weights in float32."""
        scaling = copy.deepcopy(self._scaling).to(self.model_.weight.device)
        return Encoder(scaling, layer_of(self.model_), Plain(), Nothing(), self.n_components, True)

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

    def _map(
        self, X: ArrayLike, function: Callable[[RestrictedBoltzmann, Tensor], Tensor], *width: int
    ) -> Floats:
        """Apply a function of the machine to rows of `X` as it sees them, chunk by chunk."""
        check_is_fitted(self, "model_")
        array = inputs.check_rows(self, X, reset=False)
        self._check_domain(array)
        rbm = self.model_
        cpu = torch.device("cpu")  # where the scaling is

        return inputs.in_chunks(
            lambda x: function(rbm, self._see(x).to(rbm.weight)), array, cpu, *width
        )

    def _seen_mean(self) -> Tensor:
        """Return the mean of the training rows as the machine sees it, (D,)."""
        return self._see(torch.from_numpy(self.mean_)[None]).to(self.model_.weight)[0]

    def _drawn(self, v: Tensor, n_steps: int, generator: torch.Generator) -> Floats:
        """Go on from visible states for some Gibbs steps; return rows in the user's units."""
        inputs.check_count("n_steps", n_steps, 0)
        v = self.model_.gibbs(v, n_steps, generator)
        return self._scaling.inverse(v.cpu()).numpy()

    def _generator(self, random_state: RandomState) -> torch.Generator:
        return Streams(random_state).generator("gibbs", self.model_.weight.device)

    def _warn(self) -> None:
        kept = f"the weights of epoch {self.n_iter_}, the last whole one, are kept"
        sentences = {
            "diverged": f"The weights were not finite any more: {kept}. Lower learning_rate.",
            "interrupted": f"The fit was interrupted: {kept}.",
        }
        if self.stopped_by_ in sentences:
            warnings.warn(sentences[self.stopped_by_], TrainingWarning, stacklevel=3)

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
        rbm = RestrictedBoltzmann(len(self.mean_), self.n_components, *self._kinds())
        rbm.load_state_dict(tensors)
        self.model_ = rbm.double()
        self.parameters_ = self.get_params(deep=False)
