"""A class of the user's own is checked by its own signature; nothing here has to know it."""

import pytest
from omegaconf import OmegaConf, open_dict

from lora_lightning.config.rules import check_config
from lora_lightning.errors import InputError
from tests.config.test_rules import composed

HERE = "tests.config.own_classes"


def with_node(group, node, *overrides):
    config = composed(*overrides)
    with open_dict(config):
        config[group] = OmegaConf.create(node)
    return config


def error_of(group, node):
    with pytest.raises(InputError) as error:
        check_config(with_node(group, node))
    [line] = str(error.value).splitlines()
    return line


METHOD = {"_target_": f"{HERE}.OwnMethod", "width": 3}
CALLBACK = {"_target_": f"{HERE}.OwnCallback", "every": 2}


@pytest.mark.parametrize(
    ("group", "node"),
    [
        ("method", METHOD | {"kind": "b", "rate": 2}),
        ("callbacks", {"own": CALLBACK | {"label": 3, "untyped": [1]}}),
        ("data", {"_target_": f"{HERE}.OwnData", "language": "de", "batch_size": 2}),
        ("optimizer", {"_target_": f"{HERE}.own_optimizer", "_partial_": True, "lr": 1,
                       "betas": [0.8, 0.9]}),
        ("optimizer", {"_target_": "torch.optim.AdamW", "_partial_": True, "lr": 1e-3}),
        ("logger", {"own": {"_target_": "lightning.pytorch.loggers.CSVLogger", "save_dir": "x"}}),
    ],
)  # fmt: skip
def test_its_own_arguments_pass(group, node):
    check_config(with_node(group, node))


def test_an_unknown_argument_is_one_line_with_key_class_and_arguments():
    line = error_of("method", METHOD | {"rank": 4})
    assert line == f"method.rank: {HERE}.OwnMethod has no such argument; it takes width, kind, rate"


@pytest.mark.parametrize(
    ("argument", "value", "allowed"),
    [
        ("width", 1.5, "a whole number"),
        ("width", True, "a whole number"),
        ("kind", "c", "a | b"),
        ("rate", "fast", "a number"),
    ],
)
def test_a_wrong_type_is_one_line_with_key_class_and_type(argument, value, allowed):
    line = error_of("method", METHOD | {argument: value})
    assert f"method.{argument}={value}: allowed is {allowed}" in line
    assert "OwnMethod" in line


def test_callbacks_and_loggers_are_checked_alike():
    node = CALLBACK | {"every": "often"}
    assert "callbacks.own.every=often" in error_of("callbacks", {"own": node})
    stopping = {"_target_": "lightning.pytorch.callbacks.EarlyStopping", "monitr": "val/loss"}
    assert "callbacks.stop.monitr" in error_of("callbacks", {"stop": stopping})
    wandb = {"_target_": "lora_lightning.tracking.wandb_run.WandbRun", "offlne": True}
    assert "the nearest one is logger.wandb.offline" in error_of("logger", {"wandb": wandb})


@pytest.mark.parametrize(("settings", "said"), [
    ({"rhoo": 2.0}, "method.config.eva_config.rhoo: peft.tuners.lora.config.EvaConfig has no such"),
    ({"rho": "large"}, "method.config.eva_config.rho=large: allowed is a number"),
    ({"rho": 0.5}, "method.config.eva_config: EvaConfig refuses it (`rho` must be >= 1.0)"),
])  # fmt: skip
def test_a_mapping_that_stands_for_a_dataclass_is_checked_as_its_fields(settings, said):
    config = {"_target_": "peft.LoraConfig", "init_lora_weights": "eva", "eva_config": settings}
    peft = {"_target_": "lora_lightning.methods.peft_method.PEFT", "config": config}
    assert error_of("method", peft).startswith(said)


def test_the_arguments_that_a_child_hands_on_to_our_class_have_our_ranges():
    node = {"_target_": f"{HERE}.OwnData", "batch_size": 0}
    assert "data.batch_size=0" in error_of("data", node)


def test_a_class_that_does_not_exist_is_named():
    assert f"method._target_={HERE}.Absent: cannot be found" in error_of(
        "method", {"_target_": f"{HERE}.Absent"}
    )


@pytest.mark.parametrize("group", ["callbacks", "logger"])
@pytest.mark.parametrize("value", [5, "x", {"a": 1}, None])
def test_what_describes_no_object_is_one_line(group, value):
    assert f"{group}.x=" in error_of(group, {"x": value})


@pytest.mark.parametrize("group", ["callbacks", "logger", "method", "optimizer"])
def test_a_group_without_an_option_is_one_line(group):
    with pytest.raises(InputError, match=f"{group}=null"):
        check_config(composed(f"~{group}"))


def test_an_argument_of_another_option_is_unknown():
    with pytest.raises(InputError, match=r"method\.rank"):
        check_config(composed("method=full", "+method.rank=4"))


def test_a_draw_needs_all_its_settings():
    with pytest.raises(InputError, match=r"generation\.top_k is missing"):
        check_config(composed("+generation.temperature=0.5"))
