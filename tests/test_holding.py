"""Gradients that leap are held back."""

import numpy as np
import pytest
import torch
from torch import nn

from isthmus import Autoencoder, VariationalAutoencoder
from isthmus.fitting import steps
from isthmus.fitting.holding import KEEP, LEAP, USUAL, hold_back
from isthmus.fitting.optimizers import Optimizer


def stepped(lengths, kind="sgd"):
    """Hold back gradients of the lengths in turn; return what is left, and the optimiser."""
    module = nn.Linear(3, 1, bias=False)
    optimizer = Optimizer.of(kind).build(module.parameters(), 0.1)
    left = []
    for length in lengths:
        module.weight.grad = torch.full((1, 3), length / 3**0.5)
        hold_back(module, optimizer)
        left.append(float(module.weight.grad.norm()))
    return left, optimizer


def test_gradient_that_leaps_is_shortened_to_ten_times_the_usual():
    left, _ = stepped([2.0, 2.0, 2000.0])
    np.testing.assert_allclose(left, [2, 2, 2 * LEAP], rtol=1e-5)


def test_gradients_that_differ_as_usual_stay_as_they_are():
    lengths = [3.0, 0.1, 9.0, 29.0, 0.0, 7.0]
    np.testing.assert_allclose(stepped(lengths)[0], lengths, rtol=1e-6)


def test_usual_length_is_the_sliding_mean_of_what_was_left():
    _, optimizer = stepped([1.0, 5.0, 1e6])
    usual = KEEP * 1 + (1 - KEEP) * 5
    usual = KEEP * usual + (1 - KEEP) * LEAP * usual
    assert optimizer.param_groups[0][USUAL] == pytest.approx(usual, rel=1e-5)


def test_lasting_change_of_scale_is_followed():
    left, _ = stepped([1.0] * 10 + [1000.0] * 60)
    assert left[10] < 11
    np.testing.assert_allclose(left[-1], 1000, rtol=1e-5)


def test_usual_length_is_kept_with_the_optimiser():
    _, optimizer = stepped([4.0])
    again = Optimizer.of("sgd").build(nn.Linear(3, 1, bias=False).parameters(), 0.1)
    again.load_state_dict(optimizer.state_dict())
    assert again.param_groups[0][USUAL] == pytest.approx(4)


def test_line_search_gets_its_gradient_whole():
    np.testing.assert_allclose(stepped([1.0, 1e6], "lbfgs")[0], [1, 1e6], rtol=1e-5)


def test_gradient_that_is_not_finite_is_not_taken_for_usual():
    _, optimizer = stepped([1.0, float("inf")])
    assert optimizer.param_groups[0][USUAL] == pytest.approx(1)


@pytest.mark.parametrize(
    ("estimator", "expected"), [(Autoencoder(2), False), (VariationalAutoencoder(2), True)]
)
def test_only_models_with_steep_losses_are_held_back(estimator, expected, monkeypatch):
    calls = []
    monkeypatch.setattr(steps, "hold_back", lambda *_: calls.append(1))
    X = np.random.default_rng(0).normal(size=(40, 4))
    estimator.set_params(max_epochs=1, random_state=0).fit(X)
    assert bool(calls) == expected


def test_one_monstrous_row_undoes_less_of_what_the_others_taught(monkeypatch):
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(400, 2)) @ rng.normal(size=(2, 8))).astype(np.float32)
    X += 0.1 * rng.normal(size=X.shape).astype(np.float32)
    others = np.delete(X, 7, axis=0)
    X[7] *= 30
    network = "dense(hidden=(16,), linear_path=none)"  # PCA as the start would help as much
    options = {"network": network, "scaling": "none", "max_epochs": 60, "validation_fraction": 0}

    def error():
        model = VariationalAutoencoder(2, random_state=0, **options).fit(X)
        return model.reconstruction_error(others).mean()

    held = error()
    monkeypatch.setattr(steps, "hold_back", lambda *_: None)
    assert held < error() / 3
