"""Beside a run stand its method's rows and the LoRA paper's own; `paper show` has them all."""

import json

import pytest

from lora_lightning.errors import InputError
from lora_lightning.paper.__main__ import main
from lora_lightning.paper.beside import Trained, distance, papers_row, rows_beside
from lora_lightning.paper.table import DIFFERENCE, ONE_TEXT, table_of
from lora_lightning.sweep.published import paper_curve

MEDIUM = ("e2e", "gpt2_medium")


def test_a_run_of_lora_stands_beside_lora_of_its_rank_and_optimizer_alone():
    rows = rows_beside(Trained(*MEDIUM, "lora", "adamw", rank=4))
    assert {row.method for row in rows} == {"lora"}
    assert {row.optimizer for row in rows} == {"adamw"}
    assert {row.rank for row in rows} == {4, None}
    assert {row.kind for row in rows} == {"own", "rerun"}
    scaled = rows_beside(Trained(*MEDIUM, "lora", "scaled_adamw", rank=4))
    assert [row.optimizer for row in scaled].count("adamw") == 1  # the paper's own LoRA


@pytest.mark.parametrize("method", ["lora_all_linear", "a_method_of_my_own"])
def test_a_method_that_nobody_published_stands_beside_the_papers_lora(method):
    [row] = rows_beside(Trained(*MEDIUM, method))
    assert (row.paper, row.method, row.scores["all"]["bleu"]) == ("lora", "lora", 70.4)
    assert papers_row(Trained(*MEDIUM, method)) is None


@pytest.mark.parametrize(("dataset", "model"), [("sample", "gpt2_medium"), ("e2e", "gpt2_tiny")])
def test_what_nobody_published_has_nothing_beside_it(dataset, model):
    assert rows_beside(Trained(dataset, model, "lora")) == []
    assert papers_row(Trained(dataset, model, "lora")) is None


@pytest.mark.parametrize(("trainable", "bleu"), [(368_784, 66.3), (11_089_152, 68.9), (None, 66.3)])
def test_of_two_sizes_in_the_paper_the_nearest_stands_beside(trainable, bleu):
    row = papers_row(Trained(*MEDIUM, "adapter_l", trainable=trainable))
    assert row is not None
    assert row.scores["all"]["bleu"] == bleu


def test_the_papers_cells_have_subsets_where_it_prints_them():
    row = papers_row(Trained("webnlg", "gpt2_medium", "lora"))
    assert row is not None
    assert row.scores["unseen"] == {"bleu": 46.7, "meteor": 0.38, "ter": 0.46}


def test_the_distance_is_in_the_published_standard_deviations_where_there_are_any():
    row = papers_row(Trained(*MEDIUM, "lora"))
    assert row is not None
    ours = {"all": {"bleu": 70.1, "cider": 2.55}}
    assert distance(row, "all", "bleu", ours) == pytest.approx(-3)
    assert distance(row, "all", "nist", ours) is None  # ours is unknown
    full = papers_row(Trained(*MEDIUM, "full"))
    assert full is not None
    assert distance(full, "all", "bleu", ours) is None  # printed without a deviation
    table = table_of([row, full], ours)
    assert "70.4 ± 0.1 (-3.0)" in table.cells[0]
    assert table.legend == [DIFFERENCE]


def test_a_deviation_printed_as_zero_gives_no_distance():
    [row] = [r for r in rows_beside(Trained("e2e", "gpt2_large", "adapter_l"))
             if r.parameters == "0.88M"]  # fmt: skip
    assert distance(row, "all", "meteor", {"all": {"meteor": 46.0}}) is None


def test_the_papers_sweep_over_ranks_is_on_the_scorers_scale():
    curve = dict(paper_curve("test/bleu"))
    assert (len(curve), curve[4]) == (11, pytest.approx(0.7038))
    assert dict(paper_curve("test/meteor"))[4] == pytest.approx(0.4689)
    assert dict(paper_curve("val/loss", over_parameters=True))[4 * 98_304] == 1.18
    assert paper_curve("test/ter") == paper_curve("val/perplexity") == []


def test_show_prints_a_table_a_data_set_and_model_and_marks_rows_of_one_text(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # a narrower terminal folds names
    main(["show", "dataset=e2e", "model=gpt2_medium"])
    shown = capsys.readouterr().out
    for text in ("e2e, gpt2_medium", "LoRA 2021, table 3", "70.4 ± 0.1", "AdaMix 2022°", ONE_TEXT):
        assert text in shown
    assert "gpt2_large" not in shown


def test_show_as_json_is_one_line_with_every_field(capsys):
    main(["show", "dataset=dart", "method=lora", "--json"])
    [line] = capsys.readouterr().out.splitlines()
    record = json.loads(line)
    assert {row["model"] for row in record["rows"]} == {"gpt2_medium", "gpt2_large"}
    assert record["papers"]["lora"]["arxiv"] == "2106.09685"
    assert record["rows"][0].keys() >= {"kind", "seeds", "checkpoint", "length_penalty", "scores"}


@pytest.mark.parametrize(("argument", "said"), [
    ("dataset=e3e", "the nearest is e2e"), ("model=gpt2_tiny", "known: gpt2_large"),
    ("data=e2e", "the keys are dataset"), ("e2e", "the keys are dataset"),
])  # fmt: skip
def test_a_choice_that_no_row_has_is_one_line(argument, said):
    with pytest.raises(InputError, match=said):
        main(["show", argument])
