"""Running the commands as a user does: in this process where that is enough, else in their own."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from lora_lightning.resolvers import LAUNCH_TIME
from tests.goldens import ROOT


def run_command(command: str, *arguments: str) -> None:
    """Run `python <command>.py <arguments>` in this process; raises SystemExit as it would exit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(ROOT / f"{command}.py"), *map(str, arguments)])
        patch.delenv(LAUNCH_TIME, raising=False)
        runpy.run_path(str(ROOT / f"{command}.py"), run_name="__main__")


def run_process(*arguments: str, cwd: Path = ROOT, **environment: str) -> str:
    """Run `python <arguments>` as a process of its own and return what it printed.

    Raises:
        AssertionError: it exits with another code than 0; the message is its output.
    """
    without_launch = {key: value for key, value in os.environ.items() if key != LAUNCH_TIME}
    result = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=without_launch | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    output = result.stdout + result.stderr
    assert result.returncode == 0, output
    return output


def error_of(command: str, *arguments: str) -> str:
    """Run a command that must end with an error, and return its one line."""
    with pytest.raises(SystemExit) as raised:
        run_command(command, *arguments)
    assert isinstance(raised.value.code, str), f"exit code {raised.value.code}"
    assert raised.value.code.startswith("error: ")
    return raised.value.code
