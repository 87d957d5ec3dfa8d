"""The variational autoencoder."""

import copy
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from pydantic import Field
from torch import Tensor

from isthmus.errors import ParameterError
from isthmus.estimators import inputs
from isthmus.estimators.base import BaseAutoencoder
from isthmus.estimators.inputs import Floats
from isthmus.estimators.labels import labels_facts, labels_from
from isthmus.estimators.parameters import PartLike, estimator, meaning
from isthmus.estimators.saving import Learned
from isthmus.estimators.shorthands import network_meant
from isthmus.estimators.using import apply
from isthmus.fitting import evidence
from isthmus.fitting.model import Model, Parts
from isthmus.fitting.streams import RandomState, Streams
from isthmus.parts.slots import Corruption, Likelihood
from isthmus.parts.variational import Gaussian, posterior

WARMUP = 0.1  # share of the training, so that units are not given up before they are learned


def warmed(parts: Parts, warmup: float | None = None) -> Parts:
    """Let beta rise over a share of the training; None: as long as is good.

    Units that begin as those of probabilistic PCA have nothing to lose.
    """
    if warmup is None:
        warmup = 0.0 if parts.starts_as_pca else WARMUP
    return parts._replace(code=parts.code.but(warmup=float(warmup)))


@estimator
class VariationalAutoencoder(BaseAutoencoder):
    """An autoencoder whose codes are distributions, so that it can be drawn from.

    ``minimise mean_x E_q[-log p(x|z)] + beta KL(q(z|x) || p(z))``, q(z|x) = Normal(m(x), s(x)^2)
    by the encoder, p(x|z) by the decoder, p(z) = Normal(0, 1), or learned: the negative evidence
    lower bound for beta = 1. `transform` gives m(x), and never draws.

    With a normal likelihood it starts as the probabilistic PCA of its width and leaves it only for
    what does better on held-out rows, beyond chance.

    Parameters
    ----------
    {parameters}

    Examples
    --------
    >>> from isthmus import VariationalAutoencoder, datasets
    >>> X = datasets.digits().images
    >>> model = VariationalAutoencoder(8, max_epochs=5, random_state=0).fit(X)
    >>> model.sample(10).shape
    (10, 64)

    References
    ----------
    Kingma, D. & Welling, M. (2014). Auto-encoding variational Bayes. Rezende, D., Mohamed, S. &
    Wierstra, D. (2014). Stochastic backpropagation and approximate inference in deep generative
    models. Burda, Y., Grosse, R. & Salakhutdinov, R. (2016). Importance weighted autoencoders.
    Tipping, M. & Bishop, C. (1999). Probabilistic principal component analysis.
    """

    corruption: Annotated[
        PartLike,
        meaning("'binarised' draws black and white pictures of grey ones; or noise to remove."),
    ] = "clean"
    likelihood: Annotated[
        PartLike,
        meaning(
            "p(x|z): 'normal(std=learned)', 'normal(std=per_feature)', 'laplace' or 'bernoulli' (X "
            "in 0 to 1)."
        ),
    ] = "normal(std=learned)"
    beta: Annotated[
        float, meaning("Weight of the KL; above 1 units carry less, one thing each.", ge=0)
    ] = 1.0
    importance_samples: Annotated[
        int, meaning("Draws of the importance-weighted bound; 1 is the plain one.", ge=1)
    ] = 1
    growth: Annotated[
        float,
        meaning("Share of the training over which the draws rise from 1 to all.", ge=0, le=1),
    ] = 0.0
    warmup: Annotated[
        Annotated[float, Field(ge=0, le=1)] | None,
        meaning(
            "Share of the training over which beta rises from 0; None: 0.1, and 0 where the "
            "network starts as PCA."
        ),
    ] = None
    free_bits: Annotated[float, meaning("Nats of each unit that cost nothing.", ge=0)] = 0.0
    capacity: Annotated[
        Annotated[float, Field(ge=0)] | None,
        meaning("Nats that the code should hold, to which beta pulls; None: as few as pay."),
    ] = None
    prior_components: Annotated[
        int,
        meaning("Gaussians of the prior p(z); 1 is Normal(0, 1), several are learned.", ge=1),
    ] = 1

    conditional: Annotated[
        bool, meaning("Whether the decoder is told the labels: fit(X, y), then sample(n, y=...).")
    ] = False

    def parts(self) -> Parts:
        """Return what fills the slots."""
        code = Gaussian(
            beta=float(self.beta),
            samples=self.importance_samples,
            growth=float(self.growth),
            free_bits=float(self.free_bits),
            capacity=None if self.capacity is None else float(self.capacity),
            prior_components=self.prior_components,
        )
        parts = Parts(
            network=network_meant(self),
            corruption=Corruption.of(self.corruption),
            code=code,
            likelihood=Likelihood.of(self.likelihood),
            penalties=(),
            n_labels=len(self.classes_) if self.conditional and hasattr(self, "classes_") else 0,
        )
        if self.conditional and getattr(parts.network, "linear_path", "none") == "pca":
            raise ParameterError(
                "linear_path='pca' needs a decoder that is told nothing beside the code: write "
                "conditional=False, or linear_path='none'."
            )
        return warmed(parts, WARMUP if self.conditional and self.warmup is None else self.warmup)

    def _learned(self) -> Learned:
        facts, tensors = super()._learned()
        classes = self.classes_ if self.model_.parts.n_labels else None
        name = getattr(self, "label_name_", None)  # which older pickles have not
        return {**facts, **labels_facts(classes), "label_name": name}, tensors

    def _relearn(self, facts: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        if facts.get("classes") is not None:
            earlier = np.array(facts["classes"]).dtype.str  # of an earlier version
            self.classes_ = labels_from(facts["classes"], facts.get("classes_dtype", earlier))
            self.label_name_ = facts.get("label_name")
        super()._relearn(facts, tensors)

    def transform(self, X: ArrayLike, *, return_std: bool = False) -> Any:
        """Encode rows (N, D) to the means of their codes (N, K); on request (means, stds)."""
        rows = self._rows(X)
        means = apply(self.model_, Model.encode, rows, self._n_features_out)
        if not return_std:
            return means

        def std(model: Model, x: Tensor) -> Tensor:
            return torch.exp(posterior(model.head_of(model.scaling(x)))[1] / 2)

        return means, apply(self.model_, std, rows, self._n_features_out)

    def elbo(self, X: ArrayLike, n_samples: int = 1, random_state: RandomState = 0) -> Floats:
        """Return the evidence lower bound of log p(x) of each row, nats, in user's units, (N,).

        Parameters
        ----------
        n_samples : draws of which the expected log-likelihood is the mean.
        random_state : of the draws; the same number, the same answer.
        """
        return self._evidence(evidence.elbo, X, n_samples, random_state)

    def log_likelihood(
        self, X: ArrayLike, n_samples: int = 5000, random_state: RandomState = 0
    ) -> Floats:
        """Return log p(x) of each row by importance sampling, nats, in user's units, (N,).

        From below it nears the true value as `n_samples` grows. In float32.

        Raises
        ------
        DataError
            If a value is outside the likelihood's domain, as in `fit`.
        """
        return self._evidence(evidence.log_likelihood, X, n_samples, random_state)

    def _evidence(
        self,
        function: Callable[[Model, Tensor, int, torch.Generator], Tensor],
        X: ArrayLike,
        n_samples: int,
        random_state: RandomState,
    ) -> Floats:
        rows = self._likely_rows(X)
        inputs.check_count("n_samples", n_samples, 1)
        fitted, light = self.model_, copy.deepcopy(self.model_).float()
        generator = Streams(random_state).generator("code", fitted.scaling.offset.device)

        def of(_: Model, x: Tensor) -> Tensor:
            scaled = fitted.scaling(x).float()
            return function(light, scaled, n_samples, generator).double() - fitted.log_volume(x)

        return apply(fitted, of, rows, exact=True)
