"""Files in the scorers' formats that others wrote: what is read, and what is refused."""

import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_lightning.errors import InputError
from lora_lightning.evaluation.evaluation import evaluate
from lora_lightning.evaluation.protocols.dart import DARTProtocol
from lora_lightning.evaluation.protocols.e2e import E2EProtocol
from lora_lightning.evaluation.protocols.webnlg import WebNLGProtocol
from lora_lightning.evaluation.segment import Segment
from tests.evaluation.golden_sets import EDGE_CASES, read_json

# What e2e-metrics stops at, except where a line separator counts as text for us.
REFUSED = {
    "fewer_hypotheses": "2 hypotheses, but .* has 3 groups",
    "more_hypotheses": "4 hypotheses, but .* has 3 groups",
    "two_blank_lines_between_groups": "references.txt:4: two blank lines",
    "one_segment": "1 hypotheses, but .* has 2 groups",
    "empty_files": "the file is empty",
}
SEPARATORS = [
    "line_separator_u2028_in_hypothesis",
    "next_line_u0085_in_hypothesis",
    "form_feed_in_hypothesis",
    "vertical_tab_in_hypothesis",
    "file_separator_x1c_in_hypothesis",
    "carriage_return_inside",
]


@pytest.fixture
def crash_case(write):
    def read(name):
        case = read_json(EDGE_CASES / "crashes.json")[name]
        hypotheses = write("hypotheses.txt", case["hypotheses"])
        return E2EProtocol(["bleu", "nist"]).read(
            hypotheses, write("references.txt", case["references"])
        )

    return read


@pytest.mark.parametrize("name", REFUSED)
def test_what_stops_e2e_metrics_is_one_clear_error(name, crash_case):
    with pytest.raises(InputError, match=REFUSED[name]):
        crash_case(name)


@pytest.mark.parametrize("name", SEPARATORS)
def test_a_line_separator_inside_a_text_is_white_space_and_is_noted(name, crash_case):
    evaluation = evaluate(E2EProtocol(["bleu"]), crash_case(name))
    control = evaluate(E2EProtocol(["bleu"]), crash_case("control"))
    assert evaluation.scores == control.scores
    assert "1 texts hold a line separator" in evaluation.notes[0]
    assert not control.notes


@pytest.mark.parametrize(
    "name", ["all_hypotheses_empty", "all_hypotheses_one_token", "all_hypotheses_two_tokens"]
)
def test_undefined_nist_leaves_the_other_metrics(name, crash_case):
    evaluation = evaluate(E2EProtocol(["bleu", "nist"]), crash_case(name))
    assert evaluation.scores["nist"] is None
    assert "undefined" in evaluation.not_computed["nist"]
    assert evaluation.scores["bleu"] is not None


def test_a_byte_that_is_not_utf8_is_named_by_line(write):
    hypotheses = write("h.txt", b"fine\nbad \xff\n")
    with pytest.raises(InputError, match=r"h\.txt:2: not UTF-8"):
        E2EProtocol().read(hypotheses, write("r.txt", "a\n\nb\n"))


def test_packed_files_are_read_as_plain_ones(write):
    hypotheses = write("h.txt.gz", gzip.compress(b"one\ntwo\n"))
    references = write("r.txt.gz", gzip.compress(b"one\n1\n\ntwo\n\n"))
    assert E2EProtocol().read(hypotheses, references) == [
        Segment("one", ("one", "1"), id=0),
        Segment("two", ("two",), id=1),
    ]


def test_an_e2e_file_without_blank_lines_has_one_reference_a_line(write):
    segments = E2EProtocol().read(write("h", "a\nb\n"), write("r", "c\nd\n"))
    assert [segment.references for segment in segments] == [("c",), ("d",)]


def test_an_e2e_file_that_begins_with_a_blank_line_lacks_a_reference(write):
    with pytest.raises(InputError, match="r:1: a blank line first"):
        E2EProtocol().read(write("h", "a\nb\n"), write("r", "\na\n\nb\n"))


def test_e2e_takes_one_reference_file(write):
    with pytest.raises(InputError, match="2 files given; protocol=e2e takes one"):
        E2EProtocol().read(write("h", "a\n"), [write("r", "a\n"), write("s", "a\n")])


def test_reference_files_go_line_by_line_and_empty_lines_are_texts(write):
    references = [write("reference0", "a\n\n"), write("reference1", "b\nc\n")]
    segments = WebNLGProtocol().read(write("h", "x\n\n"), references)
    assert [(s.hypothesis, s.references) for s in segments] == [("x", ("a", "b")), ("", ("", "c"))]
    evaluation = evaluate(WebNLGProtocol(["ter"]), segments)
    assert [sentence["metrics"]["ter"] for sentence in evaluation.sentences] == [1.0, 1.0]


def test_carriage_returns_before_line_ends_are_no_text(write):
    segments = DARTProtocol().read(write("h", "a b\r\nc\r\n"), [write("r", "a b\r\nc\r\n")])
    assert [segment.texts for segment in segments] == [("a b", "a b"), ("c", "c")]


@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        ("a\n", ["a\nb\n"], "1 hypotheses, but .*r0 has 2 lines"),
        ("a\nb\n", ["a\nb\n", "a\n"], "r1: 1 lines, but .*r0 has 2"),
        ("a\n", [""], "r0: the file is empty"),
        ("", ["a\n"], "h: the file is empty"),
        ("a\n", [], "no file given"),
    ],
)
def test_files_of_unequal_length_are_refused(hypotheses, references, message, write):
    paths = [write(f"r{i}", content) for i, content in enumerate(references)]
    with pytest.raises(InputError, match=message):
        WebNLGProtocol().read(write("h", hypotheses), paths)


def test_a_missing_file_is_named(tmp_path, write):
    with pytest.raises(InputError, match=r"nothing\.txt: no such file"):
        WebNLGProtocol().read(tmp_path / "nothing.txt", [write("r", "a\n")])


def test_seen_lines_divide_the_segments(write):
    seen = write("seen.json", "[0, 2]")
    protocol = WebNLGProtocol(["ter"], seen_lines=seen)
    segments = protocol.read(write("h", "a\nb\nc\n"), [write("r", "a\nx\nx\n")])
    evaluation = evaluate(protocol, segments)
    assert evaluation.subsets == {"seen": {"ter": 0.5}, "unseen": {"ter": 1.0}}
    assert evaluation.counts == {"groups": 3, "references": 3, "seen": 2, "unseen": 1}


def test_a_subset_without_segments_is_left_out(write):
    protocol = WebNLGProtocol(["ter"], seen_lines=write("seen.json", "[0]"))
    segments = protocol.read(write("h", "a\n"), [write("r", "a\n")])
    assert evaluate(protocol, segments).subsets == {"seen": {"ter": 0.0}}


@pytest.mark.parametrize("content", ["[3]", "[-1]", "[true]", '["0"]', "[0, 0]", "{}", "[0"])
def test_seen_lines_must_be_line_numbers(content, write):
    protocol = WebNLGProtocol(seen_lines=write("seen.json", content))
    with pytest.raises(InputError, match=r"seen\.json"):
        protocol.read(write("h", "a\nb\nc\n"), [write("r", "a\nb\nc\n")])


lines = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(lines, st.lists(lines, min_size=1, max_size=8)), min_size=2))
def test_written_files_are_read_back(tmp_path_factory, texts):
    folder = tmp_path_factory.mktemp("files")
    segments = [Segment(text, tuple(group), id=i) for i, (text, group) in enumerate(texts)]
    protocol = E2EProtocol()
    assert protocol.read(*protocol.write(segments, folder)) == segments
    webnlg = WebNLGProtocol()
    hypotheses, *references = webnlg.write(segments, folder)
    read = webnlg.read(hypotheses, references)
    assert [s.hypothesis for s in read] == [s.hypothesis for s in segments]
    for found, segment in zip(read, segments, strict=True):
        assert len(found.references) == 6
        assert webnlg.scored_references(found) == webnlg.scored_references(segment)


def test_own_predictions_are_written_for_each_subset(tmp_path):
    segments = [Segment("A b.", ("A b.",), seen=True), Segment("c", ("C", "d"), seen=False)]
    protocol = WebNLGProtocol()
    protocol.write(protocol.prepare(segments), tmp_path)
    assert (tmp_path / "hypotheses.txt").read_text() == "a b .\nc\n"
    assert (tmp_path / "hypotheses.seen.txt").read_text() == "a b .\n"
    assert (tmp_path / "references.unseen" / "reference1").read_text() == "d\n"
    assert (tmp_path / "references.unseen" / "reference5").read_text() == "c\n"
    assert json.dumps(sorted(p.name for p in (tmp_path / "references").iterdir())) == json.dumps(
        [f"reference{i}" for i in range(6)]
    )
