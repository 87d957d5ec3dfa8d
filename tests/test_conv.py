"""The convolutional network: shapes, starts, skips and pictures of any shape."""

import re

import numpy as np
import pytest
import torch

from isthmus import Autoencoder, DenoisingAutoencoder, load
from isthmus.errors import DataError, ParameterError
from isthmus.fitting.model import Model
from isthmus.parts import Conv
from isthmus.parts.halves import Halves, Sizes
from isthmus.parts.networks.linear_path import LinearPathEncoder

RNG = np.random.default_rng(0)
H, W, K = 10, 12, 3
PICTURES = RNG.random((60, 2, H, W)).astype("float32")
FAST = {"max_epochs": 2, "random_state": 0, "batch_size": 20, "precision": "float32"}
SMALL = "conv(channels=(4, 6))"
SKIPS = "conv(channels=(4, 6), skip=True)"
NOISE = {"corruption": "gaussian(std=0.2)"}


def halves_of(network, shape=(2, H, W), *, linear_path=False, seed=0) -> Halves:
    n_features = int(np.prod(shape))
    sizes = Sizes(n_features, K, K, n_features, shape)
    generator = torch.Generator().manual_seed(seed)
    return network.build(sizes, generator, linear_path=linear_path)


def fitted(network=SMALL, X=PICTURES, **options):
    return Autoencoder(K, network=network, **{**FAST, **options}).fit(X)


# What is built ---------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 10, 12), (7, 9), (1, 1, 1), (3, 5, 33)])
@pytest.mark.parametrize("options", [{}, {"residual": True}, {"patch": 2}, {"norm": "layer"}])
def test_rows_come_back_as_rows_whatever_the_shape_of_the_picture(shape, options):
    halves = halves_of(Conv(channels=(4, 6), **options), shape)
    rows = torch.rand(5, int(np.prod(shape)))
    assert halves.encoder(rows).shape == (5, K)
    assert halves.decoder(torch.rand(5, K)).shape == rows.shape


def test_weights_follow_from_the_generator_alone():
    states = [halves_of(Conv(), seed=seed).encoder.state_dict() for seed in (0, 0, 1)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert any(not torch.equal(states[0][name], states[2][name]) for name in states[0])


def test_global_generator_is_left_alone():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    halves_of(Conv(norm="batch", residual=True, skip=True))
    assert torch.equal(before, torch.get_rng_state())


def test_signal_keeps_its_size_through_a_deep_network():
    halves = halves_of(Conv(channels=(32, 64, 128), blocks=2), (1, 32, 32))
    head = halves.encoder(torch.randn(64, 1024))
    assert 0.1 < float(head.detach().std()) < 10
    assert 0.1 < float(halves.decoder(torch.randn(64, K)).detach().std()) < 10


def test_residual_blocks_begin_as_nothing():
    plain, residual = (halves_of(Conv(channels=(4,), residual=each)) for each in (False, True))
    x = torch.rand(2, 2, H, W)
    blocks = residual.encoder.layers[2]
    maps = residual.encoder.layers[:2](x)
    assert torch.equal(blocks(maps), maps)
    assert not torch.equal(plain.encoder.layers[2](maps), maps)


def test_linear_path_starts_as_the_pca():
    model = fitted(max_epochs=0)
    assert isinstance(model.model_.encoder, LinearPathEncoder)
    assert model.n_iter_ == 0
    assert model.versus_pca_.ratio == pytest.approx(1, abs=1e-5)


# Skips -----------------------------------------------------------------------------------


def test_network_with_skips_begins_as_the_identity():
    encoder, decoder = halves_of(Conv(channels=(4, 6), skip=True))
    rows = torch.rand(5, 2 * H * W)
    head, beside = encoder(rows)
    assert torch.equal(decoder(head, *beside), rows)


def test_skips_take_pictures_of_any_size():
    encoder, decoder = halves_of(Conv(channels=(4, 6), skip=True))
    for size in [(1, 1), (31, 8), (10, 12)]:
        x = torch.rand(2, 2, *size)
        head, beside = encoder(x)
        assert head.shape == (2, K)
        assert decoder(head, *beside).shape == (2, 2 * size[0] * size[1])


def test_code_of_skips_is_the_mean_of_the_smallest_map_and_takes_part():
    encoder, decoder = halves_of(Conv(channels=(4, 6), skip=True))
    torch.nn.init.normal_(decoder.last[0].weight)
    head, beside = encoder(torch.rand(5, 2 * H * W))
    bottom = beside[1]
    assert torch.allclose(bottom.mean((2, 3)), torch.zeros(5, K), atol=1e-6)
    assert not torch.allclose(decoder(head, *beside), decoder(head + 1, *beside))


def test_skips_without_noise_are_refused_because_they_would_copy():
    sentence = r"leads its input around the code, and nothing keeps it from copying: add a corrup"
    with pytest.raises(ParameterError, match=sentence):
        fitted(SKIPS)
    clean = DenoisingAutoencoder(K, network=SKIPS, corruption="clean", **FAST)
    assert clean.fit(PICTURES, target=PICTURES).n_iter_ >= 0


def test_codes_of_skips_cannot_be_decoded_alone():
    model = fitted(SKIPS, **NOISE)
    with pytest.raises(ParameterError, match=r"codes alone cannot be decoded: use reconstruct"):
        model.inverse_transform(model.transform(PICTURES))


def test_pixels_of_a_channel_are_scaled_alike_where_any_size_may_follow():
    X = PICTURES + np.linspace(0, 5, H)[:, None].astype("float32")
    offset = fitted(SKIPS, X, **NOISE).model_.scaling.offset.view(2, -1)
    assert torch.allclose(offset, torch.from_numpy(X).double().mean((0, 2, 3))[:, None])
    assert fitted(X=X).model_.scaling.offset.view(2, -1).std(1).min() > 0


def test_denoising_with_skips_learns():
    clean = np.repeat(np.repeat(RNG.random((200, 1, 2, 2)), 6, 2), 6, 3).astype("float32")
    noisy = clean + 0.2 * RNG.standard_normal(clean.shape).astype("float32")
    options = {**FAST, "max_epochs": 30, "corruption": "gaussian(std=0.2)"}
    model = DenoisingAutoencoder(8, network="conv(channels=(8,), skip=True)", **options).fit(clean)
    error = np.square(model.denoise(noisy) - clean).mean()
    assert error < 0.4 * np.square(noisy - clean).mean()


# Samples ---------------------------------------------------------------------------------


def test_samples_come_back_in_the_shape_that_they_had():
    model = fitted()
    codes = model.transform(PICTURES)
    assert codes.shape == (60, K)
    assert model.inverse_transform(codes).shape == PICTURES.shape
    assert model.reconstruct(PICTURES).shape == PICTURES.shape
    assert model.reconstruction_error(PICTURES, per_feature=True).shape == PICTURES.shape
    assert model.reconstruction_error(PICTURES).shape == (60,)
    assert model.sample_shape_ == (2, H, W)


def test_flat_rows_of_a_shape_are_the_same_pictures():
    rows = PICTURES.reshape(60, -1)
    flat, full = fitted(X=rows, sample_shape=(2, H, W)), fitted()
    assert np.array_equal(flat.transform(rows), full.transform(PICTURES))
    assert flat.inverse_transform(flat.transform(rows)).shape == rows.shape
    assert np.array_equal(full.transform(rows), full.transform(PICTURES))


def test_pictures_may_be_tensors_and_lists():
    model = fitted()
    codes = model.transform(PICTURES)
    assert np.array_equal(model.transform(torch.from_numpy(PICTURES)), codes)
    assert np.array_equal(model.transform(list(PICTURES)), codes)


def test_dense_networks_take_pictures_too():
    model = Autoencoder(K, hidden=(8,), **FAST).fit(PICTURES)
    assert model.reconstruct(PICTURES).shape == PICTURES.shape


def test_saved_model_knows_the_shape(tmp_path):
    for network, options in [(SMALL, {}), (SKIPS, NOISE)]:
        model = fitted(network, **options)
        model.save(tmp_path / "model")
        loaded = load(tmp_path / "model")
        assert np.array_equal(loaded.reconstruct(PICTURES), model.reconstruct(PICTURES))
        assert loaded.sample_shape_ == (2, H, W)


def test_partial_fit_takes_pictures():
    model = Autoencoder(K, network=SMALL, **FAST).partial_fit(PICTURES).partial_fit(PICTURES)
    assert model.reconstruct(PICTURES).shape == PICTURES.shape


def test_same_seed_gives_the_same_convolutions():
    first, second = fitted(), fitted()
    assert np.array_equal(first.transform(PICTURES), second.transform(PICTURES))


def test_multiplications_are_counted_by_pixel():
    encoder, _ = halves_of(Conv(channels=(4,), skip=True))
    model: Model = fitted("conv(channels=(4,), skip=True)", **NOISE).model_.float()
    assert model.n_products > 10 * sum(weight.numel() for weight in encoder.parameters())


@pytest.mark.parametrize(
    ("X", "options", "error", "sentence"),
    [
        (
            PICTURES.reshape(60, -1),
            {},
            ParameterError,
            r"^network 'conv' needs pictures, and a sample of X has the shape \(240,\): give X of "
            r"shape \(n, height, width\) or \(n, channels, height, width\), or say what the rows "
            r"are by sample_shape=\(channels, height, width\)\.$",
        ),
        (
            PICTURES,
            {"sample_shape": (3, 5, 5)},
            ParameterError,
            r"^sample_shape=\(3, 5, 5\) holds 75 numbers, and a sample of X has 240: give the "
            r"shape of one sample of X\.$",
        ),
    ],
)
def test_shape_that_does_not_fit_is_refused(X, options, error, sentence):
    with pytest.raises(error, match=sentence):
        fitted(X=X, **options)


def test_samples_of_another_shape_are_refused():
    model = fitted()
    sentence = (
        r"^X has samples of shape \(2, 12, 10\), and those of fit had \(2, 10, 12\): give samples "
        r"of that shape, or flat rows of 240 values\.$"
    )
    with pytest.raises(DataError, match=sentence):
        model.transform(PICTURES.transpose(0, 1, 3, 2))


def test_linear_path_and_skips_do_not_go_together():
    with pytest.raises(ParameterError, match=r"^linear_path='pca' needs a code that everything"):
        fitted("conv(skip=True, linear_path=pca)", **NOISE)


def test_hidden_is_of_dense_networks():
    with pytest.raises(ParameterError, match=r"^hidden=\(8,\) is not of network 'conv"):
        fitted(hidden=(8,))


def test_pictures_with_their_colours_last_are_refused():
    said = (
        "network 'conv' takes pictures as (channels, height, width), and a sample of X has the "
        "shape (16, 12, 3), with its colours last: give numpy.moveaxis(X, -1, 1)."
    )
    X = np.random.default_rng(0).random((9, 16, 12, 3))
    with pytest.raises(ParameterError, match=f"^{re.escape(said)}$"):
        Autoencoder(2, network="conv(channels=(4,))", max_epochs=1).fit(X)
    Autoencoder(2, network="conv(channels=(4,))", max_epochs=1).fit(np.moveaxis(X, -1, 1))
