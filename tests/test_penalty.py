"""Each penalty beside a sum over the weights in plain loops, in float64."""

import numpy as np
import pytest
import torch
from torch import nn

from isthmus.parts import Dense, Penalty, WeightL1, WeightL2
from isthmus.parts.code import Drawn
from isthmus.parts.slots import Halves, Pass, Sizes

SIZES = Sizes(n_features=5, n_head=2, n_components=2, n_outputs=5)
OF_ONE_WEIGHT = {"weight_l1": lambda w: abs(w), "weight_l2": lambda w: w * w}
SLOPE = {"weight_l1": torch.sign, "weight_l2": lambda w: 2 * w}

NETWORKS = {
    "linear": (Dense(hidden=()), False),
    "deep": (Dense(hidden=(4, 3)), False),
    "linear path": (Dense(hidden=(4, 3)), True),
    "tied": (Dense(hidden=(4, 3), tied=True), False),
    "batch norm": (Dense(hidden=(4, 3), norm="batch"), False),
    "layer norm": (Dense(hidden=(4,), norm="layer", dropout=0.5), True),
}

each_penalty = pytest.mark.parametrize("penalty", [WeightL1(), WeightL2()], ids=str)
each_network = pytest.mark.parametrize("name", NETWORKS)


def halves_of(name):
    """Build a network whose weights, biases and norms are all away from zero."""
    network, linear_path = NETWORKS[name]
    halves = network.build(SIZES, torch.Generator().manual_seed(0), linear_path=linear_path)
    generator = torch.Generator().manual_seed(1)
    for half in halves:
        half.double()
        for parameter in half.parameters():
            nn.init.normal_(parameter, generator=generator)
    return halves


def nothing_seen():
    x = torch.zeros(1, 5)
    return Pass(x, x, x, Drawn(x, x, None), x)


def brute_force(halves, of_one):
    """Sum over every entry of every weight matrix; norms and biases are vectors."""
    matrices = {
        id(parameter): parameter.detach().numpy()
        for half in halves
        for module in half.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if isinstance(module, nn.Linear) and name == "weight"
    }
    total = 0.0
    for matrix in matrices.values():
        for row in matrix:
            for entry in row:
                total += of_one(float(entry))
    return total


@each_penalty
@each_network
def test_weight_penalty_is_the_sum_over_all_weights(name, penalty):
    halves = halves_of(name)
    value = penalty.value(halves, nothing_seen())
    assert value.shape == ()
    expected = brute_force(halves, OF_ONE_WEIGHT[penalty.name])
    np.testing.assert_allclose(value.item(), expected, rtol=1e-12)


@each_penalty
def test_weight_penalty_counts_tied_weights_once(penalty):
    halves = halves_of("tied")
    weights = [module.weight for module in halves.encoder if isinstance(module, nn.Linear)]
    of_one = np.vectorize(OF_ONE_WEIGHT[penalty.name])
    expected = sum(of_one(weight.detach().numpy()).sum() for weight in weights)
    assert len(weights) == 3
    np.testing.assert_allclose(penalty.value(halves, nothing_seen()).item(), expected, rtol=1e-12)


@each_penalty
def test_weight_penalty_counts_a_layer_of_both_halves_once(penalty):
    shared = nn.Linear(3, 3).double()
    halves = Halves(nn.Sequential(shared), nn.Sequential(nn.Tanh(), shared))
    expected = np.vectorize(OF_ONE_WEIGHT[penalty.name])(shared.weight.detach().numpy()).sum()
    np.testing.assert_allclose(penalty.value(halves, nothing_seen()).item(), expected, rtol=1e-12)


@each_penalty
@each_network
def test_weight_penalty_leaves_biases_and_norms_alone(name, penalty):
    halves = halves_of(name)
    before = penalty.value(halves, nothing_seen())
    for half in halves:
        for parameter in half.parameters():
            if parameter.ndim == 1:
                nn.init.constant_(parameter, 7.0)
    assert torch.equal(penalty.value(halves, nothing_seen()), before)


@each_penalty
@each_network
def test_weight_penalty_has_the_slope_of_one_weight(name, penalty):
    halves = halves_of(name)
    penalty.value(halves, nothing_seen()).backward()
    for half in halves:
        for parameter in half.parameters():
            if parameter.ndim == 2:
                slope = SLOPE[penalty.name](parameter.detach())
                torch.testing.assert_close(parameter.grad, slope, rtol=1e-12, atol=0)
            else:
                assert parameter.grad is None


@each_penalty
def test_weight_penalty_does_not_depend_on_the_rows(penalty):
    x = torch.ones(3, 5)
    another = Pass(x, 2 * x, x, Drawn(x, x, None), x)
    halves = halves_of("deep")
    value = penalty.value(halves, nothing_seen())
    assert torch.equal(penalty.value(halves, another), value)


def test_every_penalty_is_tested_here():
    assert set(Penalty.kinds) == set(OF_ONE_WEIGHT)
