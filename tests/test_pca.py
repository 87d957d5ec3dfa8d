import numpy as np
import pytest
import sklearn.decomposition
import threadpoolctl
import torch

import isthmus.fitting.pca
from isthmus.data.rows import fit_scaling, select
from isthmus.fitting.pca import EXACT_UP_TO, principal_axes, width_of


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Keep torch's threads and NumPy's from waiting for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpoolctl.threadpool_limits(1):
        yield
    torch.set_num_threads(before)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pca_of(X, n_components, clean=None, seed=0):
    """Return our PCA of rows in the user's units, in NumPy."""
    scaling = fit_scaling("none", X)
    selection = select(X, X if clean is None else clean, scaling, "cpu")
    found = principal_axes(selection, n_components, generator(seed))
    return type(found)(*(field.numpy() for field in found))


def decaying(n, d, decay, seed=0):
    """Return rows whose k-th singular value falls as `decay` says, in float32."""
    draw = np.random.default_rng(seed)
    k = min(n, d)
    left = np.linalg.qr(draw.standard_normal((n, k)))[0]
    right = np.linalg.qr(draw.standard_normal((d, k)))[0]
    return ((left * decay(np.arange(1, k + 1))) @ right.T).astype(np.float32)


def lost(X, found):
    """Return the squared error of the PCA over all rows."""
    centred = X.astype(float) - found.center
    return np.square(centred - centred @ found.axes.T @ found.axes).sum()


@pytest.fixture
def randomised(monkeypatch):
    monkeypatch.setattr(isthmus.fitting.pca, "EXACT_UP_TO", 0)


@pytest.fixture(scope="module")
def table():
    draw = np.random.default_rng(0)
    rows = draw.standard_normal((300, 20)) @ draw.standard_normal((20, 20)) + 7
    return rows.astype(np.float32)


# Exact -----------------------------------------------------------------------------------


@pytest.mark.parametrize("n_components", [1, 5, 20])
def test_pca_is_scikit_learns(table, n_components):
    found = pca_of(table, n_components)
    theirs = sklearn.decomposition.PCA(n_components, svd_solver="full").fit(table.astype(float))
    np.testing.assert_allclose(found.center, theirs.mean_, rtol=1e-6)
    n = len(table)
    np.testing.assert_allclose(found.variances, theirs.explained_variance_ * (n - 1) / n, rtol=1e-6)
    cosines = (found.axes * theirs.components_).sum(axis=1)  # of the same sign too
    np.testing.assert_allclose(cosines, 1, atol=1e-6)


@pytest.mark.parametrize("rounding", [-1e-12, 0, 1e-12])
def test_first_of_numbers_as_large_turns_its_axis(rounding):
    along, across = np.array([[-1, 1, 0.5]]), np.array([[0.2, 0.3, -0.2]])
    X = np.concatenate([along * (1 + rounding), -along, across, -across])
    assert pca_of(X, 1).axes[0, 0] > 0
    assert pca_of(X[:, [1, 0, 2]], 1).axes[0, 0] > 0


@pytest.mark.parametrize("n_components", [1, 5, 20])
def test_axes_are_orthonormal_and_widest_first(table, n_components):
    found = pca_of(table, n_components)
    np.testing.assert_allclose(found.axes @ found.axes.T, np.eye(n_components), atol=1e-10)
    assert np.all(np.diff(found.variances) <= 0)
    scores = (table - found.center) @ found.axes.T
    np.testing.assert_allclose(scores.var(axis=0), found.variances, rtol=1e-6)


def test_pca_is_the_same_over_many_chunks(table, monkeypatch):
    whole = pca_of(table, 5)
    monkeypatch.setattr(isthmus.fitting.pca, "CHUNK_BYTES", 8 * 20 * 7)  # seven rows
    chunked = pca_of(table, 5)
    np.testing.assert_allclose(chunked.axes @ whole.axes.T, np.eye(5), atol=1e-10)
    np.testing.assert_allclose(chunked.center, whole.center, rtol=1e-12)


def test_pca_is_that_of_the_clean_rows(table):
    noise = np.random.default_rng(1).standard_normal(table.shape).astype(np.float32)
    found, clean = pca_of(table + 30 * noise, 5, clean=table), pca_of(table, 5)
    np.testing.assert_allclose(found.axes, clean.axes, atol=1e-12)
    np.testing.assert_allclose(found.center, clean.center, rtol=1e-12)


def test_pca_is_that_of_the_selected_rows(table):
    selection = select(table, table, fit_scaling("none", table), "cpu").at(torch.arange(0, 300, 3))
    found = principal_axes(selection, 5, generator())
    np.testing.assert_allclose(found.axes.numpy(), pca_of(table[::3], 5).axes, atol=1e-10)


def test_pca_does_not_lose_a_small_spread_beside_a_large_offset():
    draw = np.random.default_rng(0)
    stamps = 1.7e9 + draw.standard_normal((400, 3)) * np.array([3.0, 1, 0.3])
    scaling = fit_scaling("isotropic", stamps)
    selection = select(stamps, stamps, scaling, "cpu")
    found = principal_axes(selection, 3, generator())
    expected = np.linalg.eigvalsh(np.cov((stamps - 1.7e9).T, bias=True))[::-1]
    ours = found.variances.numpy() * scaling.scale.item() ** 2
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


# Randomised ------------------------------------------------------------------------------

SPECTRA = {
    "exponential": lambda k: np.exp(-k / 10),
    "power": lambda k: k**-1.0,
    "slow power": lambda k: k**-0.5,
    "gap": lambda k: np.where(k <= 8, 10.0, 0.1),
}


@pytest.mark.usefixtures("randomised")
@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("n_components", [2, 8, 30])
def test_randomised_pca_loses_what_the_exact_one_loses(name, n_components):
    X = decaying(400, 300, SPECTRA[name]) + 3
    exact = sklearn.decomposition.PCA(n_components, svd_solver="full").fit(X.astype(float))
    rest = np.square(X - exact.inverse_transform(exact.transform(X.astype(float)))).sum()
    assert lost(X, pca_of(X, n_components)) <= rest * (1 + 1e-3)


def test_randomised_pca_is_what_wide_rows_get():
    X = decaying(60, EXACT_UP_TO + 52, lambda k: np.exp(-k / 4)) + 3
    found = pca_of(X, 6)
    other = pca_of(X, 6, seed=1)
    assert not np.array_equal(found.axes, other.axes)  # it draws
    singular = np.linalg.svd(X - X.mean(axis=0), compute_uv=False)
    rest = np.square(singular[6:]).sum()
    assert rest <= lost(X, found) * (1 + 1e-6)
    assert lost(X, found) <= rest * (1 + 1e-3)
    np.testing.assert_allclose(found.variances, np.square(singular[:6]) / 60, rtol=1e-4)


@pytest.mark.usefixtures("randomised")
def test_randomised_axes_are_orthonormal_and_widest_first(table):
    found = pca_of(table, 5)
    np.testing.assert_allclose(found.axes @ found.axes.T, np.eye(5), atol=1e-10)
    scores = (table - found.center) @ found.axes.T
    np.testing.assert_allclose(scores.var(axis=0), found.variances, rtol=1e-6)
    assert np.all(np.diff(found.variances) <= 0)


@pytest.mark.usefixtures("randomised")
def test_randomised_pca_draws_from_the_generator_alone(table):
    state = torch.get_rng_state()
    first, again = pca_of(table, 5), pca_of(table, 5)
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(first.axes, again.axes)


# Little to go by -------------------------------------------------------------------------

either_solver = pytest.mark.parametrize("exact_up_to", [EXACT_UP_TO, 0], ids=["exact", "random"])


@pytest.fixture
def solver(monkeypatch, exact_up_to):
    monkeypatch.setattr(isthmus.fitting.pca, "EXACT_UP_TO", exact_up_to)


def assert_sound(found, n_components, n_features):
    """Assert finite axes that are orthonormal or zero."""
    assert found.axes.shape == (n_components, n_features)
    assert found.variances.shape == (n_components,)
    assert np.isfinite(found.axes).all()
    assert np.isfinite(found.variances).all()
    assert np.all(found.variances >= 0)
    gram = found.axes @ found.axes.T
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-10)
    assert set(np.diag(gram).round(8)) <= {0, 1}


@either_solver
@pytest.mark.usefixtures("solver")
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9, 0.99, 0.999999])
@pytest.mark.parametrize("shape", [(300, 20), (15, 40), (250, 200)])
def test_width_that_keeps_a_share_of_the_variance_is_that_of_scikit_learns(share, shape):
    rows = decaying(*shape, lambda k: 1 / k)
    expected = sklearn.decomposition.PCA(share, svd_solver="full").fit(rows).n_components_
    selection = select(rows, rows, fit_scaling("isotropic", rows), "cpu")
    assert width_of(selection, share, generator()) == expected


@either_solver
@pytest.mark.usefixtures("solver")
def test_rows_that_are_all_alike_ask_for_a_width_of_one():
    rows = np.full((9, 5), 3.0, np.float32)
    assert width_of(select(rows, rows, fit_scaling("none", rows), "cpu"), 0.9, generator()) == 1


@either_solver
@pytest.mark.usefixtures("solver")
def test_pca_of_fewer_rows_than_components_rebuilds_them(table):
    found = pca_of(table[:4], 9)
    assert_sound(found, 9, 20)
    np.testing.assert_allclose(lost(table[:4], found), 0, atol=1e-8)
    np.testing.assert_allclose(found.variances[3:], 0, atol=1e-8)


@either_solver
@pytest.mark.usefixtures("solver")
def test_axes_that_fewer_rows_than_components_leave_open_are_zero(table):
    """Four rows about their mean span three axes; any other would be arbitrary."""
    found = pca_of(table[:4], 9)
    assert np.linalg.norm(found.axes[:3], axis=1) == pytest.approx(1)
    np.testing.assert_array_equal(found.axes[3:], 0)


@either_solver
@pytest.mark.usefixtures("solver")
def test_axes_beyond_the_features_are_zero(table):
    found = pca_of(table, 25)
    assert_sound(found, 25, 20)
    np.testing.assert_array_equal(found.axes[20:], 0)
    np.testing.assert_array_equal(found.variances[20:], 0)
    np.testing.assert_allclose(np.linalg.norm(found.axes[:20], axis=1), 1, atol=1e-10)


@either_solver
@pytest.mark.usefixtures("solver")
@pytest.mark.parametrize("value", [0.0, 0.1, -1e6])
def test_pca_of_constant_rows_is_their_value(value):
    X = np.full((30, 6), value, np.float32)
    found = pca_of(X, 2)
    assert_sound(found, 2, 6)
    np.testing.assert_allclose(found.center, X[0], rtol=1e-12)
    np.testing.assert_allclose(found.variances, 0, atol=1e-8)
    np.testing.assert_allclose(lost(X, found), 0, atol=1e-8)


@either_solver
@pytest.mark.usefixtures("solver")
def test_pca_of_one_row_is_that_row(table):
    found = pca_of(table[:1], 3)
    assert_sound(found, 3, 20)
    np.testing.assert_array_equal(found.center, table[0])
    np.testing.assert_array_equal(found.variances, 0)


@either_solver
@pytest.mark.usefixtures("solver")
def test_pca_of_one_feature_is_its_spread(table):
    found = pca_of(table[:, :1], 1)
    assert_sound(found, 1, 1)
    np.testing.assert_allclose(found.variances, table[:, :1].astype(float).var(), rtol=1e-9)
