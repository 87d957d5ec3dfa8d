"""The model beside PCA, beside brute force by scikit-learn."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from isthmus import Autoencoder, DenoisingAutoencoder, datasets
from isthmus.evaluation.against_pca import (
    AgainstPCA,
    Interval,
    against_pca,
    bootstrap,
    interval,
    pca_of,
)
from isthmus.evaluation.subject import look

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(150, 4)) @ DRAW.normal(size=(4, 7)) + 0.3 * DRAW.normal(size=(150, 7)) + 5
LINEAR = {"hidden": (), "max_epochs": 2, "random_state": 0}


def errors_by_width(clean, seen):
    """Return the mean squared error of scikit-learn's PCA of each width, from 0 on."""
    errors = [np.square(clean - clean.mean(axis=0)).sum(axis=1).mean()]
    for width in range(1, clean.shape[1] + 1):
        pca = PCA(width).fit(clean)
        rebuilt = pca.inverse_transform(pca.transform(seen))
        errors.append(np.square(clean - rebuilt).sum(axis=1).mean())
    return errors


def test_curve_is_the_error_of_scikit_learn_at_every_width():
    versus = against_pca(look(Autoencoder(2, **LINEAR).fit(X), X))
    np.testing.assert_allclose(versus.curve, errors_by_width(X, X), rtol=1e-6, atol=1e-8)


def test_curve_of_noisy_rows_is_that_of_pca_on_the_same_noise():
    subject = look(DenoisingAutoencoder(2, corruption="gaussian(std=1)", **LINEAR).fit(X), X)
    assert subject.noisy
    expected = errors_by_width(X, subject.seen)
    np.testing.assert_allclose(against_pca(subject).curve, expected, rtol=1e-5)


def test_feature_of_huge_values_takes_no_digits_from_the_errors_of_the_others():
    rows = np.column_stack([1e6 * X[:, 0], X])
    model = Autoencoder(1, **LINEAR).fit(rows)
    versus = against_pca(look(model, rows))
    assert 1e-12 < versus.pca_error.value / versus.curve[0] < 1e-9
    assert versus.pca_error.value == pytest.approx(errors_by_width(rows, rows)[1], rel=1e-3)
    assert versus.ratio.value == pytest.approx(1, rel=1e-2)


def test_figures_of_a_standardised_model_are_in_standard_deviations():
    rows = X * [1, 10, 100, 1, 1, 1, 1]
    model = Autoencoder(2, scaling="standard", **LINEAR).fit(rows)
    versus = against_pca(look(model, rows))
    scaled = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    np.testing.assert_allclose(versus.curve, errors_by_width(scaled, scaled), rtol=1e-5, atol=1e-8)
    rebuilt = (model.reconstruct(rows) - rows) / rows.std(axis=0)
    assert versus.error.value == pytest.approx(np.square(rebuilt).sum(axis=1).mean(), rel=1e-6)
    assert versus.unit_name == "standard deviations"


def test_model_that_is_pca_ties_with_itself():
    model = Autoencoder(3, hidden=(), max_epochs=0, random_state=0).fit(X)
    versus = against_pca(look(model, X))
    assert versus.ratio.value == pytest.approx(1, abs=1e-5)
    assert versus.ratio.low == pytest.approx(1, abs=1e-4)
    assert versus.ratio.high == pytest.approx(1, abs=1e-4)


def test_tie_is_the_least_width_at_which_pca_is_as_good():
    digits = datasets.digits().images
    model = Autoencoder(4, hidden=(64,), max_epochs=15, random_state=0).fit(digits)
    versus = against_pca(look(model, digits))
    error = model.reconstruction_error(digits).mean()
    assert versus.error.value == pytest.approx(error, rel=1e-9)
    curve = errors_by_width(digits, digits)
    expected = next(width for width, of_pca in enumerate(curve) if of_pca <= error)
    assert expected > 4
    assert versus.ties is not None
    assert versus.ties.value == expected
    assert versus.ties.low <= expected <= versus.ties.high
    assert versus.ratio.value == pytest.approx(error / curve[4], rel=1e-5)
    assert versus.ratio.low < versus.ratio.value < versus.ratio.high


def test_width_at_which_pca_loses_nothing_is_no_contest():
    versus = against_pca(look(Autoencoder(7, **LINEAR).fit(X), X))
    assert versus.pca_error.value == 0
    assert versus.ratio == Interval(1, 1, 1)


def test_rows_that_are_all_the_same_leave_nothing_to_compare():
    model = Autoencoder(2, **LINEAR).fit(X)
    versus = against_pca(look(model, np.repeat(X[:1], 5, axis=0)))
    assert isinstance(versus, AgainstPCA)
    assert versus.curve.max() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("n_rows", [50, 5000])
def test_bootstrap_spreads_as_the_mean_does(n_rows):
    values = np.random.default_rng(1).normal([3, -2], [1, 5], size=(n_rows, 2))
    draws = bootstrap(values)
    error = values.std(axis=0) / np.sqrt(n_rows)
    np.testing.assert_allclose(draws.std(axis=0), error, rtol=0.12)
    np.testing.assert_allclose(draws.mean(axis=0), values.mean(axis=0), atol=5 * error.max() / 30)


def test_bootstrap_draws_the_same_rows_for_every_column_and_every_time():
    values = np.random.default_rng(1).normal(size=(200, 1))
    draws = bootstrap(np.hstack([values, 2 * values]))
    np.testing.assert_allclose(draws[:, 1], 2 * draws[:, 0])
    np.testing.assert_array_equal(bootstrap(values), bootstrap(values))


def test_interval_holds_95_percent_of_the_draws():
    assert interval(7, np.arange(1001.0)) == Interval(7, 25, 975)


def test_pca_of_many_features_is_near_the_exact_one():
    wide = np.random.default_rng(2).normal(size=(60, 3)) @ np.random.default_rng(3).normal(
        size=(3, 2100)
    )
    model = Autoencoder(2, **LINEAR).fit(wide)
    subject = look(model, wide)
    expected = PCA(2).fit(wide)
    share = np.linalg.norm(pca_of(subject).axes[:2].numpy() @ expected.components_.T)
    assert share == pytest.approx(np.sqrt(2), abs=1e-5)
