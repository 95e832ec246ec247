"""Ranges: what an argument may be, said once, in the type of the argument.

A range is a plain type, or an `Annotated` one with the bounds of annotated-types:

    def __init__(self, rank: Count, dropout: Probability, bias: Literal["none", "all"] = "none")

A constructor under `@ranged("method")` checks its arguments by it; the check before a run and
docs/config.md read the same annotations.
"""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache, wraps
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen, Predicate

from lora_lightning.errors import InputError

LARGEST_COUNT = 2**31 - 1  # counts go into torch's and Lightning's int32 and int64 alike
LARGEST_SIZE = 2**63 - 1
LARGEST_NUMBER = 3.4e38  # float32 ends here
SMALLEST_NUMBER = 1.2e-38  # and here: below it is no number of full precision
LARGEST_RATE = 1000  # no optimizer learns at a higher one, and weights soon are infinite


def _is_said(text: str) -> bool:
    """Whether a text has more than blanks, and nothing that no file's name may have."""
    return bool(text.strip()) and "\0" not in text


Count = Annotated[int, Ge(1), Le(LARGEST_COUNT)]
CountOrZero = Annotated[int, Ge(0), Le(LARGEST_COUNT)]
Tokens = Annotated[int, Ge(2), Le(LARGEST_COUNT)]  # one of a context, one of its completion
Bytes = Annotated[int, Ge(1), Le(LARGEST_SIZE)]
Seed = Annotated[int, Ge(0), Le(2**32 - 1)]  # numpy's random numbers take no larger one
Positive = Annotated[float, Gt(0), Ge(SMALLEST_NUMBER), Le(LARGEST_NUMBER)]
NotNegative = Annotated[float, Ge(0), Le(LARGEST_NUMBER)]
Rate = Annotated[float, Ge(0), Le(LARGEST_RATE)]  # of learning, and of weight decay
Scale = Annotated[float, Gt(0), Ge(SMALLEST_NUMBER), Le(LARGEST_COUNT)]
Probability = Annotated[float, Ge(0), Lt(1)]
Share = Annotated[float, Ge(0), Le(1)]
PositiveShare = Annotated[float, Gt(0), Ge(SMALLEST_NUMBER), Le(1)]
Text = Annotated[str, MinLen(1), Predicate(_is_said)]
Texts = Annotated[Sequence[Text], MinLen(1)]
TokenIds = Annotated[Sequence[CountOrZero], MinLen(1)]
DeviceNumbers = Annotated[Sequence[CountOrZero], MinLen(1)]

GIVEN = "given by the command"
"""Marks, in an `Annotated`, an argument that the commands give, and that is no key of a config."""
DESCRIBED = "described by the config"
"""Marks an argument whose object a config describes: its class by `_target_`, and its arguments."""

C = TypeVar("C", bound=Callable[..., Any])
_PLAIN = {int: "a whole number", float: "a number", str: "a text", bool: "true | false"}
_SIGNS = {Ge: ">=", Gt: ">", Le: "<=", Lt: "<"}
_TECHNICAL = (LARGEST_COUNT, LARGEST_SIZE, LARGEST_NUMBER, SMALLEST_NUMBER)


def ranged(group: str) -> Callable[[C], C]:
    """Let a class's constructor, or a function, check its arguments by their annotations.

    Args:
        group: config group whose keys the arguments are.

    Raises:
        InputError: in the constructor, as `check`.
    """

    def decorate(target: C) -> C:
        function = target.__init__ if inspect.isclass(target) else target
        signature = inspect.signature(function)
        annotations = annotations_of(function)

        @wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            for name, value in signature.bind_partial(*args, **kwargs).arguments.items():
                if is_range(annotations.get(name)):
                    check(f"{group}.{name}", value, annotations[name])
            return function(*args, **kwargs)

        if not inspect.isclass(target):
            return checked  # type: ignore[return-value]
        target.__init__ = checked  # type: ignore[method-assign]
        return target

    return decorate


def check(key: str, value: Any, annotation: Any, owner: str = "") -> None:
    """Check a value.

    Args:
        key: dotted, for the message.
        value: to check.
        annotation: what it may be.
        owner: the class from elsewhere that says so.

    Raises:
        InputError: the value is not of the range; the message names key, value and range.
    """
    if not accepts(annotation, value):
        allowed = words(annotation, whole=_is_extreme(value))
        shown = value if isinstance(value, str) and value.isidentifier() else repr(value)
        raise InputError(f"{key}={shown}: allowed is {allowed}{f' (by {owner})' if owner else ''}")


def _is_extreme(value: Any) -> bool:
    """Whether a value may be refused for a bound that goes without saying."""
    if isinstance(value, int | float):
        return not (value == 0 or SMALLEST_NUMBER <= abs(value) <= LARGEST_COUNT)
    return isinstance(value, list | tuple) or (isinstance(value, str) and not _is_said(value))


def accepts(annotation: Any, value: Any) -> bool:
    """Whether a value is of a type: nothing is converted, but that a list may be a tuple.

    Numbers of a range are finite. What cannot be judged, such as a type of pydantic's own that
    takes no settings, accepts everything.
    """
    from pydantic import ValidationError

    adapter = _adapter(annotation)
    if adapter is None:
        return True
    try:
        adapter.validate_python(value)
    except ValidationError:
        return _accepts_json(adapter, value)
    except TypeError:  # a class that isinstance refuses
        return True
    return True


def _accepts_json(adapter: Any, value: Any) -> bool:
    """Whether the YAML of a value is of a type: a list is a tuple there, a text a path."""
    from pydantic import ValidationError

    try:
        adapter.validate_json(json.dumps(value))
    except (ValidationError, TypeError, ValueError):
        return False
    return True


@cache
def _adapter(annotation: Any) -> Any:
    """Return pydantic's check of a type, None where it can make none."""
    from pydantic import ConfigDict, TypeAdapter
    from pydantic.errors import PydanticUserError

    settings = ConfigDict(
        strict=True, arbitrary_types_allowed=True, allow_inf_nan=not is_range(annotation)
    )
    try:
        return TypeAdapter(annotation, config=settings)
    except (PydanticUserError, TypeError, NameError):
        return None


def words(annotation: Any, whole: bool = False) -> str:
    """Return what a type allows, for people: `a whole number >= 1, or null`.

    Args:
        annotation: the type.
        whole: name also bounds that are only the machine's, and lengths of lists.
    """
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _bounded(parts[0], parts[1:], whole)
    if origin in (Union, UnionType):
        some = list(dict.fromkeys(words(part, whole) for part in parts if part not in _UNSAID))
        return " or ".join(some) + (", or null" if NoneType in parts else "")
    if origin is Literal:
        return " | ".join(str(part).lower() if part is True or part is False else str(part)
                          for part in parts)  # fmt: skip
    if _is_list(annotation):
        return _list(annotation, (), whole)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "a mapping"
    return _PLAIN.get(annotation) or f"a {getattr(annotation, '__name__', annotation)}"


_UNSAID = (NoneType, Path)  # a path is a text in a config


def _bounded(base: Any, bounds: Sequence[Any], whole: bool) -> str:
    if _is_list(base):
        return _list(base, bounds, whole)
    said = []
    for bound in bounds:
        if type(bound) in _SIGNS:
            value = getattr(bound, type(bound).__name__.lower())
            if whole or abs(value) not in _TECHNICAL:
                said.append(f"{_SIGNS[type(bound)]} {value}")
        elif isinstance(bound, Predicate) and whole:
            said.append("that is not blank")
    return " ".join([words(base, whole), " and ".join(said)]).strip()


def _list(annotation: Any, bounds: Sequence[Any], whole: bool) -> str:
    [item, *_] = [*get_args(annotation), Any]
    least = max((bound.min_length for bound in bounds if isinstance(bound, MinLen)), default=0)
    most = max((bound.max_length for bound in bounds if isinstance(bound, MaxLen)), default=None)
    length = ""
    if whole and least:
        length = f" of {'' if least == most else 'at least '}{least}"
    return f"a list{length}, each item {words(item, whole)}"


def is_range(annotation: Any) -> bool:
    """Whether a type is made of nothing but plain types and bounds."""
    parts = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return is_range(parts[0])
    if get_origin(annotation) is Literal:
        return True
    if parts:
        return all(part is Ellipsis or is_range(part) for part in parts)
    return annotation in (*_PLAIN, Path, NoneType)


def is_given(annotation: Any) -> bool:
    """Whether an argument comes from the command, and from no config."""
    return get_origin(annotation) is Annotated and GIVEN in get_args(annotation)


def is_described(annotation: Any) -> bool:
    """Whether an argument is an object that a config describes."""
    return get_origin(annotation) is Annotated and DESCRIBED in get_args(annotation)


def annotations_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the type of each annotated argument; one that cannot be resolved is left out."""
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        annotation = parameter.annotation
        if isinstance(annotation, str):
            try:
                annotation = eval(annotation, getattr(inspect.unwrap(function), "__globals__", {}))
            except Exception:  # a name that exists for type checkers alone, or anything else
                continue
        if annotation is not parameter.empty:
            found[name] = annotation
    return found


def _is_list(annotation: Any) -> bool:
    kind = get_origin(annotation) or annotation
    return isinstance(kind, type) and issubclass(kind, Sequence) and not issubclass(kind, str)
