"""What a part answers, refused where it is not what its slot says."""

from typing import NamedTuple

from torch import Tensor

from isthmus.errors import ParameterError
from isthmus.parts.part import Part


def check_shape(part: Part, what: str, answer: object, shape: tuple[int, ...], reason: str) -> None:
    """Refuse what is no tensor of the shape.

    Parameters
    ----------
    what : method, or field of its answer.
    reason : of the shape, a few words.

    Raises
    ------
    ParameterError
        With the part, what it gave and what is wanted.
    """
    if not (isinstance(answer, Tensor) and answer.shape == shape):
        raise _refusal(part, what, f"a tensor of shape {tuple(shape)}, {reason}", answer)


def check_record(part: Part, method: str, answer: object, record: type[NamedTuple]) -> None:
    """Refuse what is not the named tuple that a method returns."""
    if not isinstance(answer, record):
        fields = ", ".join(record._fields)
        raise _refusal(part, method, f"a {record.__name__}({fields})", answer)


def _refusal(part: Part, what: str, wanted: str, answer: object) -> ParameterError:
    got = "None" if answer is None else f"a value of type {type(answer).__name__}"
    if isinstance(answer, Tensor):
        got = f"a tensor of shape {tuple(answer.shape)}"
    return ParameterError(f"{what} of {part.slot} {part.name!r} should be {wanted}; got {got}.")
