"""Every command and program says what it does, and takes nothing that it does not know."""

import runpy
import sys

import pytest

from tests.commands import error_of, run_command
from tests.goldens import ROOT

COMMANDS = ("train", "generate", "evaluate")
PROGRAMS = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
    for path in (ROOT / "lora_lightning").rglob("*.py")
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
)
OF_A_COMMAND = ("Groups", "*sample_e2e", "data.max_length=512", "generation.num_beams=10")
FURTHER = {
    **dict.fromkeys(COMMANDS, OF_A_COMMAND),
    "lora_lightning.compare": ("resamples", "seed", "output", "references", "--json"),
    "lora_lightning.config_reference": ("--check",),
    "lora_lightning.data.export": ("output", "split", "format", "overwrite", "model.tokenizer"),
    "lora_lightning.export": ("run", "checkpoint", "format", "output", "overwrite"),
    "lora_lightning.sample": ("--output", "--seed", "--steps"),
    "lora_lightning.rerank": ("run", "choice", "metric", "output", "overwrite", "length_penalty"),
    "lora_lightning.slots": ("input", "output", "overwrite", "--json"),
    "lora_lightning.sweep": ("show", "plot", "resume"),
}


def run_module(monkeypatch, module, *arguments):
    """Run `python -m <module> <arguments>` in this process, and return what it exits with."""
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    for name in (module, f"{module}.__main__"):
        if "__main__" in name or name + ".__main__" not in sys.modules:
            monkeypatch.delitem(sys.modules, name, raising=False)
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code
    return None


@pytest.mark.parametrize("program", [*COMMANDS, *PROGRAMS])
def test_help_says_how_a_program_is_called_and_what_it_takes(program, monkeypatch, capsys):
    if program in COMMANDS:
        run_command(program, "--help")
        call = f"python {program}.py"
    else:
        assert run_module(monkeypatch, program, "--help") in (None, 0)
        call = f"python -m {program}"
    output = capsys.readouterr().out
    for shown in (call, *FURTHER.get(program, ())):
        assert shown in output


def test_help_shows_the_keys_of_the_options_that_are_chosen(capsys):
    run_command("train", "--help", "data=jsonl", "optimizer=lora_plus", "experiment=quickstart")
    output = capsys.readouterr().out
    for shown in (
        "*lora_plus",
        "optimizer.lr_ratio=",
        "data.fields=",
        "experiment=quickstart sets:",
    ):
        assert shown in output
    assert error_of("train", "--help", "method=dorra").startswith(
        "error: method=dorra: no such option; the nearest option is method=dora"
    )


@pytest.mark.parametrize(
    ("line", "offered"),
    [("experiment=e2e/", "experiment=e2e/gpt2_medium"), ("experiment=q", "experiment=quickstart")],
)
def test_tab_offers_options_in_folders_too(line, offered, monkeypatch, capsys):
    monkeypatch.setenv("COMP_LINE", f"python train.py {line}")
    run_command("train", "-sc", "query=bash")
    assert offered in capsys.readouterr().out.split()


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_unknown_argument_is_refused_with_one_line(program, monkeypatch):
    error = run_module(monkeypatch, program, "--nonsense")
    assert str(error).startswith("error: ")
    assert len(str(error).splitlines()) == 1
