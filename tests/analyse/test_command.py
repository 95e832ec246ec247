"""`python -m lora_lightning.analyse` on runs of the command."""

import json

import pytest

from lora_lightning.analyse.__main__ import analyse
from lora_lightning.errors import InputError
from lora_lightning.tracking.csv_tables import read_metrics
from tests.commands import run_command
from tests.tiny import TRAINING


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("analysed")
    for rank in (2, 3):
        run_command("train", *TRAINING, f"method.rank={rank}", f"output_dir={folder / str(rank)}")
    return folder


def test_an_analysis_writes_what_it_found_and_draws_it(runs, capsys):
    analyse([f"run={runs / '2'}", f"against={runs / '3'}", "rows=8"])
    folder = runs / "2" / "analysis"
    content = json.loads((folder / "analysis.json").read_text("utf-8"))
    first = content["slices"][0]
    assert first["name"] == "transformer.h.0.attn.c_attn [q]"
    assert len(first["singular_values"]) == 2
    assert (len(first["similarity"]), len(first["similarity"][0])) == (2, 3)
    assert first["factor"] == pytest.approx(first["update_norm"] / first["along_update"])
    assert [point["rank"] for point in content["truncation"]] == [0, 1, 2]
    figures = {path.name for path in folder.glob("*.png")}
    assert figures == {"singular_values.png", "amplification.png", "truncation.png",
                       "similarity.png"}  # fmt: skip
    printed = capsys.readouterr().out
    assert "attn.c_attn [q]" in printed
    assert str(folder / "analysis.json") in printed


def test_the_whole_rank_has_the_loss_of_the_run(runs):
    analyse([f"run={runs / '3'}", "rows=8"])
    content = json.loads((runs / "3" / "analysis" / "analysis.json").read_text("utf-8"))
    run_command("train", *TRAINING, "method.rank=3", "data.limit_valid=8", "data.round_up=none",
                f"output_dir={runs / 'again'}")  # fmt: skip
    last = read_metrics(runs / "again" / "metrics.csv")[-1]
    loss = content["truncation"][-1]["loss_per_token"]
    assert loss == pytest.approx(last["val/loss_per_token"], abs=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "run=<folder or latest> is needed"),
        (["run={runs}/2", "rows=some"], "rows=some: give how many rows"),
        (["run={runs}/2", "against={runs}/2"], "against=… is run=… itself"),
        (["run={runs}/2", "against={runs}/none"], "no such folder"),
        (["run={runs}/2", "rank=3"], "unknown key rank; the keys are run, against"),
    ],
)
def test_bad_arguments_are_one_line(runs, arguments, message):
    with pytest.raises(InputError, match=message):
        analyse([argument.format(runs=runs) for argument in arguments])
    assert not (runs / "2" / "analysis" / "none").exists()
