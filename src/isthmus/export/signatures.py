"""The parts of a fitted model that can be exported. Importing this is cheap."""

from typing import NamedTuple


class Signature(NamedTuple):
    """What a part takes and answers."""

    method: str  # of the estimator, that answers the same
    given: str
    answer: str


PARTS = {
    "encode": Signature("transform", "rows", "codes"),
    "decode": Signature("inverse_transform", "codes", "decoded"),
    "reconstruct": Signature("reconstruct", "rows", "reconstructed"),
    "score": Signature("score_samples", "rows", "scores"),
    "classify": Signature("predict_proba", "rows", "probabilities"),
}
