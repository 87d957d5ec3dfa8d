"""Autoencoders that you can put where PCA stood.

Importing this is cheap: torch and scikit-learn are loaded with the first name that needs them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from isthmus.estimators import ESTIMATORS

if TYPE_CHECKING:
    from isthmus import datasets, errors, evaluation, observers, parts, plots
    from isthmus.estimators.autoencoder import Autoencoder as Autoencoder
    from isthmus.estimators.classifier import AutoencoderClassifier as AutoencoderClassifier
    from isthmus.estimators.contractive import ContractiveAutoencoder as ContractiveAutoencoder
    from isthmus.estimators.denoising import DenoisingAutoencoder as DenoisingAutoencoder
    from isthmus.estimators.outliers import OutlierDetector as OutlierDetector
    from isthmus.estimators.rbm import BernoulliRBM as BernoulliRBM
    from isthmus.estimators.rbm import GaussianRBM as GaussianRBM
    from isthmus.estimators.resuming import resume
    from isthmus.estimators.saving import load
    from isthmus.estimators.sparse import SparseAutoencoder as SparseAutoencoder
    from isthmus.estimators.stacked import StackedAutoencoder as StackedAutoencoder
    from isthmus.estimators.variational import VariationalAutoencoder as VariationalAutoencoder
    from isthmus.evaluation.compare import compare
    from isthmus.evaluation.report import report
    from isthmus.export.onnx_file import export_onnx
    from isthmus.fitting.checkpoint import Checkpoint

__all__ = [
    *ESTIMATORS,
    "Checkpoint",
    "compare",
    "datasets",
    "errors",
    "evaluation",
    "export_onnx",
    "load",
    "observers",
    "parts",
    "plots",
    "report",
    "resume",
]

_HOMES = {
    **ESTIMATORS,
    "Checkpoint": "isthmus.fitting.checkpoint",
    "compare": "isthmus.evaluation.compare",
    "export_onnx": "isthmus.export.onnx_file",
    "load": "isthmus.estimators.saving",
    "report": "isthmus.evaluation.report",
    "resume": "isthmus.estimators.resuming",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in __all__:
        return import_module(f"isthmus.{name}")
    if name == "__version__":
        return import_module("importlib.metadata").version("isthmus")
    raise AttributeError(f"module 'isthmus' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
