"""Two processes on the CPU give what one gives: the loop, the predictions, the chain."""

import json

import pytest
from omegaconf import OmegaConf

from tests.commands import run_command, run_process
from tests.tiny import DECODING, TRAINING, read_rows


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    run_process(
        "train.py", *TRAINING, *DECODING, "trainer=ddp_cpu", "then=[generate,evaluate]",
        f"output_dir={folder}",
    )  # fmt: skip
    return folder


def test_the_chain_works_in_two_ranks_with_one_config_and_one_folder(run):
    ranks = json.loads((run / "run.json").read_text())["ranks"]
    assert [rank["rank"] for rank in ranks] == [0, 1]
    assert len({rank["config_sha256"] for rank in ranks}) == 1
    assert (run / "evaluation" / "test" / "metrics.json").is_file()
    assert [path.name for path in run.parent.iterdir()] == ["run"]


@pytest.mark.parametrize("contexts", [1, 5])  # a rank without any, and ranks with unequal shares
def test_every_context_is_decoded_once_and_in_order(run, contexts):
    for name, trainer in (("two", "ddp_cpu"), ("one", "cpu")):
        arguments = [f"run={run}", f"trainer={trainer}", f"data.limit_test={contexts}",
                     f"name={name}_{contexts}"]  # fmt: skip
        if trainer == "cpu":
            run_command("generate", *arguments)
        else:
            run_process("generate.py", *arguments)
    two, one = (
        read_rows(run / "predictions" / "test" / f"{name}_{contexts}" / "predictions.jsonl")
        for name in ("two", "one")
    )
    assert [record["id"] for record in two] == [record["id"] for record in one]
    assert [record["tokens"] for record in two] == [record["tokens"] for record in one]
    assert len(two) == contexts


def test_torchrun_starts_ranks_that_share_one_folder(tmp_path):
    run_process(
        "--nproc-per-node=2", "train.py", *TRAINING, "trainer=ddp_cpu",
        f"paths.output_dir={tmp_path}", program="torchrun",
    )  # fmt: skip
    [folder] = (tmp_path / "train" / "sample_e2e_gpt2_tiny").iterdir()
    assert len(json.loads((folder / "run.json").read_text())["ranks"]) == 2


def test_a_multirun_under_torchrun_is_refused(tmp_path):
    output = run_process(
        "--nproc-per-node=2", "train.py", "-m", "seed=0,1", f"output_dir={tmp_path}",
        program="torchrun", exit_code=1,
    )  # fmt: skip
    assert "multirun under torchrun" in output


@pytest.mark.long
def test_each_job_of_a_multirun_has_ranks_of_its_own(tmp_path):
    sweep = tmp_path / "sweep"
    run_process("train.py", "-m", *TRAINING, "trainer=ddp_cpu", "optimizer.lr=1e-3,2e-3",
                f"output_dir={sweep}")  # fmt: skip
    for job, rate in (("0", 1e-3), ("1", 2e-3)):
        record = json.loads((sweep / job / "run.json").read_text())
        assert [rank["rank"] for rank in record["ranks"]] == [0, 1]
        assert len({rank["config_sha256"] for rank in record["ranks"]}) == 1
        assert OmegaConf.load(sweep / job / "config.yaml").optimizer.lr == rate
    folders = {path.name for path in sweep.iterdir() if path.is_dir()}
    assert folders == {"0", "1"}
