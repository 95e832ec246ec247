"""What stands between the shell and Hydra: `run=`, `adapter=`, `text=`, torchrun, and errors."""

import difflib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from lora_lightning import resolvers
from lora_lightning.environment_file import load_environment
from lora_lightning.errors import InputError, Interrupted
from lora_lightning.help import print_help
from lora_lightning.overrides import plain_override, quote, stored_value
from lora_lightning.run_folder import RunFolder, latest_run
from lora_lightning.sweep.agent import overrides_of_agent

CONFIGS = resolvers.REPOSITORY / "configs"
GROUPS_OF_A_RUN = ("data", "model", "method", "generation")
TRACEBACK = "LORA_LIGHTNING_TRACEBACK"  # set where the user wants tracebacks of bad input
# What the Optuna sweeper raises after its last job where none gave a value; the latter from SQLite.
NO_TRIAL = ("No trials are completed", "Record does not exist")
WRITE_NOTHING = (
    "hydra.run.dir=.",
    "hydra.output_subdir=null",
    "hydra.job_logging.root.handlers=[console]",
)


def run(main: Callable[[], Any]) -> None:
    """Run a Hydra entry point on this process's arguments; bad input is one line, exit code 1."""
    command = Path(sys.argv[0]).stem
    resolvers.register()
    if {"--help", "-h"} & set(sys.argv[1:]):
        print_help(command, CONFIGS)
        return
    wants_traceback = "HYDRA_FULL_ERROR" in os.environ and not _is_rank_of_this_command()
    if wants_traceback:
        os.environ[TRACEBACK] = "1"
    # Otherwise Hydra prints the exception and exits before this function sees it.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    arguments = sys.argv[1:]
    try:
        load_environment(resolvers.REPOSITORY / ".env")
        sys.argv[1:] = _shared_by_ranks(lambda: prepare_arguments(command, arguments))
        main()
    except (InputError, HydraException, OmegaConfBaseException) as error:
        if wants_traceback:
            raise
        sys.exit(f"error: {_explain(command, arguments, error)}")
    except ValueError as error:
        if not str(error).startswith(NO_TRIAL):
            raise
        sys.exit("error: no trial finished; each job's error.txt in the sweep folder says why")
    finally:
        if not wants_traceback:
            del os.environ["HYDRA_FULL_ERROR"]


def run_task(task: Callable[[DictConfig], Any], config: DictConfig) -> Any:
    """Call a task; bad input ends the command at once, before Hydra prints all overrides.

    So does a training that a signal ended; it exits as if the signal had ended the process. A job
    of a multirun is recorded, and leaves its traceback in its folder.
    """
    from lora_lightning.sweep.job import isolated_job, run_job

    if HydraConfig.get().mode == RunMode.MULTIRUN:
        return run_job(task, config)
    try:
        with isolated_job():
            return task(config)
    except InputError as error:
        if TRACEBACK in os.environ:
            raise
        sys.exit(f"error: {error}")
    except Interrupted as interruption:
        if resolvers.process_rank() > 0:
            sys.exit(0)  # Lightning kills rank 0 when another rank fails, whatever it is writing
        print(interruption, file=sys.stderr)
        sys.exit(interruption.exit_code)


def prepare_arguments(command: str, arguments: list[str]) -> list[str]:
    """Return the arguments that Hydra gets.

    `text=` is quoted whatever it holds; a run's data, model, method and generation (under
    `resume=` all of its config), and a PEFT adapter's method, are put before the user's own
    overrides, so that those win.

    Raises:
        InputError: `run=`, `resume=` or `adapter=` names nothing usable.
    """
    own = [quote_text(argument) for argument in overrides_of_agent(arguments)]
    given = dict(argument.lstrip("+").split("=", 1) for argument in own if "=" in argument)
    if _is_rank_of_this_command():
        return own
    presets: list[str] = []
    of_adapter: list[str] = []
    is_resumed = command == "train" and given.get("resume", "null") != "null"
    if is_resumed:
        own, presets = _resumed(own, given)
    elif command != "evaluate" and given.get("adapter", "null") != "null":
        of_adapter += adapter_overrides(Path(_unquoted(given["adapter"])), given)
    if command != "train" and given.get("run", "null") != "null":
        folder = _find_run(given["run"], given)
        own = [f"run={quote(str(folder.path))}" if a.startswith("run=") else a for a in own]
        chosen = given | dict(override.split("=", 1) for override in of_adapter)
        presets += run_overrides(folder, chosen)
        if command == "generate" and "checkpoint" not in given:
            presets.append(f"checkpoint={folder.config.checkpoint}")
    presets += of_adapter
    if presets and any(_makes_a_multirun(argument) for argument in own):
        presets += _short_label(presets, given)
    if "text" in given or given.get("dry_run", "false").lower() == "true":
        presets += WRITE_NOTHING
    first = next((i for i, argument in enumerate(own) if "=" in argument), len(own))
    return own[:first] + presets + own[first:]


def _short_label(presets: list[str], given: dict[str, str]) -> list[str]:
    """Return the override that keeps the labels of a multirun's jobs to what the user gave."""
    keys = {preset.split("=", 1)[0] for preset in presets} - set(given) | {"run", "output_dir"}
    return [f"hydra.job.config.override_dirname.exclude_keys=[{','.join(sorted(keys))}]"]


def _resumed(own: list[str], given: dict[str, str]) -> tuple[list[str], list[str]]:
    """Return the user's arguments with the folder of `resume=`, and that run's own config."""
    from lora_lightning.resume import find_resumable, resume_overrides

    if {"-m", "--multirun"} & set(own):
        raise InputError("resume= goes on with one run; leave out -m")
    if given.get("overwrite", "false").lower() == "true":
        raise InputError("resume= keeps what a run has, overwrite=true removes it; leave out one")
    run = find_resumable(_unquoted(given["resume"]), _training_runs(given))
    own = [f"resume={quote(str(run.path))}" if a.startswith("resume=") else a for a in own]
    return own, list(resume_overrides(run, given))


def quote_text(argument: str) -> str:
    """Return a `text=…` argument with its value quoted, any other argument unchanged."""
    return f"text={quote(argument[5:])}" if argument.startswith("text=") else argument


def run_overrides(run: RunFolder, given: dict[str, str]) -> Iterator[str]:
    """Yield overrides that give data, model, method and generation as `run` had them.

    Args:
        run: the training run.
        given: overrides by key of the user and of an adapter; a group chosen anew is left alone.
    """
    for group in GROUPS_OF_A_RUN:
        if group in given:
            continue
        yield f"{group}={run.choices[group]}"
        for key, value in run.config[group].items_ex(resolve=False):
            if not str(key).startswith("_"):
                value = stored_value(f"{group}.{key}", value, run.started_in)
                yield f"{group}.{key}={plain_override(value)}"


def adapter_overrides(path: Path, given: dict[str, str]) -> Iterator[str]:
    """Yield the method, and the `method.*` overrides, that an adapter's description asks for.

    Args:
        path: the adapter's file or folder.
        given: the user's own overrides by key; a method chosen anew is left to the user.
    """
    from lora_lightning.methods.adapter_io import adapter_method, describe_adapter

    if "method" in given:
        return
    if (method := adapter_method(path)) is not None:
        yield f"method={method}"
    for key, value in (describe_adapter(path) or {}).items():
        yield f"method.{key}={plain_override(value)}"


def _find_run(value: str, given: dict[str, str]) -> RunFolder:
    if value != "latest":
        return RunFolder.open(_unquoted(value))
    return latest_run(_training_runs(given))


def _training_runs(given: dict[str, str]) -> Path:
    outputs = given.get("paths.output_dir", str(resolvers.REPOSITORY / "outputs"))
    return Path(_unquoted(outputs)) / "train"


def _unquoted(value: str) -> str:
    return str(OverridesParser.create().parse_override(f"key={value}").value())


def _is_rank_of_this_command() -> bool:
    """Whether Lightning started this process as a further rank, with arguments prepared before."""
    return "LOCAL_RANK" in os.environ and resolvers.LAUNCH_TIME in os.environ


def _shared_by_ranks(prepare: Callable[[], list[str]]) -> list[str]:
    """Return the prepared arguments of rank 0, and fix the launch time, in every rank."""
    if _is_rank_of_this_command():
        return prepare()
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        os.environ[resolvers.LAUNCH_TIME] = resolvers.now()
        return prepare()
    if any(_makes_a_multirun(argument) for argument in sys.argv[1:]):
        raise InputError(
            "a multirun under torchrun would run the whole sweep in every rank; start "
            "`python train.py -m … trainer=ddp` and let each job start its ranks"
        )
    return _exchange(prepare)


def _makes_a_multirun(argument: str) -> bool:
    key, _, value = argument.lstrip("+").partition("=")
    is_search = key == "hparams_search" and value != "null"
    return argument in ("-m", "--multirun") or argument == "hydra.mode=MULTIRUN" or is_search


def _exchange(prepare: Callable[[], list[str]]) -> list[str]:
    """Pass rank 0's arguments and launch time, or its error, to all ranks of torchrun."""
    from torch.distributed import PrefixStore, rendezvous

    store, rank, _ = next(rendezvous("env://"))
    store = PrefixStore(f"lora_lightning/{os.environ['TORCHELASTIC_RESTART_COUNT']}", store)
    if rank == 0:
        message: dict[str, Any] = {"launch_time": resolvers.now()}
        try:
            message["arguments"] = prepare()
        except InputError as error:
            message["error"] = str(error)
        store.set("command", json.dumps(message))
    message = json.loads(store.get("command"))
    if "error" in message:
        raise InputError(message["error"])
    os.environ[resolvers.LAUNCH_TIME] = message["launch_time"]
    # Else another rank's `.hydra` could lie in the folder before rank 0 looks whether it is empty.
    return message["arguments"] + (["hydra.output_subdir=null"] if rank else [])


def _explain(command: str, arguments: list[str], error: Exception) -> str:
    """Return the error's text, with the nearest existing key where a key does not exist."""
    if isinstance(error, InputError):
        return str(error)
    keys = _existing_keys(command, arguments)
    for argument in arguments:
        key = argument.lstrip("+~").split("=", 1)[0]
        if keys and "=" in argument and key not in keys and not key.startswith("hydra"):
            return unknown_key(key, keys)
    cause = f" ({error.__cause__})" if error.__cause__ else ""
    return f"{error}{cause}"


def unknown_key(key: str, keys: list[str]) -> str:
    """Return the message for a key that does not exist."""
    nearest = difflib.get_close_matches(key, keys, n=1, cutoff=0.0)[0]
    return f"unknown key {key}; the nearest one is {nearest} (--help lists them all)"


def _existing_keys(command: str, arguments: list[str]) -> list[str]:
    """Return all keys and groups of the command's config with the user's group choices."""
    groups = {path.name for path in CONFIGS.iterdir() if path.is_dir()}
    chosen = [a for a in arguments if a.split("=")[0] in groups and "," not in a]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        try:
            config = compose(command, chosen)
        except HydraException:
            return []
    return [*groups, *flat_keys(config)]


def flat_keys(config: DictConfig, prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys of every leaf of a config, interpolations left alone."""
    for key, node in config.items_ex(resolve=False):
        name = prefix + str(key)
        if isinstance(node, DictConfig):
            yield from flat_keys(node, f"{name}.")
        else:
            yield name
