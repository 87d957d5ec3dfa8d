"""Our loop around torch's fused step of Adam, beside torch's own."""

import pytest
import torch
from torch import nn, optim

from isthmus.fitting.adam import FusedAdam

RATE = 1e-2
KINDS = {False: optim.Adam, True: optim.AdamW}
both_kinds = pytest.mark.parametrize("decoupled", KINDS)


def fresh_weights():
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, 4), (5,), (2, 3, 4, 4)]
    weights = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    weights[-1].data = weights[-1].data.contiguous(memory_format=torch.channels_last)
    return weights


def ours(weights, decoupled):
    return FusedAdam(weights, RATE, weight_decay=0.1, decoupled=decoupled)


def torchs(weights, decoupled):
    return KINDS[decoupled](weights, RATE, weight_decay=0.1, fused=True)


def descend(weights, optimizer, steps):
    """Step down a bowl's gradient; of the second weight at every other step alone."""
    for step in steps:
        optimizer.zero_grad(set_to_none=True)
        used = [weight for i, weight in enumerate(weights) if i != 1 or step % 2]
        sum((weight - 1).square().sum() for weight in used).backward()
        optimizer.step(None)


def same(weights, others):
    return all(map(torch.equal, weights, others))


@both_kinds
def test_steps_are_torchs_bitwise_where_a_weight_has_no_gradient_at_times(decoupled):
    mine, theirs = fresh_weights(), fresh_weights()
    descend(mine, ours(mine, decoupled), range(9))
    descend(theirs, torchs(theirs, decoupled), range(9))
    assert same(mine, theirs)
    assert not same(mine, fresh_weights())


@both_kinds
@pytest.mark.parametrize("makers", [(ours, torchs), (torchs, ours)])
def test_a_state_goes_on_in_the_other_implementation(makers, decoupled):
    straight, handed = fresh_weights(), fresh_weights()
    descend(straight, torchs(straight, decoupled), range(9))
    first, second = (make(handed, decoupled) for make in makers)
    descend(handed, first, range(4))
    state = first.state_dict()
    if makers[0] is ours:  # torch wants its own settings beside
        state["param_groups"] = [{**second.state_dict()["param_groups"][0]}]
    second.load_state_dict(state)
    descend(handed, second, range(4, 9))
    assert same(straight, handed)


def test_a_loaded_state_is_a_copy():
    weights = fresh_weights()
    first = ours(weights, decoupled=False)
    descend(weights, first, range(2))
    second = ours(weights, decoupled=False)
    second.load_state_dict(first.state_dict())
    before = first.state[weights[0]]["exp_avg"].clone()
    descend(weights, second, range(2, 4))
    assert torch.equal(first.state[weights[0]]["exp_avg"], before)


def test_what_never_had_a_gradient_is_not_remembered():
    weights = fresh_weights()
    optimizer = ours(weights, decoupled=False)
    assert optimizer.state_dict()["state"] == {}
    weights[0].square().sum().backward()
    optimizer.step()
    assert list(optimizer.state_dict()["state"]) == [0]


def test_no_weights_and_no_gradients_are_no_steps():
    optimizer = FusedAdam([], RATE)
    assert optimizer.step(lambda: torch.ones(())) == 1
    weights = fresh_weights()
    ours(weights, decoupled=True).step()
    assert same(weights, fresh_weights())
