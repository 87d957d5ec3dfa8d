"""Steps by hand beside those by autograd."""

import itertools

import pytest
import torch
from test_loop import SCALING, X, equal, model_of, plan_of, run, selection_of, state_of

from isthmus.fitting import loop
from isthmus.fitting.assembly import build
from isthmus.fitting.gradients import ByAutograd, ByHand, way_of
from isthmus.fitting.judging import evaluate
from isthmus.fitting.steps import Draws
from isthmus.fitting.streams import Streams
from isthmus.parts import Code, Plain
from isthmus.parts.networks.layers import ACTIVATIONS

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


def test_gradients_are_added_to_those_that_are_there():
    model = model_of()
    way, names = way_of(model), dict(model.named_parameters())
    _, once = gradients(way, ROWS)
    way.back(way.objective(ROWS, ROWS, noise(), at=0.4))
    for name, weight in names.items():
        torch.testing.assert_close(weight.grad, 2 * once[name])


def test_frozen_weights_get_no_gradient():
    model = model_of()
    for weight in model.encoder.parameters():
        weight.requires_grad_(False)
    _, left = gradients(way_of(model), ROWS)
    assert {name.split(".")[0] for name, grad in left.items() if grad is None} == {"encoder"}
    assert {name.split(".")[0] for name, grad in left.items() if grad is not None} == {"decoder"}


def test_way_back_begins_at_the_rows_of_the_training_whatever_is_judged_between():
    model = stirred(model_of())
    way = way_of(model)
    _, alone = gradients(way, ROWS)
    for weight in model.parameters():
        weight.grad = None
    objective = way.objective(ROWS, ROWS, noise())
    evaluate(way, selection_of(X[:9]), Streams(0))
    way.back(objective)
    assert all(torch.equal(alone[name], w.grad) for name, w in model.named_parameters())


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
