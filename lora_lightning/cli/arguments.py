"""From the user's arguments to Hydra's: what `run=`, `resume=`, `adapter=`, `text=` stand for."""

from collections.abc import Callable, Iterator
from os.path import expanduser
from pathlib import Path

from hydra.core.override_parser.types import ChoiceSweep, Override
from omegaconf import OmegaConf

from lora_lightning.cli.agent import (
    check_agents_overrides,
    is_of_agent,
    is_resumed_by_agent,
    overrides_of_agent,
)
from lora_lightning.cli.grammar import (
    in_grammar,
    overrides_among,
    read_override,
    require_grammar,
    sweeps,
)
from lora_lightning.cli.own_method import with_own_method
from lora_lightning.cli.ranks import is_rank_of_this_command, makes_a_multirun
from lora_lightning.config.overrides import plain_override, quote
from lora_lightning.config.stored import check_classes, check_keys
from lora_lightning.config.stored_overrides import FLAGS
from lora_lightning.config.trainer import PASSED
from lora_lightning.config.trust import Trust, trust_of, without_trust
from lora_lightning.config.typed import text_of
from lora_lightning.errors import InputError
from lora_lightning.runs.folder import RunFolder
from lora_lightning.runs.jobs import JOBS, OF_PATH, Jobs
from lora_lightning.runs.latest import named_run, training_outputs

# What does not say where runs lie, or asks for more than one config.
NOT_COMPOSED = ("run=", "resume=", "hydra/", "hydra.sweep", "hydra.mode", "hparams_search=")
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
    if command == "evaluate":
        arguments = json_overrides(arguments)
    own, trust = _trusted(arguments)
    own.sort(key=lambda argument: argument not in FLAGS)  # Hydra takes them nowhere else
    own = with_own_method([_of_lightning(argument) for argument in own])
    require_grammar(overrides_among(own), command)
    given = _given(own)
    presets: list[str] = []
    of_adapter: list[str] = []
    is_resumed = command == "train" and given.get("resume", "null") != "null"
    if is_resumed:
        own, presets = _resumed(
            own, given, trust, lambda: training_outputs(command, _that_say_where(own))
        )
    elif command != "evaluate" and given.get("adapter", "null") != "null":
        of_adapter += adapter_overrides(Path(_path(given["adapter"])), given, trust)
    is_multirun = any(makes_a_multirun(argument) for argument in own)
    of_runs: dict[str, list[str]] = {}
    if command != "train" and given.get("run", "null") != "null":
        chosen = given | _given(of_adapter)
        for name in runs_named(own, given["run"], is_multirun):
            run = named_run(name, _that_say_where(own), command)
            run.check(trust, chosen)
            of_runs[str(run.path)] = list(presets_of(command, run, chosen))
        own = _with_value(own, "run", *of_runs)
        presets += next(iter(of_runs.values()))
    JOBS.set(None)
    if command != "train" and is_multirun:
        jobs = jobs_of(command, own, of_runs)
        jobs.require_keys()
        JOBS.set(jobs)
        if of_runs and jobs.swept & set(OF_PATH) and "output_dir" not in given:
            # Their results lie in several folders, and so their table in none of these.
            own = _with_choice(own, "run")
    presets += of_adapter
    if writes_nothing(own):
        presets += WRITE_NOTHING
    overrides = set(overrides_among(own))
    flags = [argument for argument in own if argument not in overrides]
    return flags + presets + [argument for argument in own if argument in overrides]


def writes_nothing(arguments: list[str]) -> bool:
    """Whether a command only prints."""
    given = _given(arguments)
    return "text" in given or given.get("dry_run", "false").lower() == "true"


def json_overrides(arguments: list[str]) -> list[str]:
    """Return the arguments with `--json` as overrides, which leave standard output to the scores.

    Raises:
        InputError: it is asked of a multirun.
    """
    if "--json" not in arguments and "json=true" not in arguments:
        return arguments
    if any(makes_a_multirun(argument) for argument in arguments):
        raise InputError(
            "--json prints one evaluation; leave it out of a multirun, whose table as JSON is "
            "python -m lora_lightning.sweep show <folder> --json"
        )
    own = [argument for argument in arguments if argument not in ("--json", "json=true")]
    return [*own, "json=true", "hydra.job_logging.handlers.console.stream=ext://sys.stderr"]


def runs_named(own: list[str], given: str, is_multirun: bool) -> list[str]:
    """Return the names of the runs that `run=` asks for.

    Args:
        own: the user's arguments.
        given: the value of `run=`.
        is_multirun: whether several may be given.

    Raises:
        InputError: it sweeps over what is no list of folders.
    """
    override = read_override(f"run={given}")
    if override is None or not override.is_sweep_override():
        return [text_of(given)]
    if not is_multirun:
        if Path(_path(given)).is_dir():  # whose name has a comma
            return [_path(given)]
        raise InputError(f"run={given}: several runs, a job each, need -m")
    if not isinstance(override.value(), ChoiceSweep):
        raise InputError(f"run={given}: give the runs' folders, divided by commas")
    return [text_of(element.partition("=")[2]) for element in _jobs_of_key(override)]


def _jobs_of_key(override: Override) -> list[str]:
    key = override.get_key_element()
    return [f"{key}={value}" for value in override.sweep_string_iterator()]


def presets_of(command: str, run: RunFolder, given: dict[str, str]) -> Iterator[str]:
    """Yield what stands for `run=` on a command line."""
    yield from run_overrides(run, given)
    if command == "generate" and "checkpoint" not in given:
        yield f"checkpoint={plain_override(run.values().get('checkpoint'))}"


def jobs_of(command: str, own: list[str], of_runs: dict[str, list[str]]) -> Jobs:
    """Return what the jobs of a multirun take from runs."""
    overrides = [o for o in map(read_override, overrides_among(own)) if o is not None]
    return Jobs(
        command,
        of_runs,
        frozenset(override.get_key_element() for override in overrides),
        frozenset(o.key_or_group for o in overrides if o.is_sweep_override()),
        not writes_nothing(own),
    )


def _resumed(
    own: list[str], given: dict[str, str], trust: Trust, outputs: Callable[[], Path]
) -> tuple[list[str], list[str]]:
    """Return the user's arguments with the folder of `resume=`, and that run's own config.

    Args:
        own: the user's arguments.
        given: their values by key.
        trust: of this command.
        outputs: gives the folder in which `latest` is looked for.
    """
    from lora_lightning.checkpoints.same_run import find_resumable, resume_overrides

    if {"-m", "--multirun"} & set(own):
        raise InputError("resume= goes on with one run; leave out -m")
    if given.get("overwrite", "false").lower() == "true":
        raise InputError("resume= keeps what a run has, overwrite=true removes it; leave out one")
    run = find_resumable(_path(given["resume"]), outputs)
    run.check(trust, given)
    return _with_value(own, "resume", str(run.path)), list(resume_overrides(run, given))


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


def adapter_overrides(path: Path, given: dict[str, str], trust: Trust) -> Iterator[str]:
    """Yield the method, and the `method.*` overrides, that an adapter's description asks for.

    Args:
        path: the adapter's file or folder.
        given: the user's own overrides by key; a method chosen anew is left to the user.
        trust: of this command; a folder may name a class.

    Raises:
        InputError: the adapter cannot be read, or names a class that is not allowed.
    """
    from lora_lightning.methods.adapter_files import adapter_method, describe_adapter

    if "method" in given:
        return
    described = describe_adapter(path) or {}
    check_keys(OmegaConf.create({"method": described}), path)
    check_classes({"method": described}, str(path), trust, given)
    if (method := adapter_method(path)) is not None:
        yield f"method={method}"
    for key, value in described.items():
        yield f"++method.{key}={plain_override(value, keep_interpolations=False)}"


def _that_say_where(arguments: list[str]) -> list[str]:
    """Return the overrides that decide where `latest` looks: options and `paths.*`.

    Other keys may be those of options that only the run has.
    """
    fixed = [
        argument
        for argument in overrides_among(arguments)
        if not argument.startswith(NOT_COMPOSED) and not sweeps(argument)
    ]
    keys = [argument.partition("=")[0].lstrip("+~") for argument in fixed]
    return [
        a for a, key in zip(fixed, keys, strict=True) if "." not in key or key.startswith("paths.")
    ]


def _trusted(arguments: list[str]) -> tuple[list[str], Trust]:
    """Return the command line without what is not for Hydra, and whom it trusts."""
    is_agents = is_of_agent(arguments)
    if is_agents:
        trust = trust_of(everything=False)
        check_agents_overrides([a for a in arguments if a.startswith("-") and a[1:2] != "-"], trust)
    if is_resumed_by_agent(arguments):
        arguments = overrides_of_agent(arguments)
    overrides = set(overrides_among(arguments))
    arguments = [
        converted
        for argument in arguments
        for converted in (in_grammar(argument) if argument in overrides else [argument])
    ]
    if is_agents:
        check_agents_overrides(arguments, trust)
        return arguments, trust
    own, everything = without_trust(arguments)
    user_dir = _given(own).get("paths.user_dir")
    return own, trust_of(everything, None if user_dir is None else text_of(user_dir))


def _given(arguments: list[str]) -> dict[str, str]:
    return dict(argument.lstrip("+").split("=", 1) for argument in arguments if "=" in argument)


def _with_value(arguments: list[str], key: str, *values: str) -> list[str]:
    """Return the arguments with this text as the value of `key`, or these, to be swept."""
    return [
        f"{before}={','.join(map(quote, values))}" if before.lstrip("+") == key else argument
        for argument in arguments
        for before in [argument.partition("=")[0]]
    ]


def _with_choice(arguments: list[str], key: str) -> list[str]:
    """Return the arguments with the value of `key` as one to be swept, even where it is one."""
    return [
        f"{before}=choice({value})" if before.lstrip("+") == key else argument
        for argument in arguments
        for before, _, value in [argument.partition("=")]
    ]


def _of_lightning(argument: str) -> str:
    """Return an argument of Lightning's Trainer so that it counts whether or not a run has it."""
    key, equals, _ = argument.lstrip("+").partition("=")
    is_passed = equals and key.removeprefix("trainer.") in PASSED and key.startswith("trainer.")
    return f"++{argument.lstrip('+')}" if is_passed else argument


def _path(value: str) -> str:
    return expanduser(text_of(value))
