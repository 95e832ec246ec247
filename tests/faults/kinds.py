"""The kinds of fault: what befalls a running command, and how it is undone before a restart."""

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass

import psutil

from tests.faults.running import Running, limit_files

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
ROOM = 64 << 20  # bytes of the small disk that is filled


@dataclass
class Scene:
    """What a fault finds.

    Attributes:
        running: the command.
        folder: of its results.
        random: the try's own.
        second: a second command that a fault started.
        further: the processes that were hit.
    """

    running: Running
    folder: object
    random: object
    second: Running | None = None


class Fault:
    """One kind of fault. Restarts begin anew after one that takes the results away."""

    takes_results = False
    at_operations = False  # whether it can come between two operations on files
    needs_small_disk = False

    def suits(self, scenario):
        """Whether it can befall this command."""
        return True

    def is_due(self, scene):
        """Whether what it hits is there."""
        return True

    def happen(self, scene):
        """Let it befall the command."""

    def undo(self, scene):
        """Mend it once the command has ended."""

    def allowed(self, number_of_code):
        """Whether a command that it befell may end with this exit code."""
        return number_of_code in (0, 1)


@dataclass(frozen=True)
class Signal(Fault):
    """A signal to one or all processes of a command."""

    number: signal.Signals
    target: str

    @property
    def name(self):
        return f"{self.number.name} to {self.target}"

    @property
    def at_operations(self):
        return self.target in ("the command", "all at once")

    def suits(self, scenario):
        if self.target == "rank 1":
            return scenario.ranks > 1
        if self.target == "worker":
            return "joblib" in scenario.name
        return self.target == "the command" or scenario.ranks > 1 or scenario.kind == "sweep"

    def is_due(self, scene):
        return self.target in ("the command", "all at once") or self._found(scene) is not None

    def happen(self, scene):
        if self.target == "the command":
            os.kill(scene.running.process, self.number)
        elif self.target == "all at once":
            for process in scene.running.processes():
                with suppress(psutil.Error):
                    process.send_signal(self.number)
        else:
            with suppress(psutil.Error):
                self._found(scene).send_signal(self.number)

    def raise_here(self):
        """Send it from within the command."""
        send = os.killpg if self.target == "all at once" else os.kill
        send(os.getpid(), self.number)

    def allowed(self, number_of_code):
        if self.number != signal.SIGKILL:
            # A rank that Python itself has not yet started is lost.
            lost = (1,) if self.target in ("rank 1", "worker") else ()
            return number_of_code in (0, 128 + self.number, *lost)
        return number_of_code in ((0, 1) if self.target in ("rank 1", "worker") else (0, 137))

    def _found(self, scene):
        return scene.running.process_of(self.target)


class FolderRemoved(Fault):
    name = "folder removed"
    takes_results = True

    def is_due(self, scene):
        return scene.folder.exists()

    def happen(self, scene):
        shutil.rmtree(scene.folder, ignore_errors=True)


class FolderAway(Fault):
    """As a network folder that cannot be reached for a while."""

    name = "folder out of reach"

    def is_due(self, scene):
        return scene.folder.exists()

    def happen(self, scene):
        scene.folder.rename(away(scene.folder))

    def undo(self, scene):
        if not away(scene.folder).exists():
            return
        if scene.folder.exists():
            if scene.running.code == 0:  # what does not look back wrote its results anew
                return
            shutil.rmtree(scene.folder)
        away(scene.folder).rename(scene.folder)


def away(folder):
    """Where a folder is that is out of reach."""
    return folder.with_name("away")


class FolderLocked(Fault):
    name = "folder without the right to write"

    def is_due(self, scene):
        return scene.folder.exists()

    def happen(self, scene):
        self._set(scene, 0o555)

    def undo(self, scene):
        self._set(scene, 0o755)

    def _set(self, scene, rights):
        for folder in [scene.folder, *scene.folder.rglob("*")]:
            with suppress(FileNotFoundError):
                if folder.is_dir():
                    folder.chmod(rights)


class FilesLimited(Fault):
    name = "limit of a file's size"

    def happen(self, scene):
        size = scene.random.choice((0, 100, 1000, 5000, 20_000))
        for process in scene.running.processes():
            with suppress(psutil.Error, ProcessLookupError, PermissionError):
                limit_files(process, size)


class DiskFull(Fault):
    name = "full disk"
    needs_small_disk = True

    def happen(self, scene):
        with suppress(OSError), filler(scene).open("wb") as file:
            while True:
                file.write(bytes(1 << 20))
                file.flush()

    def undo(self, scene):
        filler(scene).unlink(missing_ok=True)


def filler(scene):
    """The file that fills the disk."""
    return scene.folder.parent / "filler"


class TwoAtOnce(Fault):
    name = "the same command twice at once"

    def happen(self, scene):
        scene.second = Running(scene.running.arguments)


def small_disk(folder):
    """Mount a small disk; return whether this machine lets us."""
    folder.mkdir(parents=True, exist_ok=True)
    return mount("-t", "tmpfs", "-o", f"size={ROOM}", "none", str(folder))


def mount(*arguments, program="mount"):
    """Whether `mount`, or its opposite, did what it was asked."""
    try:
        return subprocess.run([program, *arguments], capture_output=True).returncode == 0
    except OSError:
        return False


def all_faults(may_mount):
    """Every kind of fault that this machine can have."""
    targets = ("the command", "rank 1", "worker", "all at once")
    signals = [Signal(number, target) for target in targets for number in SIGNALS]
    disks = [DiskFull()] if may_mount else []
    others = [FolderRemoved(), FolderAway(), FolderLocked(), FilesLimited(), *disks, TwoAtOnce()]
    return [*signals, *others]
