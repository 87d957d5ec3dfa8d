"""Values as the pixels of the page's pictures."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from isthmus.evaluation.page import images


def pixels(address):
    return np.asarray(
        Image.open(io.BytesIO(base64.b64decode(address.removeprefix("data:image/png;base64,"))))
    )


def test_light_runs_from_black_to_white_and_is_clipped():
    picture = np.array([[[-1.0], [0.0]], [[0.5], [3.0]]])
    np.testing.assert_array_equal(pixels(images.light(picture, 0, 1)), [[0, 0], [128, 255]])


def test_signed_values_are_warm_above_zero_cool_below_and_nothing_at_it():
    warm, nothing, cool = pixels(images.signed(np.array([[[2.0], [0.0], [-2.0]]]), 2.0))[0]
    assert warm.tolist() == [*images.POSITIVE, 255]
    assert cool.tolist() == [*images.NEGATIVE, 255]
    assert nothing[3] == 0


def test_large_pictures_are_averaged_down():
    picture = np.random.default_rng(0).random((700, 330, 1))
    small = images.fitting(picture, 320)
    assert small.shape == (234, 110, 1)
    assert small[0, 0, 0] == pytest.approx(picture[:3, :3].mean())
    assert small[-1, -1, 0] == pytest.approx(picture[699:, 327:].mean())


def test_shares_are_cool_above_zero_warm_below_and_grey_where_there_is_none():
    shown = pixels(images.share(np.array([[[1.0], [0.0], [-1e-9], [-3.0], [np.nan]]])))[0]
    full, nothing, hardly, worst, left_out = shown
    assert full.tolist() == [*images.NEGATIVE, 255]
    assert nothing[3] == 0
    assert hardly.tolist() == [*images.POSITIVE, round(255 * images.FAINTEST)]
    assert worst.tolist() == [*images.POSITIVE, 255]
    assert left_out.tolist() == list(images.LEFT_OUT)


def test_share_of_averaged_pixels_is_that_of_those_that_have_one():
    tall = np.full((2 * images.LARGEST, 1, 1), 1.0)
    tall[: images.LARGEST] = np.nan
    shown = pixels(images.share(tall))[:, 0]
    assert shown[0].tolist() == list(images.LEFT_OUT)
    assert shown[-1].tolist() == [*images.NEGATIVE, 255]
