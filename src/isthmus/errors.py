"""The typed errors of Isthmus: each message is one sentence: what, where and what to do."""

import difflib
import re
import sys
import warnings
from collections.abc import Iterable, Sequence


class IsthmusError(Exception):
    """Base of every error that Isthmus raises on purpose."""


class DataError(IsthmusError, ValueError):
    """The rows handed in cannot be used: empty, not finite, not numbers, outside a domain."""


class DataTypeError(DataError, TypeError):
    """The rows handed in are of a type that no number is; a TypeError, as Python's own is."""


class ParameterError(IsthmusError, ValueError):
    """A parameter has a value that is unknown, out of range or at odds with another."""


class UnknownParameterError(ParameterError, TypeError):
    """A class has no parameter of that name; a TypeError, as Python's own is."""


class FileError(IsthmusError, OSError):
    """A file or folder cannot be read or written."""


class ArtefactError(FileError):
    """A saved model is missing, truncated, altered or of a newer format."""


class FitStoppedError(IsthmusError):
    """A fit was told to stop, and left a checkpoint from which it goes on."""


class ExportError(IsthmusError):
    """A fitted model cannot be written for other programs, or would answer otherwise there."""


class MissingDependencyError(IsthmusError, ImportError):
    """An optional package is needed and not installed."""


class TrainingWarning(UserWarning):
    """A fit is not as asked: it diverged, was interrupted, or its noise drowns its pictures."""


def caution(said: str, category: type[Warning] = TrainingWarning) -> None:
    """Warn at the line of the user's that led here, be it by way of scikit-learn."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(_WITHIN):
        frame, level = frame.f_back, level + 1
    warnings.warn(said, category, stacklevel=level)


_WITHIN = ("isthmus.", "sklearn.", "torch.", "joblib.", "contextlib", "functools")


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """Return ``"; did you mean 'adam'?"`` for the nearest of `options`, or nothing."""
    return "".join(f"; did you mean {near!r}?" for near in _nearest(word, options))


def guess(word: str, options: Iterable[str]) -> str:
    """Return ``" (did you mean 'adam'?)"`` for the nearest of `options`, or nothing."""
    return "".join(f" (did you mean {near!r}?)" for near in _nearest(word, options))


def _nearest(word: str, options: Iterable[str]) -> list[str]:
    return difflib.get_close_matches(word, list(options), n=1, cutoff=0.65)


def a_few(words: Sequence[str]) -> str:
    """Return ``"x, y and z"``; of more than four words the first three, and how many others."""
    shown = [*words[:3], f"{len(words) - 3} others"] if len(words) > 4 else words
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if shown[1:] else shown)


def missing(package: str, purpose: str, extra: str) -> MissingDependencyError:
    """Say which optional package `purpose` needs and how to install it."""
    return MissingDependencyError(
        f"{purpose} needs {package}, which is not installed: pip install 'isthmus[{extra}]'."
    )


def plain_words(message: str) -> str:
    """Return pydantic's message without its idiom."""
    message = message.removeprefix("Value error, ").removeprefix("Input ")
    message = re.sub(r", unable to (parse string as an? \w+|interpret input)", "", message)
    message = message.replace("a valid boolean", "true or false")
    message = message.replace("a valid number", "a number").replace("a valid integer", "an integer")
    return message.replace("a valid tuple", "a tuple, such as (64,)")
