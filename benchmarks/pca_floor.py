"""Never worse than PCA: the default autoencoder beside PCA of the same width, on 27 tables.

Every table that scikit-learn embeds and every one in a folder of npz files with an `X` (the
classical sets of ADBench): standardised by the training rows, capped at 8,000 rows, a quarter
held out, three seeds. The figure is the test squared error divided by PCA's.

    python benchmarks/pca_floor.py --tables FOLDER --json pca_floor.json
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import datasets
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from isthmus import Autoencoder

TABLES = Path(__file__).resolve().parents[2] / "shared" / "data" / "anomaly"
EMBEDDED = ("iris", "wine", "breast_cancer", "diabetes", "digits", "linnerud")
CAP, TEST_SHARE = 8000, 0.25


def main() -> None:
    options = options_of(__doc__)
    Autoencoder(1, max_epochs=1).fit(np.eye(20))  # what torch loads at the first step of a process
    print(f"{'table':20s}{'rows':>7s}{'features':>9s}{'code':>5s}   ratio  worst  seconds")
    rows = compared(options, compare, line)
    figures = {"tables": rows, **summary(rows)}
    show(figures)
    keep(figures, options.json)


def options_of(doc: str) -> argparse.Namespace:
    """Return what the command line of a comparison over the tables says."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--tables", type=Path, default=TABLES, help="folder of npz files")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    return parser.parse_args()


def compared(
    options: argparse.Namespace,
    compare: Callable[[np.ndarray, int], dict[str, Any]],
    line: Callable[[dict[str, Any]], str],
) -> list[dict[str, Any]]:
    """Compare on every table, and print a line of each."""
    rows = []
    for name, X in tables(options.tables):
        rows.append({"table": name, **compare(X, options.seeds)})
        print(line(rows[-1]), flush=True)
    return rows


def keep(figures: dict[str, Any], path: Path | None) -> None:
    """Write the figures, where that was asked for."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(figures, indent=1) + "\n")


def line(row: dict[str, Any]) -> str:
    return (
        f"{row['table']:20s}{row['rows']:7d}{row['features']:9d}{row['code']:5d}"
        f"{row['ratio']:8.3f}{max(row['ratios']):7.3f}{max(row['seconds']):9.1f}"
    )


def tables(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    for name in EMBEDDED:
        yield name, getattr(datasets, f"load_{name}")().data.astype(np.float64)
    files = sorted(folder.glob("*.npz"))
    if not files:
        print(f"({folder} holds no npz files: only the embedded tables)")
    for file in files:
        yield file.stem, np.load(file)["X"].astype(np.float64)


def width_of(X: np.ndarray) -> int:
    """Return the width of the code that a table is given."""
    return max(1, min(8, X.shape[1] // 3))


def divided(X: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows to train on and rows to test by, standardised by the former."""
    shuffled = X[np.random.default_rng(seed).permutation(len(X))[:CAP]]
    cut = round(len(shuffled) * (1 - TEST_SHARE))
    scaler = StandardScaler().fit(shuffled[:cut])
    return scaler.transform(shuffled[:cut]), scaler.transform(shuffled[cut:])


def compare(X: np.ndarray, n_seeds: int) -> dict[str, Any]:
    """Fit both on three quarters, judge both on the last, for each seed."""
    ratios, seconds, epochs = [], [], []
    for seed in range(n_seeds):
        train, test = divided(X, seed)
        width = width_of(X)
        pca = PCA(width).fit(train)
        floor = np.square(pca.inverse_transform(pca.transform(test)) - test).sum(1).mean()
        began = time.perf_counter()
        model = Autoencoder(width, random_state=seed).fit(train)
        seconds.append(time.perf_counter() - began)
        ratios.append(float(model.reconstruction_error(test).mean() / floor))
        epochs.append(model.n_iter_)
    return {
        "rows": len(train),
        "features": X.shape[1],
        "code": width,
        "ratio": float(np.mean(ratios)),
        "ratios": ratios,
        "epochs": epochs,
        "seconds": seconds,
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, float]:
    ratios = np.array([row["ratio"] for row in rows])
    small = [max(row["seconds"]) for row in rows if row["rows"] < 1000]
    return {
        "worst_table": float(ratios.max()),
        "worst_fit": max(max(row["ratios"]) for row in rows),
        "geometric_mean": float(np.exp(np.log(ratios).mean())),
        "geometric_mean_without_embedded": float(
            np.exp(np.log(ratios[len(EMBEDDED) :]).mean()) if len(rows) > len(EMBEDDED) else np.nan
        ),
        "slowest_under_1000_rows": max(small),
    }


def show(figures: dict[str, Any]) -> None:
    print(
        f"\nworst table {figures['worst_table']:.4f}, worst single fit {figures['worst_fit']:.4f}, "
        f"geometric mean {figures['geometric_mean']:.3f} "
        f"(without the embedded tables {figures['geometric_mean_without_embedded']:.3f}), "
        f"slowest fit under 1,000 rows {figures['slowest_under_1000_rows']:.1f} s"
    )


if __name__ == "__main__":
    main()
