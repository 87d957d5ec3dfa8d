"""``isthmus score --target``: how near a model brings noisy pictures of any size to clean ones."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.table import Table

from isthmus.cli.denoising import INCOMPLETE, Denoise, bar, denoised, found_in
from isthmus.cli.options import at_the_shell
from isthmus.cli.outputs import facts, plain_console, say, titled, warn
from isthmus.cli.photographs import no_partner
from isthmus.data.picture_files import read_picture
from isthmus.data.pictures import is_picture
from isthmus.data.tiles import to_light
from isthmus.data.writing import write
from isthmus.errors import DataError, FileError, ParameterError
from isthmus.evaluation.metrics import psnr

WORST = 5  # pictures that are listed


class Pair(NamedTuple):
    """A noisy picture and the clean one of its name."""

    name: str  # within the folder, with slashes
    noisy: Path
    clean: Path


class Scored(NamedTuple):
    """How near a picture is to the clean one; decibels of its peak signal-to-noise ratio."""

    name: str
    noisy: float
    denoised: float


def score_pictures(
    noisy: Path, clean: Path, denoise: Denoise, out: Path | None, *, title: str
) -> int:
    """Denoise a picture, or all of a folder, and print how near they come to the clean ones.

    They are judged as they would be written, in their own depth. One of a folder that cannot be
    read is passed over and named at the end.

    Returns
    -------
    int
        The exit code: 1 where a picture of a folder could not be scored.

    Raises
    ------
    ParameterError
        If these are no pictures.
    FileError
        If there are none, or the one cannot be read.
    DataError
        If a clean one is missing, or the two of the one pair are no pair.
    """
    pairs, failures = _pairs(noisy, clean)
    scored: list[Scored] = []
    with bar() as moving:
        for pair in moving.track(pairs):
            try:
                scored.append(_scored(pair, denoise))
            except (FileError, DataError) as error:
                if pair.noisy == noisy:
                    raise
                failures.append(at_the_shell(str(error)))
    if scored:
        _tell(scored, title, out)
    if failures:
        warn(f"{len(failures)} could not be scored:", failures)
    return INCOMPLETE if failures else 0


def _pairs(noisy: Path, clean: Path) -> tuple[list[Pair], list[str]]:
    """Find the clean picture of each noisy one, and say why folders could not be looked into."""
    if is_picture(noisy):
        return [Pair(noisy.name, noisy, clean if is_picture(clean) else clean / noisy.name)], []
    if not (noisy.is_dir() and clean.is_dir()):
        raise ParameterError(
            f"--target compares a picture with a picture, or folders of them, and got {noisy} and "
            f"{clean}: give two of these."
        )
    below = found_in(noisy)
    places = [file.relative_to(noisy) for file in below.files]
    pairs = [Pair(place.as_posix(), noisy / place, clean / place) for place in places]
    for pair in pairs:
        if not pair.clean.is_file():
            raise no_partner(clean, pair.name, noisy)
    return pairs, [str(error) for error in below.refused]


def _scored(pair: Pair, denoise: Denoise) -> Scored:
    before, goal = read_picture(pair.noisy), read_picture(pair.clean).pixels
    if before.pixels.shape != goal.shape:
        raise DataError(
            f"{pair.noisy} has the shape {before.pixels.shape} and {pair.clean} {goal.shape}: give "
            f"pictures of one size, both in grey or both in colour."
        )
    after = denoised(pair.noisy, before, denoise)
    light = to_light(goal)[None]
    pictures = (before.pixels, after.pixels)
    return Scored(pair.name, *(float(psnr(light, to_light(each)[None])[0]) for each in pictures))


def _tell(scored: list[Scored], title: str, out: Path | None) -> None:
    """Print the means and the worst, and write all to a file if one is named."""
    decibels = np.array([each[1:] for each in scored])
    noisy, cleaned = decibels.mean(0)
    several = len(scored) > 1
    pairs: dict[str, object] = {
        "pictures": len(scored),
        "PSNR, noisy": f"{noisy:.2f} dB{', the mean of each one' * several}",
        "PSNR, denoised": f"{cleaned:.2f} dB",
    }
    console = plain_console()
    console.print(facts(title, pairs))
    if several:
        console.print(worst(scored))
    if out is not None:
        names = {"name": [each.name for each in scored]}
        write(out, decibels, ["psnr_noisy", "psnr_denoised"], names)
        say(f"{out}: {len(scored)} rows, {decibels.shape[1]} columns.")


def worst(scored: list[Scored]) -> Table:
    """Lay out the pictures that are farthest from the clean ones once denoised."""
    table = titled("Lowest PSNR when denoised")
    table.add_column("picture", overflow="fold")
    for name in ("noisy, dB", "denoised, dB"):
        table.add_column(name, justify="right")
    for each in sorted(scored, key=lambda one: one.denoised)[:WORST]:
        table.add_row(each.name, f"{each.noisy:.2f}", f"{each.denoised:.2f}")
    return table
