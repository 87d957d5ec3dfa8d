"""Rows as small PNG pictures that a page carries within itself.

Shapes: n pictures of h x w pixels, c colours (1 or 3).
"""

import base64
import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LARGEST = 320  # pixels of a side; larger pictures are made smaller
THUMB = 32
ACROSS = 50  # pictures side by side on a sheet
LEVELS = 31  # of light on a sheet: more cannot be told apart at that size
LEFT_OUT = (128, 128, 128, 110)
FAINTEST = 0.4  # opacity of what is just below zero: it is not to be taken for zero
POSITIVE, NEGATIVE = (196, 84, 30), (36, 110, 185)  # readable on white and on black


def light(picture: Floats, low: float, high: float) -> str:
    """Return a picture (h, w, c) of light from `low` to `high` as the address of an image."""
    return _address(_pixels(fitting(picture, LARGEST), low, high))


def signed(picture: Floats, reach: float) -> str:
    """Return values (h, w, c) about zero, the more the more opaque: above warm, below cool.

    Nothing is transparent, so that it suits a light page and a dark one.
    """
    value = fitting(picture, LARGEST).mean(axis=2) / (reach or 1.0)
    colours = np.where(value[..., None] > 0, POSITIVE, NEGATIVE)
    opacity = 255 * np.sqrt(np.clip(np.abs(value), 0, 1))
    return _address(np.dstack([colours, opacity]).round().astype(np.uint8))


def share(picture: Floats) -> str:
    """Return shares (h, w, c) from 0, transparent, to 1, cool; below 0 warm, not finite grey."""
    left_out = fitting(np.isnan(picture).astype(float), LARGEST).mean(axis=2) == 1
    value = np.clip(fitting(np.nan_to_num(picture), LARGEST).mean(axis=2), -1, 1)
    colours = np.where(value[..., None] < 0, POSITIVE, NEGATIVE)
    opacity = np.where(value < 0, FAINTEST + (1 - FAINTEST) * -value, value)
    pixels = np.dstack([colours, 255 * opacity])
    pixels[left_out] = LEFT_OUT
    return _address(pixels.round().astype(np.uint8))


class Sheet:
    """Many small pictures in one image, row by row."""

    def __init__(self, pictures: Floats, low: float, high: float) -> None:
        n, c = len(pictures), pictures.shape[3]
        small = np.stack([_levels(_pixels(fitting(p, THUMB), low, high)) for p in pictures])
        _, self.height, self.width, _ = small.shape
        self.across = min(ACROSS, n)
        down = -(-n // self.across)
        empty = np.zeros((down * self.across - n, *small.shape[1:]), np.uint8)
        sheet = np.concatenate([small, empty]).reshape(down, self.across, *small.shape[1:])
        rows = sheet.transpose(0, 2, 1, 3, 4)
        self.address = _address(rows.reshape(down * self.height, self.across * self.width, c))


def fitting(picture: Floats, most: int) -> Floats:
    """Return a picture (h, w, c) whose sides have at most so many pixels, each an average."""
    h, w, _ = picture.shape
    step = math.ceil(max(h, w) / most)
    if step == 1:
        return picture
    down, right = np.arange(0, h, step), np.arange(0, w, step)
    sums = np.add.reduceat(np.add.reduceat(picture, down, axis=0), right, axis=1)
    area = np.outer(np.diff(np.append(down, h)), np.diff(np.append(right, w)))
    averages: Floats = sums / area[..., None]
    return averages


def _pixels(picture: Floats, low: float, high: float) -> NDArray[np.uint8]:
    shares = np.clip((picture - low) / ((high - low) or 1.0), 0, 1)
    return np.rint(255 * np.nan_to_num(shares)).astype(np.uint8)


def _levels(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.rint(np.rint(pixels / 255 * LEVELS) * 255 / LEVELS).astype(np.uint8)


def _address(pixels: NDArray[np.uint8]) -> str:
    """Return pixels (h, w, 1, 3 or 4) as a data URI."""
    from PIL import Image

    squeezed: Any = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    image = Image.fromarray(np.ascontiguousarray(squeezed))
    written = io.BytesIO()
    image.save(written, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(written.getvalue()).decode('ascii')}"
