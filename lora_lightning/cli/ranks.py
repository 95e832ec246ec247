"""One command line for all ranks, whoever started them: Lightning, torchrun or SLURM."""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from lora_lightning.errors import InputError
from lora_lightning.process import LAUNCH_TIME, now
from lora_lightning.process.programs import as_started


def is_rank_of_this_command() -> bool:
    """Whether Lightning started this process as a further rank, with arguments prepared before."""
    return "LOCAL_RANK" in os.environ and LAUNCH_TIME in os.environ


def shared_by_ranks(prepare: Callable[[], list[str]]) -> list[str]:
    """Return the prepared arguments of rank 0, and fix the launch time, in every rank."""
    if is_rank_of_this_command():
        return prepare()
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        os.environ[LAUNCH_TIME] = now()
        return prepare()
    if any(makes_a_multirun(argument) for argument in sys.argv[1:]):
        raise InputError(
            "a multirun under torchrun would run the whole sweep in every rank; start "
            f"`{as_started('python train.py')} -m … trainer=ddp` and let each job start its ranks"
        )
    return _exchange(prepare)


def makes_a_multirun(argument: str) -> bool:
    """Whether an argument makes the command a multirun."""
    key, _, value = argument.lstrip("+").partition("=")
    is_search = key == "hparams_search" and value != "null"
    return argument in ("-m", "--multirun") or argument == "hydra.mode=MULTIRUN" or is_search


def _exchange(prepare: Callable[[], list[str]]) -> list[str]:
    """Pass rank 0's arguments and launch time, or its error, to all ranks of torchrun."""
    from torch.distributed import PrefixStore, rendezvous

    store, rank, _ = next(rendezvous("env://"))
    store = PrefixStore(f"lora_lightning/{os.environ['TORCHELASTIC_RESTART_COUNT']}", store)
    if rank == 0:
        message: dict[str, Any] = {"launch_time": now()}
        try:
            message["arguments"] = prepare()
        except InputError as error:
            message["error"] = str(error)
        store.set("command", json.dumps(message))
    message = json.loads(store.get("command"))
    if "error" in message:
        raise InputError(message["error"])
    os.environ[LAUNCH_TIME] = message["launch_time"]
    # Else another rank's `.hydra` could lie in the folder before rank 0 looks whether it is empty.
    return message["arguments"] + (["hydra.output_subdir=null"] if rank else [])
