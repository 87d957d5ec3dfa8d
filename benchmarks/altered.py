"""Alter saved models at random, and see that each is refused or answers the same to the bit.

python benchmarks/altered.py --times 500 --json altered.json
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
Draw = np.random.Generator


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="where to write the counts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts = count(Path(folder), options.times, options.seed)
    print(json.dumps(counts, indent=1))
    if options.json:
        options.json.write_text(json.dumps(counts, indent=1) + "\n")
    sys.exit(any("changed" in outcomes for outcomes in counts.values()))


def count(folder: Path, times: int, seed: int) -> dict[str, dict[str, int]]:
    """Alter two small models; return how often each alteration ended how."""
    X = np.random.default_rng(0).uniform(size=(40, 4))
    saved(folder / "model", X)
    saved(folder / "other", X, n_components=3)
    expected, draw = answer(folder / "model", X), np.random.default_rng(seed)
    counts: dict[str, Counter[str]] = {}
    for _ in range(times):
        name, outcome = once(folder, X, expected, draw)
        counts.setdefault(name, Counter())[outcome] += 1
    return {name: dict(outcomes) for name, outcomes in sorted(counts.items())}


def saved(path: Path, X: Any, n_components: int = 2) -> None:
    from isthmus import SparseAutoencoder

    given = {"hidden": (3,), "max_epochs": 2, "random_state": 0, "sparsity": "batch_topk(k=2)"}
    SparseAutoencoder(n_components, **given).fit(X).save(path)


def answer(path: Path, X: Any) -> bytes:
    from isthmus import load

    model = load(path)
    answers = model.transform(X), model.reconstruct(X), model.score_samples(X)
    return b"".join(each.tobytes() for each in answers)


def once(folder: Path, X: Any, expected: bytes, draw: Draw) -> tuple[str, str]:
    """Alter a copy of the model; return what was done and what came of it."""
    from isthmus.errors import ArtefactError

    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder / "model", copy)
    alter = ALTERATIONS[draw.integers(len(ALTERATIONS))]
    alter(copy, draw)
    try:
        found = answer(copy, X)
    except ArtefactError as error:
        one_sentence = str(error).endswith(".") and "\n" not in str(error)
        return alter.__name__, "refused" if one_sentence else "refused unclearly"
    return alter.__name__, "same" if found == expected else "changed"


# Bytes -----------------------------------------------------------------------------------


def _file(folder: Path, draw: Draw) -> Path:
    return folder / (CONFIG, WEIGHTS)[draw.integers(2)]


def _places(whole: bytes, draw: Draw) -> tuple[int, int]:
    first, last = sorted(draw.integers(0, len(whole) + 1, 2))
    return int(first), int(min(last, first + 200))


def flip_a_bit(folder: Path, draw: Draw) -> None:
    file = _file(folder, draw)
    whole = bytearray(file.read_bytes())
    whole[draw.integers(len(whole))] ^= 1 << int(draw.integers(8))
    file.write_bytes(whole)


def cut_short(folder: Path, draw: Draw) -> None:
    file = _file(folder, draw)
    whole = file.read_bytes()
    file.write_bytes(whole[: draw.integers(len(whole))])


def append(folder: Path, draw: Draw) -> None:
    file = _file(folder, draw)
    file.write_bytes(file.read_bytes() + draw.bytes(int(draw.integers(1, 100))))


def leave_out(folder: Path, draw: Draw) -> None:
    file = _file(folder, draw)
    whole = file.read_bytes()
    first, last = _places(whole, draw)
    file.write_bytes(whole[:first] + whole[last:])


def repeat(folder: Path, draw: Draw) -> None:
    file = _file(folder, draw)
    whole = file.read_bytes()
    first, last = _places(whole, draw)
    file.write_bytes(whole[:last] + whole[first:])


def blank(folder: Path, draw: Draw) -> None:
    file = _file(folder, draw)
    whole = file.read_bytes()
    first, last = _places(whole, draw)
    file.write_bytes(whole[:first] + bytes(last - first) + whole[last:])


def shuffle(folder: Path, draw: Draw) -> None:
    file = _file(folder, draw)
    whole = bytearray(file.read_bytes())
    first, last = _places(whole, draw)
    some = np.frombuffer(bytes(whole[first:last]), np.uint8)
    whole[first:last] = draw.permutation(some).tobytes()
    file.write_bytes(whole)


# Facts -----------------------------------------------------------------------------------


def _edit(folder: Path, draw: Draw, change: Callable[[Any, Any, Draw], None]) -> None:
    """Change one entry of the configuration, somewhere, and write it as JSON again."""
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    places = [(config, name) for name in config]
    for holder, name in places:  # which grows
        value = holder[name]
        if isinstance(value, dict):
            places += [(value, each) for each in value]
        elif isinstance(value, list):
            places += [(value, i) for i in range(len(value))]
    change(*places[draw.integers(len(places))], draw)
    (folder / CONFIG).write_text(json.dumps(config, indent=1), encoding="utf-8")


def change_a_fact(folder: Path, draw: Draw) -> None:
    others = [None, True, 0, -1, 10**12, 1e308, "", "none", [], {}, [[]], float("nan")]

    def change(holder: Any, name: Any, draw: Draw) -> None:
        holder[name] = others[draw.integers(len(others))]

    _edit(folder, draw, change)


def drop_a_fact(folder: Path, draw: Draw) -> None:
    _edit(folder, draw, lambda holder, name, _: holder.pop(name))


def add_a_fact(folder: Path, draw: Draw) -> None:
    file = folder / CONFIG
    text = file.read_text(encoding="utf-8")
    place = text.index("{", int(draw.integers(len(text) // 2))) + 1
    file.write_text(f'{text[:place]}"n_components": 3, {text[place:]}', encoding="utf-8")


def format_anew(folder: Path, draw: Draw) -> None:
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    names = draw.permutation(list(config)).tolist()
    text = json.dumps({name: config[name] for name in names}, indent=int(draw.integers(4)))
    (folder / CONFIG).write_text(text, encoding="utf-8")


# Files -----------------------------------------------------------------------------------


def exchange(folder: Path, draw: Draw) -> None:
    file = _file(folder, draw)
    shutil.copy(folder.parent / "other" / file.name, file)


def remove(folder: Path, draw: Draw) -> None:
    _file(folder, draw).unlink()


def edit_the_card(folder: Path, draw: Draw) -> None:
    (folder / CARD).write_bytes(draw.bytes(100))


ALTERATIONS = (
    flip_a_bit,
    cut_short,
    append,
    leave_out,
    repeat,
    blank,
    shuffle,
    change_a_fact,
    drop_a_fact,
    add_a_fact,
    format_anew,
    exchange,
    remove,
    edit_the_card,
)


if __name__ == "__main__":
    main()
