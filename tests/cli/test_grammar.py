"""What users type by habit, by mistake or through W&B: taken, converted, or told how to type it."""

import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from lora_lightning.cli.agent import without_agents_keys
from lora_lightning.cli.arguments import prepare_arguments
from lora_lightning.cli.grammar import in_grammar
from lora_lightning.config.typed import as_typed, for_shell, text_of
from lora_lightning.errors import InputError
from tests.commands import error_of

PATHS = ("/a/我的 项目 (v2), x=1", "it's", "a\\'b", "${x}", "$HOME", 'a"b`!', "~/x", "", " a",
         "1e-3", "null", "[x]", "a,b", "ends\\", "'q'", "{a: b}", "#1", "C:\\x y\\")  # fmt: skip


def value_of(argument):
    value = OverridesParser.create().parse_override(argument).value()
    return OmegaConf.create({"value": value}).value


def refusal(*arguments, command="train"):
    with pytest.raises(InputError) as raised:
        prepare_arguments(command, list(arguments))
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("path", PATHS)
def test_a_line_that_we_print_comes_back_through_shell_and_hydra(path):
    line = for_shell("python", "generate.py", as_typed("run", path))
    *command, argument = shlex.split(line)
    assert command == ["python", "generate.py"]
    assert value_of(argument) == path


def test_a_plain_path_is_printed_without_quotes():
    assert for_shell("python", as_typed("run", "/runs/a-b_1.2")) == "python run=/runs/a-b_1.2"


@pytest.mark.parametrize("value", ["a=b", "(x)", "a#b", "a&b", "~/x", "束搜索", "é", "a;b", "f(x)"])
def test_a_value_that_needs_quotes_is_shown_with_them(value):
    shown = refusal(f"output_dir={value}").partition("for the shell: ")[2]
    [argument] = shlex.split(shown)
    assert value_of(argument) == value


@pytest.mark.parametrize("value", ["2024", "~/x", "a=b", "1e3", "'2024'"])
def test_a_program_takes_a_text_as_it_looks(value):
    assert text_of(value) == value.strip("'")


@pytest.mark.parametrize(
    ("argument", "overrides"),
    [
        ("optimizer={'lr': 0.005}", ["optimizer.lr=0.005"]),
        ('optimizer={"lr": 0.005, "correct_bias": true}',
         ["optimizer.lr=0.005", "optimizer.correct_bias=true"]),
        ("optimizer={lr: 0.005}", ["optimizer.lr=0.005"]),
        ("optimizer={'betas': [0.9, 0.98], 'eps': None}",
         ["optimizer.betas=[0.9,0.98]", "optimizer.eps=null"]),
        ("+callbacks={'x': {'patience': 2}}", ["+callbacks.x={patience:2}"]),
        ("then=['generate']", ["then=['generate']"]),
        ("name=0.8", ["name='0.8'"]),
        ("name=1e-3", ["name='1e-3'"]),
        ("name=true", ["name='true'"]),
        ("name=null", ["name=null"]),
        ("name=a,b", ["name=a,b"]),
        ("seed=0,1", ["seed=0,1"]),
    ],
)  # fmt: skip
def test_nested_parameters_and_numbers_for_labels_become_what_is_meant(argument, overrides):
    assert in_grammar(argument) == overrides


def test_a_nested_parameter_drops_nothing_beside_it():
    arguments = ["optimizer={'lr': 0.005}", "output_dir=mine", "sede=1"]
    assert prepare_arguments("train", arguments) == ["optimizer.lr=0.005", *arguments[1:]]


def test_only_a_line_with_wandbs_own_keys_is_cleaned_and_says_of_what(capsys):
    printed = ["optimizer={'lr': 0.005}", "output_dir=old", "method.rank=4"]
    assert without_agents_keys(["_wandb={}", *printed], {"method.rank"}) == ["method.rank=4"]
    assert prepare_arguments("train", ["wandb_version=1", *printed]) == ["method.rank=4"]
    assert "wandb_version, optimizer, output_dir" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--method.rank=4"], "method.rank=4 (in a W&B sweep let "),
        (["--optimizer={'lr': 0.005}"], "${args_no_hyphens}"),
        (["--experiment", "quickstart"], "experiment=quickstart"),
        (["--lr", "1e-3"], "lr=1e-3"),
        (["quickstart"], "key=value"),
        (["+experiment=quickstart"], "leave out the +, as experiment has its place: experiment="),
        (["~optimizer"], "choose one of adamw, "),
        (["~loss"], "choose one of completion, joint"),
        (["~logger"], "none, "),
        (["~experiment"], "leave it out"),
        (["optimizer=null"], "choose one of adamw, "),
        (["callbacks={}"], "choose one of default, "),
        (["schlüssel=1"], "is no name of a key"),
        (["=1"], "key=value"),
    ],
)  # fmt: skip
def test_a_habit_is_answered_with_what_to_type(arguments, shown):
    message = refusal(*arguments)
    assert message.startswith(arguments[0])
    assert shown in message


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("lr=1e-3", "is optimizer.lr "),
        ("rank=8", "is method.rank "),
        ("epochs=3", "is trainer.max_epochs "),
        ("lora.rank=8", "is method.rank "),
        ("ckpt_path=x", "resume=<run folder>"),
        ("tags=[a]", "logger.wandb.tags with logger=wandb"),
        ("optimizer.lr_ratio=4", "with optimizer=lora_plus"),
        ("+optimizer.lr_ratio=4", "with optimizer=lora_plus"),
        ("experiment=quikstart", "is experiment=quickstart; options: dart/gpt2_large, "),
        ("method=dorra", "is method=dora; options: "),
    ],
)  # fmt: skip
def test_a_key_or_option_that_does_not_exist_is_named_with_what_was_meant(argument, said, tmp_path):
    error = error_of("train", argument, f"output_dir={tmp_path / 'run'}")
    assert said in error
    assert "\n" not in error
    assert not (tmp_path / "run").exists()


def test_a_key_like_no_other_is_compared_with_none(tmp_path):
    error = error_of("train", "+foo=1", f"output_dir={tmp_path / 'run'}")
    assert error == "error: unknown key foo (--help lists them all)"


def test_an_added_key_is_not_blamed_for_another_arguments_fault(tmp_path, capsys):
    error = error_of(
        "train", "+callbacks.lr._target_=lightning.pytorch.callbacks.LearningRateMonitor",
        "optimizer.lr=${nope}", f"output_dir={tmp_path / 'run'}",
    )  # fmt: skip
    assert error == "error: optimizer.lr: Interpolation key 'nope' not found"
    assert capsys.readouterr().err == ""
