"""No process outlives the one that started it, however that one ends.

On Linux the kernel ends the child (`prctl(PR_SET_PDEATHSIG)`), whatever the child is waiting for;
elsewhere a thread of the child looks after the parent. The signal is SIGKILL: a rank that waits for
ranks that are gone would obey no other, and what is on disk is whole at any time.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

PARENT = "LORA_LIGHTNING_PARENT"  # process id of the command that started this one
RANK_OF_PASS = "LORA_LIGHTNING_RANK_OF_PASS"  # set where this one is a further rank of a pass
POLL_SECONDS = 1.0
MOMENT_SECONDS = 4.0
CLOCKS_DIFFER_SECONDS = 1.0
PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """End this command when the command, or torchrun's agent, that started it ends.

    Called as early as may be, in the main thread. What a user starts has no such parent.
    """
    is_of_agent = "TORCHELASTIC_RUN_ID" in os.environ
    parent = str(os.getppid()) if is_of_agent else os.environ.get(PARENT)
    os.environ[PARENT] = str(os.getpid())  # of those that this process will start
    if parent is None or (os.getppid() != int(parent) and is_running(int(parent))):
        return  # the variable came down to a process of somebody else's
    if (ask_kernel := parent_death_signal()) is None:
        watch(int(parent))
        return
    ask_kernel()
    if os.getppid() != int(parent):  # it ended before the kernel was asked
        os.kill(os.getpid(), signal.SIGKILL)


def end_with_command() -> None:
    """End this worker of a launcher on this machine when the command that launches jobs ends.

    By a thread: the kernel ends a child with the parent's thread that started it, and a launcher
    may start workers in threads that end before the command does. SLURM's jobs outlive theirs.
    """
    parent = int(os.environ.get(PARENT, os.getpid()))
    is_watched = any(thread.name == watch.__name__ for thread in threading.enumerate())
    if parent == os.getpid() or is_watched or os.environ.get("SUBMITIT_EXECUTOR") == "slurm":
        return
    watch(parent)


def let_parent_end_first() -> None:
    """Wait, in a rank that Lightning started, whether its error is that rank 0 is just ending.

    The connections of a process break a moment before it ends, and this one with it.
    """
    if is_rank_of_lightning():
        time.sleep(MOMENT_SECONDS)


def is_rank_of_lightning() -> bool:
    """Whether the parent is the process that Lightning started this rank from, not an agent."""
    return "TORCHELASTIC_RUN_ID" not in os.environ and int(os.environ.get("LOCAL_RANK", 0)) > 0


def parent_death_signal() -> Callable[[], object] | None:
    """Return a function that asks the kernel to kill this process with its parent's thread.

    It may be called between fork and exec. None where the system has nothing of this kind.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def until_this_process_ends() -> Callable[[], object] | None:
    """Return what a program that is no Python of ours calls between fork and exec.

    It then ends with the thread of this process that starts it. Where the kernel does not see to
    that, a fork of the program does, in its process group. None where the system has no fork.
    """
    parent, ask_kernel = os.getpid(), parent_death_signal()
    if ask_kernel is None:
        import psutil  # noqa: F401  # not in a fork, where a thread that is gone may be importing

        return (lambda: _guard(parent)) if hasattr(os, "fork") else None

    def ask() -> None:
        ask_kernel()
        if os.getppid() != parent:  # it ended before the kernel was asked
            os._exit(1)

    return ask


def _guard(parent: int) -> None:
    """Fork a process that kills this one when `parent` ends, and ends itself with this one."""
    child = os.getpid()
    if os.fork():
        return
    os.closerange(0, os.sysconf("SC_OPEN_MAX"))  # `Popen` waits for the end of one of them
    while os.getppid() == child:
        if not is_running(parent):
            os.kill(child, signal.SIGKILL)
        time.sleep(POLL_SECONDS)
    os._exit(0)


def watch(process_id: int) -> None:
    """Kill this process within about a second after the process of this id ended."""

    def look_after() -> None:
        while is_running(process_id):
            time.sleep(POLL_SECONDS)
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))

    threading.Thread(target=look_after, name=watch.__name__, daemon=True).start()


def is_running(process_id: int, since: float | None = None) -> bool:
    """Whether there is a process of this id that has not ended; one to be waited for has.

    Not by `os.kill(process_id, 0)`, which ends the process on Windows.

    Args:
        process_id: of this machine.
        since: seconds of the epoch at which it ran; a process that began later only has its id.
    """
    import psutil

    try:
        process = psutil.Process(process_id)
        is_later = since is not None and process.create_time() > since + CLOCKS_DIFFER_SECONDS
        return not is_later and bool(process.status() != psutil.STATUS_ZOMBIE)
    except (psutil.NoSuchProcess, ValueError):  # a negative number is no id
        return False
    except psutil.AccessDenied:  # another user's, where the system does not tell how it is
        return True
