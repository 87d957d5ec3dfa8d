"""MNIST's rows as sequences of 28 steps, whole and cut after the last ink, beside PCA.

    python benchmarks/sequences.py

Squared errors summed over the steps of a sequence, averaged over the 10,000 test images. PCA of
the cut ones sees them filled up with paper, as they were, and is judged on their steps alone.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.decomposition import PCA

from isthmus import Autoencoder, datasets

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data" / "mnist"
RESULTS = ROOT / "benchmarks" / "results" / "sequences.json"
WIDTH = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="idx files of MNIST")
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    train, test = (
        datasets.mnist(options.data, split=split).images.reshape(-1, 28, 28)
        for split in ("train", "test")
    )
    results = {}
    for name, shorten in (("whole", np.asarray), ("up to the last ink", cut)):
        figures = compare(*(list(map(shorten, images)) for images in (train, test)), options.epochs)
        print(name, figures, flush=True)
        results[name] = figures
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def cut(image: np.ndarray) -> np.ndarray:
    """Return the rows up to the last that has ink."""
    return image[: int(image.any(1).nonzero()[0][-1]) + 1]


def compare(train: list[np.ndarray], test: list[np.ndarray], epochs: int) -> dict[str, Any]:
    """Fit both to sequences (t, 28) and return their errors on others."""
    model = Autoencoder(
        WIDTH,
        network="recurrent(hidden=(256,))",
        batch_size=256,
        learning_rate=3e-3,
        max_epochs=epochs,
        random_state=0,
    )
    began = time.perf_counter()
    model.fit(train)
    seconds = time.perf_counter() - began
    pca = PCA(WIDTH, random_state=0).fit(filled(train))
    apart = np.square(filled(test) - pca.inverse_transform(pca.transform(filled(test))))
    lengths = np.array([len(each) for each in test])
    real = np.arange(28) < lengths[:, None]
    return {
        "lengths": [int(lengths.min()), int(lengths.max())],
        "pca_error": float((apart.reshape(-1, 28, 28) * real[..., None]).sum((1, 2)).mean()),
        "error": float(model.reconstruction_error(test).mean()),
        "seconds": seconds,
        "model": repr(model),
    }


def filled(sequences: list[np.ndarray]) -> np.ndarray:
    """Return them as rows (n, 784), with paper after their ends."""
    rows = np.zeros((len(sequences), 28, 28), np.float32)
    for row, sequence in zip(rows, sequences, strict=True):
        row[: len(sequence)] = sequence
    return rows.reshape(len(sequences), -1)


if __name__ == "__main__":
    main()
