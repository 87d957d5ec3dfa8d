"""The restricted Boltzmann machines, by what they see."""

from __future__ import annotations  # help texts name the types, and do not unfold them

from typing import Annotated, Literal

from torch import Tensor

from isthmus.data.rows import fit_range, fit_scaling
from isthmus.data.scaling import Scaling
from isthmus.estimators import inputs
from isthmus.estimators.boltzmann import BaseRBM
from isthmus.estimators.inputs import Array
from isthmus.estimators.parameters import estimator, meaning


@estimator
class BernoulliRBM(BaseRBM):
    """Binary visible and hidden units: for black and white pictures and yes/no tables.

    ``p(v, h) = exp(v^T W^T h + v^T b + h^T c) / Z``, trained about the units' means.

    Values between 0 and 1 count as the chance of a 1, as in scikit-learn's machine of this name.
    `score_samples` is the log-pseudo-likelihood, ``sum_d log p(v_d | the others)``: all features
    are flipped in turn, where scikit-learn flips a random one, so the score does not change
    between two calls and is what scikit-learn's is on average.

    Parameters
    ----------
    {parameters}

    Examples
    --------
    >>> from isthmus import BernoulliRBM, datasets
    >>> X = datasets.digits().images
    >>> model = BernoulliRBM(64, n_iter=5, random_state=0).fit(X)
    >>> model.transform(X).shape
    (1797, 64)

    References
    ----------
    Hinton, G. (2002). Training products of experts by minimizing contrastive divergence.
    Tieleman, T. (2008). Training restricted Boltzmann machines using approximations to the
    likelihood gradient. Melchior, J., Fischer, A. & Wiskott, L. (2016). How to center deep
    Boltzmann machines.
    """

    scaling: Annotated[
        Literal["none", "range"],
        meaning(
            "'none': X is in 0 to 1 as it is; 'range': each feature's training range becomes 0 "
            "to 1, and later rows beyond it are moved to its edge."
        ),
    ] = "none"

    def _kinds(self) -> tuple[str, str]:
        return "bernoulli", "bernoulli"

    def _fit_scaling(self, array: Array) -> Scaling:
        return fit_range(array) if self.scaling == "range" else fit_scaling("none", array)

    def _check_domain(self, array: Array, scaling: str) -> None:
        if scaling == "none":
            instead = "use scaling='range' or GaussianRBM"
            inputs.check_range(array, (0, 1), "X", "BernoulliRBM", instead)

    def _see(self, x: Tensor) -> Tensor:
        return self._scaling(x).clamp(0, 1)

    def _log_density_unit(self) -> float:
        return 0.0

    def _score(self, v: Tensor) -> Tensor:
        return self.model_.log_pseudo_likelihood(v)


@estimator
class GaussianRBM(BaseRBM):
    """Normal visible units of unit variance, in scaled units: for any table, and for greys.

    ``p(v, h) = exp(-|v|^2 / 2 + v^T W^T h + v^T b + h^T c) / Z``, trained about the units' means;
    with Gaussian hidden units ``-|h|^2 / 2`` more.

    `score_samples` is ``-F(x)``, the log-likelihood up to a constant, since a pseudo-likelihood
    would need an integral for each feature.

    Parameters
    ----------
    {parameters}

    Examples
    --------
    >>> from isthmus import GaussianRBM, datasets
    >>> X = datasets.digits().images
    >>> model = GaussianRBM(64, n_iter=5, random_state=0).fit(X)
    >>> model.transform(X).shape
    (1797, 64)

    References
    ----------
    Hinton, G. & Salakhutdinov, R. (2006). Reducing the dimensionality of data with neural
    networks. Nair, V. & Hinton, G. (2010). Rectified linear units improve restricted Boltzmann
    machines. Melchior, J., Wang, N. & Wiskott, L. (2017). Gaussian-binary restricted Boltzmann
    machines for modeling natural image statistics.
    """

    hidden: Annotated[
        Literal["bernoulli", "gaussian", "rectified"],
        meaning("Hidden units: on or off, linear with noise of variance 1, or noisy rectified."),
    ] = "bernoulli"
    persistent: Annotated[
        bool, meaning("As elsewhere; False here, since chains of unbounded units can run away.")
    ] = False
    learning_rate: Annotated[
        float, meaning("As elsewhere; smaller here, where units have no bound.", gt=0)
    ] = 0.01
    scaling: Annotated[
        Literal["isotropic", "standard", "none"],
        meaning(
            "What the machine sees: 'standard' (each feature by its own deviation), 'isotropic' "
            "(centred, one scale for all features) or 'none'."
        ),
    ] = "standard"

    def _kinds(self) -> tuple[str, str]:
        return "gaussian", self.hidden

    def _fit_scaling(self, array: Array) -> Scaling:
        return fit_scaling(self.scaling, array)

    def _check_domain(self, array: Array, scaling: str) -> None:
        """Any finite table will do."""

    def _see(self, x: Tensor) -> Tensor:
        return self._scaling(x)

    def _log_density_unit(self) -> float:
        return float(self._scaling.log_volume())

    def _score(self, v: Tensor) -> Tensor:
        return -self.model_.free_energy(v)
