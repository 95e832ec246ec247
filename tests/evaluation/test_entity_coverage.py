"""Which of an input's entities a text names."""

import pytest

from lora_lightning.data.sets.dart import read_dart
from lora_lightning.evaluation.evaluation import evaluate
from lora_lightning.evaluation.grouping import group_rows
from lora_lightning.evaluation.metrics.entity_coverage import coverage, entity_coverage
from lora_lightning.evaluation.protocols.webnlg import WebNLGProtocol
from lora_lightning.evaluation.segment import Segment


def missing(context, text):
    return coverage(context, text).missing


@pytest.mark.parametrize(("entity", "text"), [
    ("Café_Rouge", "cafe rouge is here"),
    ('"Asphalt"', "an asphalt surface"),
    ("Chelsea_F.C.", "he plays for Chelsea FC ."),
    ("Batman_(1966 film)", "the film Batman"),
    ("15,830", "15830 people"),
    ("Abilene,_Texas", "abilene , texas"),
    ("1634:_The_Ram_Rebellion", "1634 : The Ram Rebellion"),
])  # fmt: skip
def test_an_entity_is_named_by_its_words_whatever_their_signs(entity, text):
    assert missing(f"{entity} : is : {entity}", text) == []


@pytest.mark.parametrize("text", ["Texans", "the Abilene of Texas", ""])
def test_other_words_or_another_order_do_not_name_it(text):
    assert missing("Abilene,_Texas : is : Abilene,_Texas", text) == ["Abilene,_Texas"]


def test_an_entity_of_several_triples_counts_once_and_a_marker_never():
    found = coverage("A : x : B | A : y : C | [TABLECONTEXT] : [title] : B", "a and b")
    assert found.named == ["A", "B"]
    assert found.missing == ["C"]
    assert entity_coverage([found]) == 2 / 3


def test_the_metric_divides_by_category_and_number_of_triples_and_by_what_was_seen():
    segments = [
        Segment("a b", ("a b",), 0, "A : x : B", seen=True, category="City"),
        Segment("a", ("a",), 1, "A : x : B | B : y : C", seen=False, category="Food"),
    ]
    evaluation = evaluate(WebNLGProtocol(["bleu", "entity_coverage"]), segments)
    assert evaluation.scores["entity_coverage"] == 3 / 5
    assert evaluation.subsets["unseen"]["entity_coverage"] == 1 / 3
    assert evaluation.breakdowns["entity_coverage"] == {
        "by_category": {
            "City": {"sentences": 1, "entity_coverage": 1.0},
            "Food": {"sentences": 1, "entity_coverage": 1 / 3},
        },
        "by_number_of_triples": {
            "1": {"sentences": 1, "entity_coverage": 1.0},
            "2": {"sentences": 1, "entity_coverage": 1 / 3},
        },
    }
    assert evaluation.sentences[1]["entities"] == {"missing": ["B", "C"]}
    assert evaluation.sentences[1]["category"] == "Food"


@pytest.mark.parametrize("context", [None, "hello", "A : x"])
def test_without_triples_the_metric_is_not_computed(context):
    segment = Segment("a", ("a",), 3, context)
    evaluation = evaluate(WebNLGProtocol(["entity_coverage"]), [segment])
    assert "group 3" in evaluation.not_computed["entity_coverage"]


def test_a_group_of_dart_has_the_source_of_its_first_text(write):
    annotations = '[{"source": "WikiSQL", "text": "t"}, {"source": "e2e", "text": "u"}]'
    path = write("dart.json", f'[{{"tripleset": [["A", "X", "B"]], "annotations": {annotations}}}]')
    [group] = group_rows(read_dart(path))
    assert group.category == "WikiSQL"
