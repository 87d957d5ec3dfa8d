"""On an accelerator: everything that moves numbers between it and the processor.

The tests hide accelerators, so that their figures are the same everywhere. These are run by

    CUDA_VISIBLE_DEVICES=0 python -m pytest tests/test_accelerator.py
"""

import numpy as np
import pytest
import torch
from stopping import StopAt

import isthmus
from isthmus import (
    Autoencoder,
    AutoencoderClassifier,
    BernoulliRBM,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    GaussianRBM,
    SparseAutoencoder,
    StackedAutoencoder,
    VariationalAutoencoder,
)
from isthmus.errors import FitStoppedError
from isthmus.fitting.optimizers import Optimizer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator is visible")

DEVICE = "cuda"
SHORT = {"max_epochs": 3, "random_state": 0, "device": DEVICE}
RNG = np.random.default_rng(0)
IMAGES = RNG.random((120, 8, 8)).astype(np.float32)
ROWS = IMAGES.reshape(-1, 64)
BLACK_WHITE = (ROWS > 0.5).astype(np.float32)
LABELS = RNG.integers(0, 3, len(ROWS))
SERIES = [RNG.normal(size=(n, 3)) for n in RNG.integers(2, 9, 40)]

MODELS = {
    "plain": (Autoencoder(5, **SHORT), ROWS),
    "learned std": (Autoencoder(5, likelihood="normal(std='learned')", **SHORT), ROWS),
    "batch norm and dropout": (
        Autoencoder(5, network="dense(hidden=(9,), norm=batch, dropout=0.2)", **SHORT),
        ROWS,
    ),
    "quantised": (Autoencoder(8, code="vector_quantized(n_codes=16)", **SHORT), ROWS),
    "batch top-k": (SparseAutoencoder(40, sparsity="batch_topk", **SHORT), ROWS),
    "contractive": (ContractiveAutoencoder(30, **SHORT), ROWS),
    "stacked": (
        StackedAutoencoder(5, hidden=(20,), pretraining="rbm(n_epochs=2)", **SHORT),
        ROWS,
    ),
    "denoising": (DenoisingAutoencoder(8, corruption="masking", **SHORT), ROWS),
    "importance-weighted": (
        VariationalAutoencoder(4, importance_samples=5, likelihood="bernoulli", **SHORT),
        BLACK_WHITE,
    ),
    "convolutions": (Autoencoder(6, network="conv(channels=(8, 16))", **SHORT), IMAGES),
    "convolutions with skips": (
        DenoisingAutoencoder(
            6, network="conv(channels=(8, 16), skip=True)", corruption="gaussian", **SHORT
        ),
        IMAGES,
    ),
    "recurrent": (Autoencoder(4, network="recurrent(hidden=(8,))", **SHORT), SERIES),
    "binary machine": (BernoulliRBM(8, n_iter=3, random_state=0, device=DEVICE), BLACK_WHITE),
    "gaussian machine": (GaussianRBM(8, n_iter=3, random_state=0, device=DEVICE), ROWS),
}


@pytest.fixture(params=MODELS)
def fitted(request):
    """Return a model that was fitted on the accelerator, and its rows."""
    model, rows = MODELS[request.param]
    return model.fit(rows), rows


def test_model_answers_as_it_does_on_the_processor(fitted, tmp_path):
    """A loaded model is on the processor. Convolutions multiply in TF32 on accelerators."""
    model, rows = fitted
    model.save(tmp_path / "model")
    loaded = isthmus.load(tmp_path / "model")
    assert {value.device.type for value in model.model_.state_dict().values()} == {DEVICE}
    np.testing.assert_allclose(model.transform(rows), loaded.transform(rows), atol=2e-3)


def test_model_is_judged_and_reported(fitted, tmp_path):
    model, rows = fitted
    if hasattr(model, "diagnose"):
        assert all(finding.change for finding in model.diagnose(rows))
    if isinstance(rows, np.ndarray) and hasattr(model, "score_samples"):
        isthmus.report(model, rows, path=tmp_path / "report.html")


@pytest.mark.parametrize("name", Optimizer.kinds)
def test_every_optimizer_steps(name):
    model = Autoencoder(4, network="dense(linear_path='none')", optimizer=name, **SHORT).fit(ROWS)
    assert np.isfinite(model.history_[-1]["loss"])
    assert model.stopped_by_ == "limit"


@pytest.mark.parametrize("method", ["gaussian", "mixture", "kde", "walkback"])
def test_samples_with_one_seed_are_the_same(method):
    model = DenoisingAutoencoder(5, corruption="gaussian(std=0.3)", **SHORT).fit(ROWS)
    first, second = (model.sample(6, method=method, random_state=1) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_labels_go_along():
    model = VariationalAutoencoder(4, conditional=True, **SHORT).fit(ROWS, LABELS)
    assert np.isfinite(model.sample(6, y=[2] * 6, random_state=0)).all()
    classifier = AutoencoderClassifier(Autoencoder(5, **SHORT), max_epochs=3, device=DEVICE)
    np.testing.assert_allclose(classifier.fit(ROWS, LABELS).predict_proba(ROWS).sum(1), 1)


def test_likelihood_of_a_machine_is_estimated():
    model = BernoulliRBM(8, n_iter=3, random_state=0, device=DEVICE).fit(BLACK_WHITE)
    exact, annealed = (
        model.log_likelihood(BLACK_WHITE, method=method).mean() for method in ("exact", "ais")
    )
    assert annealed == pytest.approx(exact, abs=0.5)


def test_stopped_fit_goes_on_as_if_it_had_not_stopped(tmp_path):
    model = Autoencoder(4, corruption="masking", **SHORT)
    with pytest.raises(FitStoppedError):
        model.fit(ROWS, checkpoint=StopAt(tmp_path, 5))
    resumed, whole = isthmus.resume(tmp_path, ROWS), model.fit(ROWS)
    np.testing.assert_array_equal(resumed.transform(ROWS), whole.transform(ROWS))


def test_picture_of_any_size_is_cleaned():
    pictures = [RNG.random((40, 50)).astype(np.float32) for _ in range(6)]
    model = DenoisingAutoencoder(
        6, network="conv(channels=(8, 16), skip=True, side=32)", corruption="blind_spot", **SHORT
    ).fit(pictures)
    assert model.denoise_picture(pictures[0]).shape == (40, 50)
