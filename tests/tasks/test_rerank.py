"""Choosing among the hypotheses of a run again, without decoding."""

import json
import math
import shutil

import pytest

from lora_lightning.decoding.reranking import best_first, scores
from lora_lightning.errors import InputError
from lora_lightning.evaluation.metrics.rouge_l import rouge_l
from lora_lightning.evaluation.sentence_metrics import SENTENCE_METRICS, Pair
from lora_lightning.evaluation.slots.errors import slot_errors
from lora_lightning.evaluation.tokenizers.mteval import tokenise_13a
from lora_lightning.rerank import rerank
from tests.commands import run_command
from tests.tiny import TRAINING, read_rows, write_rows

SEARCH = ("generation.num_beams=4", "generation.max_new_tokens=12", "generation.num_return=4",
          "data.limit_test=6")  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with four proven hypotheses for each of six contexts."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    run_command("train", *TRAINING, *SEARCH, "then=[generate]", f"output_dir={folder}")
    return folder


@pytest.fixture
def copy_of_run(run, tmp_path):
    return shutil.copytree(run, tmp_path / "run")


def searched(run):
    return read_rows(run / "predictions" / "test" / "predictions.jsonl")


def score_at(hypothesis, penalty):
    return hypothesis["log_probability"] / hypothesis["length"] ** penalty


def test_the_ranking_at_the_searchs_own_penalty_is_the_searchs(run, tmp_path):
    [path] = rerank([f"run={run}", "length_penalty=0.8", f"output={tmp_path}"])
    assert path == tmp_path / "length_penalty_0.8" / "predictions.jsonl"
    assert read_rows(path) == searched(run)
    for record in searched(run):
        hypotheses = record["hypotheses"]
        found = scores([h["log_probability"] for h in hypotheses],
                       [h["length"] for h in hypotheses], 0.8)  # fmt: skip
        assert found == [h["score"] for h in hypotheses]  # to the last bit
        assert best_first(found) == list(range(len(hypotheses)))


def test_each_penalty_ranks_by_log_probability_over_its_power_of_the_length(run, tmp_path):
    paths = rerank([f"run={run}", "length_penalty=0,0.6,-1,2", f"output={tmp_path}"])
    for path, penalty in zip(paths, (0.0, 0.6, -1.0, 2.0), strict=True):
        for new, old in zip(read_rows(path), searched(run), strict=True):
            values = [score_at(hypothesis, penalty) for hypothesis in old["hypotheses"]]
            found = [hypothesis["score"] for hypothesis in new["hypotheses"]]
            assert found == pytest.approx(sorted(values, reverse=True), rel=1e-6)
            best = new["hypotheses"][0]
            assert [new[key] for key in ("text", "tokens", "score")] == [
                best[key] for key in ("text", "tokens", "score")
            ]
            assert not any(hypothesis["proven"] for hypothesis in new["hypotheses"])


@pytest.mark.parametrize("metric", ["bleu", "chrf", "rouge_l", "ter"])
def test_minimum_bayes_risk_is_the_brute_force_sum_over_all_pairs(metric, run, tmp_path):
    [path] = rerank([f"run={run}", "choice=mbr", f"metric={metric}", "length_penalty=0.5",
                     f"output={tmp_path}"])  # fmt: skip
    for new, old in zip(read_rows(path), searched(run), strict=True):
        texts = [tokenise_13a(h["text"].lower()) for h in old["hypotheses"]]
        weights = [math.exp(score_at(h, 0.5)) for h in old["hypotheses"]]
        expected = {}
        for hypothesis, one in zip(old["hypotheses"], texts, strict=True):
            total = 0.0
            for weight, other in zip(weights, texts, strict=True):
                total += weight / sum(weights) * SENTENCE_METRICS[metric]([Pair(one, [other])])[0]
            expected[tuple(hypothesis["tokens"])] = total
        found = {tuple(h["tokens"]): h["expected_score"] for h in new["hypotheses"]}
        assert found == pytest.approx(expected, rel=1e-5)
        assert new["hypotheses"][0]["expected_score"] == max(found.values())


def test_the_slot_aware_choice_has_the_fewest_errors_then_the_best_score(run, tmp_path):
    [path] = rerank([f"run={run}", "choice=slots", f"output={tmp_path}"])
    for new, old in zip(read_rows(path), searched(run), strict=True):

        def errors(hypothesis, context=old["context"]):
            return slot_errors(context, hypothesis["text"]).count

        expected = sorted(old["hypotheses"], key=lambda h: (errors(h), -h["score"]))
        assert [h["tokens"] for h in new["hypotheses"]] == [h["tokens"] for h in expected]
        assert [h["slot_errors"] for h in new["hypotheses"]] == list(map(errors, expected))


def test_evaluate_takes_the_predictions_and_gets_the_tables_scores(copy_of_run, capsys):
    rerank([f"run={copy_of_run}", "length_penalty=0.8,2"])
    table = capsys.readouterr().out
    run_command("evaluate", f"run={copy_of_run}", "name=length_penalty_2.0",
                "protocol.metrics=[bleu,slot_error]")  # fmt: skip
    path = copy_of_run / "evaluation" / "test" / "length_penalty_2.0" / "metrics.json"
    form = json.loads(path.read_text())["published_form"]
    [row] = [line for line in table.splitlines() if line.startswith("│ 2.0")]
    assert [cell.strip() for cell in row.split("│")[4:6]] == [form["bleu"], form["slot_error"]]


def test_the_oracle_is_at_least_as_good_as_any_choice_by_its_metric(run, tmp_path, capsys):
    """By hand: the best ROUGE-L of each context's hypotheses against its references."""
    run_command("evaluate", f"run={run}", "protocol.metrics=[bleu]", f"output_dir={tmp_path / 'e'}")
    references = {row["id"]: row["references"] for row in read_rows(tmp_path / "e/sentences.jsonl")}
    capsys.readouterr()
    rerank([f"run={run}", "metric=rouge_l", f"output={tmp_path / 'o'}"])
    [row] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│ oracle")]
    lengths = []
    for record in searched(run):

        def against(hypothesis, texts=references[record["id"]]):
            words = tokenise_13a(hypothesis["text"].lower())
            return rouge_l(words, [tokenise_13a(text.lower()) for text in texts])

        lengths.append(max(record["hypotheses"], key=against)["length"])
    assert row.split("│")[3].strip() == f"{sum(lengths) / len(lengths):.1f}"


def test_how_many_hypotheses_there_were_and_what_that_means_is_said(copy_of_run, caplog):
    caplog.set_level("INFO")
    predictions = copy_of_run / "predictions" / "test" / "predictions.jsonl"
    records = searched(copy_of_run)
    records[0]["hypotheses"] = records[0]["hypotheses"][:1]
    write_rows(predictions, records)
    rerank([f"run={copy_of_run}", "length_penalty=1.5"])
    assert "21 of 6 contexts, 1 to 4 each, mean 3.5" in caplog.text
    assert "kept what was best by its own length penalty, 0.8" in caplog.text
    assert "generation.num_return=4" in caplog.text
    assert "data.limit_test=6" in caplog.text


def test_one_hypothesis_each_leaves_nothing_to_choose_from(copy_of_run, caplog):
    caplog.set_level("INFO")
    records = searched(copy_of_run)
    for record in records:
        del record["hypotheses"][1:]
    write_rows(copy_of_run / "predictions" / "test" / "predictions.jsonl", records)
    rerank([f"run={copy_of_run}", "length_penalty=1.5"])
    assert "one hypothesis each leaves nothing to choose from" in caplog.text


@pytest.mark.parametrize(("arguments", "message"), [
    ([], "run=<folder or latest> is needed"),
    (["run={run}", "length_penalty=low"], "length_penalty=low: 'low' is no number from -10 to 10"),
    (["run={run}", "length_penalty=0.6,,1"], "'' is no number"),
    (["run={run}", "length_penalty=nan"], "'nan' is no number"),
    (["run={run}", "length_penalty=11"], "'11' is no number from -10 to 10"),
    (["run={run}", "choice=best"], "choice=best: allowed is score | mbr | slots"),
    (["run={run}", "metric=nist"], "metric=nist: allowed is bleu"),
    (["run={run}", "split=valid"], "the run has no such predictions"),
    (["run={run}", "beams=3"], "unknown key beams"),
    (["run=nowhere"], "run=nowhere: no such folder"),
])  # fmt: skip
def test_a_wrong_argument_is_one_line_and_nothing_is_written(run, arguments, message):
    before = sorted(run.rglob("*"))
    with pytest.raises(InputError) as raised:
        rerank([argument.format(run=run) for argument in arguments])
    assert message in str(raised.value)
    assert sorted(run.rglob("*")) == before


@pytest.mark.parametrize(("change", "message"), [
    (lambda record: record.pop("hypotheses"), "hypotheses: input should be a valid"),
    (lambda record: record.update(hypotheses=[]), "hypotheses: there is none"),
    (lambda record: record["hypotheses"][0].pop("length"), "0.length: field required"),
    (lambda record: record["hypotheses"][0].update(length="3"), "0.length: input should be"),
    (lambda record: record.update(context="name : Nobody"), "the run's data does not have"),
])  # fmt: skip
def test_predictions_without_usable_hypotheses_are_refused(change, message, copy_of_run):
    records = searched(copy_of_run)
    change(records[1])
    write_rows(copy_of_run / "predictions" / "test" / "predictions.jsonl", records)
    with pytest.raises(InputError) as raised:
        rerank([f"run={copy_of_run}", "length_penalty=1"])
    assert message in str(raised.value)


def test_results_are_not_overwritten_unless_that_is_asked_for(copy_of_run):
    arguments = [f"run={copy_of_run}", "length_penalty=1.0"]
    [path] = rerank(arguments)
    with pytest.raises(InputError, match="overwrite=true"):
        rerank([*arguments, "length_penalty=0.9,1.0"])
    assert not path.parent.with_name("length_penalty_0.9").exists()
    assert rerank([*arguments, "overwrite=true"]) == [path]
