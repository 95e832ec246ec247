"""How the three commands start and end: help, arguments, Hydra, and every error as one line."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lora_lightning.cli.arguments import prepare_arguments, writes_nothing
from lora_lightning.cli.environment import load_environment
from lora_lightning.cli.help import print_help
from lora_lightning.cli.quick_imports import import_lightning
from lora_lightning.cli.ranks import is_rank_of_this_command, makes_a_multirun, shared_by_ranks
from lora_lightning.config.compose import CONFIGS
from lora_lightning.config.faults import COMPOSING, explain, is_of_params
from lora_lightning.config.keys import existing_keys
from lora_lightning.config.overrides import quote
from lora_lightning.config.resolvers import register
from lora_lightning.config.search_path import own_configs
from lora_lightning.config.source import register_source
from lora_lightning.config.trust import trusted_no_longer
from lora_lightning.errors import (
    TRACEBACK,
    InputError,
    Interrupted,
    disk_fault,
    end_interrupted,
)
from lora_lightning.process import early, garbage, workspace
from lora_lightning.process.parent import RANK_OF_PASS, end_with_parent, is_rank_of_lightning
from lora_lightning.process.programs import as_started
from lora_lightning.process.signals import ended_by_signals
from lora_lightning.process.terminal import speak_plainly
from lora_lightning.runs.refused import nothing_left_behind

RESUME = "go on with: python -m lora_lightning.sweep resume <its folder>"


def run(main: Callable[[], Any]) -> None:
    """Run a Hydra entry point on this process's arguments.

    Bad input and a fault of the disk are one line and exit code 1. A signal ends the command from
    its first moment on, and every command ends with the one that started it.
    """
    end_with_parent()
    early.stop()
    speak_plainly()
    with ended_by_signals(), quiet_logging():
        try:
            _run(main, Path(sys.argv[0]).stem)
        except Interrupted as interruption:
            if is_rank_of_lightning():
                sys.exit(0)  # rank 0 speaks for all, and is killed where a rank fails
            is_sweep = any(makes_a_multirun(argument) for argument in sys.argv[1:])
            resume = as_started(RESUME)
            end_interrupted(interruption, resume if is_sweep else "start it again")


@contextmanager
def quiet_logging() -> Iterator[None]:
    """Context in which a log that cannot be written, on a full disk, is no traceback a line."""
    earlier, logging.raiseExceptions = logging.raiseExceptions, False
    try:
        yield
    finally:
        logging.raiseExceptions = earlier


@contextmanager
def _folder_of_sweep(is_printed: bool) -> Iterator[None]:
    """Context of a command; a sweep that is only printed gets a folder that goes with it."""
    if not is_printed:
        yield
        return
    with TemporaryDirectory(prefix="lora_lightning_") as folder:
        sys.argv.append(f"hydra.sweep.dir={quote(folder)}")
        yield


def _run(main: Callable[[], Any], command: str) -> None:
    register()
    register_source()
    if os.environ.pop(RANK_OF_PASS, None):
        import_lightning()
        from lora_lightning.one_pass.further_rank import run_further_rank

        run_further_rank(main.__wrapped__)  # type: ignore[attr-defined]  # without Hydra's start
        return
    if {"--help", "-h"} & set(sys.argv[1:]):
        try:
            print_help(command, CONFIGS, sys.argv[1:])
        except InputError as error:
            sys.exit(f"error: {error}")
        return
    wants_traceback = "HYDRA_FULL_ERROR" in os.environ and not is_rank_of_this_command()
    if wants_traceback:
        os.environ[TRACEBACK] = "1"
    # Otherwise Hydra prints the exception and exits before this function sees it.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    arguments = sys.argv[1:]
    try:
        load_environment(workspace() / ".env")
        with trusted_no_longer(), own_configs(arguments):
            sys.argv[1:] = shared_by_ranks(lambda: prepare_arguments(command, arguments))
            is_sweep = any(makes_a_multirun(argument) for argument in arguments)
            with nothing_left_behind(), _folder_of_sweep(is_sweep and writes_nothing(arguments)):
                if is_sweep and command != "evaluate":
                    import_lightning()  # before the sweep's jobs are checked, which imports it
                if is_sweep:
                    garbage.take_up()  # the jobs may run in other processes
                main()
    except (InputError, *COMPOSING) as error:
        if wants_traceback:
            raise
        sys.exit(f"error: {explain(error, lambda: existing_keys(command, arguments))}")
    except (AttributeError, AssertionError) as error:
        if wants_traceback or not is_of_params(error):
            raise
        sys.exit(
            "error: hydra.sweeper.params: a plain grid has none from the command line; give each "
            "key by itself, as method.rank=1,2, or the space in a file of configs/hparams_search"
        )
    except OSError as error:
        if wants_traceback or (fault := disk_fault(error)) is None:
            raise
        sys.exit(f"error: {fault}")
    finally:
        garbage.take_up()
        if not wants_traceback:
            del os.environ["HYDRA_FULL_ERROR"]
