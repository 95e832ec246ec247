"""Any argument of Lightning's Trainer passes; those that would break a promise say what to use."""

import pytest
import torch
from lightning.pytorch import Trainer

from lora_lightning.config.arguments import arguments_of
from lora_lightning.config.rules import check_config
from lora_lightning.config.trainer import OURS, PASSED, REFUSED, processes
from lora_lightning.errors import InputError
from lora_lightning.tasks.setup import build_trainer
from lora_lightning.training.plan import micro_batches_between
from tests.config.test_rules import composed

CPU = ("trainer.accelerator=cpu", "trainer.devices=1")
PLUGIN = "lightning.pytorch.plugins"


def test_every_argument_of_the_installed_lightning_is_of_one_kind():
    arguments = set(arguments_of(Trainer).annotations)
    ours = arguments & set(OURS)
    assert arguments == ours | set(PASSED) | set(REFUSED)
    assert len(arguments) == len(ours) + len(PASSED) + len(REFUSED)


@pytest.mark.parametrize(
    "override",
    [
        "+trainer.deterministic=true",
        "+trainer.deterministic=warn",
        "+trainer.benchmark=false",
        "+trainer.detect_anomaly=true",
        "+trainer.inference_mode=false",
        "+trainer.max_time=00:01:00:00",
        "+trainer.max_time={minutes:5}",
        "+trainer.enable_progress_bar=false",
        "+trainer.enable_model_summary=true",
        f"+trainer.plugins=[{{_target_:{PLUGIN}.environments.LightningEnvironment}}]",
    ],
)
def test_an_argument_that_is_passed_reaches_the_trainer(override, tmp_path):
    config = composed(override, *CPU)
    check_config(config)
    build_trainer(config.trainer, [], [], tmp_path)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("devices=[1]",), "the numbers of GPUs, which a run on something else has not"),
        (("devices=[]",), "trainer.devices=[]"),
        (("devices=[-1]",), "trainer.devices=[-1]"),
        (("accelerator=mps",), "trainer.accelerator=mps: no GPU of Apple's here"),
        (("val_check_interval=0.0",), "trainer.val_check_interval=0.0"),
        (("val_check_interval=1.5",), "trainer.val_check_interval=1.5"),
    ],
)
def test_devices_and_intervals_that_cannot_be_are_refused(overrides, said):
    with pytest.raises(InputError) as error:
        check_config(composed(*CPU, *(f"trainer.{override}" for override in overrides)))
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("devices", "allowed"), [("[1]", True), ("[0,2]", False), ("[2]", False), ("[1,1]", False)]
)
def test_gpus_may_be_named_by_number(monkeypatch, devices, allowed):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    config = composed("trainer.accelerator=gpu", f"trainer.devices={devices}",
                      "trainer.strategy=ddp")  # fmt: skip
    if allowed:
        check_config(config)
        assert processes(config.trainer.devices) == 1
        return
    with pytest.raises(InputError, match=r"this machine's GPUs are \[0, 1\], each to be named"):
        check_config(config)


def test_an_interval_may_be_a_share_of_an_epoch():
    assert micro_batches_between(None, 100) is None
    assert micro_batches_between(7, 100) == 7
    assert [micro_batches_between(share, 100) for share in (0.25, 1.0, 0.001)] == [25, 100, 1]


def test_detect_anomaly_is_set(tmp_path):
    config = composed("+trainer.detect_anomaly=true", *CPU)
    assert build_trainer(config.trainer, [], [], tmp_path)._detect_anomaly


@pytest.mark.parametrize("shown", [True, False])
def test_the_bar_is_shown_or_not_as_asked(shown, tmp_path):
    config = composed(f"+trainer.enable_progress_bar={str(shown).lower()}", *CPU)
    trainer = build_trainer(config.trainer, [], [], tmp_path)
    assert (trainer.progress_bar_callback is not None) == shown


@pytest.mark.parametrize("argument", REFUSED)
def test_an_argument_that_would_break_a_promise_is_refused(argument):
    with pytest.raises(InputError, match=rf"trainer\.{argument} is not available: ") as error:
        check_config(composed(f"+trainer.{argument}=1", *CPU))
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("+trainer.detect_anomaly=1", "trainer.detect_anomaly=1: allowed is true | false"),
        ("+trainer.deterministic=maybe", "trainer.deterministic=maybe"),
        ("+trainer.max_time=5", "trainer.max_time=5"),
        ("+trainer.plugins=5", "trainer.plugins=5"),
        ("+trainer.determinstic=true", "nearest one is trainer.deterministic"),
        (f"+trainer.plugins=[{{_target_:{PLUGIN}.io.AsyncCheckpointIO}}]", "checkpoints"),
        (f"+trainer.plugins=[{{_target_:{PLUGIN}.precision.MixedPrecision,x:1}}]", "plugins[0].x"),
    ],
)
def test_an_argument_is_checked_by_lightnings_signature(override, said):
    with pytest.raises(InputError) as error:
        check_config(composed(override, *CPU))
    assert said in str(error.value)


def test_what_lightning_itself_refuses_is_one_line(tmp_path):
    config = composed("+trainer.max_time=soon", *CPU)
    check_config(config)
    with pytest.raises(InputError, match=r"trainer\.max_time: Lightning refuses this \("):
        build_trainer(config.trainer, [], [], tmp_path)
