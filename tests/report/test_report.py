"""`python -m lora_lightning.report`: what it takes and refuses, and what stands in the page."""

import json
import re
import shutil

import pytest

from lora_lightning.errors import InputError
from lora_lightning.report.__main__ import report
from lora_lightning.report.rows import content_of
from tests.recorded import copy_recorded
from tests.report.runs import TEXTS, scored_run


def data_of(page):
    text = page.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])


def test_the_page_lies_in_the_run_and_holds_every_prediction(tmp_path):
    run = scored_run(tmp_path)
    page = report([f"run={run}"])
    assert page == run / "report.html"
    data = data_of(page)
    assert [row["text"] for row in data["rows"]] == [text for _, text, _ in TEXTS]
    assert data["metrics"] == ["bleu", "ter"]
    first = data["rows"][0]
    assert first["remarks"] == ["wrong area[riverside->city centre]"]
    assert [first["text"][start:end] for start, end, _ in first["marks"]] == ["city centre"]
    assert {"loss", "learning rate"} <= {graph["title"] for graph in data["graphs"]}
    assert page.stat().st_size < 3_000_000


def test_two_runs_stand_beside_each_other(tmp_path):
    run = scored_run(tmp_path / "one")
    other = scored_run(tmp_path / "two", [(c, "Other .", 0.3) for c, _, _ in TEXTS])
    page = report([f"run={run}", f"against={other}", f"output={tmp_path / 'page.html'}"])
    assert page == tmp_path / "page.html"
    assert data_of(page)["rows"][0]["against"]["text"] == "Other ."


def test_entities_of_triples_that_a_text_does_not_name_are_remarked():
    content = content_of("Aarhus : leaderName : Jacob", "Aarhus is a city .")
    assert (content.errors, content.remarks) == (1, ["not named: Jacob"])
    assert content_of("a context of one's own", "a text") is None
    assert content_of(None, "a text") is None


def test_a_run_without_predictions_or_scores_is_refused(tmp_path):
    run = copy_recorded(tmp_path / "runs") / "finished"
    with pytest.raises(InputError, match=r"no predictions of split=test.*generate\.py run="):
        report([f"run={run}"])
    (run / "predictions" / "test").mkdir(parents=True)
    (run / "predictions" / "test" / "predictions.jsonl").touch()
    with pytest.raises(InputError, match=r"no scores of split=test.*evaluate\.py run="):
        report([f"run={run}"])
    assert not (run / "report.html").exists()


def test_scores_of_other_predictions_and_other_inputs_are_refused(tmp_path):
    run = scored_run(tmp_path / "one")
    shorter = scored_run(tmp_path / "two", TEXTS[:2])
    other = scored_run(tmp_path / "three", [("name : B", "B .", 0.1), *TEXTS[1:]])
    with pytest.raises(InputError, match=r"scored on other inputs \(63 and 2 inputs\)"):
        report([f"run={run}", f"against={shorter}"])
    with pytest.raises(InputError, match=r"input 1 is .*name : Aromi.* here and .*name : B"):
        report([f"run={run}", f"against={other}"])
    with pytest.raises(InputError, match="is run=… itself"):
        report([f"run={run}", f"against={run}"])
    shutil.copytree(shorter / "predictions", run / "predictions", dirs_exist_ok=True)
    with pytest.raises(InputError, match=r"scores of other predictions.*id 2 is not there"):
        report([f"run={run}"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "run=<folder or latest> is needed"),
        (["run={run}", "output={run}"], "is a folder; give a file"),
        (["run={run}", "opened=true"], "unknown key opened"),
        (["run={run}", "split=dev"], "no predictions of split=dev"),
    ],
)
def test_bad_arguments_are_one_line(tmp_path, arguments, message):
    run = scored_run(tmp_path)
    with pytest.raises(InputError, match=message):
        report([argument.format(run=run) for argument in arguments])
