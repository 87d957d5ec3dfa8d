"""Outliers of tables whose outliers are known: ours beside what people use for them.

Each detector is fitted to a table, outliers and all, and ranks the same rows: the area under the
ROC curve, and the average precision. Every other table, from the first, chose our defaults; the
rest are counted by themselves as well.

    python benchmarks/outliers.py --json outliers.json
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import LocalOutlierFactor
from sklearn.preprocessing import StandardScaler
from tables import mean_of

from isthmus import Autoencoder, OutlierDetector

TABLES = Path(__file__).resolve().parents[2] / "shared" / "data" / "anomaly"
MOST = 10_000  # rows of a table, drawn at random, as the tables' own benchmark does

Array = np.ndarray[Any, Any]


def rebuilt_by_pca(rows: Array) -> Array:
    pca = PCA(0.8, svd_solver="full").fit(rows)
    return -np.square(rows - pca.inverse_transform(pca.transform(rows))).sum(axis=1)


def rebuilt_by_autoencoder(rows: Array) -> Array:
    model = Autoencoder(0.8, scaling="standard", random_state=0).fit(rows)
    return model.score_samples(rows)


# What ranks the standardised rows of a table, the most usual highest, (N,).
DETECTORS: dict[str, Callable[[Array], Array]] = {
    "OutlierDetector": lambda rows: OutlierDetector(random_state=0).fit(rows).score_samples(rows),
    "the same, hidden=(256, 128)": lambda rows: (
        OutlierDetector(hidden=(256, 128), random_state=0).fit(rows).score_samples(rows)
    ),
    "Autoencoder(0.8), its error": rebuilt_by_autoencoder,
    "PCA(0.8), its error": rebuilt_by_pca,
    "PCA(0.8), its likelihood": lambda rows: (
        PCA(0.8, svd_solver="full").fit(rows).score_samples(rows)
    ),
    "IsolationForest": lambda rows: IsolationForest(random_state=0).fit(rows).score_samples(rows),
    "LocalOutlierFactor": lambda rows: LocalOutlierFactor().fit(rows).negative_outlier_factor_,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=Path, default=TABLES, help="folder of .npz files")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    files = sorted(options.tables.glob("*.npz"), key=lambda file: int(file.stem.split("_")[0]))
    if not files:
        parser.error(f"{options.tables} holds no npz files: name the folder of the tables.")
    figures = [judged(file, chose=place % 2 == 0) for place, file in enumerate(files)]
    for name in DETECTORS:
        print(f"{name:28s} all {mean(figures, name)}, not chosen by {mean(figures, name, False)}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def judged(file: Path, *, chose: bool) -> dict[str, Any]:
    """Rank the rows of one table by every detector."""
    with np.load(file) as table:
        rows, outlier = table["X"].astype(float), table["y"]
    if len(rows) > MOST:
        few = np.random.default_rng(0).choice(len(rows), MOST, replace=False)
        rows, outlier = rows[few], outlier[few]
    scaled, by = StandardScaler().fit_transform(rows), {}
    for name, rank in DETECTORS.items():
        began = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PCA where features are copies of each other
            unusual = -rank(scaled)
        by[name] = {
            "auc": roc_auc_score(outlier, unusual),
            "precision": average_precision_score(outlier, unusual),
            "seconds": time.perf_counter() - began,
        }
    name = file.stem.split("_", 1)[1]
    print(f"{name:16s}", " ".join(f"{each['auc']:.3f}" for each in by.values()), flush=True)
    return {"table": name, "rows": len(rows), "outliers": float(outlier.mean()), "chose": chose,
            "by": by}  # fmt: skip


def mean(figures: list[dict[str, Any]], name: str, chose: bool | None = None) -> str:
    of = [each for each in figures if chose is None or each["chose"] == chose]
    auc, precision, seconds = (mean_of(of, name, w) for w in ("auc", "precision", "seconds"))
    return f"AUC {auc:.3f}, precision {precision:.3f}, {seconds:.1f} s"


if __name__ == "__main__":
    main()
