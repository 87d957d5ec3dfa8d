"""Linear autoencoders beside their optimum in closed form: what they minimise, they reach."""

import numpy as np
import pytest

from isthmus import Autoencoder
from isthmus.parts import Dense

N, D, K = 400, 6, 3


def rows(seed=0):
    draw = np.random.default_rng(seed)
    X = draw.standard_normal((N, D)) * [3.0, 2.2, 1.6, 1.1, 0.8, 0.5]
    X = X @ np.linalg.qr(draw.standard_normal((D, D)))[0]
    return X - X.mean(axis=0)


def maps(model):
    """Return the encoder's and the decoder's matrix and bias."""
    halves = model.model_.encoder[0], model.model_.decoder[0]
    return [(half.weight.numpy(), half.bias.numpy()) for half in halves]


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_l2_regularised_linear_autoencoder_reaches_its_optimum(share):
    """Kunin et al. (2019), theorem 4.2: with lambda on both weights

    the loss is ``sum_kept (2 lambda - lambda^2 / s_i^2) + sum_rest s_i^2``, and directions with
    ``s_i^2 <= lambda`` are given up.
    """
    X = rows()
    squares = np.linalg.svd(X, compute_uv=False) ** 2
    strength = share * squares[K - 1]
    # Half the squared error, averaged over rows, against the sum of squared errors.
    model = Autoencoder(
        K,
        network=Dense(hidden=(), linear_path="none"),
        penalties=f"weight_l2(weight={float(strength / (2 * N))!r})",
        scaling="none",
        optimizer="lbfgs",
        max_epochs=300,
        validation_fraction=0,
        random_state=0,
    ).fit(X)
    (encoder, _), (decoder, _) = maps(model)
    loss = np.square(X - model.reconstruct(X)).sum()
    loss += strength * (np.square(encoder).sum() + np.square(decoder).sum())
    kept = squares[:K][squares[:K] > strength]
    optimum = (2 * strength - strength**2 / kept).sum() + squares[len(kept) :].sum()
    assert loss == pytest.approx(optimum, rel=1e-3)
    np.testing.assert_allclose(decoder, encoder.T, atol=2e-2)
    singular = np.linalg.svd(decoder, compute_uv=False)
    np.testing.assert_allclose(
        singular[: len(kept)] ** 2, 1 - strength / kept, rtol=0.02, atol=1e-3
    )
    axes = np.linalg.svd(X)[2][: len(kept)]
    directions = np.linalg.svd(decoder)[0][:, : len(kept)]
    np.testing.assert_allclose(np.abs(np.sum(directions.T * axes, axis=1)), 1, atol=1e-3)


@pytest.mark.parametrize("std", [0.3, 1.5])
def test_linear_denoising_autoencoder_reaches_its_optimum(std):
    """The optimum is ``C (C + s^2 I)^-1``; its risk, and the model's, have no noise in them."""
    X = rows()
    C = X.T @ X / N
    model = Autoencoder(
        D,
        network=Dense(hidden=(), linear_path="none"),
        corruption=f"gaussian(std={std})",
        scaling="none",
        learning_rate=0.02,
        batch_size=N,
        max_epochs=1000,
        validation_fraction=0,
        random_state=0,
    ).fit(X)
    (encoder, below), (decoder, above) = maps(model)

    def risk(A, b):
        left = np.eye(D) - A
        return np.trace(left @ C @ left.T) + std**2 * np.square(A).sum() + np.square(b).sum()

    best = C @ np.linalg.inv(C + std**2 * np.eye(D))
    assert risk(decoder @ encoder, decoder @ below + above) == pytest.approx(
        risk(best, np.zeros(D)), rel=1e-3
    )
    # r(x) - x = s^2 grad log p_s(x) (Alain & Bengio 2014), p_s the density of the noisy rows.
    x = rows(1)[:50]
    score = -x @ np.linalg.inv(C + std**2 * np.eye(D))
    off = np.linalg.norm(model.reconstruct(x) - x - std**2 * score, axis=1)
    assert off.mean() < 0.05 * np.linalg.norm(std**2 * score, axis=1).mean()
