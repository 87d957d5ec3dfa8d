"""The contractive penalty beside the Jacobian by loops, in float64."""

import pytest
import torch
from torch import nn

from isthmus.parts import Code, Contraction, Dense
from isthmus.parts.halves import Halves, Sizes
from isthmus.parts.networks.linear_path import affine_weight
from isthmus.parts.passes import Drawn, Pass

D, K, B = 6, 4, 5


def built(hidden=(), activation="tanh", code="plain", tied=False, linear_path=False, k=K):
    """Return a pass of random rows through a network with random weights, and the network."""
    network = Dense(hidden=hidden, activation=activation, tied=tied)
    generator = torch.Generator().manual_seed(0)
    halves = network.build(Sizes(D, k, k, D), generator, linear_path=linear_path)
    for half in halves:
        half.double()
        for parameter in half.parameters():
            nn.init.normal_(parameter, std=0.7, generator=generator)
    part = Code.of(code)
    memory = part.memory(k).double()
    x = torch.randn(B, D, dtype=torch.float64, generator=generator)

    def mean(head):
        return part.mean(head, memory)

    def encode(rows):
        return mean(halves.encoder(rows))

    head = halves.encoder(x)
    drawn = Drawn(encode(x), encode(x), None)
    output = halves.decoder(drawn.z)
    seen = Pass(x, x, head, drawn, output, encode, mean, part.elementwise, lambda o: o.sum(1))
    return halves, seen


def by_loops(encode, x, step=1e-6):
    """Central differences, entry by entry."""
    total = 0.0
    for row in x:
        for d in range(len(row)):
            move = torch.zeros_like(row)
            move[d] = step
            slope = (encode((row + move)[None]) - encode((row - move)[None])) / (2 * step)
            total += slope.square().sum().item()
    return total / len(x)


def value(penalty, halves, seen, seed=0):
    return penalty.value(halves, seen, torch.Generator().manual_seed(seed))


CASES = [
    *(
        {"hidden": hidden, "activation": activation, "code": code}
        for hidden in [(), (7,), (7, 6)]
        for activation in ["sigmoid", "tanh", "silu"]
        for code in ["plain", "sigmoid"]
    ),
    {"tied": True, "code": "sigmoid"},
    {"tied": True, "hidden": (7,), "code": "sigmoid"},
    {"linear_path": True},
    {"linear_path": True, "hidden": (7, 6)},
    {"hidden": (7,), "code": "topk(k=2)"},
    {"code": "topk(k=2)"},
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_exact_contraction_is_the_jacobian_by_loops(case):
    halves, seen = built(**case)
    expected = by_loops(seen.encode, seen.seen)
    assert value(Contraction(method="exact"), halves, seen).item() == pytest.approx(
        expected, rel=1e-6
    )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_contraction_teaches_what_the_exact_one_teaches(case):
    """By cost or exactly, in closed form or not: the gradients are the same."""
    gradients = []
    for encode in (False, True):
        halves, seen = built(**case)
        # Without the closed form, where there is one.
        halves_seen = Halves(nn.Sequential(halves.encoder, nn.Identity()), halves.decoder)
        value(Contraction(), halves_seen if encode else halves, seen).backward()
        gradients.append([p.grad for p in halves.encoder.parameters() if p.grad is not None])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "case", [{"code": "sigmoid"}, {"hidden": (7, 6), "code": "sigmoid"}], ids=str
)
def test_hutchinsons_estimate_converges_to_the_exact_value(case):
    halves, seen = built(**case)
    exact = value(Contraction(method="exact"), halves, seen).item()
    draws = torch.stack(
        [value(Contraction(method="estimate"), halves, seen, seed) for seed in range(400)]
    )
    error = draws.std().item() / 20
    assert error > 0
    assert abs(draws.mean().item() - exact) < 4 * error
    many = value(Contraction(method="estimate", n_probes=2000), halves, seen).item()
    assert many == pytest.approx(exact, rel=0.05)


def test_wide_deep_codes_are_estimated_and_narrow_ones_exact():
    for k, exact in ((8, True), (9, False)):
        halves, seen = built(hidden=(7,), k=k)
        first, second = (value(Contraction(), halves, seen, seed).item() for seed in (0, 1))
        assert (first == second) is exact


def test_closed_form_is_that_of_rifai():
    """``sum_k (h_k (1 - h_k))^2 |W_k|^2``, Rifai et al. (2011), section 3."""
    halves, seen = built(code="sigmoid")
    h = seen.code.z
    weight = affine_weight(halves.encoder)
    expected = ((h * (1 - h)) ** 2 * (weight**2).sum(1)).sum(1).mean()
    assert value(Contraction(), halves, seen).item() == pytest.approx(expected.item(), rel=1e-12)


def test_contraction_is_judged_without_gradients_as_with():
    halves, seen = built(hidden=(7,), code="sigmoid")
    learning = value(Contraction(), halves, seen)
    with torch.no_grad():
        judged = value(Contraction(), halves, seen)
    assert judged.item() == pytest.approx(learning.item(), rel=1e-12)
    assert not judged.requires_grad
