import re
import subprocess
import sys

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from isthmus.errors import DataError, ParameterError
from isthmus.evaluation import psnr

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
