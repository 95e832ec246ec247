"""Every command of the README runs, the bundled base and sample in its model's and data's place.

Steps, beams, contexts and metrics are few; files that a user would bring are made here.
"""

import re
import shlex
import shutil

import pytest

from lora_lightning.data.export import main as export_data
from lora_lightning.export import export as export_adapter
from tests.cli.test_help import PROGRAMS
from tests.commands import run_command
from tests.goldens import ROOT
from tests.tiny import DECODING, TRAINING

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"python (train|generate|evaluate)\.py ([^`\n#]+)", README)
SCRIPTS = sorted({(command, text.strip()) for command, text in COMMANDS})
MODULES = sorted(set(re.findall(r"python -m (lora_lightning[\w.]*)", README)))
BUNDLED = {
    r"\bmodel=gpt2_\w+": "model=gpt2_tiny",
    r"\bdata=(e2e|webnlg|dart)\b": r"data=sample_\1",
}
FEW_JOBS = {
    "hparams_search=optuna": ["hydra.sweeper.n_trials=3"],
    "hparams_search=rank_grid": ["method.rank=1,4", "seed=0"],
    "-m": ["method.rank=1,4", "seed=0"],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with one training run and the files that the README's commands name."""
    folder = tmp_path_factory.mktemp("readme")
    run = folder / "train" / "first"
    run_command("train", "experiment=quickstart", *TRAINING, *DECODING, "then=[generate]",
                f"output_dir={run}")  # fmt: skip
    shutil.copytree(run / "adapter", folder / "my_peft_folder")
    export_adapter([f"run={run}", "format=loralib", f"output={folder / 'released.pt'}"])
    (folder / "contexts.txt").write_text("name : Blue Spice | Type : pub\nname : The Punter\n")
    (folder / "out.txt").write_text("Blue Spice is a pub .\nThe Punter .\n")
    (folder / "refs.txt").write_text("Blue Spice is a pub .\nA pub .\n\nThe Punter it is .\n")
    for number in range(2):
        (folder / f"reference{number}").write_text("blue spice is a pub .\nthe punter .\n")
    return folder


def small(command: str, arguments: list[str]) -> list[str]:
    """Return what makes a command a matter of seconds."""
    metrics = ["protocol.metrics=[bleu]"]
    if command == "evaluate":
        has_files = any(argument.startswith("hypotheses=") for argument in arguments)
        return metrics if has_files else [*metrics, "data.limit_test=5"]
    decoding = [*DECODING, "trainer=cpu"]
    if command == "generate":
        return decoding
    experiment = next((a.split("=")[1] for a in arguments if a.startswith("experiment=")), "")
    data = [f"data=sample_{experiment.split('/')[0]}"] if "/" in experiment else []
    return [*TRAINING, *DECODING, *metrics, "model=gpt2_tiny", *data, "trainer.max_steps=2"]


def bundled(argument: str) -> str:
    """Return an argument with the bundled base and sample in the place of what must be fetched."""
    for pattern, replacement in BUNDLED.items():
        argument = re.sub(pattern, replacement, argument)
    return argument


@pytest.mark.parametrize(("command", "text"), SCRIPTS)
def test_a_command_runs(command, text, place, monkeypatch):
    if re.search(r"[<…]", text):
        pytest.skip("names a folder that stands for the reader's own")
    monkeypatch.chdir(place)
    arguments = [bundled(argument) for argument in shlex.split(text)]
    if any(argument.startswith("resume=") for argument in arguments):
        run_command(command, f"resume={place / 'train' / 'first'}")  # `latest` is one that waits
        return
    needed = small(command, arguments)
    given = {argument.split("=")[0] for argument in arguments}
    needed = [argument for argument in needed if argument.split("=")[0] not in given]
    needed += [few for argument in arguments for few in FEW_JOBS.get(argument, [])]
    run_command(command, *arguments, *needed, f"paths.output_dir={place}", "overwrite=true")


def test_a_run_is_exported_in_every_format(place):
    for format, name in (("peft", "adapter"), ("loralib", "adapter.pt"), ("merged", "whole")):
        run = place / "train" / "first"
        export_adapter([f"run={run}", f"format={format}", f"output={place / 'exported' / name}"])
        assert (place / "exported" / name).exists()


def test_data_are_exported(place):
    export_data(["data=sample_e2e", "split=valid", f"output={place / 'valid.jsonl'}"])
    assert (place / "valid.jsonl").stat().st_size > 0


def test_the_programs_of_the_readme_exist():
    assert set(MODULES) <= set(PROGRAMS)
