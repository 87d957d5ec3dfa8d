"""The default variational autoencoder beside probabilistic PCA of its width, on 27 tables.

The tables, seeds and splits of `pca_floor.py`. The figure is by how many nats the lower bound of
log p(x) of test rows exceeds their log-likelihood under probabilistic PCA, on the mean, and of how
many rows it does. That is scikit-learn's, with the noise of Tipping & Bishop (1999), equation 8,
from which it departs where there are fewer rows than features.

    python benchmarks/likelihood_floor.py --tables FOLDER --json likelihood_floor.json
"""

import time
from typing import Any

import numpy as np
from pca_floor import compared, divided, keep, options_of, width_of
from sklearn.decomposition import PCA

from isthmus import VariationalAutoencoder


def main() -> None:
    options = options_of(__doc__)
    print(f"{'table':20s}{'rows':>7s}     gain    worst  better  seconds  epochs")
    rows = compared(options, compare, line)
    keep({"tables": rows, "worst": min(min(row["gains"]) for row in rows)}, options.json)


def line(row: dict[str, Any]) -> str:
    return (
        f"{row['table']:20s}{row['rows']:7d}{np.mean(row['gains']):9.3f}{min(row['gains']):9.3f}"
        f"{np.mean(row['better']):8.2f}{max(row['seconds']):9.1f}  {row['epochs']}"
    )


def compare(X: np.ndarray, n_seeds: int) -> dict[str, Any]:
    """Fit both on three quarters, judge both on the last, for each seed."""
    gains, better, seconds, epochs = [], [], [], []
    for seed in range(n_seeds):
        train, test = divided(X, seed)
        width = width_of(X)
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
