"""Write models of the present format, and what they answer, for tests of later versions.

python tests/models/kept_models.py tests/models/format-3
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from isthmus import (
    Autoencoder,
    AutoencoderClassifier,
    BernoulliRBM,
    DenoisingAutoencoder,
    GaussianRBM,
    OutlierDetector,
    SparseAutoencoder,
    VariationalAutoencoder,
)

ROWS = np.random.default_rng(0).uniform(size=(40, 4)).astype(np.float32)
NAMES = ["a", "b", "c", "größe"]
WORDS = np.where(ROWS.sum(1) > 2, "much", "little")


def fitted():
    """Return models whose files differ in what they hold."""
    table = pd.DataFrame(ROWS, columns=NAMES)
    short = {"hidden": (3,), "max_epochs": 2, "random_state": 0}
    machine = GaussianRBM(3, n_iter=2, random_state=0)
    return {
        "autoencoder": Autoencoder(2, scaling="standard", **short).fit(table),
        "sparse": SparseAutoencoder(5, sparsity="batch_topk(k=2)", **short).fit(ROWS),
        "machine": BernoulliRBM(3, n_iter=2, random_state=0).fit(ROWS),
        "classifier": AutoencoderClassifier(machine, max_epochs=3, random_state=0).fit(ROWS, WORDS),
        "variational": VariationalAutoencoder(2, **short).fit(ROWS),
        "detector": OutlierDetector(2, max_epochs=2, random_state=0).fit(ROWS),
        "sequences": Autoencoder(
            2, network="recurrent(hidden=(3,))", max_epochs=1, random_state=0
        ).fit(ROWS.reshape(20, 4, 2)),
        "pictures": DenoisingAutoencoder(
            3, network="conv(channels=(2,), skip=True)", max_epochs=1, random_state=0
        ).fit(ROWS.reshape(10, 4, 4)),
    }


def given(model):
    """Return the rows that a model is asked about: ROWS in the form that it was fitted to."""
    if hasattr(model, "feature_names_in_"):
        return pd.DataFrame(ROWS, columns=NAMES)
    return ROWS.reshape(-1, model.n_features_in_)


def answers(model):
    """Return what a model answers to the rows."""
    rows = given(model)
    methods = ("transform", "reconstruct", "score_samples", "predict_proba")
    return {name: getattr(model, name)(rows) for name in methods if hasattr(model, name)}


def main(folder):
    for name, model in fitted().items():
        model.save(folder / name)
        np.savez(folder / name / "answers.npz", **answers(model))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
