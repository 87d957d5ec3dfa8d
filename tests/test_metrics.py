import re
import subprocess
import sys

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from sklearn.metrics import r2_score

from isthmus.errors import DataError, MissingDependencyError, ParameterError
from isthmus.evaluation.metrics import (
    active_units,
    continuity,
    explained_variance,
    knn_accuracy,
    neighbour_overlap,
    probe_accuracy,
    psnr,
    ssim,
    trustworthiness,
)

RNG = np.random.default_rng(0)
CLEAN = RNG.random((5, 8, 6))
NOISY = CLEAN + RNG.normal(0, 0.3, CLEAN.shape)


def whole(text):
    return f"^{re.escape(text)}$"


@pytest.mark.parametrize("data_range", [0.5, 1.0, 255.0])
def test_psnr_is_that_of_scikit_image_for_each_sample(data_range):
    expected = [
        peak_signal_noise_ratio(a, b, data_range=data_range)
        for a, b in zip(CLEAN, NOISY, strict=True)
    ]
    np.testing.assert_allclose(psnr(CLEAN, NOISY, data_range=data_range), expected, rtol=1e-12)


def test_psnr_of_a_known_error_is_known():
    # An error of 0.1 everywhere is a tenth of the range: 20 dB.
    np.testing.assert_allclose(psnr(np.zeros((2, 3)), np.full((2, 3), 0.1)), [20, 20])


def test_psnr_of_pictures_is_that_of_their_rows():
    rows = psnr(CLEAN.reshape(5, -1), NOISY.reshape(5, -1))
    np.testing.assert_array_equal(psnr(CLEAN, NOISY), rows)


def test_psnr_is_infinite_only_where_nothing_differs():
    mixed = CLEAN.copy()
    mixed[1:] = NOISY[1:]
    assert np.isinf(psnr(CLEAN, mixed)).tolist() == [True, False, False, False, False]


def test_psnr_does_not_change_with_the_units():
    bytes_ = psnr(255 * CLEAN, 255 * NOISY, data_range=255)
    np.testing.assert_allclose(bytes_, psnr(CLEAN, NOISY), rtol=1e-12)


def test_psnr_of_unsigned_bytes_does_not_wrap_around():
    dark, light = np.array([[0, 10]], np.uint8), np.array([[10, 0]], np.uint8)
    np.testing.assert_allclose(psnr(dark, light, data_range=255), 20 * np.log10(25.5))


@pytest.mark.parametrize(
    ("clean", "cleaned"), [((3, 4), (4, 4)), ((3, 4), (3, 2, 2)), ((4,), (4,)), ((0, 4), (0, 4))]
)
def test_psnr_refuses_what_has_no_pairs_of_samples(clean, cleaned):
    message = (
        f"clean has shape {clean} and cleaned {cleaned}: give both the same shape, (n, ...), "
        "with one sample a row."
    )
    with pytest.raises(DataError, match=whole(message)):
        psnr(np.ones(clean), np.zeros(cleaned))


@pytest.mark.parametrize("data_range", [0, -1.0, float("nan")])
def test_psnr_refuses_a_range_that_is_none(data_range):
    message = (
        f"data_range={data_range!r} must be more than 0: give the distance from the least to "
        "the greatest value that the data can have."
    )
    with pytest.raises(ParameterError, match=whole(message)):
        psnr(CLEAN, NOISY, data_range=data_range)


def test_evaluation_is_cheap_to_import():
    slow = "{'matplotlib', 'skimage', 'torch', 'sklearn', 'scipy', 'rich'}"
    code = f"import sys, isthmus.evaluation; print({slow} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


# Codes -----------------------------------------------------------------------------------

ROWS = RNG.normal(size=(40, 6))
CODES = np.column_stack([ROWS[:, :2], RNG.normal(size=40)])
CLASSES = np.arange(40) % 2


def test_explained_variance_is_that_of_scikit_learn():
    rebuilt = ROWS + RNG.normal(0, 0.4, ROWS.shape)
    expected = r2_score(ROWS, rebuilt, multioutput="variance_weighted")
    assert explained_variance(ROWS, rebuilt) == pytest.approx(expected, rel=1e-12)
    mean = np.broadcast_to(ROWS.mean(axis=0), ROWS.shape)
    assert explained_variance(ROWS, mean) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("rebuilt", "share"), [(np.ones((3, 2)), 1), (np.zeros((3, 2)), 0)])
def test_explained_variance_of_constants_says_whether_they_are_met(rebuilt, share):
    assert explained_variance(np.ones((3, 2)), rebuilt) == share


@pytest.mark.parametrize("colours", [(), (3,)])
def test_ssim_is_that_of_scikit_image_for_each_picture(colours):
    clean = RNG.random((3, 9, 8, *colours))
    noisy = clean + RNG.normal(0, 0.2, clean.shape)
    axis = -1 if colours else None
    expected = [
        structural_similarity(a, b, data_range=1.0, channel_axis=axis)
        for a, b in zip(clean, noisy, strict=True)
    ]
    np.testing.assert_allclose(ssim(clean, noisy), expected, rtol=1e-12)


def neighbours(points, i):
    """Return the other rows by their distance, nearest first."""
    distances = np.linalg.norm(points - points[i], axis=1)
    return [j for j in np.argsort(distances, kind="stable") if j != i]


@pytest.mark.parametrize(
    ("measure", "far", "near"), [(trustworthiness, ROWS, CODES), (continuity, CODES, ROWS)]
)
def test_preserved_neighbourhoods_are_their_formula(measure, far, near):
    n, k = len(ROWS), 5
    total = 0
    for i in range(n):
        rank = {j: place for place, j in enumerate(neighbours(far, i), 1)}
        total += sum(max(0, rank[j] - k) for j in neighbours(near, i)[:k])
    expected = 1 - 2 / (n * k * (2 * n - 3 * k - 1)) * total
    assert measure(ROWS, CODES, n_neighbors=k) == pytest.approx(expected, rel=1e-12)


def test_neighbour_overlap_counts_shared_neighbours():
    k = 4
    shared = [
        len(set(neighbours(ROWS, i)[:k]) & set(neighbours(CODES, i)[:k])) for i in range(len(ROWS))
    ]
    assert neighbour_overlap(ROWS, CODES, n_neighbors=k) == pytest.approx(np.mean(shared) / k)
    assert neighbour_overlap(ROWS, 3 * ROWS + 1) == 1


def test_active_units_are_counted_by_their_variance():
    codes = RNG.normal(size=(5000, 4)) * [1, 0.2, 0.05, 0]
    assert active_units(codes) == 2
    assert active_units(codes, variance=0.5) == 1


def test_probe_accuracy_is_one_where_a_line_divides_and_chance_where_nothing_tells():
    apart = np.column_stack([CLASSES * 10.0, RNG.normal(size=40)])
    assert probe_accuracy(apart, CLASSES) == 1
    assert knn_accuracy(apart, CLASSES) == 1
    many = RNG.normal(size=(2000, 3))
    assert probe_accuracy(many, np.arange(2000) % 2) == pytest.approx(0.5, abs=0.05)
    assert knn_accuracy(many, np.arange(2000) % 2) == pytest.approx(0.5, abs=0.05)


def test_probe_accuracy_judges_rows_that_the_probe_did_not_see():
    words = np.where(CLASSES == 1, "yes", "no")
    wide = np.random.default_rng(1).normal(size=(40, 200))  # any labels can be learned by heart
    assert probe_accuracy(wide, words) < 0.8


REFUSED = [
    (
        lambda: explained_variance(ROWS, ROWS[:3]),
        DataError,
        "X has shape (40, 6) and rebuilt (3, 6): give both the same shape, (n, ...), with one "
        "sample a row.",
    ),
    (
        lambda: ssim(np.ones((2, 5, 9)), np.ones((2, 5, 9))),
        DataError,
        "clean has shape (2, 5, 9): give pictures (n, h, w) or (n, h, w, c) of at least 7 x 7 "
        "pixels.",
    ),
    (
        lambda: trustworthiness(ROWS, CODES[:5]),
        DataError,
        "X has shape (40, 6) and Z (5, 3): give one code for each row, (n, d) and (n, k).",
    ),
    (
        lambda: neighbour_overlap(ROWS, CODES, n_neighbors=20),
        ParameterError,
        "n_neighbors=20 must be from 1 to less than half of the 40 rows: lower it, or give more "
        "rows.",
    ),
    (
        lambda: probe_accuracy(CODES, CLASSES[:5]),
        DataError,
        "Z has shape (40, 3) and y (5,): give one class for each row, (n, k) and (n,).",
    ),
    (
        lambda: probe_accuracy(CODES, np.zeros(40)),
        DataError,
        "y has 1 class(es), the smallest of 40 rows, and 5 folds need two classes of 5 rows each: "
        "leave rare classes out, or lower n_folds.",
    ),
    (
        lambda: knn_accuracy(CODES, CLASSES, n_folds=1),
        ParameterError,
        "n_folds=1 must be at least 2: one fold judges, others teach.",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED)
def test_measures_refuse_what_they_cannot_judge(call, kind, message):
    with pytest.raises(kind, match=whole(message)):
        call()


def test_ssim_says_that_scikit_image_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    message = "ssim needs scikit-image, which is not installed: pip install 'isthmus[pictures]'."
    with pytest.raises(MissingDependencyError, match=whole(message)):
        ssim(np.ones((1, 8, 8)), np.ones((1, 8, 8)))
