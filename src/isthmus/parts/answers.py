"""What a part answers, refused where it has not the shape that its slot says."""

from torch import Tensor

from isthmus.errors import ParameterError
from isthmus.parts.part import Part


def check_answer(
    part: Part, what: str, answer: object, shape: tuple[int, ...], reason: str
) -> None:
    """Refuse what is no tensor of the shape.

    Parameters
    ----------
    what : method, or what of its answer.
    reason : of the shape, a few words.

    Raises
    ------
    ParameterError
        With the part, what it gave and what is wanted.
    """
    if isinstance(answer, Tensor) and answer.shape == shape:
        return
    kind = "None" if answer is None else f"a {type(answer).__name__}"
    got = f"one of {tuple(answer.shape)}" if isinstance(answer, Tensor) else kind
    raise ParameterError(
        f"{what} of {part.slot} {part.name!r} should be a tensor of shape {shape}, {reason}; got "
        f"{got}."
    )
