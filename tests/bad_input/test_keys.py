"""Wrong keys, values and overrides: each is one line, said before anything is written."""

import sys

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser

from lora_lightning.config.commands import VALIDATED
from lora_lightning.config.faults import COMPOSING, explain
from lora_lightning.config.keys import flat_keys
from lora_lightning.config.rules import check_config
from lora_lightning.errors import InputError
from lora_lightning.training.validation import ValidationSums
from tests.bad_input.driver import Case, check
from tests.commands import run_process
from tests.config.test_rules import composed


def nothing(_):
    """Leave the folder as it is."""


def case(command, *arguments, says):
    return Case(" ".join(arguments)[:60], nothing, command, arguments, (says,))


NOT_ALLOWED = "a class that is not allowed there; name one that is a"
COMMANDS = [
    case("train", "trainer.limit_val_batches=0.00001", "trainer=cpu",
         says="trainer.limit_val_batches=1e-05: is less than one of 39 batches"),
    case("train", "+trainer.max_time=soon", "trainer=cpu", "model.path=<folder>",
         "model.tokenizer=data/sample/gpt2_tiny", says="trainer.max_time: Lightning refuses this"),
    case("train", "optimizer._partial_=false", "trainer=cpu", says="optimizer: cannot be built"),
    case("train", "paths.output_dir=", says="paths.output_dir='': allowed is a text that is not"),
    case("train", "output_dir=' '", says="output_dir=' ': allowed is a text that is not blank"),
    case("train", "name=${nope}", says="name: Interpolation key 'nope' not found"),
    case("train", "name=${oc.env:NOPE}", says="name: KeyError raised"),
    case("train", f"seed={'9' * 6000}", says="the value is of too many digits"),
    case("train", "foo", says="foo: give key=value"),
    case("train", "--foo", says="--foo: a key has no hyphens"),
    case("train", "data=nope", says="data=nope: no such option"),
    case("train", "seed=1,2", says="seed=1,2"),
    case("train", "data=1.5", says="data=1.5: choose one of csv, dart"),
    case("train", "callbacks=null", says="callbacks=null: choose one of default, early_stopping"),
    case("train", "logger=null", says="logger=null: choose one of csv"),
    case("train", "seed=1,2", "-m", "optimized_metric=nope", "output_dir=<folder>/sweep",
         says="optimized_metric=nope: the run will have val/loss"),
    case("train", f"adapter={'x' * 5000}", says="File name too long"),
    case("generate", f"run={'x' * 5000}", says="File name too long"),
    case("generate", "generation.num_beams=${nope}", says="num_beams: Interpolation key"),
    case("evaluate", "hypotheses=/", "references=/", says="/: cannot be read"),
    case("evaluate", "protocol.metrics=[nope]", says="protocol.metrics: 'nope' is no metric here"),
]  # fmt: skip


@pytest.mark.parametrize("case", COMMANDS, ids=str)
def test_a_wrong_argument_of_a_command_is_one_line(case, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    if not any(argument.startswith(("output_dir", "paths")) for argument in case.arguments):
        object.__setattr__(case, "arguments", (*case.arguments, "output_dir=<folder>/run"))
    (tmp_path / "folder").mkdir()
    check(case, tmp_path / "folder", capfd)


PROCESSES = [
    (("train.py", "seed=1.5", "dry_run=true"), "seed=1.5: allowed is a whole number"),
    (("train.py", "method.alpha=1e308", "dry_run=true"), "method.alpha=1e+308: allowed is"),
    (("train.py", "+callbacks.x=5", "dry_run=true"), "callbacks.x=5: allowed is an object"),
    (("train.py", "paths.output_dir="), "paths.output_dir='': allowed is"),
    (("train.py", "resume=<folder>"), "resume=<folder>: "),
    (("generate.py", "run=<folder>"), "run=<folder>: holds no training run"),
    (("generate.py", "adapter=<folder>"), "<folder>: holds no adapter"),
    (("evaluate.py", "run=<folder>"), "run=<folder>: holds no training run"),
    (("-m", "lora_lightning.sweep", "show", "<folder>"), "<folder>: holds"),
    (("-m", "lora_lightning.export", "run=<folder>", "output=x"), "<folder>: holds no training"),
]


@pytest.mark.parametrize(("arguments", "said"), PROCESSES)
def test_the_real_command_prints_one_line_and_writes_nothing(arguments, said, tmp_path):
    given = [argument.replace("<folder>", str(tmp_path)) for argument in arguments]
    printed = run_process(*given, exit_code=1)
    assert printed.startswith("error: ")
    assert said.replace("<folder>", str(tmp_path)) in printed
    assert printed.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


REFUSED = {
    "optimized_metric=nope": "the run will have val/loss",
    "optimized_metric=test/bleu": "need then=",
    "optimizer.lr=1e30": "<= 1000",
    "optimizer.lr=inf": "a number",
    "optimizer.weight_decay=inf": "a number",
    "optimizer.eps=1e-300": ">= 1.2e-38",
    "+callbacks.x._target_=os.system": f"{NOT_ALLOWED} Callback",
    "+callbacks.x._target_=builtins.zip": f"{NOT_ALLOWED} Callback",
    "+logger.x._target_=os.getcwd": f"{NOT_ALLOWED} Logger",
    "method._target_=collections.Counter": f"{NOT_ALLOWED} Method",
    "loss._target_=lora_lightning.methods.lora_method.LoRA": f"{NOT_ALLOWED} TrainingLoss",
    "protocol._target_=abc": "is no class",
    "method._target_=5": "is no class",
    "method._target_={a:1}": "is no class",
    "optimizer._partial_=abc": "true | false",
    "+method._recursive_=nope": "true | false",
    "+method._convert_=nope": "none | partial",
    "adapter=???": "it has no value",
    "seed={_target_:os.getcwd}": "a whole number",
    "paths.cache_dir=5": "a text",
    "~method.rank": "method.rank is missing",
    "~data": "the command needs one",
    "paths=5": "is a group of keys",
    "model.path=???": "it has no value",
}


def changed(config, override):
    """A composed config with one more override, as Hydra applies it."""
    config = config.copy()
    parsed = OverridesParser.create().parse_overrides([override])
    try:
        ConfigLoaderImpl._apply_overrides_to_config(parsed, config)
        check_config(config)
    except COMPOSING as error:
        raise InputError(explain(error)) from error


@pytest.fixture(scope="module")
def configs():
    return {command: composed(command=command) for command in ("train", "generate", "evaluate")}


@pytest.mark.parametrize("override", REFUSED)
def test_a_wrong_key_is_named_before_anything_slow(override, configs):
    with pytest.raises(InputError) as raised:
        changed(configs["train"], override)
    assert override.lstrip("+~").split("=")[0].split(".")[0] in str(raised.value)
    assert REFUSED[override] in str(raised.value)


NONSENSE = ("{_target_:os.getcwd}", "nan", "???")


def refusal(config, override):
    """What is said of an override that must be refused."""
    try:
        changed(config, override)
    except InputError as error:
        return str(error)
    pytest.fail(f"{override} is taken")


@pytest.mark.parametrize("command", ["train", "generate", "evaluate"])
def test_no_key_takes_nonsense(command, configs):
    config = configs[command]
    before = set() if command == "train" else set(flat_keys(configs["train"]))
    for key in set(flat_keys(config)) - before - {"text"}:  # a text may be anything
        for value in NONSENSE:
            assert "\n" not in refusal(config, f"{key}={value}")


def test_every_key_can_hold_every_kind_of_value_without_a_traceback(configs):
    config = configs["train"]
    for key in flat_keys(config):
        for value in ("null", "''", "-1", "[]"):
            try:
                changed(config, f"{key}={value}")
            except InputError as error:
                assert "\n" not in str(error)  # noqa: PT017


def test_a_metric_that_the_run_will_have_can_be_optimized(configs):
    changed(configs["train"], "optimized_metric=val/perplexity")
    chained = composed("then=[generate,evaluate]", "optimized_metric=test/bleu")
    check_config(chained)


def test_what_a_run_measures_is_what_can_be_optimized():
    assert tuple(ValidationSums(1, 1, 1.0, 1.0, 1).metrics()) == VALIDATED
