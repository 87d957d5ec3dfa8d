"""The normalising constant of a restricted Boltzmann machine: counted, or annealed.

``Z = sum or integral over v, h of exp(-E(v, h))``; all in float64.

Shapes: C chains, D visible units, K hidden units, S states.
"""

import copy
import itertools
import math
from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from isthmus.errors import ParameterError, guess
from isthmus.parts.boltzmann import RestrictedBoltzmann

MOST_COUNTED = 25  # units, whose 2^25 states take about a minute
AT_ONCE = 2**22  # numbers that a batch of states or chains holds
BURN_IN = 100  # Gibbs steps between the annealed states and the way back

Method = Literal["exact", "ais", "ais-reverse"]
METHODS: tuple[str, ...] = get_args(Method)


class LogZ(NamedTuple):
    """A log normalising constant, nats."""

    value: float
    low: float  # three standard errors of Z below; the value itself where it is exact
    high: float  # three standard errors above


class Annealing(NamedTuple):
    """How finely the way is divided, and how often it is gone."""

    n_chains: int = 100
    n_betas: int = 10_000


def log_partition(
    rbm: RestrictedBoltzmann,
    method: str,
    mean: Tensor,
    annealing: Annealing,
    generator: torch.Generator,
) -> LogZ:
    """Return log Z by the named method; `mean` (D,) are the visible means of the rows.

    ``"exact"``: `count_states`; ``"ais"``: `anneal`; ``"ais-reverse"``: `anneal_back`.

    Raises
    ------
    ParameterError
        If the method is unknown, or cannot serve this machine.
    """
    if method not in METHODS:
        raise ParameterError(
            f"method={method!r} is unknown{guess(method, METHODS)}: it must be 'exact', 'ais' or "
            f"'ais-reverse'."
        )
    rbm = copy.deepcopy(rbm).double()
    sides = (rbm.visible, rbm.hidden)
    if not any(units.binary for units in sides) or not all(units.exact for units in sides):
        raise ParameterError(
            f"An RBM with {rbm.visible.name} visible and {rbm.hidden.name} hidden units has no "
            f"log-likelihood that can be computed: use hidden='bernoulli', or compare rows by "
            f"free_energy."
        )
    if method == "exact":
        return count_states(rbm)
    return (anneal if method == "ais" else anneal_back)(rbm, mean.double(), annealing, generator)


# Exactly ----------------------------------------------------------------------------------


def count_states(rbm: RestrictedBoltzmann) -> LogZ:
    """Return ``log Z = log sum_s exp(-F(s))`` over all states s of the smaller binary side.

    Raises
    ------
    ParameterError
        If that side has more than 25 units.
    """
    sides = [side for side in (rbm, rbm.mirrored()) if side.visible.binary]
    side = min(sides, key=lambda side: len(side.visible_bias))
    n_units = len(side.visible_bias)
    if n_units > MOST_COUNTED:
        raise ParameterError(
            f"method='exact' goes through all states of the smaller binary side, and {n_units} "
            f"units have 2^{n_units} of them: use method='ais', or at most {MOST_COUNTED} units."
        )
    sums = [torch.logsumexp(-side.free_energy(s), 0) for s in binary_states(side)]
    value = float(torch.logsumexp(torch.stack(sums), 0))
    return LogZ(value, value, value)


def binary_states(rbm: RestrictedBoltzmann) -> Iterator[Tensor]:
    """Yield all states of the visible units, (S, D) at a time."""
    n_hidden, n_visible = rbm.weight.shape
    step = max(1, AT_ONCE // (n_hidden + n_visible))
    bits = torch.arange(n_visible, device=rbm.weight.device)
    for start in range(0, 2**n_visible, step):
        numbers = torch.arange(start, min(start + step, 2**n_visible), device=bits.device)
        yield (numbers[:, None] >> bits & 1).to(rbm.weight)


# By annealing -----------------------------------------------------------------------------


def anneal(
    rbm: RestrictedBoltzmann, mean: Tensor, annealing: Annealing, generator: torch.Generator
) -> LogZ:
    """Estimate log Z by annealed importance sampling (Salakhutdinov & Murray 2008).

    ``Z = Z_0 E[prod_k p*_{k+1}(v_k) / p*_k(v_k)]``, the chains going from independent units with
    the rows' means to the machine. Unbiased for Z, so log Z comes out too low rather than too
    high, and log-likelihoods too high: of many chains, few may have found where the mass is.
    """
    path = Path(rbm, mean)
    runs = [path.run(path.start(n, generator), path.betas(annealing), generator)
            for n in groups(rbm, annealing.n_chains)]  # fmt: skip
    return _estimate(torch.cat([run.log_weights for run in runs]), path.log_z_start, sign=1)


def anneal_back(
    rbm: RestrictedBoltzmann, mean: Tensor, annealing: Annealing, generator: torch.Generator
) -> LogZ:
    """Estimate log Z by annealing from samples of the machine to independent units.

    ``1 / Z = (1 / Z_0) E[prod_k p*_k(v_k) / p*_{k+1}(v_k)]``, the chains beginning at
    ``v ~ p``. Unbiased for 1/Z, so log Z comes out too high rather than too low: the
    log-likelihood is a lower bound in expectation (Burda, Grosse & Salakhutdinov 2015, who
    unroll the machine for it). That holds for exact samples; ours were annealed from the
    independent units and then moved by 100 Gibbs steps, and where those miss a mode of the
    machine, so does the bound.
    """
    path = Path(rbm, mean)
    betas, log_weights = path.betas(annealing), []
    for n in groups(rbm, annealing.n_chains):
        v = path.run(path.start(n, generator), betas, generator).v
        v = path.rbm.gibbs(v, BURN_IN, generator)
        log_weights.append(path.run(v, betas.flip(0), generator).log_weights)
    return _estimate(torch.cat(log_weights), path.log_z_start, sign=-1)


class Run(NamedTuple):
    """Where the chains of an annealing ended."""

    v: Tensor  # (C, D)
    log_weights: Tensor  # (C,)


class Path:
    """The machines from independent units, beta = 0, to the whole machine, beta = 1.

    ``log p*(v) = v^T ((1 - beta) b_0 + beta b) + sum_k log_partition(
    beta (c + W v))_k + log measure(v)``, offsets 0; ``b_0`` has the rows' means.
    """

    def __init__(self, rbm: RestrictedBoltzmann, mean: Tensor) -> None:
        self.rbm = copy.deepcopy(rbm)
        self._b0 = rbm.visible.field_of(mean)
        zero = torch.zeros_like(mean)[None]
        self.rbm.recentre(zero[0], torch.zeros_like(rbm.hidden_bias))
        # Moving the offsets has moved all energies by the same.
        shift = float(rbm.free_energy(zero) - self.rbm.free_energy(zero))
        start = rbm.visible.log_partition(self._b0).sum()
        start += rbm.hidden.log_partition(torch.zeros_like(rbm.hidden_bias)).sum()
        self.log_z_start = float(start) - shift

    def betas(self, annealing: Annealing) -> Tensor:
        """Return the division of the way, with both ends, finer towards the machine."""
        return torch.linspace(0, 1, annealing.n_betas + 1, dtype=torch.float64).sqrt()

    def start(self, n_chains: int, generator: torch.Generator) -> Tensor:
        """Draw visible states of the independent units, (C, D)."""
        return self.rbm.visible.sample(self._b0.expand(n_chains, -1).clone(), generator)

    def run(self, v: Tensor, betas: Tensor, generator: torch.Generator) -> Run:
        """Take chains at the first of the betas to the last, a Gibbs step at each."""
        rbm = self.rbm
        log_weights = v.new_zeros(len(v))
        levels = betas.tolist()
        for here, there in itertools.pairwise(levels):
            pull = rbm.hidden_field(v)  # c + W v
            log_weights += (there - here) * (v @ (rbm.visible_bias - self._b0))
            log_weights += rbm.hidden.log_partition(there * pull).sum(1)
            log_weights -= rbm.hidden.log_partition(here * pull).sum(1)
            h = rbm.hidden.sample(there * pull, generator)
            v = rbm.visible.sample(torch.lerp(self._b0, rbm.visible_field(h), there), generator)
        return Run(v, log_weights)


def groups(rbm: RestrictedBoltzmann, n_chains: int) -> Iterator[int]:
    """Yield how many chains are run at once, so that memory stays bounded."""
    most = max(1, AT_ONCE // sum(rbm.weight.shape))
    for start in range(0, n_chains, most):
        yield min(most, n_chains - start)


def _estimate(log_weights: Tensor, log_z_start: float, *, sign: int) -> LogZ:
    """Return ``log_z_start + sign log mean(exp(log_weights))`` with its bounds."""
    highest = log_weights.max()
    weights = torch.exp(log_weights - highest)
    mean, n = float(weights.mean()), len(weights)
    error = 3 * float(weights.std()) / math.sqrt(n) if n > 1 else math.inf
    ends = [log_z_start + sign * (float(highest) + _log(at))
            for at in (mean, mean - error, mean + error)]  # fmt: skip
    return LogZ(ends[0], min(ends), max(ends))


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf
