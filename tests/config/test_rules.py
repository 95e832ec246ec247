"""Every config composes, every object can be built, and every wrong value is named."""

import math
from inspect import signature

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import get_object
from lightning.pytorch import Callback
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf
from torch.nn import Parameter

from lora_lightning.config import resolvers
from lora_lightning.config.build import build, build_each
from lora_lightning.config.keys import flat_keys
from lora_lightning.config.rules import OF_MANY, UNCHECKED, check_config, types_of
from lora_lightning.data.tokenizer import load_tokenizer
from lora_lightning.errors import InputError
from lora_lightning.ranges import accepts
from lora_lightning.tasks.decoder import beam_settings
from lora_lightning.tasks.setup import build_trainer
from lora_lightning.training.schedules import CyclicSchedule
from tests.decoding.search import make_settings
from tests.goldens import ROOT

TOKENIZER = load_tokenizer(ROOT / "data" / "sample" / "gpt2_tiny")
CONFIGS = ROOT / "configs"
GROUPS = ("data", "model", "method", "optimizer", "scheduler", "loss", "generation", "protocol",
          "trainer", "logger", "callbacks")  # fmt: skip
OPTIONS = sorted(
    f"{group}={path.relative_to(CONFIGS / group).with_suffix('')}"
    for group in (*GROUPS, "experiment", "hparams_search", "debug")
    for path in (CONFIGS / group).rglob("*.yaml")
)


def composed(*overrides: str, command: str = "train") -> DictConfig:
    resolvers.register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose(command, [*overrides, "output_dir=unused"])


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_composes_into_an_allowed_config(option):
    config = composed(option, "trainer.accelerator=cpu", "trainer.devices=1")
    if option.startswith("logger"):
        return  # their folder is known only inside a job
    check_config(config)


@pytest.mark.parametrize("option", [o for o in OPTIONS if o.split("=")[0] in GROUPS])
def test_every_key_is_an_argument_of_what_is_built(option):
    group = option.split("=")[0]
    node = composed(option)[group]
    nodes = list(node.values()) if group in ("logger", "callbacks") else [node]
    for described in nodes:
        if isinstance(described, DictConfig) and "_target_" in described:
            parameters = signature(get_object(described._target_)).parameters
            takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
            keys = {str(key) for key in described if not str(key).startswith("_")}
            assert takes_any or keys <= set(parameters)


BUILT = ("data", "method", "optimizer", "scheduler", "loss", "protocol", "callbacks")


@pytest.mark.parametrize("option", [o for o in OPTIONS if o.split("=")[0] in BUILT])
def test_every_option_can_be_built(option):
    group = option.split("=")[0]
    config = composed(option)
    built = build(config[group])
    if group == "optimizer":
        names = ("lora_A", "lora_B")
        built = built([(f"layer.{name}", Parameter(torch.ones(2, 2))) for name in names])
    assert built is not None


@pytest.mark.parametrize("option", [o for o in OPTIONS if o.startswith("generation=")])
def test_every_generation_gives_settings_of_a_search(option):
    assert beam_settings(composed(option), TOKENIZER, 2000).num_beams >= 1


@pytest.mark.parametrize("option", [o for o in OPTIONS if o.startswith("trainer=")])
def test_every_trainer_can_be_built(option, tmp_path):
    config = composed(option, "trainer.accelerator=cpu", "trainer.devices=1")
    assert build_trainer(config.trainer, [], [], tmp_path).max_epochs == 5


@pytest.mark.parametrize("command", ["train", "generate", "evaluate"])
def test_every_key_has_a_type(command):
    config = composed(command=command)
    ours = [
        key
        for key in flat_keys(config)
        if key.split(".")[0] not in (*UNCHECKED, *OF_MANY)
        and not key.split(".")[-1].startswith("_")
    ]
    assert set(ours) <= set(types_of(config))


@pytest.mark.parametrize(
    ("override", "allowed"),
    [
        ("method.rank=0", ">= 1"),
        ("method.rank=four", "whole number"),
        ("method.rank=4.5", "whole number"),
        ("method.alpha=-1", "> 0"),
        ("method.dropout=1", "< 1"),
        ("method.targets=q", "a list"),
        ("method.bias=some", "none | lora_only | all"),
        ("optimizer.lr=-1e-3", ">= 0"),
        ("optimizer.lr=fast", "a number"),
        ("data.batch_size=0", ">= 1"),
        ("loss.label_smoothing=2", "<= 1"),
        ("model.dtype=float8", "float32 | bfloat16"),
        ("split=dev", "train | valid | test"),
        ("trainer.max_steps=0", ">= 1"),
        ("generation.num_beams=true", "whole number"),
        ("generation.length_penalty=.inf", "a number"),
        ("seed=-1", ">= 0"),
        ("checkpoint=middle", "last | best"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(override, allowed):
    with pytest.raises(InputError, match=override.split("=")[0]) as raised:
        check_config(composed(override))
    assert allowed in str(raised.value)


@pytest.mark.parametrize(
    "overrides",
    [
        ["generation.min_new_tokens=9", "generation.max_new_tokens=8"],
        ["generation.num_return=3", "generation.num_beams=2"],
        ["scheduler=cyclic", "scheduler.steps=[0,10]", "scheduler.lrs=[0.1]"],
        ["scheduler=cyclic", "scheduler.steps=[10,0]", "scheduler.lrs=[0.1,0.2]"],
        ["trainer=cpu", "trainer.devices=2"],
        ["then=[evaluate]"],
        ["method=full", "optimizer=lora_plus"],
        ["method.bias=lora_only", "model.dtype=bfloat16"],
    ],
)
def test_values_that_contradict_each_other_are_an_error(overrides):
    with pytest.raises(InputError):
        check_config(composed(*overrides))


def test_seed_0_is_a_seed():
    check_config(composed("seed=0"))


@pytest.mark.parametrize(("data", "protocol"), [
    ("e2e", "E2EProtocol"), ("webnlg", "WebNLGProtocol"), ("sample_dart", "DARTProtocol"),
    ("jsonl", "E2EProtocol"),
])  # fmt: skip
def test_a_data_set_brings_its_protocol(data, protocol):
    assert composed(f"data={data}").protocol._target_.endswith(protocol)
    assert composed(f"data={data}", "protocol=dart").protocol._target_.endswith("DARTProtocol")


def test_the_papers_settings_differ_from_the_readmes_in_length_penalty_and_checkpoint():
    paper = composed("experiment=e2e/gpt2_medium")
    readme = composed("experiment=e2e/gpt2_medium_readme")
    assert (paper.generation.length_penalty, paper.checkpoint) == (0.9, "best")
    assert (readme.generation.length_penalty, readme.checkpoint) == (0.8, "last")
    for config in (paper, readme):
        assert (config.method.rank, config.method.alpha, config.optimizer.lr) == (4, 32, 2e-4)
        assert (config.scheduler.warmup_steps, config.trainer.max_epochs) == (500, 5)
        assert config.data.batch_size == 8


@pytest.mark.parametrize("size", ["medium", "large"])
@pytest.mark.parametrize(
    ("data", "dropout", "smoothing", "decay"),
    [("e2e", 0.1, 0.1, 0.01), ("webnlg", 0.1, 0.1, 0.01), ("dart", 0.0, 0.0, 0.0)],
)
def test_each_data_set_has_the_papers_regularisation(data, size, dropout, smoothing, decay):
    for config in (
        composed(f"experiment={data}/gpt2_{size}"),
        composed(f"experiment={data}/gpt2_{size}_readme"),
    ):
        assert config.data.dir.endswith({"webnlg": "webnlg_challenge_2017"}.get(data, data))
        assert config.model.path == f"openai-community/gpt2-{size}"
        assert (config.method.dropout, config.loss.label_smoothing) == (dropout, smoothing)
        assert config.optimizer.weight_decay == decay
        assert config.optimizer._target_.endswith("adamw_reference")
        assert (config.scheduler.per, config.seed) == ("micro_step", 110)


def integer_keys(command, *overrides):
    """The keys that take whole numbers and no other ones."""
    types = types_of(composed(*overrides, command=command))
    return [key for key, kind in types.items() if accepts(kind, 3) and not accepts(kind, 0.5)
            and not accepts(kind, "x")]  # fmt: skip


OPTIONS_WITH_COUNTS = {
    "train": ((), ("scheduler=cyclic",), ("generation=sample",)),
    "generate": ((), ("generation=sample",)),
    "evaluate": ((),),
}


@pytest.mark.parametrize("command", OPTIONS_WITH_COUNTS)
@pytest.mark.parametrize("value", ["1.5", "1.0", "true", "99999999999999999999"])
def test_every_integer_key_refuses_what_is_no_whole_number(command, value):
    for overrides in OPTIONS_WITH_COUNTS[command]:
        keys = integer_keys(command, *overrides)
        assert "seed" in keys
        right = composed(*overrides, command=command)
        for key in keys:
            config = right.copy()
            OmegaConf.update(config, key, yaml_value(value), force_add=True)
            with pytest.raises(InputError, match=f"{key}="):
                check_config(config)


def yaml_value(text):
    return OmegaConf.create(f"value: {text}").value


NUMBERS = ("optimizer.lr", "optimizer.weight_decay", "optimizer.eps", "method.alpha",
           "method.dropout", "loss.label_smoothing", "generation.length_penalty",
           "generation.repetition_penalty", "trainer.gradient_clip_val",
           "trainer.progress_every_n_seconds")  # fmt: skip


def test_every_number_is_finite_also_as_float32():
    right = composed()
    for key in NUMBERS:
        for value in (math.inf, -math.inf, math.nan, 1e308):
            config = right.copy()
            OmegaConf.update(config, key, value)
            with pytest.raises(InputError, match=key):
                check_config(config)


CONTRADICTIONS = {
    "generation": ({"min_new_tokens": 9, "max_new_tokens": 8}, r"generation\.min_new_tokens=9"),
    "scheduler": ({"steps": [10, 0], "lrs": [0.1, 0.2]}, r"scheduler\.steps=\[10, 0\]"),
}


def test_values_contradict_each_other_in_python_as_in_a_config():
    keys, message = CONTRADICTIONS["scheduler"]
    with pytest.raises(InputError, match=message):
        CyclicSchedule("optimizer_step", **keys)
    keys, message = CONTRADICTIONS["generation"]
    with pytest.raises(InputError, match=message):
        make_settings(**keys)


def test_an_unknown_group_or_key_is_named_with_the_nearest_one():
    for override, known in (("+trainr.max_steps=3", "trainer"), ("+splitt=test", "split"),
                            ("+generation.num_beam=3", "generation.num_beams")):  # fmt: skip
        with pytest.raises(InputError, match=f"nearest one is {known}"):
            check_config(composed(override))


def test_a_text_to_decode_is_checked_without_what_only_files_need():
    config = composed("text=x", "data.max_length=1", command="generate")
    with pytest.raises(InputError, match=r"data\.max_length=1"):
        check_config(config)


@pytest.mark.parametrize(("group", "kind"), [("logger", Logger), ("callbacks", Callback)])
def test_an_object_of_another_kind_is_refused_under_its_name(group, kind):
    config = composed(f"+{group}.x._target_=os.getcwd")
    with pytest.raises(InputError, match=rf"{group}\.x\._target_=os\.getcwd: gives str"):
        build_each(group, config[group], kind)
