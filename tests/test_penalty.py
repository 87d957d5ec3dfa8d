"""Each penalty beside its formula in plain loops, NumPy or torch.distributions, in float64."""

import dataclasses
import inspect
import re
from typing import Annotated

import numpy as np
import pytest
import torch
from pydantic import Field
from torch import nn
from torch.distributions import Bernoulli, kl_divergence

from isthmus import Autoencoder
from isthmus.errors import ParameterError
from isthmus.parts import (
    ActivityKL,
    ActivityL1,
    Custom,
    DeadUnits,
    Dense,
    Penalty,
    WeightL1,
    WeightL2,
    part,
)
from isthmus.parts.halves import Halves, Sizes
from isthmus.parts.passes import Drawn, Pass

SIZES = Sizes(n_features=5, n_head=2, n_components=2, n_outputs=5)
OF_ONE_WEIGHT = {"weight_l1": lambda w: abs(w), "weight_l2": lambda w: w * w}
SLOPE = {"weight_l1": torch.sign, "weight_l2": lambda w: 2 * w}

NETWORKS = {
    "linear": (Dense(hidden=()), False),
    "deep": (Dense(hidden=(4, 3)), False),
    "linear path": (Dense(hidden=(4, 3)), True),
    "tied": (Dense(hidden=(4, 3), tied=True), False),
    "batch norm": (Dense(hidden=(4, 3), norm="batch"), False),
    "layer norm": (Dense(hidden=(4,), norm="layer", dropout=0.5), True),
}

each_penalty = pytest.mark.parametrize("penalty", [WeightL1(), WeightL2()], ids=str)
each_network = pytest.mark.parametrize("name", NETWORKS)


def halves_of(name):
    """Build a network whose weights, biases and norms are all away from zero."""
    network, linear_path = NETWORKS[name]
    halves = network.build(SIZES, torch.Generator().manual_seed(0), linear_path=linear_path)
    generator = torch.Generator().manual_seed(1)
    for half in halves:
        half.double()
        for parameter in half.parameters():
            nn.init.normal_(parameter, generator=generator)
    return halves


def nothing_seen(seen=1.0):
    x = torch.zeros(1, 5)
    code = Drawn(x, x, None)
    return Pass(x, seen * x, x, code, x, torch.sin, torch.sin, True, lambda output: output.sum(1))


def value_of(penalty, halves, seen=None):
    return penalty.value(halves, seen or nothing_seen(), torch.Generator())


def brute_force(halves, of_one):
    """Sum over every entry of every weight matrix; norms and biases are vectors."""
    matrices = {
        id(parameter): parameter.detach().numpy()
        for half in halves
        for module in half.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if isinstance(module, nn.Linear) and name == "weight"
    }
    total = 0.0
    for matrix in matrices.values():
        for row in matrix:
            for entry in row:
                total += of_one(float(entry))
    return total


@each_penalty
@each_network
def test_weight_penalty_is_the_sum_over_all_weights(name, penalty):
    halves = halves_of(name)
    value = value_of(penalty, halves)
    assert value.shape == ()
    expected = brute_force(halves, OF_ONE_WEIGHT[penalty.name])
    np.testing.assert_allclose(value.item(), expected, rtol=1e-12)


@each_penalty
def test_weight_penalty_counts_tied_weights_once(penalty):
    halves = halves_of("tied")
    weights = [module.weight for module in halves.encoder if isinstance(module, nn.Linear)]
    of_one = np.vectorize(OF_ONE_WEIGHT[penalty.name])
    expected = sum(of_one(weight.detach().numpy()).sum() for weight in weights)
    assert len(weights) == 3
    np.testing.assert_allclose(value_of(penalty, halves).item(), expected, rtol=1e-12)


@each_penalty
def test_weight_penalty_counts_a_layer_of_both_halves_once(penalty):
    shared = nn.Linear(3, 3).double()
    halves = Halves(nn.Sequential(shared), nn.Sequential(nn.Tanh(), shared))
    expected = np.vectorize(OF_ONE_WEIGHT[penalty.name])(shared.weight.detach().numpy()).sum()
    np.testing.assert_allclose(value_of(penalty, halves).item(), expected, rtol=1e-12)


@each_penalty
@each_network
def test_weight_penalty_leaves_biases_and_norms_alone(name, penalty):
    halves = halves_of(name)
    before = value_of(penalty, halves)
    for half in halves:
        for parameter in half.parameters():
            if parameter.ndim == 1:
                nn.init.constant_(parameter, 7.0)
    assert torch.equal(value_of(penalty, halves), before)


@each_penalty
@each_network
def test_weight_penalty_has_the_slope_of_one_weight(name, penalty):
    halves = halves_of(name)
    value_of(penalty, halves).backward()
    for half in halves:
        for parameter in half.parameters():
            if parameter.ndim == 2:
                slope = SLOPE[penalty.name](parameter.detach())
                torch.testing.assert_close(parameter.grad, slope, rtol=1e-12, atol=0)
            else:
                assert parameter.grad is None


@each_penalty
def test_weight_penalty_does_not_depend_on_the_rows(penalty):
    halves = halves_of("deep")
    value = value_of(penalty, halves)
    assert torch.equal(value_of(penalty, halves, nothing_seen(2.0)), value)


@each_penalty
def test_weight_penalty_of_the_encoder_leaves_the_decoder_out(penalty):
    halves = halves_of("deep")
    value_of(dataclasses.replace(penalty, half="encoder"), halves).backward()
    assert all(p.grad is None for p in halves.decoder.parameters())
    expected = brute_force(halves[:1], OF_ONE_WEIGHT[penalty.name])
    value = value_of(dataclasses.replace(penalty, half="encoder"), halves)
    np.testing.assert_allclose(value.item(), expected, rtol=1e-12)


# Activity --------------------------------------------------------------------------------


def seen_with(z, **changes):
    """Return a pass whose code is `z`."""
    x = torch.zeros(len(z), 5, dtype=torch.float64)
    seen = Pass(x, x, z, Drawn(z, z, None), x, torch.sin, torch.sin, True, lambda o: o.sum(1))
    return seen._replace(**changes)


def test_activity_l1_is_numpys_sum_of_magnitudes():
    z = torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    value = value_of(ActivityL1(), halves_of("deep"), seen_with(z))
    assert value.item() == pytest.approx(np.abs(z.numpy()).sum(axis=1).mean(), rel=1e-12)


@pytest.mark.parametrize("target", [0.05, 0.5])
def test_activity_kl_is_that_of_torch_distributions_and_of_numpy(target):
    z = torch.rand(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    value = value_of(ActivityKL(target), halves_of("deep"), seen_with(z)).item()
    rates = z.numpy().mean(axis=0)
    by_hand = sum(
        target * np.log(target / r) + (1 - target) * np.log((1 - target) / (1 - r)) for r in rates
    )
    told, shown = Bernoulli(torch.tensor(target).double()), Bernoulli(z.mean(0))
    assert value == pytest.approx(by_hand, rel=1e-12)
    assert value == pytest.approx(kl_divergence(told, shown).sum().item(), rel=1e-6)


@pytest.mark.parametrize("hidden", [(), (6,)])
def test_sigmoid_units_begin_as_active_as_activity_kl_wants(hidden):
    X = np.random.default_rng(0).normal(size=(50, 5))
    options = {"hidden": hidden, "code": "sigmoid", "max_epochs": 0, "random_state": 0}
    plain = Autoencoder(3, **options).fit(X).model_
    begun = Autoencoder(3, penalties="activity_kl(target=0.02)", **options).fit(X).model_
    *_, bias = begun.encoder.parameters()
    torch.testing.assert_close(torch.sigmoid(bias), torch.full_like(bias, 0.02))
    others = zip(plain.encoder.parameters(), begun.encoder.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in [*others][:-1])


def test_weights_of_ones_own_modules_are_not_moved():
    encoder, decoder = nn.Linear(5, 3), nn.Linear(3, 5)
    options = {"penalties": ActivityKL(), "code": "sigmoid", "max_epochs": 0, "random_state": 0}
    X = np.random.default_rng(0).normal(size=(50, 5))
    fitted = Autoencoder(3, network=Custom(encoder, decoder), **options).fit(X)
    *_, bias = fitted.model_.encoder.parameters()
    assert torch.equal(bias.float(), encoder.bias.detach())


def test_activity_kl_is_zero_at_its_target_and_finite_at_the_ends():
    at_target = seen_with(torch.full((4, 3), 0.05, dtype=torch.float64))
    assert value_of(ActivityKL(), halves_of("deep"), at_target).item() == pytest.approx(
        0, abs=1e-15
    )
    for end in (0.0, 1.0):
        z = torch.full((4, 3), end, requires_grad=True)
        value = value_of(ActivityKL(), halves_of("deep"), seen_with(z))
        value.backward()
        assert value.isfinite()
        assert z.grad.isfinite().all()


@pytest.mark.parametrize("kind", Penalty.kinds.values(), ids=lambda kind: kind.name)
def test_strength_rises_over_the_warm_up_and_stays(kind):
    penalty = kind(weight=2.0, warmup=0.25)
    assert [penalty.strength(at) for at in (0, 0.125, 0.25, 0.7, 1)] == [0, 1, 2, 2, 2]
    assert kind(weight=2.0).strength(0) == 2


# Dead units ------------------------------------------------------------------------------


def test_dead_units_gain_what_they_add_to_the_output_and_teach_nobody_else():
    halves = halves_of("deep")
    decoder = halves.decoder
    target = torch.ones(4, 5, dtype=torch.float64)
    z = torch.tensor([[1.0, 0], [2, 0], [0, 0], [3, 0]], dtype=torch.float64)
    head = torch.tensor([[1.0, 0.5], [2, -1], [-4, 0.2], [3, 0.1]], dtype=torch.float64)
    head.requires_grad_()
    output = decoder(z)

    def nll(rows):
        return (rows - target).square().sum(1)

    value = value_of(DeadUnits(k=1), halves, seen_with(z, head=head, output=output, nll=nll))
    woken = torch.stack([torch.zeros(4).double(), head.detach()[:, 1]], dim=1)
    after = output + decoder(woken) - decoder(torch.zeros(1, 2).double())
    assert value.item() == pytest.approx((nll(after) - nll(output)).mean().item(), rel=1e-12)
    value.backward()
    assert head.grad[:, 0].eq(0).all()
    assert head.grad[:, 1].ne(0).all()


def test_dead_units_cost_nothing_where_all_have_had_their_turn():
    z = torch.eye(2, dtype=torch.float64)
    assert value_of(DeadUnits(), halves_of("deep"), seen_with(z)).item() == 0


# Together --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"penalties": "activity_kl"},
            "penalty 'activity_kl' needs a code from 0 to 1, and code 'plain' is not: write "
            "code='sigmoid'.",
        ),
        (
            {"penalties": "dead_units"},
            "penalty 'dead_units' needs a code that sets units to zero, and code 'plain' does "
            "not: write code='topk(k=8)', or leave the penalty out.",
        ),
        (
            {"penalties": "contraction", "network": "dense(norm=batch)"},
            "penalty 'contraction' needs rows that do not depend on each other, and network "
            "\"dense(norm='batch')\" mixes those of a batch: write norm='layer' or no norm.",
        ),
        (
            {"code": "topk(k=9)"},
            "code='topk(k=9)' keeps 9 units, and n_components=2 is fewer: lower k, or raise "
            "n_components.",
        ),
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_parts_that_do_not_go_together_are_refused(options, message, method):
    model = Autoencoder(2, **options)
    with pytest.raises(ParameterError) as error:
        getattr(model, method)(np.random.default_rng(0).standard_normal((20, 5)))
    assert str(error.value) == message


def test_every_penalty_is_tested_here_or_beside():
    tested = {*OF_ONE_WEIGHT, "activity_l1", "activity_kl", "dead_units", "contraction"}
    assert set(Penalty.kinds) == tested


def test_dead_units_are_refused_where_codes_alone_say_little():
    network = "conv(channels=(4,), skip=True, side=8)"
    model = Autoencoder(
        8, network=network, code="topk(k=2)", penalties="dead_units", corruption="gaussian"
    )
    with pytest.raises(ParameterError, match=r"^penalty 'dead_units' decodes codes alone, and "):
        model.fit(np.zeros((20, 8, 8)))


def test_contraction_is_refused_for_a_code_that_leaps():
    model = Autoencoder(4, code="vector_quantized(n_codes=8)", penalties="contraction")
    with pytest.raises(ParameterError, match=r"^penalty 'contraction' needs a code that follows"):
        model.fit(np.random.default_rng(0).normal(size=(40, 6)))


# Of one's own ----------------------------------------------------------------------------


@pytest.fixture
def _no_new_penalties():
    before = dict(Penalty.kinds)
    yield
    Penalty.kinds.clear()
    Penalty.kinds.update(before)


def smooth(value, **stated):
    """Declare a penalty whose value is what a function makes of the codes."""
    methods = {"value": lambda self, halves, seen, generator: value(seen.code.z)}
    return part("smooth")(type("Smooth", (Penalty,), {**methods, **stated}))


def roughness(z):
    return z.diff(dim=1).square().sum(1)


@pytest.mark.usefixtures("_no_new_penalties")
def test_penalty_of_ones_own_writes_its_value_alone():
    kind = smooth(lambda z: roughness(z).mean())
    assert list(inspect.signature(kind).parameters) == ["weight", "warmup"]
    assert (kind().weight, kind().warmup) == (1.0, 0.0)
    rows = np.random.default_rng(0).normal(size=(30, 6))
    given = {"hidden": (4,), "max_epochs": 3, "validation_fraction": 0, "random_state": 0}
    without = Autoencoder(3, **given).fit(rows)
    heavy = Autoencoder(3, penalties="smooth(weight=100)", **given).fit(rows)
    none = Autoencoder(3, penalties="smooth(weight=0)", **given).fit(rows)
    assert heavy.history_[-1]["smooth"] > 0
    assert np.ptp(heavy.transform(rows), 1).mean() < np.ptp(without.transform(rows), 1).mean()
    np.testing.assert_array_equal(none.transform(rows), without.transform(rows))


@pytest.mark.usefixtures("_no_new_penalties")
def test_penalty_of_ones_own_has_its_own_fields_before_those_of_all():
    annotations = {"order": Annotated[int, Field(ge=1)]}
    kind = smooth(roughness, __annotations__=annotations, order=1, weight=0.5)
    assert list(inspect.signature(kind).parameters) == ["order", "weight", "warmup"]
    assert kind(2) == Penalty.of("smooth(2)") == kind(order=2, weight=0.5, warmup=0)
    with pytest.raises(ParameterError, match="weight of penalty 'smooth' should be greater than"):
        kind(weight=-1)


@pytest.mark.usefixtures("_no_new_penalties")
def test_penalty_that_restates_a_field_of_all_has_it_where_it_says():
    annotations = {"weight": Annotated[float, Field(ge=0, le=1)], "order": int}
    kind = smooth(roughness, __annotations__=annotations, order=1, weight=0.5)
    assert list(inspect.signature(kind).parameters) == ["weight", "order", "warmup"]
    with pytest.raises(ParameterError, match="weight of penalty 'smooth' should be less than"):
        kind(weight=2)


@pytest.mark.usefixtures("_no_new_penalties")
@pytest.mark.parametrize(
    ("value", "got"),
    [
        (roughness, "a tensor of shape (15,)"),
        (lambda z: float(roughness(z).mean()), "a value of type float"),
        (lambda z: None, "None"),
    ],
    ids=["a value for each row", "a number", "nothing"],
)
def test_penalty_whose_value_is_no_scalar_is_refused(value, got):
    smooth(value)
    said = (
        f"value of penalty 'smooth' should be a tensor of shape (), averaged over the batch; "
        f"got {got}."
    )
    model = Autoencoder(2, penalties="smooth", hidden=(4,), max_epochs=1, validation_fraction=0)
    rows = np.random.default_rng(0).normal(size=(15, 4))
    with pytest.raises(ParameterError, match=f"^{re.escape(said)}$"):
        model.fit(rows)
