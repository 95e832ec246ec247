"""The further processes of a pass whose jobs train or decode with several: started once for all.

Rank 0 is the command itself. The others start the same script, and get the jobs as rank 0 composed
them: a command line would be composed anew, and by a search to other values.
"""

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryFile

import torch
import torch.distributed
from omegaconf import DictConfig, open_dict
from torch.distributed import TCPStore

from lora_lightning.config.trainer import processes
from lora_lightning.process import LAUNCH_TIME, REPOSITORY
from lora_lightning.process.lost_ranks import ended_by_lost_rank, watch_ranks
from lora_lightning.process.parent import RANK_OF_PASS
from lora_lightning.runs.isolation import environment_without_ranks
from lora_lightning.sweep.record import SweepFolder
from lora_lightning.sweep.trusted import how_to_resume

HOST = "127.0.0.1"
PATIENCE = timedelta(minutes=30)  # with a rank that computes longer
ENDS_SECONDS = 60.0  # in which a rank has ended after rank 0


@dataclass(frozen=True)
class Orders:
    """What a further rank does.

    Attributes:
        jobs: their configs.
        at_once: see `Pass`.
        rounds: see `Pass`.
        memory: see `Pass`.
    """

    jobs: Sequence[DictConfig]
    at_once: int | None
    rounds: int
    memory: int | None


def number_of_processes(config: DictConfig) -> int:
    """Return how many processes a job takes on this machine."""
    if config.trainer.strategy != "ddp":
        return 1
    if (given := processes(config.trainer.devices)) is not None:
        return given
    return max(1, torch.cuda.device_count()) if _device(config, 0).type == "cuda" else 1


@contextmanager
def connected_ranks(orders: Orders) -> Iterator[None]:
    """Context of a pass in rank 0: the others run, and are connected with this one.

    A rank that is lost ends this process, with one line that says which.

    Args:
        orders: for the others.
    """
    config = orders.jobs[0]
    size = number_of_processes(config)
    if size == 1:
        try:
            yield
        finally:
            disconnect()  # under DDP with one process, from itself
        return
    sweep = SweepFolder(Path(str(config.hydra.sweep.dir)).resolve())
    advice = f"go on with: {how_to_resume(sweep, Path(config.paths.user_dir))}"
    environment, threads = dict(os.environ), torch.get_num_threads()
    store = TCPStore(HOST, 0, is_master=True, wait_for_workers=False, timeout=PATIENCE)
    own = environment_without_ranks() | {
        "MASTER_ADDR": HOST,
        "MASTER_PORT": str(store.port),
        "NODE_RANK": "0",
        "WORLD_SIZE": str(size),
    }
    own |= {LAUNCH_TIME: environment[LAUNCH_TIME]} if LAUNCH_TIME in environment else {}
    ranks: list[subprocess.Popen[bytes]] = []
    with ended_by_lost_rank(lambda: advice):
        try:
            ranks += [_start(rank, own, orders) for rank in range(1, size)]
            watch_ranks(ranks)
            os.environ.clear()
            os.environ.update(own | {"LOCAL_RANK": "0"})
            connect(config, store)
            yield
            for rank in ranks:
                with suppress(subprocess.TimeoutExpired):
                    rank.wait(ENDS_SECONDS)
        except SystemExit as end:
            raise SystemExit(
                f"{end.code}; {advice}" if isinstance(end.code, str) else end.code
            ) from None
        finally:
            for rank in ranks:
                rank.kill()
            disconnect()
            os.environ.clear()
            os.environ.update(environment)
            torch.set_num_threads(threads)  # Lightning divides the cores among ranks


def connect(config: DictConfig, store: TCPStore | None = None) -> None:
    """Connect this rank with the others.

    Args:
        config: of a job.
        store: of rank 0; another rank's environment says where it is.
    """
    rank, size = int(os.environ["LOCAL_RANK"]), int(os.environ["WORLD_SIZE"])
    if store is None:
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = TCPStore(host, port, timeout=PATIENCE)
    device = _device(config, rank)
    is_gpu = device.type == "cuda"
    torch.distributed.init_process_group(
        "nccl" if is_gpu else "gloo",
        rank=rank,
        world_size=size,
        store=store,
        timeout=PATIENCE,
        device_id=device if is_gpu else None,
    )


def disconnect() -> None:
    """Leave the others; nothing is done where there was no connection."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _device(config: DictConfig, rank: int) -> torch.device:
    accelerator, devices = config.trainer.accelerator, config.trainer.devices
    if accelerator == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", rank if isinstance(devices, int | str) else devices[rank])


def _start(rank: int, environment: dict[str, str], orders: Orders) -> subprocess.Popen[bytes]:
    jobs = [copy.deepcopy(job) for job in orders.jobs]
    for job in jobs:
        with open_dict(job.hydra):
            job.hydra.output_subdir = None  # which rank 0 writes
    own = Orders(jobs, orders.at_once, orders.rounds, orders.memory)
    script = str(REPOSITORY / f"{orders.jobs[0].hydra.job.config_name}.py")
    with TemporaryFile() as file:
        pickle.dump(own, file)
        file.seek(0)
        return subprocess.Popen(
            [sys.executable, script],
            stdin=file,
            env=environment | {"LOCAL_RANK": str(rank), RANK_OF_PASS: "1"},
        )
