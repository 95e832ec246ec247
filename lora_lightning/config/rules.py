"""The check of a whole config, before anything slow starts.

What a key may hold says the class or function that it is an argument of; see `ranges.py`.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from lora_lightning.config.allowed import require_kind
from lora_lightning.config.arguments import (
    PACKAGE,
    Arguments,
    arguments_of,
    check_node,
    is_ours,
    target_of,
)
from lora_lightning.config.commands import (
    COMMANDS,
    TRAINABLE,
    VALIDATED,
    Base,
    Command,
    NoPruner,
    Paths,
    Programs,
    Train,
    Validation,
)
from lora_lightning.config.keys import flat_keys, unknown_key
from lora_lightning.config.renamed import current_name
from lora_lightning.config.signatures import check_function
from lora_lightning.config.trainer import TrainerSettings, check_further_arguments
from lora_lightning.errors import InputError
from lora_lightning.ranges import Tokens, check

UNCHECKED = ("hydra",)
OF_MANY = ("callbacks", "logger")  # a described object under each name
# Whose arguments the keys of a group are that has no `_target_`; by name where a room above
# this one has them.
OWNERS: dict[str, tuple[type | str, ...]] = {
    "model": (Base,),
    "paths": (Paths,),
    "evaluation": (Programs,),
    "validation": (Validation,),
    "pruner": (NoPruner,),
    "trainer": (TrainerSettings,),
    "generation": (
        "lora_lightning.decoding.settings.SearchSettings",
        "lora_lightning.decoding.settings.DrawingSettings",
        "lora_lightning.decoding.settings.DecodingSettings",
    ),
}
# Optimizers that treat LoRA's A and B together, and their options.
OF_LORA = {
    "lora_lightning.training.lora_plus.lora_plus": "lora_plus",
    "lora_lightning.training.riemannian.scaled_adamw": "scaled_adamw",
    "lora_lightning.training.riemannian.scaled_gd": "scaled_gd",
    "lora_lightning.training.lora_fa.LoRAFA": "lora_fa",
}
KNOWN_GROUPS = tuple(
    dict.fromkeys(group for command in COMMANDS.values() for group in command.groups)
)
# What is not used, and so not imported: to decode a `text`, to score files of texts.
UNUSED_BY_TEXT = ("data", "trainer", "protocol", "logger")
UNUSED_BY_FILES = ("data", "method")


def check_config(config: DictConfig, checked: Collection[str] = ()) -> None:
    """Check every value, and values against each other.

    Args:
        config: of a command.
        checked: groups that need no check.

    Raises:
        InputError: naming the key, what it holds and what it may hold.
    """
    command = command_of(config)
    _check_given(config)
    _check_root(config, command)
    for group in command.groups:
        if group not in config:
            raise InputError(f"{group}=null: the command needs one; --help lists its options")
    unused: tuple[str, ...] = UNUSED_BY_FILES if config.get("hypotheses") is not None else ()
    if config.get("text") is not None:
        unused = UNUSED_BY_TEXT
        check("data.max_length", config.data.max_length, Tokens)
    for group in KNOWN_GROUPS:
        if group in config and group not in (*unused, *checked):
            node: Any = config._get_node(group)
            if OmegaConf.is_config(node):
                # Where a logger writes is known only inside a job.
                node = OmegaConf.to_container(node, resolve=group not in OF_MANY)
            _check_group(group, node, is_used=group in command.groups)
    _check_returned(config)
    if command is Train:
        check_optimized(config)
        _check_best_by(config)
        pruned_by(config)
        _check_bias(config)
        _check_optimizer_of_lora(config)


def command_of(config: Mapping[str, Any]) -> type[Command]:
    """Return the command whose keys a config has."""
    own = {name: set(arguments_of(COMMANDS[name]).keys) for name in COMMANDS}
    return COMMANDS[max(own, key=lambda name: len(own[name] & set(config)))]


def types_of(config: DictConfig) -> dict[str, Any]:
    """Return the type of each key of ours that a composed config has or may have."""
    types = dict(arguments_of(command_of(config)).keys)
    for group in KNOWN_GROUPS:
        if group in config:
            own = types_of_group(group, config[group].get("_target_"))
            types |= {f"{group}.{key}": annotation for key, annotation in own.items()}
    return types


def types_of_group(group: str, target: str | None = None) -> dict[str, Any]:
    """Return the type of each key of a group; a class from elsewhere has no keys of ours.

    Args:
        group: such as `method`.
        target: the class that its option describes; None where it describes none.
    """
    if target is None:
        owners = owners_of(group) if group in OWNERS else ()
        return {key: kind for owner in owners for key, kind in owner.keys.items()}
    owner = get_object(current_name(target))
    return arguments_of(owner).keys if is_ours(owner) else {}


def owners_of(group: str) -> tuple[Arguments, ...]:
    """Return whose arguments the keys of a group are that has no `_target_`."""
    owners = OWNERS[group]
    return tuple(arguments_of(get_object(o) if isinstance(o, str) else o) for o in owners)


def check_folders(config: DictConfig) -> None:
    """Check the keys that say where a command writes, before anything is written.

    Raises:
        InputError: naming the key.
    """
    command = command_of(config)
    for owner, node, prefix in ((arguments_of(command), config, ""),
                                (arguments_of(Paths), config.paths, "paths.")):  # fmt: skip
        named = [key for key in ("name", *Paths.__annotations__) if key in owner.keys]
        owner.check(prefix, {key: node[key] for key in named if key in node})


def check_optimized(config: DictConfig) -> None:
    """Check that the run will have the metric that a sweeper gets.

    What callbacks log does not count: only what the run itself measures.

    Raises:
        InputError: naming what it will have.
    """
    known = [*validated(config), TRAINABLE]
    advice = "; scores such as test/bleu need then=[generate,evaluate]"
    if "evaluate" in config.then:
        protocol: Any = target_of("protocol", config.protocol)
        metrics = config.protocol.get("metrics") or protocol.metric_names
        known += [f"{config.split}/{metric}" for metric in metrics]
        advice = ""
    asked = config.optimized_metric
    metrics = [asked] if isinstance(asked, str) else list(asked)
    if len(set(metrics)) < len(metrics):
        raise InputError(f"optimized_metric={','.join(metrics)}: names one twice; give each once")
    for metric in metrics:
        if metric not in known:
            raise InputError(
                f"optimized_metric={metric}: the run will have {', '.join(known)}{advice}"
            )


def validated(config: DictConfig) -> list[str]:
    """Return the names of what a validation of a training will measure, `val/…`."""
    if config.validation.by == "loss":
        return list(VALIDATED)
    protocol: Any = target_of("protocol", config.protocol)
    return [*VALIDATED, *(f"val/{metric}" for metric in protocol.validation_metric_names)]


def pruned_by(config: DictConfig) -> str | None:
    """Return the metric by which a pruner judges a job, None where there is no pruner.

    Raises:
        InputError: no validation measures it, or several objectives leave nothing to judge by.
    """
    if "_target_" not in config.pruner:
        return None
    objective, known, given = config.optimized_metric, validated(config), config.pruner.metric
    if not isinstance(objective, str):
        raise InputError(
            f"pruner with optimized_metric={','.join(objective)}: Optuna prunes by one objective; "
            "give one, or pruner=none"
        )
    metric = given or (objective if objective in known else "val/loss")
    has_validation = (
        config.trainer.limit_val_batches != 0 and config.data.get("valid", "") is not None
    )
    if metric not in known or not has_validation:
        why = f"a validation measures {', '.join(known)}" if has_validation else "no validation"
        raise InputError(
            f"pruner.metric={metric}: is never logged ({why}); scores of texts need "
            "validation=generation"
        )
    return str(metric)


def _check_best_by(config: DictConfig) -> None:
    if config.best_by not in (known := validated(config)):
        raise InputError(
            f"best_by={config.best_by}: a validation measures {', '.join(known)}; scores of texts "
            "need validation=generation"
        )


def _check_given(config: DictConfig) -> None:
    """Check that no key is left without a value, as `???` leaves it."""
    own = OmegaConf.masked_copy(config, [str(name) for name in config if name != "hydra"])
    plain: Any = OmegaConf.to_container(own, resolve=False)
    for key in _unset(plain, ""):
        raise InputError(f"{key}=???: it has no value; give it one")


def _unset(node: dict[str, Any], prefix: str) -> Iterator[str]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _unset(value, f"{prefix}{key}.")
        elif value == "???":
            yield f"{prefix}{key}"


def _check_root(config: DictConfig, command: type[Command]) -> None:
    """Check the command's own keys, and that every other one belongs to a group."""
    arguments = arguments_of(command)
    values = {}
    for key in config:
        name = str(key)
        if name in arguments.keys:
            value = OmegaConf.select(config, name)
            values[name] = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
        elif name not in (*KNOWN_GROUPS, *UNCHECKED):
            node = config._get_node(name)
            unknown = (
                next(flat_keys(node, f"{name}.")) if isinstance(node, DictConfig) and node else name
            )
            known = [*arguments.keys, *(key for key in flat_keys(config) if key != unknown)]
            raise InputError(unknown_key(unknown, known))
    arguments.check("", values)
    arguments.build_cheap("", values)


def _check_group(group: str, node: Any, is_used: bool) -> None:
    """Check one group; this machine's own settings may hold part of one that is not used."""
    if not isinstance(node, dict):
        raise InputError(f"{group}={node!r}: is a group of keys; --help lists its options")
    if group in OF_MANY:
        for name, described in node.items():
            if not isinstance(described, dict) or "_target_" not in described:
                raise InputError(
                    f"{group}.{name}={described!r}: allowed is an object of Lightning's, its "
                    f"class named by {group}.{name}._target_"
                )
            _check_object(f"{group}.{name}", described)
    elif "_target_" in node:
        _check_object(group, node)
    elif group in OWNERS:
        _check_owned(group, node, is_used)
    elif is_used:
        raise InputError(f"{group}._target_ is missing: it names the class that {group} describes")


def _check_object(key: str, node: dict[str, Any]) -> None:
    target = target_of(key, node)
    require_kind(key, node["_target_"], target)
    check_node(key, node)
    if key == "optimizer" and node.get("_partial_"):
        check_function(key, node["_target_"], target, [n for n in node if not n.startswith("_")])


def _check_owned(group: str, node: dict[str, Any], is_used: bool) -> None:
    owners = owners_of(group)
    known = [key for owner in owners for key in owner.keys]
    further = {key: value for key, value in node.items() if key not in known}
    if group == "trainer":
        check_further_arguments(further)
    elif further and group != "paths":  # there a user may have more to begin with
        unknown = f"{group}.{next(iter(further))}"
        raise InputError(unknown_key(unknown, [f"{group}.{key}" for key in known]))
    for owner in owners:
        given = {key: node[key] for key in owner.keys if key in node}
        owner.check(f"{group}.", given)
        if given and is_used:
            owner.build_cheap(f"{group}.", given)


def _check_returned(config: DictConfig) -> None:
    # A search could keep more; users are promised no more proven texts than beams.
    generation = config.generation
    if generation.num_return > generation.num_beams:
        raise InputError(
            f"generation.num_return={generation.num_return} is more than "
            f"generation.num_beams={generation.num_beams}; a search keeps as many as it has beams"
        )


def _check_bias(config: DictConfig) -> None:
    bias = config.method.get("bias", "none")
    if bias != "none" and config.model.dtype != "float32":
        raise InputError(
            f"method.bias={bias} trains biases of the base, and model.dtype={config.model.dtype} "
            "would round their updates away; set model.dtype=float32 or method.bias=none"
        )


def _check_optimizer_of_lora(config: DictConfig) -> None:
    option = OF_LORA.get(current_name(str(config.optimizer.get("_target_"))))
    target = str(config.method.get("_target_"))
    has_none = target.startswith(f"{PACKAGE}.") and not {"rank", "config"} & set(config.method)
    if option is not None and has_none:
        raise InputError(
            f"optimizer={option} needs LoRA's A and B, which this method does not have; set "
            "method=lora, rslora or dora, or another optimizer"
        )
