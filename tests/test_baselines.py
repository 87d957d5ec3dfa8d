import re
import sys

import numpy as np
import pytest
import skimage
from packaging.version import Version
from skimage.filters import median
from skimage.restoration import cycle_spin, denoise_nl_means, denoise_wavelet
from sklearn.decomposition import PCA

from isthmus import datasets
from isthmus.errors import DataError, MissingDependencyError, ParameterError
from isthmus.evaluation import baselines, psnr
from isthmus.evaluation.baselines import CANDIDATES, tune

STD = 0.3
RNG = np.random.default_rng(0)
CLEAN = datasets.digits().images[:50].reshape(-1, 8, 8).astype(float)
NOISY = CLEAN + RNG.normal(0, STD, CLEAN.shape)
TEST = datasets.digits().images[-60:].reshape(-1, 8, 8).astype(float)
NOISY_TEST = TEST + RNG.normal(0, STD, TEST.shape)


def whole(text):
    return f"^{re.escape(text)}$"


def candidate(name, setting, clean=CLEAN):
    return next(each for each in CANDIDATES[name](clean, STD) if each.setting == setting)


def decibels(cleaned, clean):
    return psnr(clean, np.clip(cleaned, 0, 1)).mean()


@pytest.fixture(scope="module", params=list(CANDIDATES))
def tuned(request):
    return tune(request.param, CLEAN, NOISY, STD)


def test_tune_returns_the_candidate_that_is_best_on_training_pictures(tuned):
    n_judges = baselines.N_JUDGES[tuned.name]
    judges = np.linspace(0, len(CLEAN) - 1, min(n_judges, len(CLEAN))).astype(int)
    scores = {
        each.setting: decibels(each.denoise(NOISY[judges]), CLEAN[judges])
        for each in CANDIDATES[tuned.name](CLEAN, STD)
    }
    assert scores[tuned.setting] == max(scores.values())
    assert len(scores) > 3


def test_tuned_baseline_takes_noise_off_pictures_that_it_never_saw(tuned):
    clean = datasets.digits().images[500:900].reshape(-1, 8, 8).astype(float)
    noisy = clean + np.random.default_rng(1).normal(0, STD, clean.shape)
    gain = decibels(tuned.denoise(noisy), clean) - decibels(noisy, clean)
    assert gain > (0.1 if tuned.name == "median" else 1)  # 8 x 8 pixels are few for a median


def test_baseline_cleans_each_picture_by_itself_and_leaves_the_input_alone(tuned):
    before = NOISY_TEST.copy()
    together = tuned.denoise(NOISY_TEST)
    alone = np.concatenate([tuned.denoise(picture[None]) for picture in NOISY_TEST])
    np.testing.assert_allclose(together, alone, atol=1e-12)
    np.testing.assert_array_equal(NOISY_TEST, before)


def test_tune_gives_the_same_twice(tuned):
    again = tune(tuned.name, CLEAN, NOISY, STD)
    assert again.setting == tuned.setting
    np.testing.assert_array_equal(again.denoise(NOISY_TEST), tuned.denoise(NOISY_TEST))


@pytest.mark.parametrize(
    ("setting", "footprint"),
    [
        ("3 x 1 pixels, mirrored border", np.ones((3, 1))),
        ("3 x 3 pixels, mirrored border", np.ones((3, 3))),
        ("a plus of 5 pixels, mirrored border", [[0, 1, 0], [1, 1, 1], [0, 1, 0]]),
    ],
)
def test_median_is_that_of_scikit_image(setting, footprint):
    expected = [median(p, np.array(footprint), mode="reflect") for p in NOISY_TEST]
    np.testing.assert_allclose(candidate("median", setting).denoise(NOISY_TEST), expected)


def test_non_local_means_is_that_of_scikit_image():
    options = {"patch_size": 5, "patch_distance": 7, "h": 0.7 * STD, "fast_mode": False}
    expected = [denoise_nl_means(p, sigma=STD, **options) for p in NOISY_TEST]
    ours = candidate("nlm", "5 x 5 patches within 7, h = 0.7 std")
    np.testing.assert_array_equal(ours.denoise(NOISY_TEST), expected)


def test_wavelets_are_averaged_as_scikit_image_spins_cycles():
    options = {"wavelet": "db2", "method": "BayesShrink", "wavelet_levels": 1, "sigma": STD}
    # scikit-image 0.26 renamed the argument and warns of the old name.
    workers = "workers" if Version(skimage.__version__) >= Version("0.26") else "num_workers"
    picture = NOISY_TEST[0]
    expected = cycle_spin(picture, denoise_wavelet, 3, func_kw=options, **{workers: 1})
    ours = candidate("wavelet", "BayesShrink at 1 std, db2, 1 deep")
    np.testing.assert_allclose(ours.denoise(picture[None])[0], expected, atol=1e-12)


def test_wavelets_longer_than_the_pictures_are_left_out():
    def names(clean):
        return {each.setting.split(", ")[1] for each in CANDIDATES["wavelet"](clean, STD)}

    assert names(CLEAN) == {"db1", "db2"}
    assert names(np.zeros((2, 32, 32))) == {"db1", "db2", "sym4"}


def test_pca_is_that_of_scikit_learn():
    pca = PCA(9, svd_solver="full").fit(CLEAN.reshape(-1, 64))
    expected = pca.inverse_transform(pca.transform(NOISY_TEST.reshape(-1, 64)))
    ours = candidate("pca", "9 components").denoise(NOISY_TEST)
    np.testing.assert_allclose(ours.reshape(-1, 64), expected, atol=1e-10)


def test_pca_finds_the_width_that_the_data_have():
    rng = np.random.default_rng(1)
    axes = np.linalg.qr(rng.normal(size=(64, 3)))[0].T
    clean = (0.5 + rng.uniform(-1, 1, (400, 3)) @ axes).reshape(-1, 8, 8)
    noisy = clean + rng.normal(0, 0.02, clean.shape)
    assert tune("pca", clean, noisy, 0.02).setting == "3 components"


@pytest.mark.parametrize("shape", [(30, 64), (1, 8, 8), (30, 8, 1), (0, 8, 8)])
def test_tune_refuses_what_are_no_pictures(shape):
    message = (
        f"clean_train has shape {shape} and noisy_train {shape}: give both as the same "
        "(n, h, w), at least 2 pictures of 2 x 2 pixels."
    )
    with pytest.raises(DataError, match=whole(message)):
        tune("median", np.zeros(shape), np.zeros(shape), STD)


def test_tune_refuses_pictures_without_partners():
    message = (
        "clean_train has shape (50, 8, 8) and noisy_train (49, 8, 8): give both as the same "
        "(n, h, w), at least 2 pictures of 2 x 2 pixels."
    )
    with pytest.raises(DataError, match=whole(message)):
        tune("median", CLEAN, NOISY[1:], STD)


def test_tune_guesses_which_baseline_was_meant():
    message = (
        "There is no baseline 'medain' (did you mean 'median'?): use median, nlm, wavelet, pca."
    )
    with pytest.raises(ParameterError, match=whole(message)):
        tune("medain", CLEAN, NOISY, STD)


@pytest.mark.parametrize("std", [0, -0.3, float("nan")])
def test_tune_refuses_noise_without_a_size(std):
    message = f"std={std!r} must be more than 0: give that of the noise."
    with pytest.raises(ParameterError, match=whole(message)):
        tune("pca", CLEAN, NOISY, std)


@pytest.mark.parametrize(
    ("name", "module", "package"),
    [
        ("nlm", "skimage.restoration", "scikit-image"),
        ("wavelet", "skimage.restoration", "scikit-image"),
        ("wavelet", "pywt", "PyWavelets"),
    ],
)
def test_tune_says_which_package_is_missing(name, module, package, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    message = (
        f"The baseline {name!r} needs {package}, which is not installed: "
        "pip install 'isthmus[pictures]'."
    )
    with pytest.raises(MissingDependencyError, match=whole(message)):
        tune(name, CLEAN, NOISY, STD)
