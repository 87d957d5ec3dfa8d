"""Restricted Boltzmann machines: energies, conditionals and free energies, and nothing else.

Shapes: B rows, D visible units, K hidden units. Energies and their logarithms are in nats.
"""

import copy
import math
from abc import ABC, abstractmethod
from typing import ClassVar, Self

import numpy as np
import torch
from scipy.special import spence
from torch import Tensor, nn
from torch.nn import functional

EDGE = 0.01  # a mean this near to the edge of its range is moved there before its link is undone


class Units(ABC):
    """One side of the machine, given the other: independent units in a field of (B, U) nats.

    ``p(s | field) = exp(s field - log_partition(field)) measure(s)``
    """

    name: ClassVar[str]
    binary: ClassVar[bool] = False  # whether the states are 0 and 1, so that they can be counted
    exact: ClassVar[bool] = True  # whether `sample` draws from the distribution above
    in_torch: ClassVar[bool] = True  # whether torch alone computes `log_partition`

    @abstractmethod
    def mean(self, field: Tensor) -> Tensor:
        """Return the expected states, (B, U)."""

    @abstractmethod
    def sample(self, field: Tensor, generator: torch.Generator) -> Tensor:
        """Draw states, (B, U)."""

    @abstractmethod
    def log_partition(self, field: Tensor) -> Tensor:
        """Return the log of the sum or integral over each unit's states, (B, U)."""

    @abstractmethod
    def field_of(self, mean: Tensor) -> Tensor:
        """Return the fields whose means these are, (U,); means at the edge are moved inwards."""

    def log_measure(self, states: Tensor) -> Tensor:
        """Return the log of the states' base measure, (B,)."""
        return states.new_zeros(states.shape[0])


class BinaryUnits(Units):
    """States 0 and 1: ``p(1) = sigmoid(field)``."""

    name = "bernoulli"
    binary = True

    def mean(self, field: Tensor) -> Tensor:
        return torch.sigmoid(field)

    def sample(self, field: Tensor, generator: torch.Generator) -> Tensor:
        chance = torch.sigmoid(field)
        if field.dtype is torch.float64:
            return torch.empty_like(field).uniform_(generator=generator).lt_(chance)
        # Chances in 65536ths: four draws from one of 64 bits, ten times as fast as
        # torch.bernoulli on a processor.
        words = torch.empty(-(-field.numel() // 4), dtype=torch.int64, device=field.device)
        words.random_(-(2**63), None, generator=generator)
        places = words.view(torch.int16)[: field.numel()].view(field.shape)
        limit = chance.mul_(65536).sub_(32768.5)
        return torch.lt(places, limit, out=limit)

    def log_partition(self, field: Tensor) -> Tensor:
        return functional.softplus(field)

    def field_of(self, mean: Tensor) -> Tensor:
        inside = mean.clamp(EDGE, 1 - EDGE)
        # Not torch.logit, whose last bit hangs on where its buffer happens to lie in memory.
        return torch.log(inside / (1 - inside))


class LinearUnits(Units):
    """Normal states of unit variance: ``s ~ N(field, 1)``.

    As hidden units they are the linear top of Hinton & Salakhutdinov (2006).
    """

    name = "gaussian"

    def mean(self, field: Tensor) -> Tensor:
        return field

    def sample(self, field: Tensor, generator: torch.Generator) -> Tensor:
        return field + torch.empty_like(field).normal_(generator=generator)

    def log_partition(self, field: Tensor) -> Tensor:
        return field.square() / 2 + math.log(2 * math.pi) / 2

    def field_of(self, mean: Tensor) -> Tensor:
        return mean

    def log_measure(self, states: Tensor) -> Tensor:
        return -states.square().sum(1) / 2


class RectifiedUnits(Units):
    """How many of endless copies with fields ``field - 1/2, field - 3/2, ...`` are on.

    Mean ``log(1 + exp(field))``, variance ``sigmoid(field)``. A draw is
    ``max(0, N(field, sigmoid(field)))``, which for fields near 0 lies below that mean (Nair &
    Hinton 2010, section 2). The base measure of a state has no closed form and counts as 1.
    """

    name = "rectified"
    exact = in_torch = False

    def mean(self, field: Tensor) -> Tensor:
        return functional.softplus(field)

    def sample(self, field: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.empty_like(field).normal_(generator=generator)
        return torch.relu(field + torch.sigmoid(field).sqrt() * noise)

    def log_partition(self, field: Tensor) -> Tensor:
        # The integral of the mean, -Li2(-exp(field)), turned over where exp would overflow.
        tail = torch.from_numpy(np.asarray(spence(1 + torch.exp(-field.abs()).cpu().numpy())))
        tail = tail.to(field)
        return torch.where(field > 0, math.pi**2 / 6 + field.square() / 2 + tail, -tail)

    def field_of(self, mean: Tensor) -> Tensor:
        return torch.log(torch.expm1(mean.clamp(min=EDGE)))


UNITS: dict[str, Units] = {
    units.name: units for units in (BinaryUnits(), LinearUnits(), RectifiedUnits())
}


class RestrictedBoltzmann(nn.Module):
    """Visible and hidden units with links between the sides only, each side about an offset.

    ``E(v, h) = -(v - mu)^T W^T (h - lambda) - (v - mu)^T b - (h - lambda)^T c``, less the log of
    the base measures of v and h; ``p(v, h) = exp(-E(v, h)) / Z``.

    Offsets change how the machine learns, not what it can be: `recentre` moves them and leaves
    the distribution as it was. With offsets 0 this is the textbook's machine.

    Parameters
    ----------
    n_visible, n_hidden : D, K
    visible, hidden : "bernoulli", "gaussian" or "rectified"
        Kinds of units; "rectified" only makes sense as hidden.

    References
    ----------
    Montavon, G. & Mueller, K.-R. (2012). Deep Boltzmann machines and the centering trick.
    Melchior, J., Fischer, A. & Wiskott, L. (2016). How to center deep Boltzmann machines.
    """

    weight: Tensor  # W, (K, D)
    visible_bias: Tensor  # b, (D,)
    hidden_bias: Tensor  # c, (K,)
    visible_offset: Tensor  # mu, (D,)
    hidden_offset: Tensor  # lambda, (K,)
    n_flipped = 1  # features that the pseudo-likelihood flips at once

    def __init__(
        self, n_visible: int, n_hidden: int, visible: str = "bernoulli", hidden: str = "bernoulli"
    ) -> None:
        super().__init__()
        self.visible, self.hidden = UNITS[visible], UNITS[hidden]
        self.register_buffer("weight", torch.zeros(n_hidden, n_visible, dtype=torch.float32))
        for side, size in (("visible", n_visible), ("hidden", n_hidden)):
            self.register_buffer(f"{side}_bias", torch.zeros(size, dtype=torch.float32))
            self.register_buffer(f"{side}_offset", torch.zeros(size, dtype=torch.float32))

    @classmethod
    def begin(
        cls,
        mean: Tensor,
        n_hidden: int,
        visible: str,
        hidden: str,
        generator: torch.Generator,
        *,
        centred: bool,
    ) -> Self:
        """Return a machine whose visible units have about the given means (D,), float32.

        Weights are drawn from N(0, 0.01^2) (Hinton 2012, section 8), hidden biases are 0.
        """
        rbm = cls(len(mean), n_hidden, visible, hidden)
        rbm.weight.normal_(0, 0.01, generator=generator)
        rbm.visible_bias.copy_(rbm.visible.field_of(mean))
        if centred:
            rbm.visible_offset.copy_(mean)
            rbm.hidden_offset.copy_(rbm.hidden.mean(rbm.hidden_bias))
        return rbm

    # The two sides, each given the other ---------------------------------------------------

    def hidden_field(self, v: Tensor) -> Tensor:
        """Return ``c + W (v - mu)`` of rows (B, D), (B, K)."""
        return _affine(v - self.visible_offset, self.weight, self.hidden_bias)

    def visible_field(self, h: Tensor) -> Tensor:
        """Return ``b + W^T (h - lambda)`` of hidden states (B, K), (B, D)."""
        return _affine(h - self.hidden_offset, self.weight.T, self.visible_bias)

    def mean_hidden(self, v: Tensor) -> Tensor:
        """Return E[h | v], (B, K)."""
        return self.hidden.mean(self.hidden_field(v))

    def sample_hidden(self, v: Tensor, generator: torch.Generator) -> Tensor:
        """Draw h given v, (B, K)."""
        return self.hidden.sample(self.hidden_field(v), generator)

    def mean_visible(self, h: Tensor) -> Tensor:
        """Return E[v | h], (B, D)."""
        return self.visible.mean(self.visible_field(h))

    def sample_visible(self, h: Tensor, generator: torch.Generator) -> Tensor:
        """Draw v given h, (B, D)."""
        return self.visible.sample(self.visible_field(h), generator)

    def gibbs(self, v: Tensor, n_steps: int, generator: torch.Generator) -> Tensor:
        """Draw h given v and v given h, `n_steps` times, (B, D)."""
        for _ in range(n_steps):
            v = self.sample_visible(self.sample_hidden(v, generator), generator)
        return v

    # Energies ------------------------------------------------------------------------------

    def energy(self, v: Tensor, h: Tensor) -> Tensor:
        """Return E(v, h) of pairs of rows, (B,)."""
        measures = self.visible.log_measure(v) + self.hidden.log_measure(h)
        pull = ((h - self.hidden_offset) * self.hidden_field(v)).sum(1)
        return -pull - (v - self.visible_offset) @ self.visible_bias - measures

    def free_energy(self, v: Tensor) -> Tensor:
        """Return ``F(v) = -log sum_h exp(-E(v, h))``, so that ``log p(v) = -F(v) - log Z``, (B,).

        ``F = -(v - mu)^T b + lambda^T field - sum_k log_partition(field_k) - log measure(v)``
        """
        field = self.hidden_field(v)
        free = field @ self.hidden_offset - self.hidden.log_partition(field).sum(1)
        return free - (v - self.visible_offset) @ self.visible_bias - self.visible.log_measure(v)

    # The same distribution, written in another way -----------------------------------------

    def recentre(self, visible_offset: Tensor, hidden_offset: Tensor) -> None:
        """Move the offsets and with them the biases: the distribution stays what it is.

        ``c += W (mu' - mu)``, ``b += W^T (lambda' - lambda)``
        """
        self.hidden_bias += self.weight @ (visible_offset - self.visible_offset)
        self.visible_bias += (hidden_offset - self.hidden_offset) @ self.weight
        self.visible_offset.copy_(visible_offset)
        self.hidden_offset.copy_(hidden_offset)

    def log_pseudo_likelihood(self, v: Tensor) -> Tensor:
        """Return ``sum_d log p(v_d | the others)`` of binary rows, nats, (B,).

        ``log p(v_d | others) = log sigmoid(F(v with v_d flipped) - F(v))``; a value between 0
        and 1 is flipped to 1 less it.
        """
        field = self.hidden_field(v)
        log_sum = self.hidden.log_partition(field).sum(1)
        total = v.new_zeros(v.shape[0])
        own = self.weight.T @ self.hidden_offset - self.visible_bias
        for d in range(0, v.shape[1], self.n_flipped):
            some = slice(d, d + self.n_flipped)
            flip = 1 - 2 * v[:, some]
            fields = torch.addcmul(field[:, None], flip[..., None], self.weight.T[some])
            moved = self.hidden.log_partition(fields).sum(2)
            total = total + functional.logsigmoid(
                flip * own[some] - (moved - log_sum[:, None])
            ).sum(1)
        return total

    def rounded(self, dtype: torch.dtype) -> "RestrictedBoltzmann":
        """Return a machine whose weights are a copy in `dtype`; it shares all else with this one.

        Products are made in the type of the weights, all else in that of the biases.
        """
        other = copy.copy(self)
        other._buffers = {**self._buffers, "weight": self.weight.to(dtype)}
        return other

    def mirrored(self) -> "RestrictedBoltzmann":
        """Return the machine with the sides exchanged; it shares its numbers with this one."""
        n_hidden, n_visible = self.weight.shape
        other = RestrictedBoltzmann(n_hidden, n_visible, self.hidden.name, self.visible.name)
        other.weight = self.weight.T
        other.visible_bias, other.hidden_bias = self.hidden_bias, self.visible_bias
        other.visible_offset, other.hidden_offset = self.hidden_offset, self.visible_offset
        return other


def _affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return ``x W^T + b``, the product in the type of the weights, the sum in that of the bias."""
    if weight.dtype is bias.dtype:
        return functional.linear(x, weight, bias)
    return bias + functional.linear(x.to(weight.dtype), weight)
