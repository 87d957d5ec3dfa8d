"""``isthmus denoise`` on pictures of any size: one, or all of a folder and of those within it."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from isthmus.cli.options import at_the_shell
from isthmus.cli.outputs import check_folder, check_outside, check_path, say, warn
from isthmus.cli.stopping import EXIT
from isthmus.data.finished import Add, Record, digest
from isthmus.data.picture_files import Picture, read_picture, write_picture
from isthmus.data.picture_folders import Below, pictures_below
from isthmus.data.pictures import PICTURE_ENDINGS
from isthmus.data.replacing import remove_halves
from isthmus.errors import DataError, FileError, IsthmusError

# Pixels (h, w) or (h, w, c), uint8, uint16 or float32 from 0 to 1, to others of the same shape
# and dtype. Integers are handed over as they are: a large picture as floats would fill the memory.
Denoise = Callable[[NDArray[Any]], NDArray[Any]]

INCOMPLETE = 1  # exit code


def takes_any_size(estimator: Any) -> bool:
    """Whether a fitted estimator rebuilds pictures of any size."""
    parts = getattr(getattr(estimator, "model_", None), "parts", None)
    return parts is not None and parts.network.tiling is not None


def picture_denoiser(estimator: Any) -> Denoise | None:
    """Return what takes the noise off a picture of any size, where an estimator can do that."""
    return estimator.reconstruct_picture if takes_any_size(estimator) else None


def denoise_pictures(source: Path, out: Path, denoise: Denoise, *, by: str, force: bool) -> int:
    """Take the noise off a picture, or off all of a folder, and say what came of it.

    Each keeps its name, form and depth, and whatever else its file tells. One of a folder that
    cannot be read is passed over and named at the end; those that are finished are left alone.

    Parameters
    ----------
    source : a picture, or a folder of them.
    out : the file to write, or the folder to write to.
    denoise : what takes the noise off one.
    by : the model's SHA-256, which tells its pictures from others'.
    force : whether what is there and not finished may be replaced.

    Returns
    -------
    int
        The exit code: 1 where a picture of a folder could not be denoised.

    Raises
    ------
    FileError
        If it cannot be written there, or something would be replaced that nobody offered.
    DataError, MissingDependencyError
        If the one picture cannot be used.
    """
    if source.is_dir():
        return _denoise_folder(source, out, denoise, by, force=force)
    target = _target(source, out)
    check_path(target, source, force=force)
    write_picture(target, denoised(source, read_picture(source), denoise))
    say(f"{target}: 1 picture.")
    return 0


def _target(source: Path, out: Path) -> Path:
    """Return the file to write: the one that is named, or one of the same name in a folder."""
    if out.is_dir() or not out.suffix:
        return out / source.name
    if _form(out) != _form(source):
        raise FileError(
            f"{out} is to have the form of {source}, which is kept: "
            f"give it the ending {source.suffix}, or name a folder."
        )
    return out


def _form(file: Path) -> str:
    return file.suffix.lower().replace("jpeg", "jpg").replace("tiff", "tif")


def denoised(file: Path, picture: Picture, denoise: Denoise) -> Picture:
    """Return a file's picture without its noise.

    Raises
    ------
    DataError
        If it cannot be denoised, under the name of its file.
    """
    try:
        return picture._replace(pixels=denoise(picture.pixels))
    except IsthmusError as error:
        raise DataError(f"{file}: {error}") from error
    except MemoryError:
        raise DataError(f"{file} does not fit in memory: cut it into smaller pictures.") from None


# Folders


class Job(NamedTuple):
    """One picture of a folder."""

    name: str  # within the folder, with slashes
    source: Path
    target: Path


class Tally:
    """What has come of the pictures so far."""

    def __init__(self, n_pictures: int, n_there: int, failures: list[str]) -> None:
        self.n_pictures = n_pictures
        self.n_there = n_there  # finished before
        self.n_done = 0
        self.failures = failures

    def stopped(self) -> str:
        """Return how far it went."""
        n_finished = self.n_there + self.n_done
        return (
            f"Stopped: {n_finished} of {self.n_pictures} pictures are done; "
            "the same command goes on from there."
        )

    def ended(self, n_others: int) -> str:
        """Return what it made."""
        there = f", {self.n_there} already there" if self.n_there else ""
        others = f"; {n_others} other file{'s' * (n_others != 1)} left out" if n_others else ""
        return f"{self.n_done} picture{'s' * (self.n_done != 1)}{there}{others}."


def _denoise_folder(source: Path, out: Path, denoise: Denoise, by: str, *, force: bool) -> int:
    check_folder(out, source, force=True)
    check_outside(out, source)
    below = found_in(source)
    jobs = [_job(source, out, file) for file in below.files]
    for job in jobs:  # even if a link is there that leads back
        check_outside(job.target, source)
    with Console(stderr=True).status("Looking at what is there"):
        record = Record(out, by)
        there = {job.name for job in jobs if record.holds(job.name, job.source)}
        if not force:
            _refuse_strangers(source, out, record, there, {job.name for job in jobs} - there)
    tally = Tally(len(jobs), len(there), [str(error) for error in below.refused])
    with record.adding() as add:
        remove_halves(out)
        _work([job for job in jobs if job.name not in there], denoise, add, tally)
    say(f"{out}: {tally.ended(below.n_others)}")
    if tally.failures:
        warn(f"{len(tally.failures)} could not be denoised:", tally.failures)
    return INCOMPLETE if tally.failures else 0


def found_in(source: Path) -> Below:
    """Return what a folder and those within it hold.

    Raises
    ------
    FileError
        If there is no picture.
    """
    below = pictures_below(source)
    if not below.files and not below.refused:
        raise FileError(
            f"{source} holds no picture: give a folder with files that end in "
            f"{', '.join(PICTURE_ENDINGS)}."
        )
    return below


def _job(source: Path, out: Path, file: Path) -> Job:
    place = file.relative_to(source)
    return Job(place.as_posix(), file, out / place)


def _refuse_strangers(
    source: Path, out: Path, record: Record, there: set[str], undone: set[str]
) -> None:
    """Keep pictures of another model, of another input or of the user's own from being mixed in.

    Those that the same model made of pictures that are gone are none.
    """
    for file in pictures_below(out).files:
        name = file.relative_to(out).as_posix()
        if name in undone or (name not in there and not record.holds(name)):
            raise FileError(
                f"{file} was not made by this model from {source} as it is now: "
                "add --force to replace such pictures, or give another path."
            )


def _work(jobs: list[Job], denoise: Denoise, add: Add, tally: Tally) -> None:
    """Denoise the pictures one by one; only what cannot be written ends the run."""
    try:
        with bar() as moving:
            task = moving.add_task("", total=len(jobs))
            for job in jobs:
                name = os.fsencode(job.name).decode(errors="replace")  # not all can be printed
                moving.update(task, description=name)
                _make(job, denoise, add, tally)
                moving.advance(task)
    except BaseException as error:
        warn(tally.stopped())
        if isinstance(error, KeyboardInterrupt):
            raise click.exceptions.Exit(EXIT + signal.SIGINT) from None
        raise


def _make(job: Job, denoise: Denoise, add: Add, tally: Tally) -> None:
    """Make one picture, or note why it could not be made."""
    try:
        picture = read_picture(job.source)
        of = digest(job.source) or ""  # now, and not after the minutes that a large one takes
        picture = denoised(job.source, picture, denoise)
    except (FileError, DataError) as error:
        tally.failures.append(at_the_shell(str(error)))
        return
    write_picture(job.target, picture, lambda file: add(job.name, of, file))
    tally.n_done += 1


def bar() -> Progress:
    """Return a line that moves while pictures are worked on; shown on terminals only."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
