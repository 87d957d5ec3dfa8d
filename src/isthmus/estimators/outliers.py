"""The outlier detector.

Shapes: N rows, D features, K code units.
"""

from __future__ import annotations  # help texts name the types, and do not unfold them

import dataclasses
import math
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import OutlierMixin
from torch import Tensor

from isthmus.data.rows import Selection
from isthmus.estimators.base import BaseAutoencoder
from isthmus.estimators.inputs import Array, Floats
from isthmus.estimators.parameters import Components, Hidden, estimator, meaning
from isthmus.estimators.saving import Learned
from isthmus.estimators.shorthands import network_meant
from isthmus.estimators.variational import warmed
from isthmus.fitting.model import Model, Parts
from isthmus.fitting.streams import Streams
from isthmus.parts.corruption import Clean
from isthmus.parts.slots import Likelihood
from isthmus.parts.variational import Gaussian


@estimator
class OutlierDetector(OutlierMixin, BaseAutoencoder):
    """A variational autoencoder that says which rows do not belong to the others.

    ``score(x) = log p(x | m(x)) + log p(m(x))``, m(x) the mean of q(z|x) by the encoder, p(z) =
    Normal(0, 1): the joint density of the row and its code, which for a linear network at its
    optimum is log p(x) up to a constant. A row is unusual where it is rebuilt badly, and where its
    code lies far from the others': an autoencoder that judges by what it rebuilds alone overlooks
    outliers that it has learned to rebuild. As a variational one it spends its code on what many
    rows share.

    The rows of `fit` may hold outliers; the share of them is `contamination`.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    offset_ : float
        The score below which a row is an outlier: the training rows' quantile of `contamination`;
        after `partial_fit` that of its last rows.

    Examples
    --------
    >>> from isthmus import OutlierDetector, datasets
    >>> X = datasets.digits().images
    >>> detector = OutlierDetector(contamination=0.02, max_epochs=5, random_state=0).fit(X)
    >>> int((detector.predict(X) == -1).sum())
    36

    References
    ----------
    An, J. & Cho, S. (2015). Variational autoencoder based anomaly detection using reconstruction
    probability. Kingma, D. & Welling, M. (2014). Auto-encoding variational Bayes.
    """

    n_components: Components = dataclasses.field(default=0.8, kw_only=False)
    contamination: Annotated[
        float, meaning("Share of the training rows that are called outliers.", gt=0, le=0.5)
    ] = 0.1
    beta: Annotated[
        float, meaning("Weight of the KL; above 1 the code holds less of what few share.", ge=0)
    ] = 1.0
    hidden: Annotated[
        Hidden | None,
        meaning(
            "Shorthand for the network's hidden widths; () is linear, which learns outliers least."
        ),
    ] = ()
    scaling: Annotated[
        Literal["isotropic", "standard", "none"],
        meaning(
            "What the network sees: 'standard' (each feature by its own), 'isotropic', 'none'."
        ),
    ] = "standard"

    def parts(self) -> Parts:
        """Return what fills the slots."""
        parts = Parts(
            network=network_meant(self),
            corruption=Clean(),
            code=Gaussian(beta=float(self.beta)),
            likelihood=Likelihood.of(self.likelihood),
            penalties=(),
        )
        return warmed(parts)

    def score_samples(self, X: ArrayLike) -> Floats:
        """Return how usual each row is, nats, in user's units, (N,): the score above.

        Raises
        ------
        DataError
            If a value is outside the likelihood's domain, as in `fit`.
        """
        return super().score_samples(X)

    def decision_function(self, X: ArrayLike) -> Floats:
        """Return ``score_samples(X) - offset_``, (N,): below 0 for outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: ArrayLike) -> Array:
        """Return -1 for outliers and 1 for other rows, (N,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    @staticmethod
    def _row_scores(model: Model, x: Tensor) -> Tensor:
        code = model.encode(x)
        return model.log_likelihood(x) - (code.square() + math.log(2 * math.pi)).sum(1) / 2

    def _finish(self, X: ArrayLike, rows: Selection, streams: Streams) -> None:
        super()._finish(X, rows, streams)
        self.offset_ = float(np.quantile(self.score_samples(X), self.contamination))

    def _learned(self) -> Learned:
        facts, tensors = super()._learned()
        return {**facts, "offset": self.offset_}, tensors

    def _relearn(self, facts: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        super()._relearn(facts, tensors)
        offset = facts["offset"]
        if type(offset) not in (int, float) or not math.isfinite(offset):
            raise ValueError(f"offset is {offset!r}, and should be a finite number")
        self.offset_ = float(offset)
