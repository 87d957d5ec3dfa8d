"""What users hold: each method equals what can be computed by hand, and scikit-learn's contract."""

import copy
import pickle
import re

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from isthmus import (
    Autoencoder,
    DenoisingAutoencoder,
    StackedAutoencoder,
    VariationalAutoencoder,
    datasets,
    load,
)
from isthmus.errors import ParameterError
from isthmus.fitting import steps
from isthmus.fitting.model import Model
from isthmus.fitting.optimizers import Adam, Optimizer
from isthmus.fitting.schedules import Cosine
from isthmus.parts import Dense, GaussianNoise, Laplace, Masking, Normal, Sigmoid, WeightL2

SCALINGS = ["isotropic", "standard", "none"]
# Never the PCA itself: the network's own share has to be in what is tested.
MOVED = {"validation_fraction": 0, "random_state": 0}


def curve(n, seed=0):
    """Return rows near a curve, each feature in units of its own."""
    draw = np.random.default_rng(seed)
    t = draw.uniform(-2, 2, n)
    rows = np.column_stack([np.sin(2 * t), np.cos(2 * t), t, t * t, np.tanh(t)])
    return (rows + 0.05 * draw.normal(size=rows.shape)) * [1, 3, 0.1, 10, 2] + [5, 0, -1, 20, 3]


X, FRESH = curve(120), curve(50, seed=1)


def model(n_components=2, **parameters):
    return Autoencoder(n_components, **{"hidden": (8,), "max_epochs": 3, **MOVED, **parameters})


@pytest.fixture(scope="module", params=SCALINGS)
def fitted(request):
    return model(scaling=request.param).fit(X)


def weights(estimator):
    return estimator.model_.state_dict()


def same(one, other):
    """Return whether two fitted models are the same to the bit."""
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# The methods, by hand ---------------------------------------------------------------------


def test_score_is_the_explained_share_of_the_variance(fitted):
    lost = np.square(FRESH - fitted.reconstruct(FRESH)).sum()
    total = np.square(FRESH - X.mean(axis=0)).sum()
    assert fitted.score(FRESH) == pytest.approx(1 - lost / total, rel=1e-12)


def test_score_of_rows_that_do_not_vary_is_one_where_they_are_rebuilt():
    rows = np.full((10, 3), 2.5)
    estimator = model(1, hidden=()).fit(rows)
    assert estimator.score(rows) == float(np.array_equal(estimator.reconstruct(rows), rows))


def test_reconstruction_error_is_the_squared_distance(fitted):
    by_hand = np.square(FRESH - fitted.reconstruct(FRESH))
    np.testing.assert_allclose(fitted.reconstruction_error(FRESH), by_hand.sum(1), rtol=1e-12)
    each = fitted.reconstruction_error(FRESH, per_feature=True)
    np.testing.assert_allclose(each, by_hand, rtol=1e-12)
    np.testing.assert_allclose(each.sum(1), fitted.reconstruction_error(FRESH), rtol=1e-12)


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize(
    ("likelihood", "density", "width"),
    [(Normal(std=0.5), stats.norm, 0.5), (Laplace(width=2.0), stats.laplace, 2.0)],
    ids=["normal", "laplace"],
)
def test_score_samples_is_the_log_density_in_the_users_units(scaling, likelihood, density, width):
    estimator = model(scaling=scaling, likelihood=likelihood).fit(X)
    scale = {
        "isotropic": np.sqrt(X.var(axis=0).mean()),
        "standard": X.std(axis=0),
        "none": 1.0,
    }[scaling]
    each = density.logpdf(FRESH, loc=estimator.reconstruct(FRESH), scale=width * scale)
    np.testing.assert_allclose(estimator.score_samples(FRESH), each.sum(axis=1), rtol=1e-9)


def test_score_samples_of_bernoulli_is_the_log_mass_of_the_bits():
    bits = (np.median(X, axis=0) < X).astype(float)
    estimator = model(likelihood="bernoulli").fit(bits)
    by_hand = stats.bernoulli.logpmf(bits, estimator.reconstruct(bits)).sum(axis=1)
    np.testing.assert_allclose(estimator.score_samples(bits), by_hand, rtol=1e-9)


@pytest.mark.parametrize("unit", [1e-3, 60.0])
@pytest.mark.parametrize("scaling", ["isotropic", "standard"])
def test_score_samples_shifts_by_the_volume_when_the_unit_changes(unit, scaling):
    here, there = (model(scaling=scaling).fit(X * u) for u in (1.0, unit))
    shift = there.score_samples(FRESH * unit) - here.score_samples(FRESH)
    np.testing.assert_allclose(shift, -X.shape[1] * np.log(unit), rtol=1e-3)


def test_mean_is_that_of_the_training_rows(fitted):
    np.testing.assert_allclose(fitted.mean_, X.mean(axis=0), rtol=1e-12)


def test_codes_decoded_are_the_reconstruction(fitted):
    there_and_back = fitted.inverse_transform(fitted.transform(FRESH))
    np.testing.assert_array_equal(there_and_back, fitted.reconstruct(FRESH))


def test_linear_autoencoder_that_stays_at_its_start_is_pca():
    estimator = Autoencoder(2, hidden=(8,), max_epochs=1, learning_rate=1e-12, random_state=0)
    estimator.fit(X)
    oracle = PCA(2).fit(X)
    codes, expected = estimator.transform(FRESH), oracle.transform(FRESH)
    scale = np.sqrt(X.var(axis=0).mean())  # isotropic: codes are in the network's units
    signs = np.sign((codes * expected).sum(axis=0))
    np.testing.assert_allclose(codes * signs * scale, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "call", ["transform", "reconstruct", "reconstruction_error", "score_samples"]
)
@pytest.mark.parametrize("norm", ["", ", norm=batch, dropout=0.2"])
def test_answer_of_a_row_does_not_depend_on_the_others(dtype, call, norm):
    estimator = model(hidden=None, network=f"dense(hidden=(8,){norm})").fit(X)
    rows, ask = FRESH.astype(dtype), getattr(estimator, call)
    together = ask(rows)
    alone = np.concatenate([ask(rows[i : i + 1]) for i in range(len(rows))])
    np.testing.assert_array_equal(ask(rows), together)
    if together.dtype == np.float32:  # all the digits that the answer has
        np.testing.assert_array_equal(alone, together)
    np.testing.assert_allclose(alone, together, rtol=1e-9)


def test_chunks_do_not_change_the_answer(fitted, monkeypatch):
    together = fitted.transform(FRESH)
    monkeypatch.setattr("isthmus.estimators.answers.WIDEST", 2**26 // 8 // 7)  # seven rows a chunk
    np.testing.assert_allclose(fitted.transform(FRESH), together, rtol=1e-9)


def test_denoise_is_reconstruct():
    estimator = DenoisingAutoencoder(2, hidden=(8,), max_epochs=2, random_state=0).fit(X)
    np.testing.assert_array_equal(estimator.denoise(FRESH), estimator.reconstruct(FRESH))
    assert np.square(estimator.denoise(FRESH) - FRESH).mean() > 0


def test_denoising_with_pairs_beats_the_noisy_rows():
    draw = np.random.default_rng(3)
    clean = draw.normal(size=(300, 2)) @ draw.normal(size=(2, 10))
    noisy = clean + draw.normal(0.5, 0.5, size=clean.shape)  # with a bias, which pairs show
    estimator = DenoisingAutoencoder(
        2, corruption="clean", hidden=(8,), max_epochs=5, random_state=0
    )
    estimator.fit(noisy[:200], target=clean[:200])
    left = np.square(estimator.denoise(noisy[200:]) - clean[200:]).mean()
    assert left < 0.5 * np.square(noisy[200:] - clean[200:]).mean()


def test_target_is_what_is_learned():
    estimator = model().fit(X, target=np.tile(X.mean(axis=0), (len(X), 1)) + 1)
    np.testing.assert_allclose(
        estimator.reconstruct(X), np.tile(X.mean(axis=0) + 1, (len(X), 1)), atol=0.5
    )


def test_validation_rows_are_not_trained_on():
    one, other = (model() for _ in range(2))
    one.fit(X, validation=FRESH)
    other.fit(X, validation=FRESH)
    assert same(one, other)
    assert one.versus_pca_.n_rows == len(FRESH)
    assert one.versus_pca_.rows == "held out"
    oracle = PCA(2).fit(X)
    lost = np.square(FRESH - oracle.inverse_transform(oracle.transform(FRESH))).sum(axis=1).mean()
    assert one.versus_pca_.pca_error == pytest.approx(lost, rel=1e-4)


def test_pairs_to_stop_by_are_judged_by_their_clean_rows():
    noisy, clean = FRESH + np.random.default_rng(4).normal(0, 1, FRESH.shape), FRESH
    estimator = model(scaling="none").fit(X, validation=(noisy, clean))
    axes = PCA(2).fit(X)
    rebuilt = axes.inverse_transform(axes.transform(noisy))
    lost = np.square(clean - rebuilt).sum(axis=1).mean()
    assert estimator.versus_pca_.pca_error == pytest.approx(lost, rel=1e-4)


# scikit-learn -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Autoencoder, DenoisingAutoencoder])
def test_fit_returns_self_and_leaves_the_parameters(kind):
    estimator = kind(n_components=2, hidden=(8,), max_epochs=2, random_state=0)
    before = dict(estimator.get_params())
    assert estimator.fit(X) is estimator
    assert estimator.partial_fit(X) is estimator
    assert estimator.get_params() == before
    assert all(estimator.get_params()[name] is value for name, value in before.items())


def test_fit_transform_is_fit_then_transform():
    np.testing.assert_array_equal(model().fit_transform(X), model().fit(X).transform(X))


def test_set_output_names_the_columns():
    table = pd.DataFrame(X, columns=list("abcde"), index=np.arange(len(X)) + 1000)
    codes = model().set_output(transform="pandas").fit_transform(table)
    assert list(codes.columns) == ["autoencoder0", "autoencoder1"]
    assert list(codes.index) == list(table.index)
    np.testing.assert_array_equal(codes.to_numpy(), model().fit(table).transform(table))


def test_feature_names_out_are_the_classs_name_and_a_number():
    estimator = DenoisingAutoencoder(3, hidden=(8,), max_epochs=1, random_state=0).fit(X)
    names = [f"denoisingautoencoder{i}" for i in range(3)]
    assert list(estimator.get_feature_names_out()) == names


def test_pipeline_and_grid_search_choose_the_width():
    draw = np.random.default_rng(5)
    labels = draw.integers(0, 2, 120)
    rows = draw.normal(size=(120, 5)) * [10, 5, 1, 1, 1]
    rows[:, 1] += 20 * labels  # the second direction tells
    rows[:, 0] *= 3
    encoder = Autoencoder(hidden=(), max_epochs=2, random_state=0)
    pipeline = make_pipeline(encoder, LogisticRegression())
    search = GridSearchCV(pipeline, {"autoencoder__n_components": [1, 2]}, cv=2).fit(rows, labels)
    assert search.best_params_ == {"autoencoder__n_components": 2}
    assert search.best_score_ > 0.8
    assert search.best_estimator_[0].transform(rows).shape == (120, 2)


def test_grid_search_without_labels_scores_by_explained_variance():
    search = GridSearchCV(model(hidden=()), {"n_components": [1, 3]}, cv=2).fit(X)
    assert search.best_params_ == {"n_components": 3}
    np.testing.assert_array_less(search.cv_results_["mean_test_score"], 1)


SHARES = {
    "plain": Autoencoder(0.99, max_epochs=2, random_state=0),
    "denoising": DenoisingAutoencoder(0.99, corruption="masking", max_epochs=2, random_state=0),
    "variational": VariationalAutoencoder(0.99, max_epochs=2, random_state=0),
    "stacked": StackedAutoencoder(0.99, hidden=(9,), max_epochs=2, random_state=0),
}


@pytest.mark.parametrize("name", SHARES)
def test_share_of_the_variance_is_the_width_of_pca(name, tmp_path):
    model = clone(SHARES[name]).fit(X)
    width = PCA(0.99).fit(X).n_components_
    assert 1 < width < X.shape[1]
    assert model.n_components_ == model.transform(X).shape[1] == width
    assert model.n_components == 0.99
    model.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert (loaded.n_components, loaded.n_components_) == (0.99, width)
    np.testing.assert_array_equal(loaded.transform(X), model.transform(X))
    assert model.fit(X[:, :2]).n_components_ <= 2  # it is asked for anew


def test_share_of_the_variance_of_a_session_is_that_of_its_first_portion():
    model = Autoencoder(0.99, random_state=0).partial_fit(X[:50])
    width = PCA(0.99).fit(X[:50]).n_components_
    assert model.partial_fit(X).n_components_ == model.transform(X).shape[1] == width


def test_network_with_skips_refuses_a_share_of_the_variance():
    model = DenoisingAutoencoder(
        0.5, network="conv(channels=(4,), skip=True)", corruption="masking"
    )
    sentence = (
        "n_components=0.5 is a share of PCA's variance, and network 'conv(channels=(4,), "
        "skip=True)' sends its input around the code: write a whole number."
    )
    with pytest.raises(ParameterError, match=f"^{re.escape(sentence)}$"):
        model.fit(np.zeros((5, 8, 8)))


def test_clone_is_unfitted_and_fits_the_same():
    estimator = model(corruption=Masking(fraction=0.3), penalties=("weight_l2",)).fit(X)
    cloned = clone(estimator)
    assert not hasattr(cloned, "model_")
    assert cloned.get_params() == estimator.get_params()
    assert same(cloned.fit(X), estimator)


def test_pickle_gives_the_same_answers(fitted):
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.transform(FRESH), fitted.transform(FRESH))
    np.testing.assert_array_equal(again.score_samples(FRESH), fitted.score_samples(FRESH))
    assert again.history_ == fitted.history_


@pytest.mark.parametrize("optimizer", Optimizer.kinds)
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_copy_of_a_session_goes_on_the_same(optimizer, copied):
    estimator = model(optimizer=optimizer).partial_fit(X)
    again = copied(estimator)
    assert same(again.partial_fit(X), estimator.partial_fit(X))
    assert not same(again, model(optimizer=optimizer).partial_fit(X))


@pytest.mark.parametrize(
    "changes", [{"activation": "tanh"}, {"hidden": (3,)}, {"n_components": 3}, {"scaling": "none"}]
)
def test_parameters_set_after_the_fit_change_no_answer(changes):
    estimator, untouched = (model().fit(X) for _ in range(2))
    estimator.set_params(**changes)
    codes = untouched.transform(FRESH)
    np.testing.assert_array_equal(estimator.transform(FRESH), codes)
    np.testing.assert_array_equal(
        estimator.inverse_transform(codes), untouched.inverse_transform(codes)
    )
    assert list(estimator.get_feature_names_out()) == list(untouched.get_feature_names_out())
    assert estimator.diagnose(X * [1, 1, 1, 1, 99]) == untouched.diagnose(X * [1, 1, 1, 1, 99])


def test_random_state_decides_the_fit():
    one, two, other = (model(random_state=seed).fit(X) for seed in (0, 0, 1))
    assert same(one, two)
    assert not same(one, other)


def test_global_generators_are_not_touched():
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    model(random_state=None, corruption="gaussian").fit(X).transform(X)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


# Portions ---------------------------------------------------------------------------------


def test_partial_fit_improves_pass_by_pass():
    estimator = model(learning_rate=0.01)
    losses = []
    for _ in range(12):
        estimator.partial_fit(X)
        losses.append(estimator.reconstruction_error(X).mean())
    assert losses[-1] < 0.8 * losses[0]
    assert estimator.n_iter_ == 12
    assert estimator.versus_pca_ is None


def test_partial_fit_goes_on_from_fit():
    estimator = model().fit(X)
    before, mean = estimator.reconstruction_error(X).mean(), estimator.mean_.copy()
    for portion in (X[:60], X[60:]) * 3:
        estimator.partial_fit(portion)
    fresh = model()
    for portion in (X[:60], X[60:]) * 3:
        fresh.partial_fit(portion)
    assert estimator.reconstruction_error(X).mean() < before
    assert not same(estimator, fresh)
    np.testing.assert_array_equal(estimator.mean_, mean)


@pytest.mark.parametrize("rows_at_once", [1, 10, 100])
def test_new_rows_do_not_undo_a_fit(rows_at_once, tmp_path):
    rows = np.random.default_rng(0).permutation(datasets.digits().images)[:700]
    fitted = Autoencoder(8, hidden=(64,), max_epochs=30, random_state=0).fit(rows[:400])
    fitted.save(tmp_path / "model")
    for estimator in (fitted, load(tmp_path / "model")):
        before = estimator.reconstruction_error(rows[500:]).mean()
        for start in range(400, 410 if rows_at_once < 100 else 500, rows_at_once):
            estimator.partial_fit(rows[start : start + rows_at_once])
        assert estimator.reconstruction_error(rows[500:]).mean() < 1.01 * before


def test_partial_fit_after_fit_rises_to_a_tenth_of_the_rate_and_continues_the_history(tmp_path):
    estimator = model().fit(X)
    epochs, history = estimator.n_iter_, list(estimator.history_)
    for _ in range(40):  # of 4 steps
        estimator.partial_fit(X)
    assert estimator.history_[: len(history)] == history
    rates = [record["learning_rate"] for record in estimator.history_[len(history) :]]
    rise = np.minimum((4 * np.arange(40) + 2) / 100, 1)
    np.testing.assert_allclose(rates, 0.1 * Adam.rate * rise, rtol=1e-12)
    assert estimator.n_iter_ == estimator.history_[-1]["epoch"] == epochs + 40
    assert estimator.versus_pca_ is None
    estimator.save(tmp_path / "model")
    again = load(tmp_path / "model").partial_fit(X)
    assert again.history_[-1]["learning_rate"] == pytest.approx(0.1 * Adam.rate * 0.02)


def test_partial_fit_keeps_the_scaling_of_the_first_portion():
    estimator = model(scaling="standard").partial_fit(X[:60])
    offset = weights(estimator)["scaling.offset"].clone()
    estimator.partial_fit(X[60:] + 100)
    assert torch.equal(weights(estimator)["scaling.offset"], offset)
    np.testing.assert_allclose(offset.numpy(), X[:60].mean(axis=0), rtol=1e-12)


def test_partial_fit_takes_size_and_rate_from_each_portion(monkeypatch):
    seen = []
    take_step = steps.take_step

    def noting(model, x, target, optimizer, *args, **kwargs):
        seen.append((len(x), optimizer.param_groups[0]["lr"]))
        return take_step(model, x, target, optimizer, *args, **kwargs)

    monkeypatch.setattr(steps, "take_step", noting)
    estimator = model().partial_fit(X[:4])
    assert seen == [(4, Adam.rate)]
    seen.clear()
    estimator.set_params(learning_rate=0.125).partial_fit(X)
    assert seen == [(30, 0.125)] * 4
    seen.clear()
    estimator.set_params(batch_size=60).partial_fit(X)
    assert seen == [(60, 0.125)] * 2
    assert [record["learning_rate"] for record in estimator.history_] == [Adam.rate, 0.125, 0.125]


def test_partial_fit_goes_on_with_another_optimizer():
    estimator = model().partial_fit(X).partial_fit(X)
    before = estimator.reconstruction_error(X).mean()
    estimator.set_params(optimizer="lbfgs").partial_fit(X)
    assert estimator.reconstruction_error(X).mean() < before
    assert len(estimator.history_) == 3


def test_partial_fit_moves_the_model_to_the_device(monkeypatch):
    moved = []
    to = Model.to
    monkeypatch.setattr(Model, "to", lambda model, *args: moved.append(args) or to(model, *args))
    estimator = model().fit(X)
    moved.clear()
    estimator.partial_fit(X)
    assert moved[0] == ("cpu", torch.float32)


def test_fit_forgets_what_was_learned_before():
    again = model().partial_fit(X).fit(curve(80, seed=9)).fit(X)
    assert same(again, model().fit(X))


def interrupt_after(n_steps, monkeypatch):
    """Press Ctrl-C once so many steps are taken; steps after that are taken as ever."""
    taken, take_step = [], steps.take_step

    def interrupting(*args, **kwargs):
        taken.append(take_step(*args, **kwargs))
        if len(taken) == n_steps:
            raise KeyboardInterrupt
        return taken[-1]

    monkeypatch.setattr(steps, "take_step", interrupting)


@pytest.mark.parametrize("begin", ["fit", "partial_fit"])
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_partial_fit_that_is_interrupted_never_was(begin, optimizer, monkeypatch):
    parameters = {"optimizer": optimizer, "network": "dense(dropout=0.2)", "batch_size": 30}
    estimator, untouched = (getattr(model(**parameters), begin)(X) for _ in range(2))
    interrupt_after(2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        estimator.partial_fit(X)
    assert same(estimator, untouched)
    np.testing.assert_array_equal(estimator.transform(FRESH), untouched.transform(FRESH))
    assert len(estimator.history_) == len(untouched.history_)
    assert same(estimator.partial_fit(X), untouched.partial_fit(X))


def test_partial_fit_that_is_interrupted_after_its_pass_never_was(monkeypatch):
    estimator, untouched = (model().fit(X) for _ in range(2))
    keep = Autoencoder._keep_codes

    def interrupt(*_):
        monkeypatch.setattr(Autoencoder, "_keep_codes", keep)
        raise KeyboardInterrupt

    estimator.partial_fit(X)
    untouched.partial_fit(X)
    monkeypatch.setattr(Autoencoder, "_keep_codes", interrupt)
    with pytest.raises(KeyboardInterrupt):
        estimator.partial_fit(X)
    assert same(estimator.partial_fit(X), untouched.partial_fit(X))
    assert estimator.n_iter_ == untouched.n_iter_


@pytest.mark.parametrize(("begin", "begun"), [("fit", True), ("partial_fit", False)])
def test_what_rises_in_a_fit_has_risen_in_the_portions_that_follow_it(begin, begun, monkeypatch):
    estimator = getattr(model(max_epochs=20), begin)(X)
    times, take_step = [], steps.take_step

    def noting(*args, at, **kwargs):
        times.append(at)
        return take_step(*args, at=at, **kwargs)

    monkeypatch.setattr(steps, "take_step", noting)
    estimator.partial_fit(X)
    assert (min(times) >= 1) == (max(times) >= 1) == begun


def test_averages_that_vanish_are_flushed_in_portions_after_a_long_fit(monkeypatch):
    estimator = model(max_epochs=4000, patience=1, batch_size=120).fit(X)
    flushed, flush = [], steps.flush
    monkeypatch.setattr(steps, "flush", lambda *args: flushed.append(flush(*args)))
    for _ in range(steps.FLUSH_EVERY):
        estimator.partial_fit(X)
    assert len(flushed) == 1


def test_first_partial_fit_that_is_interrupted_leaves_no_model(monkeypatch):
    estimator = model()
    interrupt_after(1, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        estimator.partial_fit(X)
    with pytest.raises(NotFittedError):
        estimator.transform(X)
    assert same(estimator.partial_fit(X[:, :4]), model().partial_fit(X[:, :4]))


@pytest.mark.parametrize(
    "changes",
    [{"hidden": (3,)}, {"n_components": 3}, {"scaling": "standard"}, {"penalties": "weight_l2"}],
    ids=str,
)
def test_partial_fit_refuses_parameters_that_are_no_longer_the_models(changes):
    estimator = model().fit(X).set_params(**changes)
    with pytest.raises(ParameterError, match=r"^The parts, n_components or scaling are no longer"):
        estimator.partial_fit(X)
    assert same(estimator, model().fit(X))
    assert not same(estimator.fit(X), model().fit(X))


# Parameters -------------------------------------------------------------------------------

SPELLINGS = {
    "corruption": ("masking(fraction=0.3)", Masking(fraction=0.3)),
    "gaussian": ("gaussian(0.2)", GaussianNoise(std=0.2)),
    "code": ("sigmoid", Sigmoid()),
    "likelihood": ("laplace(width=2)", Laplace(width=2.0)),
    "optimizer": ("adam(weight_decay=1/1000)", Adam(weight_decay=1e-3)),
    "schedule": ("cosine", Cosine()),
    "penalties": ("weight_l2(weight=0.01)", (WeightL2(weight=0.01),)),
    "network": ("dense(hidden=(5,), tied=true)", Dense(hidden=(5,), tied=True)),
}


@pytest.mark.parametrize("slot", SPELLINGS)
def test_string_and_part_give_the_same_model(slot):
    parameter = "corruption" if slot == "gaussian" else slot
    shorthand = {"hidden": None} if slot == "network" else {}
    string, part = (model(**{parameter: value}, **shorthand).fit(X) for value in SPELLINGS[slot])
    assert same(string, part)
    plain = model().fit(X)
    assert not same(string, plain)


@pytest.mark.parametrize(
    "network", [Dense(hidden=(6, 5), activation="tanh"), "dense(hidden=(6, 5), activation=tanh)"]
)
def test_shorthands_are_the_network_written_out(network):
    short = model(hidden=(6, 5), activation="tanh").fit(X)
    assert same(short, model(hidden=None, network=network).fit(X))
    assert not same(short, model(hidden=(6, 5)).fit(X))


def test_shorthand_leaves_the_rest_of_the_network():
    written = model(hidden=None, network="dense(hidden=(6,), norm=layer)").fit(X)
    assert same(model(hidden=(6,), network="dense(norm=layer)").fit(X), written)
    assert not same(model(hidden=(6,)).fit(X), written)


CHANGES = {
    "n_components": 3,
    "hidden": (9,),
    "activation": "tanh",
    "network": "dense(norm=layer)",
    "likelihood": "laplace",
    "scaling": "standard",
    "optimizer": "sgd",
    "learning_rate": 1e-3,
    "schedule": "constant",
    "batch_size": 10,
    "max_epochs": 4,
    "precision": "bfloat16",
    "random_state": 1,
    "corruption": "gaussian(std=0.5)",
    "code": "sigmoid",
    "penalties": ("weight_l1(weight=0.1)",),
    "pretraining": "autoencoder(n_epochs=1)",
}
# patience: below; sample_shape: of networks that look at it
SILENT = {"device", "verbose", "patience", "validation_fraction", "sample_shape"}


def test_each_parameter_is_tried_below():
    assert CHANGES.keys() | SILENT == Autoencoder().get_params().keys()


@pytest.mark.parametrize("name", CHANGES)
def test_each_parameter_changes_the_model(name):
    assert not same(model().fit(X), model(**{name: CHANGES[name]}).fit(X))


@pytest.mark.filterwarnings("ignore:The loss leapt:isthmus.errors.TrainingWarning")
def test_rows_held_out_and_patience_end_the_training():
    long = {"max_epochs": 30, "learning_rate": 0.5, "schedule": "constant"}
    impatient = model(**long, validation_fraction=0.2, patience=1).fit(X)
    patient = model(**long, validation_fraction=0.2, patience=None).fit(X)
    assert impatient.stopped_by_ == "patience"
    assert patient.stopped_by_ == "limit"
    assert len(impatient.history_) < len(patient.history_)


def test_linear_path_is_refused_where_there_is_no_pca():
    network = "dense(linear_path=pca)"
    assert model(network=network).fit(X).versus_pca_ is not None
    with pytest.raises(ParameterError, match=r"^linear_path='pca' needs a code that PCA has .*\.$"):
        model(network=network, code="sigmoid").fit(X)


def test_fit_that_fails_leaves_the_model_as_it_was():
    X = curve(100)
    fitted = model().fit(X)
    before = fitted.transform(X)
    with pytest.raises(ValueError, match="NaN"):
        fitted.fit(np.full((20, X.shape[1] + 2), np.nan))
    assert np.array_equal(fitted.transform(X), before)


def test_shape_of_samples_may_be_a_list():
    X = np.random.default_rng(0).random((30, 1, 8, 8))
    network = "conv(channels=(4,))"
    given = Autoencoder(2, network=network, sample_shape=[1, 8, 8], max_epochs=1).fit(X)
    assert given.transform(X).shape == (30, 2)
