"""Which classes may be built from a config that somebody else wrote.

They are what `configs/` names for the same group, what torch, Lightning and PEFT made for that
place, and the user's own classes of the right kind.
"""

import importlib
import importlib.util
import inspect
from ast import ClassDef, parse
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from lora_lightning.config.own import is_own
from lora_lightning.config.signatures import check_signatures
from lora_lightning.errors import InputError


@dataclass(frozen=True)
class Kind:
    """The classes that fit a place of a config.

    Attributes:
        base: what they derive from, or the protocol that they follow.
        package: where those that others made are to be had; None: there are none.
        hooks: a protocol of functions that they may have besides.
    """

    base: str
    package: str | None = None
    hooks: str | None = None


HOOKS = "lora_lightning.methods.hooks.MethodHooks"
KINDS = (
    ("data", Kind("lora_lightning.data.datamodule.DataToTextModule")),
    ("method", Kind("lora_lightning.methods.method.Method", hooks=HOOKS)),
    ("method.*", Kind("peft.PeftConfig", "peft")),
    ("loss", Kind("lora_lightning.training.loss.TrainingLoss")),
    ("optimizer", Kind("torch.optim.Optimizer", "torch.optim")),
    ("optimizer", Kind("lora_lightning.training.optimizers.OptimizerMaker")),
    ("scheduler", Kind("lora_lightning.training.schedules.Schedule")),
    ("protocol", Kind("lora_lightning.evaluation.protocols.protocol.ScoringProtocol")),
    ("callbacks.*", Kind("lightning.pytorch.Callback", "lightning.pytorch.callbacks")),
    ("logger.*", Kind("lightning.pytorch.loggers.Logger", "lightning.pytorch.loggers")),
    ("trainer.*", Kind("lightning.pytorch.profilers.Profiler", "lightning.pytorch.profilers")),
    ("trainer.*", Kind("lightning.pytorch.strategies.Strategy", "lightning.pytorch.strategies")),
    ("trainer.*", Kind("lightning.pytorch.plugins.Precision", "lightning.pytorch.plugins")),
    ("trainer.*", Kind("lightning.pytorch.plugins.LayerSync", "lightning.pytorch.plugins")),
    ("trainer.*", Kind("lightning.pytorch.plugins.CheckpointIO", "lightning.pytorch.plugins")),
    ("trainer.*", Kind("lightning.fabric.plugins.ClusterEnvironment", "lightning.pytorch.plugins")),
    ("hydra.sweeper.sampler", Kind("optuna.samplers.BaseSampler", "optuna.samplers")),
)
"""By place: the dotted key of the mapping that holds `_target_`."""


def require_kind(place: str, name: str, found: Any) -> None:
    """Require that a class fits its place, whoever names it there.

    An optimizer may be a function, which gets the parameters.

    Args:
        place: dotted key of the mapping that holds `_target_`.
        name: as the config names it, for the message.
        found: the class or function.

    Raises:
        InputError: it is of another kind, or has a function that takes other arguments.
    """
    kinds = [kind for pattern, kind in KINDS if fnmatchcase(place, pattern)]
    fitting = [kind for kind in kinds if _fits(found, kind.base)]
    is_function = place == "optimizer" and inspect.isfunction(found)
    if kinds and not is_function and not fitting:
        allowed = " or ".join(kind.base.rpartition(".")[2] for kind in kinds)
        raise InputError(
            f"{place}._target_={name}: a class that is not allowed there; name one that is a "
            f"{allowed}"
        )
    for kind in fitting:
        named = filter(None, (kind.base, kind.hooks))
        check_signatures(place, name, found, [_named(one) for one in named])


def is_allowed(place: str, name: str, user_folder: Path) -> bool:
    """Whether a class may be built there, whoever wrote the config.

    Nothing is imported but packages of the table, and modules in `user_folder` whose text defines
    the class.

    Args:
        place: dotted key of the mapping that holds `_target_`.
        name: dotted name of the class or function.
        user_folder: of the user's own modules.
    """
    if is_own(f"{place}._target_", name):
        return True
    kinds = [kind for pattern, kind in KINDS if fnmatchcase(place, pattern)]
    return any(_is_of_package(name, kind) or _is_users(name, kind, user_folder) for kind in kinds)


def _is_of_package(name: str, kind: Kind) -> bool:
    """Whether `name` is a class of the kind that the package's makers have there."""
    if kind.package is None or not name.startswith(f"{kind.package}."):
        return False
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ImportError:
        return False
    makers = kind.package.partition(".")[0]
    return _fits(found, kind.base) and found.__module__.partition(".")[0] == makers


def _is_users(name: str, kind: Kind, folder: Path) -> bool:
    """Whether `name` is a class of the kind that a module in the user's folder defines."""
    module, _, attribute = name.rpartition(".")
    file = _module_file(module, folder)
    if file is None or not _defines(file, attribute):
        return False
    imported = importlib.import_module(module)
    return Path(imported.__file__ or "").resolve() == file and _fits(
        getattr(imported, attribute, None), kind.base
    )


def _module_file(module: str, folder: Path) -> Path | None:
    """Return the file of a module in a folder; None where an import would find another one."""
    parts = module.split(".")
    if not all(part.isidentifier() for part in parts):
        return None
    try:
        spec = importlib.util.find_spec(parts[0])
    except (ImportError, ValueError):
        return None
    root = folder.resolve()
    places = [spec.origin, *(spec.submodule_search_locations or [])] if spec else []
    found = [Path(place).resolve() for place in places if place]
    if not found or not all(place.is_relative_to(root) for place in found):
        return None
    path = root.joinpath(*parts)
    files = [path.with_suffix(".py"), path / "__init__.py"]
    return next((f for f in files if f.is_file() and f.resolve().is_relative_to(root)), None)


def _defines(file: Path, name: str) -> bool:
    try:
        body = parse(file.read_bytes()).body
    except (SyntaxError, ValueError):
        return False
    return any(isinstance(node, ClassDef) and node.name == name for node in body)


def _fits(found: Any, base: str) -> bool:
    """Whether a class derives from `base` or, where that is a protocol, has what it asks for."""
    wanted = _named(base)
    if not inspect.isclass(found):
        return False
    if not getattr(wanted, "_is_protocol", False):
        return issubclass(found, wanted)
    members = {member for member in vars(wanted) if not member.startswith("_")}
    fields = {field for owner in found.__mro__ for field in inspect.get_annotations(owner)}
    return members <= {*dir(found), *fields}


def _named(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)
