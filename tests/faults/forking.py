"""Commands as forks of a process that has imported everything: most of a short command's time.

A fork runs the command's own script as `python <script>` would, in a session of its own. So do the
commands that it starts, its ranks among them: each process keeps a fork of its untouched self in
reserve, which becomes such a child in place of a new Python.
"""

import atexit
import ctypes
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import traceback

# What the commands import on their way.
MODULES = (
    "lora_lightning.cli.entry", "lora_lightning.sweep.job", "lora_lightning.sweep.plan",
    "lora_lightning.sweep.resume", "lora_lightning.sweep.study", "lora_lightning.tasks.train",
    "lora_lightning.tasks.generate", "lora_lightning.tasks.evaluate",
    "lightning.pytorch.strategies", "transformers.models.gpt2.modeling_gpt2",
    "hydra._internal.hydra", "hydra._internal.utils", "hydra.core.plugins",
    "lora_lightning.sweep.search", "lora_lightning.sweep.study",
    "hydra_plugins.hydra_joblib_launcher._core",
    "torch.nn.parallel.distributed", "torch.distributed.algorithms.join", "psutil", "filelock",
    "matplotlib.pyplot", "matplotlib.backends.backend_agg", "sqlalchemy.dialects.sqlite",
)  # fmt: skip
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
PR_SET_NAME = 15
NO_START = 70  # exit code where a process could not even become the command


def import_everything():
    """Import what the commands import, as far as that starts no thread."""
    from lora_lightning.cli.quick_imports import import_lightning

    import_lightning()
    for module in MODULES:
        importlib.import_module(module)
    assert threading.active_count() == 1, threading.enumerate()


def start(arguments, environment, output, prepare, real):
    """Start `python <arguments>` in a session of its own; return its process id.

    Args:
        arguments: a script and its arguments, or `-m`, a module and its arguments.
        environment: all of it.
        output: the descriptor that the command writes to.
        prepare: is called in the new process first.
        real: whether to execute a new Python, and not go on in the fork.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if process := os.fork():
        return process
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        # Streams of the harness remember what kind of file they were.
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(  # noqa: SIM115
            2, "w", errors="backslashreplace", buffering=1, closefd=False
        )
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        prepare()
        if real:
            os.execve(sys.executable, [sys.executable, *arguments], environment)
        signal.signal(signal.SIGINT, signal.default_int_handler)
    except BaseException:
        traceback.print_exc()
        os._exit(NO_START)
    return become(arguments, environment, os.getcwd())


def become(arguments, environment, folder):
    """Be the command from now on, and end as it ends."""
    reserve = Reserve()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    name_process(f"rank {environment.get('LOCAL_RANK', 0)}")
    reserve.stand_in_for_children()
    code = 0
    try:
        run(arguments)
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    if not isinstance(code, int | None):
        sys.stderr.write(f"{code}\n")
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code or 0)


def run(arguments):
    """Run the script or module in this process."""
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(arguments)
        runpy.run_path(arguments[0], run_name="__main__")


def name_process(name):
    """Give this process a name for `psutil`, to which its environment is that of the harness."""
    ctypes.CDLL(None).prctl(PR_SET_NAME, name.encode())


class Reserve:
    """A fork of this process that waits for a command to become, and ends with this process."""

    def __init__(self):
        reading, self.writing = os.pipe()
        self.process = os.fork()
        if self.process:
            os.close(reading)
            return
        os.close(self.writing)
        name_process("reserve")
        earlier = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}
        with os.fdopen(reading) as file:
            asked = file.read()
        if not asked:
            os._exit(0)
        for number, handler in earlier.items():
            signal.signal(number, handler)
        become(**json.loads(asked))

    def stand_in_for_children(self):
        """Let the next of our commands that this process starts be the reserve."""
        fork_exec = subprocess._fork_exec

        def fork_or_take_reserve(*given):
            command, folder, variables, pipes = given[0], given[4], given[5], given[6:12]
            command = [os.fsdecode(part) for part in command]
            is_ours = command[0] == sys.executable and command[1] != "-c"
            if not is_ours or any(descriptor != -1 for descriptor in pipes) or not self.writing:
                return fork_exec(*given)
            environment = dict(os.environ)
            if variables is not None:
                environment = dict(os.fsdecode(pair).split("=", 1) for pair in variables)
            folder = os.fsdecode(folder) if folder else os.getcwd()
            asked = {"arguments": command[1:], "environment": environment, "folder": folder}
            with os.fdopen(self.writing, "w") as file:
                json.dump(asked, file)
            self.writing = None
            return self.process

        subprocess._fork_exec = fork_or_take_reserve
