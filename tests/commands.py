"""Running the commands as a user does: in this process where that is enough, else in their own."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from lora_lightning.process import LAUNCH_TIME
from tests.goldens import ROOT


def run_command(command: str, *arguments: str) -> None:
    """Run `python <command>.py <arguments>` in this process; raises SystemExit as it would exit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(ROOT / f"{command}.py"), *map(str, arguments)])
        patch.setenv(LAUNCH_TIME, "restored to unset when this block ends")
        patch.delenv(LAUNCH_TIME)
        runpy.run_path(str(ROOT / f"{command}.py"), run_name="__main__")


def run_process(*arguments: str | Path, program: str = "python", exit_code: int = 0) -> str:
    """Run `<program> <arguments>` as a process of its own and return what it printed.

    Raises:
        AssertionError: it exits with another code; the message is its output.
    """
    result = subprocess.run(
        [str(Path(sys.executable).with_name(program)), *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
    )
    output = result.stdout + result.stderr
    assert "a test's process reached for" not in output, output
    assert result.returncode == exit_code, output
    return output


def error_of(command: str, *arguments: str) -> str:
    """Run a command that must end with an error, and return its one line."""
    with pytest.raises(SystemExit) as raised:
        run_command(command, *arguments)
    assert isinstance(raised.value.code, str), f"exit code {raised.value.code}"
    assert raised.value.code.startswith("error: ")
    return raised.value.code
