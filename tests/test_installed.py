"""The package as pip installs it: built here, run from another folder, without the checkout."""

import ast
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile

import pytest
from hatchling.builders.wheel import WheelBuilder

from lora_lightning import __main__ as command
from lora_lightning.config.search_path import GIVEN, without_config_dir
from lora_lightning.process.programs import COMMAND, PROGRAMS, STARTED_AS, as_started
from tests.commands import run_command
from tests.goldens import ROOT
from tests.tiny import TRAINING

BUNDLED = "lora_lightning/bundled/"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    local = ROOT / "configs" / "local" / "default.yaml"  # this machine's own, in no wheel
    folder = tmp_path_factory.mktemp("wheel")
    [path] = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    with zipfile.ZipFile(path) as content:
        assert not any(local.parent.name in name.split("/") for name in content.namelist())
        return path, set(content.namelist())


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder to work in, and a function that runs a program of an environment with the wheel.

    The environment borrows every package but ours from the one that runs the tests.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    packages = next((folder / "lib").iterdir()) / "site-packages"
    (packages / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", wheel[0]], check=True)
    work = tmp_path_factory.mktemp("work")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    environment.pop(STARTED_AS, None)

    def run(program, *arguments):
        result = subprocess.run(
            [folder / "bin" / program, *map(str, arguments)],
            cwd=work, env=environment, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        output = result.stdout + result.stderr
        assert result.returncode == 0, output
        return output

    return work, run


def test_the_wheel_holds_what_the_commands_read_and_nothing_of_this_machine(wheel):
    read = {"train.py", "generate.py", "evaluate.py"}
    for folder in ("configs", "data/sample"):
        files = (path for path in (ROOT / folder).rglob("*") if path.is_file())
        read |= {path.relative_to(ROOT).as_posix() for path in files}
    read = {name for name in read if not name.startswith("configs/local/")}
    bundled = {name for name in wheel[1] if name.startswith(BUNDLED)}
    assert {name.removeprefix(BUNDLED) for name in bundled} == read
    ours = ("lora_lightning/", "lora_lightning-", "hydra_plugins/")
    assert all(name.startswith(ours) for name in wheel[1])
    # Other packages have plugins of theirs in the same namespace.
    assert "hydra_plugins/__init__.py" not in wheel[1]


def test_the_command_lists_every_program_without_importing_torch(installed):
    _, run = installed
    output = run("python", "-X", "importtime", "-m", "lora_lightning", "--help")
    imported = {line.rpartition("|")[2].strip() for line in output.splitlines()}
    assert "lora_lightning.process.programs" in imported
    assert {"torch", "hydra", "omegaconf", "numpy"} & imported == set()
    for name, (_, does) in PROGRAMS.items():
        assert f"  {name:<18}{does}\n" in output


@pytest.mark.long
def test_a_sweep_of_two_processes_a_job_runs_in_the_working_folder_with_its_own_configs(installed):
    work, run = installed
    options = work / "configs" / "optimizer"
    options.mkdir(parents=True)
    (options / "mine.yaml").write_text("defaults:\n  - sgd\n  - _self_\nlr: 0.125\n")
    (work / "configs" / "train.yaml").write_text("of: another project\n")
    output = run(COMMAND, "train", "-m", *TRAINING, "trainer=ddp_cpu", "optimizer=mine",
                 "data.batch_size=2", "seed=7")  # fmt: skip
    [table] = (work / "outputs" / "train").rglob("sweep.csv")
    job = table.parent / "0"
    assert (job / "adapter").is_dir()
    config = (job / "config.yaml").read_text()
    assert "lr: 0.125" in config
    assert f"output_dir: {work}/outputs\n" in config
    assert len((job / "run.json").read_text().split('"rank"')) == 3
    assert f"{COMMAND} sweep show {table.parent}" in output
    assert not list(work.glob("*.py"))
    [adapter] = run(COMMAND, "export", "run=latest", "output=exported").split()
    assert (work / adapter / "adapter_model.safetensors").is_file()


def test_every_module_that_can_be_run_is_a_program_of_the_command():
    runnable = {"train.py", "generate.py", "evaluate.py"}
    for path in (ROOT / "lora_lightning").rglob("*.py"):
        if 'if __name__ == "__main__":' in path.read_text(encoding="utf-8"):
            module = path.relative_to(ROOT).with_suffix("").parts
            runnable.add(".".join(part for part in module if part != "__main__"))
    targets = {target for target, _ in PROGRAMS.values()}
    assert targets == runnable - {"lora_lightning"}
    for target in targets:
        path = ROOT / target if target.endswith(".py") else ROOT / target.replace(".", "/")
        path = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_a_program_that_does_not_exist_is_one_line_with_the_nearest(monkeypatch):
    monkeypatch.setattr(sys, "argv", [COMMAND, "trian"])
    with pytest.raises(SystemExit, match=r"^error: trian: no such program; the nearest is train;"):
        command.main()


def test_the_next_step_is_named_as_the_command_was_started(monkeypatch):
    said = "next: python generate.py run=a, python -m lora_lightning.data.export, python x.py"
    monkeypatch.delenv(STARTED_AS, raising=False)
    assert as_started(said) == said
    monkeypatch.setenv(STARTED_AS, COMMAND)
    assert as_started(said) == f"next: {COMMAND} generate run=a, {COMMAND} data-export, python x.py"


def test_config_dir_adds_options_to_a_command_and_to_no_later_one(tmp_path, capsys):
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / "mine.yaml").write_text("defaults:\n  - sgd\n  - _self_\nlr: 0.125\n")
    run_command(
        "train", "--config-dir", tmp_path, "optimizer=mine", "--cfg", "job", "-p", "optimizer"
    )
    assert "lr: 0.125" in capsys.readouterr().out
    assert GIVEN not in os.environ


@pytest.mark.parametrize("given", [["--config-dir", "a"], ["--config-dir=a"], ["-cd", "a"]])
def test_the_plan_of_a_sweep_records_no_folder_of_configs(given):
    assert without_config_dir(["-m", *given, "seed=1"]) == (["-m", "seed=1"], "a")
