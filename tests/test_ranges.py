"""A range is the type of an argument: what it accepts, how people read it, who enforces it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Le

from lora_lightning.errors import InputError
from lora_lightning.ranges import (
    LARGEST_COUNT,
    Bytes,
    Count,
    CountOrZero,
    NotNegative,
    Positive,
    PositiveShare,
    Probability,
    Seed,
    Text,
    Texts,
    accepts,
    check,
    ranged,
    words,
)


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        (Count, "a whole number >= 1"),
        (CountOrZero | None, "a whole number >= 0, or null"),
        (Seed, "a whole number >= 0 and <= 4294967295"),
        (Positive, "a number > 0"),
        (Probability, "a number >= 0 and < 1"),
        (PositiveShare, "a number > 0 and <= 1"),
        (bool, "true | false"),
        (Text | Path | None, "a text, or null"),
        (Literal["last", "best"], "last | best"),
        (Literal["auto"] | Count, "auto or a whole number >= 1"),
        (Texts, "a list, each item a text"),
        (Sequence[Literal["a", "b"]], "a list, each item a | b"),
    ],
)
def test_a_type_is_worded_for_people(annotation, said):
    assert words(annotation) == said


@pytest.mark.parametrize("value", [True, 1.0, 1.5, "1", None, [1], float("nan"), 0, 10**20])
def test_a_count_is_a_whole_number_from_1(value):
    assert not accepts(Count, value)


@pytest.mark.parametrize("value", [1, 2, LARGEST_COUNT])
def test_a_count_may_be_large(value):
    assert accepts(Count, value)
    assert accepts(Bytes, value * 1000)


@pytest.mark.parametrize("annotation", [Positive, NotNegative, Probability, float])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), True, "0.5"])
def test_a_number_is_finite_and_no_text(annotation, value):
    assert not accepts(annotation, value)


def test_a_number_that_float32_cannot_hold_is_refused():
    assert accepts(Positive, 1e38)
    assert not accepts(Positive, 1e39)


def test_a_list_may_be_a_tuple_and_a_text_is_no_list():
    assert accepts(Texts, ["q"])
    assert accepts(Texts, ("q",))
    assert accepts(tuple[float, float], [0.9, 0.99])
    assert not accepts(Texts, "qv")
    assert not accepts(Texts, [])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "group.key=0: allowed is a whole number >= 1"),
        ("four", "group.key=four: allowed is a whole number >= 1"),
        ("4", "group.key='4': allowed is a whole number >= 1"),
        (10**10, f"group.key={10**10}: allowed is a whole number >= 1 and <= {LARGEST_COUNT}"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(value, message):
    with pytest.raises(InputError) as error:
        check("group.key", value, Count)
    assert str(error.value) == message


def test_an_empty_list_is_told_how_long_it_must_be():
    with pytest.raises(InputError, match="a list of at least 1, each item a text"):
        check("group.key", [], Texts)


@ranged("group")
class Parent:
    def __init__(self, size: Annotated[int, Ge(2), Le(3)] = 2) -> None:
        self.size = size


class Child(Parent):
    def __init__(self, name: Text, **shared: int) -> None:
        super().__init__(**shared)
        self.name = name


def test_a_constructor_checks_its_arguments_also_for_its_children():
    assert Child("x", size=3).size == 3
    with pytest.raises(InputError, match=r"group\.size=4: allowed is a whole number >= 2 and <= 3"):
        Child("x", size=4)


def test_a_function_checks_its_arguments_given_by_place_or_by_name():
    @ranged("group")
    def scaled(by: Positive, of: float = 1.0) -> float:
        return by * of

    assert scaled(2, of=3) == 6
    for wrong in (lambda: scaled(-1), lambda: scaled(by=-1), lambda: scaled(1, "x")):
        with pytest.raises(InputError, match=r"group\.(by|of)="):
            wrong()
