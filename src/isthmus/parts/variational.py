"""Codes with a prior: in training they are made to look like draws of it.

B rows, S draws of a row, K code units.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from isthmus.errors import ParameterError
from isthmus.parts.halves import Spectrum, Units
from isthmus.parts.part import part
from isthmus.parts.passes import Drawn
from isthmus.parts.prior import MixturePrior, NormalPrior
from isthmus.parts.slots import Code, risen

LEAST_VARIANCE = 1e-6  # of a code at the start, where little or nothing holds it wide


@part("gaussian")
class Gaussian(Code):
    """``z ~ q(z|x) = Normal(m, s^2)``, (m, log s^2) the head: the variational autoencoder's.

    The divergence is ``beta KL(q(z|x) || Normal(0, 1))``, in closed form ``1/2 sum_k m^2 + s^2 - 1
    - log s^2``. With ``samples`` S > 1 it is of each draw, ``beta log q(z|x) / p(z)``, and the loss
    the importance-weighted bound ``-log 1/S sum_s p(x|z_s) p(z_s) / q(z_s|x)``; the encoder's
    gradient is the doubly reparameterised one, which is exact on average as the plain one is, and
    does not drown in noise as S grows. From S = 10 on, S / 10 draws carry it, chosen with the
    chances of their shares in the bound, where the network and the likelihood let a code be decoded
    twice. Over the first ``growth`` of the training S rises from 1, by the same factor each step:
    first steps are cheap, and gain little from many draws.

    With ``prior_components`` M > 1 the prior is ``sum_m share_m Normal(centre_m, variance_m)``, all
    learned with the rest, and the divergence that of single draws as well.

    With ``free_bits`` a unit's mean KL costs nothing below so many nats; with ``capacity`` C the
    divergence is ``beta |KL - C|``. Over the first ``warmup`` of the training beta rises from 0, or
    with a capacity that does.

    References
    ----------
    Kingma, D. & Welling, M. (2014). Auto-encoding variational Bayes. Higgins, I. et al. (2017).
    beta-VAE. Burda, Y., Grosse, R. & Salakhutdinov, R. (2016). Importance weighted autoencoders.
    Kingma, D. et al. (2016). Improved variational inference with inverse autoregressive flow,
    appendix C.8 (free bits). Burgess, C. et al. (2018). Understanding disentangling in beta-VAE.
    Tomczak, J. & Welling, M. (2018). VAE with a VampPrior (mixtures of Gaussians beside it).
    Tucker, G. et al. (2019). Doubly reparameterized gradient estimators for Monte Carlo objectives.
    """

    beta: Annotated[float, Field(ge=0, description="weight of the divergence")] = 1.0
    samples: Annotated[int, Field(ge=1, description="draws of a row in the bound")] = 1
    growth: Annotated[
        float, Field(ge=0, le=1, description="share of the training over which draws rise from 1")
    ] = 0.0
    free_bits: Annotated[float, Field(ge=0, description="nats of a unit that cost nothing")] = 0.0
    capacity: Annotated[
        Annotated[float, Field(ge=0)] | None, Field(description="nats that the code should hold")
    ] = None
    warmup: Annotated[
        float, Field(ge=0, le=1, description="share of the training over which beta rises")
    ] = 0.0
    prior_components: Annotated[
        int, Field(ge=1, description="Gaussians of the prior; several are learned")
    ] = 1

    head_per_unit = 2
    random = prior = bears_copies = True
    elementwise = switches = hides = False

    @property
    def linear(self) -> bool:  # type: ignore[override]
        plain = self.free_bits == 0 and self.capacity is None and self.prior_components == 1
        return plain and (self.samples == 1 or self.beta == 1)

    def begin(self, spectrum: Spectrum, noise: float | None) -> Units:
        """Return probabilistic PCA, its noise weighted by beta.

        A unit's direction, of variance v, is decoded to the length ``sqrt(v - beta noise)``, and
        the code is ``Normal(length / v * component, beta noise / v)``; where v is below that, the
        unit holds nothing (Tipping & Bishop 1999, sections 3.2 and 3.3; Lucas et al. 2019).
        """
        variances = spectrum.variances
        given = noise
        noise = likeliest_noise(spectrum, self.beta) if given is None else given
        lost = self.beta * noise
        lengths = (variances - lost).clamp(min=0).sqrt()
        awake = lengths > 0
        widths = torch.where(awake, lost / variances, 1.0).clamp(min=LEAST_VARIANCE)
        down = torch.where(awake, lengths / variances, 0.0)
        if given is None:  # the same, but where a width was held
            missed = variances * (1 - down * lengths).square() + lengths.square() * widths
            noise = (spectrum.rest + float(missed.sum())) / spectrum.n_features
        size = torch.ones_like(lengths)
        return Units(down, up=lengths, beside=widths.log(), size=size, noise=noise)

    @property
    def n_draws(self) -> int:
        return self.samples

    @property
    def idle(self) -> str | None:
        if self.growth > 0 and self.samples == 1:
            return (
                "growth lets the draws of a row rise from 1, and they are to be 1: give several "
                "samples (of an estimator, importance_samples), or leave growth out."
            )
        if self.capacity is not None and self.beta == 0:
            return (
                "capacity is what beta pulls the code to, and beta is 0: give beta, or leave "
                "capacity out."
            )
        return None

    def memory(self, n_components: int) -> nn.Module:
        single = self.samples > 1 or self.prior_components > 1
        if single and (self.free_bits > 0 or self.capacity is not None):
            raise ParameterError(
                "free_bits and capacity need whole distributions, and several samples of a row (of "
                "an estimator, importance_samples) or a learned prior (prior_components) weigh "
                "single draws: leave out the one or the other."
            )
        if self.prior_components > 1:
            return MixturePrior(self.prior_components, n_components)
        return NormalPrior()

    def mean(self, head: Tensor, memory: nn.Module) -> Tensor:
        return posterior(head)[0]

    def draw(
        self, head: Tensor, memory: nn.Module, generator: torch.Generator, at: float = 1.0
    ) -> Drawn:
        mean, log_variance = posterior(head)
        n_draws = round(self.samples ** risen(at, self.growth))
        z = draw(mean, log_variance, generator, n_draws)
        if self.beta == 0 and n_draws == 1:
            return Drawn(z, mean, None)
        warm = risen(at, self.warmup)
        if n_draws > 1 or self.prior_components > 1:
            weight = self.beta * warm
            return Drawn(z, mean, weight * log_ratio(z, mean, log_variance, memory), weight)
        units = kl(mean, log_variance)
        if self.capacity is not None:
            return Drawn(z, mean, self.beta * distance(units.sum(1), warm * self.capacity))
        if self.free_bits > 0:
            units = torch.where(units.mean(0) > self.free_bits, units, self.free_bits)
        return Drawn(z, mean, self.beta * warm * units.sum(1))


def likeliest_noise(spectrum: Spectrum, beta: float) -> float:
    """Return the likeliest variance of the noise of probabilistic PCA, weighted by beta.

    With q units that hold something, ``(variance of all other directions) / (D - beta q)``; for
    beta = 1 the mean of the variances that are left out (Tipping & Bishop 1999, equation 8).
    """
    variances = spectrum.variances
    n_units = torch.arange(len(variances) + 1, dtype=variances.dtype, device=variances.device)
    left_out = spectrum.rest + variances.sum() - torch.cat([n_units[:1], variances.cumsum(0)])
    n_free = spectrum.n_features - beta * n_units
    noises = torch.where(n_free > 0, left_out.clamp(min=0) / n_free, float("inf"))
    holds = torch.cat([n_free[:1] > 0, variances > beta * noises[1:]])
    return float(noises[holds][-1])


def posterior(head: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and logarithm of the variance of q(z|x), (B, K) each, of heads (B, 2 K)."""
    mean, log_variance = head.chunk(2, dim=1)
    return mean, log_variance


def repeat_rows(rows: Tensor, n_draws: int) -> Tensor:
    """Return each row (B, D) as often as its code is drawn, (B S, D)."""
    return rows if n_draws == 1 else rows.repeat_interleave(n_draws, 0)


def draw(
    mean: Tensor, log_variance: Tensor, generator: torch.Generator, n_draws: int = 1
) -> Tensor:
    """Draw S codes of each row, one after the other, (B S, K)."""
    mean, log_variance = (repeat_rows(each, n_draws) for each in (mean, log_variance))
    noise = torch.empty_like(mean).normal_(generator=generator)
    return torch.addcmul(mean, noise, torch.exp(log_variance / 2))


def log_ratio(z: Tensor, mean: Tensor, log_variance: Tensor, prior: nn.Module) -> Tensor:
    """Return ``log q(z|x) - log p(z)`` of the draws (B S, K) of each row, nats, (B S,).

    Its gradient goes by way of the draws alone: what remains of q's own has the mean that
    `fitting.importance.bound` puts in its place.
    """
    n_draws = len(z) // len(mean)
    centre, log_width = (repeat_rows(each.detach(), n_draws) for each in (mean, log_variance / 2))
    deviation = (z - centre) * torch.exp(-log_width)
    log_q: Tensor = -deviation.square().sum(1) / 2 - log_width.sum(1)
    return log_q - prior.log_density(z)  # type: ignore[operator]


def kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(Normal(mean, variance) || Normal(0, 1)) of each unit, nats, (B, K)."""
    return (mean.square() + torch.expm1(log_variance) - log_variance) / 2


def distance(divergence: Tensor, capacity: float) -> Tensor:
    """Return rows (B,) of which the mean is ``|mean divergence - capacity|``."""
    apart = divergence - capacity
    return torch.where(apart.mean() < 0, -apart, apart)


@part("wasserstein_mmd")
class WassersteinMMD(Code):
    """``z = head``, and all codes together look like draws of Normal(0, 1).

    The divergence is ``weight MMD^2(codes of the batch, draws)``: with k(a, b) = sum_c c / (c +
    |a - b|^2) over c = 2 K (0.1, 0.2, 0.5, 1, 2, 5, 10), the mean of k among codes, plus that
    among draws, less twice that between the two. A single row has none.

    References
    ----------
    Tolstikhin, I. et al. (2018). Wasserstein auto-encoders. Section 3, appendix B (WAE-MMD).
    """

    weight: Annotated[float, Field(ge=0, description="of the divergence")] = 10.0

    random = prior = True
    linear = elementwise = switches = hides = False

    def memory(self, n_components: int) -> nn.Module:
        return NormalPrior()

    def mean(self, head: Tensor, memory: nn.Module) -> Tensor:
        return head

    def draw(
        self, head: Tensor, memory: nn.Module, generator: torch.Generator, at: float = 1.0
    ) -> Drawn:
        prior = torch.empty_like(head).normal_(generator=generator)
        if self.weight == 0 or len(head) < 2:
            return Drawn(head, head, None)
        return Drawn(head, head, (self.weight * mmd(head, prior)).expand(len(head)))


def mmd(a: Tensor, b: Tensor) -> Tensor:
    """Return the unbiased estimate of MMD^2 between two sets of codes, (B, K) each, ()."""
    n_rows = len(a)
    among, between = _kernel(a, a) + _kernel(b, b), _kernel(a, b)
    n_itself = 2 * len(SCALES) * n_rows  # a code beside itself, where each kernel is 1
    apart = (among.sum() - n_itself) / (n_rows * (n_rows - 1))
    return apart - 2 * between.mean()


SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    """Return the inverse multiquadratic kernels of each pair, (B, B)."""
    lengths = a.square().sum(1)[:, None] + b.square().sum(1)
    squares = (lengths - 2 * a @ b.T).clamp(min=0)
    widths = [2 * a.shape[1] * scale for scale in SCALES]
    return torch.stack([width / (width + squares) for width in widths]).sum(0)
