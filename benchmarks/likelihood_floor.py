"""The default variational autoencoder beside probabilistic PCA of its width, on 27 tables.

The tables, seeds and splits of `pca_floor.py`. The figure is by how many nats the lower bound of
log p(x) of test rows exceeds their log-likelihood under probabilistic PCA, on the mean, and of how
many rows it does. That is scikit-learn's, with the noise of Tipping & Bishop (1999), equation 8,
from which it departs where there are fewer rows than features.

    python benchmarks/likelihood_floor.py --tables FOLDER --json likelihood_floor.json
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from pca_floor import TABLES, divided, tables
from sklearn.decomposition import PCA

from isthmus import VariationalAutoencoder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=Path, default=TABLES, help="folder of npz files")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    rows = []
    print(f"{'table':20s}{'rows':>7s}     gain    worst  better  seconds  epochs")
    for name, X in tables(options.tables):
        row = {"table": name, **compare(X, options.seeds)}
        rows.append(row)
        print(
            f"{name:20s}{row['rows']:7d}{np.mean(row['gains']):9.3f}{min(row['gains']):9.3f}"
            f"{np.mean(row['better']):8.2f}{max(row['seconds']):9.1f}  {row['epochs']}",
            flush=True,
        )
    figures = {"tables": rows, "worst": min(min(row["gains"]) for row in rows)}
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def compare(X: np.ndarray, n_seeds: int) -> dict[str, Any]:
    """Fit both on three quarters, judge both on the last, for each seed."""
    gains, better, seconds, epochs = [], [], [], []
    for seed in range(n_seeds):
        train, test = divided(X, seed)
        width = max(1, min(8, X.shape[1] // 3))
        pca = PCA(width, svd_solver="full").fit(train)
        left_out = train.var(0, ddof=1).sum() - pca.explained_variance_.sum()
        pca.noise_variance_ = left_out / (X.shape[1] - width)
        began = time.perf_counter()
        model = VariationalAutoencoder(width, random_state=seed).fit(train)
        seconds.append(time.perf_counter() - began)
        by_row = model.elbo(test, 20) - pca.score_samples(test)
        gains.append(float(by_row.mean()))
        better.append(float((by_row > 0).mean()))
        epochs.append(model.n_iter_)
    return {
        "rows": len(train),
        "features": X.shape[1],
        "code": width,
        "gains": gains,
        "better": better,
        "epochs": epochs,
        "seconds": seconds,
    }


if __name__ == "__main__":
    main()
