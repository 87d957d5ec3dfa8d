"""The contractive penalty. B rows of a batch, D features, K code units, P probes."""

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from isthmus.parts.halves import Halves
from isthmus.parts.networks.linear_path import affine_weight
from isthmus.parts.part import part
from isthmus.parts.passes import Pass
from isthmus.parts.slots import Penalty, Weight

EXACT_UP_TO = 8  # units, where one backward pass each costs less than an estimate's noise


@part("contraction")
class Contraction(Penalty):
    """``mean_x |d code / d input|_F^2``: the code hardly moves when the input does.

    The squared Frobenius norm of the Jacobian of the deterministic code at the rows that the
    encoder saw, in scaled units. It is the same quantity by three ways: in closed form for one
    layer, ``sum_k slope_k^2 |W_k|^2``; unit by unit for small codes; and for the rest by
    Hutchinson's estimate ``|J^T v|^2`` with random signs v, whose mean is exact.

    References
    ----------
    Rifai, S. et al. (2011). Contractive auto-encoders. Equation 2. Hutchinson, M. (1989). A
    stochastic estimator of the trace of the influence matrix.
    """

    weight: Weight = 0.1
    method: Annotated[Literal["auto", "exact", "estimate"], Field(description="auto: by cost")] = (
        "auto"
    )
    n_probes: Annotated[int, Field(ge=1, description="random signs of the estimate, a row")] = 1
    hides = True
    rows_apart = slopes = True

    def value(self, halves: Halves, seen: Pass, generator: torch.Generator) -> Tensor:
        weight = affine_weight(halves.encoder)
        n_units = seen.code.mean.shape[1]
        if self.method != "estimate" and weight is not None and seen.elementwise:
            return closed(weight, seen.head, seen.mean)
        if self.method == "exact" or (self.method == "auto" and n_units <= EXACT_UP_TO):
            return squared_norm(seen.encode, seen.seen, _each_unit(seen.code.mean))
        signs = _signs(seen.code.mean, self.n_probes, generator)
        return squared_norm(seen.encode, seen.seen, signs) / self.n_probes


def closed(weight: Tensor, head: Tensor, mean: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the mean squared norm of one layer with the code's slopes, () from W (K, D)."""
    with torch.enable_grad():
        at = head if head.requires_grad else head.detach().requires_grad_()
        (slope,) = torch.autograd.grad(mean(at).sum(), at, create_graph=True)
    return (slope.square() @ weight.square().sum(1)).mean()


def squared_norm(encode: Callable[[Tensor], Tensor], x: Tensor, probes: Tensor) -> Tensor:
    """Return the batch's mean of ``sum_p |J^T v_p|^2``, () from probes (P, B, K)."""
    learning = torch.is_grad_enabled()
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        code = encode(x)
        # Each row's own, for no row's code depends on another row.
        pulled = [
            torch.autograd.grad(code, x, probe, retain_graph=True, create_graph=learning)[0]
            for probe in probes
        ]
    return torch.stack([pull.square().sum(1).mean() for pull in pulled]).sum()


def _each_unit(code: Tensor) -> Tensor:
    """Return one probe for each unit, (K, B, K)."""
    n_rows, n_units = code.shape
    unit = torch.eye(n_units, dtype=code.dtype, device=code.device)
    return unit[:, None].expand(n_units, n_rows, n_units)


def _signs(code: Tensor, n_probes: int, generator: torch.Generator) -> Tensor:
    """Return random signs, (P, B, K)."""
    coins = torch.empty(n_probes, *code.shape, dtype=code.dtype, device=code.device)
    return coins.bernoulli_(0.5, generator=generator).mul_(2).sub_(1)
