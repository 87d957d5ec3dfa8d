"""Each optimiser beside torch's own, and the plain ones beside their formulas."""

import numpy as np
import pytest
import torch
from torch import nn, optim

from isthmus.fitting.optimizers import Optimizer, Together
from isthmus.fitting.schedules import Cosine

RATE = 1e-2
N_STEPS = 12

# What each name means, in torch's words.
TORCHS = {
    "sgd": lambda ps: optim.SGD(ps, lr=RATE, fused=True),
    "momentum": lambda ps: optim.SGD(ps, lr=RATE, momentum=0.9, fused=True),
    "nesterov": lambda ps: optim.SGD(ps, lr=RATE, momentum=0.9, nesterov=True, fused=True),
    "adagrad": lambda ps: optim.Adagrad(ps, lr=RATE, foreach=True),
    "rmsprop": lambda ps: optim.RMSprop(ps, lr=RATE, alpha=0.99, foreach=True),
    "adadelta": lambda ps: optim.Adadelta(ps, lr=RATE, rho=0.9, foreach=True),
    "adam": lambda ps: optim.Adam(ps, lr=RATE, betas=(0.9, 0.999), fused=True),
    "adamw": lambda ps: optim.AdamW(ps, lr=RATE, weight_decay=1e-2, fused=True),
    "adamax": lambda ps: optim.Adamax(ps, lr=RATE, foreach=True),
    "nadam": lambda ps: optim.NAdam(ps, lr=RATE, foreach=True),
    "radam": lambda ps: optim.RAdam(ps, lr=RATE, foreach=True),
    "lbfgs": lambda ps: optim.LBFGS(
        ps, lr=RATE, max_iter=20, history_size=10, line_search_fn="strong_wolfe"
    ),
}
SET = {
    "sgd(weight_decay=0.1)": lambda ps: optim.SGD(ps, lr=RATE, weight_decay=0.1, fused=True),
    "momentum(0.5, 0.1)": lambda ps: optim.SGD(
        ps, lr=RATE, momentum=0.5, weight_decay=0.1, fused=True
    ),
    "nesterov(0.5, 0.1)": lambda ps: optim.SGD(
        ps, lr=RATE, momentum=0.5, weight_decay=0.1, nesterov=True, fused=True
    ),
    "adagrad(weight_decay=0.1)": lambda ps: optim.Adagrad(
        ps, lr=RATE, weight_decay=0.1, foreach=True
    ),
    "rmsprop(0.5, 0.2, 0.1)": lambda ps: optim.RMSprop(
        ps, lr=RATE, alpha=0.5, momentum=0.2, weight_decay=0.1, foreach=True
    ),
    "adadelta(0.5, 0.1)": lambda ps: optim.Adadelta(
        ps, lr=RATE, rho=0.5, weight_decay=0.1, foreach=True
    ),
    "adam((0.5, 0.9), 0.1)": lambda ps: optim.Adam(
        ps, lr=RATE, betas=(0.5, 0.9), weight_decay=0.1, fused=True
    ),
    "adamw((0.5, 0.9), 0.1)": lambda ps: optim.AdamW(
        ps, lr=RATE, betas=(0.5, 0.9), weight_decay=0.1, fused=True
    ),
    "adamax((0.5, 0.9), 0.1)": lambda ps: optim.Adamax(
        ps, lr=RATE, betas=(0.5, 0.9), weight_decay=0.1, foreach=True
    ),
    "nadam((0.5, 0.9), 0.1)": lambda ps: optim.NAdam(
        ps, lr=RATE, betas=(0.5, 0.9), weight_decay=0.1, foreach=True
    ),
    "radam((0.5, 0.9), 0.1)": lambda ps: optim.RAdam(
        ps, lr=RATE, betas=(0.5, 0.9), weight_decay=0.1, foreach=True
    ),
    "lbfgs(max_iter=3, history_size=2)": lambda ps: optim.LBFGS(
        ps, lr=RATE, max_iter=3, history_size=2, line_search_fn="strong_wolfe"
    ),
}

each_name = pytest.mark.parametrize("name", Optimizer.kinds)
# torch's line search divides by a step of zero.
each_without_line_search = pytest.mark.parametrize(
    "name", [name for name in Optimizer.kinds if name != "lbfgs"]
)


class Bowl(nn.Module):
    """``sum of curvature * (w - 1)^2 / 2`` over a matrix and a vector: its minimum is 0, at 1."""

    def __init__(self, dtype=torch.float32):
        super().__init__()
        stream = torch.Generator().manual_seed(0)
        self.matrix = nn.Parameter(torch.randn(4, 3, generator=stream, dtype=dtype))
        self.vector = nn.Parameter(torch.randn(3, generator=stream, dtype=dtype))
        self.curvature = torch.linspace(0.5, 2, 3, dtype=dtype)

    def forward(self):
        return sum((self.curvature * (w - 1).square() / 2).sum() for w in self.parameters())


def descend(bowl, optimizer, n_steps=N_STEPS, schedule=None):
    """Take steps as the loop takes them; return the losses before each and after the last."""
    losses = []

    def closure():
        optimizer.zero_grad(set_to_none=True)
        loss = bowl()
        loss.backward()
        return loss

    for step in range(n_steps):
        if schedule is not None:
            for group in optimizer.param_groups:
                group["lr"] = RATE * schedule.factor(step / n_steps)
        losses.append(float(optimizer.step(closure).detach()))
    return [*losses, float(bowl().detach())]


def weights(bowl):
    return [w.detach().clone() for w in bowl.parameters()]


# Against torch ---------------------------------------------------------------------------


def test_there_are_the_thirteen_that_the_field_names():
    assert set(Optimizer.kinds) == {*TORCHS, "muon"}


@pytest.mark.parametrize("text", [*TORCHS, *SET])
def test_optimizer_steps_as_torchs_does_bitwise(text):
    ours, theirs = Bowl(), Bowl()
    our_losses = descend(ours, Optimizer.of(text).build(ours.parameters(), RATE))
    their_losses = descend(theirs, {**TORCHS, **SET}[text](theirs.parameters()))
    assert our_losses == their_losses
    assert all(map(torch.equal, weights(ours), weights(theirs)))


@pytest.mark.parametrize("text", SET)
def test_every_field_of_an_optimizer_changes_its_steps(text):
    given = Optimizer.of(text)
    plain = type(given)()
    for name in given.__dataclass_fields__:
        if getattr(given, name) == getattr(plain, name):
            continue
        ours, theirs = Bowl(), Bowl()
        one = type(given)(**{name: getattr(given, name)})
        descend(ours, one.build(ours.parameters(), RATE))
        descend(theirs, plain.build(theirs.parameters(), RATE))
        assert not all(map(torch.equal, weights(ours), weights(theirs))), name


@each_name
def test_optimizer_goes_downhill(name):
    bowl = Bowl()
    losses = descend(bowl, Optimizer.of(name).build(bowl.parameters(), RATE), n_steps=30)
    assert losses[-1] < losses[0]
    assert losses[1] <= losses[0]


@each_name
def test_optimizer_goes_downhill_at_its_own_rate(name):
    bowl, optimizer = Bowl(), Optimizer.of(name)
    losses = descend(bowl, optimizer.build(bowl.parameters(), optimizer.rate), n_steps=30)
    assert losses[-1] < losses[0]


@each_name
def test_optimizer_has_each_parameter_once(name):
    bowl = Bowl()
    optimizer = Optimizer.of(name).build(bowl.parameters(), RATE)
    held = [id(w) for group in optimizer.param_groups for w in group["params"]]
    assert sorted(held) == sorted(id(w) for w in bowl.parameters())


@each_name
def test_optimizer_takes_an_iterator_of_parameters(name):
    bowl = Bowl()
    optimizer = Optimizer.of(name).build(iter(list(bowl.parameters())), RATE)
    descend(bowl, optimizer, n_steps=2)
    assert not any(map(torch.equal, weights(bowl), weights(Bowl())))


def test_only_lbfgs_wants_large_batches():
    assert [name for name, kind in Optimizer.kinds.items() if kind.whole] == ["lbfgs"]


def test_lbfgs_reaches_the_bottom_of_a_bowl_in_one_step():
    bowl = Bowl(torch.float64)
    optimizer = Optimizer.of("lbfgs")
    losses = descend(bowl, optimizer.build(bowl.parameters(), optimizer.rate), n_steps=1)
    assert losses[-1] < 1e-12 * losses[0]


# Against the formulas --------------------------------------------------------------------


def sgd(w, g, past):
    return w - RATE * g


def momentum(w, g, past):
    past["v"] = 0.9 * past.get("v", 0) + g
    return w - RATE * past["v"]


def nesterov(w, g, past):
    past["v"] = 0.9 * past.get("v", 0) + g
    return w - RATE * (g + 0.9 * past["v"])


def adagrad(w, g, past):
    past["sum"] = past.get("sum", 0) + g * g
    return w - RATE * g / (np.sqrt(past["sum"]) + 1e-10)


def rmsprop(w, g, past):
    past["mean"] = 0.99 * past.get("mean", 0) + 0.01 * g * g
    return w - RATE * g / (np.sqrt(past["mean"]) + 1e-8)


def adadelta(w, g, past):
    past["g"] = 0.9 * past.get("g", 0) + 0.1 * g * g
    step = g * np.sqrt(past.get("step", 0) + 1e-6) / np.sqrt(past["g"] + 1e-6)
    past["step"] = 0.9 * past.get("step", 0) + 0.1 * step * step
    return w - RATE * step


def adam(w, g, past):
    past["t"] = past.get("t", 0) + 1
    past["m"] = 0.9 * past.get("m", 0) + 0.1 * g
    past["v"] = 0.999 * past.get("v", 0) + 0.001 * g * g
    mean, square = past["m"] / (1 - 0.9 ** past["t"]), past["v"] / (1 - 0.999 ** past["t"])
    return w - RATE * mean / (np.sqrt(square) + 1e-8)


def adamw(w, g, past):
    return adam(w * (1 - RATE * 1e-2), g, past)


def adamax(w, g, past):
    past["t"] = past.get("t", 0) + 1
    past["m"] = 0.9 * past.get("m", 0) + 0.1 * g
    past["u"] = np.maximum(0.999 * past.get("u", 0), np.abs(g) + 1e-8)
    return w - RATE / (1 - 0.9 ** past["t"]) * past["m"] / past["u"]


@pytest.mark.parametrize(
    "formula",
    [sgd, momentum, nesterov, adagrad, rmsprop, adadelta, adam, adamw, adamax],
    ids=lambda formula: formula.__name__,
)
def test_optimizer_steps_as_its_formula_says(formula):
    bowl = Bowl(torch.float64)
    expected, pasts = [w.numpy().copy() for w in weights(bowl)], [{}, {}]
    curvature = bowl.curvature.numpy()
    descend(bowl, Optimizer.of(formula.__name__).build(bowl.parameters(), RATE))
    for _ in range(N_STEPS):
        expected = [
            formula(w, curvature * (w - 1), past) for w, past in zip(expected, pasts, strict=True)
        ]
    for ours, theirs in zip(weights(bowl), expected, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-9)


# Muon ------------------------------------------------------------------------------------


def test_muon_is_torchs_for_matrices_and_adamw_for_the_rest():
    ours, theirs = Bowl(), Bowl()
    descend(ours, Optimizer.of("muon").build(ours.parameters(), RATE))
    pair = [
        optim.Muon(
            [theirs.matrix],
            lr=RATE,
            momentum=0.95,
            weight_decay=0.0,
            adjust_lr_fn="match_rms_adamw",
        ),
        optim.AdamW([theirs.vector], lr=RATE, weight_decay=0.0, fused=True),
    ]
    for _ in range(N_STEPS):
        theirs.zero_grad()
        theirs().backward()
        for member in pair:
            member.step()
    assert all(map(torch.equal, weights(ours), weights(theirs)))


def test_muon_evaluates_its_closure_once_a_step():
    bowl, calls = Bowl(), []
    optimizer = Optimizer.of("muon").build(bowl.parameters(), RATE)

    def closure():
        calls.append(1)
        optimizer.zero_grad()
        loss = bowl()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert len(calls) == 1


@pytest.mark.parametrize("name", ["matrix", "vector"])
def test_muon_serves_where_there_are_only_matrices_or_none(name):
    bowl = Bowl()
    parameter = getattr(bowl, name)
    before = parameter.detach().clone()
    descend(bowl, Optimizer.of("muon").build([parameter], RATE), n_steps=2)
    assert not torch.equal(parameter, before)


def test_muon_forgets_the_gradients_of_both_members():
    bowl = Bowl()
    optimizer = Optimizer.of("muon").build(bowl.parameters(), RATE)
    bowl().backward()
    optimizer.zero_grad(set_to_none=True)
    assert [w.grad for w in bowl.parameters()] == [None, None]


# Learning rate and state -----------------------------------------------------------------


@each_without_line_search
def test_a_learning_rate_of_zero_moves_nothing(name):
    bowl = Bowl()
    optimizer = Optimizer.of(name).build(bowl.parameters(), RATE)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    before = weights(bowl)
    descend(bowl, optimizer, n_steps=3)
    assert all(map(torch.equal, weights(bowl), before))


@pytest.mark.parametrize("name", TORCHS)
def test_a_changing_learning_rate_reaches_every_group(name):
    ours, theirs = Bowl(), Bowl()
    descend(ours, Optimizer.of(name).build(ours.parameters(), RATE), schedule=Cosine())
    descend(theirs, TORCHS[name](theirs.parameters()), schedule=Cosine())
    assert all(map(torch.equal, weights(ours), weights(theirs)))
    constant = Bowl()
    descend(constant, Optimizer.of(name).build(constant.parameters(), RATE))
    assert not any(map(torch.equal, weights(ours), weights(constant)))


def test_a_changing_learning_rate_reaches_both_members_of_muon():
    bowl = Bowl()
    optimizer = Optimizer.of("muon").build(bowl.parameters(), RATE)
    assert isinstance(optimizer, Together)
    for group in optimizer.param_groups:
        group["lr"] = 0.5
    rates = [group["lr"] for member in optimizer.members for group in member.param_groups]
    assert rates == [0.5, 0.5]


@each_name
def test_optimizer_goes_on_bitwise_from_its_saved_state(name):
    straight = Bowl()
    descend(straight, Optimizer.of(name).build(straight.parameters(), RATE), n_steps=6)

    first = Bowl()
    before = Optimizer.of(name).build(first.parameters(), RATE)
    descend(first, before, n_steps=3)
    second = Bowl()
    second.load_state_dict(first.state_dict())
    after = Optimizer.of(name).build(second.parameters(), RATE)
    after.load_state_dict(before.state_dict())
    descend(second, after, n_steps=3)
    assert all(map(torch.equal, weights(second), weights(straight)))


@each_without_line_search
def test_a_learning_rate_still_reaches_every_group_after_the_state_is_loaded(name):
    bowl = Bowl()
    before = Optimizer.of(name).build(bowl.parameters(), RATE)
    descend(bowl, before, n_steps=3)
    after = Optimizer.of(name).build(bowl.parameters(), RATE)
    after.load_state_dict(before.state_dict())
    for group in after.param_groups:
        group["lr"] = 0.0
    at = weights(bowl)
    descend(bowl, after, n_steps=2)
    assert all(map(torch.equal, weights(bowl), at))
