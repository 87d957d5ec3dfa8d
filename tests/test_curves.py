"""The range that losses are drawn in: it shows how a fit went, even one that leapt."""

import math

import pytest

from isthmus.fitting.curves import Window, window


def test_steady_losses_are_drawn_evenly_with_a_margin():
    assert window([10.0, 8.0, 6.0, 5.0]) == Window(4.7, 10.3)


def test_losses_that_leapt_are_drawn_logarithmically():
    shown = window([12.0, 3.0, 5e15, 4e15])
    assert shown == Window(1.5, 1e16, log=True)
    assert shown.share(1.5) == 0
    assert shown.share(math.sqrt(1.5 * 1e16)) == pytest.approx(0.5)


def test_losses_below_zero_that_leapt_are_cut_off_at_a_multiple_of_their_start():
    shown = window([-2.0, -3.0, 5e15])
    assert not shown.log
    assert shown.low < -3.0
    assert shown.high < 300
