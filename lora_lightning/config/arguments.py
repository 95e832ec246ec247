"""What a config may hold: the arguments of the classes and functions that it describes."""

import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from typing import Any, Literal, cast, get_args

from lora_lightning.config.keys import unknown_key
from lora_lightning.config.renamed import current_name
from lora_lightning.errors import InputError, first_line
from lora_lightning.ranges import annotations_of, check, is_described, is_given, is_range

PACKAGE = "lora_lightning"
BUILDING: dict[str, Any] = {
    "_partial_": bool,
    "_recursive_": bool,
    "_convert_": Literal["none", "partial", "object", "all"],
    "_args_": list[Any],
}
"""How Hydra is to build an object."""

MORE_THAN_SAID = {"peft.tuners.lora.config.LoraConfig": ("init_lora_weights",)}
"""Arguments of classes from elsewhere that take more than their type says; ours judge them."""


@dataclass(frozen=True)
class Arguments:
    """The arguments of a class or function, those of the bases that it hands `**kwargs` to too.

    Attributes:
        owner: the class or function.
        annotations: the type of each argument; None where it has none, or none that is known.
        required: those that have no default.
        takes_any: whether there may be arguments of other names.
    """

    owner: Callable[..., Any]
    annotations: dict[str, Any]
    required: frozenset[str]
    takes_any: bool

    @property
    def keys(self) -> dict[str, Any]:
        """The type of each argument that a config gives.

        Of our own these are the ones that have a range, and that no command gives; a class from
        elsewhere may take anything.
        """
        if not is_ours(self.owner):
            return self.annotations
        return {
            name: annotation
            for name, annotation in self.annotations.items()
            if (is_range(annotation) or is_described(annotation)) and not is_given(annotation)
        }

    @property
    def name(self) -> str:
        """The owner's name for people."""
        return f"{self.owner.__module__}.{self.owner.__qualname__}"

    def check(self, prefix: str, given: Mapping[str, Any]) -> None:
        """Check values by the types of the arguments.

        Args:
            prefix: goes before an argument's name to make a key.
            given: values by argument; all of them are arguments, or `takes_any`.

        Raises:
            InputError: a value is not of its type; the message names the key.
        """
        for name, value in given.items():
            annotation = self.annotations.get(name)
            if name in MORE_THAN_SAID.get(self.name, ()):
                continue
            if annotation is None or _is_built_later(value, is_range(annotation)):
                continue
            check(prefix + name, value, annotation, "" if is_ours(self.owner) else self.name)

    def build_cheap(self, prefix: str, given: Mapping[str, Any]) -> None:
        """Build one of our dataclasses, so that it checks its values against each other.

        Raises:
            InputError: they contradict each other, or one is missing.
        """
        if not (is_ours(self.owner) and is_dataclass(self.owner)):
            return
        if missing := sorted(self.required - set(given)):
            raise InputError(f"{prefix}{missing[0]} is missing: {self.name} needs it")
        self.owner(**given)


def arguments_of(owner: Callable[..., Any]) -> Arguments:
    """Return the arguments of a class or function."""
    annotations: dict[str, Any] = {}
    required: set[str] = set()
    opens: list[bool] = []
    for function, parameters in _constructors(owner):
        known = annotations_of(function)
        kinds = [parameter.kind for parameter in parameters]
        for parameter in parameters:
            if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                continue
            if parameter.name not in annotations and parameter.default is parameter.empty:
                required.add(parameter.name)
            annotations.setdefault(parameter.name, known.get(parameter.name))
        opens.append(inspect.Parameter.VAR_KEYWORD in kinds)
        if not opens[-1]:
            break
    # What a class from elsewhere does with its **kwargs cannot be known.
    is_open = bool(opens) and (opens[-1] if is_ours(owner) else opens[0])
    return Arguments(owner, annotations, frozenset(required), is_open)


def is_ours(owner: Callable[..., Any]) -> bool:
    """Whether a class or function belongs to this package."""
    return (owner.__module__ or "").split(".")[0] == PACKAGE


def _constructors(
    owner: Callable[..., Any],
) -> Iterator[tuple[Callable[..., Any], list[inspect.Parameter]]]:
    """Yield what is called to build an object, a base's constructor after its child's."""
    if not inspect.isclass(owner):
        yield owner, _parameters(owner)
        return
    for base in inspect.getmro(owner):
        if "__init__" in vars(base) and base is not object:
            function = vars(base)["__init__"]
            yield function, _parameters(function)[1:]


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # some of what is written in C tells none
        return []


def target_of(key: str, node: Mapping[str, Any]) -> Callable[..., Any]:
    """Return the class or function that a node's `_target_` names, perhaps as of earlier.

    Raises:
        InputError: there is none of that name.
    """
    path = node["_target_"]
    if not isinstance(path, str) or not path.strip():
        raise InputError(f"{key}._target_={path!r}: is no class; name one, as module.Class")
    try:
        found: Any = pkgutil.resolve_name(current_name(path))
    except Exception as error:  # also whatever importing the user's own module raises
        reason = first_line(error)
        raise InputError(f"{key}._target_={path}: cannot be found ({reason})") from None
    if not callable(found):
        raise InputError(f"{key}._target_={path}: is no class; name one")
    return cast(Callable[..., Any], found)


def check_node(key: str, node: Mapping[str, Any]) -> None:
    """Check a described object, and those within it, by the signatures of what they describe.

    Args:
        key: dotted, of the node.
        node: plain containers; `_target_` names the class or function, other keys that begin with
            `_` are Hydra's.

    Raises:
        InputError: an argument does not exist, or is not of its type.
    """
    arguments = arguments_of(target_of(key, node))
    for name in BUILDING.keys() & node.keys():
        check(f"{key}.{name}", node[name], BUILDING[name])
    given = {name: value for name, value in node.items() if not name.startswith("_")}
    for name, value in given.items():
        check_within(f"{key}.{name}", value)
        if name in arguments.keys or arguments.takes_any:
            continue
        known = [f"{key}.{argument}" for argument in arguments.keys]
        if is_ours(arguments.owner) and known:
            raise InputError(unknown_key(f"{key}.{name}", known))
        takes = ", ".join(arguments.keys) or "no argument"
        raise InputError(f"{key}.{name}: {arguments.name} has no such argument; it takes {takes}")
    for name, value in given.items():
        _check_settings(f"{key}.{name}", value, arguments.annotations.get(name))
    arguments.check(f"{key}.", given)
    if not node.get("_partial_"):
        arguments.build_cheap(f"{key}.", given)


def _check_settings(key: str, value: Any, annotation: Any) -> None:
    """Check a mapping that stands for a dataclass from elsewhere, as PEFT's EvaConfig.

    Raises:
        InputError: it has another field, or a field is not of its type, or the class refuses them.
    """
    named = (annotation, *get_args(annotation))
    kinds: list[Any] = [kind for kind in named if inspect.isclass(kind) and is_dataclass(kind)]
    takes_any = dict in named or _is_built_later(value, False)
    if len(kinds) != 1 or not isinstance(value, Mapping) or takes_any:
        return
    [kind] = kinds
    check_node(key, {"_target_": f"{kind.__module__}.{kind.__qualname__}", **value})
    try:
        kind(**value)
    except Exception as error:  # each has its own
        raise InputError(f"{key}: {kind.__name__} refuses it ({first_line(error)})") from None


def check_within(key: str, value: Any) -> None:
    """Check the described objects within a value, as `check_node`."""
    if isinstance(value, Mapping) and "_target_" in value:
        check_node(key, value)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            check_within(f"{key}.{name}", item)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            check_within(f"{key}[{number}]", item)


def _is_built_later(value: Any, is_plain: bool) -> bool:
    """Whether a value is, or holds, an interpolation or, unless it must be plain, an object."""
    if isinstance(value, Mapping):
        items = value.values()
        is_object = "_target_" in value or any(_is_built_later(item, False) for item in items)
        return is_object and not is_plain
    if isinstance(value, list):
        return any(_is_built_later(item, is_plain) for item in value)
    return isinstance(value, str) and "${" in value
