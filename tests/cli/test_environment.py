"""`.env` sets what the shell does not; the machine's own config file is read by all commands."""

import os

import pytest

from lora_lightning.cli import entry
from lora_lightning.cli.environment import load_environment
from lora_lightning.errors import InputError
from tests.goldens import ROOT


@pytest.fixture
def environment(monkeypatch):
    """Restore the environment, whatever a test loads into it."""
    monkeypatch.setattr(os, "environ", dict(os.environ))
    return os.environ


def test_lines_become_variables(tmp_path, environment):
    file = tmp_path / ".env"
    file.write_text(
        "# a comment\n\nA=1\nexport B = two # why\nC='with spaces # kept'\nD=\"x=y\"\nE=\n"
    )
    load_environment(file)
    values = {name: environment[name] for name in "ABCDE"}
    assert values == {"A": "1", "B": "two", "C": "with spaces # kept", "D": "x=y", "E": ""}


def test_what_the_shell_sets_wins(tmp_path, environment):
    environment["A"] = "shell"
    (tmp_path / ".env").write_text("A=file\n")
    load_environment(tmp_path / ".env")
    assert environment["A"] == "shell"


def test_no_file_is_no_error(tmp_path):
    load_environment(tmp_path / ".env")


@pytest.mark.parametrize("line", ["no equals sign", "A=two words", "1A=x", "A='open"])
def test_another_line_is_named_with_its_number(line, tmp_path, environment):
    (tmp_path / ".env").write_text(f"OK=1\n{line}\n")
    with pytest.raises(InputError, match=r"\.env:2"):
        load_environment(tmp_path / ".env")


def test_a_command_reads_it_before_anything_else(tmp_path, environment, monkeypatch):
    (tmp_path / ".env").write_text("LORA_LIGHTNING_OF_A_TEST=read\n")
    monkeypatch.setattr(entry, "workspace", lambda: tmp_path)
    monkeypatch.setattr("sys.argv", ["train.py"])
    seen = []
    entry.run(lambda: seen.append(os.environ.get("LORA_LIGHTNING_OF_A_TEST")))
    assert seen == ["read"]


def test_git_ignores_what_is_of_one_machine():
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {".env", "configs/local/"} <= set(ignored)


def test_the_example_is_a_file_that_can_be_read(environment):
    load_environment(ROOT / ".env.example")
