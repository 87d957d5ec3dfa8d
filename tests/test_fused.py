"""Our loop around torch's fused steps, beside torch's own optimisers."""

import pytest
import torch
from torch import nn, optim

from isthmus.fitting.fused import FusedAdam, FusedSGD

SET = {"lr": 1e-2, "weight_decay": 0.1}
KINDS = {
    "adam": (
        lambda weights: FusedAdam(weights, **SET),
        lambda weights: optim.Adam(weights, **SET, fused=True),
    ),
    "adamw": (
        lambda weights: FusedAdam(weights, **SET, decoupled=True),
        lambda weights: optim.AdamW(weights, **SET, fused=True),
    ),
    "sgd": (
        lambda weights: FusedSGD(weights, **SET),
        lambda weights: optim.SGD(weights, **SET, fused=True),
    ),
    "nesterov": (
        lambda weights: FusedSGD(weights, **SET, momentum=0.9, nesterov=True),
        lambda weights: optim.SGD(weights, **SET, momentum=0.9, nesterov=True, fused=True),
    ),
    "up": (
        lambda weights: FusedSGD(weights[:2], **SET, momentum=0.5, maximize=True,
                                 undecayed=weights[2:]),
        lambda weights: optim.SGD(
            [{"params": weights[:2]}, {"params": weights[2:], "weight_decay": 0.0}],
            **SET, momentum=0.5, maximize=True, fused=True,
        ),
    ),
}  # fmt: skip
each_kind = pytest.mark.parametrize("kind", KINDS)


def fresh_weights():
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, 4), (5,), (2, 3, 4, 4)]
    weights = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    weights[-1].data = weights[-1].data.contiguous(memory_format=torch.channels_last)
    return weights


def step(weights, optimizer, steps, *, gaps=False):
    """Step by a bowl's gradient; with gaps, of the second weight at every other step alone."""
    for number in steps:
        optimizer.zero_grad(set_to_none=True)
        used = [weight for i, weight in enumerate(weights) if i != 1 or number % 2 or not gaps]
        sum((weight - 1).square().sum() for weight in used).backward()
        optimizer.step(None)


def same(weights, others):
    return all(map(torch.equal, weights, others))


@each_kind
@pytest.mark.parametrize("gaps", [False, True])
def test_steps_are_torchs_bitwise_also_where_a_weight_has_no_gradient_at_times(kind, gaps):
    if gaps and kind in ("nesterov", "up"):
        pytest.skip("torch's fused momentum fails where it begins at different steps")
    ours, torchs = KINDS[kind]
    mine, theirs = fresh_weights(), fresh_weights()
    step(mine, ours(mine), range(9), gaps=gaps)
    step(theirs, torchs(theirs), range(9), gaps=gaps)
    assert same(mine, theirs)
    assert not same(mine, fresh_weights())


@each_kind
def test_torchs_state_goes_on_here_bitwise(kind):
    """So that what an earlier version kept is resumed."""
    ours, torchs = KINDS[kind]
    straight, handed = fresh_weights(), fresh_weights()
    step(straight, torchs(straight), range(9))
    first, second = torchs(handed), ours(handed)
    step(handed, first, range(4))
    second.load_state_dict(first.state_dict())
    step(handed, second, range(4, 9))
    assert same(straight, handed)


@each_kind
def test_a_loaded_state_is_a_copy(kind):
    weights = fresh_weights()
    first, second = KINDS[kind][0](weights), KINDS[kind][0](weights)
    step(weights, first, range(2))
    second.load_state_dict(first.state_dict())
    kept = {name: torch.as_tensor(v).clone() for name, v in first.state[weights[0]].items()}
    step(weights, second, range(2, 4))
    assert all(
        torch.equal(torch.as_tensor(first.state[weights[0]][name]), kept[name]) for name in kept
    )


def test_momentum_that_changes_on_the_way_is_torchs():
    ours, torchs = KINDS["sgd"]
    mine, theirs = fresh_weights(), fresh_weights()
    for weights, optimizer in ((mine, ours(mine)), (theirs, torchs(theirs))):
        for momentum in (0.0, 0.5, 0.9):
            optimizer.param_groups[0]["momentum"] = momentum
            step(weights, optimizer, range(3))
    assert same(mine, theirs)


@each_kind
def test_what_never_had_a_gradient_is_not_remembered(kind):
    weights = fresh_weights()
    optimizer = KINDS[kind][0](weights)
    assert optimizer.state_dict()["state"] == {}
    weights[0].square().sum().backward()
    optimizer.step()
    assert list(optimizer.state_dict()["state"]) == [0]


def test_no_weights_and_no_gradients_are_no_steps():
    assert FusedAdam([], 0.1).step(lambda: torch.ones(())) == 1
    weights = fresh_weights()
    FusedSGD(weights, 0.1).step()
    assert same(weights, fresh_weights())
