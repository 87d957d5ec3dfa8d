"""The bound of several draws of a row's code, and its gradient.

Shapes: B rows, S draws of a row, one after the other.
"""

import math

import torch
from torch import Tensor

from isthmus.parts.slots import Drawn

MANY = 10  # draws, of which one is chosen to carry the gradient


def each(rows: Tensor, n_draws: int) -> Tensor:
    """Return each row (B, D) as often as its code is drawn, (B S, D)."""
    return rows if n_draws == 1 else rows.repeat_interleave(n_draws, 0)


def bound(nll: Tensor, code: Drawn, n_draws: int) -> Tensor:
    """Return ``-log 1/S sum_s exp(-nll_s - divergence_s)`` of each row's draws, nats, (B,).

    Burda et al. (2016), equation 8; with one draw the negative evidence lower bound. The encoder's
    gradient is the doubly reparameterised one where the code asks for it.
    """
    total = nll if code.divergence is None else nll + code.divergence
    if n_draws == 1:
        return total
    log_weights = -total.view(-1, n_draws)
    _reparameterise(code, torch.softmax(log_weights.detach(), 1))
    return math.log(n_draws) - log_weights.logsumexp(1)


def choose(
    nll: Tensor, code: Drawn, n_draws: int, generator: torch.Generator
) -> tuple[Tensor, Drawn, Tensor]:
    """Choose a tenth of each row's draws with the chances of their shares in the bound.

    Returns the mean nats of all, (), the chosen draws, and the bound by all, (B,). What is chosen
    carries the gradient, see `carried`.
    """
    assert code.divergence is not None
    log_weights = -(nll + code.divergence.detach()).view(-1, n_draws)
    shares = torch.softmax(log_weights, 1)
    _reparameterise(code, shares)
    places = torch.multinomial(shares, n_draws // MANY, replacement=True, generator=generator)
    places += torch.arange(0, len(nll), n_draws, device=nll.device)[:, None]
    chosen = code._replace(z=code.z[places.flatten()], divergence=code.divergence[places.flatten()])
    return nll.mean(), chosen, math.log(n_draws) - log_weights.logsumexp(1)


def carried(nll: Tensor, chosen: Drawn, value: Tensor) -> Tensor:
    """Return the bound (B,) with the gradient of the chosen draws.

    The bound's gradient is the mean of the draws' own by their shares, which are the chances of the
    chosen ones: so theirs is right on average (Burda et al. 2016, section 3), and there is no way
    back through the others.
    """
    way = (nll + chosen.divergence).view(len(value), -1).mean(1)  # type: ignore[operator]
    return value + (way - way.detach())


def _reparameterise(code: Drawn, shares: Tensor) -> None:
    """Weigh the gradient of each draw, so that what log q lacks is made up for.

    With shares w (B, S) and beta the weight of log q, by ``1 - beta (1 - w)``: Tucker et al.
    (2019), equation 8, where beta = 1.
    """
    if code.score > 0 and code.z.requires_grad:
        weights = 1 - code.score * (1 - shares.flatten()[:, None])
        code.z.register_hook(lambda gradient: gradient * weights)  # type: ignore[no-untyped-call]
