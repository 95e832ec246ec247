"""Tables of the E2E challenge score as its plain files do; what e2e-metrics would join is named."""

import csv
import gzip

import pytest

from lora_lightning.errors import InputError
from lora_lightning.evaluation.evaluation import evaluate
from lora_lightning.evaluation.protocols.e2e import E2EProtocol
from tests.evaluation.golden_sets import e2e_set

OUTPUTS = [
    "The Plough is a cheap pub .",
    "Cotto serves French food .",
    "Alimentum is by the river .",
]
REFERENCES = [
    "The Plough is a cheap pub .",
    "Cotto serves Thai food .",
    "Alimentum is by a river .",
]
MEANINGS = ["name[The Plough], eatType[pub]", "name[Cotto], food[Thai]", "name[Alimentum]"]


def tsv(header, texts, meanings=MEANINGS):
    rows = [header] * bool(header) + [f"{m}\t{t}" for m, t in zip(meanings, texts, strict=True)]
    return "\n".join(rows) + "\n"


def bleu(hypotheses, references):
    protocol = E2EProtocol(["bleu"])
    return evaluate(protocol, protocol.read(hypotheses, references)).scores["bleu"]


@pytest.fixture
def plain_score(write):
    return bleu(write("h.txt", "\n".join(OUTPUTS)), write("r.txt", "\n\n".join(REFERENCES)))


@pytest.mark.parametrize("header", ["MR\toutput", "mr\tref", "source\tSystem output", ""])
@pytest.mark.parametrize("plain", [None, "hypotheses", "references"])
def test_a_table_scores_as_the_plain_file_of_its_texts(write, plain_score, header, plain):
    hypotheses = write("h.tsv", tsv(header, OUTPUTS))
    references = write("r.tsv", tsv(header.replace("output", "reference"), REFERENCES))
    if plain == "hypotheses":
        hypotheses = write("h.txt", "\n".join(OUTPUTS))
    if plain == "references":
        references = write("r.txt", "\n\n".join(REFERENCES))
    assert bleu(hypotheses, references) == plain_score


def test_a_quoted_csv_with_further_columns_a_mark_and_crlf_scores_the_same(write, plain_score):
    header = '\ufeff"id","mr","output"'
    rows = [f'"{i}","{m}","{t}"' for i, (m, t) in enumerate(zip(MEANINGS, OUTPUTS, strict=True))]
    hypotheses = write("h.csv.gz", gzip.compress("\r\n".join([header, *rows, ""]).encode()))
    assert bleu(hypotheses, write("r.tsv", tsv("MR\tref", REFERENCES))) == plain_score


def test_tables_of_a_challenge_system_give_its_official_score(write, tmp_path):
    protocol, segments, scores, _ = e2e_set("tgen", ["bleu", "nist"])
    with (
        (tmp_path / "h.csv").open("w", newline="", encoding="utf-8") as outputs,
        (tmp_path / "r.csv").open("w", newline="", encoding="utf-8") as references,
    ):
        tables = [csv.writer(file, quoting=csv.QUOTE_ALL) for file in (outputs, references)]
        for table, name in zip(tables, ("output", "ref"), strict=True):
            table.writerow(["mr", name])
        for number, segment in enumerate(segments):
            tables[0].writerow([f"name[{number}], area[b]", segment.hypothesis])
            for text in segment.references:
                tables[1].writerow([f"name[{number}], area[b]", text])
    evaluation = evaluate(protocol, protocol.read(tmp_path / "h.csv", tmp_path / "r.csv"))
    assert evaluation.scores["bleu"] == pytest.approx(scores["bleu"], rel=1e-9)
    assert evaluation.scores["nist"] == pytest.approx(scores["nist"], rel=1e-9)


def test_rows_that_follow_each_other_with_one_meaning_are_a_group(write):
    references = tsv("mr\tref", ["a", "b", "c", "d"], ["x[1]", "x[1]", "y[1]", "x[1]"])
    segments = E2EProtocol().read(write("h", "1\n2\n3\n"), write("r.tsv", references))
    assert [(s.context, s.references) for s in segments] == [
        ("x[1]", ("a", "b")),
        ("y[1]", ("c",)),
        ("x[1]", ("d",)),
    ]


def test_outputs_in_another_order_are_paired_by_their_meaning_and_it_is_noted(write, plain_score):
    hypotheses = write("h.tsv", tsv("MR\tout", OUTPUTS[::-1], MEANINGS[::-1]))
    references = write("r.tsv", tsv("MR\tref", REFERENCES))
    protocol = E2EProtocol(["bleu"])
    evaluation = evaluate(protocol, protocol.read(hypotheses, references))
    assert evaluation.scores["bleu"] == plain_score
    assert "paired by meaning representation" in evaluation.notes[0]


@pytest.mark.parametrize(
    ("outputs", "references", "message"),
    [
        (tsv("MR\tout", OUTPUTS, [*MEANINGS[:2], "name[Zizzi]"]), None, "row 3 .*Zizzi.*group 3"),
        (tsv("MR\tout", OUTPUTS[:2], MEANINGS[:2]), None, "2 hypotheses, but .* 3 groups .*same m"),
        ("MR\toutput\n", None, "h.tsv: the table has a header only"),
        ("MR\ta\n1\t2\n", None, "h.tsv:1: which columns hold what"),
        ("MR\toutput\tsystem\n1\t2\t3\n", None, "h.tsv:1: which columns hold what"),
        ("a\tb\tc\n", None, "h.tsv:1: which columns hold what"),
        ("MR\toutput\na\tb\nc\n", None, "h.tsv:3: 1 cells, but the first row has 2"),
        (tsv("MR\tout", OUTPUTS), "", "r.tsv: the table is empty"),
    ],
)
def test_tables_that_do_not_fit_are_named(write, outputs, references, message):
    given = tsv("MR\tref", REFERENCES) if references is None else references
    with pytest.raises(InputError, match=message):
        E2EProtocol().read(write("h.tsv", outputs), write("r.tsv", given))


def test_what_e2e_metrics_mends_or_keeps_is_noted(write):
    hypotheses = write("h.tsv", tsv("MR\tout", ["Â£ 20 cafÃ©", "b", "c"]))
    references = write("r.txt", "\ufeff£ 20 café\n\nb\n\nc\n")
    protocol = E2EProtocol(["bleu"])
    segments = protocol.read(hypotheses, references)
    assert segments[0].texts == ("£ 20 café", "£ 20 café")
    mark, mended = protocol.file_notes(hypotheses, [references])
    assert "r.txt begins with a byte order mark" in mark
    assert "2 damaged £ and é were mended" in mended
