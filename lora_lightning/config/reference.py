"""docs/config.md: every key of every config, from the configs and the classes that they describe.

Defaults and meanings come from the config files, what is allowed from the type of the argument that
a key is, and a meaning that a config file does not tell from the docstring beside that argument.
"""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.utils import get_object

from lora_lightning.config.arguments import arguments_of
from lora_lightning.config.commands import COMMANDS
from lora_lightning.config.compose import CONFIGS
from lora_lightning.config.files import Key, default_options, description, keys_of, options_of
from lora_lightning.config.rules import OF_MANY, types_of_group
from lora_lightning.config.trainer import OURS, REFUSED
from lora_lightning.ranges import is_described, words

LEFT_OUT = ("hydra", "local")  # Hydra's own documentation has its keys; local is the user's
COMPUTED = 60  # a longer default with ${…} in it is called computed
PRESETS = ("experiment", "debug", "hparams_search")  # their files only override others' keys
INTRODUCTION = """\
# Every key

Made by `make docs` from `configs/` and from the types and docstrings of what the keys are arguments
of: change those, not this page.

A key is given as `key=value`, a group's option as `group=option`; `python train.py --help` shows
the same in short, `--cfg job --resolve` the config that a command line gives. Where a default
differs between the options of a group, each is named.
"""
LAST_PART = """
## This machine's own settings

`configs/local/default.yaml`, which git ignores, is read by all three commands where it exists;
`experiment` and the command line win over it:

```yaml
# @package _global_
paths:
  output_dir: /data/runs
```

`.env` in the repository root, which git ignores too, holds environment variables (lines of
`NAME=value`; `.env.example` lists useful ones). What the shell already sets wins.
"""
UNITS = {
    "data.batch_size": "rows",
    "data.valid_batch_size": "rows",
    "data.batch_tokens": "tokens",
    "data.max_length": "tokens",
    "data.limit_train": "rows",
    "data.limit_valid": "rows",
    "data.limit_test": "contexts",
    "method.dropout": "probability",
    "optimizer.lr": "per update",
    "scheduler.warmup_steps": "`scheduler.per`",
    "scheduler.total_steps": "`scheduler.per`",
    "scheduler.steps": "`scheduler.per`",
    "loss.label_smoothing": "share",
    "generation.num_beams": "beams",
    "generation.max_new_tokens": "tokens",
    "generation.min_new_tokens": "tokens",
    "generation.no_repeat_ngram_size": "tokens",
    "generation.batch_size": "contexts",
    "generation.max_memory": "bytes",
    "generation.num_return": "hypotheses",
    "generation.top_k": "tokens",
    "generation.top_p": "probability",
    "trainer.devices": "processes, or numbers of GPUs",
    "trainer.num_nodes": "machines",
    "trainer.max_epochs": "epochs",
    "trainer.max_steps": "updates",
    "trainer.accumulate_grad_batches": "micro-batches",
    "trainer.gradient_clip_val": "norm",
    "trainer.val_check_interval": "micro-batches, or a share of an epoch",
    "trainer.limit_val_batches": "batches, or a share of them",
    "trainer.log_every_n_steps": "updates",
    "trainer.progress_every_n_seconds": "seconds",
}


def reference() -> str:
    """Return the page."""
    return "\n".join(_lines()) + "\n" + LAST_PART


def _lines() -> Iterator[str]:
    yield INTRODUCTION
    groups: dict[str, None] = {}
    for command in COMMANDS:
        root = CONFIGS / f"{command}.yaml"
        yield f"## `{command}.py`\n"
        yield from _table("", {command: keys_of(root)}, {}, _types_of_command(command))
        groups |= dict.fromkeys(reversed(default_options(root)))
    yield "## Groups\n"
    for group in groups:
        options = options_of(CONFIGS / group)
        if options and group not in LEFT_OUT:
            yield from _group(group, options)


def _group(group: str, options: dict[str, Path]) -> Iterator[str]:
    """Yield a group's section: its options, and one table of the keys of them all."""
    yield f"### `{group}`\n"
    for option, file in options.items():
        text = " ".join(line if line.endswith((".", ":")) else f"{line}." for line in _said(file))
        yield f"- `{option}`: {text}" if text else f"- `{option}`"
    yield ""
    if group not in PRESETS:
        keys = {option: keys_of(file) for option, file in options.items()}
        keys = {option: found for option, found in keys.items() if _has_rows(option, found)}
        documented = {option: _argument_docs(found) for option, found in keys.items()}
        yield from _table(f"{group}.", keys, documented, _types(group, keys))
    if group == "trainer":
        yield from _lightning_arguments()


def _has_rows(option: str, keys: dict[str, Key]) -> bool:
    """Whether an option's keys are ours; one of PEFT's presets arguments that its file names."""
    return option == "peft" or "config._target_" not in keys


def _types_of_command(command: str) -> dict[str, Any]:
    nested = {f"evaluation.{key}": kind for key, kind in types_of_group("evaluation").items()}
    return arguments_of(COMMANDS[command]).keys | nested


def _types(group: str, options: dict[str, dict[str, Key]]) -> dict[str, Any]:
    """Return the type of each key of ours that one of a group's options has."""
    types: dict[str, Any] = {}
    for keys in options.values():
        for prefix in {name.rpartition("_target_")[0] for name in keys if "_target_" in name}:
            target = keys[f"{prefix}_target_"].default
            types |= {prefix + key: kind for key, kind in types_of_group(group, target).items()}
        if group not in OF_MANY and "_target_" not in keys:
            types |= types_of_group(group)
    return types


def _lightning_arguments() -> Iterator[str]:
    """Yield the table of what Lightning's Trainer takes."""
    yield "Every other argument of Lightning's Trainer is given with a plus, as in"
    yield "`+trainer.deterministic=true`, and checked by Lightning's signature:\n"
    yield "| argument of Lightning's Trainer | here |"
    yield "|---|---|"
    for name in arguments_of(get_object("lightning.pytorch.Trainer")).annotations:
        said = f"not available: {REFUSED[name]}" if name in REFUSED else "passed on as it is"
        said = f"ours: `trainer.{name}`, see above" if name in OURS else said
        yield f"| `{name}` | {said} |"
    yield ""


def _said(file: Path) -> list[str]:
    """Return what a config file says of itself, its example commands as code."""
    lines = [re.sub(r"^(python \S.*?)(; .*)?$", r"`\1`\2", line) for line in description(file)]
    return [line.removesuffix(".") if line.startswith("`") else line for line in lines]


def _table(
    prefix: str,
    options: dict[str, dict[str, Key]],
    documented: dict[str, dict[str, str]],
    types: dict[str, Any],
) -> Iterator[str]:
    """Yield one row for each key that any of the options has."""
    names = list(dict.fromkeys(name for keys in options.values() for name in keys))
    names = [name for name in names if not name.rpartition(".")[2].startswith("_")]
    names += [name for name, kind in types.items() if is_described(kind)]
    if not names:
        return
    yield "| key | default | unit | allowed | meaning |"
    yield "|---|---|---|---|---|"
    for name in names:
        given = {option: keys.get(name) or keys.get(f"{name}._target_")
                 for option, keys in options.items()}  # fmt: skip
        having = {option: found for option, found in given.items() if found is not None}
        key = prefix + name
        meanings = [key.comment for key in having.values() if key.comment]
        meanings += [documented[option].get(name, "") for option in having if option in documented]
        allowed = words(types[name]) if name in types else ""
        meaning = next((text for text in meanings if text), "") + _of(having, options)
        cells = (f"`{key}`", _defaults(having), UNITS.get(key, ""), allowed, meaning)
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""


def _of(having: dict[str, Key], options: dict[str, dict[str, Key]]) -> str:
    """Return which options have a key, or which do not, where not all have it."""
    lacking = [option for option in options if option not in having]
    if not lacking:
        return ""
    word, names = ("not of", lacking) if len(lacking) < len(having) else ("of", list(having))
    return f" ({word} {', '.join(f'`{name}`' for name in names)})"


def _defaults(having: dict[str, Key]) -> str:
    """Return the default that most options share, and those that differ by name."""
    shown = {
        option: "computed" if "${" in key.default and len(key.default) > COMPUTED else key.default
        for option, key in having.items()
    }
    values = list(shown.values())
    common = max(values, key=values.count)
    others = [f"`{option}`: `{value}`" for option, value in shown.items() if value != common]
    return " · ".join([f"`{common}`".replace("`computed`", "computed"), *others])


def _argument_docs(keys: dict[str, Key]) -> dict[str, str]:
    """Return what the docstring of an option's target, or of its bases, says of each argument."""
    if "_target_" not in keys:
        return {}
    target = get_object(keys["_target_"].default)
    owners = reversed(target.__mro__) if inspect.isclass(target) else [target]
    found: dict[str, str] = {}
    for owner in owners:
        text = inspect.getdoc(owner) or ""
        for name, meaning in re.findall(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", text, re.MULTILINE):
            found[name] = " ".join(meaning.split()).rstrip(".")
    return found
