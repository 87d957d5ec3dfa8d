"""Steps by hand beside those by autograd."""

import itertools
import weakref

import numpy as np
import pytest
import torch
from test_loop import SCALING, X, equal, model_of, plan_of, run, state_of
from torch import nn

from isthmus import StackedAutoencoder
from isthmus.fitting import loop, session
from isthmus.fitting.assembly import build
from isthmus.fitting.gradients import ByAutograd, ByHand, way_of
from isthmus.fitting.steps import Draws
from isthmus.fitting.streams import Streams
from isthmus.parts import Clean, Code, Plain
from isthmus.parts.networks.layers import ACTIVATIONS
from isthmus.parts.passes import Seen

ROWS = SCALING(torch.from_numpy(X.astype("float64"))).float()
KNOWN = {
    **{name: {"network": f"dense(hidden=(8, 5), activation={name})"} for name in ACTIVATIONS},
    "no linear path": {"network": "dense(hidden=(8, 5), linear_path=none)"},
    "linear": {"network": "dense(hidden=())"},
    "linear without its path": {"network": "dense(hidden=(), linear_path=none)"},
    "tied": {"network": "dense(hidden=(8, 5), tied=True)"},
    "tied and linear": {"network": "dense(hidden=(), tied=True)"},
    "sigmoid code": {"code": "sigmoid"},
    "rectified code": {"code": "rectified"},
    "narrow normal": {"likelihood": "normal(std=0.3)"},
    "laplace": {"likelihood": "laplace(width=0.5)"},
    "gaussian noise": {"corruption": "gaussian(std=0.5)"},
    "masking": {"corruption": "masking(fraction=0.5)"},
    "code of chance": {"code": "gaussian(beta=0.7)"},
    "code of chance alone": {"code": "gaussian(beta=0)"},
    "code that warms up": {"code": "gaussian(warmup=0.8)"},
    "learned width": {"likelihood": "normal(std=learned)"},
    "learned widths": {"likelihood": "normal(std=per_feature)"},
    "variational": {"code": "gaussian", "likelihood": "normal(std=learned)"},
}
UNKNOWN = {
    "dropout": {"network": "dense(hidden=(8,), dropout=0.1)"},
    "norm": {"network": "dense(hidden=(8,), norm=layer)"},
    "norm of the batch": {"network": "dense(hidden=(8,), norm=batch)"},
    "penalty": {"penalties": ["weight_l2(weight=0.1)"]},
    "several draws": {"code": "gaussian(samples=2)"},
    "learned prior": {"code": "gaussian(prior_components=2)"},
    "free bits": {"code": "gaussian(free_bits=0.1)"},
    "capacity": {"code": "gaussian(capacity=1)"},
    "code that switches": {"code": "topk(k=1)"},
}


def gradients(way, x, target=None):
    """Return the loss of rows and the gradient that one way leaves with each weight."""
    for weight in way.learner.parameters():
        weight.grad = None
    way.train()
    objective = way.objective(x, x if target is None else target, noise(), at=0.4)
    way.back(objective)
    left = {name: weight.grad for name, weight in way.learner.named_parameters()}
    return objective, {name: None if grad is None else grad.clone() for name, grad in left.items()}


def noise():
    return Draws.begin(Streams(0), "cpu").randomness


def stirred(model):
    """Give every weight a gradient: away from the start, where some are zero."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.2 * torch.randn(weight.shape, generator=generator)
    return model


def check_alike(model, x, *, reduced=False, **tolerance):
    ways = ByAutograd(model, reduced=reduced), way_of(model, reduced=reduced)
    assert isinstance(ways[1], ByHand)
    (first, known), (second, ours) = (gradients(way, x) for way in ways)
    for field in ("rows", "loss", "output"):
        torch.testing.assert_close(
            getattr(second, field), getattr(first, field).detach(), **tolerance
        )
    assert second.terms.keys() == first.terms.keys()
    assert all(known[name].abs().max() > 0 for name in known)
    torch.testing.assert_close(ours, known, **tolerance)


@pytest.mark.parametrize("name", KNOWN)
def test_step_by_hand_is_that_of_autograd(name):
    check_alike(stirred(model_of(**KNOWN[name])), ROWS, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["relu", "silu", "no linear path", "tied", "sigmoid code"])
def test_products_by_hand_are_reduced_as_autocast_reduces_them(name):
    check_alike(stirred(model_of(**KNOWN[name])), ROWS, reduced=True, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("corruption", ["clean", "binarised"])
def test_step_by_hand_predicts_what_its_likelihood_does(corruption):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(30, 6, generator=generator)
    parts = model_of(likelihood="bernoulli", corruption=corruption).parts
    identity = type(SCALING)(torch.zeros(6), torch.ones(()))
    model = stirred(build(parts, 2, identity, generator))
    check_alike(model, images, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("code", ["plain", "gaussian"])
def test_step_by_hand_tells_the_decoder_labels(code):
    generator = torch.Generator().manual_seed(0)
    parts = model_of(code=code).parts._replace(n_labels=3)
    model = stirred(build(parts, 2, SCALING, generator))
    labels = torch.eye(3)[torch.arange(len(ROWS)) % 3]
    told = torch.cat([ROWS, labels], 1)
    ways = ByAutograd(model), way_of(model)
    assert isinstance(ways[1], ByHand)
    (first, known), (second, ours) = (gradients(way, ROWS, told) for way in ways)
    torch.testing.assert_close(second.rows, first.rows.detach())
    torch.testing.assert_close(ours, known, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_has_no_known_derivative_is_left_to_autograd(name):
    assert isinstance(way_of(model_of(**UNKNOWN[name])), ByAutograd)


def test_code_of_ones_own_is_left_to_autograd():
    class Doubled(Plain):
        name = "doubled"

        def mean(self, head, memory):
            return 2 * head

    model = model_of(network="dense(hidden=(8,), linear_path='none')")
    model.parts = model.parts._replace(code=Doubled())
    assert isinstance(model.parts.code, Code)
    assert isinstance(way_of(model), ByAutograd)


def test_model_in_double_precision_is_left_to_autograd():
    assert isinstance(way_of(model_of().double()), ByAutograd)


@pytest.mark.parametrize("activation", [
    nn.LeakyReLU(0.3), nn.ELU(2.0), nn.GELU("tanh"), nn.Softplus(2.0), nn.SiLU(inplace=True),
])  # fmt: skip
def test_activation_that_is_not_the_usual_one_is_left_to_autograd(activation):
    model = model_of()
    model.encoder.layers[1] = activation
    assert isinstance(way_of(model), ByAutograd)


def test_corruption_that_says_what_is_judged_is_left_to_autograd():
    class Half(Clean):
        name = "half"

        def see(self, x, scaling, generator, shape=()):
            return Seen(x, torch.arange(x.shape[1]).expand_as(x) % 2 == 0)

    model = model_of()
    model.parts = model.parts._replace(corruption=Half())
    assert isinstance(way_of(model), ByAutograd)


@pytest.mark.parametrize("hook", [
    "register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook",
    "register_full_backward_pre_hook",
])  # fmt: skip
@pytest.mark.parametrize("name", ["", "decoder", "encoder.layers.0"])
def test_model_with_hooks_is_left_to_autograd(name, hook):
    model = model_of()
    assert isinstance(way_of(model), ByHand)
    getattr(model.get_submodule(name), hook)(lambda *_: None)
    assert isinstance(way_of(model), ByAutograd)


@pytest.mark.parametrize("name", ["encoder.layers.0", "decoder.linear"])
def test_layer_with_weights_that_are_made_is_left_to_autograd(name):
    model = model_of()
    nn.utils.parametrizations.weight_norm(model.get_submodule(name))
    assert isinstance(way_of(model), ByAutograd)


@pytest.mark.parametrize("reduced", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_gradients_are_added_to_those_that_are_there(tied, reduced):
    model = stirred(model_of(network=f"dense(hidden=(8,), tied={tied})"))
    way = way_of(model, reduced=reduced)
    (_, first), (_, second) = (gradients(way, rows) for rows in (ROWS[:40], ROWS[40:]))
    for weight in model.parameters():
        weight.grad = None
    for rows in (ROWS[:40], ROWS[40:]):
        way.back(way.objective(rows, rows, noise(), at=0.4))
    tolerance = {"rtol": 2e-2, "atol": 1e-2} if reduced else {"rtol": 1e-5, "atol": 1e-6}
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight.grad, first[name] + second[name], **tolerance)


def test_nothing_of_a_step_is_held_after_it():
    model = model_of()
    way = way_of(model)
    rows = ROWS.clone()
    held = weakref.ref(rows)
    way.back(way.objective(rows, rows, noise()))
    del rows
    assert held() is None
    rows = ROWS.clone()
    held = weakref.ref(rows)
    way.objective(rows, rows, noise())  # of which the loss broke
    del rows
    way.train()
    assert held() is None


@pytest.mark.parametrize("pretraining", ["autoencoder", "rbm"])
def test_stacked_fit_by_hand_is_that_by_autograd(pretraining, monkeypatch):
    def fitted():
        model = StackedAutoencoder(2, hidden=(5, 3), pretraining=pretraining, max_epochs=3,
                                   random_state=0)  # fmt: skip
        return model.fit(X).partial_fit(X)

    by_hand = fitted().transform(X)
    for module in (loop, session):
        monkeypatch.setattr(module, "way_of", lambda model, reduced=False: ByAutograd(model))
    np.testing.assert_allclose(by_hand, fitted().transform(X), rtol=1e-3, atol=1e-4)


def test_frozen_weights_get_no_gradient():
    model = model_of()
    for weight in model.encoder.parameters():
        weight.requires_grad_(False)
    _, left = gradients(way_of(model), ROWS)
    assert {name.split(".")[0] for name, grad in left.items() if grad is None} == {"encoder"}
    assert {name.split(".")[0] for name, grad in left.items() if grad is not None} == {"decoder"}


def test_clean_rows_are_what_noisy_ones_should_give():
    model, noisy = stirred(model_of()), ROWS + 0.3
    ways = ByAutograd(model), way_of(model)
    (first, known), (second, ours) = (gradients(way, noisy, ROWS) for way in ways)
    torch.testing.assert_close(second.rows, first.rows.detach())
    torch.testing.assert_close(ours, known)


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "lbfgs", "muon"])
def test_fit_by_hand_is_that_by_autograd(optimizer, monkeypatch):
    fields = {"optimizer": plan_of().optimizer.of(optimizer), "rate": 1e-3}
    by_hand = run(**fields)
    monkeypatch.setattr(loop, "way_of", lambda model, reduced=False: ByAutograd(model))
    known = run(**fields)
    for ours, theirs in itertools.zip_longest(by_hand.history, known.history):
        assert ours["held_out_loss"] == pytest.approx(theirs["held_out_loss"], rel=1e-4)
    assert not equal(state_of(by_hand.model), by_hand.start)


def test_outer_autocast_does_not_reach_the_products():
    way = way_of(model_of())
    plain, _ = gradients(way, ROWS)
    with torch.autocast("cpu", torch.bfloat16):
        within, _ = gradients(way, ROWS)
    assert torch.equal(plain.rows, within.rows)
