"""A rank of a pass other than 0: it does what rank 0 does, and writes and says nothing."""

import pickle
import sys
from functools import partial

from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobRuntime, setup_globals
from hydra.types import HydraContext, TaskFunction

from lora_lightning.one_pass.engine import Pass
from lora_lightning.one_pass.processes import Orders, connect, disconnect
from lora_lightning.sweep.launched import run_composed

SIGNALLED = 128  # and more is the exit code of a process that a signal ended


def run_further_rank(task: TaskFunction) -> None:
    """Run the jobs that rank 0 hands over, together with it.

    Args:
        task: the command.
    """
    orders: Orders = pickle.load(sys.stdin.buffer)  # from the command that started this process
    setup_globals()
    JobRuntime.instance().set("name", orders.jobs[0].hydra.job.name)
    HydraConfig.instance().set_config(orders.jobs[0])
    context = HydraContext(ConfigLoaderImpl(ConfigSearchPathImpl()), Callbacks())
    connect(orders.jobs[0])
    runs = [partial(run_composed, context, task, job) for job in orders.jobs]
    try:
        Pass(runs, orders.at_once, orders.rounds, orders.memory).run()
    except SystemExit as end:
        if isinstance(end.code, int) and end.code > SIGNALLED:
            sys.exit(0)  # rank 0 speaks for all, and would be killed by the failure of another
        raise
    disconnect()
