"""Files that lie: crafted ones, and sound ones that are altered in every way that a file is.

Case number i of a seed is the same files each time.
"""

from typing import NamedTuple

import numpy as np

from fuzz.changes import CHANGES
from fuzz.crafted import crafted_files
from fuzz.sound import Files, sound_files


class Case(NamedTuple):
    """Files to read: the first of them, or the folder of all."""

    kind: str  # how the worker reads them: "rows", "picture", "folder", "model" or "command"
    what: str  # the sound file, and what was done to it
    files: Files


def case(seed: int, number: int) -> Case:
    """Return a case: a crafted one, or sound files that are altered."""
    generator = np.random.default_rng([seed, number])
    crafted = crafted_files()
    if number < len(crafted):
        name = sorted(crafted)[number]
        return Case(_kind(name, generator), name, crafted[name])
    name = str(generator.choice(sorted(sound_files())))
    files = dict(sound_files()[name])
    target = str(generator.choice(sorted(files)))
    changes = generator.choice(list(CHANGES), size=int(generator.integers(1, 3)))
    for change in changes:
        files[target] = CHANGES[change](files[target], generator)
    return Case(_kind(name, generator), f"{name} {target} {', '.join(changes)}", files)


def _kind(name: str, generator: np.random.Generator) -> str:
    """Return how files of a name are read; a few by the command line."""
    if name.startswith("model"):
        return "model"
    if name.startswith("pictures"):
        return str(generator.choice(["picture", "picture", "folder", "command"], p=P_OF_PICTURES))
    return "command" if generator.random() < P_OF_COMMAND else "rows"


P_OF_COMMAND, P_OF_PICTURES = 0.15, [0.4, 0.2, 0.3, 0.1]
