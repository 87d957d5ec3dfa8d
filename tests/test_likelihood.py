"""Each likelihood beside torch.distributions and SciPy, in float64."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch import distributions

from isthmus.parts import Bernoulli, Laplace, Likelihood, Normal

B, D = 7, 5
SURE = 1e-7  # the chance that a bound below is broken by an honest draw


class Case(NamedTuple):
    part: Likelihood
    distribution: type  # torch's, of the output
    scipy: object  # SciPy's frozen distribution, of the output
    binary: bool  # whether x is 0 or 1


CASES = [
    Case(
        Normal(std),
        lambda output, std=std: distributions.Normal(output, std),
        lambda output, std=std: stats.norm(output, std),
        binary=False,
    )
    for std in (1.0, 0.3, 4.0)
] + [
    Case(
        Laplace(width),
        lambda output, width=width: distributions.Laplace(output, width),
        lambda output, width=width: stats.laplace(output, width),
        binary=False,
    )
    for width in (1.0, 0.3, 4.0)
]
CASES.append(
    Case(
        Bernoulli(),
        lambda output: distributions.Bernoulli(logits=output),
        lambda output: stats.bernoulli(special.expit(output)),
        binary=True,
    )
)

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.part))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def output_of(case, n=B, scale=2.0):
    return scale * torch.randn(n, D, generator=generator(1), dtype=torch.float64)


def x_of(case, n=B):
    x = torch.randn(n, D, generator=generator(2), dtype=torch.float64)
    return (x > 0).double() if case.binary else 2 * x


def test_every_likelihood_has_a_case():
    assert {type(case.part) for case in CASES} == set(Likelihood.kinds.values())


@each_case
def test_nll_is_that_of_torch_distributions_summed_over_features(case):
    output, x = output_of(case), x_of(case)
    expected = -case.distribution(output).log_prob(x).sum(1)
    torch.testing.assert_close(case.part.nll(output, x), expected, rtol=1e-10, atol=1e-10)


@each_case
def test_nll_is_that_of_scipy_summed_over_features(case):
    output, x = output_of(case).numpy(), x_of(case).numpy()
    law = case.scipy(output)
    expected = -(law.logpmf(x) if case.binary else law.logpdf(x)).sum(1)
    nll = case.part.nll(torch.from_numpy(output), torch.from_numpy(x))
    np.testing.assert_allclose(nll.numpy(), expected, rtol=1e-10)


@each_case
def test_nll_of_a_row_does_not_depend_on_the_others(case):
    output, x = output_of(case), x_of(case)
    alone = torch.cat([case.part.nll(output[i : i + 1], x[i : i + 1]) for i in range(B)])
    assert torch.equal(case.part.nll(output, x), alone)


@each_case
def test_mean_is_that_of_the_distribution(case):
    output = output_of(case)
    expected = case.distribution(output).mean
    torch.testing.assert_close(case.part.mean(output), expected, rtol=1e-12, atol=0)


@each_case
def test_nll_has_the_gradient_of_its_differences(case):
    output = output_of(case).requires_grad_(True)
    x = x_of(case)
    assert (output - x).abs().min() > 1e-3  # away from the Laplace's kink
    assert torch.autograd.gradcheck(lambda out: case.part.nll(out, x), [output])


@each_case
def test_nll_is_smallest_at_its_own_mean(case):
    x = x_of(case) * (0.6 if case.binary else 1) + (0.2 if case.binary else 0)
    best = torch.logit(x) if case.binary else x
    at_best = case.part.nll(best, x)
    for step in (-0.1, 0.1):
        assert bool((case.part.nll(best + step, x) > at_best).all())


def test_bernoulli_of_values_between_is_the_cross_entropy():
    output = output_of(CASES[-1])
    x = torch.rand(B, D, generator=generator(), dtype=torch.float64)
    m = special.expit(output.numpy())
    expected = -(x.numpy() * np.log(m) + (1 - x.numpy()) * np.log(1 - m)).sum(1)
    np.testing.assert_allclose(Bernoulli().nll(output, x).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("logit", [-1000.0, -50.0, 50.0, 1000.0])
@pytest.mark.parametrize("x", [0.0, 1.0])
def test_bernoulli_of_extreme_logits_stays_exact(logit, x):
    output = torch.full((1, 1), logit, dtype=torch.float64, requires_grad=True)
    nll = Bernoulli().nll(output, torch.full((1, 1), x, dtype=torch.float64))
    expected = np.logaddexp(0, -logit if x else logit)
    np.testing.assert_allclose(nll.item(), expected, rtol=1e-12, atol=1e-15)
    nll.sum().backward()
    np.testing.assert_allclose(output.grad.item(), special.expit(logit) - x, atol=1e-15)


@each_case
def test_samples_have_the_law_of_the_distribution(case):
    n = 20_000
    output = output_of(case, n=1).expand(n, D)
    draws = case.part.sample(output, generator()).numpy()
    for feature in range(D):
        law = case.scipy(output[0, feature].item())
        sample = draws[:, feature]
        z = (sample.mean() - law.mean()) / np.sqrt(law.var() / n)
        assert abs(z) < stats.norm.isf(SURE / 2)
        kurtosis = float(law.stats(moments="k"))
        z = (sample.var() / law.var() - 1) / np.sqrt((kurtosis + 2) / n)
        assert abs(z) < stats.norm.isf(SURE / 2)
        if case.binary:
            assert set(sample) == {0, 1}
        else:
            assert stats.kstest(sample, law.cdf).pvalue > SURE
    between = np.corrcoef(draws.T) - np.eye(D)
    assert np.abs(between).max() < stats.norm.isf(SURE / 2) / np.sqrt(n)


@each_case
def test_samples_come_from_the_generator_alone(case):
    output = output_of(case, n=50).float()
    state = torch.get_rng_state()
    stream = generator(3)
    first, second = case.part.sample(output, stream), case.part.sample(output, stream)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.dtype == torch.float32
    assert not torch.equal(first, second)
    assert torch.equal(first, case.part.sample(output, generator(3)))


@each_case
def test_samples_lie_in_the_domain(case):
    draws = case.part.sample(output_of(case, n=100), generator())
    assert case.part.low <= draws.min()
    assert draws.max() <= case.part.high


@each_case
def test_squared_error_is_claimed_by_the_one_whose_nll_it_is(case):
    output, x = output_of(case), x_of(case)
    difference = case.part.nll(output, x) - case.part.nll(output, output)
    ratio = difference / (x - output).square().sum(1)
    same = bool(torch.allclose(ratio, ratio[:1].expand(B), rtol=1e-9))
    assert case.part.squared_error is same
