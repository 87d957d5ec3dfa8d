"""The memory of a fit on a memory-mapped file: at most 1.3 times its bytes plus 600 MB.

Writes a float32 .npy of the given size into a temporary folder, fits to its memory map, and prints
the peak resident size of the process that fits, which counts the mapped pages. Both have a process
of their own, for on Linux the peak of a process begins at that of the one which starts it.

    python benchmarks/memory.py --gigabytes 2 --json memory.json
"""

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

FEATURES = 500
ALLOWED_FACTOR, ALLOWED_EXTRA = 1.3, 600e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.npy"
        n_bytes = in_a_process(write, file, int(options.gigabytes * 1e9 / (4 * FEATURES)))
        figures = in_a_process(fit, file)
    figures["data_bytes"] = n_bytes
    figures["allowed_bytes"] = ALLOWED_FACTOR * n_bytes + ALLOWED_EXTRA
    print(
        f"data {n_bytes / 1e9:.2f} GB, peak {figures['peak_bytes'] / 1e9:.2f} GB, "
        f"allowed {figures['allowed_bytes'] / 1e9:.2f} GB; "
        f"before the fit {figures['before_bytes'] / 1e9:.2f} GB; {figures['seconds']:.0f} s"
    )
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def in_a_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function returns in a fresh process that ends with it."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def write(file: Path, n_rows: int) -> int:
    """Write rows of ten hidden dimensions and noise, a portion at a time."""
    generator = np.random.default_rng(0)
    mixing = generator.normal(size=(10, FEATURES)).astype(np.float32)
    rows = np.lib.format.open_memmap(file, "w+", np.float32, (n_rows, FEATURES))
    for start in range(0, n_rows, 50_000):
        part = rows[start : start + 50_000]
        part[:] = generator.standard_normal((len(part), 10), dtype=np.float32) @ mixing
        part += 0.1 * generator.standard_normal(part.shape, dtype=np.float32)
    rows.flush()
    return rows.nbytes


def fit(file: Path) -> dict[str, float]:
    from isthmus import Autoencoder

    rows = np.load(file, mmap_mode="r")
    before, began = peak(), time.perf_counter()
    Autoencoder(8, max_epochs=1, random_state=0).fit(rows)
    return {
        "before_bytes": before,
        "peak_bytes": peak(),
        "seconds": time.perf_counter() - began,
        "processors": os.cpu_count() or 0,
    }


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
