"""``isthmus export``: from a saved model to a file that other programs run."""

from pathlib import Path

from isthmus.cli.applying import model_and_rows
from isthmus.cli.outputs import check_path, say
from isthmus.estimators.saving import load
from isthmus.export.onnx_file import export_onnx


def export(model: Path, out: Path, part: str, data: Path | None, *, force: bool) -> None:
    """Write a part of a saved model as an ONNX file, and say how far it is from the model.

    Raises
    ------
    IsthmusError
        If a file or the model cannot be used, or the two answer differently.
    """
    check_path(out, model, force=force)
    estimator = load(model)
    rows = None if data is None else model_and_rows(model, data)[1].named()
    exported = export_onnx(estimator, out, part, X=rows)
    say(
        f"{out}: {part}; on {exported.n_rows} rows the largest relative difference from the model "
        f"is {exported.difference:.1g}."
    )
