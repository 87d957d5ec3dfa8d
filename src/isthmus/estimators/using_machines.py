"""What users do with a fitted restricted Boltzmann machine.

Shapes: N rows, D features, K components.
"""

from __future__ import annotations  # help texts name the types, and do not unfold them

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Literal

import torch
from numpy.typing import ArrayLike
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from isthmus.data.scaling import Scaling
from isthmus.estimators import answers, inputs
from isthmus.estimators.diagnosis import diagnose_machine
from isthmus.estimators.diagnosis.finding import Finding
from isthmus.estimators.inputs import Array, Floats
from isthmus.fitting.partition import Annealing, log_partition
from isthmus.fitting.streams import RandomState, Streams
from isthmus.parts.boltzmann import RestrictedBoltzmann


class UsingMachine(TransformerMixin, ABC):
    """The methods of a fitted machine; a transformer itself, so that `set_output` reaches it."""

    model_: RestrictedBoltzmann
    mean_: Floats
    n_features_in_: int
    parameters_: dict[str, Any]
    _scaling: Scaling

    @abstractmethod
    def _check_domain(self, array: Array, scaling: str) -> None:
        """Refuse rows that a machine of this scaling cannot have produced."""

    @abstractmethod
    def _see(self, x: Tensor) -> Tensor:
        """Return user's rows (B, D) as the machine sees them."""

    @abstractmethod
    def _log_density_unit(self) -> float:
        """Return what turns the machine's log densities into the user's units, by subtraction."""

    @abstractmethod
    def _score(self, v: Tensor) -> Tensor:
        """Return `score_samples` of rows that the machine sees, (B,)."""

    def transform(self, X: ArrayLike) -> Floats:
        """Return the expected hidden states E[h | x] of rows (N, D), (N, K)."""
        return self._states(X)

    def inverse_transform(self, Z: ArrayLike) -> Floats:
        """Return the expected rows E[x | h] of hidden states (N, K), user's units, (N, D)."""
        check_is_fitted(self, "model_")
        array = inputs.check_codes(Z, self._n_features_out)

        def rows(h: Tensor) -> Tensor:
            return self._scaling.inverse(self.model_.mean_visible(h).cpu())

        return answers.in_chunks(rows, array, self.model_.weight.device, self.n_features_in_)

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
            samples of the machine; rather too low, unless its chain mixes badly: samples that
            miss a mode make it too high as well.
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

    def diagnose(self, X: ArrayLike) -> list[Finding]:
        """Say in plain words what is wrong with the fit, judged on `X`, and what to change."""
        return diagnose_machine(self, self._states(X))

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
        return len(self.model_.hidden_bias)

    # How it is done ----------------------------------------------------------------------

    def _states(self, X: ArrayLike) -> Floats:
        """Return the expected hidden states of rows of `X`, (N, K)."""
        check_is_fitted(self, "model_")
        return self._map(X, lambda rbm, v: rbm.mean_hidden(v), self._n_features_out)

    def _map(
        self, X: ArrayLike, function: Callable[[RestrictedBoltzmann, Tensor], Tensor], *width: int
    ) -> Floats:
        """Apply a function of the machine to rows of `X` as it sees them, chunk by chunk."""
        check_is_fitted(self, "model_")
        array = inputs.check_rows(self, X, reset=False)
        self._check_domain(array, self.parameters_["scaling"])
        rbm = self.model_
        cpu = torch.device("cpu")  # where the scaling is

        return answers.in_chunks(
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
