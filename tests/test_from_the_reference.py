"""docs/from-the-reference.md: complete, and true of our keys and defaults."""

import re
from dataclasses import dataclass
from functools import cache

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from lora_lightning.config.keys import flat_keys
from lora_lightning.config.rules import types_of
from lora_lightning.ranges import accepts
from tests.config.test_rules import CONFIGS, OPTIONS
from tests.config.test_rules import composed as composed_anew
from tests.goldens import ROOT

composed = cache(composed_anew)  # nothing here changes a config

PAGE = (ROOT / "docs" / "from-the-reference.md").read_text(encoding="utf-8")
COMMANDS = ("train", "generate", "evaluate")
LAUNCH = "platform local_rank local-rank rank device world_size random_seed"
FLAGS = {
    "gpt2_ft.py": f"""{LAUNCH} lr weight_decay correct_bias adam_epislon no_decay_bias adam_beta1
        adam_beta2 scheduler max_step max_epoch warmup_step i_steps i_lrs train_data valid_data
        train_batch_size valid_batch_size grad_acc clip seq_len model_card init_checkpoint fp16
        log_interval eval_interval save_interval work_dir lora_dim lora_alpha obj lora_dropout
        label_smooth roll_interval roll_lr roll_step eval_epoch""",
    "gpt2_beam.py": f"""{LAUNCH} data batch_size seq_len eval_len min_length model_card
        init_checkpoint lora_dim lora_alpha work_dir beam length_penalty no_repeat_ngram_size
        repetition_penalty eos_token_id output_file""",
    "gpt2_decode.py": """vocab sample_file input_file output_ref_file output_pred_file
        ref_unique_file ref_type ref_num tokenize lower filter""",
    "measure_scores.py": """sent-level seg-level sentence-level segment-level src-file python table
        header""",
    "eval.py": "reference hypothesis language num_refs metrics ncorder nworder beta",
    "gpt2_encode.py": "input vocab output add_bos add_eos",
}


@dataclass(frozen=True)
class Row:
    """One row of a table, with the script that its heading names."""

    script: str
    flags: str
    keys: tuple[str, ...]
    default: str


def rows() -> list[Row]:
    script, found = "", []
    for line in PAGE.splitlines():
        if line.startswith("#"):
            named = re.search(r"(\w+)\.py", line)
            script = named.group(0) if named else script
            script = "gpt2_encode.py" if "preprocessing" in line else script
        elif line.startswith("|") and not line.startswith(("| flag", "|---")):
            flags, _, keys, default, _ = (cell.strip() for cell in line.strip("|").split("|"))
            found.append(Row(script, flags, tuple(re.findall("`([^`]+)`", keys)), default))
            assert found[-1].keys or keys == "nothing", line
    return found


@cache
def existing_keys() -> frozenset[str]:
    """Every key of every command with every option of every group."""
    groups = [path for path in CONFIGS.iterdir() if path.is_dir() and path.name != "hydra"]
    keys = {key for command in COMMANDS for key in flat_keys(composed(command=command))}
    for group in groups:
        for option in group.glob("*.yaml"):
            keys |= set(flat_keys(composed(f"{group.name}={option.stem}")))
    return frozenset(keys)


@cache
def known_types() -> dict[str, object]:
    """The type of every key of every command and of every option of every group."""
    types = {key: kind for c in COMMANDS for key, kind in types_of(composed(command=c)).items()}
    for option in OPTIONS:
        types |= types_of(composed(option))
    return types


def parsed(value: str) -> object:
    return OverridesParser.create().parse_override(f"key={value}").value()


def is_option(key: str) -> bool:
    return "=" in key and (CONFIGS / key.split("=")[0]).is_dir()


@pytest.mark.parametrize("script", FLAGS)
def test_every_flag_of_a_script_has_a_row(script):
    flags = " ".join(row.flags for row in rows() if row.script == script)
    assert set(re.findall(r"--([\w-]+)", flags)) == set(FLAGS[script].split())


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.flags)
def test_every_key_exists_and_takes_the_value_given(row):
    for key in row.keys:
        name, _, value = key.partition("=")
        if is_option(key):
            assert (CONFIGS / name / f"{value}.yaml").is_file(), key
        else:
            assert name in existing_keys(), key
            assert not value or accepts(known_types()[name], parsed(value)), key


@pytest.mark.parametrize(
    "row", [row for row in rows() if row.default], ids=lambda row: f"{row.flags} {row.default}"
)
def test_our_default_is_the_one_given(row):
    command = {"gpt2_ft.py": "train", "gpt2_beam.py": "generate"}.get(row.script, "evaluate")
    given = OverridesParser.create().parse_override(f"key={row.default.strip('`')}").value()
    key = row.keys[0].split("=")[0]
    if is_option(row.keys[0]):
        assert default_option(command, key) == given
        return
    for options in ((), ("optimizer=adamw_reference",)):
        config = composed(*options if command == "train" else (), command=command)
        if (found := OmegaConf.select(config, key, default=missing)) is not missing:
            break
    assert found == given


missing = object()


def default_option(command: str, group: str) -> str:
    """The option of a group that a command composes when the user names none."""
    [option] = [
        entry[group]
        for entry in OmegaConf.load(CONFIGS / f"{command}.yaml").defaults
        if isinstance(entry, DictConfig) and group in entry
    ]
    return option


def test_every_code_span_that_looks_like_a_key_is_one():
    groups = {path.name for path in CONFIGS.iterdir() if path.is_dir()}
    spans = {span for span in re.findall("`([^`\n]+)`", PAGE) if span.split(".")[0] in groups}
    assert spans
    for span in spans:
        assert span.split("=")[0] in existing_keys(), span


def test_the_released_command_is_the_experiment_of_its_name():
    [line] = re.findall(r"^python train\.py (data=e2e .*)$", PAGE, re.MULTILINE)
    translated, experiment = composed(*line.split()), composed("experiment=e2e/gpt2_medium_readme")
    assert translated == experiment
