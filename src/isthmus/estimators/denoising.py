"""The denoising autoencoder."""

from __future__ import annotations  # help texts name the types, and do not unfold them

from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field
from sklearn.utils.validation import check_is_fitted

from isthmus.data.tiles import from_light
from isthmus.estimators.arrays import Array, refusing, unwrapped
from isthmus.estimators.base import BaseAutoencoder
from isthmus.estimators.parameters import PartLike, estimator, meaning
from isthmus.estimators.samples import check_colours, fits
from isthmus.estimators.shorthands import network_meant
from isthmus.fitting.model import Parts
from isthmus.parts.code import Plain
from isthmus.parts.corruption import BlindSpot, Clean
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
    target: Annotated[
        Literal["clean", "noise2noise", "blind"],
        meaning(
            "What it learns from: 'clean' (clean rows, or fit(X, target=clean)), 'noise2noise' "
            "(a second noisy shot of each, as fit's target) or 'blind' (noisy pictures alone); the "
            "last two put no further noise on X."
        ),
    ] = "clean"

    patience: Annotated[
        Annotated[int, Field(ge=1)] | None,
        meaning("As elsewhere; None here, since fresh noise each epoch keeps it from overfitting."),
    ] = None

    def parts(self) -> Parts:
        """Return what fills the slots."""
        noises = {"clean": self.corruption, "noise2noise": Clean(), "blind": BlindSpot()}
        return Parts(
            network=network_meant(self),
            corruption=Corruption.of(noises[self.target]),
            code=Plain(),
            likelihood=Likelihood.of(self.likelihood),
            penalties=(),
            needs_target=self.target == "noise2noise",
        )

    def denoise(self, X: ArrayLike) -> Any:
        """Return the clean rows (N, D), or samples, that the noisy ones came from.

        A network with skips takes pictures (N, height, width), (N, channels, height, width) or a
        list of them of any size, and returns the same.
        """
        check_is_fitted(self, "model_")
        any_size = self.model_.parts.network.tiling is not None
        with refusing(X, "X"):
            if not any_size:
                return self.reconstruct(X)
            if fits(X, self.sample_shape_):
                of = np.asarray(unwrapped(X)).dtype
                rebuilt = self.reconstruct(X)
                return from_light(rebuilt, of) if of.kind == "u" else rebuilt
            cleaned = [self._denoise_sample(sample, f"X[{i}]") for i, sample in enumerate(X)]  # type: ignore[arg-type]
            return cleaned if isinstance(X, list | tuple) else np.stack(cleaned)

    def _denoise_sample(self, given: Any, name: str) -> Array:
        """Return a picture (height, width) or (channels, height, width) without its noise."""
        sample = np.asarray(unwrapped(given, name))
        check_colours(sample.shape, name)
        if sample.ndim < 3:
            return self.denoise_picture(sample)
        return np.moveaxis(self.denoise_picture(np.moveaxis(sample, 0, -1)), -1, 0)

    def denoise_picture(self, picture: ArrayLike) -> Array:
        """Return a picture of any size without its noise; see `reconstruct_picture`."""
        return self.reconstruct_picture(picture)
