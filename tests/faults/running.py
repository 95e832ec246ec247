"""A command that runs, what it says, and the processes that belong to it."""

import ctypes
import os
import resource
import select
import shlex
import struct
import sys
import time
import uuid
from contextlib import suppress

import psutil

from tests.faults import forking

MARK = "LORA_LIGHTNING_FAULTS"  # in the environment of every process of a command
PATIENCE = 240.0  # seconds in which a command has to end, on a machine that does much else
MOMENT = 20.0  # seconds in which what a command started has to end after it
POLL = 0.01
ALL_POWERS = (1, 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: root's, over the rights to files
PR_CAPBSET_DROP = 24
CAPABILITIES_VERSION_3 = 0x20080522


class Running:
    """A command that was started; it writes into a pipe, which no limit of files' sizes is for.

    Args:
        arguments: of Python.
        real: whether Python itself is started, and not a fork.
        at_operation: is called in a fork before each of its operations on files.
    """

    def __init__(self, arguments, real=False, at_operation=None):
        self.arguments = arguments
        self.mark = uuid.uuid4().hex
        self.started = time.monotonic()
        self.output = ""
        self.code = None
        self.was_unheard = False  # ended by a signal before Python ran its first line
        self._reading, writing = os.pipe()
        environment = os.environ | {MARK: self.mark}

        def prepare():
            as_no_root()
            if at_operation is not None:
                watch_operations(at_operation)

        self.process = forking.start(arguments, environment, writing, prepare, real)
        os.close(writing)
        os.set_blocking(self._reading, False)

    @property
    def seconds(self):
        """How long it has been running."""
        return time.monotonic() - self.started

    def shown(self):
        """The command as one would type it."""
        return "python " + shlex.join(self.arguments)

    def has_ended(self):
        """Whether the command has ended; its exit code is as a shell's then."""
        if self.code is None:
            self._read()
            process, status = os.waitpid(self.process, os.WNOHANG)
            if process:
                code = os.waitstatus_to_exitcode(status)
                self.code = code if code >= 0 else 128 - code
                self._read()
                self.was_unheard = code < 0 and not self.output
        return self.code is not None

    def wait(self, seconds=PATIENCE):
        """Wait for its end, and return whether it came."""
        until = time.monotonic() + seconds
        while not self.has_ended() and time.monotonic() < until:
            select.select([self._reading], [], [], POLL)
            time.sleep(POLL)
        return self.has_ended()

    def processes(self):
        """Every process that belongs to the command, its own included, that has not ended."""
        return [process for process in psutil.process_iter() if self._owns(process)]

    def process_of(self, name):
        """The process that is called so, None where there is none (yet)."""
        for process in self.processes():
            with suppress(psutil.Error):
                if name in (process.name(), named_by_environment(process)):
                    return process
        return None

    def left_over(self):
        """What is still running some moments after the command has ended, by name."""
        until = time.monotonic() + MOMENT
        while (left := self.processes()) and time.monotonic() < until:
            time.sleep(10 * POLL)  # to look at every process of a machine takes a while
        return [" ".join(process.cmdline()) or process.name() for process in left]

    def end(self):
        """End whatever is left of it, and close its output."""
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()
        self.wait(MOMENT)
        os.close(self._reading)

    def _read(self):
        with suppress(BlockingIOError):
            while piece := os.read(self._reading, 1 << 16):
                self.output += piece.decode("utf-8", "replace")

    def _owns(self, process):
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            is_of_session = os.getsid(process.pid) == self.process
            return is_of_session or process.environ().get(MARK) == self.mark
        except (psutil.Error, ProcessLookupError):
            return False


def named_by_environment(process):
    """A further rank or a worker of joblib, as its environment and command line say."""
    if rank := process.environ().get("LOCAL_RANK"):
        return f"rank {rank}"
    return "worker" if "loky" in " ".join(process.cmdline()) else None


def as_no_root():
    """Give up root's power over the rights to files, in this process and what it executes."""
    if os.geteuid() != 0 or sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    for power in ALL_POWERS:
        libc.prctl(PR_CAPBSET_DROP, power, 0, 0, 0)
    header = struct.pack("Ii", CAPABILITIES_VERSION_3, 0)
    data = ctypes.create_string_buffer(24)
    libc.capget(header, data)
    effective, permitted, inheritable, *higher = struct.unpack("6I", data.raw)
    kept = ~sum(1 << power for power in ALL_POWERS)
    data = struct.pack("6I", effective & kept, permitted & kept, inheritable & kept, *higher)
    if libc.capset(header, data):
        raise OSError(ctypes.get_errno(), "capset")


def watch_operations(at_operation):
    """Call `at_operation` before each operation of this process that changes files or folders."""
    here = os.getpid()
    writing = os.O_WRONLY | os.O_RDWR

    def hear(event, arguments):
        changes = event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link")
        changes = changes or (event == "open" and bool((arguments[2] or 0) & writing))
        if changes and os.getpid() == here:
            at_operation()

    sys.addaudithook(hear)


def limit_files(process, size):
    """Let a running process write no file beyond this size; None: no limit."""
    _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    soft = resource.RLIM_INFINITY if size is None else size
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (soft, hard))
