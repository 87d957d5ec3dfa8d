"""The restricted Boltzmann machine against brute force, quadrature and scikit-learn."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate
from sklearn.neural_network import BernoulliRBM as SklearnRBM

from isthmus.parts.boltzmann import UNITS, RestrictedBoltzmann


def machine(n_visible=4, n_hidden=3, visible="bernoulli", hidden="bernoulli", *, offsets=True):
    generator = torch.Generator().manual_seed(0)
    rbm = RestrictedBoltzmann(n_visible, n_hidden, visible, hidden).double()
    for name, value in rbm.named_buffers():
        if offsets or not name.endswith("offset"):
            value.normal_(0, 0.8 if name == "weight" else 0.5, generator=generator)
    return rbm


def states(n):
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=n)), dtype=torch.float64)


def energy(rbm, v, h):
    """The formula itself, for one pair of binary states."""
    left, right = v - rbm.visible_offset, h - rbm.hidden_offset
    link = sum(left[d] * rbm.weight[k, d] * right[k] for k in range(len(h)) for d in range(len(v)))
    return -link - left @ rbm.visible_bias - right @ rbm.hidden_bias


# Energies -----------------------------------------------------------------------------------


def test_energy_is_the_formula_pair_by_pair():
    rbm = machine()
    for v, h in itertools.product(states(4), states(3)):
        torch.testing.assert_close(rbm.energy(v[None], h[None])[0], energy(rbm, v, h))


def test_free_energy_equals_the_sum_over_hidden_states():
    rbm = machine()
    brute = [-torch.logsumexp(torch.stack([-energy(rbm, v, h) for h in states(3)]), 0)
             for v in states(4)]  # fmt: skip
    torch.testing.assert_close(rbm.free_energy(states(4)), torch.stack(brute), rtol=0, atol=1e-9)


def test_free_energy_of_gaussian_hidden_units_equals_quadrature():
    rbm = machine(3, 1, "gaussian", "gaussian")
    v = torch.tensor([[0.3, -0.7, 1.1]], dtype=torch.float64)

    def weight(h):
        return math.exp(-float(rbm.energy(v, torch.tensor([[h]], dtype=torch.float64))))

    mass, _ = integrate.quad(weight, -20, 20, epsabs=1e-12)
    assert float(rbm.free_energy(v)) == pytest.approx(-math.log(mass), abs=1e-9)


@pytest.mark.parametrize("hidden", ["bernoulli", "gaussian", "rectified"])
@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_hidden_means_are_the_slope_of_the_log_partition(visible, hidden):
    rbm = machine(visible=visible, hidden=hidden)
    v = torch.rand((1, 4), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    field, step, units = rbm.hidden_field(v), 1e-4, rbm.hidden
    slope = (units.log_partition(field + step) - units.log_partition(field - step)) / (2 * step)
    torch.testing.assert_close(slope, rbm.mean_hidden(v), rtol=0, atol=1e-7)


def test_free_energy_with_zero_offsets_equals_scikit_learns():
    rbm = machine(6, 5, offsets=False)
    other = SklearnRBM(5)
    other.components_ = rbm.weight.numpy()
    other.intercept_hidden_ = rbm.hidden_bias.numpy()
    other.intercept_visible_ = rbm.visible_bias.numpy()
    np.testing.assert_allclose(rbm.free_energy(states(6)), other._free_energy(states(6).numpy()))
    np.testing.assert_allclose(
        rbm.mean_hidden(states(6)), other._mean_hiddens(states(6).numpy()), rtol=1e-12
    )


# Conditionals -------------------------------------------------------------------------------


def test_means_equal_the_conditionals_of_the_joint():
    rbm = machine()
    v, h = states(4), states(3)
    joint = torch.stack([torch.exp(-rbm.energy(v, each.expand(16, 3))) for each in h], 1)
    given_v = (joint / joint.sum(1, keepdim=True)) @ h
    given_h = (joint / joint.sum(0, keepdim=True)).T @ v
    torch.testing.assert_close(rbm.mean_hidden(v), given_v, rtol=0, atol=1e-12)
    torch.testing.assert_close(rbm.mean_visible(h), given_h, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["bernoulli", "gaussian"])
def test_draws_have_the_mean_and_variance_of_their_units(kind):
    field = torch.tensor([-2.0, 0.0, 1.0, 4.0]).expand(200_000, 4)
    draws = UNITS[kind].sample(field, torch.Generator().manual_seed(0))
    mean = UNITS[kind].mean(field[0])
    variance = mean * (1 - mean) if kind == "bernoulli" else torch.ones(4)
    torch.testing.assert_close(draws.mean(0), mean, rtol=0, atol=0.01)
    torch.testing.assert_close(draws.var(0), variance, rtol=0, atol=0.02)


def test_rectified_draws_are_those_of_nair_and_hinton():
    field = torch.tensor([-2.0, 0.0, 5.0]).expand(200_000, 3)
    draws = UNITS["rectified"].sample(field, torch.Generator().manual_seed(0))
    noise = np.random.default_rng(0).normal(size=200_000)
    spread = torch.sigmoid(field[0]).sqrt().numpy()
    expected = [
        np.maximum(0, x + s * noise).mean() for x, s in zip(field[0].numpy(), spread, strict=True)
    ]
    assert (draws >= 0).all()
    np.testing.assert_allclose(draws.mean(0), expected, atol=0.01)


def test_rectified_mean_is_that_of_many_copies():
    field = torch.linspace(-6, 6, 25, dtype=torch.float64)
    copies = field[:, None] - torch.arange(60) - 0.5
    units = UNITS["rectified"]
    torch.testing.assert_close(units.mean(field), copies.sigmoid().sum(1), rtol=0, atol=0.02)
    log_sum = torch.nn.functional.softplus(copies).sum(1)
    torch.testing.assert_close(units.log_partition(field), log_sum, rtol=0, atol=0.05)


def test_rectified_log_partition_survives_large_fields():
    field = torch.tensor([-800.0, 800.0], dtype=torch.float64)
    expected = torch.tensor([0.0, 800.0**2 / 2 + math.pi**2 / 6], dtype=torch.float64)
    torch.testing.assert_close(UNITS["rectified"].log_partition(field), expected)


@pytest.mark.parametrize("kind", UNITS)
def test_field_of_a_mean_gives_that_mean(kind):
    mean = torch.tensor([0.05, 0.5, 0.9], dtype=torch.float64)
    torch.testing.assert_close(UNITS[kind].mean(UNITS[kind].field_of(mean)), mean)


def test_gibbs_sampling_reaches_the_distribution():
    rbm, v = machine(), states(4)
    chains = rbm.gibbs(torch.zeros(20_000, 4).double(), 60, torch.Generator().manual_seed(0))
    places = (chains @ torch.tensor([8.0, 4.0, 2.0, 1.0]).double()).long()
    shares = torch.bincount(places, minlength=16) / 20_000
    expected = torch.softmax(-rbm.free_energy(v), 0)
    torch.testing.assert_close(shares.double(), expected, rtol=0, atol=0.015)


# The same distribution, written in another way ----------------------------------------------


@pytest.mark.parametrize("hidden", ["bernoulli", "gaussian", "rectified"])
@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_recentring_leaves_the_distribution(visible, hidden):
    rbm = machine(visible=visible, hidden=hidden)
    v, h = states(4), states(3)
    before = rbm.free_energy(v), rbm.mean_hidden(v), rbm.mean_visible(h)
    rbm.recentre(torch.tensor([0.2, 0.9, -1.0, 3.0]), torch.tensor([0.5, -2.0, 0.1]))
    shift = rbm.free_energy(v) - before[0]
    torch.testing.assert_close(shift, shift[:1].expand(16), rtol=0, atol=1e-12)
    torch.testing.assert_close(rbm.mean_hidden(v), before[1])
    torch.testing.assert_close(rbm.mean_visible(h), before[2])


def test_mirrored_machine_has_the_same_energies():
    rbm = machine(visible="gaussian")
    v, h = states(4)[:8], states(3)
    torch.testing.assert_close(rbm.mirrored().energy(h, v), rbm.energy(v, h))
    torch.testing.assert_close(rbm.mirrored().mean_hidden(h), rbm.mean_visible(h))


def test_machine_begins_at_the_means_of_the_rows():
    mean = torch.tensor([0.1, 0.5, 0.8])
    for centred in (True, False):
        rbm = RestrictedBoltzmann.begin(
            mean, 200, "bernoulli", "bernoulli", torch.Generator().manual_seed(0), centred=centred
        )
        h = torch.full((1, 200), 0.5)
        torch.testing.assert_close(rbm.mean_visible(h)[0], mean, rtol=0, atol=0.05)
        assert 0.008 < float(rbm.weight.std()) < 0.012
        assert bool(rbm.visible_offset.any()) == bool(rbm.hidden_offset.any()) == centred
