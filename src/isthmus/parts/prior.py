"""Priors of codes: what codes are held to, and drawn from. B codes, M Gaussians, K code units."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from isthmus.parts.slots import Nothing

LEAST_VARIANCE = 1e-3  # of a Gaussian: with less, float32 would lose tenths of a nat
APART = 0.5  # std of the centres of a mixture at its start, of which the whole has about 1


class NormalPrior(Nothing):
    """``p(z) = Normal(0, 1)``: nothing to learn."""

    variance = torch.ones((), dtype=torch.float32)  # of each unit

    def log_density(self, z: Tensor) -> Tensor:
        """Return log p(z) of codes (B, K) but for the constant ``-K/2 log(2 pi)``, nats, (B,)."""
        return -z.square().sum(1) / 2

    def draw(self, z: Tensor, generator: torch.Generator) -> Tensor:
        """Fill z (B, K) with draws."""
        return z.normal_(generator=generator)


class MixturePrior(nn.Module):
    """``p(z) = sum_m share_m Normal(centre_m, variance_m)``, which gradients of the loss move."""

    def __init__(self, n_gaussians: int, n_components: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)  # it only sets them apart
        centres = APART * torch.randn(
            n_gaussians, n_components, generator=generator, dtype=torch.float32
        )
        log_variances = torch.full_like(centres, math.log(1 - APART**2))
        # Stacked, which is no matrix: an optimiser that turns those would not help here
        self.places = nn.Parameter(torch.stack([centres, log_variances]))  # (2, M, K)
        self.logits = nn.Parameter(torch.zeros(n_gaussians, dtype=torch.float32))

    def log_density(self, z: Tensor) -> Tensor:
        """Return log p(z) of codes (B, K) but for the constant ``-K/2 log(2 pi)``, nats, (B,)."""
        centres, log_variances = self._gaussians
        precisions = torch.exp(-log_variances)
        drawn_in = z.square() @ precisions.T - 2 * z @ (centres * precisions).T
        constants = (centres.square() * precisions + log_variances).sum(1)
        log_shares = functional.log_softmax(self.logits, 0)
        return torch.logsumexp(log_shares - (drawn_in + constants) / 2, 1)

    def draw(self, z: Tensor, generator: torch.Generator) -> Tensor:
        """Fill z (B, K) with draws."""
        shares = functional.softmax(self.logits, 0)
        which = torch.multinomial(shares, len(z), replacement=True, generator=generator)
        centres, log_variances = (each[which] for each in self._gaussians)
        return z.normal_(generator=generator).mul_(torch.exp(log_variances / 2)).add_(centres)

    @property
    def variance(self) -> Tensor:
        """Of each unit, (K,)."""
        shares = functional.softmax(self.logits, 0)[:, None]
        centres, log_variances = self._gaussians
        mean = (shares * centres).sum(0)
        return (shares * (log_variances.exp() + (centres - mean).square())).sum(0)

    @property
    def _gaussians(self) -> tuple[Tensor, Tensor]:
        """Centres and logarithms of the variances, (M, K) each."""
        centres, log_variances = self.places
        return centres, log_variances.clamp(min=math.log(LEAST_VARIANCE))
