"""Whether a class from elsewhere can be called as what it stands for: its functions' arguments."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from lora_lightning.errors import InputError

PACKAGE = "lora_lightning"
WITH_ALL = {"step": ("Optimizer",), "log_metrics": ("Logger",)}
"""Functions that are called with their optional arguments too, and of which classes."""


def check_signatures(place: str, name: str, found: Any, bases: Iterable[type]) -> None:
    """Check that each function of a class takes the arguments with which that of a base is called.

    What a base itself, its package or this one defines is taken as it is.

    Args:
        place: dotted key of the mapping that holds `_target_`.
        name: as the config names the class, for the message.
        found: the class.
        bases: what it stands for: base classes, and protocols of functions that it has or may have.

    Raises:
        InputError: a function takes others, or is left for the class to write; the message names
            it, and how it is called.
    """
    for base in bases:
        ours = (PACKAGE, base.__module__.partition(".")[0])
        if found.__module__.partition(".")[0] in ours:
            continue
        for member, function in _functions(base):
            own = inspect.getattr_static(found, member, function)
            called = getattr(own, "__func__", own)  # of a static or class method
            arguments = _arguments(function, base.__name__ in WITH_ALL.get(member, ()))
            if getattr(own, "__isabstractmethod__", False):
                raise InputError(
                    f"{place}._target_={name}: has no {member}({', '.join(arguments)}) of its own; "
                    "write it"
                )
            if own is function or getattr(called, "__module__", "").partition(".")[0] in ours:
                continue
            signature = _signature(called)
            leading = () if isinstance(own, staticmethod) else ("self",)
            if signature is not None and not _takes(signature, (*leading, *arguments)):
                raise InputError(
                    f"{place}._target_={name}: {member}{signature} is called as "
                    f"{member}({', '.join(arguments)}); let it take these arguments"
                )


def check_function(place: str, name: str, found: Any, given: Iterable[str]) -> None:
    """Check that a function takes one argument by place, and keys of a config by name.

    Raises:
        InputError: it does not.
    """
    signature = _signature(found)
    if signature is not None and not _takes(signature, ("",), given):
        keys = "".join(f", {key}=…" for key in given)
        raise InputError(
            f"{place}._target_={name}: {name.rpartition('.')[2]}{signature} is called with the "
            f"named parameters first{keys}; let it take these arguments"
        )


def _functions(base: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the public functions of a class, and what makes its objects callable."""
    for member in dir(base):
        function = inspect.getattr_static(base, member)
        if inspect.isfunction(function) and (member == "__call__" or not member.startswith("_")):
            yield member, function


def _arguments(function: Callable[..., Any], with_optional: bool) -> tuple[str, ...]:
    """Return the arguments with which a function is called, but for `self`."""
    _, *parameters = inspect.signature(function).parameters.values()
    by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(
        parameter.name
        for parameter in parameters
        if parameter.kind in by_place and (with_optional or parameter.default is parameter.empty)
    )


def _signature(found: Any) -> inspect.Signature | None:
    """Return the signature of a function; None of what has none, or is no function."""
    try:
        return inspect.signature(found)
    except (TypeError, ValueError):
        return None


def _takes(
    signature: inspect.Signature, by_place: Iterable[str], names: Iterable[str] = ()
) -> bool:
    try:
        signature.bind(*by_place, **dict.fromkeys(names))
    except TypeError:
        return False
    return True
