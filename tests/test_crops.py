"""Crops as rows of one long table, and fits to pictures of any size."""

import numpy as np
import pytest
import torch

from isthmus import Autoencoder, DenoisingAutoencoder, load
from isthmus.data.crops import Crops, fit_crop_scaling, n_covering
from isthmus.errors import DataError, ParameterError, TrainingWarning

RNG = np.random.default_rng(0)
PICTURES = [RNG.random((2, h, w)).astype("float32") for h, w in [(9, 12), (8, 8), (20, 11)]]
SIDE = 8
SKIPS = "conv(channels=(4,), skip=True, side=8)"
FAST = {"max_epochs": 2, "random_state": 0, "corruption": "gaussian(std=0.1)"}


def table(pictures=PICTURES, name="none", side=SIDE):
    return Crops(pictures, side, fit_crop_scaling(name, pictures, side))


def fitted(X=PICTURES, network=SKIPS, target=None, validation=None, **options):
    model = DenoisingAutoencoder(3, network=network, **{**FAST, **options})
    return model.fit(X, target=target, validation=validation)


# The table -------------------------------------------------------------------------------


def test_table_holds_every_place_and_turn_once():
    picture = np.arange(30, dtype="float32").reshape(1, 5, 6)
    crops = table([picture], side=4)
    assert len(crops) == 2 * 3 * 8
    rows = crops.take(torch.arange(len(crops)))
    assert len(rows.unique(dim=0)) == len(rows)
    places = [picture[0, y : y + 4, x : x + 4] for y in range(2) for x in range(3)]
    turned = [np.rot90(each, quarter) for each in places for quarter in range(4)]
    expected = {each.copy().tobytes() for crop in turned for each in (crop, crop[:, ::-1])}
    assert {row.numpy().reshape(4, 4).tobytes() for row in rows} == expected


def test_table_goes_through_all_pictures_and_channels():
    crops = table()
    rows = crops.take(torch.arange(0, len(crops), 7)).view(-1, 2, SIDE, SIDE)
    for picture in PICTURES:
        for channel in (0, 1):
            values = set(picture[channel].ravel().tolist())
            assert any(set(row[channel].flatten().tolist()) <= values for row in rows)


def test_noisy_and_clean_tables_have_the_same_places():
    noisy = [picture + 5 for picture in PICTURES]
    index = torch.arange(0, len(table()), 11)
    assert torch.allclose(table(noisy).take(index) - 5, table().take(index), atol=1e-5)


def test_integers_are_shares_of_full_light():
    levels = [np.round(picture * 255).astype(np.uint8) for picture in PICTURES]
    index = torch.arange(0, len(table()), 50)
    assert torch.allclose(table(levels).take(index), table().take(index), atol=0.5 / 255)


@pytest.mark.parametrize("name", ["isotropic", "standard"])
def test_scaling_is_that_of_all_pixels_by_channel(name):
    scaling = fit_crop_scaling(name, PICTURES, SIDE)
    pixels = np.concatenate([picture.reshape(2, -1) for picture in PICTURES], axis=1)
    offset = scaling.offset.view(2, -1)
    assert offset.numpy() == pytest.approx(np.repeat(pixels.mean(1)[:, None], SIDE**2, 1))
    spread = pixels.std(1) if name == "standard" else np.sqrt(pixels.var(1).mean())
    scale = scaling.scale.expand(2 * SIDE**2).view(2, -1)
    assert scale[:, 0].numpy() == pytest.approx(np.broadcast_to(spread, 2))


def test_epoch_covers_the_pictures():
    assert n_covering(PICTURES, SIDE) == 2 + 1 + 4


# Fits ------------------------------------------------------------------------------------


def test_pictures_of_any_size_are_fitted_and_denoised(tmp_path):
    model = fitted()
    assert model.sample_shape_ == (2, SIDE, SIDE)
    for size in [(1, 1), (9, 31), (600, 20)]:
        picture = RNG.random((*size, 2)).astype("float32")
        cleaned = model.denoise_picture(picture)
        assert cleaned.shape == picture.shape
        assert cleaned.dtype == picture.dtype
    model.save(tmp_path / "model")
    assert np.array_equal(load(tmp_path / "model").denoise_picture(picture), cleaned)


def test_epochs_see_different_crops_and_fits_the_same():
    first, second = fitted(), fitted()
    assert [r["nll"] for r in first.history_[1:]] == [r["nll"] for r in second.history_[1:]]
    other = fitted(random_state=1)
    assert first.history_[1]["nll"] != other.history_[1]["nll"]


def test_tiles_equal_the_whole_picture():
    model = fitted(network="conv(channels=(4, 6), skip=True, side=8)", max_epochs=3)
    network = model.model_.parts.network
    assert network.reach <= network.tiling.margin
    picture = RNG.random((1, 2, 531, 777)).astype("float32")
    with torch.no_grad():
        whole = model.model_.redraw(torch.from_numpy(picture))[0].permute(1, 2, 0).numpy()
    assert np.abs(model.denoise_picture(picture[0].transpose(1, 2, 0)) - whole).max() < 1e-4


def test_answer_depends_on_no_pixel_beyond_the_reach():
    model = fitted(network="conv(channels=(4, 6), blocks=2, residual=True, skip=True, side=8)")
    picture = torch.from_numpy(RNG.random((1, 2, 160, 160)).astype("float32"))
    changed = picture.clone()
    changed[..., 80, 80] += 10
    with torch.no_grad():
        moved = (model.model_.redraw(picture) - model.model_.redraw(changed)).abs().amax((0, 1))
    far = (moved > 1e-5).nonzero().sub(80).abs().max()  # the code's mean rounds everywhere
    assert 0 < far <= model.model_.parts.network.reach


def test_denoise_takes_pictures_of_any_size_in_the_layout_of_fit():
    model = fitted()
    noisy = [RNG.random((2, h, w)).astype("float32") for h, w in [(9, 31), (8, 8), (20, 7)]]
    cleaned = model.denoise(noisy)
    for one, before in zip(cleaned, noisy, strict=True):
        expected = model.denoise_picture(before.transpose(1, 2, 0)).transpose(2, 0, 1)
        assert np.array_equal(one, expected)
    together = np.stack([noisy[0]] * 3)
    assert model.denoise(together).shape == together.shape
    whole = RNG.random((3, 2, SIDE, SIDE)).astype("float32")
    assert np.allclose(model.denoise(whole), model.denoise(list(whole)), atol=1e-6)


def test_bytes_are_light_in_whole_samples_too():
    pictures = RNG.integers(0, 256, (30, 8, 8), dtype=np.uint8)
    light = (pictures / np.float32(255)).astype("float32")
    first, second = fitted(pictures), fitted(light)
    assert first.model_.scaling.offset.max() < 1
    assert np.allclose(first.reconstruct(pictures), second.reconstruct(light), atol=1e-4)


def test_sixteen_bits_stay_sixteen_bits():
    picture = (RNG.random((30, 40)) * 65535).astype(np.uint16)
    model = fitted([each[:1] for each in PICTURES])
    cleaned = model.denoise_picture(picture)
    assert cleaned.dtype == np.uint16
    assert cleaned.shape == picture.shape
    assert len(np.unique(cleaned)) > 256


def test_grey_model_takes_each_channel_by_itself():
    model = fitted([each[:1] for each in PICTURES])
    picture = RNG.random((20, 24, 3)).astype("float32")
    alone = model.denoise_picture(picture[..., 1])
    assert np.allclose(model.denoise_picture(picture)[..., 1], alone, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "uint8", "uint16"])
def test_model_of_colours_takes_grey_as_three_equal_channels(dtype):
    model = fitted([RNG.random((3, 9, 12)) for _ in range(3)])
    light = RNG.random((20, 24))
    grey = (light * (1 if dtype == "float32" else np.iinfo(dtype).max)).astype(dtype)
    three = np.repeat(grey[..., None], 3, axis=2).astype(dtype)
    full = 1 if dtype == "float32" else np.iinfo(dtype).max
    mean = model.denoise_picture(three.astype("float32") / np.float32(full)).mean(2)
    cleaned = model.denoise_picture(grey)
    assert (cleaned.dtype, cleaned.shape) == (grey.dtype, grey.shape)
    assert np.allclose(cleaned / full, np.clip(mean, 0, 1) if full > 1 else mean, atol=0.51 / 255)
    assert model.denoise_picture(grey[..., None]).shape == (20, 24, 1)
    assert np.array_equal(model.denoise([grey, three.transpose(2, 0, 1)])[0], cleaned)
    with pytest.raises(
        DataError, match=r"2 channel\(s\) and the model 3: give one of 3, or a grey"
    ):
        model.denoise_picture(three[..., :2])


def blocks():
    """Return pictures of squares, which are easily told from noise."""
    return [np.kron(RNG.random((1, 6, 6)), np.ones((1, 8, 8))).astype("float32") for _ in range(20)]


def shots_of(clean):
    """Return the pictures with noise of 0.2."""
    return [each + 0.2 * RNG.standard_normal(each.shape).astype("float32") for each in clean]


def error_of(model, noisy, clean):
    pairs = zip(noisy, clean, strict=True)
    return np.mean([np.square(model.denoise_picture(n[0]) - c[0]).mean() for n, c in pairs])


def test_crops_learn_to_denoise():
    clean = [
        np.kron(RNG.random((1, 8, 8)), np.ones((1, 5, 5))).astype("float32") for _ in range(20)
    ]
    noisy = [each + 0.2 * RNG.standard_normal(each.shape).astype("float32") for each in clean]
    network = "conv(channels=(16,), skip=True, side=16)"
    model = fitted(clean, network, max_epochs=40, corruption="gaussian(std=0.2)", batch_size=16)
    assert error_of(model, noisy, clean) < 0.5 * 0.04


@pytest.mark.parametrize("target", ["noise2noise", "blind"])
def test_noise_is_learned_without_a_clean_picture(target):
    clean = [
        np.kron(RNG.random((1, 6, 6)), np.ones((1, 8, 8))).astype("float32") for _ in range(20)
    ]
    shots = [
        [each + 0.2 * RNG.standard_normal(each.shape).astype("float32") for each in clean]
        for _ in range(2)
    ]
    network = "conv(channels=(16,), blocks=2, skip=True, side=16)"
    second = shots[1] if target == "noise2noise" else None
    options = {"max_epochs": 80, "batch_size": 16, "corruption": "gaussian"}
    model = DenoisingAutoencoder(8, network=network, target=target, random_state=0, **options)
    model.fit(shots[0], target=second)
    assert error_of(model, shots[0], clean) < 0.6 * 0.04


def test_pairs_for_validation_are_cropped_too():
    model = DenoisingAutoencoder(3, network=SKIPS, **FAST)
    model.fit(PICTURES, validation=PICTURES[:1])
    assert "held_out_loss" in model.history_[-1]
    assert model.versus_pca_ is None  # with skips, PCA of the same width is no fair match


# What is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("X", "sentence"),
    [
        (
            [PICTURES[0], PICTURES[1][:1]],
            r"^X\[1\] has 1 channel\(s\) and X\[0\] has 2: give pictures of as many channels\.$",
        ),
        (
            [PICTURES[0], np.full((2, 9, 9), np.nan)],
            r"^X\[1\] has pixels that are NaN or infinite: leave that picture out\.$",
        ),
        (
            [PICTURES[0], np.zeros((2, 0, 9))],
            r"^X\[1\] is no picture but float64 of shape \(2, 0, 9\): give numbers of shape "
            r"\(height, width\) or \(channels, height, width\)\.$",
        ),
        (
            [RNG.random((20, 30, 3)), RNG.random((24, 30, 3))],
            r"^X\[0\] has the shape \(20, 30, 3\), with its colours last, and pictures are "
            r"\(channels, height, width\): give numpy\.moveaxis\(picture, -1, 0\) of each\.$",
        ),
        (
            RNG.random((12, 20, 30, 4)),
            r"^X\[0\] has the shape \(20, 30, 4\), with its colours last",
        ),
    ],
)
def test_what_is_no_picture_is_refused(X, sentence):
    with pytest.raises(DataError, match=sentence):
        fitted(X)


@pytest.mark.parametrize("n_channels", [1, 3])
def test_denoise_refuses_pictures_with_their_colours_last(n_channels):
    model = fitted([RNG.random((n_channels, 9, 12)) for _ in range(2)])
    with pytest.raises(DataError, match=r"^X\[1\] has the shape \(20, 30, 3\), with its colours"):
        model.denoise([RNG.random((n_channels, 20, 30)), RNG.random((20, 30, 3))])


@pytest.mark.parametrize("size", [(8, 8), (20, 11)])
def test_noise_larger_than_all_that_pictures_hold_is_warned_of(size):
    pixels = RNG.integers(0, 256, (12, *size), dtype=np.uint8)
    sentence = (
        r"^The noise's std=25 is in the units of X, whose pixels run from 0 to 1, and leaves "
        r"nothing of them to see: if it is meant in levels of 255, write std=25/255\.$"
    )
    with pytest.warns(TrainingWarning, match=sentence) as caught:
        DenoisingAutoencoder(
            3, network=SKIPS, corruption="gaussian(std=25)", max_epochs=0, random_state=0
        ).fit(pixels)
    assert caught[0].filename == __file__
    fitted(255 * (pixels / 255), corruption="gaussian(std=25)")


def test_partners_of_other_sizes_are_refused():
    with pytest.raises(DataError, match=r"^The pictures of X and of target differ in number or"):
        fitted(target=PICTURES[::-1])


def test_partners_of_other_channels_are_refused():
    grey = [picture[:1] for picture in PICTURES]
    sentence = r"^target has pictures of 1 channel\(s\) and X of 2: give pictures of as many chan"
    with pytest.raises(DataError, match=sentence):
        fitted(target=grey)
    with pytest.raises(DataError, match=r"^The pictures of X and of target differ in number or"):
        fitted(target=[])


def test_second_shots_are_asked_for():
    with pytest.raises(ParameterError, match=r"^target='noise2noise' learns from pairs of noisy"):
        DenoisingAutoencoder(3, network=SKIPS, target="noise2noise").fit(PICTURES)


def test_blind_spots_need_pictures():
    with pytest.raises(ParameterError, match=r"guesses pixels from those around, and a sam"):
        Autoencoder(2, corruption="blind_spot").fit(RNG.random((30, 6)))


def test_network_of_one_shape_takes_no_other_picture():
    model = Autoencoder(2, network="conv(channels=(4,))", max_epochs=1).fit(RNG.random((20, 8, 8)))
    with pytest.raises(ParameterError, match=r"takes samples of the shape \(8, 8\) alone"):
        model.reconstruct_picture(RNG.random((9, 9)))


@pytest.mark.parametrize(
    ("picture", "sentence"),
    [
        (np.zeros((4, 4, 3), "float32"), r"has 3 channel\(s\) and the model 2: give one of 2\.$"),
        (np.full((4, 4, 2), np.inf), r"^The picture has pixels that are NaN or infinite: fill"),
        (np.zeros((4, 4, 2), "int64"), r"^The picture is int64 of shape \(4, 4, 2\): give floats"),
    ],
)
def test_picture_that_does_not_fit_is_refused(picture, sentence):
    with pytest.raises(DataError, match=sentence):
        fitted().denoise_picture(picture)


# Pictures to stop by ------------------------------------------------------------------------


def test_pictures_to_stop_by_need_clean_ones_where_x_has_a_target():
    sentence = r"^validation has no clean rows, and X has target: give validation="
    with pytest.raises(DataError, match=sentence):
        fitted(target=PICTURES, validation=PICTURES)


def test_pictures_to_stop_by_are_of_the_likelihoods_domain():
    with pytest.raises(DataError, match=r"^validation runs from .* needs values from 0 to 1"):
        fitted(likelihood="bernoulli", validation=[50 * picture for picture in PICTURES])


def test_pictures_to_stop_by_have_the_channels_of_x():
    grey = [picture[:1] for picture in PICTURES]
    with pytest.raises(DataError, match=r"^validation has pictures of 1 channel\(s\) and X of 2: "):
        fitted(validation=grey)


def test_one_picture_at_least_is_learned_from():
    assert fitted(PICTURES * 4, validation_fraction=0.99).n_samples_seen_ == 12


@pytest.mark.parametrize("size", [(8, 8), (11, 9)])
def test_bytes_are_probabilities_whatever_their_size(size):
    pixels = RNG.integers(0, 256, (12, *size), dtype=np.uint8)
    assert fitted(pixels, likelihood="bernoulli").denoise(pixels).dtype == np.uint8


@pytest.mark.parametrize("size", [(8, 8), (11, 9)])
def test_pictures_of_bytes_come_back_as_bytes_whatever_their_size(size):
    model = DenoisingAutoencoder(4, network=SKIPS, max_epochs=1, random_state=0)
    pixels = RNG.integers(0, 256, (12, *size), dtype=np.uint8)
    model.fit(pixels)
    cleaned = model.denoise(pixels)
    assert cleaned.dtype == np.uint8
    assert cleaned.shape == pixels.shape


def test_rows_are_read_as_in_fit_whatever_is_set_since():
    rows = RNG.integers(0, 256, (50, 64), dtype=np.uint8)
    model = Autoencoder(2, max_epochs=1, random_state=0).fit(rows)
    before = model.transform(rows)
    model.set_params(network=SKIPS)
    assert np.array_equal(model.transform(rows), before)
