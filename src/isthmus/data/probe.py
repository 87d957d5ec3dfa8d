"""A parquet file, read first by a process of its own.

polars ends the process that reads some damaged files (pola-rs/polars#15342), and nothing could be
caught there. What a process has survived, the caller's may read.
"""

import os
import subprocess
import sys
from pathlib import Path

from isthmus.data.damage import reason


def check_parquet(path: Path) -> None:
    """Let another process read a file and forget it.

    Raises
    ------
    ValueError
        If that process does not survive it, or finds something wrong.
    MemoryError
        If the values would fill the memory of this machine.
    """
    # -P: a module that lies beside the file is not ours to import.
    command = [sys.executable, "-P", "-m", "isthmus.data.probe", str(path.absolute())]
    places = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": places}
    )
    if done.stdout.startswith(_TOO_LARGE):
        raise MemoryError(done.stdout.strip())
    if done.returncode != 0:
        raise ValueError(done.stdout.strip() or "its pages are damaged")


_TOO_LARGE = "too large"


def _probe(path: str) -> int:
    """Read the file; return the exit code."""
    import polars as pl

    try:
        lazy = pl.scan_parquet(path, glob=False)
        n_rows = lazy.select(pl.len()).collect().item()
        if 8 * n_rows * len(lazy.collect_schema()) > _memory():
            print(_TOO_LARGE)  # noqa: T201
            return 1
        pl.read_parquet(path, glob=False)
    except BaseException as error:  # polars' panics are no Exceptions
        print(reason(error))  # noqa: T201
        return 1
    return 0


def _memory() -> float:
    """Return the bytes of memory of this machine, where that can be found out."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return float("inf")


if __name__ == "__main__":
    sys.exit(_probe(sys.argv[1]))
