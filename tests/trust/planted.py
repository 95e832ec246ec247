"""Runs as somebody else might hand them over, and the doors through which they come in."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lora_lightning import load_run
from lora_lightning.errors import InputError
from lora_lightning.export import export
from tests.commands import error_of

Config = dict[str, Any]
CONFIGS = (".hydra/config.yaml", "config.yaml")


def planted(run: Path, folder: Path, edit: Callable[[Config], None]) -> Path:
    """A copy of a run whose stored config was edited."""
    shutil.copytree(run, folder)
    for name in CONFIGS:
        rewrite(folder / name, edit)
    return folder


def rewrite(file: Path, edit: Callable[[Config], None]) -> None:
    content = yaml.safe_load(file.read_text())
    edit(content)
    file.write_text(yaml.safe_dump(content, sort_keys=False))


def running(marker: Path, target: str = "lora_lightning.process.run_child") -> Config:
    """A node that, built, runs Python code that makes `marker`."""
    return {"_target_": target, "arguments": ["-c", f"open({str(marker)!r}, 'w')"]}


def refused(door: Callable[[], Any]) -> str:
    with pytest.raises(InputError) as raised:
        door()
    return str(raised.value)


DOORS: dict[str, Callable[[Path, Path], str]] = {
    "generate run=": lambda run, out: error_of(
        "generate", f"run={run}", f"output_dir={out}"),
    "evaluate run=": lambda run, out: error_of("evaluate", f"run={run}", f"output_dir={out}"),
    "train resume=": lambda run, out: error_of("train", f"resume={run}"),
    "load_run": lambda run, out: refused(lambda: load_run(run)),
    "export": lambda run, out: refused(lambda: export([f"run={run}", f"output={out}"])),
}  # fmt: skip


def user_module(folder: Path, name: str, text: str) -> Path:
    """Write a module of the user's, and forget one of that name that was imported before."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(text)
    sys.modules.pop(name, None)
    return folder
