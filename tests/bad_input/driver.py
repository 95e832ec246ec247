"""One case of bad input: what is wrong, who meets it, and the one line that must be said.

Cases run in this process. Whatever the command, it must end with exit code 1 and one line that
begins with `error: `, print no traceback, leave every file as it was, and write none besides its
log, Hydra's description of the command, and a lock.
"""

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from lora_lightning.cli.program import run_program
from lora_lightning.errors import one_line_errors
from tests.commands import run_command

Damage = Callable[[Path], None]
COMMANDS = ("train", "generate", "evaluate")


@dataclass(frozen=True)
class Case:
    """Bad input to one command.

    Attributes:
        name: of the case; what is wrong.
        damage: makes it wrong; gets a folder of the case's own, in which `<folder>` lies.
        command: `train`, `generate`, `evaluate`, `sweep`, `export` or `load_run`.
        arguments: of it; `<folder>` stands for the case's folder.
        says: parts of the line that is said, in any order; `<folder>` as above.
    """

    name: str
    damage: Damage
    command: str
    arguments: tuple[str, ...]
    says: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.command}: {self.name}"


def check(case: Case, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Run a case in `folder`, and assert all that holds for bad input."""
    case.damage(folder)
    before = contents(folder)
    capfd.readouterr()
    line = said(
        case.command, [argument.replace("<folder>", str(folder)) for argument in case.arguments]
    )
    printed = "".join(capfd.readouterr())
    assert "Traceback" not in printed
    assert line.startswith("error: "), line
    assert "\n" not in line, line
    for part in case.says:
        assert part.replace("<folder>", str(folder)) in line
    after = contents(folder)
    assert {file: after.get(file) for file in before} == before
    assert not [file for file in after.keys() - before.keys() if not is_note(file)]


def said(command: str, arguments: list[str]) -> str:
    """Run a command that must end with exit code 1, and return the line that it says."""
    with pytest.raises(SystemExit) as raised:
        run(command, arguments)
    assert isinstance(raised.value.code, str), f"exit code {raised.value.code}"
    return raised.value.code


def run(command: str, arguments: list[str]) -> None:
    """Run a command in this process as its program would be run."""
    if command in COMMANDS:
        run_command(command, *arguments)
    elif command == "load_run":
        from lora_lightning import load_run

        with one_line_errors():
            load_run(*arguments)
    elif command == "export":
        from lora_lightning.export import main

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["export", *arguments])
            run_program(main, None)
    else:
        from lora_lightning.sweep.__main__ import sweep

        with one_line_errors():
            sweep(arguments)


def contents(folder: Path) -> dict[str, str]:
    """Return the checksum of every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def is_note(file: str) -> bool:
    """Whether a file that a command wrote is none of its results."""
    return Path(file).suffix == ".log" or Path(file).name == ".lock" or ".hydra/" in file
