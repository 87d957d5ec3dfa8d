"""New samples: where codes come from, chains, and ways between samples."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import special, stats

from isthmus import (
    Autoencoder,
    DenoisingAutoencoder,
    SparseAutoencoder,
    StackedAutoencoder,
    VariationalAutoencoder,
    datasets,
    load,
)
from isthmus.errors import DataError, ParameterError
from isthmus.estimators.densities import DENSITIES, WIDTHS, _likeliest_width
from isthmus.estimators.sampling import sphere
from isthmus.fitting.chains import gibbs
from isthmus.fitting.model import Model

QUICK = {"max_epochs": 5, "validation_fraction": 0, "random_state": 0}


@pytest.fixture(scope="module")
def pixels():
    return datasets.digits().images[:500]


@pytest.fixture(scope="module")
def plain(pixels):
    return Autoencoder(5, **QUICK).fit(pixels)


@pytest.fixture(scope="module")
def variational(pixels):
    return VariationalAutoencoder(5, **QUICK).fit(pixels)


@pytest.fixture(scope="module")
def denoising(pixels):
    options = {**QUICK, "max_epochs": 20, "corruption": "gaussian(std=0.3)"}
    return DenoisingAutoencoder(20, likelihood="bernoulli", **options).fit(pixels)


@pytest.fixture(scope="module")
def stack(pixels):
    return StackedAutoencoder(
        12,
        hidden=(24,),
        activation="sigmoid",
        code="sigmoid",
        likelihood="bernoulli",
        pretraining="rbm(n_epochs=150)",
        **{**QUICK, "max_epochs": 0},
    ).fit(pixels)


# Densities -------------------------------------------------------------------------------


def peaks(n=3000):
    """Codes in two clouds, far apart."""
    rng = np.random.default_rng(0)
    side = rng.integers(2, size=(n, 1)) * 2 - 1
    return side * np.array([5.0, 2.0]) + 0.5 * rng.normal(size=(n, 2))


@pytest.mark.parametrize("name", DENSITIES)
def test_density_has_the_mean_and_covariance_of_the_codes(name):
    codes = peaks()
    drawn = DENSITIES[name](codes, 20_000, 0)
    np.testing.assert_allclose(drawn.mean(axis=0), codes.mean(axis=0), atol=0.15)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(codes.T), rtol=0.06)


def test_only_the_gaussian_draws_between_two_clouds():
    drawn = {name: draw(peaks(), 2000, 0)[:, 0] for name, draw in DENSITIES.items()}
    between = {name: np.mean(np.abs(codes) < 2) for name, codes in drawn.items()}
    assert between["gaussian"] > 0.2
    assert max(between["mixture"], between["kde"]) < 0.02


@pytest.mark.parametrize("name", DENSITIES)
def test_draws_of_a_density_come_in_no_order(name):
    sides = np.sign(DENSITIES[name](peaks(), 2000, 0)[:, 0])
    halves = sides[:1000].mean(), sides[1000:].mean()
    assert abs(halves[0] - halves[1]) < 0.15  # three standard errors


def test_width_of_the_kernel_density_is_the_best_of_brute_force():
    rng = np.random.default_rng(0)
    for n_units in (1, 8, 40):
        codes = rng.normal(size=(300, n_units))
        fitted, left_out = codes[:150], codes[150:]
        scores = []
        for width in WIDTHS:
            peaks = stats.norm.logpdf(left_out[:, None], fitted, width).sum(2)
            scores.append(np.mean(special.logsumexp(peaks, axis=1)))
        assert _likeliest_width(codes) == WIDTHS[np.argmax(scores)]


@pytest.mark.parametrize("name", DENSITIES)
@pytest.mark.parametrize("codes", [np.zeros((1, 3)), np.ones((5, 2)), np.eye(4)], ids=str)
def test_density_of_very_few_or_equal_codes_is_finite(name, codes):
    with np.errstate(all="ignore"):
        drawn = DENSITIES[name](np.repeat(codes, 2, axis=0), 7, 0)
    assert drawn.shape == (7, codes.shape[1])
    assert np.isfinite(drawn).all()


# sample ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["auto", "gaussian", "mixture", "kde"])
def test_samples_are_the_same_for_one_seed_and_others_for_another(plain, method):
    first, again, other = (plain.sample(6, method, random_state=seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.shape == (6, 64)


def test_prior_samples_are_decoded_normal_draws(variational):
    samples = variational.sample(400, random_state=0)
    assert np.array_equal(samples, variational.sample(400, "prior", random_state=0))
    codes = torch.empty(400, 5, dtype=torch.float64)
    from isthmus.fitting.streams import Streams

    codes.normal_(generator=Streams(0).generator("code"))
    np.testing.assert_array_equal(samples, variational.inverse_transform(codes))


def test_drawn_samples_differ_from_expected_ones_by_the_likelihoods_noise(variational):
    expected = variational.sample(300, random_state=0)
    drawn = variational.sample(300, random_state=0, expected=False)
    model = variational.model_
    std = float(model.spread.values.sqrt() * model.scaling.scale)
    assert np.std(drawn - expected) == pytest.approx(std, rel=0.02)


def test_samples_have_the_shape_of_the_samples_given(pixels):
    model = Autoencoder(3, network="conv(channels=(4,))", **{**QUICK, "max_epochs": 1})
    model.fit(pixels[:40].reshape(-1, 8, 8))
    assert model.sample(3).shape == (3, 8, 8)
    assert model.traverse(pixels[0].reshape(8, 8), 1).shape == (9, 8, 8)


def test_walkback_goes_from_noise_to_rows_that_the_model_keeps(denoising, pixels):
    """A step adds noise and takes it off: what results is cleaner than what went in."""
    samples = denoising.sample(50, "walkback", n_steps=30, random_state=0)
    rng = np.random.default_rng(0)
    noisy = samples + 0.3 * rng.normal(size=samples.shape)
    cleaned = denoising.reconstruct(noisy)
    assert np.square(cleaned - samples).mean() < 0.6 * np.square(noisy - samples).mean()
    assert 0.7 < samples.std() / pixels.std() < 1.2


def test_chains_move(denoising, stack):
    for model, method in ((denoising, "walkback"), (stack, "gibbs")):
        few, many = (model.sample(20, method, n_steps=n, random_state=0) for n in (1, 10))
        assert np.abs(few - many).max() > 0.05


def test_gibbs_chain_samples_the_machine_of_the_top_layer():
    """A stack of one layer is an RBM; its chain has the frequencies that enumeration gives."""
    rng = np.random.default_rng(0)
    X = (rng.random((400, 1)) < 0.5) ^ (rng.random((400, 4)) < 0.1)
    stack = StackedAutoencoder(
        2,
        hidden=(),
        code="sigmoid",
        likelihood="bernoulli",
        scaling="none",
        pretraining="rbm(n_epochs=30)",
        **{**QUICK, "max_epochs": 0},
    ).fit(X.astype(np.float32))
    model = stack.model_.float()
    generator = torch.Generator().manual_seed(0)
    z = gibbs(model, torch.full((20_000, 2), 0.5), 30, generator)
    h = torch.bernoulli(z, generator=generator)
    found = torch.stack([((h == torch.tensor(s)).all(1)).float().mean() for s in STATES])
    W, c = model.encoder[0].weight.detach(), model.encoder[0].bias.detach()
    b = model.decoder[0].bias.detach()
    each = torch.tensor(STATES)
    free = each @ c + torch.nn.functional.softplus(each @ W + b).sum(1)
    torch.testing.assert_close(found, free.softmax(0), atol=0.02, rtol=0)


STATES = [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)]


def test_codes_are_kept_and_saved(plain, pixels, tmp_path):
    codes = plain.transform(pixels)
    assert plain.codes_.dtype == np.float32
    np.testing.assert_allclose(np.sort(plain.codes_, axis=0), np.sort(codes, axis=0), atol=1e-5)
    plain.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert np.array_equal(again.sample(3, random_state=0), plain.sample(3, random_state=0))


def test_wide_codes_are_kept_in_part():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(700, 800)).astype(np.float32)
    model = Autoencoder(800, network="dense(hidden=())", **{**QUICK, "max_epochs": 0}).fit(X)
    assert model.codes_.shape == (625, 800)


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        ("prior", "method='prior' needs codes that the training held to a prior"),
        ("walkback", "corruption 'clean' is none: fit a DenoisingAutoencoder"),
        ("gibbs", "method='gibbs' needs layers and codes that are probabilities"),
        ("mixtures", "method='mixtures' is unknown; did you mean 'mixture'? (known: auto, prior,"),
    ],
)
def test_method_that_cannot_serve_is_refused(plain, method, sentence):
    with pytest.raises(ParameterError) as raised:
        plain.sample(method=method)
    assert sentence in str(raised.value)


def test_network_with_skips_cannot_sample(pixels):
    network = "conv(channels=(4,), skip=True)"
    model = DenoisingAutoencoder(4, network=network, **{**QUICK, "max_epochs": 1})
    model.fit(pixels[:40].reshape(-1, 8, 8))
    with pytest.raises(ParameterError, match=r"nothing to go by: fit with skip=False\.$"):
        model.sample()


# Between and around ----------------------------------------------------------------------


@pytest.mark.parametrize("path", ["straight", "sphere"])
def test_interpolation_begins_and_ends_at_the_reconstructions(plain, pixels, path):
    way = plain.interpolate(pixels[0], pixels[1], 6, path=path)
    assert way.shape == (6, 64)
    np.testing.assert_allclose(way[[0, -1]], plain.reconstruct(pixels[:2]), atol=1e-6)


def test_sphere_keeps_the_length_and_turns_evenly():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 6))
    b *= np.linalg.norm(a) / np.linalg.norm(b)
    way = sphere(a, b, np.linspace(0, 1, 7)[:, None])
    np.testing.assert_allclose(np.linalg.norm(way, axis=1), np.linalg.norm(a))
    steps = np.linalg.norm(np.diff(way, axis=0), axis=1)
    np.testing.assert_allclose(steps, steps[0])


def test_sphere_between_the_same_or_nothing_is_straight():
    share = np.linspace(0, 1, 3)[:, None]
    assert np.allclose(sphere(np.ones(3), 2 * np.ones(3), share)[1], 1.5)
    assert np.allclose(sphere(np.zeros(3), np.ones(3), share)[1], 0.5)


def test_traversal_moves_one_unit_over_what_training_rows_have(plain, pixels):
    codes = plain.transform(plain.traverse(pixels[0], 2, n_steps=5))
    expected = np.repeat(plain.transform(pixels[:1]), 5, axis=0)
    expected[:, 2] = np.linspace(*np.quantile(plain.codes_[:, 2], [0.025, 0.975]), 5)
    decoded = plain.inverse_transform(expected)
    np.testing.assert_allclose(plain.traverse(pixels[0], 2, n_steps=5), decoded, atol=1e-6)
    assert codes.shape == (5, 5)


def test_single_samples_are_asked_for(plain, pixels):
    with pytest.raises(DataError, match=r"^a has the shape \(2, 64\), and a sample of X \(64,\)"):
        plain.interpolate(pixels[:2], pixels[0])
    with pytest.raises(ParameterError, match=r"^unit=5 is not there: .* the units 0 to 4\.$"):
        plain.traverse(pixels[0], 5)


# Frames ----------------------------------------------------------------------------------


def test_ways_of_a_model_of_a_frame_take_one_of_its_rows():
    table = pd.DataFrame(datasets.digits().images[:200, 20:26], columns=list("abcdef"))
    model = Autoencoder(2, **QUICK).fit(table).set_output(transform="pandas")
    bare = Autoencoder(2, **QUICK).fit(table.to_numpy())
    a, b = table.iloc[0], table.iloc[1]
    expected = bare.interpolate(a, b)
    np.testing.assert_array_equal(model.interpolate(a, b), expected)
    np.testing.assert_array_equal(model.traverse(a, 1), bare.traverse(a.to_numpy(), 1))
    np.testing.assert_allclose(expected[[0, -1]], bare.reconstruct(table.to_numpy()[:2]), rtol=1e-5)


@pytest.mark.parametrize("method", ["gaussian", "mixture", "kde"])
def test_one_kept_code_is_drawn_again_and_again(pixels, method):
    model = Autoencoder(3, **QUICK).partial_fit(pixels).partial_fit(pixels[:1])
    assert np.isfinite(model.sample(5, method=method, random_state=0)).all()


@pytest.mark.parametrize("method", ["gaussian", "mixture", "kde"])
def test_samples_of_a_sparse_code_are_as_sparse(method, monkeypatch):
    X = np.random.default_rng(0).normal(size=(200, 12))
    model = SparseAutoencoder(20, sparsity="topk(k=3)", **QUICK).fit(X)
    decode, decoded = Model.decode, []
    monkeypatch.setattr(Model, "decode", lambda self, z: decoded.append(z) or decode(self, z))
    model.sample(50, method=method, random_state=0)
    used = (torch.cat(decoded) != 0).sum(1)
    assert len(used) == 50
    assert set(used.tolist()) <= {1, 2, 3}
