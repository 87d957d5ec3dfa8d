"""The machines that users hold: scikit-learn's contract, likelihoods, saving, bad input."""

import itertools
import re
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import integrate
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import BernoulliRBM as SklearnRBM
from sklearn.pipeline import make_pipeline

from isthmus import BernoulliRBM, GaussianRBM, datasets, load
from isthmus.cli.main import run
from isthmus.errors import ArtefactError, DataError, ParameterError, TrainingWarning
from isthmus.fitting import contrastive

draw = np.random.default_rng(0)
B = (draw.uniform(size=(120, 6)) < 0.4).astype(np.float64)
G = draw.normal(3, 2, size=(120, 3))
SHORT = {"n_components": 4, "n_iter": 3, "batch_size": 40, "random_state": 0, "learning_rate": 0.1}
MODELS = {
    "bernoulli": (BernoulliRBM(**SHORT), B),
    "range": (BernoulliRBM(**SHORT, scaling="range"), G),
    "uncentred": (BernoulliRBM(**SHORT, centred=False), B),
    "gaussian": (GaussianRBM(**SHORT), G),
    "isotropic": (GaussianRBM(**SHORT, scaling="isotropic"), G),
    "linear": (GaussianRBM(**SHORT, hidden="gaussian"), G),
    "rectified": (GaussianRBM(**SHORT, hidden="rectified"), G),
}


def exactly(sentence):
    return f"^{re.escape(sentence)}$"


def states(n):
    return np.array(list(itertools.product((0.0, 1.0), repeat=n)))


def fitted(name):
    model, X = MODELS[name]
    return model.fit(X), X


# Likelihoods --------------------------------------------------------------------------------


def test_exact_log_likelihood_equals_enumeration_of_the_joint():
    model, _ = fitted("bernoulli")
    v, h = states(6), states(4)
    W, b, c = model.components_, model.intercept_visible_, model.intercept_hidden_
    joint = np.exp(v @ W.T @ h.T + (v @ b)[:, None] + h @ c)
    expected = np.log(joint.sum(1) / joint.sum())
    np.testing.assert_allclose(model.log_likelihood(v, "exact"), expected, atol=1e-9)


def test_gaussian_log_likelihood_is_a_density_in_the_users_units():
    rows = G[:, :2] * [1, 30]
    model = GaussianRBM(**SHORT).fit(rows)
    steps = np.linspace(-9, 9, 301) * rows.std(0)[:, None] + rows.mean(0)[:, None]
    grid = np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 2)
    density = np.exp(model.log_likelihood(grid, "exact")).reshape(301, 301)
    mass = integrate.trapezoid(integrate.trapezoid(density, steps[1]), steps[0])
    assert mass == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("method", ["ais", "ais-reverse"])
@pytest.mark.parametrize("name", ["bernoulli", "uncentred", "range", "gaussian"])
def test_annealed_log_likelihood_is_near_the_exact_one_and_repeats(name, method):
    model, X = fitted(name)
    found = model.log_likelihood(X, method, n_chains=200, n_betas=100)
    np.testing.assert_allclose(found, model.log_likelihood(X, "exact"), atol=0.1)
    again = model.log_likelihood(X, method, n_chains=200, n_betas=100)
    np.testing.assert_array_equal(found, again)
    other = model.log_likelihood(X, method, n_chains=200, n_betas=100, random_state=1)
    assert not np.array_equal(found, other)


def test_free_energy_is_the_log_likelihood_up_to_a_constant():
    for name in ("bernoulli", "gaussian"):
        model, X = fitted(name)
        shift = model.log_likelihood(X, "exact") + model.free_energy(X)
        np.testing.assert_allclose(shift, shift[0], atol=1e-9)


def sklearns(model):
    other = SklearnRBM(model.n_components)
    other.components_ = model.components_
    other.intercept_hidden_ = model.intercept_hidden_
    other.intercept_visible_ = model.intercept_visible_
    other.n_features_in_ = model.n_features_in_
    return other


class EachInTurn(np.random.RandomState):
    """Flips feature 0 of row 0, 1 of row 1 and so on, where scikit-learn flips at random."""

    def randint(self, low, high, size):
        return np.arange(size) % high


@pytest.mark.parametrize("name", ["bernoulli", "uncentred"])
def test_score_samples_is_scikit_learns_over_all_flips(name):
    model, X = fitted(name)
    other = sklearns(model)
    other.random_state = EachInTurn()
    for row in X[:10]:
        each = other.score_samples(np.tile(row, (6, 1)))
        np.testing.assert_allclose(model.score_samples(row[None])[0], each.mean(), rtol=1e-9)


def test_score_samples_is_the_sum_of_the_conditionals():
    model, _ = fitted("bernoulli")
    v = states(6)
    log_p = dict(zip(map(tuple, v), model.log_likelihood(v, "exact"), strict=True))
    for row in v[::7]:
        total = 0.0
        for d in range(6):
            flipped = row.copy()
            flipped[d] = 1 - flipped[d]
            total += log_p[tuple(row)] - np.logaddexp(log_p[tuple(row)], log_p[tuple(flipped)])
        assert model.score_samples(row[None])[0] == pytest.approx(total, abs=1e-9)
    assert model.score(v) == pytest.approx(model.score_samples(v).mean())


def test_transform_is_scikit_learns_for_the_same_weights():
    model, X = fitted("bernoulli")
    np.testing.assert_allclose(model.transform(X), sklearns(model).transform(X), rtol=1e-10)


# Learning -----------------------------------------------------------------------------------


def test_digits_are_learned_better_than_by_independent_pixels():
    X = (datasets.digits().images > 0.5).astype(np.float64)
    model = BernoulliRBM(64, random_state=0).fit(X[:1500])
    rate = X[:1500].mean(0).clip(1e-3, 1 - 1e-3)
    independent = (X[1500:] * np.log(rate) + (1 - X[1500:]) * np.log(1 - rate)).sum(1).mean()
    assert model.score(X[1500:]) > independent + 5
    noise = draw.permuted(X[1500:], axis=0)
    assert model.score(X[1500:]) > model.score(noise) + 5
    errors = [record["reconstruction_error"] for record in model.history_]
    assert errors[-1] < 0.6 * errors[0]


@pytest.mark.parametrize("hidden", ["bernoulli", "gaussian", "rectified"])
def test_gaussian_machine_rebuilds_correlated_tables(hidden):
    codes = np.random.default_rng(0).normal(size=(1000, 2))
    X = codes @ np.random.default_rng(1).normal(size=(2, 8)) * 10 + 50
    model = GaussianRBM(32, hidden=hidden, random_state=0).fit(X)
    rebuilt = model.inverse_transform(model.transform(X))
    assert ((X - rebuilt) ** 2).sum() < 0.5 * ((X - X.mean(0)) ** 2).sum()


def test_samples_have_the_distribution_of_the_machine():
    model, _ = fitted("bernoulli")
    drawn = model.sample(20_000, n_steps=30, random_state=0)
    share = (drawn @ 2.0 ** np.arange(6)).astype(int)
    found = np.bincount(share, minlength=64) / 20_000
    v = states(6)
    order = (v @ 2.0 ** np.arange(6)).astype(int)
    expected = np.empty(64)
    expected[order] = np.exp(model.log_likelihood(v, "exact"))
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_samples_come_in_the_users_units_and_repeat():
    model, _ = fitted("gaussian")
    first, again = (model.sample(4000, n_steps=50, random_state=1) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(first.mean(0), G.mean(0), atol=1.0)
    assert first.shape == (4000, 3)
    other = model.sample(4000, n_steps=50, random_state=2)
    assert not np.array_equal(first, other)


def test_gibbs_begins_at_the_rows():
    model, X = fitted("bernoulli")
    np.testing.assert_array_equal(model.gibbs(X, 0), X)
    step = model.gibbs(X, random_state=0)
    assert set(np.unique(step)) <= {0.0, 1.0}
    assert not np.array_equal(step, X)


@pytest.mark.parametrize(
    "change",
    [
        {"n_components": 5}, {"n_iter": 4}, {"batch_size": 30}, {"learning_rate": 0.2},
        {"schedule": "constant"}, {"n_steps": 2}, {"persistent": False}, {"n_chains": 30},
        {"centred": False}, {"offset_rate": 0.1}, {"momentum": 0.1}, {"weight_decay": 0.1},
        {"momentum_epochs": 1}, {"final_momentum": 0.3, "momentum_epochs": 1},
        {"precision": "bfloat16"}, {"random_state": 1}, {"scaling": "range"},
    ],
    ids=str,
)  # fmt: skip
def test_every_parameter_changes_the_result(change):
    X = B * 0.8
    base = {**SHORT, "momentum_epochs": 1} if "final_momentum" in change else SHORT
    one, two = BernoulliRBM(**base).fit(X), BernoulliRBM(**{**base, **change}).fit(X)
    assert not np.array_equal(one.transform(X), two.transform(X))


@pytest.mark.parametrize("change", [{"hidden": "gaussian"}, {"scaling": "none"}], ids=str)
def test_every_parameter_of_the_gaussian_machine_changes_the_result(change):
    one, two = GaussianRBM(**SHORT).fit(G), GaussianRBM(**SHORT, **change).fit(G)
    assert not np.array_equal(one.transform(G), two.transform(G))


def test_same_random_state_is_bitwise_the_same():
    for name in MODELS:
        model, X = fitted(name)
        before = model.components_.copy()
        np.testing.assert_array_equal(model.fit(X).components_, before)


def test_partial_fit_by_passes_is_fit_at_a_constant_rate():
    model = BernoulliRBM(**SHORT, schedule="constant")
    passes = BernoulliRBM(**SHORT)
    for _ in range(3):
        passes.partial_fit(B)
    np.testing.assert_array_equal(passes.transform(B), model.fit(B).transform(B))
    assert passes.n_iter_ == 3


# Scikit-learn -------------------------------------------------------------------------------


def test_names_of_scikit_learn_work():
    ours = BernoulliRBM(
        n_components=5, learning_rate=0.1, batch_size=10, n_iter=2, verbose=0, random_state=0
    ).fit(B)
    assert ours.components_.shape == (5, 6)
    assert ours.intercept_hidden_.shape == (5,)
    assert ours.intercept_visible_.shape == (6,)
    assert ours.n_iter_ == 2
    assert ours.get_feature_names_out().tolist() == [f"bernoullirbm{i}" for i in range(5)]


def test_machine_stands_in_a_pipeline_and_a_grid_search():
    y = (B[:, 0] > 0).astype(int)
    pipeline = make_pipeline(BernoulliRBM(4, n_iter=2, random_state=0), LogisticRegression())
    search = GridSearchCV(pipeline, {"bernoullirbm__n_components": [2, 4]}, cv=2).fit(B, y)
    assert search.best_params_["bernoullirbm__n_components"] in (2, 4)
    frame = pd.DataFrame(G, columns=["a", "b", "c"])
    out = GaussianRBM(2, n_iter=1).set_output(transform="pandas").fit_transform(frame)
    assert list(out.columns) == ["gaussianrbm0", "gaussianrbm1"]


# Saving -------------------------------------------------------------------------------------


def answers(model, X):
    codes = model.transform(X)
    return [codes, model.inverse_transform(codes), model.free_energy(X), model.score_samples(X),
            model.sample(5, 3, random_state=0), model.mean_]  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_loaded_machine_answers_the_same_to_the_bit(name, tmp_path):
    model, X = fitted(name)
    model.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert type(loaded) is type(model)
    for before, after in zip(answers(model, X), answers(loaded, X), strict=True):
        np.testing.assert_array_equal(after, before)
    assert loaded.get_params() == model.get_params()
    for fact in ("n_iter_", "stopped_by_", "history_", "n_features_in_"):
        assert getattr(loaded, fact) == getattr(model, fact)
    again = loaded.fit(X)
    np.testing.assert_array_equal(again.transform(X), model.transform(X))


def test_loaded_machine_goes_on_by_partial_fit(tmp_path):
    model, X = fitted("gaussian")
    model.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    loaded.partial_fit(X)
    assert not np.array_equal(loaded.transform(X), model.transform(X))
    np.testing.assert_array_equal(loaded.mean_, model.mean_)


def test_weights_of_another_width_are_refused(tmp_path, monkeypatch):
    model, _ = fitted("bernoulli")
    monkeypatch.setitem(model.parameters_, "n_components", 7)
    model.save(tmp_path / "model")
    with pytest.raises(ArtefactError, match=r"does not fit together \(.+\): fit and save"):
        load(tmp_path / "model")


# Bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fit", "partial_fit", "transform", "score_samples"])
def test_rows_outside_0_to_1_are_refused(method):
    sentence = (
        "X runs from -1 to 2, and BernoulliRBM needs values from 0 to 1: rescale X (pixels: "
        "divide by 255), or use scaling='range' or GaussianRBM."
    )
    model, _ = fitted("bernoulli")
    with pytest.raises(DataError, match=exactly(sentence)):
        getattr(model, method)(B * 3 - 1)


def test_rows_beyond_the_training_range_are_moved_to_its_edge():
    model, X = fitted("range")
    edge = model.transform(X.max(0)[None])
    np.testing.assert_array_equal(model.transform(X.max(0)[None] + 100), edge)
    constant = np.column_stack([X, np.full(120, 7.0)])
    assert np.isfinite(
        BernoulliRBM(**SHORT, scaling="range").fit(constant).transform(constant)
    ).all()


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"n_components": 0}, "n_components=0 of BernoulliRBM: n_components should be greater "
         "than or equal to 1."),
        ({"learning_rate": 0.0}, "learning_rate=0.0 of BernoulliRBM: learning_rate should be "
         "greater than 0."),
        ({"n_iter": "auot"}, "n_iter='auot' of BernoulliRBM: n_iter should be an integer or "
         "should be 'auto' (did you mean 'auto'?)."),
        ({"momentum": 1.0}, "momentum=1.0 of BernoulliRBM: momentum should be less than 1."),
        ({"scaling": "rang"}, "scaling='rang' of BernoulliRBM: scaling should be 'none' or "
         "'range' (did you mean 'range'?)."),
    ],
    ids=str,
)  # fmt: skip
def test_bad_parameter_is_one_sentence(parameters, sentence):
    with pytest.raises(ParameterError, match=exactly(sentence)):
        BernoulliRBM(**parameters).fit(B)


def test_unknown_kind_of_hidden_units_is_one_sentence():
    with pytest.raises(ParameterError, match=r"^hidden='relu' of GaussianRBM: hidden should be"):
        GaussianRBM(hidden="relu").fit(G)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda m: m.sample(0), "n_samples=0 is no count: write a whole number from 1."),
        (lambda m: m.sample(3, -1), "n_steps=-1 is no count: write a whole number from 0."),
        (lambda m: m.log_likelihood(B, n_betas=0.5),
         "n_betas=0.5 is no count: write a whole number from 1."),
        (lambda m: m.log_likelihood(B, n_chains=0),
         "n_chains=0 is no count: write a whole number from 1."),
        (lambda m: m.inverse_transform(np.zeros((2, 3))),
         "Z has 3 columns, and the code has n_components=4: give it what transform returned."),
    ],
)  # fmt: skip
def test_bad_argument_is_one_sentence(call, sentence):
    model, _ = fitted("bernoulli")
    with pytest.raises((ParameterError, DataError), match=exactly(sentence)):
        call(model)


def test_machine_that_diverges_says_so_and_keeps_finite_weights():
    model = GaussianRBM(3, hidden="gaussian", learning_rate=1e30, n_iter=2, random_state=0)
    sentence = (
        "The training diverged: the weights of epoch 0, the last good one, are kept. Lower "
        "learning_rate."
    )
    with pytest.warns(TrainingWarning, match=exactly(sentence)):
        model.fit(G)
    assert model.stopped_by_ == "diverged"
    assert np.isfinite(model.transform(G)).all()
    with pytest.warns(TrainingWarning, match="diverged"):
        model.partial_fit(G)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.set_params(learning_rate=0.01).partial_fit(G)
    assert model.stopped_by_ == "limit"


def test_global_generator_is_not_touched():
    before = torch.get_rng_state()
    model, X = fitted("bernoulli")
    model.sample(3)
    model.log_likelihood(X, n_betas=3)
    assert torch.equal(torch.get_rng_state(), before)


# Command line -------------------------------------------------------------------------------


def test_command_line_knows_what_a_machine_can_do(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model, X = fitted("gaussian")
    model.save("machine")
    np.save("rows.npy", X)
    assert run(["transform", "rows.npy", "codes.npy", "--model", "machine"]) == 0
    np.testing.assert_array_equal(np.load("codes.npy"), model.transform(X))
    assert run(["info", "machine"]) == 0
    assert "3 (it ran to n_iter)" in capsys.readouterr().out
    sentence = (
        "machine is of GaussianRBM, which only transforms on the command line: give the model of "
        "an autoencoder."
    )
    for command in (["score", "rows.npy"], ["denoise", "rows.npy", "clean.npy"]):
        assert run([*command, "--model", "machine"]) != 0
        assert sentence in capsys.readouterr().err


def test_a_portion_goes_on_from_the_fit_and_its_history():
    machine = BernoulliRBM(3, n_iter=4, random_state=0).fit(B)
    machine.partial_fit(B)
    assert (machine.n_iter_, len(machine.history_)) == (5, 5)
    assert machine.history_[-1]["epoch"] == 5


def test_a_machine_keeps_its_width_until_it_is_fitted_again():
    machine = BernoulliRBM(3, n_iter=1, random_state=0).fit(B).set_params(n_components=2)
    assert machine.transform(B).shape == (len(B), 3)
    sentence = (
        r"^n_components, scaling or the kind of the units are no longer those of the machine that "
    )
    with pytest.raises(ParameterError, match=sentence):
        machine.partial_fit(B)


def test_a_machine_keeps_its_scaling_until_it_is_fitted_again(tmp_path):
    machine = BernoulliRBM(**SHORT, scaling="range").fit(G)
    codes = machine.transform(G)
    machine.set_params(scaling="none")
    np.testing.assert_array_equal(machine.transform(G), codes)
    with pytest.raises(ParameterError, match=r"^n_components, scaling or the kind of the units "):
        machine.partial_fit(G)
    machine.save(tmp_path / "machine")
    np.testing.assert_array_equal(load(tmp_path / "machine").transform(G), codes)


def test_a_portion_that_is_interrupted_never_was(monkeypatch):
    machine, untouched = (BernoulliRBM(**SHORT).partial_fit(B) for _ in range(2))
    error_of = contrastive.reconstruction_error

    def interrupt(*_):
        monkeypatch.setattr(contrastive, "reconstruction_error", error_of)
        raise KeyboardInterrupt

    monkeypatch.setattr(contrastive, "reconstruction_error", interrupt)
    with pytest.raises(KeyboardInterrupt):
        machine.partial_fit(B)
    machine.partial_fit(B)
    untouched.partial_fit(B)
    assert machine.n_iter_ == untouched.n_iter_ == 2
    np.testing.assert_array_equal(machine.transform(B), untouched.transform(B))


def test_a_portion_is_learned_where_the_parameters_say():
    machine = BernoulliRBM(**SHORT).partial_fit(B)
    options = machine._options(len(B))
    assert machine._session.serves(options)
    assert not machine._session.serves(options._replace(device="meta"))


def test_portions_are_of_one_session_however_the_device_is_called():
    """A number in its name, as weights on "cuda" have, makes it no other one."""
    machines = [BernoulliRBM(**SHORT, device=device) for device in ("cpu", "cpu:0")]
    for _ in range(3):
        for machine in machines:
            machine.partial_fit(B)
    np.testing.assert_array_equal(machines[0].transform(B), machines[1].transform(B))


def test_an_odd_row_has_room_in_the_last_batch():
    BernoulliRBM(3, batch_size=2, n_iter=2, random_state=0).fit(B[:5])


def test_portions_follow_the_parameters_of_their_call():
    model = BernoulliRBM(**SHORT).partial_fit(B[:2])
    model.set_params(learning_rate=0.5, batch_size=10, n_chains=7).partial_fit(B)
    assert [record["learning_rate"] for record in model.history_] == [0.1, 0.5]
    assert model._session._contrast.options.batch_size == 10
    assert len(model._session._contrast.chains) == 7
