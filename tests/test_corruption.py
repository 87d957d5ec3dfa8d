"""Each corruption beside its definition in NumPy, in the user's units, under each scaling."""

import numpy as np
import pytest
import torch
from scipy import stats

from isthmus import DenoisingAutoencoder
from isthmus.data.rows import fit_scaling
from isthmus.data.scaling import SCALINGS
from isthmus.errors import ParameterError
from isthmus.parts import (
    Binarised,
    BlindSpot,
    Clean,
    Corruption,
    GaussianNoise,
    Laplace,
    Masking,
    Normal,
    SaltAndPepper,
)
from isthmus.parts.likelihood import nll_of

N, D = 4000, 6
SURE = 1e-7  # the chance that a bound below is broken by an honest draw

AT_ZERO_STRENGTH = [GaussianNoise(0), Masking(0), SaltAndPepper(0, -1, 2), Clean()]
NOISY = [GaussianNoise(0.7), Masking(0.4), SaltAndPepper(0.3, -2, 5)]

each_scaling = pytest.mark.parametrize("scaling", SCALINGS)
each_noisy = pytest.mark.parametrize("corruption", NOISY, ids=str)


@pytest.fixture(scope="module")
def rows():
    """Return rows in user's units whose features have means and spreads of their own; no zeros."""
    draw = np.random.default_rng(0)
    mean, spread = np.array([0.0, 5, -3, 100, 0.01, 1]), np.array([1, 2, 0.5, 30, 0.001, 4])
    return mean + spread * draw.standard_normal((N, D))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def corrupted(corruption, rows, scaling_name, seed=0, dtype=torch.float64):
    """Return what a corruption makes of rows, in user's units: scaled, corrupted, un-scaled."""
    scaling = fit_scaling(scaling_name, rows).to(dtype)
    x = scaling(torch.from_numpy(rows).to(dtype))
    return scaling.inverse(corruption.corrupt(x, scaling, generator(seed))).double().numpy()


def assert_share(count, share, n):
    """Assert that `count` of `n` is what a coin of chance `share` gives."""
    low, high = stats.binom.interval(1 - SURE, n, share)
    assert np.all((low <= count) & (count <= high)), (count, low, high)


def assert_independent(hits):
    """Assert that features (N, D) and rows that follow another are hit independently."""
    bound = stats.norm.isf(SURE / 2) / np.sqrt(len(hits))
    between_features = np.corrcoef(hits.T) - np.eye(hits.shape[1])
    assert np.abs(between_features).max() < bound
    flat = hits.ravel()
    assert abs(np.corrcoef(flat[1:], flat[:-1])[0, 1]) < bound


# Gaussian --------------------------------------------------------------------------------


@each_scaling
@pytest.mark.parametrize("std", [0.01, 0.7, 20])
def test_gaussian_has_mean_zero_and_its_std_in_every_feature(rows, scaling, std):
    noise = corrupted(GaussianNoise(std), rows, scaling) - rows
    z = noise.mean(axis=0) / (std / np.sqrt(N))
    assert np.abs(z).max() < stats.norm.isf(SURE / 2)
    squares = np.square(noise / std).sum(axis=0)
    low, high = stats.chi2.interval(1 - SURE, N)
    assert np.all((low < squares) & (squares < high)), (squares, low, high)


@each_scaling
def test_gaussian_is_normal_and_independent(rows, scaling):
    noise = corrupted(GaussianNoise(0.7), rows, scaling) - rows
    assert stats.kstest(noise.ravel(), stats.norm(0, 0.7).cdf).pvalue > SURE
    assert_independent(noise)


def test_gaussian_does_not_depend_on_the_rows(rows):
    scaling = fit_scaling("none", rows)
    x = torch.from_numpy(rows)
    first = GaussianNoise(0.7).corrupt(x, scaling, generator()) - x
    second = GaussianNoise(0.7).corrupt(x + 3, scaling, generator()) - (x + 3)
    torch.testing.assert_close(first, second, rtol=0, atol=1e-12)


# Masking ---------------------------------------------------------------------------------


@each_scaling
@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.9])
def test_masking_sets_its_fraction_of_the_values_to_zero_and_leaves_the_rest(
    rows, scaling, fraction
):
    seen = corrupted(Masking(fraction), rows, scaling)
    hidden = ~np.isclose(seen, rows, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(seen, np.where(hidden, 0, rows), rtol=1e-9, atol=1e-12)
    assert_share(hidden.sum(axis=0), fraction, N)
    assert_independent(hidden.astype(float))


@each_scaling
def test_masking_of_all_values_leaves_only_zeros(rows, scaling):
    seen = corrupted(Masking(1), rows, scaling)
    np.testing.assert_allclose(seen, 0, atol=1e-12)


# Salt and pepper -------------------------------------------------------------------------


@each_scaling
@pytest.mark.parametrize(
    ("fraction", "low", "high"), [(0.1, 0, 1), (0.5, -2, 5), (0.3, 9, 0.5), (1, -40, 40)]
)
def test_salt_and_pepper_sets_half_its_fraction_low_and_half_high(
    rows, scaling, fraction, low, high
):
    seen = corrupted(SaltAndPepper(fraction, low, high), rows, scaling)
    pepper, salt = (np.isclose(seen, value, rtol=0, atol=1e-11) for value in (low, high))
    rest = ~(pepper | salt)
    np.testing.assert_allclose(seen[rest], rows[rest], rtol=1e-9)
    assert_share(pepper.sum(axis=0), fraction / 2, N)
    assert_share(salt.sum(axis=0), fraction / 2, N)
    assert_independent(salt - 1.0 * pepper)


# All -------------------------------------------------------------------------------------


@each_scaling
@pytest.mark.parametrize("corruption", AT_ZERO_STRENGTH, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_zero_strength_returns_the_input_bitwise(rows, scaling, corruption, dtype):
    fitted = fit_scaling(scaling, rows).to(dtype)
    x = fitted(torch.from_numpy(rows).to(dtype))
    seen = corruption.corrupt(x, fitted, generator())
    assert seen.dtype == dtype
    assert seen.numpy().tobytes() == x.numpy().tobytes()


@each_noisy
@each_scaling
def test_corruption_of_float32_rows_is_that_of_float64_rows_to_rounding(rows, corruption, scaling):
    # In float32 as in training; the draws differ by type, so only the statistics are compared.
    exact, rounded = (
        corrupted(corruption, rows, scaling, dtype=dtype) - rows
        for dtype in (torch.float64, torch.float32)
    )
    spread = exact.std(axis=0)
    assert np.all(np.abs(rounded.std(axis=0) / spread - 1) < 0.1)
    assert np.all(np.abs(rounded.mean(axis=0) - exact.mean(axis=0)) < 0.15 * spread)


@each_noisy
def test_corruption_leaves_its_input_and_the_global_streams_alone(rows, corruption):
    scaling = fit_scaling("standard", rows)
    x = scaling(torch.from_numpy(rows))
    before, torch_state = x.clone(), torch.get_rng_state()
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002 (the global one is meant)
    corruption.corrupt(x, scaling, generator())
    assert torch.equal(x, before)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


@each_noisy
def test_corruption_is_the_same_for_the_same_seed_and_new_at_each_draw(rows, corruption):
    scaling = fit_scaling("none", rows)
    x = torch.from_numpy(rows)
    stream, again, other = generator(1), generator(1), generator(2)
    torch.manual_seed(0)
    first, second = (corruption.corrupt(x, scaling, stream) for _ in range(2))
    torch.manual_seed(1)
    assert torch.equal(first, corruption.corrupt(x, scaling, again))
    assert torch.equal(second, corruption.corrupt(x, scaling, again))
    assert not torch.equal(first, second)
    assert not torch.equal(first, corruption.corrupt(x, scaling, other))


@pytest.mark.parametrize("corruption", AT_ZERO_STRENGTH, ids=str)
def test_zero_strength_does_not_hide_the_input(corruption):
    assert corruption.hides is False


@each_noisy
def test_noise_hides_the_input(corruption):
    assert corruption.hides is True


# Clipped noise ---------------------------------------------------------------------------


@each_scaling
def test_clipped_noise_is_the_noise_cut_to_its_range(rows, scaling):
    noisy = corrupted(GaussianNoise(0.7), rows, scaling)
    clipped = corrupted(GaussianNoise(0.7, clip=(-1.5, 2)), rows, scaling)
    assert clipped == pytest.approx(noisy.clip(-1.5, 2), abs=1e-9)


# Blind spots -----------------------------------------------------------------------------

H, W = 6, 7
BLIND = BlindSpot(0.3, radius=1)


def blinded(corruption=BLIND, n_channels=2, shape=(H, W), seed=0):
    """Return pictures whose every pixel has a value of its own, and what is seen of them."""
    values = torch.arange(400 * H * W * n_channels, dtype=torch.float64)
    x = values.view(400, n_channels * shape[0] * shape[1])
    scaling = fit_scaling("none", x.numpy())
    seen = corruption.corrupt(x, scaling, generator(seed), (n_channels, *shape))
    return x.view(400, n_channels, *shape), seen.view(400, n_channels, *shape)


def test_blind_spots_are_a_share_of_the_pixels_in_all_channels():
    x, seen = blinded()
    hidden = (x != seen).numpy()
    assert (hidden[:, 0] == hidden[:, 1]).all()
    assert_share(hidden[:, 0].sum(), 0.3, 400 * H * W)
    assert_share(hidden[:, 0].sum(0), 0.3, 400)
    assert_independent(hidden[:, 0].reshape(400, -1))


def test_blind_spot_shows_each_neighbour_equally_often_and_never_itself():
    x, seen = blinded()
    row, _, down, right = (x != seen)[:, :1, 1:-1, 1:-1].nonzero(as_tuple=True)
    shown = seen[row, 0, down + 1, right + 1] - x[row, 0, down + 1, right + 1]
    steps, counts = shown.unique(return_counts=True)
    around = (-1, 0, 1)
    assert steps.tolist() == [W * dy + dx for dy in around for dx in around if dy or dx]
    assert_share(counts.numpy(), 1 / 8, len(shown))


def test_blind_spot_shows_the_same_pixel_of_the_same_picture_in_every_channel():
    x, seen = blinded(BlindSpot(0.5, radius=3))
    assert torch.equal(seen[:, 1] - seen[:, 0], x[:, 1] - x[:, 0])
    assert ((seen - x)[:, 0].abs() < H * W).all()


def test_values_that_are_judged_count_alone():
    x, seen = blinded()
    x, judged = x.flatten(1), (seen != x).flatten(1)
    output = x + torch.randn(x.shape, generator=generator(1), dtype=x.dtype)
    for likelihood, cost in [(Normal(std=0.5), lambda e: e**2 / 0.5), (Laplace(), torch.abs)]:
        nats = nll_of(likelihood, output, x, judged)
        missed = torch.where(judged, cost(output - x), 0).sum(1)
        constant = likelihood.nll(x, x) / x.shape[1] * judged.sum(1)
        assert nats.numpy() == pytest.approx((missed + constant).numpy())


def test_every_corruption_is_tested_here():
    tested = {type(corruption) for corruption in [*AT_ZERO_STRENGTH, *NOISY, BLIND, Binarised()]}
    assert set(Corruption.kinds.values()) == tested


def test_blind_spots_are_judged_where_a_neighbour_is_alike_too():
    """Pixels that differ from their neighbour alone would say: not what you see."""
    corruption, x = BlindSpot(0.4), torch.zeros(50, H * W)
    seen = corruption.see(x, fit_scaling("none", x.numpy()), generator(), (1, H, W))
    assert torch.equal(seen.rows, x)
    assert_share(seen.judged.sum().numpy(), 0.4, x.numel())


def test_two_valued_pictures_are_cleaned_from_noisy_ones_alone():
    rng = np.random.default_rng(0)
    down, right = np.mgrid[:8, :8]
    centre = rng.uniform(2, 6, (400, 2, 1, 1))
    clean = ((down - centre[:, 0]) ** 2 + (right - centre[:, 1]) ** 2 < 6).astype("float32")
    noisy = np.where(rng.random(clean.shape) < 0.1, 1 - clean, clean).astype("float32")
    network = "conv(channels=(8,), skip=True, side=8)"
    model = DenoisingAutoencoder(8, target="blind", network=network, max_epochs=20, random_state=0)
    cleaned = model.fit(noisy).denoise(noisy)
    assert np.square(cleaned - clean).mean() < np.square(noisy - clean).mean()


def test_range_of_clipped_noise_names_its_lower_end_first():
    with pytest.raises(ParameterError, match=r"^clip of corruption 'gaussian' should name the "):
        GaussianNoise(0.1, clip=(1, 0))
