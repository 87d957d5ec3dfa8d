"""What every part is: an immutable, validated value that a string can name.

A slot is an abstract subclass of `Part` (`Corruption`, `Code`, ...); a part is a final
class in a slot, declared with ``@part("name")``. Its fields state default, range and
meaning once; validation, strings, saved models and help texts follow from them.
"""

import ast
import dataclasses
import functools
import inspect
import operator
import re
from abc import ABC
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self, TypeVar, dataclass_transform, get_origin, get_type_hints

import pydantic
from pydantic import ConfigDict, Field, ValidationError

from isthmus.errors import ParameterError, did_you_mean, guess, plain_words


class Part(ABC):
    """An immutable value that fills a slot of the model."""

    slot: ClassVar[str] = "part"  # how errors call the slot
    name: ClassVar[str]  # how strings call the part
    kinds: ClassVar[dict[str, type[Any]]]  # the slot's parts by name
    common: ClassVar[dict[str, Any]] = {}  # types of the fields that all parts of the slot have

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if Part in cls.__bases__:
            cls.kinds = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        cls = type(self).__name__
        raise ParameterError(f"class {cls} is no part yet: write @part({cls.lower()!r}) above it.")

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        """Return itself, as of any value that cannot change."""
        return self

    @classmethod
    def of(cls, value: "str | Part") -> Self:
        """Return `value` if it is a part of this slot, or the part that the string names.

        Raises
        ------
        ParameterError
            If the name is unknown (with a guess), a field is unknown or out of range.
        """
        if isinstance(value, cls):
            return value
        kind, fields = cls._read(value)
        return kind(**fields)

    @classmethod
    def _read(cls, value: "str | Part") -> tuple[type[Self], dict[str, Any]]:
        """Return the part that a string names, and the fields that it gives."""
        if not isinstance(value, str):
            known, article = ", ".join(cls.kinds), "an" if cls.__name__[0] in "AEIOU" else "a"
            namesake = cls.kinds.get(value.name) if isinstance(value, Part) else None
            meant = f"; did you mean the {_called(namesake)}?" if namesake else "."
            raise ParameterError(
                f"{cls.slot} takes {article} {cls.__name__} or a string such as those of {known}; "
                f"got {value!r}{meant}"
            )
        name, args, fields = parse(value, cls.slot)
        if name not in cls.kinds:
            raise ParameterError(
                f"{cls.slot}={value!r} is unknown{did_you_mean(name, cls.kinds)} "
                f"(known: {', '.join(cls.kinds)})."
            )
        kind = cls.kinds[name]
        names = [field.name for field in dataclasses.fields(kind)]
        if len(args) > len(names):
            raise ParameterError(
                f"{cls.slot}={value!r} has more values than {name} has fields "
                f"({', '.join(names) or 'none'})."
            )
        twice = set(names[: len(args)]) & set(fields)
        if twice:
            raise ParameterError(f"{cls.slot}={value!r} gives {min(twice)} twice.")
        return kind, {**dict(zip(names, args, strict=False)), **fields}

    @classmethod
    def named_in(cls, value: "str | Part") -> set[str]:
        """Return the fields that a string gives, or that a part has other than by default."""
        return {*(value._changed if isinstance(value, cls) else cls._read(value)[1])}

    @classmethod
    def all_of(cls, values: "str | Part | Sequence[str | Part]") -> tuple[Self, ...]:
        """Return the parts of a parameter that takes one or several."""
        given = values if isinstance(values, tuple | list) else (values,)
        return tuple(cls.of(value) for value in given)

    def but(self, **fields: Any) -> Self:
        """Return the same part with other values of these fields."""
        return dataclasses.replace(self, **fields)  # type: ignore[type-var]

    @property
    def _changed(self) -> list[str]:
        """Return the fields that are not default."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        return [field.name for field in fields if getattr(self, field.name) != field.default]

    def __str__(self) -> str:
        """Return the string that `of` turns back into this part: only what is not default."""
        changed = [f"{name}={getattr(self, name)!r}" for name in self._changed]
        return f"{self.name}({', '.join(changed)})" if changed else self.name


P = TypeVar("P", bound=Part)
CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(Field,))
def with_fields(slot: type[P]) -> type[P]:
    """Let each part of a slot have the fields that the slot states, after those of its own."""
    hints = inspect.get_annotations(slot)
    slot.common = {name: hint for name, hint in hints.items() if not _is_fact(hint)}
    return slot


def _is_fact(hint: Any) -> bool:
    """Whether what is so annotated is stated of a class, and no field of its values."""
    return get_origin(hint) is ClassVar


@dataclass_transform(frozen_default=True, field_specifiers=(Field,))
def part(name: str) -> Callable[[type[P]], type[P]]:
    """Declare a final part: a frozen, validated dataclass that its slot knows as `name`.

    Raises
    ------
    ParameterError
        If the class does not state what its slot has no default for.
    """

    def declare(cls: type[P]) -> type[P]:
        own = inspect.get_annotations(cls)
        cls.__annotations__ = own | cls.common | own  # in this order, and its own where both are
        value = pydantic.dataclasses.dataclass(frozen=True, config=CONFIG)(cls)
        value.name = name  # type: ignore[attr-defined]
        value.__init__ = _one_sentence(value.__init__)  # type: ignore[method-assign]
        value.__signature__ = _plain_signature(value)  # type: ignore[attr-defined]
        _check_stated(value)
        cls.kinds[name] = value
        return value  # type: ignore[return-value]

    return declare


def _check_stated(cls: type[Any]) -> None:
    for slot in cls.__mro__:
        for fact, hint in inspect.get_annotations(slot).items():
            if _is_fact(hint) and not hasattr(cls, fact):
                raise ParameterError(
                    f"{cls.slot} {cls.name!r} does not state {fact}: write it into the class "
                    f"{cls.__name__}; help({slot.__name__}) says what it means."
                )


def _plain_signature(cls: type[Any]) -> inspect.Signature:
    """Return the names, types and defaults of the fields, without their ranges."""
    signature, types = inspect.signature(cls), get_type_hints(cls)
    fields = signature.parameters.values()
    return signature.replace(
        parameters=[field.replace(annotation=types[field.name]) for field in fields]
    )


def _one_sentence(init: Callable[..., None]) -> Callable[..., None]:
    """Turn pydantic's report into one `ParameterError` of one sentence."""

    @functools.wraps(init)
    def checked(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            init(self, *args, **kwargs)
        except ValidationError as error:
            raise ParameterError(_sentence(type(self), error)) from None

    return checked


def _sentence(cls: type[Part], error: ValidationError) -> str:
    first = error.errors()[0]
    names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    allowed = ", ".join(names) or "none"
    place = first["loc"][0] if first["loc"] else ""
    if first["type"] == "unexpected_positional_argument":
        return f"{cls.slot} {cls.name!r} has more values than fields (its fields: {allowed})."
    if first["type"] == "unexpected_keyword_argument":
        near = did_you_mean(str(place), names)
        said = f"{cls.slot} {cls.name!r} has no field {place!r}{near} (its fields: {allowed})"
        return f"{said}{_namesake(cls, str(place))}."
    field = names[place] if isinstance(place, int) else place
    problem = plain_words(first["msg"])
    choices = re.findall(r"'(\w+)'", problem) if first["type"] == "literal_error" else []
    got = f"{first['input']!r}{guess(str(first['input']), choices)}"
    return f"{field} of {cls.slot} {cls.name!r} {problem}; got {got}."


def _namesake(cls: type[Part], field: str) -> str:
    """Return ``"; the corruption 'gaussian', isthmus.parts.GaussianNoise, has one"``, or nothing.

    That is a part of another slot by the same name, which has the field.
    """
    for slot in Part.__subclasses__():
        kind = slot.kinds.get(cls.name, cls)
        if kind is not cls and field in kind.__dataclass_fields__:
            return f"; the {_called(kind)}, has one"
    return ""


def _called(kind: type[Part]) -> str:
    return f"{kind.slot} {kind.name!r}, {place_of(kind)}.{kind.__name__}"


def place_of(kind: type[Part]) -> str:
    """Return the module that the class of a part is imported from."""
    package = __name__.rpartition(".")[0]  # what its files hold can be had from it
    return package if kind.__module__.startswith(f"{package}.") else kind.__module__


def parse(text: str, slot: str) -> tuple[str, list[Any], dict[str, Any]]:
    """Read ``"name"``, ``"name(0.5)"`` or ``"name(field=25/255)"``; nothing is executed.

    Returns
    -------
    name, positional values, values by field
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        if isinstance(tree, ast.Name):
            return tree.id, [], {}
        if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name):
            return tree.func.id, [_literal(arg) for arg in tree.args], _fields(tree, text, slot)
    except ParameterError:
        raise
    except (SyntaxError, ValueError, ArithmeticError, RecursionError, MemoryError):
        pass
    raise ParameterError(
        f"{slot}={text!r} cannot be read: write a name, or a name with fields in brackets, "
        f"such as 'name(field=0.5)'."
    )


def _fields(call: ast.Call, text: str, slot: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for keyword in call.keywords:
        if keyword.arg is None:  # **mapping
            raise ValueError
        if keyword.arg in fields:
            raise ParameterError(f"{slot}={text!r} gives {keyword.arg} twice.")
        fields[keyword.arg] = _literal(keyword.value)
    return fields


_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Div: operator.truediv,
    ast.Mult: operator.mul,
}


def _literal(node: ast.expr) -> Any:
    """Evaluate a constant, a bare word, a fraction such as 25/255, or a tuple of these.

    A part within a part is its string.
    """
    if isinstance(node, ast.Name):
        return {"true": True, "false": False, "none": None}.get(node.id.lower(), node.id)
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        left, right = _literal(node.left), _literal(node.right)
        if isinstance(left, int | float) and isinstance(right, int | float):
            return _ARITHMETIC[type(node.op)](left, right)
    if isinstance(node, ast.Tuple | ast.List):
        return tuple(_literal(item) for item in node.elts)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return ast.unparse(node)
    return ast.literal_eval(node)
