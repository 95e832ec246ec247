"""install.sh on machines that lack something: it works, or its last line says what to do.

Each machine has Pythons of its own on its path, which note what they are asked for.
"""

import os
import stat
import subprocess
import sys

import pytest

from tests.goldens import ROOT

PYTHON = """#!/bin/sh
case "$*" in
    "-c "*) exec {real} -c "import sys; sys.version_info = {version}; $2" ;;
    --version) echo "Python {version}" ;;
    "-m venv .venv")
        mkdir -p .venv/bin
        cp "$0" .venv/bin/python
        {after_venv} ;;
    "-m pip --version" | "-m ensurepip") {has_pip} ;;
    "-m pip install"*) echo "$PIP_DEFAULT_TIMEOUT s: $*" >>asked; {after_pip} ;;
esac
"""


@pytest.fixture
def machine(tmp_path):
    """A clone on a path with spaces, and a function that puts a Python beside it."""
    clone = tmp_path / "a clone, über=1"
    clone.mkdir()
    (clone / "install.sh").write_bytes((ROOT / "install.sh").read_bytes())
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sh", "dirname", "mkdir", "cp", "rm"):
        (programs / name).symlink_to(f"/bin/{name}" if name != "dirname" else "/usr/bin/dirname")

    def add(name, version, after_venv="true", has_pip="true", after_pip="true"):
        path = programs / name
        path.write_text(PYTHON.format(real=sys.executable, version=version, has_pip=has_pip,
                                      after_venv=after_venv, after_pip=after_pip))  # fmt: skip
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return clone, add


def install(clone, **environment):
    """Run the script with nothing on the path but the machine's programs."""
    path = {"PATH": str(clone.parent / "programs"), "HOME": os.environ["HOME"]}
    return subprocess.run(["/bin/sh", clone / "install.sh"], env=path | environment, cwd="/",
                          capture_output=True, text=True)  # fmt: skip


def last_line(result):
    assert result.returncode == 1
    line = result.stderr.splitlines()[-1]
    assert line.startswith("error: ")
    return line


def test_everything_is_installed_with_patience_and_progress(machine):
    clone, add = machine
    add("python3", (3, 11))
    result = install(clone)
    assert result.returncode == 0, result.stderr
    asked = (clone / "asked").read_text()
    assert asked.startswith("60 s: -m pip install")
    assert asked.rstrip().endswith("-c constraints.txt -e .[dev]")
    assert "--quiet" not in asked
    assert "minutes" in result.stdout


def test_a_newer_python_is_found_beside_an_old_python3(machine):
    clone, add = machine
    add("python3", (3, 9))
    add("python3.12", (3, 12))
    assert install(clone).returncode == 0
    assert "(3, 12)" in (clone / ".venv" / "bin" / "python").read_text()


def test_a_python_that_is_named_is_the_one_that_is_taken(machine):
    clone, add = machine
    add("python3", (3, 11))
    named = add("my python", (3, 13))
    assert install(clone, PYTHON=str(named)).returncode == 0
    assert "(3, 13)" in (clone / ".venv" / "bin" / "python").read_text()


@pytest.mark.parametrize("version", [(3, 9), None])
def test_without_a_python_that_is_new_enough_the_version_is_named(machine, version):
    clone, add = machine
    if version is not None:
        add("python3", version)
    said = last_line(install(clone))
    assert "3.11 or newer" in said
    assert ("(3, 9)" if version else "not there") in said
    assert not (clone / ".venv").exists()


def test_a_python_without_venv_leaves_nothing_half_made(machine):
    clone, add = machine
    add("python3", (3, 11), after_venv="exit 1")
    assert "apt install python3-venv" in last_line(install(clone))
    assert not (clone / ".venv").exists()


def test_an_environment_without_pip_or_of_an_old_python_is_named(machine):
    clone, add = machine
    add("python3", (3, 11), has_pip="exit 1")
    assert "no pip" in last_line(install(clone))
    (clone / ".venv" / "bin" / "python").unlink()
    add("python3", (3, 9))
    (clone / ".venv" / "bin" / "python").write_bytes(
        (clone.parent / "programs/python3").read_bytes()
    )
    (clone / ".venv" / "bin" / "python").chmod(0o755)
    assert "before 3.11" in last_line(install(clone))


def test_an_installation_that_breaks_off_says_how_to_go_on(machine):
    clone, add = machine
    add("python3", (3, 11), after_pip="exit 1")
    assert "PIP_INDEX_URL" in last_line(install(clone))
