import contextlib
import copy
import itertools
import random
import re
import threading
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from isthmus import Autoencoder
from isthmus.data.rows import Selection, fit_scaling, select
from isthmus.errors import TrainingWarning
from isthmus.estimators.parameters import declared
from isthmus.fitting import interrupts
from isthmus.fitting.assembly import assemble
from isthmus.fitting.gradients import way_of
from isthmus.fitting.judging import evaluate
from isthmus.fitting.loop import Outcome, train
from isthmus.fitting.model import Model, Objective, Parts, Randomness
from isthmus.fitting.observers import History
from isthmus.fitting.optimizers import Optimizer
from isthmus.fitting.pca import principal_axes
from isthmus.fitting.plan import Plan, threads_for
from isthmus.fitting.schedules import Schedule
from isthmus.fitting.steps import Draws, flush, lent, run_epoch, take_step
from isthmus.fitting.streams import Streams
from isthmus.parts import Code, Corruption, Likelihood, Network, Penalty
from isthmus.parts.networks.dropout import Dropout

N, D = 70, 6
PLAN = Plan(
    optimizer=Optimizer.of("adam"),
    rate=1e-2,
    schedule=Schedule.of("constant"),
    batch_size=16,
    max_epochs=5,
    stop_after=5,
    patience=None,
    precision="float32",
    device="cpu",
)


def draws(n, seed=0):
    stream = np.random.default_rng(seed)
    left = stream.standard_normal((n, 2))
    bent = np.column_stack([left, np.sin(2 * left), left[:, :1] * left[:, 1:], left[:, :1] ** 2])
    return (bent + 0.1 * stream.standard_normal((n, D))).astype(np.float32)


X = draws(N)
X_HELD = draws(40, seed=1)
SCALING = fit_scaling("isotropic", X)


class Ran(NamedTuple):
    model: Model
    outcome: Outcome
    history: list[dict[str, Any]]
    start: dict[str, torch.Tensor]


class Watch:
    """An observer that keeps every epoch and the weights that it left."""

    def __init__(self, model=None):
        self.model, self.epochs, self.weights = model, [], []

    def epoch(self, epoch):
        self.epochs.append(epoch)
        if self.model is not None:
            self.weights.append(state_of(self.model))


class Breaking(Model):
    """A model whose loss is `value` in pass number `at` of the training (from 1)."""

    at, value, n_passes = 0, float("nan"), 0

    def forward(self, x, target, randomness, at=1.0):
        objective = super().forward(x, target, randomness)
        if not self.training:
            return objective
        self.n_passes += 1
        if self.n_passes != self.at:
            return objective
        return objective._replace(loss=objective.loss * self.value)


def parts_of(
    network="dense(hidden=(8,))",
    corruption="clean",
    code="plain",
    likelihood="normal",
    penalties=(),
):
    return Parts(
        Network.of(network),
        Corruption.of(corruption),
        Code.of(code),
        Likelihood.of(likelihood),
        tuple(map(Penalty.of, penalties)),
    )


def selection_of(array):
    return select(array, array, SCALING, "cpu")


def model_of(n_components=2, seed=0, **parts):
    streams = Streams(seed)
    pca = principal_axes(selection_of(X), n_components, streams.generator("pca"))
    return assemble(parts_of(**parts), n_components, SCALING, pca, streams.generator("init"))


def state_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(first, second):
    """Return whether two states are bitwise the same."""
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)


def plan_of(max_epochs=5, **fields):
    return PLAN._replace(**{"max_epochs": max_epochs, "stop_after": max_epochs, **fields})


@contextlib.contextmanager
def no_interrupt():
    """Let an interrupt that gets out fail the test, not end them all."""
    try:
        yield
    except KeyboardInterrupt:
        pytest.fail("the interrupt got out")


def run(model=None, held=X_HELD, observers=(), seed=0, training=X, parts=None, **fields):
    """Train a model as `fit` does and return everything about it."""
    model = model_of(seed=seed, **(parts or {})) if model is None else model
    start, history = state_of(model), History("test")
    held_out = selection_of(held) if held is not None else selection_of(X).at(torch.arange(0))
    rows, watching = selection_of(training), [history, *observers]
    with no_interrupt():
        outcome = train(model, rows, held_out, plan_of(**fields), Streams(seed), watching)
    return Ran(model, outcome, history.records, start)


def breaking(at, value=float("nan"), **parts):
    model = model_of(**parts)
    model.__class__ = Breaking
    model.at, model.value = at, value
    return model


# Epoch 0 ---------------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", ["normal", "laplace"])
def test_epoch_zero_counts_where_every_step_makes_it_worse(likelihood):
    ran = run(rate=30.0, parts={"likelihood": likelihood})
    assert ran.outcome.best_epoch == 0
    assert ran.outcome.n_epochs == 5
    assert ran.outcome.best is ran.outcome.start
    assert equal(state_of(ran.model), ran.start)


def test_epoch_zero_is_recorded_before_any_step():
    ran = run()
    first = ran.history[0]
    held = evaluate(way_of(model_of()), selection_of(X_HELD), Streams(0))
    assert first["epoch"] == 0
    assert first["held_out_loss"] == held.loss
    assert "loss" not in first


def test_training_without_any_epoch_leaves_the_model_as_it_came():
    ran = run(stop_after=0)
    assert (ran.outcome.best_epoch, ran.outcome.n_epochs, ran.outcome.reason) == (0, 0, "limit")
    assert equal(state_of(ran.model), ran.start)


# The best --------------------------------------------------------------------------------


def test_best_weights_are_those_of_the_epoch_that_was_best_held_out():
    model = model_of(likelihood="laplace", network="dense(hidden=(8,), norm=batch)")
    watch = Watch(model)
    ran = run(model, observers=[watch], rate=0.3, max_epochs=12)
    losses = [epoch.held_out.loss for epoch in watch.epochs]
    best = int(np.argmin(losses))
    assert 0 < best < 12  # neither the first nor the last, so that something was restored
    assert ran.outcome.best_epoch == best
    assert ran.outcome.best.loss == min(losses)
    assert equal(state_of(model), watch.weights[best])
    assert [epoch.best for epoch in watch.epochs] == [
        loss < min(losses[:i], default=np.inf) for i, loss in enumerate(losses)
    ]


def test_last_epoch_is_the_best_where_nothing_is_held_out():
    model = model_of()
    watch = Watch(model)
    ran = run(model, held=None, observers=[watch])
    assert ran.outcome.best_epoch == ran.outcome.n_epochs == 5
    assert equal(state_of(model), watch.weights[-1])
    assert not equal(state_of(model), ran.start)


# Patience --------------------------------------------------------------------------------


@pytest.mark.parametrize("std", [1.0, 0.3], ids=["positive losses", "negative losses"])
@pytest.mark.parametrize("patience", [3, 5])
def test_patience_ends_the_fit_so_many_epochs_after_the_best(std, patience):
    parts = {
        "n_components": D,
        "likelihood": f"normal(std={std})",
        "network": "dense(hidden=(), linear_path='none')",
    }
    ran = run(parts=parts, rate=0.1, patience=patience, max_epochs=200)
    losses = [record["held_out_loss"] for record in ran.history]
    assert (min(losses) < 0) is (std < 1)
    assert ran.outcome.reason == "patience"
    assert ran.outcome.best_epoch == int(np.argmin(losses)) > 0
    assert ran.outcome.n_epochs == len(losses) - 1 == ran.outcome.best_epoch + patience


def test_no_patience_runs_to_the_limit():
    ran = run(rate=30.0, patience=None, max_epochs=9)
    assert (ran.outcome.reason, ran.outcome.n_epochs) == ("limit", 9)


def test_patience_does_not_count_where_nothing_is_held_out():
    sgd = Optimizer.of("sgd")
    ran = run(held=None, rate=0.0, optimizer=sgd, patience=1)
    assert (ran.outcome.reason, ran.outcome.n_epochs, ran.outcome.best_epoch) == ("limit", 5, 5)
    assert all("held_out_loss" not in record for record in ran.history)


# A loss that is not finite ---------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", Optimizer.kinds)
def test_step_is_not_taken_where_the_loss_is_not_finite(name, value):
    model = breaking(1, value).train()
    optimizer = Optimizer.of(name).build(model.parameters(), 0.1)
    before = state_of(model)
    draws = Draws.begin(Streams(0), "cpu")
    x = next(selection_of(X).batches(16))[0]
    assert take_step(way_of(model), x, x, optimizer, draws) is None
    assert equal(state_of(model), before)
    assert take_step(way_of(model), x, x, optimizer, draws) is not None
    assert not equal(state_of(model), before)


@pytest.mark.parametrize("held", [X_HELD, None], ids=["held out", "nothing held out"])
@pytest.mark.parametrize("network", ["dense((8,))", "dense((8,), norm=batch)"])
def test_loss_that_is_not_finite_ends_the_fit_with_the_last_good_weights(held, network):
    model = breaking(2 * 5 + 3, network=network)  # in the third epoch of five batches
    watch = Watch(model)
    ran = run(model, held=held, observers=[watch], rate=1e-3)
    assert (ran.outcome.reason, ran.outcome.n_epochs) == ("diverged", 3)
    assert len(watch.epochs) == 3  # the start and two whole epochs
    # Only a held-out loss tells whether what the second epoch left is good too.
    assert ran.outcome.best_epoch in ({2} if held is not None else {1, 2})
    assert equal(state_of(model), watch.weights[ran.outcome.best_epoch])


def test_loss_that_is_not_finite_in_the_first_epoch_leaves_the_start():
    ran = run(breaking(2))
    assert (ran.outcome.reason, ran.outcome.best_epoch) == ("diverged", 0)
    assert equal(state_of(ran.model), ran.start)


@pytest.mark.parametrize("held", [X_HELD, None], ids=["held out", "nothing held out"])
@pytest.mark.parametrize("batch_size", [16, N], ids=["many batches", "one batch"])
@pytest.mark.parametrize("rate", [1.0, 1e3, 1e12, 1e30])
def test_rate_far_too_high_leaves_weights_that_can_be_used(held, batch_size, rate):
    """A step can break the weights after the last loss that was looked at."""
    sgd = Optimizer.of("sgd")
    ran = run(held=held, batch_size=batch_size, rate=rate, optimizer=sgd, max_epochs=30)
    assert ran.outcome.reason == "diverged"
    x = selection_of(X).rows.take(torch.arange(N))
    with torch.no_grad():
        error, start = (model(x, x, randomness()).loss for model in (ran.model, model_of()))
    assert torch.isfinite(error)
    assert error < start + 1  # nats; the best of the rows that judged need not be the best of all


def test_last_step_that_breaks_the_weights_is_noticed_where_nothing_is_held_out():
    sgd = Optimizer.of("sgd")
    ran = run(held=None, batch_size=N, rate=1e30, optimizer=sgd, max_epochs=1)
    assert (ran.outcome.reason, ran.outcome.best_epoch) == ("diverged", 0)
    assert equal(state_of(ran.model), ran.start)


def test_loss_that_grew_out_of_all_bounds_is_noticed_where_nothing_is_held_out():
    sgd = Optimizer.of("sgd")
    ran = run(held=None, batch_size=N, rate=10.0, optimizer=sgd, max_epochs=2)
    assert np.isfinite([record["loss"] for record in ran.history[1:]]).all()
    assert (ran.outcome.reason, ran.outcome.best_epoch) == ("diverged", 0)
    assert equal(state_of(ran.model), ran.start)


def randomness(seed=0):
    return Randomness(*(torch.Generator().manual_seed(seed + i) for i in range(3)))


# Order -----------------------------------------------------------------------------------


class Spy:
    """Rows that note which of them are taken, in which order."""

    def __init__(self, rows):
        self._rows, self.device, self.n_features = rows, rows.device, rows.n_features
        self.taken = []

    def take(self, index):
        self.taken += index.tolist()
        return self._rows.take(index)


def orders(seed=0, n_epochs=3, corruption="clean"):
    """Return the order in which each epoch takes the training rows."""
    selection = selection_of(X)
    spy = Spy(selection.rows)
    spied = Selection(spy, spy, selection.index)
    model = model_of(corruption=corruption)
    plan = plan_of(max_epochs=n_epochs)
    train(model, spied, selection_of(X_HELD), plan, Streams(seed))
    return np.array(spy.taken).reshape(n_epochs, N)


def test_epoch_takes_every_row_once():
    assert np.array_equal(np.sort(orders(), axis=1), np.tile(np.arange(N), (3, 1)))


def test_epochs_take_the_rows_in_different_orders():
    for first, second in itertools.combinations([np.arange(N), *orders()], 2):
        assert not np.array_equal(first, second)


def test_order_is_that_of_the_random_state_whatever_the_noise():
    assert np.array_equal(orders(0), orders(0, corruption="masking(fraction=0.5)"))
    assert not np.array_equal(orders(0), orders(1))


def test_epoch_of_some_rows_takes_only_those():
    chosen = torch.tensor([3, 50, 8, 31, 30])
    selection = selection_of(X)
    spy = Spy(selection.rows)
    model, draws = model_of(), Draws.begin(Streams(0), "cpu")
    optimizer = PLAN.optimizer.build(model.parameters(), PLAN.rate)
    run_epoch(way_of(model), Selection(spy, spy, chosen), PLAN, optimizer, draws, 1)
    assert sorted(spy.taken) == sorted(chosen.tolist())


# History ---------------------------------------------------------------------------------

MANY_TERMS = {"penalties": ["weight_l1(weight=0.01)", "weight_l2(weight=0.02)"]}


def test_history_has_one_record_for_each_epoch_from_zero():
    ran = run(parts=MANY_TERMS)
    assert [record["epoch"] for record in ran.history] == list(range(6))
    terms = ["nll", "weight_l1", "weight_l2"]
    assert list(ran.history[0]) == [
        *("stage", "epoch", "held_out_loss", *(f"held_out_{term}" for term in terms)),
        *("learning_rate", "seconds"),
    ]
    for record in ran.history[1:]:
        assert list(record) == [
            *("stage", "epoch", "loss", *terms),
            *("held_out_loss", *(f"held_out_{term}" for term in terms)),
            *("learning_rate", "seconds"),
        ]
    assert {record["stage"] for record in ran.history} == {"test"}


@pytest.mark.parametrize("prefix", ["", "held_out_"])
def test_terms_of_a_record_sum_to_its_loss(prefix):
    for record in run(parts=MANY_TERMS).history[1:]:
        terms = [record[f"{prefix}{term}"] for term in ("nll", "weight_l1", "weight_l2")]
        assert record[f"{prefix}loss"] == pytest.approx(sum(terms), rel=1e-12)


def test_penalty_is_recorded_with_its_weight():
    record = run(parts=MANY_TERMS).history[0]
    weights = [p.double() for p in model_of(**MANY_TERMS).parameters() if p.ndim == 2]
    ones, twos = (float(sum(w.abs().pow(k).sum() for w in weights).detach()) for k in (1, 2))
    assert record["held_out_weight_l1"] == pytest.approx(0.01 * ones, rel=1e-5)
    assert record["held_out_weight_l2"] == pytest.approx(0.02 * twos, rel=1e-5)


def test_two_penalties_of_one_kind_both_count():
    alone = run(parts={"penalties": ["weight_l2(weight=0.03)"]})
    both = run(parts={"penalties": ["weight_l2(weight=0.01)", "weight_l2(weight=0.02)"]})
    for one, two in zip(alone.history, both.history, strict=True):
        assert two["held_out_loss"] == pytest.approx(one["held_out_loss"], rel=1e-5)


def test_training_loss_is_averaged_over_rows_not_batches():
    ran = run(optimizer=Optimizer.of("sgd"), rate=0.0, batch_size=33, max_epochs=1)
    model = model_of()
    with torch.no_grad():
        x = selection_of(X).rows.take(torch.arange(N))
        expected = model(x, x, randomness()).rows.double().mean()
    assert ran.history[1]["nll"] == pytest.approx(float(expected), rel=1e-6)


def test_recorded_learning_rate_is_that_of_the_epochs_last_step():
    schedule = Schedule.of("cosine")
    ran = run(schedule=schedule, max_epochs=4, batch_size=35)  # two steps an epoch
    rates = [record["learning_rate"] for record in ran.history[1:]]
    assert rates == sorted(rates, reverse=True)
    assert all(0 < rate < PLAN.rate for rate in rates)
    for epoch, rate in enumerate(rates):  # somewhere within the second half of its epoch
        assert PLAN.rate * schedule.factor((epoch + 1) / 4) <= rate
        assert rate <= PLAN.rate * schedule.factor((epoch + 0.5) / 4)


def test_observers_are_told_of_every_epoch_in_order():
    first, second = Watch(), Watch()
    run(observers=[first, second])
    assert first.epochs == second.epochs
    assert [epoch.number for epoch in first.epochs] == list(range(6))
    assert {epoch.n_epochs for epoch in first.epochs} == {5}
    seconds = [epoch.seconds for epoch in first.epochs]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize("name", Schedule.kinds)
@pytest.mark.parametrize("optimizer", Optimizer.kinds)
def test_every_optimizer_goes_with_every_schedule(name, optimizer):
    kind = Optimizer.of(optimizer)
    ran = run(
        optimizer=kind,
        schedule=Schedule.kinds[name](warmup=0.3),
        rate=kind.rate,
        parts={"network": "dense(hidden=(8,), linear_path='none')"},
        batch_size=N if kind.whole else 16,
        max_epochs=3,
    )
    assert ran.outcome.reason == "limit"
    assert ran.history[-1]["held_out_loss"] < ran.history[0]["held_out_loss"]


# Judging held-out rows -------------------------------------------------------------------


def test_held_out_rows_are_judged_one_by_one():
    model = model_of()
    held = evaluate(way_of(model), selection_of(X_HELD), Streams(0))
    x = SCALING(torch.from_numpy(X_HELD.astype(np.float64)))
    with torch.no_grad():
        rebuilt = copy.deepcopy(model).double()
        output = rebuilt.decoder(rebuilt.encoder(x))
    errors = (output - x).square().sum(1)
    np.testing.assert_allclose(held.errors.numpy(), errors.numpy(), rtol=1e-4, atol=1e-5)
    nats = errors / 2 + D * np.log(2 * np.pi) / 2
    np.testing.assert_allclose(held.rows.numpy(), nats.numpy(), rtol=1e-5)
    assert held.loss == pytest.approx(float(nats.mean()), rel=1e-5)


@pytest.mark.parametrize("corruption", ["clean", "gaussian(std=0.5)", "masking(fraction=0.5)"])
def test_held_out_rows_are_judged_alike_each_time(corruption):
    model = model_of(corruption=corruption)
    first, second = (evaluate(way_of(model), selection_of(X_HELD), Streams(0)) for _ in range(2))
    assert torch.equal(first.rows, second.rows)
    assert first.terms == second.terms


def test_held_out_rows_are_judged_under_the_noise_by_their_clean_values():
    """All values masked: the model sees zeros and is asked for the rows."""
    model = model_of(corruption="masking(fraction=1)")
    held = evaluate(way_of(model), selection_of(X_HELD), Streams(0))
    zero = SCALING(torch.zeros(1, D, dtype=torch.float64)).float()
    with torch.no_grad():
        output = model.decoder(model.encoder(zero)).double()
    x = SCALING(torch.from_numpy(X_HELD.astype(np.float64)))
    errors = (output - x).square().sum(1)
    np.testing.assert_allclose(held.errors.numpy(), errors.numpy(), rtol=1e-5)


def test_held_out_loss_is_the_same_in_one_batch_and_in_many(monkeypatch):
    model = model_of(penalties=["weight_l2(weight=0.1)"])
    whole = evaluate(way_of(model), selection_of(X_HELD), Streams(0))
    monkeypatch.setattr("isthmus.fitting.memory.MOST_ROWS", 7)
    many = evaluate(way_of(model), selection_of(X_HELD), Streams(0))
    torch.testing.assert_close(many.rows, whole.rows)
    assert many.terms == pytest.approx(whole.terms, rel=1e-5)
    assert many.loss == pytest.approx(whole.loss, rel=1e-5)


def test_evaluation_of_a_wide_network_takes_few_rows_at_once(monkeypatch):
    model, sizes = model_of(), []
    see = model.see
    monkeypatch.setattr(model, "see", lambda x, noise: sizes.append(len(x)) or see(x, noise))
    monkeypatch.setattr("isthmus.fitting.memory.MOST_PRODUCTS", 7 * model.n_products)
    evaluate(way_of(model), selection_of(X_HELD), Streams(0))
    assert max(sizes) == 7
    assert sum(sizes) == len(X_HELD)


def test_evaluation_of_a_wide_network_takes_as_many_rows_at_once_as_train_together(monkeypatch):
    model, sizes = model_of(), []
    see = model.see
    monkeypatch.setattr(model, "see", lambda x, noise: sizes.append(len(x)) or see(x, noise))
    monkeypatch.setattr("isthmus.fitting.memory.MOST_PRODUCTS", 7 * model.n_products)
    evaluate(way_of(model), selection_of(X_HELD), Streams(0), at_least=10)
    assert max(sizes) == 10
    assert sum(sizes) == len(X_HELD)


@pytest.mark.parametrize(("held", "n_draws"), [(X_HELD, 8), (None, 1)], ids=["held out", "none"])
def test_rows_are_corrupted_anew_only_where_they_choose_the_epoch(held, n_draws, monkeypatch):
    model, seen = model_of(corruption="gaussian(std=0.5)"), []
    see = model.see
    monkeypatch.setattr(model, "see", lambda x, noise: seen.append(len(x)) or see(x, noise))
    run(model, held=held, max_epochs=2)
    n_rows = len(X_HELD if held is not None else X)
    assert sum(seen) == 2 * len(X) + 3 * n_draws * n_rows  # epoch 0 is judged too


@pytest.mark.parametrize(
    ("parts", "together"),
    [
        ({}, True),
        ({"code": "topk(k=1)"}, True),
        ({"code": "batch_topk(k=1)"}, False),  # of all rows' units the largest are kept
        ({"code": "wasserstein_mmd"}, False),  # rows are compared with one another
        ({"penalties": ["activity_kl"], "code": "sigmoid"}, False),
        ({"network": "dense(hidden=(8,), norm=batch, linear_path='none')"}, False),
    ],
    ids=str,
)
def test_all_draws_of_the_noise_go_forward_together_where_rows_stay_apart(
    parts, together, monkeypatch
):
    model, sizes = model_of(corruption="gaussian(std=0.5)", **parts), []
    see = model.see
    monkeypatch.setattr(model, "see", lambda x, noise: sizes.append(len(x)) or see(x, noise))
    evaluate(way_of(model), selection_of(X_HELD), Streams(0))
    assert sizes == ([8 * len(X_HELD)] if together else 8 * [len(X_HELD)])


def test_no_more_rows_go_forward_than_there_is_room_for(monkeypatch):
    model, sizes = model_of(corruption="gaussian(std=0.5)"), []
    see = model.see
    monkeypatch.setattr(model, "see", lambda x, noise: sizes.append(len(x)) or see(x, noise))
    monkeypatch.setattr("isthmus.fitting.memory.MOST_PRODUCTS", 3 * model.n_products)
    evaluate(way_of(model), selection_of(X_HELD), Streams(0))
    assert max(sizes) == 3
    assert sum(sizes) == 8 * len(X_HELD)


@pytest.mark.parametrize("likelihood", ["normal", "laplace"])
def test_draws_of_the_noise_that_go_together_are_averaged_row_by_row(likelihood, monkeypatch):
    model = model_of(corruption="gaussian(std=0.5)", likelihood=likelihood)
    x = SCALING(torch.from_numpy(X_HELD.astype(np.float64))).float()
    held = evaluate(way_of(model), selection_of(X_HELD), Streams(0))
    noise = Streams(0).generator("held_out")
    with torch.no_grad():
        seen = model.see(x.repeat(8, 1), noise).rows.view(8, *x.shape)
        outputs = [model.output_of(each) for each in seen]
        rows = [model.parts.likelihood.nll(output, x) for output in outputs]
        errors = [model.errors(output, x) for output in outputs]
    torch.testing.assert_close(held.rows, torch.stack(rows).mean(0), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(held.errors, torch.stack(errors).mean(0), rtol=1e-5, atol=1e-5)
    assert held.loss == pytest.approx(float(torch.stack(rows).mean()), rel=1e-5)


def test_held_out_rows_are_judged_without_dropout_and_leave_the_model_alone():
    model = model_of(network="dense(hidden=(8,), dropout=0.5, norm=batch, linear_path='none')")
    before = state_of(model)
    first, second = (
        evaluate(way_of(model), selection_of(X_HELD), Streams(seed)) for seed in (0, 1)
    )
    assert torch.equal(first.rows, second.rows)
    assert equal(state_of(model), before)


# Zero strength ---------------------------------------------------------------------------

ZERO = {
    "gaussian": {"corruption": "gaussian(std=0)"},
    "masking": {"corruption": "masking(fraction=0)"},
    "salt and pepper": {"corruption": "salt_and_pepper(fraction=0)"},
    "dropout": {"network": "dense(hidden=(8,), dropout=0)"},
    "weight_l1": {"penalties": ["weight_l1(weight=0)"]},
    "weight_l2": {"penalties": ["weight_l2(weight=0)"]},
    "activity_l1": {"penalties": ["activity_l1(weight=0)"]},
    "contraction": {"penalties": ["contraction(weight=0)"]},
    "activity_kl": {"penalties": ["activity_kl(weight=0)"], "code": "sigmoid"},
    "dead_units": {"penalties": ["dead_units(weight=0)"], "code": "topk(k=1)"},
    "everything": {
        "corruption": "masking(fraction=0)",
        "network": "dense(hidden=(8,), dropout=0)",
        "penalties": ["weight_l1(weight=0)", "weight_l2(weight=0)"],
    },
}


@pytest.mark.parametrize("name", ZERO)
def test_zero_strength_is_bitwise_the_plain_model(name):
    code = {"code": ZERO[name].get("code", "plain")}
    plain, zero = run(parts=code), run(parts=ZERO[name])
    assert not equal(state_of(plain.model), plain.start)
    assert equal(state_of(zero.model), state_of(plain.model))
    for key in ("nll", "held_out_nll", "loss", "held_out_loss"):
        assert [r.get(key) for r in zero.history] == [r.get(key) for r in plain.history]


def test_every_part_that_has_a_strength_is_brought_to_zero_here():
    tried = " ".join(str(parts) for parts in ZERO.values())
    for slot in (Corruption, Penalty):
        strengthless = {"clean", "binarised", "blind_spot"}  # they draw, or hide some and judge it
        assert all(name in tried for name in slot.kinds.keys() - strengthless)


# Every field of the plan -----------------------------------------------------------------

ANOTHER = {
    "optimizer": Optimizer.of("adamax"),
    "rate": 2e-2,
    "schedule": Schedule.of("linear"),
    "batch_size": 30,
    "max_epochs": 6,
    "stop_after": 4,
    "patience": 1,
    "precision": "bfloat16",
}
HOW = {"schedule": Schedule.of("cosine"), "rate": 3.0}  # wild enough for patience to matter


def result(ran):
    return [
        {name: value for name, value in record.items() if name != "seconds"}
        for record in ran.history
    ]


def test_every_field_of_the_plan_but_the_device_is_changed_here():
    assert {*ANOTHER, "device", "keeper"} == set(Plan._fields)


@pytest.mark.parametrize("field", ANOTHER)
def test_every_field_of_the_plan_changes_the_fit(field):
    parts = {"likelihood": "laplace"}
    base = run(parts=parts, **HOW)
    other = run(parts=parts, **{**HOW, field: ANOTHER[field]})
    assert result(base) != result(other)


# Every hyper-parameter -------------------------------------------------------------------

ROWS = draws(2100, seed=2)  # so many that validation_fraction counts
BASE = {
    "n_components": 2,
    "hidden": (8,),
    "activation": "tanh",
    "likelihood": "laplace",
    "learning_rate": 0.03,
    "batch_size": 100,
    "max_epochs": 3,
    "precision": "float32",
    "random_state": 0,
}
CHANGES = {
    "n_components": 3,
    "network": "dense(norm=layer)",
    "hidden": (7,),
    "activation": "relu",
    "likelihood": "laplace(width=0.5)",
    "scaling": "standard",
    "optimizer": "adamax",
    "learning_rate": 0.01,
    "schedule": "constant",
    "batch_size": 90,
    "max_epochs": 4,
    "validation_fraction": 0.2,
    "patience": 1,
    "precision": "bfloat16",
    "random_state": 1,
    "corruption": "masking",
    "code": "sigmoid",
    "penalties": "weight_l2(weight=0.01)",
    "pretraining": "autoencoder(n_epochs=1)",
}
# What must not change the result: where it is computed, whether it is shown, and what a dense
# network does not look at.
NO_CHANGE = {"device": "cpu", "verbose": 1, "sample_shape": (1, D)}
WILD = {"learning_rate": 3.0, "max_epochs": 6}  # gets worse at once, so that patience counts


def fitted(**changes):
    model = Autoencoder(**{**BASE, **changes}).fit(ROWS)
    return model.transform(ROWS[:5]).tolist(), result_of(model)


def result_of(model):
    drop = {"seconds"}
    return [{k: v for k, v in record.items() if k not in drop} for record in model.history_]


@pytest.fixture(scope="module")
def base():
    return fitted()


def test_every_declared_parameter_is_changed_here():
    assert set(declared(Autoencoder)) == {*CHANGES, *NO_CHANGE}


@pytest.mark.parametrize("name", CHANGES)
def test_every_hyper_parameter_changes_the_fit(name, base):
    if name == "patience":
        assert fitted(**WILD)[1] != fitted(**WILD, patience=CHANGES[name])[1]
        return
    codes, history = fitted(**{name: CHANGES[name]})
    assert codes != base[0]
    assert history != base[1]


@pytest.mark.parametrize("name", NO_CHANGE)
def test_where_and_whether_it_is_shown_does_not_change_the_fit(name, base):
    assert fitted(**{name: NO_CHANGE[name]}) == base


# Random state ----------------------------------------------------------------------------

NOISY = {
    "corruption": "masking",
    "network": "dense(dropout=0.2)",
    "likelihood": "normal",
    "max_epochs": 2,
}


def test_same_random_state_is_bitwise_the_same_fit():
    torch.manual_seed(0)
    first = fitted(**NOISY)
    torch.manual_seed(1)
    assert fitted(**NOISY) == first


@pytest.mark.parametrize("changes", [{}, NOISY], ids=["plain", "noisy"])
def test_random_state_is_all_that_two_fits_differ_by(changes):
    assert fitted(**changes, random_state=1) != fitted(**changes, random_state=2)


def test_random_state_may_be_a_generator_that_moves_on():
    for make in (np.random.RandomState, np.random.default_rng):
        state = make(0)
        first, second = (fitted(max_epochs=1, random_state=state) for _ in range(2))
        assert first != second
        assert fitted(max_epochs=1, random_state=make(0)) == first


def test_no_random_state_is_a_fresh_one():
    assert fitted(max_epochs=1, random_state=None) != fitted(max_epochs=1, random_state=None)


@pytest.mark.parametrize("n_rows", [200, 2100], ids=["folds", "held-out rows"])
def test_fit_does_not_touch_the_global_random_states(n_rows):
    def states():
        numpy_state = np.random.get_state()[1].tobytes()  # noqa: NPY002 (the global one is meant)
        return torch.get_rng_state().tolist(), numpy_state, random.getstate()

    before = states()
    model = Autoencoder(**{**BASE, **NOISY, "random_state": None}).fit(ROWS[:n_rows])
    model.transform(ROWS)
    model.score_samples(ROWS)
    assert states() == before


def test_roles_have_streams_of_their_own():
    roles = ["init", "split", "order", "corruption", "code", "held_out", "pca", "dropout"]
    seeds = [Streams(state).seed(role) for role in roles for state in (0, 1)]
    assert len(set(seeds)) == len(seeds)
    assert [Streams(0).seed(role) for role in roles] == seeds[::2]


# Ctrl-C ----------------------------------------------------------------------------------


class Interrupting(Watch):
    """An observer that interrupts once, when epoch `at` is told for the `turn`-th time."""

    def __init__(self, model, at, turn=1):
        super().__init__(model)
        self.at, self.turn = at, turn

    def epoch(self, epoch):
        super().epoch(epoch)
        self.turn -= epoch.number == self.at
        if epoch.number == self.at and self.turn == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("at", [0, 1, 3])
def test_interrupt_keeps_the_best_weights_so_far(at):
    model = model_of(likelihood="laplace")
    watch = Interrupting(model, at)
    ran = run(model, observers=[watch], rate=0.1)
    losses = [epoch.held_out.loss for epoch in watch.epochs]
    best = int(np.argmin(losses))
    assert ran.outcome.reason == "interrupted"
    assert (ran.outcome.best_epoch, ran.outcome.n_epochs) == (best, at)
    assert equal(state_of(model), watch.weights[best])


def test_second_interrupt_within_a_moment_ends_what_called_the_training_too(monkeypatch):
    model = model_of(likelihood="laplace")
    assert run(model, observers=[Interrupting(model, 1)]).outcome.reason == "interrupted"
    with pytest.raises(pytest.fail.Exception, match=r"^the interrupt got out$"):
        run(model, observers=[Interrupting(model, 1)])
    monkeypatch.setattr(interrupts, "AGAIN", 0.0)
    assert run(model, observers=[Interrupting(model, 1)]).outcome.reason == "interrupted"


def test_interrupt_within_an_epoch_keeps_the_best_weights_so_far():
    model = model_of(network="dense(hidden=(8,), dropout=0.3, norm=batch)")
    watch, passes = Watch(model), []

    def interrupt(*_):
        passes.append(model.training)
        if sum(passes) == 12:
            raise KeyboardInterrupt

    hook = model.register_forward_pre_hook(interrupt)
    ran = run(model, observers=[watch], rate=1e-3)
    hook.remove()
    assert (ran.outcome.reason, ran.outcome.n_epochs) == ("interrupted", 3)
    assert equal(state_of(model), watch.weights[ran.outcome.best_epoch])
    layers = [module for module in model.modules() if hasattr(module, "generator")]
    assert [layer.generator for layer in layers] == [None, None]


def interrupted(monkeypatch, n_rows, at, turn=1, **changes):
    """Fit an estimator whose progress bar interrupts."""

    class Bar(Interrupting):
        def __init__(self, title):
            super().__init__(None, at, turn)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.setattr("isthmus.estimators.watching.ProgressBar", Bar)
    with no_interrupt():
        return Autoencoder(**{**BASE, "verbose": 1, **changes}).fit(ROWS[:n_rows])


@pytest.mark.parametrize(
    ("n_rows", "at", "turn", "changes"),
    [
        (2100, 2, 1, {}),
        (2100, 2, 1, {"validation_fraction": 0}),
        (200, 2, 1, {}),
        (200, 2, 3, {}),
        (200, 1, 5, {}),
    ],
    ids=["held-out rows", "none held out", "first fold", "third fold", "on all rows"],
)
def test_interrupted_fit_warns_and_can_be_used(monkeypatch, n_rows, at, turn, changes):
    with pytest.warns(TrainingWarning, match=r"^The fit was interrupted: the weights of epoch "):
        model = interrupted(monkeypatch, n_rows, at, turn, **changes)
    assert model.stopped_by_ == "interrupted"
    assert np.isfinite(model.transform(ROWS)).all()
    assert model.n_iter_ <= at + (n_rows < 1000) * BASE["max_epochs"]


def test_interrupt_says_which_epoch_is_kept(monkeypatch):
    text = "The fit was interrupted: the weights of epoch 2, the best so far, are kept."
    with pytest.warns(TrainingWarning, match=f"^{re.escape(text)}$"):
        model = interrupted(monkeypatch, 2100, 2)
    assert model.n_iter_ == 2


def test_interrupted_fold_is_followed_by_no_further_fold(monkeypatch):
    with pytest.warns(TrainingWarning):
        model = interrupted(monkeypatch, 200, 3, turn=2, max_epochs=50)
    stages = [record["stage"] for record in model.history_]
    assert list(dict.fromkeys(stages)) == ["fold 1 of 4", "fold 2 of 4", "all rows"]
    assert stages.count("fold 2 of 4") == 1 + 3


# A step ----------------------------------------------------------------------------------


def test_step_returns_the_terms_before_it_was_taken():
    model = model_of(**MANY_TERMS).train()
    x = selection_of(X).rows.take(torch.arange(16))
    with torch.no_grad():
        expected: Objective = model(x, x, randomness())
    optimizer = Optimizer.of("lbfgs").build(model.parameters(), 1.0)
    terms = take_step(way_of(model), x, x, optimizer, Draws.begin(Streams(0), "cpu"))
    assert {name: float(term) for name, term in terms.items()} == {
        name: float(term) for name, term in expected.terms.items()
    }


def test_step_follows_the_gradient_of_the_loss():
    model = model_of(**MANY_TERMS).train()
    other = copy.deepcopy(model)
    x = selection_of(X).rows.take(torch.arange(16))
    optimizer = Optimizer.of("sgd").build(model.parameters(), 0.1)
    take_step(way_of(model), x, x, optimizer, Draws.begin(Streams(0), "cpu"))
    other(x, x, randomness()).loss.backward()
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs - 0.1 * theirs.grad)


def test_line_search_sees_the_same_noise_at_every_look():
    """L-BFGS compares losses within a step; with new noise at each it would compare noise."""
    network = "dense(hidden=(8,), dropout=0.5)"
    model = model_of(corruption="masking(fraction=0.5)", likelihood="laplace", network=network)
    looks = []  # what the decoder's dropout left, of each look
    layer = next(layer for layer in model.decoder.modules() if isinstance(layer, Dropout))
    layer.register_forward_hook(lambda *call: looks.append(call[-1] == 0))
    seen = []
    model.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    x, draws = selection_of(X).rows.take(torch.arange(N)), Draws.begin(Streams(0), "cpu")
    optimizer = Optimizer.of("lbfgs").build(model.parameters(), 1.0)
    firsts = []
    with lent(model.train(), draws.dropout):
        for _ in range(2):
            seen.clear()
            looks.clear()
            take_step(way_of(model), x, x, optimizer, draws)
            assert len(seen) > 2
            assert all(torch.equal(each, seen[0]) for each in seen)
            assert all(torch.equal(each, looks[0]) for each in looks)
            firsts.append((seen[0], looks[0]))
    assert not any(map(torch.equal, *firsts))  # each step has noise of its own


# Threads ---------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["limit", "interrupted"])
def test_threads_of_a_small_fit_are_given_back(reason):
    class Watch:
        def epoch(self, epoch):
            assert torch.get_num_threads() == 1
            if reason == "interrupted":
                raise KeyboardInterrupt

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert run(observers=[Watch()]).outcome.reason == reason
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_threads_are_given_back_by_fits_that_overlap():
    """The second fit begins within the first and ends after it."""
    both_in, first_out = threading.Barrier(2), threading.Event()
    left = {}

    def first():
        with threads_for(PLAN, n_products=1):
            both_in.wait(10)
        left["first"] = torch.get_num_threads()
        first_out.set()

    def second():
        with threads_for(PLAN, n_products=1):
            both_in.wait(10)
            first_out.wait(10)
        left["second"] = torch.get_num_threads()

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        in_threads(first, second)
        in_threads(lambda: left.update(later=torch.get_num_threads()))
        assert left == {"first": 2, "second": 2, "later": 2}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def in_threads(*functions):
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# Subnormal numbers -----------------------------------------------------------------------


def test_flush_sets_only_what_vanished_to_zero():
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = Optimizer.of("adam").build([parameter], 0.1)
    parameter.grad = torch.ones(3)
    optimizer.step()
    state = optimizer.state[parameter]
    state["exp_avg"].copy_(torch.tensor([1e-40, -1e-30, 1e-10]))
    flush(optimizer)
    assert state["exp_avg"].tolist() == [0.0, 0.0, pytest.approx(1e-10)]
    assert float(state["step"]) == 1


@pytest.mark.parametrize("name", ["adam", "muon"])
def test_gradient_that_stays_zero_leaves_no_subnormal_average(name):
    """A pixel that is always black: its weights' averages would decay below 1e-38."""
    rows = X.copy()
    rows[:8, 0] = 1.0
    rows[8:, 0] = 0.0
    model = model_of()
    optimizer = Optimizer.of(name).build(model.parameters(), 1e-3)
    first, later = selection_of(rows).at(torch.arange(8)), selection_of(rows).at(torch.arange(8, N))
    draws = Draws.begin(Streams(0), "cpu")
    run_epoch(way_of(model), first, plan_of(batch_size=8), optimizer, draws, 1)
    for epoch in range(1, 1300):
        plan = plan_of(max_epochs=1300, batch_size=N)
        run_epoch(way_of(model), later, plan, optimizer, draws, epoch)
    for member in getattr(optimizer, "members", [optimizer]):
        for state in member.state.values():
            for value in state.values():
                size = torch.as_tensor(value).abs()
                assert not ((size > 0) & (size < torch.finfo(torch.float32).tiny)).any()
