"""The parameters that all estimators share: default, range and meaning, stated once.

The estimators' signatures, their docstrings, the checks at `fit` and the options of the
command line all follow from here. Importing it is cheap: neither torch nor scikit-learn.
"""

import contextlib
import dataclasses
import functools
import inspect
import re
from collections.abc import Callable, Mapping
from functools import cache
from types import NoneType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    TypeVar,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import Field, TypeAdapter, ValidationError, WrapValidator

from isthmus.errors import ParameterError, UnknownParameterError, did_you_mean, guess, plain_words

if TYPE_CHECKING:
    import numpy as np

    from isthmus.parts.part import Part

    PartLike = str | Part
    RandomState = int | np.random.RandomState | np.random.Generator | None
else:  # read without torch and NumPy, and as help texts show them
    PartLike = Annotated[Any, "str or Part"]
    RandomState = Annotated[Any, "int, RandomState, Generator or None"]


def meaning(sentence: str, **limits: Any) -> Any:
    """State a parameter's range and its one sentence."""
    return Field(description=sentence, **limits)


def _width(value: Any, number: Callable[[Any], float]) -> float:
    with contextlib.suppress(ValidationError):
        width = number(value)
        if width >= 1 if isinstance(width, int) else 0 < width < 1:
            return width
    raise ValueError("should be a whole number from 1, or a share of the variance below 1")


Components = Annotated[
    int | float,
    WrapValidator(_width),
    meaning("Width K of the code; 0.95: as wide as PCA that keeps 95 % of the variance."),
]
Hidden = tuple[Annotated[int, Field(ge=1)], ...]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]


@dataclasses.dataclass(kw_only=True, eq=False, repr=False)
class Width:
    """What a code has."""

    n_components: Components = dataclasses.field(default=2, kw_only=False)


@dataclasses.dataclass(kw_only=True, eq=False, repr=False)
class Running:
    """How an estimator runs."""

    batch_size: Annotated[
        Annotated[int, Field(ge=1)] | Literal["auto"],
        meaning("Rows per step; 'auto' grows with the data, 32 to 256."),
    ] = "auto"
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        meaning("Of the products while training; 'auto' is bfloat16 where it is native."),
    ] = "auto"
    device: Annotated[str, meaning("'auto' (an accelerator if present), 'cpu', 'cuda', ...")] = (
        "auto"
    )
    random_state: Annotated[
        RandomState, meaning("Seed of every random stream; an int gives the same fit each time.")
    ] = None
    verbose: Annotated[
        Annotated[int, Field(ge=0)] | bool, meaning("1 shows a progress bar on a terminal.")
    ] = 0


@dataclasses.dataclass(kw_only=True, eq=False, repr=False)
class Common(Running, Width):
    """What everything that learns a code takes."""


@dataclasses.dataclass(kw_only=True, eq=False, repr=False)
class Architecture:
    """What an autoencoder is made of."""

    network: Annotated[
        PartLike, meaning("Architecture, such as 'dense(hidden=(256, 128), dropout=0.1)'.")
    ] = "dense"
    hidden: Annotated[
        Hidden | None,
        meaning("Shorthand for the network's hidden widths; () is a linear autoencoder."),
    ] = None
    activation: Annotated[
        str | None, meaning("Shorthand for the network's activation, such as 'relu'.")
    ] = None
    sample_shape: Annotated[
        Hidden | None,
        meaning("What a flat row of X is, such as (1, 28, 28) for a picture; None: what X says."),
    ] = None
    likelihood: Annotated[
        PartLike, meaning("Loss and domain: 'normal', 'laplace' or 'bernoulli' (X in 0 to 1).")
    ] = "normal"
    scaling: Annotated[
        Literal["isotropic", "standard", "none"],
        meaning(
            "What the network sees: 'isotropic' (centred, one scale for all features, as PCA "
            "sees it), 'standard' (feature by feature, for mixed units) or 'none'."
        ),
    ] = "isotropic"


@dataclasses.dataclass(kw_only=True, eq=False, repr=False)
class Training(Running):
    """What everything that the one loop trains takes."""

    optimizer: Annotated[
        PartLike, meaning("'adam', 'sgd', 'lbfgs', ..., with fields: 'adam(weight_decay=1e-4)'.")
    ] = "adam"
    learning_rate: Annotated[
        Annotated[float, Field(gt=0, allow_inf_nan=False)] | Literal["auto"],
        meaning("Size of a step; 'auto' is the optimiser's usual one."),
    ] = "auto"
    schedule: Annotated[
        PartLike,
        meaning("How the rate moves over the fit: 'constant', 'linear', 'cosine', 'one_cycle'."),
    ] = "one_cycle"
    max_epochs: Annotated[
        Annotated[int, Field(ge=0)] | Literal["auto"],
        meaning(
            "Most passes over the rows; 'auto' is 100, and fewer on large data; 0 leaves the "
            "start as it is, PCA or pretrained."
        ),
    ] = "auto"
    validation_fraction: Annotated[
        float,
        meaning(
            "Share of the rows held out to stop by; 0: none, train to the end. Of fewer than 2,000 "
            "rows up to four folds are held out in turn, whatever the share.",
            ge=0,
            lt=1,
        ),
    ] = 0.1
    patience: Annotated[
        Annotated[int, Field(ge=1)] | None,
        meaning(
            "Epochs without a better held-out loss before stopping; None: never stop early, as for "
            "denoising unless it is given."
        ),
    ] = 15


@dataclasses.dataclass(kw_only=True, eq=False, repr=False)
class Parameters(Training, Architecture, Common):
    """What every autoencoder takes."""


@dataclasses.dataclass(kw_only=True, eq=False, repr=False)
class BoltzmannParameters(Common):
    """What every restricted Boltzmann machine takes."""

    n_components: Annotated[int, meaning("Hidden units K.", ge=1)] = dataclasses.field(
        default=256, kw_only=False
    )
    learning_rate: Annotated[
        float, meaning("Size of a step before momentum.", gt=0, allow_inf_nan=False)
    ] = 0.05
    n_iter: Annotated[
        Count | Literal["auto"],
        meaning("Passes over the rows; 'auto' is 100, and fewer on large data."),
    ] = "auto"
    n_steps: Annotated[int, meaning("Gibbs steps between two updates: the k of CD-k.", ge=1)] = 1
    persistent: Annotated[
        bool, meaning("Whether chains go on from update to update (PCD), or begin at the rows.")
    ] = True
    n_chains: Annotated[int, meaning("Chains, where they are persistent.", ge=1)] = 100
    centred: Annotated[
        bool, meaning("Whether units count from their means; learns better and more evenly.")
    ] = True
    offset_rate: Annotated[
        float, meaning("Share of a batch's means in the sliding means.", ge=0, le=1)
    ] = 0.01
    momentum: Annotated[Share, meaning("Share of the last step in the next, at first.")] = 0.5
    final_momentum: Annotated[Share, meaning("The same after `momentum_epochs` epochs.")] = 0.9
    momentum_epochs: Annotated[int, meaning("Epochs before the final momentum.", ge=0)] = 5
    weight_decay: Annotated[
        float, meaning("Pull of the weights to 0, per unit of learning rate.", ge=0)
    ] = 0.0
    schedule: Annotated[
        PartLike, meaning("How the rate moves over the fit: 'constant', 'linear', 'cosine'.")
    ] = "linear"


E = TypeVar("E")


@dataclass_transform(kw_only_default=True, field_specifiers=(dataclasses.field,))
def estimator(cls: type[E]) -> type[E]:
    """Make a class of declared parameters an estimator: signature and docstring follow."""
    built = dataclasses.dataclass(kw_only=True, eq=False, repr=False)(cls)
    # Help texts show these: names and types, without the ranges.
    init: Any = built.__init__
    init.__annotations__ = {**get_type_hints(init), "return": None}
    built.__init__ = _guessing(init)  # type: ignore[method-assign]
    built.__doc__ = (built.__doc__ or "").replace("{parameters}", _numpydoc(built))
    return built


def _guessing(init: Callable[..., None]) -> Callable[..., None]:
    """Return a constructor of the same signature that guesses which parameter was meant."""
    names = [*inspect.signature(init).parameters][1:]

    @functools.wraps(init)
    def checked(self: Any, *args: Any, **given: Any) -> None:
        for name in given:
            if name not in names:
                raise UnknownParameterError(
                    f"{type(self).__name__} has no parameter {name!r}{did_you_mean(name, names)} "
                    f"(it has {', '.join(names)})."
                )
        init(self, *args, **given)

    return checked


@cache
def declared(cls: Any) -> Mapping[str, tuple[dataclasses.Field[Any], Any]]:
    """Return each parameter's field and annotation: the positional, its own, how it runs."""
    hints = get_type_hints(cls, include_extras=True)
    running = {field.name for field in dataclasses.fields(Running)}
    fields = sorted(dataclasses.fields(cls), key=lambda f: (bool(f.kw_only), f.name in running))
    return {field.name: (field, hints[field.name]) for field in fields}


def changed(estimator: Any) -> dict[str, Any]:
    """Return the parameters of an estimator that are not at their defaults.

    Of a fitted one as they were then; the progress bar's is left out.
    """
    given = getattr(estimator, "parameters_", None) or estimator.get_params(deep=False)
    kind: Any = type(estimator)
    return {
        name: given[name]
        for name, (field, _) in declared(kind).items()
        if name != "verbose" and not _same(given[name], field.default)
    }


def _same(value: Any, default: Any) -> bool:
    try:
        return bool(value == default)
    except ValueError:  # an array among the values
        return False


def sentence_of(annotation: Any) -> str:
    """Return the meaning that an annotation states."""
    stated = (getattr(extra, "description", None) for extra in annotation.__metadata__)
    return next(filter(None, stated), "")


def _numpydoc(cls: Any) -> str:
    lines = []
    for name, (field, annotation) in declared(cls).items():
        lines += [
            f"{name} : {_type(annotation)}, default={field.default!r}",
            f"    {sentence_of(annotation)}",
        ]
    return "\n    ".join(lines)


def _type(annotation: Any) -> str:
    """Return a type as numpydoc writes it, such as ``int or 'auto'``."""
    kind, kinds = get_origin(annotation), get_args(annotation)
    if kind is Annotated:
        words = [extra for extra in kinds[1:] if isinstance(extra, str)]
        return words[0] if words else _type(kinds[0])
    if kind is Literal:
        return f"{{{', '.join(map(repr, kinds))}}}" if len(kinds) > 1 else repr(kinds[0])
    if kind is tuple:
        return f"tuple of {_type(kinds[0])}"
    if kinds:
        return " or ".join(map(_type, kinds))
    return "None" if annotation is NoneType else annotation.__name__


def check(instance: Any) -> None:
    """Check every parameter against its declaration.

    Raises
    ------
    ParameterError
        One sentence: which parameter, what it must be, what it got.
    """
    kind: Any = type(instance)
    for name, adapter in _adapters(kind).items():
        value = getattr(instance, name)
        try:
            adapter.validate_python(_plain(value), strict=True)
        except ValidationError as error:
            problem = _either(error)
            near = guess(str(value), re.findall(r"'(\w+)'", problem))
            raise ParameterError(
                f"{name}={value!r} of {kind.__name__}: {name} {problem}{near}."
            ) from None


def _plain(value: Any) -> Any:
    """Return a NumPy scalar as Python's, a list as a tuple: what grid searches hand over."""
    if hasattr(value, "item") and not getattr(value, "shape", ()):
        return value.item()
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value


@cache
def _adapters(cls: Any) -> dict[str, TypeAdapter[Any]]:
    return {name: TypeAdapter(annotation) for name, (_, annotation) in declared(cls).items()}


def _either(error: ValidationError) -> str:
    """Join what each alternative of a union asks for: "should be ... or should be 'auto'"."""
    wishes = [plain_words(problem["msg"]) for problem in error.errors()]
    return " or ".join(dict.fromkeys(wishes))
