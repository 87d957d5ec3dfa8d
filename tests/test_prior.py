"""Priors of codes: fixed, and learned as a mixture of Gaussians."""

import copy

import numpy as np
import pytest
import torch
from scipy import stats
from torch import distributions

from isthmus import VariationalAutoencoder, load
from isthmus.data.scaling import Scaling
from isthmus.errors import ParameterError
from isthmus.fitting import evidence
from isthmus.fitting.assembly import build
from isthmus.fitting.model import Parts
from isthmus.parts import Clean, Dense, Gaussian, Normal
from isthmus.parts.prior import MixturePrior, NormalPrior
from isthmus.parts.variational import log_ratio

B, M, K, D = 7, 4, 3, 5


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed))


@pytest.fixture
def mixture():
    prior = MixturePrior(M, K).double()
    with torch.no_grad():
        prior.places.copy_(normal(2, M, K, seed=1))
        prior.logits.copy_(normal(M, seed=2))
    return prior


def theirs(prior):
    centres, log_variances = prior.places.detach()
    each = distributions.Normal(centres, torch.exp(log_variances / 2))
    shares = distributions.Categorical(logits=prior.logits.detach())
    return distributions.MixtureSameFamily(shares, distributions.Independent(each, 1))


CONSTANT = K * np.log(2 * np.pi) / 2


def test_density_of_a_mixture_is_torchs(mixture):
    z = 3 * normal(B, K)
    expected = theirs(mixture).log_prob(z) + CONSTANT
    torch.testing.assert_close(mixture.log_density(z), expected)


def test_density_of_the_normal_prior_is_torchs():
    z = 3 * normal(B, K)
    expected = distributions.Normal(0.0, 1.0).log_prob(z).sum(1) + CONSTANT
    torch.testing.assert_close(NormalPrior().log_density(z), expected)


def test_draws_of_a_mixture_have_its_moments(mixture):
    z = mixture.draw(torch.empty(200_000, K, dtype=torch.float64), generator()).detach()
    expected = theirs(mixture)
    torch.testing.assert_close(z.mean(0), expected.mean, rtol=0, atol=0.02)
    torch.testing.assert_close(z.var(0), expected.variance, rtol=0.02, atol=0)
    nats = [expected.log_prob(each).mean() for each in (z, expected.sample((200_000,)))]
    torch.testing.assert_close(*nats, rtol=0, atol=0.02)


def test_a_mixture_begins_about_as_wide_as_the_normal_prior():
    z = MixturePrior(200, 8).draw(torch.empty(20_000, 8), generator()).detach()
    assert z.mean(0).abs().max() < 0.2
    assert (z.std(0) - 1).abs().max() < 0.1


def test_its_gradient_is_that_of_the_density(mixture):
    z = normal(B, K)
    assert torch.autograd.gradcheck(lambda *_: mixture.log_density(z), (*mixture.parameters(),))


def test_ratio_is_between_the_posterior_and_the_prior(mixture):
    z, mean, log_variance = normal(B, K), normal(B, K, seed=1), normal(B, K, seed=2)
    q = distributions.Normal(mean, torch.exp(log_variance / 2)).log_prob(z).sum(1)
    found = log_ratio(z, mean, log_variance, mixture)
    torch.testing.assert_close(found, q - theirs(mixture).log_prob(z))


def test_log_likelihood_is_exact_for_a_linear_decoder(mixture):
    """p(x) = sum_m share_m Normal(V centre_m, V diag(variance_m) V^T + s^2)."""
    std, V = 0.5, normal(D, K, seed=5)
    network = Dense(hidden=(), linear_path="none")
    parts = Parts(network, Clean(), Gaussian(prior_components=M), Normal(std=std), penalties=())
    scaling = Scaling(torch.zeros(D, dtype=torch.float64), torch.ones((), dtype=torch.float64))
    model = build(parts, K, scaling, generator()).double().eval().requires_grad_(False)
    model.memory = mixture.requires_grad_(False)
    model.decoder[0].weight.copy_(V)
    model.decoder[0].bias.zero_()
    # An encoder that knows the rows about, and is wide enough
    model.encoder[0].weight.copy_(torch.cat([torch.linalg.pinv(V), torch.zeros(K, D)]))
    model.encoder[0].bias.copy_(torch.tensor([0.0] * K + [0.5] * K))
    z = mixture.draw(torch.empty(B, K, dtype=torch.float64), generator(3))
    x = z @ V.T + std * normal(B, D, seed=4)
    shares = torch.softmax(mixture.logits, 0).numpy()
    centres, variances = mixture.places[0], mixture.places[1].exp()
    exact = np.log(
        sum(
            share
            * stats.multivariate_normal(
                (V @ centre).numpy(), (V * each @ V.T + std**2 * torch.eye(D)).numpy()
            ).pdf(x)
            for share, centre, each in zip(shares, centres, variances, strict=True)
        )
    )
    found = evidence.log_likelihood(model, x, 50_000, generator())
    np.testing.assert_allclose(found, exact, atol=0.1)
    assert evidence.elbo(model, x, 500, generator()).mean() < exact.mean()


# Estimator -------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
CENTRES = np.array([[2, 0, 0, 0], [-1, 1.7, 0, 0], [-1, -1.7, 0, 0]])
X = np.repeat(CENTRES, 200, 0) @ RNG.normal(size=(4, D)) + 0.15 * RNG.normal(size=(600, D))
OPTIONS = {"hidden": (32,), "max_epochs": 80, "learning_rate": 1e-2, "validation_fraction": 0}


@pytest.fixture(scope="module")
def fitted():
    return VariationalAutoencoder(2, prior_components=6, random_state=0, **OPTIONS).fit(X)


@pytest.fixture(scope="module")
def plain():
    return VariationalAutoencoder(2, random_state=0, **OPTIONS).fit(X)


def test_a_learned_prior_makes_rows_in_clusters_likelier(fitted, plain):
    ours, theirs = (model.log_likelihood(X, 200).mean() for model in (fitted, plain))
    assert ours > theirs + 0.5


def test_samples_of_a_learned_prior_are_in_the_clusters(fitted, plain):
    means = CENTRES @ np.linalg.lstsq(np.repeat(CENTRES, 200, 0), X, rcond=None)[0]
    ours, theirs = (
        np.linalg.norm(model.sample(600, random_state=0)[:, None] - means, axis=2)
        for model in (fitted, plain)
    )
    near = [(apart.min(1) < 1).mean() for apart in (ours, theirs)]  # they are 4 and more apart
    assert near[0] > near[1] + 0.2
    assert (np.bincount(ours.argmin(1), minlength=3) > 150).all()


def test_codes_are_held_to_the_learned_prior(fitted):
    means, stds = fitted.transform(X, return_std=True)
    codes = torch.from_numpy(means + stds * RNG.normal(size=means.shape)).double()
    prior = fitted.model_.memory
    drawn = prior.draw(torch.empty(600, 2, dtype=torch.float64), generator())
    ours, expected = prior.log_density(codes).mean(), prior.log_density(drawn).mean()
    assert abs(ours - expected) < 0.5


def test_bound_lies_below_the_log_likelihood(fitted):
    assert fitted.elbo(X, 50).mean() < fitted.log_likelihood(X, 200).mean()


def test_several_draws_and_several_gaussians_go_together():
    model = VariationalAutoencoder(
        2, prior_components=3, importance_samples=12, max_epochs=20, random_state=0
    ).fit(X)
    assert model.history_[-1]["loss"] < model.history_[1]["loss"]
    assert np.isfinite(model.log_likelihood(X, 20)).all()


def test_the_learned_prior_is_saved(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    again = load(tmp_path / "model")
    np.testing.assert_array_equal(
        again.sample(20, random_state=1), fitted.sample(20, random_state=1)
    )
    np.testing.assert_array_equal(again.elbo(X, 3), fitted.elbo(X, 3))


def test_the_same_random_state_learns_the_same_prior():
    short = {**OPTIONS, "max_epochs": 2, "prior_components": 3}
    first, second = (VariationalAutoencoder(2, random_state=4, **short).fit(X) for _ in range(2))
    assert torch.equal(first.model_.memory.places, second.model_.memory.places)


@pytest.mark.parametrize("options", [{"free_bits": 0.1}, {"capacity": 2.0}], ids=str)
def test_whole_distributions_are_refused_beside_a_learned_prior(options):
    model = VariationalAutoencoder(2, prior_components=3, **options)
    with pytest.raises(ParameterError, match=r"^free_bits and capacity need .* the other\.$"):
        model.fit(X)


def test_narrow_codes_are_judged_by_the_width_of_their_own_prior(fitted):
    narrow = copy.deepcopy(fitted)
    model, factor = narrow.model_, 50.0
    model.encoder[-1].weight[:2] /= factor
    model.encoder[-1].bias[:2] /= factor
    model.encoder[-1].bias[2:] -= 2 * np.log(factor)
    model.decoder[0].weight.mul_(factor)
    model.memory.places[0] /= factor
    model.memory.places[1] -= 2 * np.log(factor)
    assert narrow.transform(X).std() < 0.05
    for each in (fitted, narrow):
        assert "collapsed units" not in [finding.name for finding in each.diagnose(X)]
