"""Samples of MNIST by each method, judged, and drawn for the docs.

    python benchmarks/sampling.py                 all models, the figures and the pictures
    python benchmarks/sampling.py --only plain    one model

Ghosh et al. (2020) find that a plain autoencoder's codes are drawn better from a mixture of ten
Gaussians than from one; Bengio et al. (2013), that the walkback chain samples a denoising
autoencoder. Judged beside 5,000 test images: precision and recall by nearest neighbours, and how
often a classifier tells samples from real ones, on the pixels and on 50 principal components
(where the noise-free background of a decoded image tells less).
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

from isthmus import (
    Autoencoder,
    DenoisingAutoencoder,
    StackedAutoencoder,
    VariationalAutoencoder,
    datasets,
)
from isthmus.evaluation import generation
from isthmus.plots import interpolation, samples, traversal

ROOT = Path(__file__).resolve().parents[1]
MNIST = ROOT.parent / "shared" / "data" / "mnist"
RESULTS, GALLERY = ROOT / "benchmarks" / "results" / "sampling.json", ROOT / "docs" / "pictures"
N_SAMPLES, N_STEPS = 5000, 100
Images = npt.NDArray[np.float32]


def plain() -> Any:
    """Return an autoencoder of nothing but its narrow code."""
    network = "dense(hidden=(512, 256), activation=silu)"
    return Autoencoder(16, network=network, likelihood="bernoulli", max_epochs=30, random_state=0)


def denoising() -> Any:
    """Return a denoising autoencoder with as strong a noise as lets a chain walk."""
    return DenoisingAutoencoder(
        32,
        hidden=(512, 256),
        likelihood="bernoulli",
        corruption="salt_and_pepper(fraction=0.5)",
        max_epochs=30,
        random_state=0,
    )


def variational() -> Any:
    """Return a variational autoencoder."""
    return VariationalAutoencoder(
        16, hidden=(512, 256), likelihood="bernoulli", max_epochs=30, random_state=0
    )


def belief() -> Any:
    """Return a deep belief net: pretrained by RBMs, and not fine-tuned."""
    return StackedAutoencoder(
        256,
        hidden=(512,),
        pretraining="rbm(n_epochs=15)",
        code="sigmoid",
        likelihood="bernoulli",
        max_epochs=0,
        random_state=0,
    )


MODELS: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "plain": (plain, ("gaussian", "mixture", "kde")),
    "denoising": (denoising, ("gaussian", "mixture", "walkback")),
    "variational": (variational, ("prior", "mixture")),
    "belief": (belief, ("gibbs",)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(MODELS), help="these models again")
    parser.add_argument("--mnist", type=Path, default=MNIST, help="folder of MNIST's idx files")
    options = parser.parse_args()
    training = datasets.mnist(options.mnist).images
    test = datasets.mnist(options.mnist, split="test").images[:N_SAMPLES]
    axes = PCA(50, random_state=0).fit(training)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results["held out"] = judged(test, training[:N_SAMPLES], axes)
    for name in options.only or MODELS:
        make, methods = MODELS[name]
        model = make().fit(training)
        for method in methods:
            made = model.sample(N_SAMPLES, method, n_steps=N_STEPS, random_state=0)
            results[f"{name}, {method}"] = found = judged(test, made, axes)
            print(name, method, found, flush=True)
            save(samples(model, 64, method=method, n_steps=N_STEPS), f"samples-{name}-{method}")
        if name == "variational":
            draw_ways(model, test)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def judged(test: Images, made: Images, axes: PCA) -> dict[str, float]:
    """Return what sets samples apart from test images."""
    made = np.asarray(made, np.float32)
    real, drawn = axes.transform(test), axes.transform(made)
    precision, recall = generation.precision_recall(real, drawn)
    density, coverage = generation.density_coverage(real, drawn)
    near = KNeighborsClassifier(5)
    return {
        "precision": precision,
        "recall": recall,
        "density": density,
        "coverage": coverage,
        "told_by_neighbours": generation.two_sample_test(real, drawn, classifier=near).accuracy,
        "told_by_components": generation.two_sample_test(real, drawn).accuracy,
        "told_by_pixels": generation.two_sample_test(test, made).accuracy,
    }


def draw_ways(model: Any, test: Images) -> None:
    """Draw what lies between two digits, and what the units of a code do."""
    save(interpolation(model, test[0], test[1], path="sphere"), "interpolation")
    save(traversal(model, test), "traversal")


def save(axes: Any, name: str) -> None:
    figure = axes.figure
    figure.savefig(GALLERY / f"{name}.png", dpi=60, bbox_inches="tight")
    figure.clear()


if __name__ == "__main__":
    main()
