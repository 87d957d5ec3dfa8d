"""Codes with a prior, vector quantisation, learned variances and the evidence of a VAE."""

import copy
import math
import re

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.decomposition import PCA
from torch import distributions

from isthmus import Autoencoder, VariationalAutoencoder, datasets, load
from isthmus.data.scaling import Scaling
from isthmus.errors import ParameterError, TrainingWarning
from isthmus.fitting import evidence
from isthmus.fitting.assembly import build
from isthmus.fitting.importance import bound
from isthmus.fitting.learner import Randomness
from isthmus.fitting.model import Parts
from isthmus.fitting.steps import lent
from isthmus.parts import (
    Bernoulli,
    Binarised,
    Clean,
    Dense,
    Gaussian,
    Normal,
    Plain,
    VectorQuantized,
    WeightL2,
)
from isthmus.parts.likelihood import SMALLEST
from isthmus.parts.passes import Drawn
from isthmus.parts.prior import NormalPrior
from isthmus.parts.variational import SCALES, draw, kl, log_ratio, mmd, posterior

B, D, K = 9, 6, 4


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed))


def randomness():
    return Randomness(*(generator(seed) for seed in range(3)))


def model_of(code, likelihood=None, corruption=None, hidden=(5,)):
    likelihood = likelihood or Normal()
    network = Dense(hidden=hidden, activation="tanh", linear_path="none")
    parts = Parts(network, corruption or Clean(), code, likelihood, penalties=())
    scaling = Scaling(torch.zeros(D, dtype=torch.float64), torch.ones((), dtype=torch.float64))
    return build(parts, K, scaling, generator(7))


# The divergence --------------------------------------------------------------------------


def test_kl_equals_torch_distributions():
    mean, log_variance = normal(B, K), normal(B, K, seed=1)
    ours = kl(mean, log_variance)
    q = distributions.Normal(mean, torch.exp(log_variance / 2))
    theirs = distributions.kl_divergence(q, distributions.Normal(0.0, 1.0))
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_kl_of_a_tiny_deviation_keeps_its_digits():
    log_variance = torch.tensor([[1e-6]])
    value = kl(torch.zeros(1, 1), log_variance)
    assert value.item() == pytest.approx(1e-12 / 4, rel=0.1)


def test_draws_have_the_densities_that_are_said_of_them():
    mean, log_variance = normal(B, K), normal(B, K, seed=1)
    z = draw(mean, log_variance, generator(), 3)
    q = distributions.Normal(mean, torch.exp(log_variance / 2)).log_prob(z.view(B, 3, K)[:, 1])
    p = distributions.Normal(0.0, 1.0).log_prob(z.view(B, 3, K)[:, 1])
    expected = (q - p).sum(1)
    ratio = log_ratio(z, mean, log_variance, NormalPrior()).view(B, 3)[:, 1]
    torch.testing.assert_close(ratio, expected, rtol=1e-10, atol=1e-10)


def drawn(code, seed=0, at=1.0):
    return code.draw(normal(B, 2 * K, seed=seed), code.memory(K), generator(), at)


def test_gaussian_divergence_is_beta_times_the_kl():
    units = kl(*posterior(normal(B, 2 * K)))
    torch.testing.assert_close(drawn(Gaussian(beta=3.0)).divergence, 3 * units.sum(1))


def test_beta_rises_over_the_warmup():
    code = Gaussian(beta=2.0, warmup=0.5)
    whole = drawn(code).divergence
    torch.testing.assert_close(drawn(code, at=0.125).divergence, whole / 4)
    torch.testing.assert_close(drawn(code, at=0.75).divergence, whole)


def test_free_bits_charge_no_unit_less():
    units = kl(*posterior(normal(B, 2 * K)))
    for nats in (0.1, float(units.mean(0).median()), 50.0):
        expected = units.mean(0).clamp(min=nats).sum()
        charged = drawn(Gaussian(free_bits=nats)).divergence.mean()
        torch.testing.assert_close(charged, expected)


@pytest.mark.parametrize("capacity", [0.0, 1.0, 100.0])
def test_capacity_is_where_the_divergence_costs_nothing(capacity):
    mean = kl(*posterior(normal(B, 2 * K))).sum(1).mean()
    charged = drawn(Gaussian(beta=5.0, capacity=capacity)).divergence.mean()
    torch.testing.assert_close(charged, 5 * (mean - capacity).abs())


def test_single_draws_and_whole_distributions_do_not_mix():
    with pytest.raises(ParameterError, match=r"^free_bits and capacity need whole "):
        Gaussian(samples=5, free_bits=0.5).memory(K)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (
            Gaussian(growth=0.5),
            "growth lets the draws of a row rise from 1, and they are to be 1: give several "
            "samples (of an estimator, importance_samples), or leave growth out.",
        ),
        (
            Gaussian(beta=0.0, capacity=3.0),
            "capacity is what beta pulls the code to, and beta is 0: give beta, or leave capacity "
            "out.",
        ),
    ],
    ids=str,
)
def test_fields_that_would_do_nothing_are_refused(code, sentence):
    code.memory(K)  # saved models may have them
    with pytest.raises(ParameterError, match=f"^{re.escape(sentence)}$"):
        Autoencoder(2, code=code, likelihood="normal").fit(np.eye(6))


def test_code_without_beta_and_spread_gives_bitwise_the_plain_loss():
    """The encoder's second half is made -inf: a spread of exactly zero."""
    plain, random = model_of(Plain()), model_of(Gaussian(beta=0.0))
    with torch.no_grad():
        ours, theirs = random.encoder, plain.encoder
        random.decoder.load_state_dict(plain.decoder.state_dict())
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            mine[: len(other)] = other
            if len(mine) > len(other):
                mine[len(other) :] = -math.inf if mine.ndim == 1 else 0.0
    x = normal(B, D).float()
    losses = [model.train()(x, x, randomness()).loss for model in (plain, random)]
    assert torch.equal(*losses)


# The bound -------------------------------------------------------------------------------


def test_bound_of_several_draws_is_minus_the_log_of_their_mean_weight():
    nll, divergence = normal(B * 5).abs(), normal(B * 5, seed=1)
    weights = torch.exp(-(nll + divergence)).view(B, 5)
    code = Drawn(normal(B * 5, K), normal(B, K), divergence)
    torch.testing.assert_close(bound(nll, code, 5), -torch.log(weights.mean(1)))


def test_objective_with_several_draws_is_that_of_brute_force():
    model = model_of(Gaussian(samples=3), Bernoulli()).train()
    x = (normal(B, D) > 0).float()
    objective = model(x, x, randomness())
    mean, log_variance = posterior(model.encoder(x))
    noise = torch.empty(3 * B, K).normal_(generator=generator(1)).view(B, 3, K)
    rows = []
    for row in range(B):
        weights = []
        for s in range(3):
            q = distributions.Normal(mean[row], torch.exp(log_variance[row] / 2))
            z = mean[row] + q.stddev * noise[row, s]
            output = model.decoder(z[None])[0]
            p = distributions.Bernoulli(logits=output).log_prob(x[row]).sum()
            prior = distributions.Normal(0.0, 1.0).log_prob(z).sum()
            weights.append(p + prior - q.log_prob(z).sum())
        rows.append(math.log(3) - torch.stack(weights).logsumexp(0))
    torch.testing.assert_close(objective.rows, torch.stack(rows))
    assert objective.loss.item() == pytest.approx(objective.rows.mean().item(), rel=1e-6)


@pytest.mark.parametrize("beta", [1.0, 0.4])
@pytest.mark.parametrize("n_draws", [8, 20])  # of 20, two carry the gradient
def test_gradient_of_the_bound_is_the_plain_one_on_average(beta, n_draws):
    model = model_of(Gaussian(samples=n_draws, beta=beta), Bernoulli()).train().float()
    x = (normal(1, D) > 0).float()
    weight = next(model.encoder.parameters())
    ours, plain = [], []
    for seed in range(4000):
        stream = Randomness(*(generator(seed) for _ in range(3)))
        ours.append(torch.autograd.grad(model(x, x, stream).loss, weight)[0].flatten())
        mean, log_variance = posterior(model.encoder(x))
        z = draw(mean, log_variance, generator(seed), n_draws)
        q = distributions.Normal(mean, torch.exp(log_variance / 2))
        ratio = (q.log_prob(z) - distributions.Normal(0.0, 1.0).log_prob(z)).sum(1)
        log_weights = -model.nats(z, x.expand(n_draws, -1)) - beta * ratio
        plain.append(torch.autograd.grad(-log_weights.logsumexp(0), weight)[0].flatten())
    ours, plain = torch.stack(ours), torch.stack(plain)
    error = ((ours.var(0) + plain.var(0)) / len(ours)).sqrt()
    assert ((ours.mean(0) - plain.mean(0)).abs() <= 5 * error).all()
    assert n_draws > 8 or ours.var(0).sum() < 0.8 * plain.var(0).sum()


def test_bound_is_that_of_all_draws_where_few_carry_the_gradient():
    model = model_of(Gaussian(samples=30), Bernoulli())
    x = (normal(B, D) > 0).float()
    ours, all_draws = model.train()(x, x, randomness()), model.eval()(x, x, randomness())
    torch.testing.assert_close(ours.rows, all_draws.rows)
    torch.testing.assert_close(ours.terms, all_draws.terms)


def test_draws_rise_from_one_over_the_growth():
    code = Gaussian(samples=50, growth=0.5)
    head, nothing = normal(B, 2 * K), NormalPrior()
    times = (0.0, 0.125, 0.25, 0.5, 1.0)
    counts = [len(code.draw(head, nothing, generator(), at).z) // B for at in times]
    assert counts == [1, 3, 7, 50, 50]
    first = code.draw(head, nothing, generator(), 0.0)
    plain = Gaussian().draw(head, nothing, generator())
    assert torch.equal(first.divergence, plain.divergence)


def test_held_out_rows_are_judged_by_what_reconstruct_gives():
    model = model_of(Gaussian()).eval()
    x = normal(B, D).float()
    output = model(x, x, randomness()).output
    torch.testing.assert_close(output, model.reconstruct(x))


class Linear(torch.nn.Module):
    """``W x + b``, given."""

    def __init__(self, weight, bias):
        super().__init__()
        self.weight, self.bias = weight, bias

    def forward(self, x):
        return torch.nn.functional.linear(x, self.weight.to(x), self.bias.to(x))


@pytest.fixture(scope="module")
def linear_gaussian():
    """A model x = V z + Normal(0, s^2), and an encoder with a posterior that is too wide."""
    std, V = 0.5, torch.linalg.qr(normal(D, K)).Q * torch.arange(1, K + 1)
    model = model_of(Gaussian(), Normal(std=std)).double().eval()
    precision = torch.eye(K) + V.T @ V / std**2
    W = torch.linalg.solve(precision, V.T / std**2)
    spread = torch.log(1.3 / precision.diagonal())
    weight = torch.cat([W, torch.zeros(K, D)])
    model.encoder = Linear(weight, torch.cat([torch.zeros(K), spread]).double())
    model.decoder = Linear(V, torch.zeros(D, dtype=torch.float64))
    x = normal(B, K, seed=3) @ V.T + std * normal(B, D, seed=4)
    exact = stats.multivariate_normal(cov=(V @ V.T + std**2 * torch.eye(D)).numpy()).logpdf(x)
    return model, x, torch.from_numpy(exact)


def test_log_likelihood_is_that_of_the_linear_gaussian_model(linear_gaussian):
    model, x, exact = linear_gaussian
    found = evidence.log_likelihood(model, x, 5000, generator())
    assert (found - exact).abs().max() < 0.05


def test_elbo_is_the_log_likelihood_less_the_divergence_from_the_true_posterior(linear_gaussian):
    model, x, exact = linear_gaussian
    found = evidence.elbo(model, x, 4000, generator())
    mean, log_variance = posterior(model.head_of(x))
    q = distributions.MultivariateNormal(mean, torch.diag_embed(log_variance.exp()))
    V, std = model.decoder.weight, 0.5
    covariance = torch.linalg.inv(torch.eye(K, dtype=torch.float64) + V.T @ V / std**2)
    gaps = distributions.kl_divergence(q, distributions.MultivariateNormal(mean, covariance))
    torch.testing.assert_close(exact - found, gaps, rtol=0.1, atol=0.2)
    assert bool((found < exact).all())


def test_more_draws_near_the_log_likelihood_from_below(linear_gaussian):
    model, x, exact = linear_gaussian
    means = []
    for n in (1, 10, 100):
        found = [evidence.log_likelihood(model, x, n, generator(seed)) for seed in range(40)]
        means.append(float(torch.stack(found).mean()))
    assert means[0] < means[1] < means[2] < float(exact.mean()) + 0.02


# Estimator -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pixels():
    return datasets.digits().images[:600]


@pytest.fixture(scope="module")
def fitted(pixels):
    return VariationalAutoencoder(
        6, max_epochs=30, validation_fraction=0, learning_rate=3e-3, random_state=0
    ).fit(pixels)


def test_answers_are_the_same_in_two_calls(fitted, pixels):
    for method in ("transform", "score_samples", "reconstruct", "elbo"):
        first, second = (getattr(fitted, method)(pixels[:20]) for _ in range(2))
        assert np.array_equal(first, second), method
    twice = [fitted.log_likelihood(pixels[:20], 50, random_state=3) for _ in range(2)]
    assert np.array_equal(*twice)


def test_transform_gives_the_means_and_on_request_the_stds(fitted, pixels):
    means, stds = fitted.transform(pixels, return_std=True)
    assert np.array_equal(means, fitted.transform(pixels))
    assert means.shape == stds.shape == (600, 6)
    scaled = fitted.model_.scaling(torch.from_numpy(pixels))
    head = fitted.model_.encoder(scaled).numpy()
    np.testing.assert_allclose(means, head[:, :6], rtol=1e-5)
    np.testing.assert_allclose(stds, np.exp(head[:, 6:] / 2), rtol=1e-5)


def test_transform_keeps_to_set_output(fitted, pixels):
    pytest.importorskip("pandas")
    model = VariationalAutoencoder(2, max_epochs=1, validation_fraction=0, random_state=0)
    model.set_output(transform="pandas").fit(pixels[:50])
    frame = model.transform(pixels[:5])
    assert list(frame.columns) == ["variationalautoencoder0", "variationalautoencoder1"]


def test_log_likelihood_exceeds_the_bound(fitted, pixels):
    bounds, values = fitted.elbo(pixels, 20), fitted.log_likelihood(pixels, 500)
    assert values.mean() > bounds.mean() + 0.1


def test_log_likelihood_is_a_density_in_the_users_units(pixels):
    options = {"max_epochs": 2, "validation_fraction": 0, "random_state": 0}
    near, far = (
        VariationalAutoencoder(3, **options).fit(scale * pixels).elbo(scale * pixels[:9])
        for scale in (1.0, 8.0)
    )
    np.testing.assert_allclose(near - far, 64 * np.log(8), rtol=1e-3)


def test_linear_variational_autoencoder_reaches_probabilistic_pca():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 3)) @ rng.normal(size=(3, 10)) + 0.5 * rng.normal(size=(2000, 10))
    pca = PCA(3).fit(X)
    model = VariationalAutoencoder(
        3,
        network="dense(hidden=(), linear_path=none)",
        warmup=0.0,
        learning_rate=2e-2,
        max_epochs=250,
        batch_size=200,
        validation_fraction=0,
        random_state=0,
    ).fit(X)
    ours, theirs = model.log_likelihood(X, 300).mean(), pca.score(X)
    assert ours == pytest.approx(theirs, rel=1e-3)


def test_collapsed_units_are_found(pixels):
    model = VariationalAutoencoder(
        4,
        beta=100.0,
        likelihood="normal",
        warmup=0.0,
        learning_rate=1e-2,
        max_epochs=15,
        validation_fraction=0,
        random_state=0,
    ).fit(pixels)
    names = [finding.name for finding in model.diagnose(pixels)]
    assert "collapsed units" in names


# Learned variance ------------------------------------------------------------------------


def test_learned_std_is_the_likeliest():
    likelihood = Normal(std="learned")
    memory = likelihood.memory(D)
    output, x = normal(B, D), normal(B, D, seed=1)
    best = likelihood.nll(output, x, memory).mean()
    std = float((output - x).square().mean().sqrt())
    torch.testing.assert_close(best, Normal(std=std).nll(output, x).mean())
    for factor in (0.9, 1.1):
        assert Normal(std=factor * std).nll(output, x).mean() > best


def test_learned_std_in_use_is_that_of_the_training():
    likelihood = Normal(std="learned")
    memory = likelihood.memory(D)
    output = normal(B, D)
    for seed in range(200):
        likelihood.nll(output, output + 0.3 * normal(B, D, seed=seed), memory)
    memory.eval()
    x = 5 * normal(B, D, seed=1)
    used = float(memory.values.sqrt())
    assert used == pytest.approx(0.3, rel=0.05)
    torch.testing.assert_close(
        likelihood.nll(output, x, memory), Normal(std=used).nll(output, x), rtol=1e-5, atol=1e-5
    )
    noise = likelihood.sample(torch.zeros(4000, D), generator(), memory)
    assert float(noise.std()) == pytest.approx(used, rel=0.05)


def test_std_per_feature_is_each_features_own():
    likelihood, stds = Normal(std="per_feature"), torch.linspace(0.2, 2, D).double()
    memory = likelihood.memory(D, 5.0)
    assert torch.equal(memory.values, torch.full((D,), 5.0))
    output = normal(500, D)
    for seed in range(40):
        likelihood.nll(output, output + stds * normal(500, D, seed=seed + 1), memory)
    memory.eval()
    used = memory.values.sqrt().double()
    torch.testing.assert_close(used, stds, rtol=0.05, atol=0)
    x = 3 * normal(500, D, seed=99)
    densities = distributions.Normal(output, used).log_prob(x).sum(1)
    torch.testing.assert_close(likelihood.nll(output, x, memory), -densities)
    drawn = likelihood.sample(torch.zeros(4000, D), generator(), memory)
    torch.testing.assert_close(drawn.std(0).double(), stds, rtol=0.07, atol=0)


def test_std_per_feature_of_what_never_varies_stays_above_a_share_of_the_mean():
    likelihood = Normal(std="per_feature")
    memory = likelihood.memory(D)
    output = normal(B, D)
    apart = torch.tensor([0.0, 1, 1, 1, 1, 2]).double()
    likelihood.nll(output, output + apart, memory)
    assert float(memory.values[0]) == pytest.approx(1e-3 * 8 / D, rel=1e-4)
    exact = likelihood.memory(D)
    likelihood.nll(output, output, exact)
    assert (exact.values >= SMALLEST * (1 - 1e-6)).all()


def test_gradient_under_std_per_feature_is_that_of_the_std_it_was_judged_by():
    likelihood = Normal(std="per_feature")
    memory = likelihood.memory(D)
    output, x = normal(B, D).requires_grad_(), normal(B, D, seed=1)
    loss = likelihood.nll(output, x, memory).sum()
    variances = memory.values.double()
    likelihood.nll(output.detach(), 9 * x, memory)  # learns on, before the gradient is asked for
    loss.backward()
    torch.testing.assert_close(output.grad, (output.detach() - x) / variances)


def test_learned_std_is_saved(fitted, tmp_path, pixels):
    from isthmus import load

    fitted.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.model_.spread.values == fitted.model_.spread.values != 1.0
    assert np.array_equal(again.score_samples(pixels), fitted.score_samples(pixels))


def test_std_per_feature_needs_codes_that_are_drawn():
    with pytest.raises(
        ParameterError,
        match=r"^likelihood .normal\(std='per_feature'\). pays for columns that a code copies "
        r"without noise, and code 'plain' does: fit a VariationalAutoencoder, or write "
        r"likelihood='normal\(std=learned\)'\.$",
    ):
        Autoencoder(2, likelihood="normal(std=per_feature)").fit(np.eye(6))


def test_std_per_feature_does_not_search_along_lines():
    model = VariationalAutoencoder(2, likelihood="normal(std=per_feature)", optimizer="lbfgs")
    with pytest.raises(
        ParameterError,
        match=r"^likelihood .normal\(std='per_feature'\). goes on learning while optimizer "
        r"'lbfgs' searches along a line: write optimizer='adam'\.$",
    ):
        model.fit(np.random.default_rng(0).normal(size=(30, 5)))


@pytest.mark.parametrize("std", ["learned", "per_feature"])
def test_what_penalties_judge_teaches_the_likelihood_nothing(std):
    likelihood = Normal(std=std)
    model = model_of(Gaussian(), likelihood).train()
    x = normal(B, D).float()
    judged = []

    class Judging(WeightL2):
        name = "judging"

        def value(self, halves, seen, generator):
            judged.append(seen.nll(9 * seen.output))
            return judged[-1].mean()

    plain = copy.deepcopy(model)
    model.parts = model.parts._replace(penalties=(Judging(weight=1.0),))
    for each in (plain, model):
        each(x, x, randomness())
    assert len(judged) == 1
    torch.testing.assert_close(model.spread.values, plain.spread.values)


def test_std_per_feature_is_saved(tmp_path):
    X = np.random.default_rng(0).normal(size=(60, 5)) * np.arange(1, 6)
    each = VariationalAutoencoder(
        2, likelihood="normal(std=per_feature)", max_epochs=3, validation_fraction=0, random_state=0
    ).fit(X)
    each.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert len(set(again.model_.spread.values.tolist())) == 5
    drawn = (model.sample(9, expected=False, random_state=0) for model in (again, each))
    assert np.array_equal(*drawn)
    assert np.array_equal(again.score_samples(X), each.score_samples(X))


# Other codes -----------------------------------------------------------------------------


def test_mmd_is_that_of_brute_force():
    a, b = normal(7, K), normal(7, K, seed=1)

    def kernel(u, v):
        return sum(2 * K * c / (2 * K * c + float((u - v).square().sum())) for c in SCALES)

    among = sum(
        kernel(s[i], s[j]) for s in (a, b) for i in range(7) for j in range(7) if i != j
    ) / (7 * 6)
    between = sum(kernel(u, v) for u in a for v in b) / 49
    assert float(mmd(a, b)) == pytest.approx(among - 2 * between, rel=1e-10)


def test_mmd_is_about_zero_for_the_same_distribution_and_not_for_another():
    same = torch.stack([mmd(normal(200, 2, seed=s), normal(200, 2, seed=s + 99)) for s in range(9)])
    other = mmd(2 + normal(200, 2), normal(200, 2, seed=1))
    assert same.abs().max() < 0.05 < 0.5 < other


def test_wasserstein_code_makes_codes_normal(pixels):
    apart = []
    for weight in (0.0, 300.0):
        model = Autoencoder(
            2,
            code=f"wasserstein_mmd(weight={weight})",
            likelihood="normal(std=0.3)",
            max_epochs=40,
            validation_fraction=0,
            random_state=0,
        )
        codes = torch.from_numpy(model.fit_transform(pixels)).double()
        apart.append(float(mmd(codes, normal(600, 2))))
    assert apart[1] < apart[0] / 3


def test_quantised_code_is_the_nearest_vector_of_each_group():
    code = VectorQuantized(n_codes=5, groups=2)
    memory = code.memory(K)
    memory.vectors.copy_(normal(2, 5, 2))
    head = normal(B, K, seed=1)
    z = code.mean(head, memory)
    for row, quantised in zip(head, z, strict=True):
        for group in range(2):
            part = slice(2 * group, 2 * group + 2)
            distances = (memory.vectors[group].double() - row[part]).norm(dim=1)
            expected = memory.vectors[group][distances.argmin()].double()
            assert torch.equal(quantised[part], expected)


def test_quantised_code_hands_gradients_to_the_head():
    code = VectorQuantized(n_codes=3, groups=1, commitment=0.0)
    memory, head = code.memory(K).eval(), normal(B, K).requires_grad_()
    weights = normal(B, K, seed=1)
    (code.draw(head, memory, generator()).z * weights).sum().backward()
    assert torch.equal(head.grad, weights)


def test_codebook_becomes_the_means_of_clusters():
    code = VectorQuantized(n_codes=20, groups=1, ema=0.9)
    memory = code.memory(2)
    centres = torch.tensor([[0.0, 10.0], [10.0, 0.0], [-10.0, -10.0]])
    for seed in range(60):
        head = centres.repeat(20, 1) + 0.1 * normal(60, 2, seed=seed).float()
        code.draw(head, memory, generator(seed))
    means = code.mean(centres, memory)
    torch.testing.assert_close(means, centres, atol=0.2, rtol=0)


def test_quantised_code_refuses_uneven_groups():
    with pytest.raises(ParameterError, match=r"divides n_components=4 units into 3 .* groups=2\."):
        VectorQuantized(groups=3).memory(4)


def test_quantised_autoencoder_has_few_codes(pixels):
    code = "vector_quantized(n_codes=4, groups=2)"
    model = Autoencoder(4, code=code, max_epochs=5, validation_fraction=0, random_state=0)
    codes = model.fit_transform(pixels)
    for group in (codes[:, :2], codes[:, 2:]):
        assert 2 <= len(np.unique(group, axis=0)) <= 4


# Black and white -------------------------------------------------------------------------


def test_binarised_rows_are_ones_as_often_as_they_say():
    scaling = Scaling(torch.full((3,), 0.2), torch.tensor(0.5))
    x = scaling(torch.tensor([[0.0, 0.3, 1.0]]).repeat(20_000, 1))
    seen = scaling.inverse(Binarised().corrupt(x, scaling, generator()))
    near = torch.minimum(seen.abs(), (seen - 1).abs())
    assert near.max() < 1e-6
    torch.testing.assert_close(seen.mean(0), torch.tensor([0.0, 0.3, 1.0]), atol=0.015, rtol=0)


def test_binarised_rows_are_what_should_come_out():
    model = model_of(Plain(), Bernoulli(), Binarised()).train()
    x = torch.rand(B, D, generator=generator())
    objective = model(x, x, randomness())
    seen = (torch.empty_like(x).uniform_(generator=generator(0)) < x).float()
    expected = Bernoulli().nll(model.decoder(model.encoder(seen)), seen)
    torch.testing.assert_close(objective.rows, expected)


def test_binarised_rows_need_probabilities(pixels):
    with pytest.raises(ParameterError, match=r"write likelihood='bernoulli', and give no target\."):
        VariationalAutoencoder(corruption="binarised", likelihood="normal").fit(pixels)


# Several draws at the edges ---------------------------------------------------------------


@pytest.mark.parametrize("n_draws", [5, 20])
def test_a_loss_that_is_not_finite_ends_a_fit_of_several_draws(n_draws):
    model = VariationalAutoencoder(
        2, hidden=(8,), likelihood="normal", optimizer="sgd", learning_rate=1e3, max_epochs=3,
        importance_samples=n_draws, random_state=0,
    )  # fmt: skip
    with pytest.warns(TrainingWarning, match="diverged"):
        model.fit(datasets.digits().images[:200])
    assert model.stopped_by_ == "diverged"


@pytest.mark.parametrize("n_draws", [5, 20])
def test_several_draws_without_a_divergence_are_weighed_by_their_likelihoods(n_draws):
    model = model_of(Gaussian(samples=n_draws, beta=0), Bernoulli()).eval()
    x = (normal(B, D) > 0).float()
    objective = model(x, x, randomness())
    z = draw(*posterior(model.encoder(x)), generator(1), n_draws)
    nll = model.nats(z, x.repeat_interleave(n_draws, 0)).view(B, n_draws)
    torch.testing.assert_close(objective.rows, math.log(n_draws) - (-nll).logsumexp(1))


def test_every_draw_carries_the_gradient_where_the_network_is_not_the_same_twice():
    code, x = Gaussian(samples=20), (normal(B, D) > 0).float()
    for network in ("dense(hidden=(5,), dropout=0.5)", "dense(hidden=(5,), norm=batch)"):
        parts = Parts(Dense.of(network), Clean(), code, Bernoulli(), penalties=())
        scaling = Scaling(torch.zeros(D), torch.ones(()))
        model = build(parts, K, scaling, generator(7)).train().float()
        seen = []
        model.decoder.register_forward_hook(lambda _, z, __, seen=seen: seen.append(len(z[0])))
        with lent(model, generator()):
            model(x, x, randomness())
        assert seen == [20 * B]


def test_a_penalty_of_drawn_codes_is_refused_where_a_row_has_several():
    expected = (
        r"^penalty 'activity_l1' judges one code of a row, and code 'gaussian\(samples=5\)' draws "
        r"5: write samples=1, or leave the penalty out\.$"
    )
    with pytest.raises(ParameterError, match=expected):
        Autoencoder(2, code="gaussian(samples=5)", penalties="activity_l1").fit(normal(50, D))


def test_conditional_is_what_it_was_when_fitted(tmp_path):
    X, y = datasets.digits().images[:100], datasets.digits().labels[:100]
    short = {"hidden": (8,), "max_epochs": 1, "random_state": 0}
    told = VariationalAutoencoder(2, conditional=True, **short).fit(X, y)
    told.set_params(conditional=False).save(tmp_path / "told")
    assert load(tmp_path / "told").sample(3, y=5, random_state=0).shape == (3, 64)
    plain = VariationalAutoencoder(2, **short).fit(X)
    plain.set_params(conditional=True).save(tmp_path / "plain")
    assert load(tmp_path / "plain").sample(3, random_state=0).shape == (3, 64)
    assert not hasattr(told.fit(X), "classes_")


def test_vector_that_is_seldom_hit_stays_the_mean_of_what_it_stands_for():
    vectors = torch.linspace(10, 265, 256)
    book = VectorQuantized(256).memory(1)
    book.vectors.copy_(vectors[None, :, None])
    book.counts.fill_(32 / 256)
    book.counts[0, 0] = 1 / 50
    draws = torch.Generator().manual_seed(0)
    for step in range(1000):
        heads = vectors[1:][torch.randint(255, (32,), generator=draws)][:, None].clone()
        if step % 50 == 0:
            heads[0] = 10
        book.learn(heads, 0.99, draws)
    assert book.vectors[0, 0, 0] == pytest.approx(10, abs=1e-3)


def test_learned_std_is_that_of_the_start_where_nothing_is_trained():
    X = np.random.default_rng(0).normal(size=(60, 1)) @ np.ones((1, 5))
    model = Autoencoder(1, likelihood="normal(std=learned)", max_epochs=0, random_state=0).fit(X)
    assert float(model.model_.spread.values) < 1e-8
