"""A part of a fitted model as an ONNX file, written only if it answers as the model does."""

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from isthmus.data.artefact import versions
from isthmus.data.replacing import replacing
from isthmus.errors import ExportError, FileError, missing
from isthmus.export.agreement import TOLERANCE, Agreement, Answers, Rows, agreement, examples
from isthmus.export.graphs import Graph, check_ours, check_part, given_shape, graph_of
from isthmus.export.signatures import PARTS

if TYPE_CHECKING:
    import onnx

LARGEST = 2**31 - 2**20  # bytes of a file of protocol buffers, less some for all but the weights


class Exported(NamedTuple):
    """What was written."""

    path: Path
    part: str
    difference: float  # the largest between the file's answers and the model's, relative
    n_rows: int  # that were compared
    n_switched: int  # of them left out, since float32 switched a unit on or off


def export_onnx(
    model: Any, path: str | PathLike[str], part: str = "encode", *, X: ArrayLike | None = None
) -> Exported:
    """Write a part of a fitted model as an ONNX file that takes and answers the user's units.

    The scaling is inside, the size of the batch is free, and all is float32. The file is run in
    ONNX Runtime on drawn rows, and on those of `X`; it is only written if no answer differs from
    the model's own by more than 1e-4 of what such answers amount to.

    Parameters
    ----------
    model : estimator
        Fitted.
    path : str or path-like
        It ends in ``.onnx``; a file that is there is replaced.
    part : "encode", "decode", "reconstruct", "score" or "classify"
        What the file computes: `transform`, `inverse_transform`, `reconstruct`, `score_samples` or
        `predict_proba`. Samples have the shape that they had in `fit`.
    X : array or frame (N, D), or samples, optional
        Rows to compare on, besides drawn ones; of many, 1,000.

    Returns
    -------
    Exported
        The path, the part, and the largest relative difference.

    Raises
    ------
    ParameterError
        If the model has no such part.
    ExportError
        If no graph can hold it, or the answers differ.
    FileError
        If the file cannot be written; what was there stays.
    MissingDependencyError
        If onnx, onnxruntime or onnxscript is not installed.
    """
    check_ours(model)
    check_is_fitted(model, "model_")
    target = Path(path)
    if target.suffix.lower() != ".onnx":
        raise FileError(f"{path} is no name of an ONNX file: give one that ends in .onnx.")
    check_part(model, part)
    _check_installed()
    compared = examples(model, part, X)
    graph = graph_of(model, part)
    proto = _traced(graph, compared.given[:2].reshape(2, *given_shape(model, part)), part)
    found = agreement(compared, _runtime(proto, given_shape(model, part)))
    _check_agrees(found, path, part)
    _describe(proto, model, part, found)
    with replacing(target) as beside:
        beside.write_bytes(proto.SerializeToString(deterministic=True))
    return Exported(target, part, *found)


def _check_installed() -> None:
    for package in ("onnx", "onnxruntime", "onnxscript"):
        if find_spec(package) is None:
            raise missing(package, "Exporting to ONNX", "onnx")


# The graph -------------------------------------------------------------------------------


def _traced(graph: Graph, given: Rows, part: str) -> "onnx.ModelProto":
    """Return the graph as ONNX, for any number of rows.

    Raises
    ------
    ExportError
        If torch.onnx cannot follow it.
    """
    _check_size(graph)
    signature = PARTS[part]
    try:
        with _quietly():
            program = torch.onnx.export(
                graph.eval(),
                (torch.from_numpy(given),),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                input_names=[signature.given],
                output_names=[signature.answer],
                verbose=False,
            )
    except Exception as error:  # of whatever kind, where a module is the user's own
        said = str(error.__cause__ or error).strip() or type(error).__name__
        raise ExportError(
            f"part={part!r} cannot be made an ONNX graph ({said.splitlines()[0]}): torch.onnx has "
            f"to know every operation of the network."
        ) from error
    proto = _bare(cast("onnx.ModelProto", program.model_proto))  # type: ignore[union-attr]
    if not proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        raise ExportError(
            f"part={part!r} cannot be made an ONNX graph for any number of rows: a module of the "
            f"network takes it for a constant; write x.shape[0] there, not len(x)."
        )
    return proto


def _check_size(graph: Graph) -> None:
    n_bytes = 4 * sum(each.numel() for each in graph.state_dict().values())
    if n_bytes > LARGEST:
        raise ExportError(
            f"The model has {n_bytes / 1e9:.1f} GB of weights, and an ONNX file holds 2 GB: fit a "
            f"narrower one."
        )


def _bare(proto: "onnx.ModelProto") -> "onnx.ModelProto":
    """Return a valid model without what tells of the machine on which it was made."""
    import onnx

    graph = proto.graph
    within = [node for function in proto.functions for node in function.node]
    for each in (graph, *graph.node, *within, *graph.value_info, *graph.initializer):
        each.ClearField("doc_string")
        each.ClearField("metadata_props")
    onnx.checker.check_model(proto, full_check=True)
    return proto


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep back what torch says to those who develop it."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _runtime(proto: "onnx.ModelProto", shape: tuple[int, ...]) -> Callable[[Rows], Answers]:
    """Return what ONNX Runtime makes of flat rows, samples of the shape.

    Raises
    ------
    ExportError
        If it cannot run the graph.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    name = proto.graph.input[0].name
    try:
        session = onnxruntime.InferenceSession(
            proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # it has a class for each of its codes
        reason = str(error).splitlines()[0]
        raise ExportError(
            f"ONNX Runtime cannot run the graph ({reason}): use other operations in the network."
        ) from error
    return lambda rows: session.run(None, {name: rows.reshape(-1, *shape)})[0]


# What is said of it ----------------------------------------------------------------------


def _check_agrees(found: Agreement, path: object, part: str) -> None:
    if found.holds:
        return
    wrong = f"differs from the model by {found.difference:.2g} of what such answers amount to"
    if found.difference <= TOLERANCE:
        wrong = f"switches units otherwise in {found.n_switched} of {found.n_rows} rows"
    raise ExportError(
        f"{path} is not written, for in float32 part={part!r} {wrong} (at most {TOLERANCE:g} is "
        f"allowed): scale the columns (scaling='standard'), or use the model itself."
    )


def _describe(proto: "onnx.ModelProto", model: Any, part: str, found: Agreement) -> None:
    """Write into the file what it is, as text and JSON."""
    import onnx

    facts = {
        "estimator": type(model).__name__,
        "part": part,
        "versions": versions(),
        "agreement": found._asdict(),
    }
    if hasattr(model, "feature_names_in_"):
        facts["feature_names"] = list(model.feature_names_in_)
        facts["feature_dtypes"] = model._feature_dtypes
    if part == "classify":
        facts["classes"] = model.classes_.tolist()
    texts = {
        name: fact if isinstance(fact, str) else json.dumps(fact) for name, fact in facts.items()
    }
    onnx.helper.set_model_props(proto, texts)
