"""A variational network begins as the probabilistic PCA of its width (Tipping & Bishop 1999)."""

import numpy as np
import pytest
import scipy.optimize
import torch
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.model_selection import train_test_split

from isthmus import Autoencoder, OutlierDetector, VariationalAutoencoder
from isthmus.errors import ParameterError
from isthmus.parts import Dense, Gaussian, Normal
from isthmus.parts.halves import Spectrum
from isthmus.parts.variational import LEAST_VARIANCE, likeliest_noise

K, D = 3, 8
RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, K)) @ RNG.normal(size=(K, D)) + 0.4 * RNG.normal(size=(400, D)) + 2


def spectrum(scale=1.0):
    variances = scale * torch.tensor([9.0, 4.0, 0.8], dtype=torch.float64)
    return Spectrum(variances, rest=scale * 2.0, n_features=D)


def expected_loss(weights, spread, beta, std):
    """Return the mean loss over rows of a spectrum, with the expectation over codes in closed form.

    In the axes of the PCA: the code is Normal(a component, widths), decoded to v code.
    """
    a, log_widths, v = weights
    widths = log_widths.exp()
    missed = (spread.variances * (1 - a @ v).diagonal().square()).sum()
    crossed = (spread.variances * ((a @ v) - (a @ v).diagonal().diag()).square().sum(0)).sum()
    noise = (widths * v.square().sum(1)).sum()
    squares = spread.rest + missed + crossed + noise
    codes = (a.square() * spread.variances[:, None]).sum(0)
    divergence = (codes + widths - 1 - log_widths).sum() / 2
    if std is None:
        return D / 2 * torch.log(squares / D) + beta * divergence
    return squares / (2 * std**2) + beta * divergence


@pytest.mark.parametrize("std", [None, 0.5, 1.0])
@pytest.mark.parametrize("beta", [0.3, 1.0, 2.0])
def test_the_start_is_an_optimum_of_the_loss(beta, std):
    known = spectrum()
    units = Gaussian(beta=beta).begin(known, None if std is None else std**2)
    weights = [units.down.diag(), units.beside.clone(), units.up.diag()]
    for each in weights:
        each.requires_grad_()
    loss = expected_loss(weights, known, beta, std)
    loss.backward()
    for each in weights:
        torch.testing.assert_close(each.grad, torch.zeros_like(each), rtol=0, atol=1e-10)
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        moved = [
            each.detach() + 0.1 * torch.randn(each.shape, generator=generator) for each in weights
        ]
        assert expected_loss(moved, known, beta, std) > loss


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0, 2.0, 8.0, 100.0])
def test_the_noise_is_the_likeliest(beta, scale):
    known = spectrum(scale)

    def loss(log_noise):
        noise, v = np.exp(log_noise), known.variances.numpy()
        share = np.maximum(v / noise, beta)  # of a unit that holds something: above beta
        log = beta * np.log(share / beta) if beta > 0 else 0.0
        held = np.where(share > beta, beta + log, v / noise)
        return D * log_noise + held.sum() + known.rest / noise

    bounds = np.log(scale) - 10, np.log(scale) + 10
    best = scipy.optimize.minimize_scalar(loss, bounds=bounds, options={"xatol": 1e-9})
    assert likeliest_noise(known, beta) == pytest.approx(np.exp(best.x), rel=1e-4)


def test_the_noise_is_the_mean_of_the_variances_that_are_left_out():
    assert likeliest_noise(spectrum(), 1.0) == pytest.approx(2.0 / (D - K))


def test_a_code_as_wide_as_the_rows_leaves_out_its_last_unit():
    variances = torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64)
    units = Gaussian().begin(Spectrum(variances, 0.0, 3), None)
    assert units.noise == pytest.approx(1.0)
    assert units.up.tolist() == pytest.approx([3**0.5, 1.0, 0.0])
    assert units.beside[2] == 0


@pytest.mark.parametrize("noise", [None, 1.0])
def test_rows_that_are_all_alike_begin_with_units_that_hold_nothing(noise):
    units = Gaussian().begin(Spectrum(torch.zeros(2, dtype=torch.float64), 0.0, D), noise)
    assert all(torch.isfinite(each).all() for each in units[:4])
    assert not units.up.any()
    assert not units.down.any()


def test_without_a_divergence_codes_are_those_of_pca_but_for_little_noise():
    known = spectrum()
    units = Gaussian(beta=0.0).begin(known, None)
    torch.testing.assert_close(units.down * units.up, torch.ones(K, dtype=torch.float64))
    torch.testing.assert_close(units.beside.exp(), torch.full_like(units.beside, LEAST_VARIANCE))


# Estimators ------------------------------------------------------------------------------


@pytest.mark.parametrize("scaling", ["isotropic", "none", "standard"])
def test_linear_one_is_probabilistic_pca_row_by_row(scaling):
    model = VariationalAutoencoder(K, hidden=(), scaling=scaling, random_state=0).fit(X)
    unit = X.std(0) if scaling == "standard" else 1.0
    pca = PCA(K, svd_solver="full").fit(X / unit)
    # scikit-learn divides variances by n - 1; a thousandth of a nat
    expected = pca.score_samples(X / unit) - np.log(unit * np.ones(D)).sum()
    np.testing.assert_allclose(model.log_likelihood(X, 20), expected, rtol=2e-3, atol=0.03)
    assert model.log_likelihood(X, 20).mean() == pytest.approx(expected.mean(), rel=1e-4)
    assert (model.n_iter_, model.stopped_by_) == (0, "solved")


def test_its_bound_is_tight():
    model = VariationalAutoencoder(K, hidden=(), random_state=0).fit(X)
    np.testing.assert_allclose(model.log_likelihood(X, 1), model.log_likelihood(X, 50), atol=2e-4)


def test_its_units_are_the_principal_axes_and_their_spread_that_of_the_prior():
    model = VariationalAutoencoder(K, hidden=(), random_state=0).fit(X)
    codes, stds = model.transform(X, return_std=True)
    pca = PCA(K, svd_solver="full").fit(X)
    ratios = codes / pca.transform(X)
    np.testing.assert_allclose(ratios, np.broadcast_to(ratios[:1], codes.shape), rtol=2e-3)
    np.testing.assert_allclose(codes.var(0) + stds[0] ** 2, 1, rtol=1e-5)


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_a_deep_one_begins_as_the_linear_one(beta):
    linear, deep = (
        VariationalAutoencoder(K, hidden=hidden, beta=beta, max_epochs=1, random_state=0).fit(X)
        for hidden in ((), (16,))
    )
    starts = [model.history_[0]["held_out_loss"] for model in (linear, deep)]
    assert starts[0] == pytest.approx(starts[1], rel=1e-5)


def test_it_stays_probabilistic_pca_where_that_is_the_truth():
    training, test = X[:150], X[150:]
    linear, deep = (
        VariationalAutoencoder(K, hidden=hidden, random_state=0).fit(training)
        for hidden in ((), (64, 32))
    )
    assert deep.n_iter_ == 0
    np.testing.assert_allclose(deep.elbo(test, 10), linear.elbo(test, 10), rtol=1e-5)
    assert deep.elbo(test, 50).mean() > PCA(K).fit(training).score(test) - 0.05


def test_it_leaves_it_for_what_is_better():
    angles = RNG.uniform(0, 2 * np.pi, 3000)
    ring = np.column_stack([np.cos(angles), np.sin(angles), 0.5 * np.cos(2 * angles)])
    rows = ring @ RNG.normal(size=(3, D)) + 0.1 * RNG.normal(size=(3000, D))
    training, test = rows[:2400], rows[2400:]
    model = VariationalAutoencoder(2, max_epochs=15, random_state=0).fit(training)
    assert model.n_iter_ > 0
    assert model.elbo(test, 20).mean() > PCA(2).fit(training).score(test) + 1


def test_it_is_no_worse_than_probabilistic_pca_on_a_small_table():
    table = load_wine().data
    training, test = train_test_split(table, random_state=0)
    unit = training.std(0)
    model = VariationalAutoencoder(3, scaling="standard", random_state=0).fit(training)
    theirs = PCA(3).fit(training / unit).score(test / unit) - np.log(unit).sum()
    assert model.elbo(test, 50).mean() > theirs - 0.1


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_rows_of_any_size_are_as_likely_but_for_their_volume(size):
    model = VariationalAutoencoder(K, hidden=(), random_state=0).fit(size * X)
    usual = VariationalAutoencoder(K, hidden=(), random_state=0).fit(X)
    found = model.elbo(size * X) + D * np.log(size)
    np.testing.assert_allclose(found, usual.elbo(X), rtol=1e-3)


def test_beta_rises_where_units_could_be_given_up_before_they_are_learned():
    def warmup(**options):
        return VariationalAutoencoder(2, **options).parts().code.warmup

    assert warmup() == warmup(hidden=()) == warmup(importance_samples=5) == 0
    assert warmup(likelihood="bernoulli") == warmup(prior_components=3) == 0.1
    assert warmup(warmup=0.3) == 0.3
    assert OutlierDetector().parts().code.warmup == 0
    assert OutlierDetector(likelihood="laplace").parts().code.warmup == 0.1


@pytest.mark.parametrize(
    ("code", "begins"),
    [
        (Gaussian(), True),
        (Gaussian(beta=4.0), True),
        (Gaussian(samples=5), True),
        (Gaussian(samples=5, beta=2.0), False),
        (Gaussian(free_bits=0.1), False),
        (Gaussian(capacity=3.0), False),
        (Gaussian(prior_components=2), False),
    ],
    ids=str,
)
def test_codes_begin_as_pca_where_that_is_their_optimum(code, begins):
    assert Dense().wants_pca(code, Normal()) is begins


def test_a_conditional_one_begins_at_random():
    labels = np.arange(400) % 2
    model = VariationalAutoencoder(K, conditional=True, max_epochs=1, random_state=0).fit(X, labels)
    assert not model.model_.parts.starts_as_pca


def linear_fit(rows, k, **options):
    return VariationalAutoencoder(k, hidden=(), random_state=0, **options).fit(rows)


@pytest.mark.parametrize(
    ("rows", "k", "options"),
    [
        (RNG.dirichlet(np.ones(5), 200), 4, {}),
        (RNG.normal(size=(200, 3)) @ RNG.normal(size=(3, 10)), 3, {}),
        (RNG.normal(size=(6, 20)), 8, {}),
        (RNG.normal(size=(200, 4)), 4, {"beta": 0.5}),
        (X, 3, {"beta": 0.0}),
        (np.ones((50, 4)), 2, {}),
    ],
    ids=["shares", "rank 3", "few rows", "beta below 1", "no divergence", "one row"],
)
def test_codes_that_leave_nothing_out_begin_with_the_noise_that_their_draws_miss(rows, k, options):
    """The likelihood has no bound there; the variance is still that of what is missed."""
    model = linear_fit(rows, k, **options)
    means, stds = model.transform(rows, return_std=True)
    scale = float(model.model_.scaling.scale)
    drawn = [
        model.inverse_transform(means + stds * RNG.normal(size=means.shape)) for _ in range(50)
    ]
    missed = np.mean([np.square(each - rows).mean() for each in drawn]) / scale**2
    noise = float(model.model_.spread.values)
    assert noise == pytest.approx(missed, rel=0.15, abs=1.1e-12)


def test_learned_variance_of_what_starts_at_random_is_that_of_the_rows():
    rows = 100 * X
    options = {"code": "sigmoid", "likelihood": "normal(std=learned)", "scaling": "none"}
    model = Autoencoder(2, max_epochs=0, random_state=0, **options).fit(rows)
    missed = np.square(model.reconstruct(rows) - rows).mean()
    assert float(model.model_.spread.values) == pytest.approx(missed, rel=0.2)


def test_what_the_decoder_is_told_leaves_no_pca_to_begin_as():
    model = VariationalAutoencoder(2, network="dense(linear_path=pca)", conditional=True)
    with pytest.raises(ParameterError, match=r"write conditional=False, or linear_path='none'\.$"):
        model.fit(X, np.arange(400) % 2)


def test_units_that_hold_nothing_are_told_once():
    findings = {each.name: each for each in linear_fit(X, 6, beta=8.0).diagnose(X)}
    assert "dead units" not in findings
    assert findings["collapsed units"].change == (
        "If the error is too high, lower beta; else lower n_components."
    )


def test_small_table_has_a_noise_of_each_feature_from_the_start():
    """Though nothing beats the probabilistic PCA that it begins with beyond chance."""
    noise = np.array([0.2, 0.4, 0.6, 0.8, 1.0, 1.5])
    generator = np.random.default_rng(3)
    rows = generator.normal(size=(40, 1)) @ generator.normal(size=(1, 6))
    rows = rows + noise * generator.normal(size=(40, 6))
    options = {"hidden": (), "validation_fraction": 0, "max_epochs": 0, "random_state": 0}
    one, each = (
        VariationalAutoencoder(1, likelihood=f"normal(std={std})", **options).fit(rows)
        for std in ("learned", "per_feature")
    )
    np.testing.assert_allclose(one.transform(rows), each.transform(rows))
    draws = each.inverse_transform(
        np.concatenate([each.transform(rows)] * 200)
        + np.concatenate([each.transform(rows, return_std=True)[1]] * 200)
        * generator.normal(size=(8000, 1))
    )
    missed = np.sqrt(np.square(np.concatenate([rows] * 200) - draws).mean(0))
    stds = (each.model_.spread.values.sqrt() * each.model_.scaling.scale).numpy()
    np.testing.assert_allclose(stds, missed, rtol=0.15)
    assert each.elbo(rows, n_samples=50).mean() > one.elbo(rows, n_samples=50).mean() + 0.2


def test_linear_network_with_a_noise_of_each_feature_reaches_factor_analysis():
    noise = np.array([0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5, 2.0])
    rows = RNG.normal(size=(2000, 2)) @ RNG.normal(size=(2, D)) + noise * RNG.normal(size=(2000, D))
    model = VariationalAutoencoder(
        2, hidden=(), likelihood="normal(std=per_feature)", max_epochs=60, random_state=0
    ).fit(rows)
    assert model.stopped_by_ != "solved"
    factors, axes = FactorAnalysis(2).fit(rows).score(rows), PCA(2).fit(rows).score(rows)
    reached = model.log_likelihood(rows, n_samples=100).mean()
    assert factors - 0.05 * (factors - axes) < reached < factors + 0.01
