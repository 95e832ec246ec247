"""A user's own method by command: trained, resumed, decoded by its adapter alone."""

import json
from pathlib import Path

import pytest

from lora_lightning.export import export
from tests.checkpoints.interrupted_runs import SETTINGS, assert_same_run, crash, interrupted
from tests.commands import error_of, run_command
from tests.methods import own_methods
from tests.tiny import DECODING, write_rows
from tests.trust.planted import user_module

MINE = ("method._target_=my_lab.FromScratch", "method.width=5")
OWN_SETTINGS = tuple(s for s in SETTINGS if not s.startswith("method."))


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Overrides that every command gets: the data and the user's folder."""
    folder = tmp_path_factory.mktemp("given")
    rows = [{"context": f"name : {i}", "completion": f"{i} eats."} for i in range(34)]
    files = [write_rows(folder / f"{name}.jsonl", rows[:size])
             for name, size in (("train", 34), ("valid", 7), ("test", 5))]  # fmt: skip
    text = Path(own_methods.__file__).read_text()
    user_dir = user_module(folder / "user", "my_lab", text)
    return [*(f"data.{file.stem}={file}" for file in files), f"paths.user_dir={user_dir}"]


@pytest.fixture(scope="module")
def run(given, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    run_command("train", *OWN_SETTINGS, *MINE, *given, f"output_dir={folder}")
    return folder


def test_a_crashed_run_resumed_is_the_run_that_never_crashed(given, run, tmp_path):
    resumed = tmp_path / "run"
    interrupted(resumed, given, 19, crash, *MINE, settings=OWN_SETTINGS)
    run_command("train", f"resume={resumed}", given[-1])
    assert_same_run(resumed, run)


def test_an_adapter_alone_decodes_as_its_run_if_its_class_may_be_taken(given, run, tmp_path):
    adapter = [f"adapter={run / 'adapter'}", "data=jsonl", *given[:-1], *DECODING, "trainer=cpu"]
    error = error_of("generate", *adapter, f"output_dir={tmp_path / 'refused'}")
    assert "method._target_=my_lab.FromScratch: a class that is not allowed" in error
    run_command("generate", *adapter, given[-1], f"output_dir={tmp_path / 'adapter'}")
    run_command("generate", f"run={run}", *DECODING, "trainer=cpu", given[-1],
                f"output_dir={tmp_path / 'run'}")  # fmt: skip
    run_command("generate", "data=jsonl", *given, *DECODING, "trainer=cpu",
                f"output_dir={tmp_path / 'base'}")  # fmt: skip
    texts = {name: (tmp_path / name / "predictions.jsonl").read_bytes()
             for name in ("adapter", "run", "base")}  # fmt: skip
    assert texts["adapter"] == texts["run"] != texts["base"]


def test_an_export_that_would_lose_tensors_is_refused(given, run, tmp_path):
    with pytest.raises(Exception, match="no place for") as raised:
        export([f"run={run}", "format=peft", f"output={tmp_path / 'peft'}", given[-1]])
    assert "FromScratch" in str(raised.value)
    assert not (tmp_path / "peft").exists()


@pytest.mark.parametrize(("method", "said"), [
    (MINE, "format=peft has no place for what FromScratch trains"),
    (("method=adapter_l",), "format=peft has no place for what AdapterL trains"),
    (("method=dora",), None),
])  # fmt: skip
def test_what_pefts_layout_cannot_hold_is_said_before_training(
    given, method, said, tmp_path, capsys, caplog
):
    run_command("train", *OWN_SETTINGS, *method, *given, "dry_run=true", f"output_dir={tmp_path}")
    printed = caplog.text + capsys.readouterr().out
    assert "format=peft" not in printed if said is None else printed.count(said) == 1


@pytest.mark.parametrize(("overrides", "named"), [
    (["method=peft", "method.config={_target_: peft.PrefixTuningConfig}"], "PrefixTuningConfig"),
    (["method=peft", "method.config={_target_: peft.OFTConfig, target_modules: [c_attn]}"],
     "method.linear=true"),
    (["method=vera", "method.config.target_modules=[nothing]"], "nothing"),
    (["method=adalora", "method.config.tinit=9", "trainer.max_steps=3"], "method.config.tinit=9"),
    (["method=vera", "method.config.rank=3"], "method.config.rank"),
    (["method=peft", "method.config._target_=pathlib.PurePath"], "method.config._target_"),
])  # fmt: skip
def test_a_tuner_that_does_not_fit_is_one_line_that_names_its_key(
    overrides, named, given, tmp_path
):
    error = error_of("train", "trainer=cpu", "data=jsonl", *given, *overrides,
                     f"output_dir={tmp_path / 'run'}")  # fmt: skip
    assert named in error
    assert "\n" not in error


@pytest.mark.parametrize("init", ["eva", "corda", pytest.param("lora_ga", marks=pytest.mark.long)])
def test_what_began_from_data_resumes_without_beginning_again(given, init, tmp_path):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    config = "{_target_: peft.LoraConfig, r: 4, target_modules: [c_attn, c_fc], lora_dropout: 0.1, "
    settings = (*OWN_SETTINGS, "method=peft", f"method.config={config}init_lora_weights: {init}}}",
                "method.initial_batches=3", "trainer.max_steps=5",
                "trainer.accumulate_grad_batches=1", "trainer.limit_val_batches=1")  # fmt: skip
    run_command("train", *settings, *given, *DECODING, "then=[generate,evaluate]",
                "protocol.metrics=[bleu]", f"output_dir={whole}")  # fmt: skip
    interrupted(resumed, given, 4, crash, settings=settings)
    run_command("train", f"resume={resumed}", given[-1])
    assert_same_run(resumed, whole)
    names = ("adapter/adapter_config.json", "adapter/adapter_model.safetensors")
    assert all((resumed / name).read_bytes() == (whole / name).read_bytes() for name in names)
    run_command("generate", f"adapter={whole / 'adapter'}", "data=jsonl", *given, *DECODING,
                "trainer=cpu", f"output_dir={tmp_path / 'adapter'}")  # fmt: skip
    scored = whole / "evaluation" / "test" / "metrics.json"
    assert json.loads(scored.read_text())["scores"]["bleu"] is not None
    texts = [(folder / "predictions.jsonl").read_bytes()
             for folder in (whole / "predictions" / "test", tmp_path / "adapter")]  # fmt: skip
    assert texts[0] == texts[1]
