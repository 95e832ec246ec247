"""Slot errors of E2E texts are those of the published script, whoever wrote the texts."""

import gzip
import json

import pytest

from lora_lightning.errors import InputError
from lora_lightning.evaluation.evaluation import evaluate
from lora_lightning.evaluation.protocols.e2e import E2EProtocol
from lora_lightning.evaluation.segment import Segment
from lora_lightning.evaluation.slots.errors import (
    by_number_of_slots,
    by_slot,
    slot_errors,
    totals,
)
from lora_lightning.evaluation.slots.meaning import NoMeaning, parse_meaning
from lora_lightning.slots import main
from tests.goldens import golden
from tests.tiny import read_rows, write_rows

SYSTEMS = [
    *(f"challenge_{system}" for system in (
        "adapt", "chen", "dangnt", "forge3", "gong", "nle", "sheff2", "slug-alt", "tgen", "tnt1",
        "zhaw1",
    )),
    "lora_EdwardIX.e2e_pred_b", "lora_bfshi.e2e_pred", "lora_bfshi.e2e_pred2",
    "lora_ycyh2000.e2e_pred",
    "references_dev", "references_test_even", "references_test_even_tokenised",
]  # fmt: skip
KINDS = ("added", "missing", "wrong")


@pytest.fixture
def edge_cases(request):
    return read_rows(request.path.parent / "fixtures" / "slot_errors.jsonl")


def sorted_record(record):
    return {kind: sorted(record[kind]) for kind in KINDS}


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_errors_of_a_system_are_those_of_the_published_script(system):
    lines = gzip.decompress(golden("slots", f"{system}.jsonl.gz").read_bytes()).splitlines()
    rows = [json.loads(line) for line in lines]
    errors = [slot_errors(row["mr"], row["text"]) for row in rows]
    assert [sorted_record(text.record()) for text in errors] == list(map(sorted_record, rows))
    published = json.loads(golden("slots", "totals.json").read_text(encoding="utf-8"))
    assert totals(errors) == published[system]


def test_each_edge_case_is_read_as_its_description_says(edge_cases):
    for case in edge_cases:
        errors = slot_errors(case["mr"], case["text"])
        assert sorted_record(errors.record()) == sorted_record(case), case["what"]
        assert errors.repeated == case["repeated"], case["what"]


def test_both_notations_of_a_meaning_representation_say_the_same():
    ours = parse_meaning("name : Zizzi | Type : pub | price : £ 20 - 25 | family friendly : no")
    assert ours == parse_meaning(
        "name[Zizzi], eatType[pub], priceRange[£20-25], familyFriendly[no]"
    )
    assert parse_meaning("NAME[zizzi]") == parse_meaning("name[Zizzi]")


def test_a_value_outside_of_the_lists_is_said_as_it_is_written():
    meaning = "name : Scarlet Boat | price : more than £ 25 | area : harbour"
    errors = slot_errors(meaning, "scarlet boat by the harbour costs more than £25.")
    assert errors.count == 0
    missing = slot_errors(meaning, "Scarlet Boats costs more than £ 250").record()["missing"]
    assert missing == ["name[Scarlet Boat]", "area[harbour]", "priceRange[more than £ 25]"]


@pytest.mark.parametrize("text", [
    "", "hello", "name : Zizzi | food", "name[Zizzi]x", "name[Zizzi] eatType[pub]", "name[]",
    "wine[red]", "name :  | food : Thai", "Zizzi : opened : 1999",
])  # fmt: skip
def test_what_is_no_meaning_representation_is_refused(text):
    with pytest.raises(NoMeaning):
        parse_meaning(text)


def test_parts_add_up_to_the_whole(edge_cases):
    errors = [slot_errors(case["mr"], case["text"]) for case in edge_cases]
    whole = totals(errors)
    parts = [by_slot(errors).values(), by_number_of_slots(errors).values()]
    for kind in ("slots", *KINDS):
        assert [sum(part[kind] for part in division) for division in parts] == [whole[kind]] * 2


def test_the_metric_is_computed_where_it_is_named_and_explains_each_sentence():
    context = "name : Zizzi | Type : pub | food : Thai"
    segments = [
        Segment("Zizzi is a pub .", ("Zizzi is a pub .",), 0, context),
        Segment("Zizzi , a cheap restaurant", ("Zizzi",), 1, "name : Zizzi | Type : pub"),
    ]
    evaluation = evaluate(E2EProtocol(["bleu", "slot_error"]), segments)
    assert evaluation.scores["slot_error"] == 3 / 5
    assert evaluation.published_form["slot_error"] == "60.00"
    assert [sentence["slots"] for sentence in evaluation.sentences] == [
        {"added": [], "missing": ["food[Thai]"], "wrong": []},
        {"added": ["priceRange[cheap]"], "missing": [], "wrong": ["eatType[pub->restaurant]"]},
    ]
    assert evaluation.sentences[0]["metrics"]["slot_error"] == 1 / 3
    assert evaluation.breakdowns["slot_error"]["by_slot"]["food"]["missing"] == 1
    assert "slot_error" not in E2EProtocol().metrics


@pytest.mark.parametrize(("context", "reason"), [(None, "column mr"), ("hello", "group 7")])
def test_without_meaning_representations_the_metric_is_not_computed(context, reason):
    segment = Segment("a b c d", ("a b c d",), 7, context)
    evaluation = evaluate(E2EProtocol(["bleu", "slot_error"]), [segment])
    assert evaluation.scores["slot_error"] is None
    assert reason in evaluation.not_computed["slot_error"]
    assert evaluation.scores["bleu"] == 1


def test_the_command_writes_a_line_each_in_order_and_prints_the_totals(
    edge_cases, tmp_path, capsys
):
    texts = [{"mr": case["mr"], "text": case["text"]} for case in edge_cases]
    source, target = write_rows(tmp_path / "texts.jsonl", texts), tmp_path / "errors.jsonl"
    main([f"input={source}", f"output={target}", "--json"])
    rows = read_rows(target)
    assert [{"mr": row["mr"], "text": row["text"]} for row in rows] == texts
    assert list(map(sorted_record, rows)) == list(map(sorted_record, edge_cases))
    printed = json.loads(capsys.readouterr().out)
    assert printed["totals"]["sentences"] == len(texts)
    main([f"input={source}", f"output={target}", "overwrite=true"])
    assert f"error_rate{printed['totals']['error_rate']:28.6f}" in capsys.readouterr().out
    with pytest.raises(InputError, match="exists"):
        main([f"input={source}", f"output={target}"])


@pytest.mark.parametrize(("line", "message"), [
    ('{"mr": "hello", "text": "a"}', "texts.jsonl:2: mr: 'hello' is no meaning representation"),
    ('{"mr": "wine[red]", "text": "a"}', "texts.jsonl:2: mr: slot 'wine'"),
    ('{"text": "a"}', "texts.jsonl:2: no 'mr'"),
    ('{"mr": "name[Zizzi]", "text": 3}', "texts.jsonl:2: 'text': must be a text"),
    ("[", "texts.jsonl:2: no JSON"),
])  # fmt: skip
def test_a_wrong_line_is_named_and_nothing_is_written(line, message, write, tmp_path):
    source = write("texts.jsonl", '{"mr": "name[Zizzi]", "text": "Zizzi"}\n' + line + "\n")
    with pytest.raises(InputError, match=message.replace("[", r"\[")):
        main([f"input={source}", f"output={tmp_path / 'errors.jsonl'}"])
    assert [path.name for path in tmp_path.iterdir()] == ["texts.jsonl"]


def test_a_file_without_texts_is_refused(write, tmp_path):
    with pytest.raises(InputError, match="holds no text"):
        main([f"input={write('texts.jsonl', '')}", f"output={tmp_path / 'errors.jsonl'}"])
