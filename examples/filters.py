"""Draw what autoencoders learn: run the code of docs/which-autoencoder.md and draw its filters.

python examples/filters.py --mnist FOLDER [--only sparse topk]
"""

import argparse
import re
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np

from isthmus import datasets

DOCS = Path(__file__).resolve().parents[1] / "docs"
SIDE, ROWS, COLUMNS = 28, 4, 16


def main() -> None:
    """Run each block of code and draw the filters of its model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=Path, help="folder of MNIST's idx files")
    parser.add_argument("--only", nargs="+", help="names of pictures")
    options = parser.parse_args()
    page = (DOCS / "which-autoencoder.md").read_text(encoding="utf-8")
    X = datasets.mnist(options.mnist).images
    names: dict[str, Any] = {"X": X}
    # Each block of code is followed by the picture that it makes.
    for code, picture in re.findall(
        r"```python\n(.*?)```\s+!\[[^\]]*\]\((\S+)\)", page, flags=re.DOTALL
    ):
        exec("\n".join(re.findall(r"^from .*$", code, flags=re.MULTILINE)), names)
        if options.only and Path(picture).stem not in options.only:
            continue
        exec(code, names)
        path = DOCS / picture
        path.parent.mkdir(exist_ok=True)
        sheet = tiled(filters(names["model"]) * X.std(axis=0))
        matplotlib.image.imsave(path, sheet, cmap="gray", vmin=-1, vmax=1)
        print(path.name, flush=True)


def filters(model: Any) -> np.ndarray:
    """Return the first weights of the encoder, (units, pixels)."""
    module = getattr(model.model_, "encoder", None)
    if module is None:
        return np.asarray(model.model_.weight)
    return next(np.asarray(weight) for weight in module.parameters() if weight.ndim == 2)


def tiled(weights: np.ndarray) -> np.ndarray:
    """Lay 64 filters side by side, each stretched to -1 to 1, with a white line between."""
    norms = np.linalg.norm(weights, axis=1)
    chosen = np.sort(np.argsort(norms)[::-1][: ROWS * COLUMNS])  # units that learned something
    pictures = weights[chosen].reshape(-1, SIDE, SIDE)
    pictures = pictures / np.abs(pictures).max(axis=(1, 2), keepdims=True)
    framed = np.pad(pictures, ((0, 0), (1, 1), (1, 1)), constant_values=1)
    grid = framed.reshape(ROWS, COLUMNS, SIDE + 2, SIDE + 2).transpose(0, 2, 1, 3)
    sheet = grid.reshape(ROWS * (SIDE + 2), COLUMNS * (SIDE + 2))
    return np.kron(sheet, np.ones((2, 2)))


if __name__ == "__main__":
    main()
