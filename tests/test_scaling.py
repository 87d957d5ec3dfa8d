import copy
import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.preprocessing import StandardScaler

from isthmus.data.rows import CHUNK_BYTES, chunks, fit_scaling, moments
from isthmus.data.scaling import SCALINGS, Scaling, scaling_of

each_scaling = pytest.mark.parametrize("name", SCALINGS)
CONSTANTS = [0.0, 1.0, 0.1, 1 / 3, -2.7, 1e-9, 1e9 + 0.1, 123456.789]


@pytest.fixture(scope="module")
def table():
    """Return 500 rows of mixed units."""
    draw = np.random.default_rng(0)
    mean, spread = np.array([0.0, 5, -300, 1e4, 1e-3]), np.array([1, 0.02, 40, 3e3, 1e-6])
    return mean + spread * draw.standard_normal((500, 5))


def scaled(scaling, X):
    return scaling(torch.from_numpy(X)).numpy()


# Against others --------------------------------------------------------------------------


def test_standard_scaling_is_scikit_learns(table):
    theirs = StandardScaler().fit(table)
    ours = fit_scaling("standard", table)
    np.testing.assert_allclose(ours.offset.numpy(), theirs.mean_, rtol=1e-12)
    np.testing.assert_allclose(ours.scale.numpy(), theirs.scale_, rtol=1e-10)
    np.testing.assert_allclose(scaled(ours, table), theirs.transform(table), atol=1e-9)


def test_isotropic_scaling_divides_by_the_root_of_the_mean_variance(table):
    ours = fit_scaling("isotropic", table)
    assert ours.scale.shape == ()
    np.testing.assert_allclose(ours.offset.numpy(), table.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(ours.scale.item(), np.sqrt(table.var(axis=0).mean()), rtol=1e-12)


def test_isotropic_scaling_keeps_the_geometry(table):
    distances = np.linalg.norm(table[:50, None] - table[None, :50], axis=-1)
    z = scaled(fit_scaling("isotropic", table), table[:50])
    after = np.linalg.norm(z[:, None] - z[None], axis=-1)
    off = ~np.eye(50, dtype=bool)
    ratio = after[off] / distances[off]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)


def test_isotropic_scaling_gives_the_features_a_mean_variance_of_one(table):
    z = scaled(fit_scaling("isotropic", table), table)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(z.var(axis=0).mean(), 1, rtol=1e-9)


def test_no_scaling_is_the_identity_bitwise(table):
    assert np.array_equal(scaled(fit_scaling("none", table), table), table)


# Constants -------------------------------------------------------------------------------


@pytest.mark.parametrize("constant", CONSTANTS)
@pytest.mark.parametrize("n_rows", [2, 3, 7, 1000])
def test_constant_feature_is_scaled_by_one(constant, n_rows):
    X = np.column_stack([np.full(n_rows, constant), np.arange(n_rows)]).astype(float)
    ours = fit_scaling("standard", X)
    assert StandardScaler().fit(X).scale_[0] == 1  # what we hold ourselves to
    assert ours.scale[0] == 1
    np.testing.assert_allclose(scaled(ours, X)[:, 0], 0, atol=1e-6)


@pytest.mark.parametrize("constant", CONSTANTS)
@pytest.mark.parametrize("n_rows", [2, 3, 7, 1000])
def test_constant_table_is_scaled_by_one(constant, n_rows):
    ours = fit_scaling("isotropic", np.full((n_rows, 3), constant))
    assert ours.scale == 1


@pytest.mark.parametrize("name", ["isotropic", "standard"])
def test_one_row_is_scaled_by_one(name, table):
    ours = fit_scaling(name, table[:1])
    assert bool((ours.scale == 1).all())
    np.testing.assert_array_equal(scaled(ours, table[:1]), 0)


def test_nearly_constant_feature_is_still_scaled():
    X = np.array([[1.0, 0], [1 + 1e-9, 1], [1 - 1e-9, 2]])
    theirs = StandardScaler().fit(X).scale_
    np.testing.assert_allclose(fit_scaling("standard", X).scale.numpy(), theirs, rtol=1e-6)


# Digits ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["isotropic", "standard"])
def test_large_offset_keeps_its_digits(name):
    """Time stamps: 1.7e9 seconds with a spread of one."""
    draw = np.random.default_rng(0)
    small = draw.standard_normal((1000, 2))
    stamps = 1.7e9 + small
    exact = stamps - 1.7e9  # float64 holds stamps to 2e-7; nothing further may be lost
    ours = fit_scaling(name, stamps)
    spread = exact.std(axis=0) if name == "standard" else np.sqrt(exact.var(axis=0).mean())
    np.testing.assert_allclose(ours.scale.numpy(), spread, rtol=1e-7)
    np.testing.assert_allclose(
        scaled(ours, stamps), (exact - exact.mean(axis=0)) / spread, atol=1e-5
    )


def test_moments_are_numpys_over_many_chunks(monkeypatch, table):
    monkeypatch.setattr("isthmus.data.rows.CHUNK_BYTES", 8 * 5 * 7)  # seven rows
    mean, variance = moments(table)
    np.testing.assert_allclose(mean.numpy(), table.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(variance.numpy(), table.var(axis=0), rtol=1e-10)


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int8, np.bool_, np.int16, np.uint16, np.float16, np.float32, np.int64]
)
def test_moments_of_small_types_do_not_overflow(dtype):
    values = np.random.default_rng(0).integers(0, 2, (3000, 3)) * (1 if dtype == np.bool_ else 120)
    mean, variance = moments(values.astype(dtype))
    np.testing.assert_allclose(mean.numpy(), values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(variance.numpy(), values.var(axis=0), rtol=1e-12)


@pytest.mark.parametrize(("n_rows", "n_features"), [(1, 1), (0, 3), (10, 0), (5, 10**9)])
def test_chunks_cover_every_row_once_and_in_order(n_rows, n_features):
    seen = [i for part in chunks(n_rows, n_features) for i in range(n_rows)[part]]
    assert seen == list(range(n_rows))


def test_chunks_hold_no_more_than_their_bytes():
    parts = list(chunks(3_000_000, 100))
    assert max(part.stop - part.start for part in parts) * 100 * 8 <= CHUNK_BYTES


# The map ---------------------------------------------------------------------------------


@each_scaling
def test_inverse_undoes_scaling(name, table):
    scaling = fit_scaling(name, table)
    x = torch.from_numpy(table)
    torch.testing.assert_close(scaling.inverse(scaling(x)), x, rtol=1e-12, atol=1e-12)


@each_scaling
def test_distance_is_how_far_scaling_moves_two_rows_apart(name, table):
    scaling = fit_scaling(name, table)
    x = torch.from_numpy(table)
    apart = scaling(x + 0.37) - scaling(x)
    expected = scaling.distance(0.37).expand(5).expand_as(apart)
    torch.testing.assert_close(apart, expected, rtol=1e-6, atol=1e-6)


@each_scaling
def test_log_volume_turns_densities_into_the_users(name, table):
    """A normal density of scaled rows, less the log-volume, is one of the user's rows."""
    scaling = fit_scaling(name, table)
    scale = scaling.scale.expand(5).numpy()
    ours = stats.norm(0, 1).logpdf(scaled(scaling, table)).sum(axis=1) - scaling.log_volume().item()
    theirs = stats.norm(scaling.offset.numpy(), scale).logpdf(table).sum(axis=1)
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)


@pytest.mark.parametrize(
    ("scale", "expected"),
    [(torch.tensor(2.0), 3 * math.log(2)), (torch.tensor([1.0, 2, 4]), math.log(8))],
)
def test_log_volume_counts_every_feature(scale, expected):
    assert Scaling(torch.zeros(3), scale).log_volume().item() == pytest.approx(expected)


@each_scaling
def test_scaling_is_state_of_the_module_that_nobody_trains(name, table):
    scaling = fit_scaling(name, table)
    assert set(scaling.state_dict()) == {"offset", "scale"}
    assert list(scaling.parameters()) == []
    copied = copy.deepcopy(scaling)
    copied.offset += 1
    assert not torch.equal(copied.offset, scaling.offset)


@each_scaling
def test_scaling_is_in_float64(name, table):
    scaling = fit_scaling(name, table.astype(np.float32))
    assert (scaling.offset.dtype, scaling.scale.dtype) == (torch.float64, torch.float64)


def test_scaling_does_not_keep_the_callers_tensors_in_common():
    mean, variance = torch.ones(2).double(), torch.ones(2).double()
    scaling = scaling_of("standard", mean, variance)
    variance += 1
    assert torch.equal(scaling.scale, torch.ones(2).double())
