"""docs/faults.md: what befell the commands, how often, and what came of it."""

import os
import platform
from datetime import date

import torch

from lora_lightning.files import atomic_text
from lora_lightning.runs.record import environment
from tests.goldens import ROOT

PAGE = ROOT / "docs" / "faults.md"
COUNTED = ("lost", "doubled", "wrong", "hung", "left_over", "unclear")
INTRODUCTION = """\
# What faults do to a command: nothing that a restart does not mend

`make faults` lets a fault befall a command at a random moment of its life, its start included; in
a quarter of the tries the restart has one, too. Then it is restarted as its last line says, or,
after SIGKILL, as [contract.md](contract.md) says, until it ends. What it ends with is compared with
an undisturbed command's: curves, checkpoints and adapters bit by bit; predictions by id, text and
token; scores digit by digit; a sweep's jobs, objectives and study. Two fifths of the signals come
between two operations on files, the others at any time.

- **lost**, **doubled**: rows, ids, jobs, files that are missing at the end, or there twice; or a
  restart that does not go on;
- **wrong**: values other than those of the undisturbed command;
- **hung**: commands that did not end in {patience:.0f} seconds;
- **left over**: processes that outlived their command by {moment:.0f} seconds, wherever they hang
  in the tree of processes;
- **unclear**: tracebacks, exit codes other than documented, last lines that do not say how to go
  on. A signal before Python runs the command's first line ends it without a word, by the system.
"""


def table(outcomes, of, head):
    """Return a table of Markdown with a row for each value of an attribute of the outcomes."""
    names = [name.replace("_", " ") for name in COUNTED]
    lines = [f"| {head} | tries | {' | '.join(names)} |", "|---|" + "---:|" * (1 + len(names))]
    groups = {}
    for outcome in outcomes:
        groups.setdefault(getattr(outcome, of), []).append(outcome)
    for name, members in [*sorted(groups.items()), ("**all**", outcomes)]:
        counts = [sum(bool(getattr(member, what)) for member in members) for what in COUNTED]
        lines.append(f"| {name} | {len(members)} | {' | '.join(map(str, counts))} |")
    return "\n".join(lines)


def page(outcomes, seed, may_mount, patience, moment):
    """Return the page as Markdown.

    Args:
        outcomes: of all tries.
        seed: that they were drawn from.
        may_mount: whether disks could be filled.
        patience: seconds after which a command hangs.
        moment: seconds after which a process is left over.
    """
    made = environment()
    versions = ", ".join(f"{name} {number}" for name, number in made["versions"].items())
    commit = made["git"]["commit"][:12] if made["git"] else "unknown"
    real = sum(outcome.is_real for outcome in outcomes)
    disks = "" if may_mount else " No disk could be mounted here, so none was filled."
    return f"""{INTRODUCTION.format(patience=patience, moment=moment)}
{date.today().isoformat()}, seed {seed}, {len(outcomes)} tries, {real} of them with a
Python of its own for every process, the others as forks of one that had imported everything.{disks}
Commit {commit}; {versions}; {processor()}.

{table(outcomes, "fault", "fault")}

{table(outcomes, "command", "command")}

One try again: `python -m tests.faults --seed {seed} --only <number>`.
"""


def processor():
    """Name the processor, how many there are, and what torch takes for its kind."""
    kind = torch.backends.cpu.get_cpu_capability()
    return f"{os.cpu_count()} processors of kind {platform.machine()} with {kind}"


def write_page(content):
    """Write docs/faults.md."""
    with atomic_text(PAGE) as file:
        file.write(content)
