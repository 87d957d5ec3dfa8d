"""What a variational autoencoder knows of p(x): the lower bound, and its value by sampling.

Shapes: B rows, D features, K code units, S draws. Rows are scaled, nats as they are predicted.
"""

import math

import torch
from torch import Tensor

from isthmus.fitting.model import Model
from isthmus.parts.prior import NormalPrior
from isthmus.parts.variational import draw, kl, log_ratio, posterior, repeat_rows

TOGETHER = 2048  # draws that are decoded at a time: four times as many leave the cache


def elbo(model: Model, x: Tensor, n_draws: int, generator: torch.Generator) -> Tensor:
    """Return ``E_q log p(x|z) - KL(q(z|x) || p(z))`` of rows, the mean by S draws, (B,)."""
    mean, log_variance = posterior(model.head_of(x))
    predicted = model.predicted(x)
    closed = isinstance(model.memory, NormalPrior)
    bound = -kl(mean, log_variance).sum(1) if closed else torch.zeros_like(mean[:, 0])
    for _ in range(n_draws):
        z = draw(mean, log_variance, generator)
        nats = model.nats(z, predicted)
        if not closed:
            nats += log_ratio(z, mean, log_variance, model.memory)
        bound -= nats / n_draws
    return bound


def log_likelihood(model: Model, x: Tensor, n_draws: int, generator: torch.Generator) -> Tensor:
    """Return ``log 1/S sum_s p(x|z_s) p(z_s) / q(z_s|x)``, z_s drawn from q(z|x), (B,).

    From below it nears log p(x) as S grows (Burda et al. 2016, section 3).
    """
    few = torch.split(x, TOGETHER)
    return torch.cat([_log_likelihood(model, rows, n_draws, generator) for rows in few])


def _log_likelihood(model: Model, x: Tensor, n_draws: int, generator: torch.Generator) -> Tensor:
    """Weigh the draws of at most `TOGETHER` rows."""
    mean, log_variance = posterior(model.head_of(x))
    predicted = model.predicted(x)
    total = torch.full_like(mean[:, 0], -math.inf)
    done = 0
    while done < n_draws:
        n = min(n_draws - done, TOGETHER // len(x))
        z = draw(mean, log_variance, generator, n)
        nats = model.nats(z, repeat_rows(predicted, n))
        nats += log_ratio(z, mean, log_variance, model.memory)
        weights = -nats.view(len(x), n)
        total = torch.logaddexp(total, weights.logsumexp(1))
        done += n
    return total - math.log(n_draws)
