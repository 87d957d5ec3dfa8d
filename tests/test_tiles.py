"""Large pictures tile by tile."""

import numpy as np
import pytest
import torch

from isthmus.data.tiles import Tiling, spans, tiled

RNG = np.random.default_rng(0)
TILING = Tiling(side=32, margin=5, blend=4, multiple=4)


def blurred(maps):
    """Return the mean over 9 x 9 pixels, those outside being zero: it reaches 4 pixels."""
    return torch.nn.functional.avg_pool2d(maps, 9, 1, 4)


@pytest.mark.parametrize("length", [1, 31, 32, 33, 50, 100, 257])
def test_weights_of_the_tiles_add_up_to_one(length):
    total = np.zeros(length)
    for start, stop, weight in spans(length, TILING):
        assert start % TILING.multiple == 0
        assert stop == length or stop - start == TILING.side
        total[start:stop] += weight
    assert total == pytest.approx(np.ones(length))


@pytest.mark.parametrize("length", [33, 50, 100, 257])
def test_margin_of_a_tile_counts_only_at_the_end_of_the_picture(length):
    for start, stop, weight in spans(length, TILING):
        assert start == 0 or (weight[: TILING.margin] == 0).all()
        assert stop == length or (weight[-TILING.margin :] == 0).all()


@pytest.mark.parametrize("size", [(100, 77), (20, 90), (1, 1), (33, 64)])
@pytest.mark.parametrize("n_channels", [1, 3])
def test_tiled_equals_whole_where_margins_are_wider_than_the_reach(size, n_channels):
    picture = RNG.random((*size, n_channels)).astype("float32")
    whole = blurred(torch.from_numpy(picture).permute(2, 0, 1)[None])[0].permute(1, 2, 0)
    assert np.abs(tiled(blurred, picture, TILING) - whole.numpy()).max() < 1e-6


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64", "float16"])
def test_picture_keeps_its_values_and_type(dtype):
    picture = (RNG.random((70, 50, 1)) * (1 if "f" in dtype else np.iinfo(dtype).max)).astype(dtype)
    same = tiled(lambda tile: tile, picture, TILING)
    assert same.dtype == picture.dtype
    assert np.abs(same.astype(float) - picture).max() < (0 if "i" in dtype else 1e-3) + 1e-9


def test_integers_stay_within_their_range():
    picture = np.full((40, 40, 1), 250, np.uint8)
    assert (tiled(lambda tile: tile * 2, picture, TILING) == 255).all()
    assert (tiled(lambda tile: -tile, picture, TILING) == 0).all()


def test_no_more_than_a_row_of_tiles_is_in_floats():
    shapes = []

    def watched(tile):
        shapes.append(tile.shape)
        return tile

    tiled(watched, np.zeros((200, 300, 1), np.uint8), TILING)
    assert max(shape[2] * shape[3] for shape in shapes) == TILING.side**2
