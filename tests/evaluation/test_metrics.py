"""The metrics' definitions: traps that the goldens hold, invariants, and living oracles."""

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lora_lightning.errors import InputError
from lora_lightning.evaluation.evaluation import evaluate
from lora_lightning.evaluation.measurement import NotComputable
from lora_lightning.evaluation.metrics import bleu, cider, nist, rouge_l, ter
from lora_lightning.evaluation.protocols.dart import DARTProtocol
from lora_lightning.evaluation.protocols.e2e import E2EProtocol
from lora_lightning.evaluation.protocols.webnlg import WebNLGProtocol
from lora_lightning.evaluation.segment import Segment
from lora_lightning.evaluation.tokenizers.mteval import tokenise_13a, tokenise_13a_bytes
from lora_lightning.evaluation.tokenizers.treebank import treebank_tokens
from tests.evaluation.golden_sets import edge_case_records

WORDS = st.sampled_from(["the", "mill", "is", "a", "cheap", "pub", "Mill", "é", "."])
TEXT = st.lists(WORDS, max_size=9)
SEGMENT = st.tuples(TEXT, st.lists(TEXT, min_size=1, max_size=3))
LONG = st.lists(WORDS, min_size=4, max_size=12)
few = settings(deadline=None, max_examples=60)


# --- tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Hello, world!", "Hello , world !"),
        ("3.5 and 3,000.", "3.5 and 3,000 ."),
        ("20-25 well-known", "20 - 25 well-known"),
        ("it's <skipped>a&amp;b", "it's a & b"),
        ("&AMP;", "& AMP ;"),
        ("end-\nof", "endof"),
        ("", ""),
    ],
)
def test_mteval_tokens(text, tokens):
    assert " ".join(tokenise_13a(text)) == tokens


def test_a_no_break_space_divides_words_for_e2e_only():
    assert tokenise_13a("a\u00a0b") == ["a", "b"]
    assert tokenise_13a_bytes("a\u00a0b") == ["a\u00a0b"]


def test_treebank_tokens_of_tokenised_text():
    assert treebank_tokens('" i Cannot wanna " .') == [
        "``",
        "i",
        "Can",
        "not",
        "wan",
        "na",
        "``",
        ".",
    ]
    assert treebank_tokens("cannoté _cannot") == ["cannoté", "_cannot"]


# --- BLEU and NIST


def test_short_hypotheses_lower_the_totals_of_e2e_bleu():
    assert bleu.e2e_statistics(["pub"], [["a", "pub"]]).totals == (1, 0, -1, -2)
    assert bleu.generation_eval_statistics(["pub"], [["a", "pub"]]).totals == (1, 0, 0, 0)


def test_an_empty_text_is_one_token_for_e2e_bleu_and_none_for_generation_eval():
    assert bleu.e2e_statistics([], [[]]).hits == (1, 0, 0, 0)
    assert bleu.generation_eval_statistics([], [["a"], []]).reference_length == 0


def test_the_closest_reference_length_is_the_shorter_one_on_a_tie():
    assert bleu.e2e_statistics(list("abcde"), [list("abcdef"), list("abcd")]).reference_length == 4


@few
@given(st.lists(st.tuples(LONG, st.lists(LONG, min_size=1, max_size=3)), min_size=1, max_size=4))
def test_e2e_bleu_of_hypotheses_of_four_tokens_and_more_is_sacrebleu(segments):
    sacrebleu = pytest.importorskip("sacrebleu.metrics")
    # One perfect segment keeps every order's hits above 0, where the two smooth differently.
    segments = [*segments, (list("abcd"), [list("abcd")])]
    statistics = [bleu.e2e_statistics(*segment) for segment in segments]
    columns = [[g[i] if i < len(g) else None for _, g in segments] for i in range(3)]
    columns = [[None if r is None else " ".join(r) for r in c] for c in columns]
    columns = [column for column in columns if any(column)]
    oracle = sacrebleu.BLEU(tokenize="none", force=True)
    score = oracle.corpus_score([" ".join(h) for h, _ in segments], columns).score
    assert bleu.e2e_bleu(statistics) == pytest.approx(score / 100, rel=1e-9)


@few
@given(st.lists(SEGMENT, min_size=1, max_size=4))
def test_generation_eval_bleu_is_sacrebleu_without_smoothing(segments):
    sacrebleu = pytest.importorskip("sacrebleu.metrics")
    assume(any(hypothesis for hypothesis, _ in segments))
    columns = [[" ".join(g[min(i, len(g) - 1)]) for _, g in segments] for i in range(3)]
    oracle = sacrebleu.BLEU(tokenize="none", smooth_method="none", force=True)
    score = oracle.corpus_score([" ".join(h) for h, _ in segments], columns).score
    statistics = [bleu.generation_eval_statistics(*segment) for segment in segments]
    assert bleu.generation_eval_bleu(statistics) == pytest.approx(score, rel=1e-9, abs=1e-12)


def test_generation_eval_bleu_of_empty_hypotheses_is_undefined():
    with pytest.raises(NotComputable, match="every hypothesis is empty"):
        bleu.generation_eval_bleu([bleu.generation_eval_statistics([], [["a"]])])


def test_nist_information_is_counted_over_all_references():
    references = [[list("ab"), list("ac")], [list("ab")]]
    worth = nist.information(references, [("a",), ("a", "b")])
    assert worth[("a",)] == 1.0  # 3 of 6 tokens
    assert worth[("a", "b")] == pytest.approx(math.log2(3 / 2))


def test_nist_is_undefined_where_an_order_has_no_ngram():
    four = nist.statistics([list("abcd")], [[list("abcd")]])
    with pytest.raises(NotComputable, match="no 5-gram"):
        nist.nist(four)


# --- ROUGE-L and CIDEr


def test_rouge_l_takes_precision_and_recall_from_different_references():
    # Precision 1 from the long reference, recall 1 from the short one.
    assert rouge_l.rouge_l(["a", "b"], [["a", "b", "c", "d"], ["a"]]) == pytest.approx(1.0)


def test_two_texts_without_tokens_are_equal_for_rouge_l():
    assert rouge_l.rouge_l([], [[]]) == 1.0
    assert rouge_l.rouge_l([], [["a"]]) == 0.0


def test_cider_of_a_single_segment_is_zero():
    assert cider.cider([["a", "b"]], [[["a", "b"]]]) == [0.0]


@few
@given(st.lists(SEGMENT, min_size=2, max_size=4))
def test_rouge_l_and_cider_are_those_of_the_coco_caption_code(segments):
    rouge_module = pytest.importorskip("pycocoevalcap.rouge.rouge")
    cider_module = pytest.importorskip("pycocoevalcap.cider.cider_scorer")
    hypotheses, references = zip(*segments, strict=True)
    assume(any(reference for group in references for reference in group))
    oracle, scorer = rouge_module.Rouge(), cider_module.CiderScorer(n=4, sigma=6.0)
    for hypothesis, group in segments:
        texts = " ".join(hypothesis), [" ".join(reference) for reference in group]
        official = oracle.calc_score([texts[0]], texts[1])
        assert rouge_l.rouge_l(hypothesis, group) == pytest.approx(official, rel=1e-9)
        scorer += texts
    assert cider.cider(hypotheses, references) == pytest.approx(
        scorer.compute_score()[1].tolist(), rel=1e-9, abs=1e-12
    )


# --- TER


@pytest.mark.parametrize("kind", ["generation_eval_raw", "generation_eval_processed"])
def test_ter_against_each_reference_of_the_edge_cases(kind):
    for record in edge_case_records(kind):
        hypothesis = record["hypothesis_nltk"].split()
        references = [text.split() for text in record["references_nltk"]]
        assert [ter.pair_ter(hypothesis, r) for r in references] == record["ter_references"]
        assert ter.ter(hypothesis, references) == record["ter"]


@few
@given(TEXT, TEXT)
def test_ter_is_that_of_its_definition_done_slowly(hypothesis, reference):
    assert ter.pair_ter(hypothesis, reference) == slow_ter(hypothesis, reference)


@few
@given(TEXT, TEXT)
def test_ter_is_pyters(hypothesis, reference):
    pyter = pytest.importorskip("pyter", reason="pyter3 is not installed")
    assume(reference)
    assert ter.pair_ter(hypothesis, reference) == pyter.ter(hypothesis, reference)


@few
@given(TEXT, TEXT)
def test_ter_of_equal_texts_is_zero_and_an_empty_reference_gives_one(hypothesis, reference):
    assert ter.pair_ter(hypothesis, []) == 1.0
    assume(reference)
    assert ter.pair_ter(reference, reference) == 0.0
    assert ter.ter(hypothesis, [reference, hypothesis]) == (0.0 if hypothesis else 1.0)


def test_many_segments_shared_among_processes_score_the_same(monkeypatch):
    records = edge_case_records("generation_eval_processed")
    hypotheses = [record["hypothesis_nltk"].split() for record in records]
    references = [[text.split() for text in record["references_nltk"]] for record in records]
    alone = ter.ter_of_segments(hypotheses, references, processes=1)
    monkeypatch.setattr(ter, "_SEGMENTS_WORTH_A_PROCESS", 1)
    assert ter.ter_of_segments(hypotheses, references, processes=2) == alone


def slow_ter(hypothesis, reference):
    """TER from the definition: every shift is tried, every edit distance is computed."""
    if not reference:
        return 1.0
    words, shifts = list(hypothesis), 0
    while True:
        before = edit_distance(words, reference)
        shifted = [(before - edit_distance(s, reference), s) for s in all_shifts(words, reference)]
        gain, best = max(shifted, default=(0, words))
        if gain <= 0:
            return (shifts + before) / len(reference)
        words, shifts = best, shifts + 1


def all_shifts(words, reference):
    for i in range(len(words)):
        for j in range(len(reference)):
            length = 0
            while (
                max(i, j) + length < max(len(words), len(reference))
                and words[i + length : i + length + 1] == reference[j + length : j + length + 1]
                and i + length < len(words)
            ):
                length += 1
            if i != j and length:
                rest = words[:i] + words[i + length :]
                yield rest[:j] + words[i : i + length] + rest[j:]


def edit_distance(first, second):
    row = list(range(len(second) + 1))
    for i, one in enumerate(first, start=1):
        above, row = row, [i]
        for j, other in enumerate(second, start=1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (one != other)))
    return row[-1]


# --- protocols


def test_a_subset_of_the_metrics_can_be_asked_for():
    segments = [Segment("a b c d e f", ("a b c d e f",))] * 2
    evaluation = evaluate(E2EProtocol(["nist", "bleu"]), segments)
    assert list(evaluation.scores) == ["nist", "bleu"]
    assert evaluation.published_form["bleu"] == "100.0"
    assert set(evaluation.sentences[0]["tokens"]) == {"mteval"}


@pytest.mark.parametrize("metrics", [["ter"], [], ["bleu", "bleu"]])
def test_metrics_that_a_protocol_does_not_have_are_refused(metrics):
    with pytest.raises(InputError, match=r"protocol\.metrics"):
        E2EProtocol(metrics)


def test_nothing_to_score_is_an_error():
    with pytest.raises(InputError, match="nothing to score"):
        evaluate(E2EProtocol(), [])
    with pytest.raises(InputError, match="id 7 has no reference"):
        evaluate(E2EProtocol(), [Segment("a", (), id=7)])


def test_webnlg_lower_cases_and_tokenises_own_predictions_e2e_does_not():
    segments = [Segment("It's A.", ("B-c",), id=1, context="x", seen=True)]
    assert WebNLGProtocol().prepare(segments) == [
        Segment("it ' s a .", ("b - c",), id=1, context="x", seen=True)
    ]
    assert E2EProtocol().prepare(segments) == segments


def test_six_references_count_and_copies_of_the_first_do_not():
    protocol = DARTProtocol(["ter"])
    many = Segment("g", tuple("abcdefg"))
    assert protocol.scored_references(many) == tuple("abcdef")
    assert protocol.scored_references(Segment("a", ("a", "b", "a", "a"))) == ("a", "b")
    evaluation = evaluate(protocol, [many])
    assert evaluation.scores["ter"] == 1.0
    assert "1 groups have more than six references" in evaluation.notes[0]


def test_raw_text_is_noted_where_nltk_would_tokenise_it():
    evaluation = evaluate(WebNLGProtocol(["ter"]), [Segment("It's raw.", ("it is raw .",))])
    assert "1 texts are not tokenised" in evaluation.notes[0]


def test_other_counts_than_the_published_test_sets_are_said():
    notes = WebNLGProtocol().test_set_notes({"groups": 1862, "references": 4922, "seen": 970})
    assert len(notes) == 1
    assert "970 seen" in notes[0]
    assert "971" in notes[0]


def test_a_signature_says_definition_tokens_references_and_versions():
    evaluation = evaluate(WebNLGProtocol(["bleu", "ter"]), [Segment("a b c d", ("a b c d",))])
    for part in ("pyter", "Treebank tokens", "at most six references", "rapidfuzz 3"):
        assert part in evaluation.signatures["ter"]
    assert "sacrebleu 2" in evaluation.signatures["bleu"]


def test_progress_names_each_metric_before_it_is_computed():
    calls = []
    segments = [Segment("a b c d e f", ("a b c d e f",))]
    evaluate(E2EProtocol(["bleu", "nist"]), segments, lambda *call: calls.append(call))
    assert calls == [("bleu", 0, 2), ("nist", 1, 2), ("done", 2, 2)]
