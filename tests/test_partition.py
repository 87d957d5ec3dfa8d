"""Log Z: both sides count alike, quadrature agrees, and annealing comes near from either end."""

import itertools
import math

import pytest
import torch
from scipy import integrate

from isthmus.errors import ParameterError
from isthmus.fitting import partition
from isthmus.fitting.partition import Annealing, anneal, anneal_back, count_states, log_partition
from isthmus.parts.boltzmann import RestrictedBoltzmann


def machine(n_visible, n_hidden, visible="bernoulli", hidden="bernoulli", *, scale=0.6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    rbm = RestrictedBoltzmann(n_visible, n_hidden, visible, hidden).double()
    for name, value in rbm.named_buffers():
        value.normal_(0, scale if name == "weight" else 0.5, generator=generator)
    return rbm


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def half(rbm):
    return torch.full_like(rbm.visible_bias, 0.5)


# Counted ------------------------------------------------------------------------------------


def test_exact_log_z_equals_the_sum_over_the_joint():
    rbm = machine(5, 4)
    v, h = (torch.tensor(list(itertools.product((0.0, 1.0), repeat=n))).double() for n in (5, 4))
    joint = torch.stack([-rbm.energy(v, each.expand(32, 4)) for each in h])
    expected = float(torch.logsumexp(joint.flatten(), 0))
    assert count_states(rbm).value == pytest.approx(expected, abs=1e-9)


def test_exact_log_z_is_the_same_from_either_side():
    rbm = machine(9, 6)
    wide = torch.logsumexp(
        torch.cat([-rbm.free_energy(s) for s in partition.binary_states(rbm)]), 0
    )
    assert count_states(rbm).value == pytest.approx(float(wide), abs=1e-9)
    assert count_states(rbm.mirrored()).value == pytest.approx(float(wide), abs=1e-9)


def test_exact_log_z_of_gaussian_visible_units_equals_quadrature():
    rbm = machine(2, 3, "gaussian")
    steps = torch.linspace(-10, 10, 401, dtype=torch.float64)
    mass = torch.exp(-rbm.free_energy(torch.cartesian_prod(steps, steps))).view(401, 401)
    expected = integrate.trapezoid(integrate.trapezoid(mass.numpy(), steps), steps)
    assert count_states(rbm).value == pytest.approx(math.log(expected), abs=1e-9)


def test_probabilities_sum_to_one():
    rbm = machine(8, 3)
    log_p = torch.cat([-rbm.free_energy(s) for s in partition.binary_states(rbm)])
    assert float(torch.exp(log_p - count_states(rbm).value).sum()) == pytest.approx(1, abs=1e-9)


def test_counting_in_batches_is_the_same(monkeypatch):
    rbm = machine(9, 9)
    whole = count_states(rbm).value
    monkeypatch.setattr(partition, "AT_ONCE", 18 * 7)
    assert [len(s) for s in partition.binary_states(rbm)] == [7] * 73 + [1]
    assert count_states(rbm).value == pytest.approx(whole, abs=1e-12)


def test_counting_more_than_25_units_is_refused():
    sentence = (
        r"^method='exact' goes through all states of the smaller binary side, and 26 units have "
        r"2\^26 of them: use method='ais', or at most 25 units\.$"
    )
    with pytest.raises(ParameterError, match=sentence):
        count_states(machine(30, 26))
    with pytest.raises(ParameterError, match=r"and 26 units"):
        count_states(machine(3, 26, "gaussian"))


# Annealed -----------------------------------------------------------------------------------


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("method", ["ais", "ais-reverse"])
def test_annealing_comes_near_the_exact_value(visible, method):
    rbm = machine(12, 8, visible, scale=0.6 if visible == "bernoulli" else 0.3)
    annealing = Annealing(n_chains=500, n_betas=300)
    exact = log_partition(rbm, "exact", half(rbm), annealing, generator())
    found = log_partition(rbm, method, half(rbm), annealing, generator())
    assert found.value == pytest.approx(exact.value, abs=0.1)
    assert found.low <= exact.value <= found.high
    assert found.low < found.value < found.high


def test_annealing_is_exact_where_the_path_has_one_machine():
    rbm = machine(6, 4, scale=0)
    rbm.hidden_bias.zero_()
    base = torch.sigmoid(rbm.visible_bias)
    found = anneal(rbm, base, Annealing(3, 5), generator())
    assert found.value == pytest.approx(count_states(rbm).value, abs=1e-9)
    assert found.high - found.low < 1e-9


@pytest.mark.parametrize(("method", "sign"), [(anneal, 1), (anneal_back, -1)])
def test_annealing_is_unbiased_for_z_or_its_inverse(method, sign):
    """A few coarse chains, many times over: the mean of Z (or of 1 / Z) is right."""
    rbm = machine(6, 5, scale=0.8)
    exact = count_states(rbm).value
    runs = [method(rbm, half(rbm), Annealing(50, 4), generator(seed)) for seed in range(60)]
    ratios = torch.tensor([sign * (run.value - exact) for run in runs]).exp()
    error = float(ratios.std()) / math.sqrt(len(runs))
    assert float(ratios.mean()) == pytest.approx(1, abs=4 * error)
    assert error < 0.1


def test_offsets_do_not_change_what_annealing_finds():
    rbm = machine(8, 6)
    before = count_states(rbm).value, anneal(rbm, half(rbm), Annealing(50, 50), generator()).value
    states = torch.zeros(1, 8).double()
    energy = float(rbm.free_energy(states))
    rbm.recentre(torch.rand(8, generator=generator(1)).double(), torch.zeros(6).double())
    shift = energy - float(rbm.free_energy(states))
    assert count_states(rbm).value == pytest.approx(before[0] + shift, abs=1e-9)
    found = anneal(rbm, half(rbm), Annealing(50, 50), generator()).value
    assert found == pytest.approx(before[1] + shift, abs=1e-9)


def test_more_chains_than_fit_at_once_are_run_in_groups(monkeypatch):
    rbm = machine(6, 4)
    monkeypatch.setattr(partition, "AT_ONCE", 10 * 30)
    assert list(partition.groups(rbm, 70)) == [30, 30, 10]
    found = anneal(rbm, half(rbm), Annealing(70, 200), generator())
    assert found.value == pytest.approx(count_states(rbm).value, abs=0.2)


def test_same_generator_gives_the_same_estimate_and_leaves_the_machine():
    rbm = machine(6, 4)
    before = {name: value.clone() for name, value in rbm.state_dict().items()}
    first, second = (anneal(rbm, half(rbm), Annealing(9, 9), generator()) for _ in range(2))
    assert first == second
    assert all(torch.equal(value, before[name]) for name, value in rbm.state_dict().items())


# Refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize("hidden", ["gaussian", "rectified"])
@pytest.mark.parametrize("method", ["exact", "ais", "ais-reverse"])
def test_machine_without_a_binary_side_is_refused(hidden, method):
    rbm = machine(3, 2, "gaussian", hidden)
    sentence = (
        rf"^An RBM with gaussian visible and {hidden} hidden units has no log-likelihood that can "
        rf"be computed: use hidden='bernoulli', or compare rows by free_energy\.$"
    )
    with pytest.raises(ParameterError, match=sentence):
        log_partition(rbm, method, half(rbm), Annealing(), generator())


def test_unknown_method_is_refused_with_a_guess():
    rbm = machine(3, 2)
    sentence = (
        r"^method='exat' is unknown \(did you mean 'exact'\?\): it must be 'exact', 'ais' or "
        r"'ais-reverse'\.$"
    )
    with pytest.raises(ParameterError, match=sentence):
        log_partition(rbm, "exat", half(rbm), Annealing(), generator())
