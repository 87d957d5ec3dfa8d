"""The denoising autoencoder."""

from __future__ import annotations  # help texts name the types, and do not unfold them

from typing import Annotated

from numpy.typing import ArrayLike
from pydantic import Field

from isthmus.estimators.base import BaseAutoencoder
from isthmus.estimators.inputs import Floats
from isthmus.estimators.parameters import PartLike, estimator, meaning
from isthmus.fitting.model import Parts
from isthmus.parts.code import Plain
from isthmus.parts.slots import Corruption, Likelihood


@estimator
class DenoisingAutoencoder(BaseAutoencoder):
    """An autoencoder that sees noisy rows and is asked for the clean ones.

    ``minimise mean_x nll(decoder(encoder(corruption(x))), x)``

    With the noise that the data have, `denoise` takes it off; with any noise, the code is
    kept from copying its input, so it may be wider than the input.

    Parameters
    ----------
    {parameters}

    Examples
    --------
    >>> from isthmus import DenoisingAutoencoder, datasets
    >>> X = datasets.digits().images
    >>> model = DenoisingAutoencoder(32, corruption="gaussian(std=0.3)", max_epochs=5).fit(X)
    >>> model.denoise(X).shape
    (1797, 64)

    References
    ----------
    Vincent, P. et al. (2010). Stacked denoising autoencoders: learning useful representations
    in a deep network with a local denoising criterion.
    """

    corruption: Annotated[
        PartLike,
        meaning("The noise, in X's units: 'gaussian(std=0.1)', 'masking', 'salt_and_pepper'."),
    ] = "gaussian"

    patience: Annotated[
        Annotated[int, Field(ge=1)] | None,
        meaning("As elsewhere; None here, since fresh noise each epoch keeps it from overfitting."),
    ] = None

    def parts(self) -> Parts:
        """Return what fills the slots."""
        return Parts(
            network=self._network(),
            corruption=Corruption.of(self.corruption),
            code=Plain(),
            likelihood=Likelihood.of(self.likelihood),
            penalties=(),
        )

    def denoise(self, X: ArrayLike) -> Floats:
        """Return the clean rows that the noisy rows (N, D) came from, as far as it can tell."""
        return self.reconstruct(X)
