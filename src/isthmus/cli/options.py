"""Options from the estimators' declarations: name, default, range and sentence are stated there."""

import re
import shlex
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import click
from click.core import ParameterSource
from pydantic import Field, TypeAdapter, ValidationError

from isthmus import estimators
from isthmus.cli.own_options import OWN, Command
from isthmus.errors import plain_words
from isthmus.estimators.parameters import Parameters, declared, sentence_of

# What --estimator calls each of the public autoencoders: "denoising" is DenoisingAutoencoder, and
# "outlier" the OutlierDetector.
_SUFFIX = re.compile("(Autoencoder|Detector)$")
ESTIMATORS = {
    _SUFFIX.sub("", name).lower() or "autoencoder": name
    for name in estimators.ESTIMATORS
    if _SUFFIX.search(name)
}
Seed = Annotated[int, Field(ge=0)] | None

_WORDS = {"integer": "INTEGER", "number": "FLOAT", "string": "TEXT", "null": "none"}
_SIGNS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


def parameters(command: Command) -> Command:
    """Give a command every parameter that the estimators share as an option."""
    for name, (field, annotation) in reversed(list(declared(Parameters).items())):
        # The bar shows on terminals only, where it is wanted.
        default = 1 if name == "verbose" else field.default
        command = _option(name, default, annotation)(command)
    return command


def chosen(options: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the parameters that were not typed: the estimator's own defaults serve."""
    source = click.get_current_context().get_parameter_source
    return {
        name: value
        for name, value in options.items()
        if source(name) is not ParameterSource.DEFAULT
        or name not in declared(Parameters)
        or name == "verbose"
    }


def _option(name: str, default: Any, annotation: Any) -> Callable[[Command], Command]:
    # What the annotation leaves open, so as to take generators, is an int in a shell.
    allowed: TypeAdapter[Any] = TypeAdapter(Seed if name == "random_state" else annotation)
    schema = allowed.json_schema()
    text = None if default is None else str(default)
    notes = [f"default: {text}"] * (text is not None) + [limits(schema)] * bool(limits(schema))
    return click.option(
        _flag(name),
        *(["-k"] if name == "n_components" else []),
        name,
        type=reader(allowed),
        default=text,
        metavar=spelled(schema),
        help=sentence_of(annotation) + (f"  [{'; '.join(notes)}]" if notes else ""),
    )


def reader(allowed: TypeAdapter[Any]) -> Callable[[str], Any]:
    """Return what turns the text of an option into a value that is allowed."""
    alternatives = allowed.json_schema().get("anyOf", [])
    may_be_none = {"type": "null"} in alternatives
    is_list = any("items" in each for each in alternatives)

    def value(text: str) -> Any:
        if may_be_none and text.lower() == "none":
            return None
        items = tuple(item.strip() for item in text.strip("()[] ").split(",") if item.strip())
        try:
            return allowed.validate_python(items if is_list else text)
        except ValidationError as error:
            raise click.BadParameter(f"{text!r} {_wish(error)}") from None

    return value


def _wish(error: ValidationError) -> str:
    """Join what each alternative asks for: "should be a valid number or should be 'auto'"."""
    wishes = [plain_words(each["msg"]) for each in error.errors()]
    return " or ".join(dict.fromkeys(wishes))


def spelled(schema: Mapping[str, Any]) -> str:
    """Return how the help calls the values of a JSON schema: ``INTEGER|auto``."""
    if "anyOf" in schema:
        return "|".join(spelled(each) for each in schema["anyOf"] if each["type"] != "boolean")
    if "enum" in schema:
        return "|".join(schema["enum"])
    if "items" in schema:
        return spelled(schema["items"]) + ",..."
    return str(schema.get("const") or _WORDS.get(schema.get("type", ""), "PART"))


def at_the_shell(text: str, command: click.Command | None = None) -> str:
    """Return advice in which parameters are called as they are typed: ``--scaling standard``.

    Parameters
    ----------
    command : whose options are meant before those of ``isthmus fit``; by default the running one.
    """
    ctx = click.get_current_context(silent=True)
    flags = _flags(command or (ctx.command if ctx else None))
    names = "|".join(flags)

    def typed(found: re.Match[str]) -> str:
        return f"{flags[found[1]]} {_typed(found[2])}"

    def kind(found: re.Match[str]) -> str:
        options = re.sub(rf"({names})=({_VALUE})", typed, found[2] or "").replace(",", "")
        return f"fit with --estimator {_KINDS[found[1]]} {options}".rstrip()

    text = re.sub(rf"fit an? ({'|'.join(_KINDS)})\b(?:\(([^()]*)\))?", kind, text)
    text = text.replace("target='blind'", "--blind").replace("conditional=True", "--labels")
    text = text.replace(
        "sample_shape=(channels, height, width)", "--sample-shape channels,height,width"
    )
    text = re.sub(rf"(?<![\w(-])({names})=({_VALUE})", typed, text)
    bare = "|".join(name for name in flags if "_" in name)
    return re.sub(rf"(?<![\w'-])({bare})\b(?!=)", lambda found: flags[found[1]], text)


# Values as messages show them: words, numbers, strings, and tuples or lists of numbers.
_VALUE = r"'[^']*'|\"[^\"]*\"|[(\[][\d, ]*[)\]]|-?\w[\w.+-]*\b"
_KINDS = {name: kind for kind, name in ESTIMATORS.items()}


def _typed(value: str) -> str:
    """Return a value as it is typed: a string without its quotes, a list as ``8,8``."""
    if value[0] in "([":
        return value.strip("()[], ").replace(" ", "") or "'()'"
    return shlex.quote(value.strip(value[0]) if value[0] in "'\"" else value)


def _flags(command: click.Command | None) -> dict[str, str]:
    """Return how parameters are typed: as a command calls them, else as ``isthmus fit`` does."""
    own = {"corruption": "--noise", "penalties": "--penalty"}
    own |= {name: _flag(name) for name in ("code", "pretraining", "method", "part")}
    own |= {name: _flag(name) for name in OWN if "_" in name}
    options = [each for each in command.params if isinstance(each, click.Option)] if command else []
    typed = {str(each.name): each.opts[0] for each in options}
    renamed = {name: flag for name, flag in typed.items() if flag != _flag(name)}
    return {name: _flag(name) for name in declared(Parameters)} | own | renamed


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def limits(schema: Mapping[str, Any]) -> str:
    """Return the range that a JSON schema states: ``x>=0, x<1``."""
    own = [f"x{sign}{schema[key]}" for key, sign in _SIGNS.items() if key in schema]
    return ", ".join(own) or "".join(limits(each) for each in schema.get("anyOf", ()))
