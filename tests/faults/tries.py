"""One try: a command, a fault at a moment of its life, restarts to its end, and a comparison."""

import os
import random
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import kinds
from tests.faults.page import COUNTED
from tests.faults.running import PATIENCE, POLL, Running
from tests.faults.scenarios import Difference, all_scenarios

RESTARTS = 6
SHARE_OF_REAL = 0.08  # of tries in which every process is a Python of its own
SHARE_OF_OPERATIONS = 0.4  # of signals that come between two operations on files
SHARE_OF_SECOND_FAULTS = 0.25
BEYOND = 1.05  # of an undisturbed command's duration: also when it is just ending


@dataclass
class Outcome:
    """What a try has shown, each as texts; all empty where everything held.

    Attributes:
        unclear: tracebacks, other exit codes than documented, and what else is not one line.
    """

    fault: str
    command: str
    is_real: bool
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    hung: list[str] = field(default_factory=list)
    left_over: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    log: str = ""

    @property
    def is_good(self):
        return not any(getattr(self, name) for name in COUNTED)


class Undisturbed:
    """Runs of the commands to which nothing happens, each made when it is first asked for.

    Args:
        folder: where they go.
        seconds_of_start: what Python's imports take, which a fork does not.
    """

    def __init__(self, folder, seconds_of_start):
        self.folder = folder
        self.seconds_of_start = seconds_of_start
        self._known = {}

    def of(self, scenario):
        """The folder of results, the seconds, and the number of operations on files."""
        if scenario.name not in self._known:
            self._known[scenario.name] = self._run(scenario)
        return self._known[scenario.name]

    def predictions(self):
        """A file to score, which `generate, 1 rank` makes."""
        return self.folder / "generate-1-rank" / "out" / "predictions.jsonl"

    def _run(self, scenario):
        name = "-".join(scenario.name.replace(",", "").split())
        folder = self.folder / name / "out"
        folder.parent.mkdir(parents=True)
        counter = folder.parent / "operations"
        counter.touch()
        descriptor = os.open(counter, os.O_WRONLY)
        running = Running(
            scenario.command(folder),
            real=scenario.always_real,
            at_operation=None if scenario.always_real else lambda: os.write(descriptor, b"."),
        )
        ended = running.wait()
        seconds = running.seconds
        os.close(descriptor)
        output = running.output
        left = running.left_over()
        running.end()
        if not ended or running.code or left:
            raise RuntimeError(f"{running.shown()} ended with {running.code}, {left}\n{output}")
        if scenario.name == "sweep by Optuna":  # its jobs are some of the grid's
            folder = self.of(self.grid)[0]
        return folder, seconds, counter.stat().st_size

    @property
    def grid(self):
        return next(s for s in all_scenarios(self.predictions()) if s.name == "sweep of a grid")


def draw(seed, number, scenarios, faults):
    """What try `number` of a seed is: its random numbers, its command and its fault."""
    drawn = random.Random(f"{seed}/{number}")
    scenario = drawn.choices(scenarios, [scenario.weight for scenario in scenarios])[0]
    return drawn, scenario, drawn.choice([fault for fault in faults if fault.suits(scenario)])


def make_try(drawn, scenario, fault, undisturbed, folder: Path, may_be_real):
    """Make one try in `folder`, which is removed where everything held."""
    is_real = scenario.always_real or (may_be_real and drawn.random() < SHARE_OF_REAL)
    outcome = Outcome(fault.name, scenario.name, is_real)
    expected, seconds, operations = undisturbed.of(scenario)
    if is_real and not scenario.always_real:
        seconds += scenario.ranks * undisturbed.seconds_of_start
    results = folder / "out"
    folder.mkdir(parents=True)
    mounted = fault.needs_small_disk and kinds.small_disk(folder)
    try:
        follow(drawn, scenario, fault, outcome, results, (seconds, operations))
        if not (outcome.hung or outcome.lost):
            compare(scenario, results, expected, outcome)
    finally:
        if mounted:
            if not outcome.is_good:
                shutil.copytree(results, folder.with_name(folder.name + "-copy"))
            kinds.mount("-l", str(folder), program="umount")
        if outcome.is_good:
            shutil.rmtree(folder)
    return outcome


def follow(drawn, scenario, fault, outcome, results, life):
    """Run a command under a fault, and restart it until it ends well."""
    arguments = scenario.command(results)
    faults_left = 1 + (drawn.random() < SHARE_OF_SECOND_FAULTS)
    for _ in range(RESTARTS):
        is_disturbed = faults_left > 0
        befalls = fault if is_disturbed else kinds.Fault()
        running, second, was_hit = run(drawn, befalls, arguments, results, life, outcome)
        faults_left -= 1
        if outcome.hung:
            return
        if was_hit and fault.takes_results:
            arguments = [*scenario.command(results), "overwrite=true"]
            continue
        if running.code == 0:
            return
        if second is not None and second.code == 0:
            return
        if not is_disturbed and "overwrite=true" not in running.output:
            outcome.lost.append(f"{running.shown()} ended with {running.code}")
            return
        arguments = scenario.goes_on(results, drawn, running.output)
    outcome.lost.append("no restart came to its end")


def run(drawn, fault, arguments, results, life, outcome):
    """Run a command to its end, with a fault at a moment of its life."""
    seconds, operations = life
    moment = drawn.random() * BEYOND
    at_operation = None
    by_operation = fault.at_operations and drawn.random() < SHARE_OF_OPERATIONS
    if by_operation and not outcome.is_real:
        countdown = [int(moment * operations)]

        def at_operation():
            countdown[0] -= 1
            if countdown[0] == -1:
                fault.raise_here()

    running = Running(arguments, outcome.is_real, at_operation)
    scene = kinds.Scene(running, results, drawn)
    was_hit = at_operation is not None
    if not was_hit and type(fault) is not kinds.Fault:
        while not running.has_ended() and not was_hit:
            if running.seconds < moment * seconds:
                time.sleep(POLL)
            elif fault.is_due(scene):
                fault.happen(scene)
                was_hit = True
            else:
                time.sleep(10 * POLL)
    place = f"operation {moment * operations:.0f}" if at_operation else f"{moment * seconds:.2f} s"
    for one in [running, *([scene.second] if scene.second else [])]:
        has_ended = one.wait(PATIENCE)
        if not has_ended:
            outcome.hung.append(f"{one.shown()}: {describe_processes(one)}")
        elif left := one.left_over():
            outcome.left_over += left
        one.end()
        outcome.log += f"\n$ {one.shown()}\n{one.output}[exit code {one.code}]\n"
        look_at(one, fault, was_hit, outcome)
    if was_hit:
        fault.undo(scene)
        outcome.log += f"[{fault.name} at {place} of {seconds:.2f} s, {operations} operations]\n"
    return running, scene.second, was_hit


def describe_processes(running):
    """The processes of a command that does not end."""
    return "; ".join(f"{p.pid} {p.name()} {p.status()}" for p in running.processes())


def look_at(running, fault, was_hit, outcome):
    """Note what a command said that is not one line, and another exit code than documented."""
    is_torchrun = "torch.distributed.run" in running.arguments  # whose agent has its own words
    if "Traceback" in running.output and not is_torchrun:
        outcome.unclear.append(f"a traceback of {running.shown()}")
    if was_hit and not is_torchrun and not fault.allowed(running.code):
        outcome.unclear.append(f"exit code {running.code} of {running.shown()}")
    if was_hit and running.code not in (0, 137) and not is_torchrun and not running.was_unheard:
        last = (running.output.strip().splitlines() or [""])[-1]
        was_done = last.startswith(("next ", "scores "))  # it was hit on its way out
        says_how = any(word in last for word in ("error: ", "go on", "start it again", "goes on"))
        if not (was_done or says_how):
            outcome.unclear.append(f"ended with: {last!r}")


def compare(scenario, results, expected, outcome):
    """Compare what is there at last with what an undisturbed command wrote."""
    try:
        difference = scenario.compare(results, expected)
    except Exception as error:  # whatever a reader says of a damaged file
        difference = Difference([], [], [f"cannot be compared: {error!r}"])
    outcome.lost += difference.lost
    outcome.doubled += difference.doubled
    outcome.wrong += difference.wrong
