"""Generated samples beside real ones: each measure is its formula and catches what it should."""

import re
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.stats import kstest, wasserstein_distance
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from isthmus import datasets
from isthmus.errors import DataError, ParameterError
from isthmus.evaluation.generation import (
    authenticity,
    class_coverage,
    density_coverage,
    parzen_log_likelihood,
    precision_recall,
    samples,
    table_distances,
    two_sample_test,
)

RNG = np.random.default_rng(0)
FEW, FEW_MADE = RNG.normal(size=(12, 3)), RNG.normal(size=(9, 3)) + 0.5
DIGITS = datasets.digits()
ORDER = RNG.permutation(len(DIGITS.images))
X, Y = DIGITS.images[ORDER], DIGITS.labels[ORDER]
TRAINING, HELD_OUT, VALIDATION = X[:700], X[700:1400], X[1400:]
NOISY = HELD_OUT + RNG.normal(0, 0.3, HELD_OUT.shape)
COLLAPSED = np.repeat(TRAINING[Y[:700] == 3], 10, axis=0)[:700] + RNG.normal(0, 0.01, (700, 64))


def balls(centres, points, k):
    """Return whether each point lies in each ball, (points, centres), by two loops."""
    reach = [sorted(np.linalg.norm(centres - c, axis=1))[k] for c in centres]
    near = zip(centres, reach, strict=True)
    return np.array([[np.linalg.norm(p - c) <= r for p in points] for c, r in near]).T


# Neighbourhoods --------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 3, 8])
def test_precision_and_recall_are_their_formulas(k):
    found = precision_recall(FEW, FEW_MADE, n_neighbors=k)
    assert found.precision == balls(FEW, FEW_MADE, k).any(axis=1).mean()
    assert found.recall == balls(FEW_MADE, FEW, k).any(axis=1).mean()


@pytest.mark.parametrize("k", [1, 5])
def test_density_and_coverage_are_their_formulas(k):
    found = density_coverage(FEW, FEW_MADE, n_neighbors=k)
    held = balls(FEW, FEW_MADE, k)
    assert found.density == pytest.approx(held.sum() / (k * len(FEW_MADE)))
    assert found.coverage == held.any(axis=0).mean()


def test_authenticity_is_its_formula():
    new = []
    for g in FEW_MADE:
        i = np.linalg.norm(FEW - g, axis=1).argmin()
        own = np.linalg.norm(np.delete(FEW, i, axis=0) - FEW[i], axis=1).min()
        new.append(np.linalg.norm(g - FEW[i]) > own)
    assert authenticity(FEW, FEW_MADE) == np.mean(new)


def test_neighbourhoods_agree_that_real_samples_are_real():
    assert min(precision_recall(TRAINING, HELD_OUT)) > 0.85
    found = density_coverage(TRAINING, HELD_OUT)
    assert found.density == pytest.approx(1, abs=0.1)
    assert found.coverage > 0.9


def test_collapse_lowers_recall_and_noise_lowers_precision():
    collapsed, noisy = (precision_recall(TRAINING, made) for made in (COLLAPSED, NOISY))
    assert collapsed.precision > 0.95
    assert collapsed.recall < 0.15
    assert noisy.precision < 0.15
    assert noisy.recall > 0.8
    assert density_coverage(TRAINING, COLLAPSED).coverage < 0.2
    assert density_coverage(TRAINING, NOISY).density < 0.2


def test_coverage_is_not_misled_by_one_wild_sample_per_neighbourhood():
    # Wild samples have wide balls, which hold every real one.
    wild = np.concatenate([COLLAPSED[:650], COLLAPSED[650:] + RNG.normal(0, 5, (50, 64))])
    assert precision_recall(TRAINING, wild).recall > 0.8
    assert density_coverage(TRAINING, wild).coverage < 0.2


def test_copies_are_found_by_authenticity_alone():
    copies = TRAINING[RNG.integers(700, size=700)]
    assert authenticity(TRAINING, copies) == 0
    assert authenticity(TRAINING, HELD_OUT) > 0.4
    assert min(precision_recall(TRAINING, copies)) > 0.85


@pytest.mark.parametrize("offset", [0, 1e6])
def test_points_on_the_edge_of_a_ball_lie_in_it_wherever_the_origin_is(offset):
    corners = RNG.integers(0, 2, (40, 20)).astype(float)  # all distances are ties
    made = RNG.integers(0, 2, (30, 20)).astype(float)
    exact = cdist(made, corners, "sqeuclidean")
    reach = np.sort(cdist(corners, corners, "sqeuclidean"), axis=1)[:, 2]
    expected = (exact <= reach).any(axis=1).mean()
    assert precision_recall(corners + offset, made + offset, n_neighbors=2).precision == expected


def test_identical_samples_lie_among_each_other():
    doubled = np.repeat(X[:30], 5, axis=0) + 7.1
    assert precision_recall(doubled, doubled) == (1, 1)
    assert authenticity(doubled, doubled) == 0


def test_distances_are_held_a_part_at_a_time(monkeypatch):
    many, made = RNG.normal(size=(3000, 4)), RNG.normal(size=(3000, 4))
    whole_table = 3000 * 3000 * 8
    at_once = precision_recall(many, made)
    monkeypatch.setattr(samples, "MEGABYTES", 2)
    tracemalloc.start()
    in_parts = precision_recall(many, made)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert in_parts == at_once
    assert peak < whole_table / 8


# Classifiers -----------------------------------------------------------------------------


def test_two_sample_test_knows_no_difference_where_there_is_none():
    found = two_sample_test(TRAINING, HELD_OUT)
    assert found.accuracy == pytest.approx(0.5, abs=0.06)
    assert found.p_value > 0.05
    assert found.n_samples == 1400


@pytest.mark.parametrize(
    "made", [NOISY, COLLAPSED, HELD_OUT + 0.2], ids=["noise", "collapse", "shift"]
)
def test_two_sample_test_tells_what_is_not_real(made):
    found = two_sample_test(TRAINING, made)
    assert found.accuracy > 0.9
    assert found.p_value < 1e-6


def test_two_sample_test_sees_more_than_means():
    a, b = RNG.normal(size=(400, 2)), 2 * RNG.normal(size=(400, 2))
    assert two_sample_test(a, b).accuracy > 0.65
    assert two_sample_test(a, b, classifier=LogisticRegression()).accuracy < 0.6


def test_two_sample_test_has_even_chances_for_unequal_numbers():
    found = two_sample_test(RNG.normal(size=(900, 2)), RNG.normal(size=(100, 2)))
    assert found.n_samples == 200
    assert found.accuracy < 0.65  # 0.9, if it always said the commoner


@pytest.mark.parametrize("n_folds", [2, 5])
def test_two_sample_test_rejects_no_more_often_than_its_p_value_says(n_folds):
    rng = np.random.default_rng(1)
    judge = KNeighborsClassifier(3)
    p_values = [
        two_sample_test(*rng.normal(size=(2, 40, 2)), classifier=judge, n_folds=n_folds).p_value
        for _ in range(150)
    ]
    # Too large is allowed: answers are counted, and folds share what teaches.
    assert kstest(p_values, "uniform", alternative="greater").pvalue > 0.01


def test_two_sample_test_is_repeated_by_its_seed():
    a, b = RNG.normal(size=(2, 200, 3))
    first, again, other = (two_sample_test(a, b, seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_class_coverage_counts_classes():
    real = np.repeat(np.eye(3) * 10, [20, 30, 50], axis=0) + RNG.normal(0, 0.1, (100, 3))
    y = np.repeat(["ant", "bee", "cat"], [20, 30, 50])
    found = class_coverage(real, y, real[[0, 1, 2, 60]])
    assert found.classes.tolist() == ["ant", "bee", "cat"]
    assert found.shares.tolist() == [0.75, 0, 0.25]
    assert found.real_shares.tolist() == [0.2, 0.3, 0.5]
    expected = 0.75 * np.log(0.75 / 0.2) + 0.25 * np.log(0.25 / 0.5)
    assert found.divergence == pytest.approx(expected, rel=1e-12)
    expected = -0.75 * np.log(0.75) - 0.25 * np.log(0.25)
    assert found.entropy == pytest.approx(expected, rel=1e-12)
    assert found.confidence > 0.9


def test_class_coverage_finds_collapse_and_doubt():
    held_out, collapsed = (class_coverage(TRAINING, Y[:700], G) for G in (HELD_OUT, COLLAPSED))
    blurred = class_coverage(TRAINING, Y[:700], (HELD_OUT + HELD_OUT[::-1]) / 2)
    assert held_out.divergence < 0.02
    assert held_out.entropy > 2.25
    assert collapsed.divergence > 2
    assert collapsed.entropy < 0.1
    assert blurred.confidence < held_out.confidence - 0.1


def test_class_coverage_leaves_out_what_has_no_label():
    some = np.where(np.arange(700) < 400, Y[:700], -1)
    found = class_coverage(TRAINING, some, HELD_OUT)
    expected = class_coverage(TRAINING[:400], Y[:400], HELD_OUT)
    for part, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(part, other)


def test_class_coverage_asks_the_classifier_that_is_given():
    judge = KNeighborsClassifier(1)
    found = class_coverage(TRAINING, Y[:700], TRAINING, classifier=judge)
    assert found.divergence == 0
    assert found.confidence == 1
    assert not hasattr(judge, "classes_")


# Likelihood ------------------------------------------------------------------------------


def mixture(centres, width):
    """Return the density of torch's own mixture of Normals.

    KernelDensity of scikit-learn is no oracle: in 20 dimensions and more, narrow ones are wrong.
    """
    means = torch.tensor(centres, dtype=torch.float64)
    normals = Independent(Normal(means, torch.full_like(means, width)), 1)
    return MixtureSameFamily(Categorical(torch.ones(len(means))), normals)


def test_parzen_window_is_the_mixture_of_torch():
    widths, chooser, test = [0.1, 0.2, 0.4], VALIDATION[:100], VALIDATION[100:150]
    each = [mixture(HELD_OUT[:80], width) for width in widths]
    best = int(np.argmax([density.log_prob(torch.tensor(chooser)).mean() for density in each]))
    found = parzen_log_likelihood(test, HELD_OUT[:80], validation=chooser, bandwidths=widths)
    scores = each[best].log_prob(torch.tensor(test)).numpy()
    assert found.bandwidth == widths[best]
    assert found.log_likelihood == pytest.approx(scores.mean(), rel=1e-6)
    assert found.error == pytest.approx(scores.std() / np.sqrt(len(scores)), rel=1e-6)


@pytest.mark.parametrize(("n", "d"), [(5, 2), (400, 1), (200, 10)])
def test_parzen_window_chooses_a_bandwidth_among_all_that_could_be_best(n, d):
    made, validation = RNG.normal(size=(n, d)), RNG.normal(size=(100, d)) + 0.2
    wide = np.geomspace(1e-4, 1e2, 400)
    free = parzen_log_likelihood(validation, made, validation=validation)
    best = parzen_log_likelihood(validation, made, validation=validation, bandwidths=wide)
    assert free.log_likelihood == pytest.approx(best.log_likelihood, abs=0.02 * d)


def test_parzen_window_nears_the_true_likelihood_where_dimensions_are_few():
    real, made, validation = (RNG.normal(size=(n, 1)) for n in (500, 2000, 500))
    truth = -0.5 * (np.log(2 * np.pi) + np.square(real)).mean()
    found = parzen_log_likelihood(real, made, validation=validation)
    assert found.log_likelihood == pytest.approx(truth, abs=0.03)
    shifted = parzen_log_likelihood(real, made + 2, validation=validation)
    assert shifted.log_likelihood < truth - 0.3


# Tables ----------------------------------------------------------------------------------


def test_table_distances_are_those_of_scipy_and_numpy():
    real, made = RNG.normal(size=(200, 4)) * [1, 10, 0.1, 5], RNG.normal(size=(150, 4)) + 1
    found = table_distances(real, made)
    columns = zip(real.T, made.T, real.std(axis=0), strict=True)
    expected = [wasserstein_distance(a, b) / s for a, b, s in columns]
    np.testing.assert_allclose(found.by_column, expected)
    assert found.marginal == pytest.approx(np.mean(expected))
    apart = np.abs(np.corrcoef(real.T) - np.corrcoef(made.T))[np.triu_indices(4, 1)]
    assert found.correlation == pytest.approx(apart.mean())


def test_table_distances_of_a_shift_are_its_standard_deviations():
    real = RNG.normal(size=(300, 3)) * [1, 100, 1e-3]
    found = table_distances(real, real + 0.5 * real.std(axis=0))
    np.testing.assert_allclose(found.by_column, 0.5)
    assert found.correlation == pytest.approx(0, abs=1e-12)


def test_table_distances_tell_lost_correlations_from_wrong_columns():
    a = RNG.normal(size=1000)
    real = np.column_stack([a, a + 0.1 * RNG.normal(size=1000)])
    shuffled = np.column_stack([real[:, 0], RNG.permutation(real[:, 1])])
    found = table_distances(real, shuffled)
    assert found.marginal == pytest.approx(0, abs=1e-12)
    assert found.correlation > 0.9


def test_table_distances_of_constant_columns_are_numbers():
    real = np.column_stack([np.full(50, 0.1), RNG.normal(size=(50, 2))])
    found = table_distances(real, real + np.array([0.3, 0, 0]))
    np.testing.assert_allclose(found.by_column, [0.3, 0, 0])
    assert found.correlation == pytest.approx(0, abs=1e-12)
    collapsed = table_distances(real, np.repeat(real[:1], 50, axis=0))
    assert np.isfinite(collapsed.by_column).all()
    assert table_distances(real[:, 1:2], real[:, 1:2]).correlation == 0


# What they take and refuse ---------------------------------------------------------------

MEASURES = {
    "precision_recall": precision_recall,
    "density_coverage": density_coverage,
    "authenticity": authenticity,
    "two_sample_test": two_sample_test,
    "class_coverage": lambda X, G: class_coverage(X, np.arange(len(X)) % 2, G),
    "parzen_log_likelihood": lambda X, G: parzen_log_likelihood(X, G, validation=X),
    "table_distances": table_distances,
}


@pytest.mark.parametrize("name", MEASURES)
def test_measure_is_the_same_of_pictures_rows_tensors_and_frames(name):
    measure, real, made = MEASURES[name], HELD_OUT[:60], NOISY[:50]

    def numbers(a, b):
        found = measure(a, b)
        parts = found if isinstance(found, tuple) else (found,)
        return np.concatenate([np.ravel(part) for part in parts])

    expected = numbers(real, made)
    assert np.isfinite(expected).all()
    pictures = numbers(real.reshape(-1, 8, 8), made.reshape(-1, 8, 8))
    np.testing.assert_array_equal(pictures, expected)
    np.testing.assert_array_equal(numbers(torch.tensor(real), torch.tensor(made)), expected)
    np.testing.assert_array_equal(numbers(pd.DataFrame(real), pd.DataFrame(made)), expected)


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize(
    ("G", "message"),
    [
        (FEW[:, :2], "G has 2 columns, and X has 3: give rows with the same columns."),
        (
            np.where(np.arange(36).reshape(12, 3) == 7, np.nan, FEW),
            "G has NaN at row 2, column 1: fill such values in (sklearn.impute.SimpleImputer) or "
            "drop these rows.",
        ),
        (
            FEW[0],
            "G is of shape (3,), and a table is needed: Reshape your data to (rows, features), "
            "with reshape(-1, 1) if it is one feature and reshape(1, -1) if it is one row.",
        ),
    ],
)
def test_measures_refuse_what_is_not_like_the_real_samples(name, G, message):
    with pytest.raises(DataError) as refused:
        MEASURES[name](FEW, G)
    assert str(refused.value) == message


TOO_MANY = (
    "n_neighbors=9 must be less than the samples, of which X has 12 and G 9: lower it, or give "
    "more samples."
)

REFUSED = [
    (lambda: precision_recall(FEW, FEW_MADE, n_neighbors=9), ParameterError, TOO_MANY),
    (
        lambda: density_coverage(FEW, FEW_MADE, n_neighbors=0),
        ParameterError,
        "n_neighbors=0 is no count: write a whole number from 1.",
    ),
    (
        lambda: precision_recall(X.reshape(-1, 8, 8), X.reshape(-1, 4, 16)),
        DataError,
        "G has samples of shape (4, 16), and X of (8, 8): give both the same shape.",
    ),
    (
        lambda: table_distances(FEW, FEW[:0]),
        DataError,
        "G has 0 sample(s), and at least 1 are needed: give more.",
    ),
    (
        lambda: two_sample_test(FEW, FEW_MADE, n_folds=1),
        ParameterError,
        "n_folds=1 is no count: write a whole number from 2.",
    ),
    (
        lambda: two_sample_test(FEW, FEW[:3], n_folds=5),
        DataError,
        "G has 3 sample(s), and at least 5 are needed: give more.",
    ),
    (
        lambda: class_coverage(FEW, [0, 1], FEW),
        DataError,
        "y has 2 labels and X has 12 rows: give one label for each row.",
    ),
    (
        lambda: class_coverage(FEW, ["a"] * 12, FEW),
        DataError,
        "y has one class (a), and class_coverage needs two at the least: label rows of another.",
    ),
    (
        lambda: class_coverage(FEW, [0, 1] * 6, FEW, classifier=LinearRegression()),
        ParameterError,
        "classifier LinearRegression() has no predict_proba: give one that says how sure it is, "
        "such as LogisticRegression().",
    ),
    (
        lambda: parzen_log_likelihood(FEW, FEW_MADE, validation=FEW, bandwidths=[0.1, 0]),
        ParameterError,
        "bandwidths=[0.1, 0] is no list of widths: write numbers above 0.",
    ),
    (
        lambda: parzen_log_likelihood(FEW, FEW_MADE, validation=FEW, bandwidths="wide"),
        ParameterError,
        "bandwidths='wide' is no list of widths: write numbers above 0.",
    ),
    (
        lambda: parzen_log_likelihood(FEW, FEW_MADE, validation=FEW, bandwidths=[]),
        ParameterError,
        "bandwidths=[] is no list of widths: write numbers above 0.",
    ),
    (
        lambda: parzen_log_likelihood(FEW, FEW, validation=FEW[:4]),
        DataError,
        "validation has samples of G alone, under which the likelihood has no bound: add noise to "
        "values that are rounded, and keep copies out of G.",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED)
def test_measures_refuse_what_they_cannot_judge(call, kind, message):
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        call()


def test_parzen_likelihood_is_the_same_far_from_zero():
    made, real, chooser = RNG.normal(size=(3, 100, 3))
    near = parzen_log_likelihood(real, made, validation=chooser)
    far = parzen_log_likelihood(real + 1e7, made + 1e7, validation=chooser + 1e7)
    assert far.log_likelihood == pytest.approx(near.log_likelihood, abs=1e-6)
