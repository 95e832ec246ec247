"""What a user writes himself needs no switch: named on the command line, in configs/, in user/."""

import json
import signal
import sys

import pytest

from lora_lightning.config.allowed import is_allowed
from lora_lightning.config.search_path import GIVEN
from lora_lightning.config.trust import Trust
from lora_lightning.errors import InputError
from lora_lightning.runs.folder import RunFolder
from lora_lightning.training.module import FineTuning
from tests.commands import error_of, run_command
from tests.tiny import DECODING, TRAINING
from tests.trust.planted import planted, user_module

METHOD = """
from lora_lightning.methods.lora_method import LoRA
class Halved(LoRA):
    \"\"\"LoRA of half the rank.\"\"\"
    def __init__(self, **settings):
        super().__init__(**settings | {"rank": settings["rank"] // 2})
class Unrelated:
    pass
"""


@pytest.fixture
def user_dir(tmp_path):
    return user_module(tmp_path / "user", "halved", METHOD)


def test_a_method_in_the_users_folder_trains_resumes_and_decodes(user_dir, tmp_path, capsys):
    run, mine = tmp_path / "run", f"paths.user_dir={user_dir}"
    run_command("train", *TRAINING, mine, "method._target_=halved.Halved", f"output_dir={run}")
    assert "trust=true" not in capsys.readouterr().out
    run_command("train", mine, f"resume={run}", "trainer.max_steps=4", "resume_force=true")
    run_command("generate", mine, f"run={run}", "trainer=cpu", *DECODING)
    assert (run / "predictions" / "test" / "predictions.jsonl").is_file()
    # Decoded with LoRA itself, whose rank is 4, the adapter would not have fitted.
    assert json.loads((run / "run.json").read_text())["parameters"]["trainable"] == 4096


def test_the_folder_must_be_this_commands(user_dir, tmp_path):
    run = tmp_path / "run"
    run_command("train", *TRAINING, f"paths.user_dir={user_dir}",
                "method._target_=halved.Halved", f"output_dir={run}")  # fmt: skip
    assert "halved.Halved" in error_of("generate", f"run={run}", *DECODING)


@pytest.mark.parametrize(("place", "name", "allowed"), [
    ("method", "halved.Halved", True),
    ("method", "folder.halved.Halved", True),
    ("method", "halved.Unrelated", False),
    ("method", "halved.LoRA", False),
    ("data", "halved.Halved", False),
    ("callbacks.x", "halved.Halved", False),
    ("model", "halved.Halved", False),
    ("method", "halved", False),
    ("method", "json.JSONDecoder", False),
    ("callbacks.x", "lightning.pytorch.callbacks.Timer", True),
    ("callbacks.x", "lightning.pytorch.callbacks.timer.Timer", True),
    ("callbacks.x", "lightning.pytorch.callbacks.timer.timedelta", False),
    ("callbacks.x", "lightning.pytorch.callbacks.timer.os.system", False),
    ("logger.x", "lightning.pytorch.loggers.CSVLogger", True),
    ("logger.x", "lora_lightning.tracking.wandb_run.WandbRun", True),
    ("logger.x", "lightning.pytorch.callbacks.Timer", False),
    ("trainer.profiler", "lightning.pytorch.profilers.SimpleProfiler", True),
    ("trainer.strategy", "lightning.pytorch.strategies.DDPStrategy", True),
    ("trainer.plugins.0", "lightning.pytorch.plugins.MixedPrecision", True),
    ("trainer.plugins.0", "lightning.pytorch.plugins.TorchCheckpointIO", True),
    ("trainer.plugins.0", "lightning.pytorch.plugins.environments.SLURMEnvironment", True),
    ("trainer.plugins.0", "lightning.pytorch.Trainer", False),
    ("optimizer", "torch.optim.AdamW", True),
    ("optimizer", "torch.optim.adamw.AdamW", True),
    ("optimizer", "lora_lightning.training.optimizers.sgd", True),
    ("optimizer", "lora_lightning.process.run_child", False),
    ("scheduler", "torch.optim.lr_scheduler.StepLR", False),
    ("method.config", "peft.VeraConfig", True),
    ("method.config", "peft.PeftModel", False),
])  # fmt: skip
def test_a_class_is_allowed_where_it_is_of_the_groups_kind(
    user_dir, place, name, allowed, monkeypatch
):
    user_module(user_dir / "folder", "halved", METHOD)
    monkeypatch.syspath_prepend(str(user_dir))
    sys.modules.pop("folder", None)
    sys.modules.pop("folder.halved", None)
    assert is_allowed(place, name, user_dir) == allowed


def test_a_module_of_the_users_that_does_not_define_the_class_is_not_imported(
    tmp_path, marker, monkeypatch
):
    folder = user_module(tmp_path / "user", "does_something", f"open({str(marker)!r}, 'w')")
    monkeypatch.syspath_prepend(str(folder))
    assert not is_allowed("method", "does_something.Method", folder)


def test_a_class_that_an_option_of_the_users_names_is_his_own(run, tmp_path, monkeypatch):
    monkeypatch.setenv(GIVEN, str(tmp_path / "configs"))
    folder = RunFolder(
        planted(run, tmp_path / "run", lambda c: c["method"].update(_target_="his.Method"))
    )
    with pytest.raises(InputError, match=r"his\.Method"):
        folder.check(Trust(False, tmp_path))
    (tmp_path / "configs" / "method").mkdir(parents=True)
    (tmp_path / "configs" / "method" / "his.yaml").write_text("_target_: his.Method\n")
    folder.check(Trust(False, tmp_path))


def test_a_command_that_needs_trust_to_go_on_says_so(tmp_path, caplog, capsys):
    run = tmp_path / "run"
    named = ("+callbacks.x._target_=lora_lightning.tracking.progress.PlainLines",
             "+callbacks.x.every_n_seconds=5")  # fmt: skip
    step = FineTuning.training_step

    def interrupted(self, batch, batch_index):
        if self.micro_step == 1:
            signal.raise_signal(signal.SIGTERM)
        return step(self, batch, batch_index)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FineTuning, "training_step", interrupted)
        with pytest.raises(SystemExit):
            run_command("train", *TRAINING, *named, f"output_dir={run}")
    assert f"python train.py resume={run} trust=true" in capsys.readouterr().err
    assert "PlainLines" in error_of("train", f"resume={run}")
    run_command("train", f"resume={run}", "trust=true")
    assert f"python generate.py run={run} trust=true" in capsys.readouterr().out


def test_a_sweep_that_needs_trust_to_go_on_says_so(tmp_path):
    error = error_of("train", "-m", *TRAINING, "method.rank=999,998",
                     "+callbacks.x._target_=lora_lightning.tracking.progress.PlainLines",
                     "+callbacks.x.every_n_seconds=5",
                     f"output_dir={tmp_path / 'sweep'}")  # fmt: skip
    assert f"lora_lightning.sweep resume {tmp_path / 'sweep'} trust=true" in error
