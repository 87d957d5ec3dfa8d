"""A process that is watched: it may crash, hang or fill its memory, and is started again."""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from fuzz.files import Case
from fuzz.sound import sound_files

SECONDS = 10.0  # that a file may take
TO_BEGIN = 120.0  # seconds that importing torch may take on a busy machine
HERE = Path(__file__).resolve().parent


class Result(NamedTuple):
    """What came of a case."""

    outcome: str  # "answered", "refused", or how it went wrong: "wrong", "crash", "hang"
    why: str = ""


class Watched:
    """The worker; `ask` starts it where it is not running."""

    def __init__(self, program: Path = HERE / "worker.py", seconds: float = SECONDS) -> None:
        self._program, self._seconds = program, seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._noise = tempfile.NamedTemporaryFile()  # noqa: SIM115  # closed with the worker

    def __enter__(self) -> "Watched":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._noise.close()

    def ask(self, request: dict[str, Any]) -> Result:
        """Send a request and wait for the answer, some seconds and no more."""
        fresh = self._process is None
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        patience = self._seconds + TO_BEGIN * fresh
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            if not select.select([process.stdout], [], [], patience)[0]:
                self._end()
                return Result("hang", f"no answer in {patience:g} s")
            line = process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            code = process.wait()
            said = Path(self._noise.name).read_text(errors="replace")[-300:]
            self._end()
            return Result("crash", f"{_called(code)}: {said}")
        return Result(**json.loads(line))

    def _start(self) -> "subprocess.Popen[bytes]":
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-W",
                "error::DeprecationWarning:isthmus",
                self._program,
                self._noise.name,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._noise,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), *sys.path])},
        )
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


def _called(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def read_all(cases: Iterable[Case]) -> list[tuple[Case, Result]]:
    """Let a worker read every case."""
    with Watched() as worker, tempfile.TemporaryDirectory() as sound:
        for name, files in sound_files().items():
            if name.startswith("model/"):
                write(Path(sound, name), files)
        return [(case, read_one(worker, case, sound)) for case in cases]


def read_one(worker: Watched, case: Case, sound: str) -> Result:
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder, "case"), case.files)
        if case.kind in ("rows", "command") and len(case.files) == 1 and not _is_picture(case):
            path = next(path.iterdir())
        name = case.what.split()[0]
        model = name if name in sound_files() else "model/autoencoder"
        return worker.ask({"kind": case.kind, "path": str(path), "sound": f"{sound}/{model}"})


def _is_picture(case: Case) -> bool:
    return case.what.startswith("pictures/")


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def count(results: Iterable[tuple[Case, Result]]) -> Counter[str]:
    return Counter(result.outcome for _, result in results)
