"""From the user's arguments to Hydra's: what `run=`, `resume=`, `adapter=`, `text=` stand for."""

from collections.abc import Iterator
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser

from lora_lightning.cli.agent import is_of_agent, overrides_of_agent
from lora_lightning.cli.ranks import is_rank_of_this_command, makes_a_multirun
from lora_lightning.config.files import options_of
from lora_lightning.config.keys import CONFIGS
from lora_lightning.config.overrides import plain_override, quote
from lora_lightning.config.trust import Trust, trust_of, without_trust
from lora_lightning.errors import InputError
from lora_lightning.process import workspace
from lora_lightning.runs.folder import RunFolder, latest_run

GROUPS_OF_A_RUN = ("data", "model", "method", "generation")
WRITE_NOTHING = (
    "hydra.run.dir=.",
    "hydra.output_subdir=null",
    "hydra.job_logging.root.handlers=[console]",
)


def prepare_arguments(command: str, arguments: list[str]) -> list[str]:
    """Return the arguments that Hydra gets.

    `text=` is quoted whatever it holds; a run's data, model, method and generation (under
    `resume=` all of its config), and a PEFT adapter's method, are put before the user's own
    overrides, so that those win.

    Raises:
        InputError: `run=`, `resume=` or `adapter=` names nothing usable.
    """
    if is_rank_of_this_command():
        return arguments
    arguments, trust = _trusted(arguments)
    own = [quote_text(argument) for argument in arguments]
    refuse_null_groups(own)
    given = _given(own)
    presets: list[str] = []
    of_adapter: list[str] = []
    is_resumed = command == "train" and given.get("resume", "null") != "null"
    if is_resumed:
        own, presets = _resumed(own, given, trust)
    elif command != "evaluate" and given.get("adapter", "null") != "null":
        of_adapter += adapter_overrides(Path(_unquoted(given["adapter"])), given)
    if command != "train" and given.get("run", "null") != "null":
        folder = _find_run(given["run"], given)
        own = [f"run={quote(str(folder.path))}" if a.startswith("run=") else a for a in own]
        chosen = given | dict(override.split("=", 1) for override in of_adapter)
        folder.check(trust, chosen)
        presets += run_overrides(folder, chosen)
        if command == "generate" and "checkpoint" not in given:
            presets.append(f"checkpoint={plain_override(folder.values().get('checkpoint'))}")
    presets += of_adapter
    if presets and any(makes_a_multirun(argument) for argument in own):
        presets += _short_label(presets, given)
    if "text" in given or given.get("dry_run", "false").lower() == "true":
        presets += WRITE_NOTHING
    first = next((i for i, argument in enumerate(own) if "=" in argument), len(own))
    return own[:first] + presets + own[first:]


def _short_label(presets: list[str], given: dict[str, str]) -> list[str]:
    """Return the override that keeps the labels of a multirun's jobs to what the user gave."""
    keys = {preset.lstrip("+").split("=", 1)[0] for preset in presets} - set(given)
    keys |= {"run", "output_dir"}
    return [f"hydra.job.config.override_dirname.exclude_keys=[{','.join(sorted(keys))}]"]


def _resumed(own: list[str], given: dict[str, str], trust: Trust) -> tuple[list[str], list[str]]:
    """Return the user's arguments with the folder of `resume=`, and that run's own config."""
    from lora_lightning.checkpoints.same_run import find_resumable, resume_overrides

    if {"-m", "--multirun"} & set(own):
        raise InputError("resume= goes on with one run; leave out -m")
    if given.get("overwrite", "false").lower() == "true":
        raise InputError("resume= keeps what a run has, overwrite=true removes it; leave out one")
    run = find_resumable(_unquoted(given["resume"]), _training_runs(given))
    run.check(trust, given)
    own = [f"resume={quote(str(run.path))}" if a.startswith("resume=") else a for a in own]
    return own, list(resume_overrides(run, given))


def refuse_null_groups(arguments: list[str]) -> None:
    """Refuse a group that is set to null, which Hydra answers with a traceback.

    Raises:
        InputError: naming the group's options.
    """
    for argument in arguments:
        group, _, value = argument.partition("=")
        if value == "null" and (CONFIGS / group).is_dir():
            options = ", ".join(options_of(CONFIGS / group))
            raise InputError(f"{argument}: choose one of {options}, or leave it out")


def quote_text(argument: str) -> str:
    """Return a `text=…` argument with its value quoted, any other argument unchanged."""
    return f"text={quote(argument[5:])}" if argument.startswith("text=") else argument


def run_overrides(run: RunFolder, given: dict[str, str]) -> Iterator[str]:
    """Yield overrides that give data, model, method and generation as `run` had them.

    Args:
        run: the training run.
        given: overrides by key of the user and of an adapter; a group chosen anew is left alone.
    """
    values, choices = run.values(), run.choices
    for group in GROUPS_OF_A_RUN:
        if group in given:
            continue
        yield f"{group}={choices[group]}"
        for key, value in values.items():
            if key.startswith(f"{group}."):
                yield f"++{key}={plain_override(value)}"


def adapter_overrides(path: Path, given: dict[str, str]) -> Iterator[str]:
    """Yield the method, and the `method.*` overrides, that an adapter's description asks for.

    Args:
        path: the adapter's file or folder.
        given: the user's own overrides by key; a method chosen anew is left to the user.
    """
    from lora_lightning.methods.adapter_files import adapter_method, describe_adapter

    if "method" in given:
        return
    if (method := adapter_method(path)) is not None:
        yield f"method={method}"
    for key, value in (describe_adapter(path) or {}).items():
        yield f"method.{key}={plain_override(value, keep_interpolations=False)}"


def _find_run(value: str, given: dict[str, str]) -> RunFolder:
    if value != "latest":
        return RunFolder.open(_unquoted(value))
    return latest_run(_training_runs(given))


def _training_runs(given: dict[str, str]) -> Path:
    outputs = given.get("paths.output_dir", str(workspace() / "outputs"))
    return Path(_unquoted(outputs)) / "train"


def _trusted(arguments: list[str]) -> tuple[list[str], Trust]:
    """Return the command line without what is not for Hydra, and whom it trusts."""
    if is_of_agent(arguments):
        trust = trust_of(everything=False)
        return overrides_of_agent(arguments, trust), trust
    own, everything = without_trust(arguments)
    user_dir = _given(own).get("paths.user_dir")
    return own, trust_of(everything, None if user_dir is None else _unquoted(user_dir))


def _given(arguments: list[str]) -> dict[str, str]:
    return dict(argument.lstrip("+").split("=", 1) for argument in arguments if "=" in argument)


def _unquoted(value: str) -> str:
    return str(OverridesParser.create().parse_override(f"key={value}").value())
