"""Greedy pretraining: stages that are the whole's own layers, and what becomes of them."""

import numpy as np
import pytest
import torch

from isthmus import Autoencoder, StackedAutoencoder
from isthmus.datasets import digits
from isthmus.errors import ParameterError, TrainingWarning
from isthmus.fitting import pretraining as module
from isthmus.fitting.pretraining import GreedyAutoencoders, GreedyRBMs, Pretraining
from isthmus.parts import Bernoulli

X = digits().images[:300]
QUICK = {"hidden": (20, 10), "max_epochs": 2, "random_state": 0, "validation_fraction": 0}
STARTED = {**QUICK, "optimizer": "sgd", "learning_rate": 1e-12, "max_epochs": 1}  # as it began


def fitted(**options):
    return StackedAutoencoder(4, **{**QUICK, **options}).fit(X)


def stages_of(model):
    return model.model_.stages()


@pytest.mark.parametrize("activation", ["sigmoid", "relu", "tanh"])
@pytest.mark.parametrize("network", ["dense", "dense(tied=True)", "dense(norm=layer)"])
@pytest.mark.parametrize("likelihood", ["bernoulli", "normal"])
def test_stages_one_after_another_are_the_network(activation, network, likelihood):
    model = fitted(activation=activation, network=network, likelihood=likelihood).model_
    x = model.scaling(torch.from_numpy(X[:5]).double())
    seen = x
    stages = model.stages()
    for stage in stages:
        seen = stage.code.mean(stage.encoder(seen), stage.memory)
    torch.testing.assert_close(seen, model.code_of(x))
    for i, stage in reversed(list(enumerate(stages))):
        seen = stage.decoder(seen)
        if i and isinstance(stage.likelihood, Bernoulli):
            seen = torch.sigmoid(seen)
    torch.testing.assert_close(seen, model.decoder(model.code_of(x)))


@pytest.mark.parametrize("pretraining", ["autoencoder(n_epochs=2)", "rbm(n_epochs=2)"])
@pytest.mark.parametrize("likelihood", ["bernoulli", "normal"])
def test_history_names_the_stages_in_order(pretraining, likelihood):
    model = fitted(pretraining=pretraining, likelihood=likelihood)
    names = [f"layer {i} of 3" for i in (1, 2, 3)] + ["all rows"]
    assert list(dict.fromkeys(record["stage"] for record in model.history_)) == names
    assert model.n_iter_ == 2


@pytest.mark.parametrize("n", [100, 2100])
def test_pretraining_sees_the_training_rows_only(monkeypatch, n):
    seen = []

    class Spy:
        def __call__(self, model, training, *rest):
            seen.append(training.n_rows)
            return train(model, training, *rest)

    train = module.train
    monkeypatch.setattr(module, "train", Spy())
    rows = np.random.default_rng(0).uniform(size=(n, 6))
    model = StackedAutoencoder(2, hidden=(4,), max_epochs=1, pretraining="autoencoder(n_epochs=1)")
    model.fit(rows)
    assert set(seen) == ({75, 100} if n == 100 else {1890})


@pytest.mark.parametrize("kind", ["autoencoder", "rbm"])
def test_pretraining_begins_the_whole_nearer_to_the_rows(kind):
    began = {}
    for pretraining in (None, f"{kind}(n_epochs=20, learning_rate=0.05)"):
        options = {**STARTED, "likelihood": "bernoulli", "pretraining": pretraining}
        began[pretraining is None] = fitted(**options).score(X)
    assert began[False] > began[True] + 0.2


def test_each_layer_learns():
    model = fitted(pretraining="autoencoder(n_epochs=8)", likelihood="bernoulli")
    for name in ("layer 1 of 3", "layer 2 of 3", "layer 3 of 3"):
        losses = [r["loss"] for r in model.history_ if r["stage"] == name and "loss" in r]
        assert losses[-1] < losses[0]


def test_each_layer_is_trained_as_the_autoencoder_that_it_is(monkeypatch):
    """The first layer by itself is a shallow autoencoder with the same start and streams."""
    caught = []
    train = module.train

    def catch(model, training, held, plan, streams, observers):
        before = {name: value.clone() for name, value in model.state_dict().items()}
        outcome = train(model, training, held, plan, streams, observers)
        caught.append((before, model.state_dict(), model.parts, plan))
        return outcome

    monkeypatch.setattr(module, "train", catch)
    noise = ("masking(fraction=0.1)", "masking(fraction=0.2)", "clean")
    penalty = "contraction(weight=0.01)"
    pretraining = GreedyAutoencoders(n_epochs=3, learning_rate=0.01, penalties=penalty)
    fitted(pretraining=pretraining, corruption=noise, likelihood="bernoulli")
    assert [str(parts.corruption) for *_, parts, _ in caught] == list(noise)
    assert [str(parts.code) for *_, parts, _ in caught] == ["sigmoid", "sigmoid", "plain"]
    assert all(str(parts.likelihood) == "bernoulli" for _, _, parts, _ in caught[:3])
    for before, after, parts, plan in caught:
        assert (plan.rate, plan.max_epochs, plan.stop_after, plan.patience) == (0.01, 3, 3, None)
        assert [str(each) for each in parts.penalties] == [penalty]
        moved = [not torch.equal(before[name], after[name]) for name in before]
        assert sum(moved) == 4  # both matrices and both biases; the scaling stays


@pytest.mark.parametrize("likelihood", ["bernoulli", "normal"])
@pytest.mark.parametrize("scaling", ["isotropic", "standard", "none"])
def test_unrolled_machines_give_what_the_machines_gave(monkeypatch, likelihood, scaling):
    machines = []
    train_rbm = module.train_rbm

    def catch(rbm, rows, *rest):
        machines.append(rbm)
        return train_rbm(rbm, rows, *rest)

    monkeypatch.setattr(module, "train_rbm", catch)
    options = {"likelihood": likelihood, "scaling": scaling}
    model = fitted(**{**STARTED, **options}, pretraining="rbm(n_epochs=2)")
    kinds = [(rbm.visible.name, rbm.hidden.name) for rbm in machines]
    first = "bernoulli" if likelihood == "bernoulli" else "gaussian"
    assert kinds == [(first, "bernoulli"), ("bernoulli", "bernoulli"), ("bernoulli", "gaussian")]
    scaled = model.model_.scaling(torch.from_numpy(X).double()).float()
    seen = up = torch.from_numpy(X).float() if likelihood == "bernoulli" else scaled
    for rbm in machines:
        up = rbm.mean_hidden(up)
    codes = model.model_.code_of(scaled.double()).float()
    torch.testing.assert_close(codes, up, atol=1e-4, rtol=1e-4)
    for rbm in reversed(machines):
        up = rbm.mean_visible(up)
    ours = model.model_.parts.likelihood.mean(model.model_.decoder(codes.double())).float()
    torch.testing.assert_close(ours, up, atol=1e-4, rtol=1e-4)
    assert up.shape == seen.shape


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("weight_l2", [["weight_l2"]] * 3),
        (("weight_l1", "weight_l2"), [["weight_l1", "weight_l2"]] * 3),
        (
            (("activity_kl", "weight_l2"), ("weight_l1",)),
            [["activity_kl", "weight_l2"], ["weight_l1"], []],
        ),
    ],
)
def test_penalties_are_every_layers_or_each_its_own(monkeypatch, given, expected):
    caught = []
    train = module.train

    def catch(model, *rest):
        caught.append([str(penalty) for penalty in model.parts.penalties])
        return train(model, *rest)

    monkeypatch.setattr(module, "train", catch)
    fitted(pretraining=GreedyAutoencoders(n_epochs=1, penalties=given))
    assert caught == expected


@pytest.mark.parametrize("n", [100, 300])
@pytest.mark.parametrize("fraction", [0, 0.1])
def test_no_epochs_leave_the_start_as_it_is(n, fraction):
    options = {"max_epochs": 0, "validation_fraction": fraction, "random_state": 0}
    pca = Autoencoder(3, **options).fit(X[:n])
    assert (pca.n_iter_, pca.stopped_by_) == (0, "limit")
    assert pca.versus_pca_.ratio == pytest.approx(1, abs=1e-6)
    stack = StackedAutoencoder(3, hidden=(8,), pretraining="rbm(n_epochs=2)", **options)
    stages = {record["stage"] for record in stack.fit(X[:n]).history_}
    assert {"layer 1 of 2", "layer 2 of 2"} < stages
    assert stack.n_iter_ == 0


def test_no_pretraining_is_bitwise_none_at_all():
    weights = []
    for pretraining in (None, "none"):
        model = Autoencoder(3, pretraining=pretraining, hidden=(5,), max_epochs=2, random_state=0)
        weights.append(model.fit(X).model_.state_dict())
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


BASE = {"n_epochs": 2, "learning_rate": 0.05}
CHANGED = {
    GreedyAutoencoders: {
        "n_epochs": 3,
        "learning_rate": 0.1,
        "corruption": "masking",
        "penalties": "weight_l2(weight=0.1)",
    },
    GreedyRBMs: {
        "n_epochs": 3,
        "learning_rate": 0.5,
        "linear_rate": 0.1,
        "n_steps": 2,
        "weight_decay": 0.1,
        "batch_size": 30,
        "centred": False,
    },
}


@pytest.mark.parametrize(
    ("kind", "field"), [(kind, field) for kind, fields in CHANGED.items() for field in fields]
)
def test_every_field_changes_what_comes_of_it(kind, field):
    plain, again, changed = (
        fitted(**STARTED, pretraining=kind(**BASE | changes), likelihood="bernoulli")
        for changes in ({}, {}, {field: CHANGED[kind][field]})
    )
    assert np.array_equal(plain.transform(X), again.transform(X))
    assert not np.allclose(plain.transform(X), changed.transform(X))


def test_every_pretraining_and_every_field_of_it_is_tested_here():
    assert {kind.name for kind in CHANGED} | {"none"} == set(Pretraining.kinds)
    for kind, fields in CHANGED.items():
        assert set(fields) == set(kind.__dataclass_fields__)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"pretraining": "rbm", "activation": "relu"},
            "pretraining='rbm' needs binary or linear units: write activation='sigmoid', a plain "
            "or sigmoid code, likelihood='bernoulli' or 'normal', "
            "untied weights, and neither dropout nor norm.",
        ),
        (
            {"pretraining": "rbm", "network": "dense(tied=True)"},
            "pretraining='rbm' needs binary or linear units: write activation='sigmoid', a plain "
            "or sigmoid code, likelihood='bernoulli' or 'normal', untied weights, and neither "
            "dropout nor norm.",
        ),
        (
            {"pretraining": "rbm", "corruption": "masking"},
            "corruption='masking' needs pretraining='autoencoder', and it is 'rbm': write that, "
            "or corruption='clean'.",
        ),
        (
            {"pretraining": None, "corruption": ("masking", "clean")},
            "corruption=('masking', 'clean') needs pretraining='autoencoder', and it is 'none': "
            "write that, or corruption='clean'.",
        ),
        (
            {"pretraining": "rmb"},
            "pretraining='rmb' is unknown; did you mean 'rbm'? (known: none, autoencoder, rbm).",
        ),
        (
            {"pretraining": "autoencoder(penalties='activity_kl')"},
            "penalty 'activity_kl' needs a code from 0 to 1, and code 'plain' is not: write "
            "code='sigmoid'.",
        ),
    ],
)
def test_pretraining_that_cannot_be_is_refused(options, message):
    with pytest.raises(ParameterError) as error:
        fitted(**options)
    assert str(error.value) == message


def test_linear_path_gives_way_to_a_pretraining():
    model = Autoencoder(
        3, pretraining="autoencoder(n_epochs=1)", hidden=(5,), max_epochs=1, random_state=0
    ).fit(X)
    assert not model.model_.parts.starts_as_pca
    assert model.history_[0]["stage"] == "layer 1 of 2"


class Pressing:
    """An observer at whose layer the user presses Ctrl-C, once."""

    def __init__(self, stage):
        self.stage = stage

    def epoch(self, epoch):
        if epoch.stage == self.stage:
            self.stage = None
            raise KeyboardInterrupt


@pytest.mark.parametrize(("kind", "likelihood"), [("autoencoder", "normal"), ("rbm", "bernoulli")])
@pytest.mark.parametrize("fraction", [0, 0.1])
def test_interrupted_layer_ends_those_that_follow_and_the_training(kind, likelihood, fraction):
    rows = np.repeat(X, 8, axis=0) + 1e-3 * np.arange(8 * len(X))[:, None] / (8 * len(X))
    model = StackedAutoencoder(
        4,
        **{**QUICK, "validation_fraction": fraction, "activation": "sigmoid"},
        pretraining=kind,
        likelihood=likelihood,
    )
    with pytest.warns(TrainingWarning, match="^The fit was interrupted: the weights of epoch 0"):
        model.fit(rows.clip(0, 1), observers=[Pressing("layer 2 of 3")])
    assert model.stopped_by_ == "interrupted"
    last = model.history_[-1]
    stages = dict.fromkeys(record["stage"] for record in model.history_)
    assert list(stages)[:2] == ["layer 1 of 3", "layer 2 of 3"]
    assert len(stages) == 3
    assert (last["epoch"], "layer" in last["stage"]) == (0, False)
