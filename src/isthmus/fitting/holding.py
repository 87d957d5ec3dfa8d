"""Gradients that leap are held back, so that one batch does not undo what the others taught."""

import math

from torch import nn
from torch.optim import LBFGS

from isthmus.fitting.fused import Stepper

LEAP = 10.0  # times the usual length
KEEP = 0.99  # of the usual length, from one step to the next
USUAL = "usual_length"  # among what the optimiser keeps


def hold_back(model: nn.Module, optimizer: Stepper) -> None:
    """Shorten a gradient that is longer than ten times the usual to that.

    The usual length is the sliding mean of the gradients' own, as they were held back, so that a
    lasting change of scale is followed within some tens of steps. A line search, which trusts the
    gradient, gets it as it is. It is gradient clipping (Pascanu et al. 2013, algorithm 1) with a
    threshold that needs no choosing.
    """
    if isinstance(optimizer, LBFGS):
        return
    group = optimizer.param_groups[0]
    usual = group.get(USUAL)
    most = math.inf if usual is None else LEAP * usual
    weights = [weight for weight in model.parameters() if weight.grad is not None]
    norm = nn.utils.get_total_norm([weight.grad for weight in weights])  # type: ignore[misc]
    length = norm.item()
    if length > most:
        nn.utils.clip_grads_with_norm_(weights, most, norm)
    if math.isfinite(length):
        held = min(length, most)
        group[USUAL] = held if usual is None else KEEP * usual + (1 - KEEP) * held
