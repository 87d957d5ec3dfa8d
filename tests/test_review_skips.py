"""Reports of networks that lead their input around the code."""

import numpy as np
import pytest

from isthmus import DenoisingAutoencoder, compare, datasets, plots, report
from isthmus.errors import ParameterError
from isthmus.evaluation.review import review
from isthmus.evaluation.words import figure, percent

DIGITS = datasets.digits()
X, Y = DIGITS.images[:300], DIGITS.labels[:300]
PICTURES = X.reshape(-1, 8, 8)


@pytest.fixture(scope="module")
def skipping():
    network = "conv(channels=(8,), skip=True)"
    return DenoisingAutoencoder(8, network=network, max_epochs=30, random_state=0).fit(PICTURES)


def test_network_with_skips_is_judged_by_the_noise_it_takes_off(skipping, tmp_path):
    made = report(skipping, PICTURES, Y, path=tmp_path / "page.html")
    subject = made.subject
    left = np.square(subject.rebuilt - subject.clean).sum() / (
        np.square(subject.seen - subject.clean).sum()
    )
    assert made.verdict.headline == f"It takes off {percent(1 - left)} of the noise."
    assert f"leaves {figure(left)} of the noise's error" in made.verdict.sentences[0]
    expected = skipping.reconstruct(subject.seen.reshape(-1, 8, 8)).reshape(len(X), -1)
    np.testing.assert_allclose(subject.rebuilt, expected, rtol=1e-6)
    assert made.versus is None
    assert made.units is None
    assert made.examples is not None
    assert made.decibels.cleaned > made.decibels.noisy
    rows = {row["model"]: row for row in compare({"it": skipping}, PICTURES).rows}
    assert rows["it"]["times_pca"] is None
    assert rows["it"]["error"] > 0


def test_network_with_skips_before_clean_and_noisy_rows(skipping):
    noisy = PICTURES + np.random.default_rng(0).normal(size=PICTURES.shape)
    made = review(skipping, noisy.astype(np.float32), target=PICTURES)
    assert made.subject.noisy
    assert made.examples is not None


def test_codes_of_a_network_with_skips_are_not_decoded(skipping):
    with pytest.raises(ParameterError, match="codes alone cannot be decoded"):
        plots.directions(skipping, PICTURES)
