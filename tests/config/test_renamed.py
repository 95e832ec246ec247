"""Names of earlier versions in a config mean today's classes."""

import pytest
from hydra.utils import get_object
from omegaconf import OmegaConf

from lora_lightning.config.build import build
from lora_lightning.config.renamed import RENAMED, earlier_names, with_current_names
from lora_lightning.config.rules import check_config
from lora_lightning.errors import InputError
from lora_lightning.training.loss import CompletionLoss
from lora_lightning.training.schedules import LinearSchedule
from tests.config.test_rules import composed

LOSS = "lora_lightning.model.loss.CompletionLoss"
SCHEDULE = "lora_lightning.model.schedules.LinearSchedule"


@pytest.mark.parametrize("name", [n for n in RENAMED.values() if "wandb" not in n])
def test_todays_name_names_something(name):
    assert get_object(name).__module__ == name.rpartition(".")[0]


def test_no_name_of_today_is_an_earlier_one():
    assert not set(RENAMED) & set(RENAMED.values())


def test_an_earlier_name_builds_todays_class_and_one_line_names_both(caplog):
    config = OmegaConf.create({"_target_": LOSS, "label_smoothing": "${share}"})
    root = OmegaConf.create({"share": 0.3, "loss": config})
    built = build(root.loss)
    assert isinstance(built, CompletionLoss)
    assert built.label_smoothing == 0.3
    [line] = caplog.messages
    assert LOSS in line
    assert RENAMED[LOSS] in line


def test_earlier_names_are_found_at_any_depth():
    config = OmegaConf.create(
        {"named": {"inner": [{"_target_": SCHEDULE, "per": "${per}"}]}, "other": LOSS}
    )
    assert earlier_names(config) == [SCHEDULE]
    renewed = with_current_names(config)
    assert OmegaConf.to_container(renewed) == {
        "named": {"inner": [{"_target_": RENAMED[SCHEDULE], "per": "${per}"}]},
        "other": LOSS,
    }
    assert earlier_names(config) == [SCHEDULE]


def test_todays_name_is_no_cause_for_a_warning(caplog):
    built = build(
        OmegaConf.create(
            {"_target_": RENAMED[SCHEDULE], "per": "micro_step", "warmup_steps": 0,
             "total_steps": None}
        )
    )  # fmt: skip
    assert isinstance(built, LinearSchedule)
    assert not caplog.messages


def test_the_check_of_a_config_knows_earlier_names():
    check_config(composed(f"scheduler._target_={SCHEDULE}"))
    with pytest.raises(InputError, match=r"scheduler\.warmup_steps=-1: allowed is"):
        check_config(composed(f"scheduler._target_={SCHEDULE}", "scheduler.warmup_steps=-1"))
