"""The bound of several draws of a row's code, and its gradient.

Shapes: B rows, S draws of a row, one after the other, K code units, O outputs.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from isthmus.parts.passes import Drawn

ONE_IN = 10  # draws, of which one is chosen to carry the gradient


class Chosen(NamedTuple):
    """The draws that carry the gradient, and what all of them came to."""

    code: Drawn  # of S // 10 draws of a row
    nll: Tensor  # () nats, the mean of all
    bound: Tensor  # (B,) nats, by all


class Weighed(NamedTuple):
    """What a batch comes to by its draws."""

    code: Drawn  # the draws that carry the gradient
    output: Tensor  # (B S, O) natural parameters of these
    rows: Tensor  # (B,) nats
    terms: dict[str, Tensor]  # () of the loss, by name


def weigh(
    code: Drawn,
    judge: Callable[[Tensor], tuple[Tensor, Tensor]],
    n_rows: int,
    generator: torch.Generator,
    *,
    repeats: bool,
) -> Weighed:
    """Judge the draws of each row's code; where many can be judged twice, a tenth is learned from.

    Parameters
    ----------
    judge : decodes draws (B S, K) to natural parameters (B S, O) and nats (B S,).
    generator : of the choice.
    repeats : whether the judge says of a code, beside others, what it said before.
    """
    n_draws = len(code.z) // n_rows
    if n_draws < ONE_IN or not repeats:
        output, rows = judge(code.z)
        nll, rows = rows.mean(), bound(rows, code, n_draws)
    else:
        with torch.no_grad():
            nats = judge(code.z)[1]
        torch.clear_autocast_cache()  # older torch would take its weights, without gradients
        chosen = choose(nats, code, n_draws, generator)
        output, rows = judge(chosen.code.z)
        code, nll, rows = chosen.code, chosen.nll, surrogate(rows, chosen)
    terms = {"nll": nll}
    if code.divergence is not None:
        terms["divergence"] = rows.mean() - nll
    return Weighed(code, output, rows, terms)


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


def choose(nll: Tensor, code: Drawn, n_draws: int, generator: torch.Generator) -> Chosen:
    """Choose a tenth of each row's draws with the chances of their shares in the bound.

    Their nats (B S,) need no gradient: see `surrogate`.
    """
    assert code.divergence is not None
    log_weights = -(nll + code.divergence.detach()).view(-1, n_draws)
    shares = torch.softmax(log_weights, 1)
    _reparameterise(code, shares)
    chances = shares.nan_to_num(1 / n_draws)  # the bound stays NaN, which ends the fit
    places = torch.multinomial(chances, n_draws // ONE_IN, replacement=True, generator=generator)
    places += torch.arange(0, len(nll), n_draws, device=nll.device)[:, None]
    places = places.flatten()
    chosen = code._replace(z=code.z[places], divergence=code.divergence[places])
    return Chosen(chosen, nll.mean(), math.log(n_draws) - log_weights.logsumexp(1))


def surrogate(nll: Tensor, chosen: Chosen) -> Tensor:
    """Return the bound by all draws (B,) with the gradient of the chosen ones, given their nats.

    The bound's gradient is the mean of the draws' own by their shares, which are the chances of the
    chosen ones: so theirs is right on average (Burda et al. 2016, section 3), and there is no way
    back through the others.
    """
    total = nll + chosen.code.divergence  # type: ignore[operator]
    means = total.view(len(chosen.bound), -1).mean(1)
    return chosen.bound + (means - means.detach())


def _reparameterise(code: Drawn, shares: Tensor) -> None:
    """Weigh the gradient of each draw, so that what log q lacks is made up for.

    With shares w (B, S) and beta the weight of log q, by ``1 - beta (1 - w)``: Tucker et al.
    (2019), equation 8, where beta = 1.
    """
    if code.log_q_weight > 0 and code.z.requires_grad:
        weights = 1 - code.log_q_weight * (1 - shares.flatten()[:, None])
        code.z.register_hook(lambda gradient: gradient * weights)  # type: ignore[no-untyped-call]
