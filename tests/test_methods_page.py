"""docs/methods.md: its figures are derived, its lines are run as they stand."""

import json
import re
import shlex
import sys

import pytest
import torch

from docs import method_tables
from docs.method_tables import current_page
from lora_lightning import load_run
from lora_lightning.errors import InputError
from lora_lightning.methods.formats.peft_tuner import LINEAR_ONLY
from tests.commands import run_command
from tests.pages import overrides_shown, page_text, run_python
from tests.tiny import TRAINING

PAGE = page_text("methods.md")
COMMANDS = overrides_shown(PAGE, "method")
LINEAR = [command for command in COMMANDS if "method.linear=true" in command]


def test_its_figures_are_those_of_the_configs_and_the_published_rows():
    assert current_page(PAGE) == PAGE, "run make docs"


def test_a_page_without_a_row_of_a_method_is_an_error():
    with pytest.raises(InputError, match="no row of method=dora; write one"):
        current_page("| `method=` |\n|---|\n| `adalora` |\n| `adapter_h` |\n| `adapter_l` |\n")


def test_a_row_of_no_option_is_an_error():
    with pytest.raises(InputError, match="optimizer=sdg is no option"):
        current_page("| `optimizer=` | published BLEU on E2E |\n|---|---|\n| `sdg` | |\n")


def test_a_figure_written_by_hand_is_an_error(monkeypatch, tmp_path):
    old = "| `optimizer=` | published BLEU on E2E |\n|---|---|\n| `scaled_gd` | 99.9 |\n"
    (tmp_path / "methods.md").write_text(old)
    monkeypatch.setattr(method_tables, "PAGE", tmp_path / "methods.md")
    monkeypatch.setattr(method_tables, "PLACEHOLDERS", method_tables.every_option())
    monkeypatch.setattr(sys, "argv", ["method_tables", "--check"])
    with pytest.raises(InputError, match="make docs"):
        method_tables.main()
    assert (tmp_path / "methods.md").read_text() == old


def test_it_names_every_tuner_that_needs_linear_layers():
    [names] = re.findall(r"logits equal\),\nfor (.*?), which know no", PAGE, re.S)
    listed = re.split(r",\s|\sand\s", names)
    assert sorted(name.upper() for name in listed) == sorted(LINEAR_ONLY)


@pytest.mark.parametrize("command", sorted({c for c in COMMANDS if " " in c} - {*LINEAR}))
def test_a_method_is_built_from_the_line_that_shows_it(command, tmp_path):
    run_command("train", *shlex.split(command), "trainer=cpu", "dry_run=true",
                f"output_dir={tmp_path}")  # fmt: skip


def test_plain_peft_loads_the_adapter_of_a_linear_base_by_the_lines_that_say_so(tmp_path):
    [command], run = LINEAR, tmp_path / "run"
    run_command("train", *shlex.split(command), *TRAINING, f"output_dir={run}")
    adapter = run / "adapter"
    base = json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"]
    theirs = run_python(PAGE, **{"gpt2-medium": base, "adapter": adapter}).model.eval()
    ours, ids = load_run(run).decoder.model, torch.arange(40)[None]
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, ours(ids).logits)
