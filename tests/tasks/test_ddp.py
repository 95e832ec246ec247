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


def decoded(folder):
    records = read_rows(folder / "predictions.jsonl")
    return [(record["id"], record["tokens"]) for record in records]


@pytest.fixture(scope="module")
def by_one(run):
    """What one rank decodes of five contexts, of which two ranks have unequal shares."""
    run_command("generate", f"run={run}", "trainer=cpu", "name=one")
    return decoded(run / "predictions" / "test" / "one")


def test_every_context_is_decoded_once_and_in_order(run, by_one):
    assert decoded(run / "predictions" / "test") == by_one
    assert len(by_one) == 5


def test_a_rank_may_have_no_context_at_all(run, by_one):
    run_process("generate.py", f"run={run}", "trainer=ddp_cpu", "data.limit_test=1", "name=two")
    assert decoded(run / "predictions" / "test" / "two") == by_one[:1]


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
