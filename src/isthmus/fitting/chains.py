"""Markov chains over what was learned. n chains, D features, K code units, L labels."""

import torch
from torch import Tensor

from isthmus.errors import ParameterError
from isthmus.fitting.model import Model


def walkback(model: Model, z: Tensor, n_steps: int, generator: torch.Generator) -> Tensor:
    """Corrupt and clean rows in turns, from those of codes (n, K + L); return the last (n, K).

    After the code stands what the decoder is told of a label, if anything.

    x' ~ C(x' | x), x ~ p(x | x'). A likelihood that is a measure of error more than a
    distribution, of location, gives its mean.

    References
    ----------
    Bengio, Y., Yao, L., Alain, G. & Vincent, P. (2013). Generalized denoising auto-encoders as
    generative models. Algorithm 1.

    Raises
    ------
    ParameterError
        If the model was trained without noise.
    """
    corruption, likelihood = model.parts.corruption, model.parts.likelihood
    if not corruption.hides or corruption.blind:
        raise ParameterError(
            f"method='walkback' goes by the noise of the training, and corruption "
            f"{str(corruption)!r} is none: fit a DenoisingAutoencoder, or write method='mixture'."
        )
    z, told = z[:, : model.n_components], z[:, model.n_components :]
    for _ in range(n_steps):
        output = model.decoder(torch.cat([z, told], 1))
        if likelihood.location:
            x = likelihood.mean(output)
        else:
            x = model.scaling(likelihood.sample(output, generator, model.spread))
        z = model.code_of(model.see(x, generator).rows)
    return z


def gibbs(model: Model, z: Tensor, n_steps: int, generator: torch.Generator) -> Tensor:
    """Draw the top layer and the one below it in turns, from codes (n, K); return the last means.

    In a stack pretrained by RBMs and not fine-tuned, this samples the deep belief net.

    References
    ----------
    Hinton, G., Osindero, S. & Teh, Y. (2006). A fast learning algorithm for deep belief nets.

    Raises
    ------
    ParameterError
        If the model has no layers, or its code is not from 0 to 1.
    """
    stages, code = model.stages(), model.parts.code
    if not stages or (code.low, code.high) != (0, 1):
        raise ParameterError(
            "method='gibbs' needs layers and codes that are probabilities: fit a "
            "StackedAutoencoder(code='sigmoid', pretraining='rbm'), or write method='mixture'."
        )
    top, scaling = stages[-1], model.scaling
    for _ in range(n_steps):
        below = top.decoder(torch.bernoulli(z, generator=generator))
        if top.likelihood.location:
            below = top.likelihood.mean(below)
        else:
            below = top.likelihood.sample(below, generator)
            below = scaling(below) if len(stages) == 1 else below
        z = top.code.mean(top.encoder(below), top.memory)
    return z
