import copy
import re

import numpy as np
import pytest
import sklearn.decomposition
import torch
from torch import nn
from torch.nn import functional

from isthmus.data.rows import fit_scaling, select
from isthmus.errors import ParameterError
from isthmus.fitting.assembly import assemble
from isthmus.fitting.model import Parts
from isthmus.fitting.pca import principal_axes
from isthmus.fitting.steps import lent
from isthmus.parts import Clean, Dense, Laplace, Normal, Plain, Sigmoid
from isthmus.parts.halves import Sizes
from isthmus.parts.networks.dropout import Dropout

ACTIVATIONS = {
    "relu": functional.relu,
    "leaky_relu": functional.leaky_relu,
    "elu": functional.elu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "softplus": functional.softplus,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "identity": lambda x: x,
}
HIDDEN = [(), (7,), (7, 5), (5, 9, 4)]

each_hidden = pytest.mark.parametrize("hidden", HIDDEN, ids=str)


def whole(text):
    return f"^{re.escape(text)}$"


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def sizes(n_features=10, n_components=3, head_per_unit=1, outputs_per_feature=1):
    return Sizes(
        n_features, n_components * head_per_unit, n_components, n_features * outputs_per_feature
    )


def built(network, *, linear_path=False, seed=0, **widths):
    return network.build(sizes(**widths), generator(seed), linear_path=linear_path)


def linears(half):
    return [module for module in half.modules() if isinstance(module, nn.Linear)]


def weights_of(halves):
    return {
        f"{name}.{key}": value
        for name, half in halves._asdict().items()
        for key, value in half.state_dict().items()
    }


def shaken(halves, seed=1):
    """Move every weight away from its start, in float64."""
    stream = generator(seed)
    for half in halves:
        half.double()
        for parameter in half.parameters():
            nn.init.normal_(parameter, std=0.5, generator=stream)
    return halves


def rows(n=20, n_features=10, seed=3):
    return torch.randn(n, n_features, generator=generator(seed), dtype=torch.float64)


# Shapes ----------------------------------------------------------------------------------


@each_hidden
@pytest.mark.parametrize("linear_path", [False, True])
@pytest.mark.parametrize("norm", [None, "batch", "layer"])
def test_dense_joins_the_widths_it_is_given(hidden, linear_path, norm):
    network = Dense(hidden=hidden, norm=norm, dropout=0.1)
    halves = built(network, linear_path=linear_path)
    encoder, decoder = (half.eval() for half in halves)
    assert encoder(torch.zeros(4, 10)).shape == (4, 3)
    assert decoder(torch.zeros(4, 3)).shape == (4, 10)


@each_hidden
def test_dense_gives_each_unit_its_heads_and_each_feature_its_outputs(hidden):
    encoder, decoder = built(Dense(hidden=hidden), head_per_unit=2, outputs_per_feature=4)
    assert encoder(torch.zeros(4, 10)).shape == (4, 6)
    assert decoder(torch.zeros(4, 3)).shape == (4, 40)


@each_hidden
@pytest.mark.parametrize("tied", [False, True])
def test_decoder_mirrors_the_widths_of_the_encoder(hidden, tied):
    encoder, decoder = built(Dense(hidden=hidden, tied=tied))
    widths = [(layer.in_features, layer.out_features) for layer in linears(encoder)]
    assert widths == list(zip([10, *hidden], [*hidden, 3], strict=True))
    seen = []
    z = torch.zeros(2, 3)
    for layer in decoder:
        before, z = z.shape[1], layer(z)
        if not isinstance(layer, nn.SiLU):
            seen.append((before, z.shape[1]))
    assert seen == [(n_out, n_in) for n_in, n_out in reversed(widths)]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_dense_is_affine_maps_with_the_activation_between_them(name):
    encoder, decoder = shaken(built(Dense(hidden=(7, 5), activation=name)))
    for half, x in ((encoder, rows()), (decoder, rows(n_features=3))):
        expected = x
        *inner, last = linears(half)
        for layer in inner:
            expected = ACTIVATIONS[name](expected @ layer.weight.T + layer.bias)
        expected = expected @ last.weight.T + last.bias
        torch.testing.assert_close(half(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_norm_stands_between_the_map_and_the_activation(norm):
    encoder, _ = built(Dense(hidden=(7,), norm=norm))
    encoder.double().train()
    x = rows()
    first, last = linears(encoder)
    h = x @ first.weight.T + first.bias
    axis = 0 if norm == "batch" else 1
    normed = (h - h.mean(axis, keepdim=True)) / torch.sqrt(
        h.var(axis, keepdim=True, unbiased=False) + 1e-5
    )
    expected = functional.silu(normed) @ last.weight.T + last.bias
    torch.testing.assert_close(encoder(x), expected, rtol=1e-10, atol=1e-10)


# Initial weights -------------------------------------------------------------------------


@each_hidden
@pytest.mark.parametrize("options", [{}, {"tied": True}, {"norm": "batch"}], ids=str)
def test_dense_starts_the_same_for_the_same_generator_state_alone(hidden, options):
    network = Dense(hidden=hidden, **options)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = weights_of(built(network))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    again, other = weights_of(built(network)), weights_of(built(network, seed=2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_hidden_layers_start_with_the_variance_of_glorot_or_he(name):
    encoder, decoder = built(Dense(hidden=(300, 200), activation=name), n_features=400)
    gain = {"tanh": 5 / 3, "sigmoid": 1, "identity": 1}.get(name)
    for half in (encoder, decoder):
        for layer in linears(half)[:-1]:
            n_in, n_out = layer.in_features, layer.out_features
            expected = 2 / n_in if gain is None else gain**2 * 2 / (n_in + n_out)
            bound = np.sqrt(3 * expected)  # of a uniform draw with that variance
            assert layer.weight.abs().max() <= bound
            # The variance of n uniform draws strays by sqrt(0.8 / n) of itself.
            stray = 6 * np.sqrt(0.8 / layer.weight.numel())
            assert abs(layer.weight.var().item() / expected - 1) < stray
            assert not layer.bias.any()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_last_layers_start_with_the_variance_of_glorot(name):
    halves = built(Dense(hidden=(300,), activation=name), n_features=400, n_components=100)
    for half in halves:
        last = linears(half)[-1]
        expected = 2 / (last.in_features + last.out_features)
        stray = 6 * np.sqrt(0.8 / last.weight.numel())
        assert abs(last.weight.var().item() / expected - 1) < stray
        assert not last.bias.any()


# Tied weights ----------------------------------------------------------------------------


@each_hidden
def test_tied_decoder_is_the_transpose_of_the_encoder(hidden):
    network = Dense(hidden=hidden, tied=True, activation="tanh")
    encoder, decoder = shaken(built(network))
    maps = linears(encoder)
    biases = [layer.bias for layer in decoder if hasattr(layer, "bias")]
    z = rows(n_features=3)
    expected = z
    for i, (layer, bias) in enumerate(zip(reversed(maps), biases, strict=True)):
        expected = expected @ layer.weight + bias
        if i < len(maps) - 1:
            expected = torch.tanh(expected)
    torch.testing.assert_close(decoder(z), expected, rtol=1e-12, atol=1e-12)


@each_hidden
def test_tied_weights_learn_from_both_halves(hidden):
    encoder, decoder = shaken(built(Dense(hidden=hidden, tied=True, activation="tanh")))
    x = rows()
    (decoder(encoder(x)) - x).square().sum().backward()
    # By hand: the same function with free copies of the weights for each half.
    down = [layer.weight.detach().clone().requires_grad_(True) for layer in linears(encoder)]
    up = [weight.detach().clone().requires_grad_(True) for weight in reversed(down)]
    down_bias = [layer.bias.detach() for layer in linears(encoder)]
    up_bias = [layer.bias.detach() for layer in decoder if hasattr(layer, "bias")]
    h = x
    for i, (weight, bias) in enumerate(zip(down, down_bias, strict=True)):
        h = h @ weight.T + bias
        h = torch.tanh(h) if i < len(down) - 1 else h
    for i, (weight, bias) in enumerate(zip(up, up_bias, strict=True)):
        h = h @ weight + bias
        h = torch.tanh(h) if i < len(up) - 1 else h
    (h - x).square().sum().backward()
    for layer, below, above in zip(linears(encoder), down, reversed(up), strict=True):
        torch.testing.assert_close(layer.weight.grad, below.grad + above.grad)


@each_hidden
def test_tied_weights_stay_tied_after_a_step_a_copy_and_a_cast(hidden):
    halves = shaken(built(Dense(hidden=hidden, tied=True)))
    before = weights_of(halves)
    before = {name: value.clone() for name, value in before.items()}
    copied = copy.deepcopy(nn.ModuleDict(halves._asdict())).float().double()
    optimizer = torch.optim.SGD(copied.parameters(), lr=0.1)
    x = rows()
    (copied["decoder"](copied["encoder"](x)) - x).square().mean().backward()
    optimizer.step()
    first_up = next(iter(copied["decoder"]))
    assert first_up._mirror[0] is linears(copied["encoder"])[-1]
    assert not torch.equal(
        linears(copied["encoder"])[-1].weight, linears(halves.encoder)[-1].weight
    )
    assert all(torch.equal(value, before[name]) for name, value in weights_of(halves).items())


def test_tied_weights_are_saved_once():
    halves = built(Dense(hidden=(7,), tied=True))
    assert sorted(weights_of(halves)) == [
        "decoder.0.bias",
        "decoder.2.bias",
        *("encoder.0.bias", "encoder.0.weight", "encoder.2.bias", "encoder.2.weight"),
    ]
    learned = [id(parameter) for half in halves for parameter in half.parameters()]
    assert len(set(learned)) == len(learned) == 6


# Dropout ---------------------------------------------------------------------------------


@pytest.mark.parametrize("chance", [0.1, 0.5, 0.9])
def test_dropout_zeroes_its_share_and_scales_up_the_rest(chance):
    layer = Dropout(chance)
    layer.generator = generator()
    x = torch.rand(300, 300, generator=generator(1), dtype=torch.float64) + 1
    y = layer(x)
    kept = y != 0
    torch.testing.assert_close(y[kept], x[kept] / (1 - chance), rtol=1e-12, atol=0)
    stray = 6 * np.sqrt(chance * (1 - chance) / x.numel())
    assert abs(kept.double().mean().item() - (1 - chance)) < stray


def test_dropout_does_nothing_once_training_is_over():
    layer = Dropout(0.5).eval()
    x = rows()
    assert torch.equal(layer(x), x)


@pytest.mark.parametrize("linear_path", [False, True])
def test_dropout_draws_only_from_the_lent_generator(linear_path):
    network = Dense(hidden=(7, 5), dropout=0.5)
    halves = shaken(built(network, linear_path=linear_path))
    model = nn.ModuleDict(halves._asdict()).train()
    x = rows()

    def passed(seed):
        with lent(model, generator(seed)):
            return [model["decoder"](model["encoder"](x)) for _ in range(2)]

    state = torch.get_rng_state()
    first, second = passed(0)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(12345)
    assert torch.equal(first, passed(0)[0])
    assert not torch.equal(first, second)
    assert not torch.equal(first, passed(1)[0])


def test_dropout_gives_its_generator_back():
    halves = built(Dense(hidden=(7,), dropout=0.5))
    model = nn.ModuleDict(halves._asdict())
    layers = [layer for layer in model.modules() if isinstance(layer, Dropout)]
    stream = generator()
    with lent(model, stream):
        assert [layer.generator for layer in layers] == [stream, stream]
    assert [layer.generator for layer in layers] == [None, None]


def test_dropout_stands_behind_every_hidden_layer_and_nowhere_else():
    encoder, decoder = built(Dense(hidden=(7, 5), dropout=0.5))
    for half in (encoder, decoder):
        names = [type(layer).__name__ for layer in half]
        assert names == ["Linear", "SiLU", "Dropout"] * 2 + ["Linear"]


@pytest.mark.parametrize(
    ("network", "hides"),
    [
        (Dense(dropout=0.1), True),
        (Dense(), False),
        (Dense(hidden=(), dropout=0.5), False),
    ],
    ids=str,
)
def test_dropout_hides_where_there_is_a_hidden_layer(network, hides):
    assert network.hides is hides


# Linear path -----------------------------------------------------------------------------


def started(X, n_components, scaling, **options):
    """Return the model as it starts, in float32 as the training sees it, and its scaling."""
    fitted = fit_scaling(scaling, X)
    pca = principal_axes(select(X, X, fitted, "cpu"), n_components, generator())
    parts = Parts(Dense(**options), Clean(), Plain(), Normal(), ())
    return assemble(parts, n_components, fitted, pca, generator()).eval(), fitted


@pytest.fixture(scope="module")
def table():
    draw = np.random.default_rng(0)
    return draw.standard_normal((200, 12)) @ draw.standard_normal((12, 12)) + 5.0


@each_hidden
@pytest.mark.parametrize("scaling", ["isotropic", "standard", "none"])
def test_linear_path_starts_as_scikit_learns_pca(table, hidden, scaling):
    model, fitted = started(table, 4, scaling, hidden=hidden)
    seen = (table - fitted.offset.numpy()) / fitted.scale.numpy()
    pca = sklearn.decomposition.PCA(4).fit(seen)
    scores = pca.transform(seen)
    expected = pca.inverse_transform(scores) * fitted.scale.numpy() + fitted.offset.numpy()
    with torch.no_grad():
        codes = model.encode(torch.from_numpy(table).float())
        rebuilt = model.decode(codes).double().numpy()
    codes = codes.double().numpy()
    np.testing.assert_allclose(rebuilt, expected, atol=1e-5 * np.abs(expected).max())
    signs = np.sign((codes * scores).sum(axis=0))
    np.testing.assert_allclose(codes * signs, scores, atol=1e-5 * np.abs(scores).max())


@pytest.mark.parametrize("options", [{"dropout": 0.5}, {"norm": "layer"}, {"norm": "batch"}])
def test_linear_path_starts_as_pca_whatever_stands_beside_it(table, options):
    model, _ = started(table, 4, "isotropic", hidden=(7, 5), **options)
    plain, _ = started(table, 4, "isotropic", hidden=())
    x = torch.from_numpy(table).float()
    for mode in (True, False):  # also while it trains: f and g are zero, whatever goes in
        model.train(mode)
        with torch.no_grad(), lent(model, generator()):
            assert torch.equal(model.encode(x), plain.encode(x))
            assert torch.equal(model.decode(model.encode(x)), plain.decode(plain.encode(x)))


def test_linear_path_adds_the_deep_stack_to_the_linear_map():
    encoder, decoder = shaken(built(Dense(hidden=(7,)), linear_path=True))
    spread = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    for half in (encoder, decoder):
        half.spread.copy_(spread)
    x, z = rows(), rows(n_features=3)
    first, second = linears(encoder.layers)
    f = functional.silu(x @ first.weight.T + first.bias) @ second.weight.T + second.bias
    head = spread * (x @ encoder.linear.weight.T + encoder.linear.bias + f)
    torch.testing.assert_close(encoder(x), head, rtol=1e-12, atol=1e-12)
    u = z / spread
    first, second = linears(decoder.layers)
    g = functional.silu(u @ first.weight.T + first.bias) @ second.weight.T + second.bias
    output = u @ decoder.linear.weight.T + decoder.linear.bias + g
    torch.testing.assert_close(decoder(z), output, rtol=1e-12, atol=1e-12)


def test_linear_path_learns_in_every_layer_after_the_first_step(table):
    """The last layers of f and g are zero, so those below get their gradient a step later."""
    model, fitted = started(table, 4, "isotropic", hidden=(7, 5))
    x = fitted(torch.from_numpy(table)).float()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    for _ in range(2):
        optimizer.zero_grad()
        (model.decoder(model.encoder(x)) - x.tanh()).square().sum(1).mean().backward()
        optimizer.step()
    assert all(bool(parameter.grad.any()) for parameter in model.parameters())


@pytest.mark.parametrize(
    ("network", "code", "likelihood", "wants"),
    [
        (Dense(), Plain(), Normal(), True),
        (Dense(), Plain(), Normal(std=0.1), True),
        (Dense(hidden=()), Plain(), Normal(), True),
        (Dense(linear_path="pca"), Plain(), Normal(), True),
        (Dense(linear_path="none"), Plain(), Normal(), False),
        (Dense(tied=True), Plain(), Normal(), False),
        (Dense(), Sigmoid(), Normal(), False),
        (Dense(), Plain(), Laplace(), False),
    ],
    ids=str,
)
def test_linear_path_is_there_where_the_parts_are_those_of_pca(network, code, likelihood, wants):
    assert network.wants_pca(code, likelihood) is wants


# Refused combinations --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "code", "likelihood", "got"),
    [
        (
            Dense(linear_path="pca"),
            Sigmoid(),
            Normal(),
            "code='sigmoid', likelihood='normal', tied=False",
        ),
        (
            Dense(linear_path="pca"),
            Plain(),
            Laplace(width=2),
            "code='plain', likelihood='laplace(width=2.0)', tied=False",
        ),
        (
            Dense(linear_path="pca", tied=True),
            Plain(),
            Normal(),
            "code='plain', likelihood='normal', tied=True",
        ),
    ],
    ids=["sigmoid", "laplace", "tied"],
)
def test_linear_path_is_refused_beside_parts_that_are_not_those_of_pca(
    network, code, likelihood, got
):
    message = (
        f"linear_path='pca' needs a code that PCA has (plain; or gaussian without free_bits, "
        f"capacity and a learned prior, of several samples with beta=1), a normal likelihood and "
        f"untied weights; got {got}: "
        f"write linear_path='none'."
    )
    with pytest.raises(ParameterError, match=whole(message)):
        network.wants_pca(code, likelihood)


def test_tied_weights_are_refused_for_a_code_of_two_heads_per_unit():
    message = "tied=True needs a code with one head output per unit; write tied=False."
    with pytest.raises(ParameterError, match=whole(message)):
        built(Dense(tied=True), head_per_unit=2)


def test_tied_weights_are_refused_for_a_likelihood_of_two_outputs_per_feature():
    message = "tied=True needs a likelihood with one output per feature; write tied=False."
    with pytest.raises(ParameterError, match=whole(message)):
        built(Dense(tied=True), outputs_per_feature=2)
