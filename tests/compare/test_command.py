"""`python -m lora_lightning.compare`: what it reads, prints, writes and refuses."""

import json
import os
import re
import shutil
from dataclasses import asdict

import pytest

from lora_lightning.compare.__main__ import compare
from lora_lightning.errors import InputError
from lora_lightning.evaluation.statistics_file import STATISTICS
from lora_lightning.sweep.record import JOB, PLAN, Job, Plan
from tests.compare.conftest import hypotheses, references


@pytest.fixture
def compared(tmp_path, capsys):
    """Compare, and return comparison.json and what was printed."""

    def run(*names, resamples=200):
        output = tmp_path / "out"
        arguments = [*map(str, names), f"resamples={resamples}", f"output={output}"]
        capsys.readouterr()
        assert compare(arguments) == 0
        return json.loads((output / "comparison.json").read_text("utf-8")), capsys.readouterr()

    return run


def copy(folder, target):
    return shutil.copytree(folder, target)


def edit(path, change):
    content = json.loads(path.read_text("utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def test_the_record_has_every_metric_system_and_pair(good, poor, compared):
    record, printed = compared(poor, good)
    assert list(record["metrics"]) == ["bleu", "nist"]
    for metric, of_metric in record["metrics"].items():
        scores = {
            str(folder): json.loads((folder / "metrics.json").read_text())["scores"][metric]
            for folder in (poor, good)
        }
        means = {name: system["mean"] for name, system in of_metric["systems"].items()}
        assert means == pytest.approx(scores, rel=1e-9)
        assert {(s["std"], s["runs"]) for s in of_metric["systems"].values()} == {(None, 1)}
        [pair] = of_metric["pairs"]
        assert (pair["a"], pair["b"]) == (str(poor), str(good))
        assert pair["difference"] == pytest.approx(scores[str(good)] - scores[str(poor)])
        low, high = pair["interval"]
        assert 0 < low < pair["difference"] < high
        assert max(pair["p_bootstrap"], pair["p_randomisation"]) < 0.05
    assert "nothing is known about other seeds" in printed.out
    assert printed.out.splitlines()[-1].endswith("comparison.html")


def test_json_prints_the_record_as_one_line_and_nothing_else(good, poor, tmp_path, capsys):
    compare([str(good), str(poor), "--json", "resamples=100", f"output={tmp_path / 'o'}"])
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line) == json.loads((tmp_path / "o" / "comparison.json").read_text("utf-8"))


def test_statistics_that_a_folder_lacks_are_made_said_and_kept(good, poor, tmp_path, compared):
    old = copy(good, tmp_path / "old")
    (old / STATISTICS).unlink()
    edit(old / "metrics.json", lambda content: content.pop("protocol"))
    record, printed = compared(poor, old)
    assert f"{old}: has no statistics of bleu, nist" in printed.err
    assert (old / STATISTICS).read_bytes() == (good / STATISTICS).read_bytes()
    again, _ = compared(poor, good, "overwrite=true")
    for metric in ("bleu", "nist"):
        [one], [other] = (r["metrics"][metric]["pairs"] for r in (record, again))
        assert one | {"b": ""} == other | {"b": ""}


def test_statistics_of_other_sentences_are_made_anew(good, poor, tmp_path, compared):
    mixed = copy(good, tmp_path / "mixed")
    shutil.copy(poor / STATISTICS, mixed / STATISTICS)
    _, printed = compared(poor, mixed)
    assert "has no statistics" in printed.err


def test_sentences_may_stand_in_another_order(good, poor, tmp_path, compared):
    turned = copy(poor, tmp_path / "turned")
    lines = (turned / "sentences.jsonl").read_text("utf-8").splitlines(keepends=True)
    (turned / "sentences.jsonl").write_text("".join(reversed(lines)), encoding="utf-8")
    one, _ = compared(poor, good)
    other, _ = compared(turned, good, "overwrite=true")
    for metric in ("bleu", "nist"):
        [pair], [again] = (r["metrics"][metric]["pairs"] for r in (one, other))
        assert pair["difference"] == pytest.approx(again["difference"], rel=1e-9)
        # The other order draws other samples.
        assert pair["interval"] == pytest.approx(again["interval"], rel=0.3)


@pytest.mark.parametrize("with_references", [True, False])
def test_a_file_of_hypotheses_is_scored_as_the_folder_beside_it(
    evaluations, poor, good, compared, with_references
):
    file = evaluations.write("hypotheses.txt", hypotheses(0.95))
    references_of_file = evaluations.write("of_file.txt", references())
    given = [f"references={references_of_file}"] if with_references else []
    record, printed = compared(poor, file, *given)
    assert f"{file}: scoring it by bleu, nist" in printed.err
    expected, _ = compared(poor, good, "overwrite=true")
    for metric in ("bleu", "nist"):
        [one], [other] = (r["metrics"][metric]["pairs"] for r in (record, expected))
        assert one | {"b": ""} == other | {"b": ""}


def sweep_of(evaluations, folder, settings, axes):
    """A finished sweep of evaluations: job → (overrides, hypotheses)."""
    jobs = {str(number): overrides for number, (overrides, _) in enumerate(settings)}
    folder.mkdir()
    plan = Plan("evaluate", [], str(folder), "basic", "basic", axes, None, None, None, None, jobs)
    (folder / PLAN).write_text(json.dumps(asdict(plan)))
    for name, (overrides, texts) in zip(jobs, settings, strict=True):
        if texts is None:
            (folder / name).mkdir()
            job = Job(name, overrides, "failed")
        else:
            made = evaluations.make(f"{folder.name}{name}", texts, metrics="bleu")
            shutil.copytree(made, folder / name)
            job = Job(name, overrides, "finished")
        (folder / name / JOB).write_text(json.dumps(asdict(job)))
    return folder


def test_a_sweep_is_a_system_for_each_setting_with_its_seeds_as_runs(
    evaluations, tmp_path, compared
):
    settings = [
        ([f"method.rank={rank}", f"seed={seed}"], hypotheses(share, seed=seed))
        for rank, share in ((1, 0.6), (4, 0.9))
        for seed in (1, 2)
    ]
    failed = (["method.rank=8", "seed=1"], None)
    sweep = sweep_of(evaluations, tmp_path / "s", [*settings, failed], ["method.rank", "seed"])
    record, printed = compared(sweep)
    found = record["metrics"]["bleu"]
    names = [f"{sweep} method.rank={rank}" for rank in (1, 4)]
    assert list(found["systems"]) == names
    for name in names:
        system = found["systems"][name]
        assert system["runs"] == len(system["scores"]) == 2
        assert system["std"] > 0
        assert system["mean"] == pytest.approx(sum(system["scores"]) / 2)
    [pair] = found["pairs"]
    assert (pair["a"], pair["b"]) == tuple(names)
    assert pair["difference"] > 0
    assert pair["interval"][1] - pair["interval"][0] > 0.2  # two seeds show little
    assert "left out" in printed.err
    assert "Few seeds" in printed.out


def test_the_page_shows_text_as_text(evaluations, poor, tmp_path, compared):
    evil = ["<script>alert(1)</script> & 'x' {{ 7 * 7 }}", *hypotheses(0.9)[1:]]
    compared(poor, copy(evaluations.make("evil", evil), tmp_path / "evil<b>"))
    page = (tmp_path / "out" / "comparison.html").read_text("utf-8")
    assert "<script" not in page
    assert "evil<b>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "{{ 7 * 7 }}" in page
    assert not re.search(r"(src|href)=", page)


def test_seen_and_unseen_sentences_are_compared_apart_too(evaluations, compared):
    seen = evaluations.write("seen.json", ["[0, 1, 2, 3, 4, 5]"])
    folders = [
        evaluations.make(f"webnlg{n}", hypotheses(share), None, "bleu", "webnlg", seen)
        for n, share in enumerate((0.8, 0.95))
    ]
    record, printed = compared(*folders)
    assert set(record["subsets"]) == {"seen", "unseen"}
    for folder in folders:
        subsets = json.loads((folder / "metrics.json").read_text("utf-8"))["subsets"]
        for name, of_subset in record["subsets"].items():
            mean = of_subset["bleu"]["systems"][str(folder)]["mean"]
            assert mean == pytest.approx(subsets[name]["bleu"], rel=1e-9)
    assert "unseen/bleu" in printed.out


def refusal(*arguments):
    with pytest.raises(InputError) as raised:
        compare([*map(str, arguments)])
    message = str(raised.value)
    assert "\n" not in message
    return message


def test_unequal_sentences_name_both_sides_and_the_first_ids(evaluations, good, tmp_path):
    other = copy(good, tmp_path / "fewer")
    lines = (other / "sentences.jsonl").read_text("utf-8").splitlines(keepends=True)
    renamed = lines[-1].replace('"id": 39', '"id": 77')
    (other / "sentences.jsonl").write_text("".join([*lines[2:-1], renamed]), encoding="utf-8")
    (other / STATISTICS).unlink()
    edit(other / "metrics.json", lambda content: content.update(scores={"nist": None}))
    message = refusal(good, other, f"output={tmp_path / 'o'}")
    assert f"ids 0, 1, 39 are in {good} alone (40 sentences)" in message
    assert f"ids 77 are in {other} alone (38 sentences)" in message
    assert not (tmp_path / "o").exists()


def test_a_run_is_not_compared_with_itself(good, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(good)
    assert "itself" in refusal(good, good)
    assert "itself" in refusal(good, link)
    assert "itself" in refusal(good, f"{good}{os.sep}")


def test_one_sentence_is_no_sample(evaluations, tmp_path):
    one = evaluations.make("one", ["the blue spice"], metrics="bleu")
    assert "1 sentence" in refusal(one, copy(one, tmp_path / "two"))


def test_other_references_are_refused(evaluations, good):
    refs = ["another text altogether", *references()[1:]]
    other = evaluations.make("other_references", hypotheses(0.9), refs)
    assert "other references for id 0" in refusal(good, other)


def test_scores_of_two_protocols_are_refused(evaluations, good):
    other = evaluations.make("webnlg", hypotheses(0.9), metrics="bleu", protocol="webnlg")
    assert "is scored as e2e" in refusal(good, other)


def test_scores_that_are_not_those_of_the_sentences_are_refused(good, poor, tmp_path):
    edited = copy(good, tmp_path / "edited")
    edit(edited / "metrics.json", lambda content: content["scores"].update(bleu=0.99))
    assert "metrics.json has 0.99" in refusal(edited, poor)


def test_damage_is_noticed(good, poor, tmp_path):
    damaged = copy(good, tmp_path / "damaged")
    text = (damaged / STATISTICS).read_text("utf-8")
    (damaged / STATISTICS).write_text(text.replace("9", "8", 1), encoding="utf-8")
    assert "statistics.json: damaged" in refusal(damaged, poor)
    (damaged / "sentences.jsonl").write_text('{"id": 0}\n', encoding="utf-8")
    assert "sentences.jsonl" in refusal(damaged, poor)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{good}"], "one system alone"),
        (["{good}", "nowhere"], "nowhere: no such folder or file"),
        (["{good}", "{empty}"], "holds no run, evaluation"),
        (["{good}", "{run}"], "the run has no scores; run python evaluate.py run="),
        (["{good}", "{predictions}"], "run evaluate.py on them"),
        (["{good}", "{poor}", "resample=10"], "no such folder, and no key"),
        (["{good}", "{poor}", "resamples=0"], "resamples=0"),
        (["{good}", "{poor}", "resamples=1e3"], "resamples=1e3"),
        (["{good}", "{poor}", "seed=-1"], "seed=-1"),
        (["{good}", "{poor}", "protocol=bleu"], "protocol=bleu"),
        (["{good}", "{poor}", "output={good}/metrics.json"], "is a file"),
        (["{good}", "{three}"], "3 hypotheses"),
        (["{three}", "{four}"], "hypotheses need references="),
        (["seed=1"], "name the systems"),
        ([], "--help"),
    ],
)
def test_bad_input_is_one_line(arguments, says, good, poor, evaluations, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "run" / ".hydra").mkdir(parents=True)
    (tmp_path / "run" / "config.yaml").touch()
    (tmp_path / "predictions.jsonl").touch()
    places = {
        "good": good,
        "poor": poor,
        "empty": tmp_path / "empty",
        "run": tmp_path / "run",
        "predictions": tmp_path / "predictions.jsonl",
        "three": evaluations.write("three.txt", "abc"),
        "four": evaluations.write("four.txt", "abcd"),
    }
    assert says in refusal(*(argument.format(**places) for argument in arguments))


def test_a_comparison_is_not_overwritten_unless_asked(good, poor, tmp_path, compared):
    compared(good, poor)
    before = (tmp_path / "out" / "comparison.json").read_bytes()
    assert "overwrite=true" in refusal(good, poor, f"output={tmp_path / 'out'}")
    assert (tmp_path / "out" / "comparison.json").read_bytes() == before
    compared(poor, good, "overwrite=true")
    assert (tmp_path / "out" / "comparison.json").read_bytes() != before
