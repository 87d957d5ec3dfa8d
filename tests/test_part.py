import copy
import dataclasses
import inspect
import pickle
import re
import types
import typing
from typing import Annotated, Literal

import annotated_types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, Field
from pydantic.fields import FieldInfo
from sklearn.base import clone

# A slot is known once its file is imported.
import isthmus.fitting.optimizers
import isthmus.fitting.schedules
from isthmus import Autoencoder
from isthmus.errors import ParameterError
from isthmus.fitting.start import Pretraining
from isthmus.parts import (
    Around,
    Code,
    Corruption,
    Custom,
    Dense,
    Drawn,
    Gaussian,
    GaussianNoise,
    Halves,
    Likelihood,
    Masking,
    Network,
    Part,
    Pass,
    Penalty,
    Plain,
    Seen,
    Sizes,
    Spectrum,
    Stage,
    Units,
    part,
)

SLOTS = [slot for slot in Part.__subclasses__() if slot.__module__.startswith("isthmus.")]
# A custom network holds modules, which no string makes.
KINDS = [kind for slot in SLOTS for kind in slot.kinds.values() if kind is not Custom]


class Spice(Part):
    """A slot of the tests' own, so that the texts do not change with the library's parts."""

    slot = "spice"


@part("pepper")
class Pepper(Spice):
    fraction: Annotated[float, Field(ge=0, le=1)] = 0.25
    kind: Literal["black", "white"] = "black"
    grains: tuple[Annotated[int, Field(ge=1)], ...] = (3,)
    ground: bool = False
    mill: str | None = "steel"


@part("salt")
class Salt(Spice):
    pass


def whole(text):
    return f"^{re.escape(text)}$"


def limits_of(extras):
    """Flatten what Annotated holds to annotated_types' limits."""
    for extra in extras:
        yield from extra.metadata if isinstance(extra, FieldInfo) else [extra]


def values_of(annotation, extras=()):
    """Return a strategy for all finite values that an annotation allows."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return values_of(args[0], [*limits_of(args[1:]), *extras])
    if origin is Literal:
        return st.sampled_from(args)
    if origin in (typing.Union, types.UnionType):
        return st.one_of([values_of(each) for each in args])
    if origin is tuple and args[-1] is ...:
        least = max([each.min_length for each in extras if hasattr(each, "min_length")], default=0)
        return st.lists(values_of(args[0]), min_size=least, max_size=4).map(tuple)
    if origin is tuple:
        checks = [extra.func for extra in extras if isinstance(extra, AfterValidator)]
        return st.tuples(*map(values_of, args)).filter(lambda value: allowed(value, checks))
    return number_of(annotation, extras)


def allowed(value, checks):
    """Return whether no check of a part's own refuses a value."""
    try:
        return all(check(value) for check in checks)
    except ValueError:
        return False


def number_of(annotation, extras):
    limits = {}
    for extra in extras:
        match extra:
            case annotated_types.Ge(ge):
                limits["min_value"] = ge
            case annotated_types.Gt(gt):
                limits |= {"min_value": gt, "exclude_min": True}
            case annotated_types.Le(le):
                limits["max_value"] = le
            case annotated_types.Lt(lt):
                limits |= {"max_value": lt, "exclude_max": True}
    if annotation is float:
        return st.floats(allow_nan=False, allow_infinity=False, **limits)
    return {
        bool: st.booleans,
        int: lambda: st.integers(**limits),
        str: lambda: st.text("aN0'\"\\\n "),
        type(None): st.none,
    }[annotation]()


def hints_of(kind):
    hints = typing.get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def parts_of(kind):
    return st.builds(kind, **{name: values_of(hint) for name, hint in hints_of(kind).items()})


def bare(annotation):
    """Return the annotation without what Annotated adds."""
    return typing.get_args(annotation)[0] if hasattr(annotation, "__metadata__") else annotation


def fields_of_type(wanted):
    return [
        pytest.param(kind, name, id=f"{kind.slot}-{kind.name}-{name}")
        for kind in KINDS
        for name, hint in hints_of(kind).items()
        if bare(hint) is wanted or typing.get_origin(bare(hint)) is wanted
    ]


few_examples = settings(max_examples=20, deadline=None, database=None)
any_kind = pytest.mark.parametrize("kind", [*KINDS, Pepper], ids=lambda kind: kind.__name__)


# Strings ---------------------------------------------------------------------------------


def test_parts_are_found_in_seven_slots():
    names = {slot.slot for slot in SLOTS}
    assert names >= {
        *("corruption", "code", "likelihood", "penalty", "network"),
        *("optimizer", "schedule"),
    }


@few_examples
@given(st.data())
@any_kind
def test_part_is_what_its_string_reads_back_as(kind, data):
    original = data.draw(parts_of(kind))
    assert kind.of(str(original)) == original


@any_kind
def test_part_of_only_defaults_is_written_as_its_name(kind):
    assert str(kind()) == kind.name
    assert kind.of(kind.name) == kind.of(f"{kind.name}()") == kind()


def test_part_is_written_with_what_is_not_default_only():
    assert str(Pepper(0.5, mill=None)) == "pepper(fraction=0.5, mill=None)"


@any_kind
def test_part_that_is_given_is_returned_itself(kind):
    given_part = kind()
    assert kind.of(given_part) is given_part


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("pepper(fraction=25/255)", {"fraction": 25 / 255}),
        ("pepper(fraction=3/4/2)", {"fraction": 0.375}),
        ("pepper(fraction=0.5*0.25)", {"fraction": 0.125}),
        ("pepper(fraction=1e-3)", {"fraction": 0.001}),
        ("pepper(0.5)", {"fraction": 0.5}),
        ("pepper(1/2, white)", {"fraction": 0.5, "kind": "white"}),
        ("pepper(1/2, kind=white)", {"fraction": 0.5, "kind": "white"}),
        ("pepper(kind='white')", {"kind": "white"}),
        ("pepper(kind=white)", {"kind": "white"}),
        ("pepper(ground=true)", {"ground": True}),
        ("pepper(ground=True)", {"ground": True}),
        ("pepper(ground=false)", {"ground": False}),
        ("pepper(mill=none)", {"mill": None}),
        ("pepper(mill=None)", {"mill": None}),
        ("pepper(mill=NONE)", {"mill": None}),
        ("pepper(grains=(1, 2))", {"grains": (1, 2)}),
        ("pepper(grains=[1, 2])", {"grains": (1, 2)}),
        ("pepper(grains=(4/2,))", {"grains": (2,)}),
        ("pepper(grains=[4/2])", {"grains": (2,)}),
        ("pepper(grains=())", {"grains": ()}),
        ("  pepper ( fraction = 0.5 , )  ", {"fraction": 0.5}),
    ],
)
def test_string_is_read_as_the_part(text, fields):
    assert Spice.of(text) == Pepper(**fields)


def test_string_of_a_negative_number_is_read():
    assert str(isthmus.parts.SaltAndPepper.of("salt_and_pepper(low=-1/2)")) == (
        "salt_and_pepper(low=-0.5)"
    )


@pytest.mark.parametrize(("kind", "field"), fields_of_type(Literal))
def test_choice_may_be_written_without_quotes(kind, field):
    for choice in typing.get_args(bare(hints_of(kind)[field])):
        assert kind.of(f"{kind.name}({field}={choice})") == kind(**{field: choice})


# Refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("peper", "spice='peper' is unknown; did you mean 'pepper'? (known: pepper, salt)."),
        ("Salt(1)", "spice='Salt(1)' is unknown; did you mean 'salt'? (known: pepper, salt)."),
        ("xyz", "spice='xyz' is unknown (known: pepper, salt)."),
        (
            "pepper(fractoin=0.5)",
            "spice 'pepper' has no field 'fractoin'; did you mean 'fraction'? "
            "(its fields: fraction, kind, grains, ground, mill).",
        ),
        (
            "pepper(x=1)",
            "spice 'pepper' has no field 'x' (its fields: fraction, kind, grains, ground, mill).",
        ),
        ("salt(x=1)", "spice 'salt' has no field 'x' (its fields: none)."),
        (
            "pepper(fraction=1.5)",
            "fraction of spice 'pepper' should be less than or equal to 1; got 1.5.",
        ),
        (
            "pepper(-1/2)",
            "fraction of spice 'pepper' should be greater than or equal to 0; got -0.5.",
        ),
        (
            "pepper(fraction=much)",
            "fraction of spice 'pepper' should be a number; got 'much'.",
        ),
        (
            "pepper(fraction=none)",
            "fraction of spice 'pepper' should be a number; got None.",
        ),
        ("pepper(kind=red)", "kind of spice 'pepper' should be 'black' or 'white'; got 'red'."),
        (
            "pepper(grains=(1, 0))",
            "grains of spice 'pepper' should be greater than or equal to 1; got 0.",
        ),
        (
            "pepper(grains=(1.5,))",
            "grains of spice 'pepper' should be an integer, got a number with a fractional "
            "part; got 1.5.",
        ),
        (
            "pepper(1, black, (3,), true, none, 6)",
            "spice='pepper(1, black, (3,), true, none, 6)' has more values than pepper has fields "
            "(fraction, kind, grains, ground, mill).",
        ),
        ("salt(1)", "spice='salt(1)' has more values than salt has fields (none)."),
    ],
)
def test_string_is_refused_with_what_is_wrong(text, message):
    with pytest.raises(ParameterError, match=whole(message)):
        Spice.of(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "3",
        "'pepper'",
        "[pepper]",
        "black pepper",
        "my.pepper()",
        "pepper(",
        "pepper(fraction=)",
        "pepper(fraction=0.5))",
        "pepper(fraction=0.5)(1)",
        "pepper(fraction=1/0)",
        "pepper(fraction=1-0.5)",
        "pepper(fraction=10**-1)",
        "pepper(fraction=__import__('os').getpid())",
        "pepper(fraction=mill.steel)",
        "pepper(fraction='a'*2)",
        "pepper(*[0.5])",
        "pepper(**{'fraction': 0.5})",
        "pepper\0",
        pytest.param(f"pepper(fraction={'9' * 400}/3)", id="quotient too large for a float"),
        pytest.param(f"pepper(fraction={'1*' * 20_000}1)", id="a long product"),
        pytest.param(f"pepper(fraction={'-' * 50_000}1)", id="many signs"),
        pytest.param(f"pepper(fraction={'(' * 500}1{')' * 500})", id="many brackets"),
    ],
)
def test_string_that_is_no_part_is_refused_as_unreadable(text):
    message = (
        f"spice={text!r} cannot be read: write a name, or a name with fields in brackets, "
        f"such as 'name(field=0.5)'."
    )
    with pytest.raises(ParameterError, match=whole(message)):
        Spice.of(text)


@pytest.mark.parametrize(
    "text", ["pepper(0.5, fraction=0.75)", "pepper(fraction=0.5, fraction=0.75)"]
)
def test_string_that_gives_a_field_twice_is_refused(text):
    with pytest.raises(ParameterError, match=whole(f"spice={text!r} gives fraction twice.")):
        Spice.of(text)


@pytest.mark.parametrize("value", [None, 3, ["pepper"], Pepper, GaussianNoise(), Plain()])
def test_value_that_is_no_part_of_the_slot_is_refused(value):
    message = f"spice takes a Spice or a string such as those of pepper, salt; got {value!r}."
    with pytest.raises(ParameterError, match=whole(message)):
        Spice.of(value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Pepper(2),
            "fraction of spice 'pepper' should be less than or equal to 1; got 2.",
        ),
        (
            lambda: Pepper(0.5, "red"),
            "kind of spice 'pepper' should be 'black' or 'white'; got 'red'.",
        ),
        (
            lambda: Pepper(fractoin=0.5),
            "spice 'pepper' has no field 'fractoin'; did you mean 'fraction'? "
            "(its fields: fraction, kind, grains, ground, mill).",
        ),
        (lambda: Salt(1), "spice 'salt' has more values than fields (its fields: none)."),
        (
            lambda: Pepper(1, "black", (3,), True, None, 6),
            "spice 'pepper' has more values than fields "
            "(its fields: fraction, kind, grains, ground, mill).",
        ),
    ],
    ids=["range", "choice", "unknown field", "one value too many", "six values"],
)
def test_constructor_is_refused_in_the_words_of_the_string(make, message):
    with pytest.raises(ParameterError, match=whole(message)):
        make()


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
@pytest.mark.parametrize(("kind", "field"), fields_of_type(float))
def test_number_that_is_not_finite_is_refused(kind, field, value):
    with pytest.raises(ParameterError, match=rf"^{field} of {kind.slot} {kind.name!r} should be "):
        kind(**{field: value})


@pytest.mark.parametrize("text", ["1e999", "inf", "nan", "1e308*1e308"])
def test_number_that_is_not_finite_is_refused_in_a_string(text):
    with pytest.raises(ParameterError, match=r"^std of corruption 'gaussian' should be "):
        GaussianNoise.of(f"gaussian(std={text})")


@pytest.mark.parametrize(
    "make", [lambda: Gaussian(std=0.1), lambda: Code.of("gaussian(std=0.1)")], ids=["class", "text"]
)
def test_field_of_a_part_by_the_same_name_says_which_part_has_it(make):
    message = (
        "code 'gaussian' has no field 'std' (its fields: beta, samples, growth, free_bits, "
        "capacity, warmup, prior_components); the corruption 'gaussian', "
        "isthmus.parts.GaussianNoise, has one."
    )
    with pytest.raises(ParameterError, match=whole(message)):
        make()


def test_part_of_another_slot_is_refused_with_the_one_by_the_same_name():
    known = ", ".join(Corruption.kinds)
    message = (
        f"corruption takes a Corruption or a string such as those of {known}; "
        f"got {Gaussian()!r}; did you mean the corruption 'gaussian', isthmus.parts.GaussianNoise?"
    )
    with pytest.raises(ParameterError, match=whole(message)):
        Corruption.of(Gaussian())


def test_class_that_was_not_declared_a_part_is_refused():
    class Cumin(Spice):
        pass

    message = "class Cumin is no part yet: write @part('cumin') above it."
    for fields in ({}, {"fraction": 0.5}):
        with pytest.raises(ParameterError, match=whole(message)):
            Cumin(**fields)


def test_part_that_does_not_state_what_it_has_to_is_refused():
    message = (
        "likelihood 'vague' does not state location: write it into the class Vague; "
        "help(Likelihood) says what it means."
    )
    with pytest.raises(ParameterError, match=whole(message)):

        @part("vague")
        class Vague(Likelihood):
            pass

    assert "vague" not in Likelihood.kinds


# What an author meets --------------------------------------------------------------------


@pytest.mark.parametrize("slot", [Code, Corruption, Likelihood, Network, Penalty])
def test_help_of_a_slot_tells_what_to_write_and_what_to_state(slot):
    told = inspect.getdoc(slot)
    assert all(f"`{name}`" in told for name in slot.__abstractmethods__)
    stated = inspect.get_annotations(slot).keys() - {"slot"}
    listed = re.findall(r"^(\w[\w, ]*) : ", told, flags=re.MULTILINE)
    assert {name for line in listed for name in line.split(", ")} >= stated
    methods = [each for name, each in vars(slot).items() if name[0] != "_" and callable(each)]
    assert all(inspect.getdoc(method) for method in methods)


@pytest.mark.parametrize(
    "record", [Around, Drawn, Halves, Pass, Seen, Sizes, Spectrum, Stage, Units]
)
def test_help_of_a_record_tells_what_each_field_is(record):
    listed = re.findall(r"^(\w+) : \w.*\n    \S", inspect.getdoc(record), flags=re.MULTILINE)
    assert tuple(listed) == record._fields


# A value ---------------------------------------------------------------------------------


@any_kind
def test_part_does_not_change(kind):
    frozen = kind()
    for name in [*hints_of(kind), "anything"]:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(frozen, name, 1)
        with pytest.raises(dataclasses.FrozenInstanceError):
            delattr(frozen, name)


def test_part_does_not_change_with_the_list_it_was_made_from():
    widths = [8, 4]
    network = Dense(hidden=widths)
    widths.append(2)
    assert network.hidden == (8, 4)


@few_examples
@given(st.data())
@any_kind
def test_part_equals_only_a_part_of_the_same_kind_and_fields(kind, data):
    first, second = data.draw(parts_of(kind)), data.draw(parts_of(kind))
    same = dataclasses.astuple(first) == dataclasses.astuple(second)
    assert (first == second) is same
    if same:
        assert hash(first) == hash(second)


def test_part_differs_from_another_kind_with_the_same_fields():
    kinds = [kind() for kind in KINDS]
    assert len(set(kinds)) == len(kinds)


@few_examples
@given(st.data())
@any_kind
def test_part_survives_pickle_deepcopy_and_clone(kind, data):
    original = data.draw(parts_of(kind))
    # scikit-learn clones the parameters of an estimator with safe=False.
    copies = [
        pickle.loads(pickle.dumps(original)),
        copy.deepcopy(original),
        copy.copy(original),
        clone(original, safe=False),
    ]
    for copied in copies:
        assert type(copied) is kind
        assert copied == original


def test_part_as_a_parameter_survives_clone():
    model = Autoencoder(corruption=Masking(0.5), network=Dense(hidden=(8,)))
    copied = clone(model)
    assert (copied.corruption, copied.network) == (Masking(0.5), Dense(hidden=(8,)))


def test_part_is_changed_by_replacing_it_and_checked_again():
    assert dataclasses.replace(Pepper(kind="white"), fraction=0.5) == Pepper(0.5, "white")
    message = "fraction of spice 'pepper' should be less than or equal to 1; got 5."
    with pytest.raises(ParameterError, match=whole(message)):
        dataclasses.replace(Pepper(), fraction=5)


def test_slots_keep_their_names_apart():
    assert Spice.kinds == {"pepper": Pepper, "salt": Salt}
    for slot in SLOTS:
        assert {kind.name for kind in slot.kinds.values()} == set(slot.kinds)
        assert all(issubclass(kind, slot) for kind in slot.kinds.values())


@pytest.mark.parametrize("kind", KINDS)
def test_help_shows_plain_signatures(kind):
    assert not re.search("Annotated|FieldInfo|Validator", str(inspect.signature(kind)))


def test_part_within_a_part_is_its_string():
    stages = Pretraining.of("autoencoder(corruption=masking(fraction=0.2), n_epochs=2)")
    assert stages == Pretraining.of("autoencoder(corruption='masking(fraction=0.2)', n_epochs=2)")
