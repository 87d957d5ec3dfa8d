"""Training by contrast: the slope is the likelihood's, offsets are a way of writing, rows count."""

import math

import numpy as np
import pytest
import torch

from isthmus.data.rows import moments, select
from isthmus.data.scaling import scaling_of
from isthmus.fitting import contrastive
from isthmus.fitting.contrastive import Contrast, ContrastiveOptions, Session, train_rbm
from isthmus.fitting.partition import binary_states, count_states
from isthmus.fitting.schedules import Linear
from isthmus.fitting.streams import Streams
from isthmus.parts.boltzmann import RestrictedBoltzmann

X = (np.random.default_rng(0).uniform(size=(203, 6)) < 0.4).astype(np.float32)
X[:, 1] = X[:, 0]  # something to learn
SHORT = ContrastiveOptions(n_epochs=3, batch_size=50, n_chains=20, learning_rate=0.1)


def rows_of(X):
    return select(X, X, scaling_of("none", *moments(X)), "cpu")


def machine(X=X, n_hidden=4, *, centred=True, seed=0, hidden="bernoulli", visible="bernoulli"):
    mean = torch.from_numpy(X.mean(0))
    generator = torch.Generator().manual_seed(seed)
    return RestrictedBoltzmann.begin(mean, n_hidden, visible, hidden, generator, centred=centred)


def trained(options=SHORT, *, rows=None, seed=0, **kinds):
    rbm = machine(**kinds)
    result = train_rbm(rbm, rows_of(X) if rows is None else rows, options, Streams(seed))
    return rbm, result


def log_likelihood(rbm, X=X):
    wide = RestrictedBoltzmann(*reversed(rbm.weight.shape)).double()
    wide.load_state_dict(rbm.state_dict())
    v = torch.from_numpy(X).double()
    return float((-wide.free_energy(v)).mean()) - count_states(wide).value


# The slope ----------------------------------------------------------------------------------


def wild(*, offsets):
    generator = torch.Generator().manual_seed(1)
    rbm = RestrictedBoltzmann(4, 3)
    for name, value in rbm.named_buffers():
        if offsets or not name.endswith("offset"):
            value.normal_(0, 0.7, generator=generator)
    return rbm


def exact_slope(rbm, v):
    """Differentiate the mean log-likelihood, Z by all states, with respect to W, b and c."""
    wide = RestrictedBoltzmann(4, 3).double()
    wide.load_state_dict(rbm.state_dict())
    learned = [wide.weight, wide.visible_bias, wide.hidden_bias]
    for value in learned:
        value.requires_grad_(True)
    log_z = torch.logsumexp(torch.cat([-wide.free_energy(s) for s in binary_states(wide)]), 0)
    return torch.autograd.grad((-wide.free_energy(v.double())).mean() - log_z, learned)


@pytest.mark.parametrize("offsets", [True, False])
@pytest.mark.parametrize("persistent", [True, False])
def test_slope_of_long_chains_is_the_likelihoods(offsets, persistent):
    rbm = wild(offsets=offsets)
    v = torch.from_numpy(X[:50, :4]).repeat(400, 1)
    options = ContrastiveOptions(
        n_steps=40, persistent=persistent, n_chains=20_000, batch_size=20_000, offset_rate=0.0
    )
    slopes = Contrast(rbm, options, Streams(0)).gradients(v)
    for found, exact in zip(slopes, exact_slope(rbm, v), strict=True):
        torch.testing.assert_close(found.double(), exact, rtol=0, atol=0.015)


def test_one_step_from_the_rows_is_brute_force_cd():
    """Each row's chain, with the same draws taken by hand."""
    rbm, options = wild(offsets=True), ContrastiveOptions(persistent=False, offset_rate=0.0)
    contrast = Contrast(rbm, options, Streams(3))
    draws = torch.Generator()
    draws.set_state(contrast._draws.get_state())
    v = torch.from_numpy(X[:7, :4])
    h = rbm.mean_hidden(v)
    sampled = rbm.sample_visible(rbm.sample_hidden(v, draws), draws)
    sampled_h = rbm.mean_hidden(sampled)
    mu, offset = rbm.visible_offset, rbm.hidden_offset
    by_row = [torch.outer(h[i] - offset, v[i] - mu)
              - torch.outer(sampled_h[i] - offset, sampled[i] - mu) for i in range(7)]  # fmt: skip
    slope, visible, hidden = contrast.gradients(v)
    torch.testing.assert_close(slope, torch.stack(by_row).mean(0))
    torch.testing.assert_close(visible, (v - sampled).mean(0))
    torch.testing.assert_close(hidden, (h - sampled_h).mean(0))


def test_chains_go_on_from_update_to_update():
    contrast = Contrast(machine(), SHORT, Streams(0))
    before = contrast.chains.clone()
    contrast.run_epoch(rows_of(X))
    assert contrast.chains.shape == (20, 4)
    assert not torch.equal(contrast.chains, before)


def test_training_raises_the_likelihood():
    for persistent in (True, False):
        options = SHORT._replace(
            n_epochs=100, persistent=persistent, learning_rate=0.03, n_chains=200
        )
        rbm, _ = trained(options)
        independent = np.log(np.where(X > 0, X.mean(0), 1 - X.mean(0))).sum(1).mean()
        assert log_likelihood(rbm) > independent + 0.4  # of the 0.67 nats that a copy is worth


# Offsets ------------------------------------------------------------------------------------


def test_offsets_of_zero_are_the_machine_without():
    options = SHORT._replace(offset_rate=0.0)
    plain, _ = trained(options, centred=False)
    zero = machine(centred=False)
    zero.recentre(torch.zeros(6), torch.zeros(4))
    train_rbm(zero, rows_of(X), options, Streams(0))
    for name, value in plain.state_dict().items():
        assert torch.equal(value, zero.state_dict()[name])
    assert not plain.visible_offset.any()
    assert not plain.hidden_offset.any()


def test_offsets_slide_towards_the_means():
    options = SHORT._replace(offset_rate=0.25, learning_rate=1e-9, batch_size=203, n_epochs=1)
    rbm = machine()
    rbm.visible_offset.zero_()
    mean_h = rbm.mean_hidden(torch.from_numpy(X)).mean(0)
    expected_h = 0.75 * rbm.hidden_offset + 0.25 * mean_h
    train_rbm(rbm, rows_of(X), options, Streams(0))
    torch.testing.assert_close(rbm.visible_offset, 0.25 * torch.from_numpy(X.mean(0)))
    torch.testing.assert_close(rbm.hidden_offset, expected_h)


def test_centred_learning_sees_a_flip_of_the_rows_as_the_same():
    """Centring makes learning blind to whether a 1 or a 0 says yes (Melchior et al. 2016)."""
    rbm, flipped = machine(seed=3), machine(1 - X, seed=3)
    flipped.weight.neg_()
    options = SHORT._replace(offset_rate=0.0, n_epochs=1, batch_size=203, momentum=0.0)
    v = torch.from_numpy(X)
    h = rbm.mean_hidden(v)
    torch.testing.assert_close(flipped.mean_hidden(1 - v), h)
    contrasts = [Contrast(each, options, Streams(0)) for each in (rbm, flipped)]
    all_v = torch.cat([v, v[:50]])
    for contrast, seen in zip(contrasts, (all_v, 1 - all_v), strict=True):
        contrast._contrasted = lambda _, at=contrast, seen=seen: (seen, at.rbm.hidden_field(seen))
    slope, slope_flipped = contrasts[0].gradients(v)[0], contrasts[1].gradients(1 - v)[0]
    torch.testing.assert_close(slope_flipped, -slope, rtol=0, atol=1e-6)


# The loop -----------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 50, 100, 203, 1000])
def test_epoch_visits_every_row_once_in_a_new_order(batch_size, monkeypatch):
    numbered = np.arange(203, dtype=np.float32)[:, None] / 203
    seen = []
    real = Contrast.gradients
    monkeypatch.setattr(
        Contrast, "gradients", lambda self, v: seen.append(v[:, 0].clone()) or real(self, v)
    )
    rbm = machine(numbered, 2)
    options = SHORT._replace(batch_size=batch_size, n_epochs=2, learning_rate=1e-3)
    train_rbm(rbm, rows_of(numbered), options, Streams(0))
    first, second = torch.cat(seen).chunk(2)
    for epoch in (first, second):
        np.testing.assert_array_equal(epoch.sort().values, numbered[:, 0])
    assert not torch.equal(first, second)
    assert max(map(len, seen)) <= batch_size


def test_selection_is_what_is_trained_on():
    index = torch.arange(0, 203, 2)
    part, _ = trained(rows=rows_of(X).at(index))
    copied, _ = trained(rows=rows_of(np.ascontiguousarray(X[::2])))
    for name, value in part.state_dict().items():
        assert torch.equal(value, copied.state_dict()[name])


def test_same_seed_is_bitwise_the_same_and_another_is_not():
    first, second, other = trained()[0], trained()[0], trained(seed=1)[0]
    assert all(torch.equal(v, second.state_dict()[n]) for n, v in first.state_dict().items())
    assert not torch.equal(first.weight, other.weight)


@pytest.mark.parametrize(
    "change",
    [
        {"n_epochs": 4}, {"batch_size": 40}, {"learning_rate": 0.2}, {"schedule": Linear()},
        {"n_steps": 2}, {"persistent": False}, {"n_chains": 30}, {"offset_rate": 0.02},
        {"momentum": 0.2}, {"momentum_epochs": 1}, {"weight_decay": 0.1},
        {"precision": "bfloat16"},
    ],
    ids=str,
)  # fmt: skip
def test_every_option_changes_the_result(change):
    assert not torch.equal(trained(SHORT._replace(**change))[0].weight, trained()[0].weight)


def test_final_momentum_counts_once_its_time_has_come():
    late = SHORT._replace(momentum_epochs=2)
    assert not torch.equal(
        trained(late._replace(final_momentum=0.1))[0].weight, trained(late)[0].weight
    )
    early = SHORT._replace(final_momentum=0.1)
    assert torch.equal(trained(early)[0].weight, trained()[0].weight)


def test_global_generator_is_not_touched():
    before = torch.get_rng_state()
    trained()
    assert torch.equal(torch.get_rng_state(), before)


def test_records_say_what_happened():
    rbm, result = trained(SHORT._replace(schedule=Linear()))
    assert [record["epoch"] for record in result.history] == [1, 2, 3]
    rates = [record["learning_rate"] for record in result.history]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.02
    v = torch.from_numpy(X)
    error = (v - rbm.mean_visible(rbm.mean_hidden(v))).square().sum(1).mean()
    assert result.history[-1]["reconstruction_error"] == pytest.approx(float(error), rel=1e-5)
    assert (result.n_epochs, result.reason) == (3, "limit")


def test_observers_are_told_of_every_epoch():
    class Told(list):
        def epoch(self, epoch):
            self.append((epoch.number, epoch.n_epochs))

    told = Told()
    train_rbm(machine(), rows_of(X), SHORT, Streams(0), [told])
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_weights_that_explode_are_given_up_for_the_last_whole_epoch():
    rbm = machine(hidden="gaussian", visible="gaussian")
    start = rbm.weight.clone()
    result = train_rbm(rbm, rows_of(X), SHORT._replace(learning_rate=1e30), Streams(0))
    assert (result.n_epochs, result.reason) == (0, "diverged")
    assert torch.equal(rbm.weight, start)


def test_interrupt_keeps_the_last_whole_epoch(monkeypatch):
    real, calls = Contrast.run_epoch, []

    def stop_in_the_second(self, *given):
        calls.append(1)
        rate = real(self, *given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return rate

    monkeypatch.setattr(Contrast, "run_epoch", stop_in_the_second)
    rbm, result = trained(SHORT)
    assert (result.n_epochs, result.reason) == (1, "interrupted")
    monkeypatch.undo()
    once, _ = trained(SHORT._replace(n_epochs=1))
    assert torch.equal(rbm.weight, once.weight)


def test_session_passes_are_the_epochs_of_a_fit():
    session = Session(machine(), SHORT, Streams(0))
    for _ in range(3):
        session = session.run(rows_of(X), SHORT)
    rbm, result = trained()
    assert torch.equal(session.rbm.weight, rbm.weight)
    assert [r["reconstruction_error"] for r in session.history] == [
        r["reconstruction_error"] for r in result.history
    ]


def test_products_in_bfloat16_learn_as_well():
    options = SHORT._replace(n_epochs=40)
    full = log_likelihood(trained(options._replace(precision="float32"))[0])
    reduced = log_likelihood(trained(options._replace(precision="bfloat16"))[0])
    assert reduced == pytest.approx(full, abs=0.05)
    assert math.isfinite(reduced)


def test_judged_rows_lie_evenly(monkeypatch):
    monkeypatch.setattr(contrastive, "JUDGED", 50)
    rbm, rows = machine(), rows_of(X)
    v = torch.from_numpy(X[::5])
    error = (v - rbm.mean_visible(rbm.mean_hidden(v))).square().sum(1).mean()
    assert contrastive.reconstruction_error(rbm, rows) == pytest.approx(float(error), rel=1e-5)
