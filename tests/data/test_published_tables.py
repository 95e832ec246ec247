"""E2E's tables and WebNLG's XML give the rows of the files that the reference reads."""

import csv
import gzip
import json
from xml.etree import ElementTree

import pytest

from lora_lightning.data.example import Example
from lora_lightning.data.formats.e2e_table import read_e2e_table
from lora_lightning.data.sets.e2e import E2EDataModule, read_e2e
from lora_lightning.data.sets.webnlg import WebNLGDataModule, read_webnlg
from lora_lightning.errors import InputError
from tests.goldens import golden, shared

HEADER = "mr,ref\n"
ROW = '"name[The Mill], eatType[pub], priceRange[less than £20], familyFriendly[no]",'
CONTEXT = "name : The Mill | Type : pub | price : less than £ 20 | family friendly : no"


def test_a_table_of_e2e_names_attributes_and_divides_texts_as_the_text_files_do(write):
    path = write(
        "devset.csv", HEADER + ROW + '"It isn\'t a family-friendly, £20-25 pub  (5-star)."\n'
    )
    text = "It is n't a family - friendly , £ 20 - 25 pub ( 5-star ) ."
    assert read_e2e_table(path) == [Example(CONTEXT, text)]


def test_columns_of_the_cleaned_version_are_passed_over(write):
    path = write("train-fixed.csv", f"mr,orig_mr,fixed,ref\n{ROW}name[A],1,A pub.\n")
    assert read_e2e_table(path) == [Example(CONTEXT, "A pub .")]


def test_a_table_of_e2e_gives_the_rows_of_its_text_file(tmp_path):
    raw, tokenised = (
        list(map(json.loads, gzip.decompress(golden("slots", name).read_bytes()).splitlines()))
        for name in ("references_test_even.jsonl.gz", "references_test_even_tokenised.jsonl.gz")
    )
    path = tmp_path / "testset_w_refs.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["mr", "ref"])
        writer.writerows([row["mr"], row["text"]] for row in raw)
    rows = read_e2e_table(path)
    assert [row.completion for row in rows] == [row["text"] for row in tokenised]
    contexts = {row.context for row in read_e2e(shared("data", "e2e", "test.txt"))}
    assert {row.context for row in rows} <= contexts


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("mr,text\na[b],c\n", r"devset\.csv:1: no column 'ref' in \['mr', 'text'\].*data=csv"),
        ("id,ref\n1,c\n", r"devset\.csv:1: no column 'mr'"),
        (HEADER + "a[b],c\nname : A,d\n", r"devset\.csv:3: no meaning representation.*'name : A'"),
        (HEADER + '"a[b], c",d\n', r"devset\.csv:2: no meaning representation"),
        (HEADER, r"devset\.csv: empty dataset"),
    ],
)
def test_another_table_is_refused_with_its_place(write, content, message):
    with pytest.raises(InputError, match=message):
        read_e2e_table(write("devset.csv", content))


def test_the_folder_of_the_challenge_is_read_as_it_is(write, tmp_path):
    write("trainset.csv", HEADER + "name[A],pub.\n")
    write("devset.csv", HEADER + "name[B],bar.\n")
    write("testset.csv", "MR\nname[C]\n")
    write("testset_w_refs.csv", HEADER + "name[C],inn.\n")
    data = E2EDataModule(dir=tmp_path)
    texts = [data.examples(split)[0].completion for split in ("train", "valid", "test")]
    assert texts == ["pub .", "bar .", "inn ."]
    write("devset_other.csv", HEADER + "name[B],bar.\n")
    other = E2EDataModule(dir=tmp_path)
    with pytest.raises(InputError, match=r"devset\.csv and devset_other\.csv may both"):
        other.examples("valid")
    write("valid.txt", "name : D||D")
    assert other.examples("valid") == [Example("name : D", "D")]


TRIPLE = "Aarhus_Airport | cityServed | &quot;Aarhus, Denmark&quot;"
AARHUS = 'Aarhus_Airport : cityServed : "Aarhus, Denmark"'


def benchmark(lex, triple=TRIPLE, category="Airport"):
    return (
        '<?xml version="1.0" encoding="utf-8"?><benchmark><entries>'
        f'<entry category="{category}" eid="Id1" size="1"><modifiedtripleset><mtriple>{triple}'
        f"</mtriple></modifiedtripleset>{lex}</entry></entries></benchmark>"
    )


def test_webnlg_xml_gives_the_rows_of_its_json(tmp_path):
    path = shared("data", "webnlg_challenge_2017", "dev.json")
    root = ElementTree.Element("benchmark")
    entries = ElementTree.SubElement(root, "entries")
    for number, item in enumerate(json.loads(path.read_bytes())["entries"], start=1):
        content = item[str(number)]
        entry = ElementTree.SubElement(entries, "entry", category=content["category"])
        triples = ElementTree.SubElement(entry, "modifiedtripleset")
        for triple in content["modifiedtripleset"]:
            parts = (triple[key] for key in ("subject", "property", "object"))
            ElementTree.SubElement(triples, "mtriple").text = " | ".join(parts)
        for text in content["lexicalisations"]:
            ElementTree.SubElement(entry, "lex", comment=text["comment"]).text = text["lex"]
    ElementTree.ElementTree(root).write(tmp_path / "dev.xml", encoding="utf-8")
    assert read_webnlg(tmp_path / "dev.xml") == read_webnlg(path)


def test_a_release_is_a_folder_of_xml_a_split(write, tmp_path):
    english = '<lex comment="good" lid="Id1" lang="en">One.</lex>'
    russian = '<lex comment="good" lid="Id2" lang="ru">Два.</lex>'
    write("en/train/1triples/Airport.xml", benchmark(english + russian))
    write("en/train/2triples/Company.xml", benchmark(english, category="Company"))
    write("en/test/rdf-to-text-generation-test-data-with-refs-en.xml", benchmark(english))
    write("en/test/semantic-parsing-test-data-with-refs-en.xml", benchmark(english))
    write("ru/train/1triples/Airport.xml", benchmark(russian))

    def module(folder, language="en"):
        return WebNLGDataModule(dir=folder, language=language)

    for folder in (tmp_path, tmp_path / "en"):
        data = module(folder)
        assert data.examples("train") == [
            Example(AARHUS, "One.", "Airport", True),
            Example(AARHUS, "One.", "Company", True),
        ]
        assert len(data.examples("test")) == 1
    assert module(tmp_path, "ru").examples("train")[0].completion == "Два."
    before = data.checksums("train")
    write("en/train/2triples/Company.xml", benchmark(english + english, category="Company"))
    again = module(tmp_path / "en")
    again.examples("train")
    assert again.checksums("train") != before


def test_the_enriched_version_has_the_text_beside_its_template(write):
    lex = '<lex comment="good"><references/><text>One.</text><template>X.</template></lex>'
    assert read_webnlg(write("dev.xml", benchmark(lex)))[0].completion == "One."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<rss><channel/></rss>", r"dev\.xml: not WebNLG's XML: it begins with <rss>"),
        ("<benchmark><entries>", r"dev\.xml: no XML \("),
        ("{}", r"dev\.xml: no XML"),
        (benchmark("<lex>A</lex>", "a | b"), r"entry 1: <mtriple> needs subject \| property"),
        (benchmark("<lex>A</lex>").replace("mtriple", "m"), r"entry 1: no <modifiedtripleset>"),
        (benchmark("<lex>A</lex>").replace("category=", "c="), "entry 1: <entry> has no category"),
        (benchmark(""), "empty dataset"),
    ],
)
def test_other_xml_is_refused_with_its_place(write, content, message):
    with pytest.raises(InputError, match=message):
        read_webnlg(write("dev.xml", content))


def test_entities_that_would_fill_the_memory_are_refused(write):
    names = "abcdefghij"
    entities = "".join(
        f'<!ENTITY {name} "{f"&{names[i - 1]};" * 10 if i else "x" * 1000}">'
        for i, name in enumerate(names)
    )
    content = f"<!DOCTYPE benchmark [{entities}]><benchmark>&j;</benchmark>"
    with pytest.raises(InputError, match="no XML"):
        read_webnlg(write("dev.xml", content))
