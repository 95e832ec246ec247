"""What the entry points make of a command line before Hydra sees it."""

import gzip
import json

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from lora_lightning.cli.arguments import prepare_arguments
from lora_lightning.cli.grammar import in_grammar
from lora_lightning.errors import InputError
from lora_lightning.runs.latest import latest_run
from tests.commands import error_of, run_command
from tests.goldens import shared


def value_after_hydra(argument: str) -> str:
    """What a config holds after Hydra has parsed the argument and OmegaConf has resolved it."""
    override = OverridesParser.create().parse_override(argument)
    return OmegaConf.create({"text": override.value()}).text


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from(list("\\'\"${}a ,[]=:\t\né")), max_size=12))
def test_any_text_arrives_as_it_was_given(text):
    assert value_after_hydra(*in_grammar(f"text={text}")) == text


def test_every_context_of_the_e2e_test_set_arrives_as_it_was_given():
    for line in shared("data", "e2e", "test.txt").read_text(encoding="utf-8").splitlines():
        context = line.split("||")[0]
        assert value_after_hydra(*in_grammar(f"text={context}")) == context


def test_every_context_of_the_webnlg_test_set_arrives_as_it_was_given():
    path = shared("data", "webnlg_challenge_2017", "test.json.gz")
    for entry in json.loads(gzip.decompress(path.read_bytes()))["entries"]:
        for triple in next(iter(entry.values()))["modifiedtripleset"]:
            context = " : ".join(triple[key] for key in ("subject", "property", "object"))
            assert value_after_hydra(*in_grammar(f"text={context}")) == context


def test_only_text_is_quoted():
    assert in_grammar("method.rank=4") == ["method.rank=4"]


@pytest.mark.parametrize(
    ("argument", "nearest"),
    [("method.rnk=4", "method.rank"), ("metod=lora", "method"), ("+seeed=1", "seed")],
)
def test_an_unknown_key_is_named_with_the_nearest_one(argument, nearest, tmp_path):
    error = error_of("train", argument, f"output_dir={tmp_path / 'run'}")
    key = argument.lstrip("+").split("=")[0]
    assert f"unknown key {key}" in error
    assert f"is {nearest} " in error


def test_an_unknown_option_lists_those_that_exist(tmp_path):
    error = error_of("train", "data=e2x", f"output_dir={tmp_path / 'run'}")
    assert "e2x" in error
    assert "sample_e2e" in error


def test_a_folder_that_is_no_run_is_an_error(tmp_path):
    assert f"run={tmp_path}" in error_of("generate", f"run={tmp_path}")
    assert "no such folder" in error_of("evaluate", f"run={tmp_path / 'absent'}")


def test_latest_without_any_run_is_an_error(tmp_path):
    with pytest.raises(InputError, match="train first"):
        latest_run(tmp_path)


@pytest.mark.parametrize("command", ["train", "generate", "evaluate"])
def test_cfg_job_resolve_prints_the_composed_config(command, capsys):
    run_command(command, "--cfg", "job", "--resolve", "method.rank=3")
    output = capsys.readouterr().out
    assert "rank: 3" in output
    assert "${" not in output


def test_json_of_evaluate_leaves_standard_output_to_the_scores():
    stream = "hydra.job_logging.handlers.console.stream=ext://sys.stderr"
    for asked in ("--json", "json=true"):
        assert set(prepare_arguments("evaluate", [asked])) == {"json=true", stream}
    with pytest.raises(InputError, match=r"sweep show <folder> --json"):
        prepare_arguments("evaluate", ["--json", "-m", "seed=0,1"])
