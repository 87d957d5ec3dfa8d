"""Where results go: refused before any work is done, and said in one line once written."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.box import ROUNDED
from rich.console import Console
from rich.table import Table

from isthmus.cli.options import at_the_shell
from isthmus.data.artefact import CONFIG
from isthmus.data.replacing import check_replaceable, refusal_as_file_error
from isthmus.data.writing import check_ending
from isthmus.errors import FileError
from isthmus.estimators import summary


def check_file(out: Path, data: Path, *, force: bool, besides: str = "") -> None:
    """Refuse a file that cannot be written or would replace what nobody offered.

    Of what the command writes `besides` tables, the refusal of an ending tells.

    Raises
    ------
    FileError
        If its ending is unknown, it is the input, or it exists and `force` is not given.
    """
    check_ending(out, besides)
    check_path(out, data, force=force)


def check_path(out: Path, data: Path, *, force: bool) -> None:
    """Refuse, as `check_file` does, a file of whatever ending.

    Raises
    ------
    FileError
        If it is the input, cannot be written, or exists and `force` is not given.
    """
    _check_place(out)
    _check_not_input(out, data)
    if out.exists() and not force:
        raise _exists(out)


def check_outside(out: Path, data: Path) -> None:
    """Refuse a folder within the input, whose pictures would be read as well.

    Raises
    ------
    FileError
        If it lies there.
    """
    if Path(os.path.realpath(data)) in Path(os.path.realpath(out)).parents:
        raise FileError(
            f"{out} lies within {data}, all of which is read: give a path outside of it."
        )


def check_page(out: Path, data: Path, *, force: bool) -> None:
    """Refuse a page that cannot be written, as `check_file`; it has to be called one.

    Raises
    ------
    FileError
        If its ending is another, it is the input, or it exists and `force` is not given.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise FileError(f"{out} is no name of a page: give one that ends in .html.")
    _check_place(out)
    _check_not_input(out, data)
    if out.exists() and not force:
        raise _exists(out)


def check_log(out: Path) -> Path:
    """Return the path of a log, to which lines are added; refuse one that cannot be written.

    Raises
    ------
    FileError
        If its ending is not .jsonl, or it cannot be written.
    """
    if out.suffix.lower() != ".jsonl" or out.is_dir():
        raise FileError(f"{out} is no name of a log: give a file that ends in .jsonl.")
    _check_place(out)
    if out.exists() and not os.access(out, os.W_OK):
        raise FileError(f"{out} cannot be written: change its permissions, or give another path.")
    return out


def check_folder(out: Path, data: Path, *, force: bool) -> None:
    """Refuse a folder for pictures that is the input, a file, or holds something.

    Raises
    ------
    FileError
        If it is one of these; with `force` it may hold something.
    """
    _check_place(out)
    _check_not_input(out, data)
    check_replaceable(out)
    if out.exists() and any(out.iterdir()) and not force:
        raise _exists(out)


def check_model(model: Path, *, force: bool) -> None:
    """Refuse a folder that holds a saved model already, or something else.

    Raises
    ------
    FileError
        If it does; with `force` it may hold a saved model.
    """
    _check_place(model)
    check_replaceable(model, CONFIG)
    if (model / CONFIG).exists() and not force:
        raise FileError(
            f"{model} holds a saved model already: "
            "add --force to replace it, or give another folder."
        )


def _check_place(path: Path) -> None:
    """Refuse a place that cannot be written to, before the work that would be lost there."""
    with refusal_as_file_error(path):
        path.exists()  # raises on a name that is too long
        parent = next(folder for folder in path.absolute().parents if folder.exists())
        may = parent.is_dir() and os.access(parent, os.W_OK)
        if may:  # some systems say so of folders in which nothing can be made
            tempfile.TemporaryFile(dir=parent).close()
    if not may:
        raise FileError(
            f"{path} cannot be written, because {parent} is no folder that you may write to: "
            "change the path or the permissions."
        )


def _check_not_input(out: Path, data: Path) -> None:
    if os.path.realpath(out) == os.path.realpath(data):
        raise FileError(f"{out} is the input itself: give another path to write to.")


def _exists(out: Path) -> FileError:
    return FileError(f"{out} exists already: add --force to replace it, or give another path.")


def plain_console() -> Console:
    """Return a console that shows text as it is: brackets in a path are no markup."""
    return Console(markup=False, highlight=False, emoji=False)


def titled(title: str, *, header: bool = True, lines: bool = False) -> Table:
    """Return an empty table in the look that all have."""
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=ROUNDED,
        show_header=header,
        show_lines=lines,
    )


def facts(title: str, pairs: dict[str, object]) -> Table:
    """Lay out facts and their names as a table."""
    table = titled(title, header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, fact in pairs.items():
        table.add_row(name, str(fact))
    return table


def how_it_went(estimator: Any) -> dict[str, str]:
    """Return how a fit went, in words of the shell."""
    told = summary.how_it_went(estimator)
    return {name: at_the_shell(fact) for name, fact in told.items()}


def say(text: str) -> None:
    """Print a line that may be copied: it is never wrapped."""
    plain_console().print(text, soft_wrap=True)


def warn(text: str, sentences: Sequence[str] = ()) -> None:
    """Print a line on stderr, and what it is about below it."""
    for line in (text, *(f"  {sentence}" for sentence in sentences)):
        click.echo(line, err=True)
