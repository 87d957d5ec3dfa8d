"""The process that reads hostile files, in bounded memory, and says what came of each.

A request is a line of JSON, and so is the answer; whatever a library writes to stderr is noise
that a user would see.
"""

import io
import json
import re
import resource
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from isthmus import load
from isthmus.cli.main import REFUSED, run
from isthmus.data.files import read
from isthmus.data.picture_files import read_picture
from isthmus.errors import IsthmusError

ROOM = 512 * 2**20  # bytes that a file may take
FIT = ["--max-epochs", "1", "--hidden", "3", "--n-components", "1", "--force"]
ROWS = np.random.default_rng(1).random((5, 4))


class WrongError(Exception):
    """An answer that is neither right nor refused in one sentence."""


def main() -> None:
    noise = Path(sys.argv[1])  # what stderr is written to
    pl.read_csv(b"a,b\n1,2\n")  # starts its threads
    for line in sys.stdin:
        request = json.loads(line)
        limit()
        before = noise.stat().st_size
        try:
            answer = {"outcome": READERS[request["kind"]](Path(request["path"]), request)}
            if said := noise.read_bytes()[before:].decode(errors="replace").strip():
                answer = {"outcome": "wrong", "why": f"noise on stderr: {said[:300]}"}
        except Exception as error:
            answer = {"outcome": "wrong", "why": f"{type(error).__name__}: {str(error)[:300]}"}
        print(json.dumps(answer), flush=True)


def limit() -> None:
    """Allow so much more memory than the process has now, and no more."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))


def rows(path: Path, _: Any) -> str:
    try:
        values = read(path).values
    except IsthmusError as error:
        return refused(error)
    if not values.size or values.dtype.kind not in "biuf":
        raise WrongError(f"values of type {values.dtype} and shape {values.shape}")
    np.isfinite(values).all()  # every page of a map is there
    return "answered"


def picture(path: Path, _: Any) -> str:
    try:
        pixels = read_picture(next(path.iterdir())).pixels
    except IsthmusError as error:
        return refused(error)
    if pixels.dtype not in (np.uint8, np.uint16, np.float32) or not pixels.size:
        raise WrongError(f"pixels of type {pixels.dtype} and shape {pixels.shape}")
    return "answered"


def model(path: Path, request: Any) -> str:
    """Load a model; what is not refused answers as it did before."""
    try:
        loaded = load(path)
    except IsthmusError as error:
        return refused(error)
    np.testing.assert_array_equal(loaded.transform(ROWS), codes(request["sound"]))
    return "answered"


@cache
def codes(sound: str) -> np.ndarray:
    return load(sound).transform(ROWS)


def command(path: Path, _: Any) -> str:
    """Fit by the command line: one line and code 2, or a model."""
    said = io.StringIO()
    with (
        tempfile.TemporaryDirectory() as folder,
        redirect_stdout(io.StringIO()),
        redirect_stderr(said),
    ):
        code = run(["fit", str(path), "--model", f"{folder}/model", *FIT])
    lines = [line for line in said.getvalue().splitlines() if not line.startswith("Warning: ")]
    if code == 0 and not lines:
        return "answered"
    if code != REFUSED or len(lines) != 1 or not lines[0].startswith("Error: "):
        raise WrongError(f"exit code {code} and {lines}")
    return "refused"


def refused(error: IsthmusError) -> str:
    if not re.fullmatch(r"(?!.*\. [A-Z])[^\n\0]{1,500}\.", str(error)):
        raise WrongError(f"not one sentence: {str(error)!r}")
    return "refused"


READERS = {"rows": rows, "picture": picture, "folder": rows, "model": model, "command": command}


if __name__ == "__main__":
    main()
