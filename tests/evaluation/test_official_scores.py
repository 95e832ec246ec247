"""Scores equal those of e2e-metrics and GenerationEval, for the corpus and every segment.

METEOR gets its table cut down to what the texts can hold, as by the command: the official numbers
are those of the whole table.
"""

import pytest

from lora_lightning.evaluation.evaluation import evaluate
from lora_lightning.evaluation.tokenizers.mteval import tokenise_13a
from lora_lightning.evaluation.tokenizers.treebank import treebank_tokens
from tests.evaluation.golden_sets import (
    E2E_SYSTEMS,
    WEBNLG_SYSTEMS,
    close,
    dart_set,
    e2e_reference_tokens,
    e2e_set,
    edge_case_set,
    read_records,
    webnlg_set,
)
from tests.goldens import golden


def assert_segments(evaluation, records, metrics):
    for sentence, record in zip(evaluation.sentences, records, strict=True):
        for metric in metrics:
            assert sentence["metrics"][metric] == close(record[metric]), (metric, sentence)


@pytest.mark.parametrize("system", E2E_SYSTEMS)
def test_e2e_bleu_and_nist(system):
    protocol, segments, scores, records = e2e_set(system, ["bleu", "nist"])
    evaluation = evaluate(protocol, segments)
    assert evaluation.scores == close({m: scores[m] for m in ("bleu", "nist")})
    assert_segments(evaluation, records, ("bleu", "nist"))
    for segment, record in zip(segments, records, strict=True):
        assert " ".join(tokenise_13a(segment.hypothesis)) == record["hyp_mteval"]


@pytest.mark.parametrize(
    "system",
    [*(pytest.param(s, marks=pytest.mark.long) for s in E2E_SYSTEMS[:-1]), E2E_SYSTEMS[-1]],
)  # of all, see test_java_metrics.py
def test_e2e_meteor_and_what_it_counts(system):
    protocol, segments, scores, records = e2e_set(system, ["meteor"])
    evaluation = evaluate(protocol, segments)
    assert evaluation.scores == close({"meteor": scores["meteor"]})
    assert_segments(evaluation, records, ["meteor"])
    counts = [list(map(float, record["meteor_stats"].split())) for record in records]
    # The official numbers have the one chunk of a perfect segment, which the score leaves out.
    for own, official in zip(evaluation.statistics["meteor"], counts, strict=True):
        assert [*own[:20], *own[21:]] == [*official[:20], *official[21:]]


@pytest.mark.parametrize("system", E2E_SYSTEMS)
def test_e2e_ptb_tokens_rouge_l_and_cider(system):
    protocol, segments, scores, records = e2e_set(system, ["rouge_l", "cider"])
    evaluation = evaluate(protocol, segments)
    assert evaluation.scores == close({m: scores[m] for m in protocol.metrics})
    assert_segments(evaluation, records, protocol.metrics)
    references = e2e_reference_tokens(system, segments)
    for sentence, record, group in zip(evaluation.sentences, records, references, strict=True):
        assert sentence["tokens"]["ptb"] == {"hypothesis": record["hyp_ptb"], "references": group}


@pytest.mark.parametrize("system", WEBNLG_SYSTEMS)
def test_webnlg_bleu_and_ter_of_all_seen_and_unseen(system):
    check_webnlg(system, ("bleu", "ter"))


@pytest.mark.long
@pytest.mark.parametrize("system", WEBNLG_SYSTEMS)
def test_webnlg_meteor_of_all_seen_and_unseen(system):
    check_webnlg(system, ("meteor",))


def check_webnlg(system, metrics):
    protocol, segments, scores, records = webnlg_set(system, metrics)
    evaluation = evaluate(protocol, segments)
    for name, found in {"all": evaluation.scores, **evaluation.subsets}.items():
        assert found == close({m: scores[name][m] for m in metrics}), name
    assert_segments(evaluation, records, [m for m in metrics if m != "bleu"])
    assert evaluation.counts == {"groups": 1862, "references": 4922, "seen": 971, "unseen": 891}
    assert not protocol.test_set_notes(evaluation.counts)
    assert not evaluation.notes


def test_dart_bleu_and_ter():
    check_dart(("bleu", "ter"))


@pytest.mark.long
def test_dart_meteor():
    check_dart(("meteor",))


def check_dart(metrics):
    protocol, segments, scores, records = dart_set(metrics)
    evaluation = evaluate(protocol, segments)
    assert evaluation.scores == close({m: scores[m] for m in metrics})
    assert_segments(evaluation, records, [m for m in metrics if m != "bleu"])
    assert evaluation.counts == {"groups": 4159, "references": 11842}
    assert not evaluation.subsets


@pytest.mark.parametrize("data", ["webnlg", "dart"])
def test_word_tokenize_on_tokenised_text_is_a_map_of_tokens(data):
    segments = webnlg_set("melbourne")[1] if data == "webnlg" else dart_set()[1]
    path = golden("scores", data, "references.nltk_differences.jsonl.gz")
    changed = {record["text"]: record["nltk"] for record in read_records(path)}
    for text in {text for segment in segments for text in segment.references}:
        assert " ".join(treebank_tokens(text)) == changed.get(text, text)


@pytest.mark.parametrize(
    ("kind", "metrics"),
    [
        ("e2e", ("bleu", "nist", "meteor", "rouge_l", "cider")),
        ("generation_eval_processed", ("bleu", "ter")),
        # NLTK tokenises raw text for METEOR and TER: these two start from its tokens, elsewhere.
        ("generation_eval_raw", ("bleu",)),
    ],
)
def test_edge_cases(kind, metrics):
    protocol, segments, scores, records = edge_case_set(kind, metrics)
    evaluation = evaluate(protocol, segments)
    assert evaluation.scores == close({m: scores[m] for m in metrics})
    assert_segments(evaluation, records, [m for m in metrics if kind == "e2e" or m != "bleu"])
    if kind == "e2e":
        for sentence, record in zip(evaluation.sentences, records, strict=True):
            tokens = sentence["tokens"]["ptb"]
            assert tokens == {"hypothesis": record["hyp_ptb"], "references": record["refs_ptb"]}
