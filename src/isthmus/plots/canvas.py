"""What all pictures share: axes, colours, and tiles laid out as one image.

Shapes: n tiles of h x w pixels, c colours.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import missing
from isthmus.evaluation.subject import scaling_within

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
Shape = tuple[int, ...] | None  # of a row as it is drawn, as `isthmus.report` takes it

MODEL, OTHER = "#0b6490", "#7b828c"
WARM_AND_COOL = "RdBu_r"  # above zero warm, below cool, as in the report
ACROSS = 8  # tiles side by side
MOST_NAMES = 40  # features that are named


def check_extra() -> None:
    """Refuse before the work what would fail after it.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise missing("matplotlib", "Drawing pictures", "pictures") from None


def axes_of(ax: "Axes | None", width: float, height: float) -> "Axes":
    """Return the axes to draw on; new ones belong to pyplot, so that notebooks show them."""
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(width, height), layout="constrained")[1] if ax is None else ax


def text(name: str) -> str:
    """Return a name that matplotlib does not take for mathematics."""
    return name.replace("$", r"\$")


def draw_tiles(axes: "Axes", lines: list[list[Floats]], bounds: tuple[float, float]) -> None:
    """Draw pictures (h, w, c) in lines as one image, with a gap between them."""
    low, high = bounds
    size = (high - low) or 1.0
    gap = ((0, 1), (0, 1), (0, 0))
    framed = [
        np.hstack([np.pad((tile - low) / size, gap, constant_values=1) for tile in line])
        for line in lines
    ]
    image = np.clip(np.vstack(framed), 0, 1)
    axes.imshow(image[..., 0] if image.shape[2] == 1 else image, cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def comparable(model: Any, rows: Floats) -> Floats:
    """Return rows (n, D) whose features can share an axis: scaled, where each has its own scale."""
    scaling = scaling_within(model)
    if scaling.scale.ndim == 0:
        return rows
    scaled: Floats = (rows - scaling.offset.numpy()) / scaling.scale.numpy()
    return scaled


def draw_curves(axes: "Axes", rows: Floats, colour: str, strengths: Floats) -> None:
    """Draw rows (n, D) over their features, or (n, steps, channels) over the steps."""
    for row, strength in zip(rows, strengths, strict=True):
        axes.plot(row, color=colour, alpha=float(strength))
    axes.set(xlabel="feature" if rows.ndim == 2 else "step")


def name_features(axes: "Axes", model: Any) -> None:
    """Name the features below curves over them, where there are names and room for them."""
    names = getattr(model, "feature_names_in_", ())
    if 0 < len(names) <= MOST_NAMES and len(names) == len(axes.lines[0].get_xdata()):  # type: ignore[arg-type]
        shown = [text(str(name)) for name in names]
        axes.set_xticks(range(len(names)), shown, rotation=45, ha="right")
        axes.set(xlabel="")


def name_axes(axes: "Axes", model: Any) -> None:
    """Name the features below curves, and the unit in which `comparable` gives them."""
    name_features(axes, model)
    one_unit = scaling_within(model).scale.ndim == 0
    axes.set(ylabel="value" if one_unit else "value, in standard deviations")


def draw_way(ax: "Axes | None", rows: Floats, bounds: tuple[float, float]) -> "Axes":
    """Draw a way's steps: pictures (n, h, w, c) side by side, others as curves, paler first."""
    n = len(rows)
    if rows.ndim == 4:
        axes = axes_of(ax, 1.2 * n, 1.6)
        draw_tiles(axes, [list(rows)], bounds)
    else:
        axes = axes_of(ax, 8.0, 4.0)
        draw_curves(axes, rows, MODEL, np.linspace(0.25, 0.95, n))
    return axes


def draw_grid(axes: "Axes", tiles: Floats) -> "Axes":
    """Draw values about zero (n, h, w), each stretched to its own range, in lines of eight."""
    reach = np.abs(tiles).max(axis=(1, 2), keepdims=True)
    stretched = tiles / np.where(reach > 0, reach, 1.0)
    padded = np.pad(stretched, ((0, 0), (0, 1), (0, 1)))
    n, height, width = padded.shape
    across = min(ACROSS, n)
    empty = np.zeros((-n % across, height, width))
    grid = np.concatenate([padded, empty]).reshape(-1, across, height, width)
    image = grid.transpose(0, 2, 1, 3).reshape(-1, across * width)
    axes.imshow(image, cmap=WARM_AND_COOL, vmin=-1, vmax=1)
    axes.set(xticks=[], yticks=[])
    return axes
