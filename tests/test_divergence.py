"""A learning rate far too high, and too little memory: what is left, and what is said."""

import re
import warnings

import numpy as np
import pytest
import torch
from torch import nn

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
from isthmus.errors import ParameterError, TrainingWarning
from isthmus.fitting.optimizers import Optimizer
from isthmus.parts import Custom

TOO_HIGH = 1000.0  # times the usual rate
SHORT = {"max_epochs": 5, "random_state": 0}
generator = np.random.default_rng(0)
Z = generator.normal(size=(300, 2))
ROWS = np.column_stack([Z, Z[:, 0] * Z[:, 1], np.sin(Z), 0.1 * generator.normal(size=(300, 1))])
X, FRESH = ROWS[:80], ROWS[80:]


def exactly(sentence):
    return f"^{re.escape(sentence)}$"


def fit(estimator, *given):
    """Fit; return the estimator and whether it said something."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        estimator.fit(*given)
    assert all(issubclass(each.category, TrainingWarning) for each in said)
    return estimator, bool(said)


def has_finite_weights(estimator):
    return all(bool(tensor.isfinite().all()) for tensor in estimator.model_.state_dict().values())


def loss(estimator):
    return -estimator.score_samples(FRESH).mean()


# A rate a thousand times too high ---------------------------------------------------------


@pytest.mark.parametrize("validation_fraction", [0.1, 0])
@pytest.mark.parametrize("name", Optimizer.kinds)
def test_rate_far_too_high_leaves_no_worse_model_without_a_word(name, validation_fraction):
    options = {**SHORT, "hidden": (8,), "optimizer": name}
    options["validation_fraction"] = validation_fraction
    rate = TOO_HIGH * Optimizer.of(name).rate
    wild, said = fit(Autoencoder(2, learning_rate=rate, **options), X)
    start = Autoencoder(2, **{**options, "max_epochs": 0}).fit(X)
    assert has_finite_weights(wild)
    assert said or loss(wild) <= loss(start) + 1e-6


KINDS = {
    "denoising": DenoisingAutoencoder(2, hidden=(8,), **SHORT),
    "sparse": SparseAutoencoder(4, hidden=(8,), **SHORT),
    "stacked": StackedAutoencoder(2, hidden=(8,), pretraining="autoencoder(n_epochs=3)", **SHORT),
    "deep": Autoencoder(2, hidden=(8,), activation="relu", scaling="standard", **SHORT),
    "variational": VariationalAutoencoder(2, hidden=(8,), **SHORT),
    "laplace": Autoencoder(2, hidden=(8,), likelihood="laplace", **SHORT),
}


@pytest.mark.parametrize("validation_fraction", [0.1, 0])
@pytest.mark.parametrize("kind", KINDS)
def test_every_autoencoder_is_left_no_worse_without_a_word(kind, validation_fraction):
    options = {**KINDS[kind].get_params(), "validation_fraction": validation_fraction}
    wild, said = fit(type(KINDS[kind])(**{**options, "learning_rate": 4.0}), X)
    start = type(KINDS[kind])(**{**options, "max_epochs": 0}).fit(X)
    assert has_finite_weights(wild)
    assert said or loss(wild) <= loss(start) + 1e-6


def test_contractive_autoencoder_is_left_with_finite_weights():
    wild, _ = fit(ContractiveAutoencoder(3, hidden=(), learning_rate=4.0, **SHORT), X)
    assert has_finite_weights(wild)
    assert np.isfinite(wild.reconstruct(FRESH)).all()


@pytest.mark.parametrize("fine_tune", [True, False])
@pytest.mark.parametrize("validation_fraction", [0.1, 0])
def test_classifier_is_left_no_worse_than_chance_without_a_word(fine_tune, validation_fraction):
    labels = (X[:, 0] > 0).astype(int)
    wild, said = fit(
        AutoencoderClassifier(
            Autoencoder(2, hidden=(8,), **SHORT),
            learning_rate=TOO_HIGH,
            fine_tune=fine_tune,
            validation_fraction=validation_fraction,
            **SHORT,
        ),
        *(X, labels),
    )
    assert has_finite_weights(wild)
    assert said or wild.score(FRESH, (FRESH[:, 0] > 0).astype(int)) > 0.5


MACHINES = {
    "binary": BernoulliRBM(4, n_iter=6, learning_rate=50.0, scaling="range", random_state=0),
    "binary by CD": BernoulliRBM(
        4, n_iter=6, learning_rate=50.0, persistent=False, scaling="range", random_state=0
    ),
    "normal": GaussianRBM(4, n_iter=6, learning_rate=10.0, random_state=0),
    "linear": GaussianRBM(4, n_iter=6, learning_rate=10.0, hidden="gaussian", random_state=0),
    "rectified": GaussianRBM(4, n_iter=6, learning_rate=10.0, hidden="rectified", random_state=0),
}


@pytest.mark.parametrize("kind", MACHINES)
def test_machine_is_left_no_worse_than_its_start_without_a_word(kind):
    machine, said = fit(MACHINES[kind], X)
    rebuilt = machine.inverse_transform(machine.transform(X))
    spread = np.square((X - X.mean(axis=0)) / X.std(axis=0)).sum()
    error = np.square((X - rebuilt) / X.std(axis=0)).sum()
    assert has_finite_weights(machine)
    assert said or error < 1.2 * spread


def test_machine_that_ends_worse_than_it_began_goes_back_and_says_so():
    machine = BernoulliRBM(6, n_iter=8, learning_rate=50.0, scaling="range", random_state=0)
    sentence = (
        "The training diverged: the weights of epoch 0, the last good one, are kept. Lower "
        "learning_rate."
    )
    with pytest.warns(TrainingWarning, match=exactly(sentence)):
        machine.fit(generator.random((100, 6)).round())
    assert (machine.stopped_by_, machine.n_iter_, len(machine.history_)) == ("diverged", 0, 8)


# What is said -----------------------------------------------------------------------------


def test_fit_that_ends_worse_than_it_began_keeps_the_best_and_says_so():
    model = Autoencoder(
        2, hidden=(8,), optimizer="adamax", learning_rate=2.0, validation_fraction=0, **SHORT
    )
    with pytest.warns(TrainingWarning, match="^The training diverged: the weights of epoch 0, "):
        model.fit(X)
    assert (model.stopped_by_, model.n_iter_) == ("diverged", 0)
    assert model.versus_pca_.ratio == pytest.approx(1)


def test_start_that_is_kept_because_the_loss_leapt_is_told():
    model = Autoencoder(2, hidden=(8,), learning_rate=4.0, activation="relu", **SHORT)
    said = r"^The loss leapt from \S+ to \S+ at epoch \d and no epoch was better than the start, "
    with pytest.warns(TrainingWarning, match=said + r"which is kept. Lower learning_rate\.$"):
        model.fit(X)
    assert model.n_iter_ == 0


@pytest.mark.parametrize("rate", [1e4, 1e22])
def test_portion_that_the_model_does_not_survive_never_was(rate):
    model = Autoencoder(2, hidden=(8,), optimizer="sgd", **SHORT).fit(X)
    before = model.reconstruct(FRESH)
    model.set_params(learning_rate=rate)
    with pytest.warns(TrainingWarning, match="^The training diverged: "):
        model.partial_fit(X)
    np.testing.assert_array_equal(model.reconstruct(FRESH), before)
    assert model.stopped_by_ == "diverged"


def test_pretraining_that_diverges_is_told():
    stack = StackedAutoencoder(
        2, hidden=(8,), pretraining="autoencoder(n_epochs=3, learning_rate=1e20)", **SHORT
    )
    sentence = (
        "The pretraining of layer 1 of 2 diverged: its weights of the last good epoch are kept. "
        "Lower learning_rate, of the pretraining or of the fit."
    )
    with pytest.warns(TrainingWarning) as said:
        stack.set_params(optimizer="sgd").fit(X)
    assert sentence in {str(each.message) for each in said}
    assert has_finite_weights(stack)


# Too little memory ------------------------------------------------------------------------


class Hungry(nn.Module):
    """A linear layer that has no room for more rows than some."""

    def __init__(self, n_in, n_out, most):
        super().__init__()
        self.layer, self.most = nn.Linear(n_in, n_out), most

    def forward(self, x):
        # Of nothing at all, some remains for trying the network out.
        if len(x) > (self.most or (0 if torch.is_grad_enabled() else 10**6)):
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self.layer(x)


def hungry(most):
    torch.manual_seed(0)  # from which modules of users' own begin
    network = Custom(encoder=Hungry(6, 2, most), decoder=nn.Linear(2, 6))
    return Autoencoder(2, network=network, batch_size=64, validation_fraction=0, **SHORT)


def test_batches_without_room_are_halved_and_that_is_said_once():
    sentence = (
        "Batches of 64 rows do not fit in the memory of the device: the fit went on with 16. Write "
        "batch_size=16, or a smaller network."
    )
    with pytest.warns(TrainingWarning) as said:
        model = hungry(20).fit(X)
    assert [str(each.message) for each in said] == [sentence]
    assert (model.n_iter_, model.stopped_by_) == (5, "limit")
    codes = model.transform(ROWS)  # in pieces that fit, too
    each = np.vstack([model.transform(ROWS[i : i + 10]) for i in range(0, 300, 10)])
    np.testing.assert_allclose(codes, each, rtol=1e-9)
    # Sixteen rows a step instead of sixty-four take more steps, and learn at least as much.
    assert loss(model) < loss(hungry(10**6).fit(X)) + 0.5


def test_batches_that_never_fit_are_one_sentence():
    sentence = (
        "The device has too little memory for this network, even with batches of 2 row(s): write a "
        "smaller network, or device='cpu'."
    )
    with pytest.raises(ParameterError, match=exactly(sentence)):
        hungry(0).fit(X)


def test_network_that_no_memory_holds_is_one_sentence():
    sentence = (
        "The network and its training need more memory than there is: write narrower layers "
        "(hidden), or give fewer features."
    )
    with pytest.raises(ParameterError, match=exactly(sentence)):
        Autoencoder(2, hidden=(10**12,)).fit(X)


def test_portion_without_room_is_taken_in_smaller_batches():
    with pytest.warns(TrainingWarning, match="the fit went on with 16"):
        model = hungry(20).partial_fit(X)
    assert model.n_iter_ == 1
