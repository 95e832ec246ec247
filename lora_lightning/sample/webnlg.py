"""The WebNLG sample: triples about encyclopedic topics with one to three texts, as its JSON."""

import json
from random import Random
from typing import NamedTuple

from lora_lightning.sample.encyclopedia import CITY, SEEN, UNSEEN
from lora_lightning.sample.grammar import Fact, Topic, describe, different, invent_facts, tell

ENTRIES = {"train.json": 150, "dev.json": 24, "test.json": 48}


class Entry(NamedTuple):
    """One input of WebNLG with its texts, each with its comment."""

    category: str
    triples: list[tuple[str, str, str]]
    texts: list[tuple[str, str]]


def files(seed: int) -> dict[str, str]:
    """The contents of `train.json`, `dev.json` and `test.json`, by file name.

    As in the real files: categories of training stand in every file, two more in the test file;
    training and development files have texts to fix, and each an entry with no other text; an
    input can come twice, apart; the file ends without a line end.
    """
    rng = Random(f"{seed} webnlg")
    contents = {}
    for name, count in ENTRIES.items():
        topics = {**SEEN, **UNSEEN} if name == "test.json" else SEEN
        entries = [_entry(rng, topics, i) for i in range(count - 1)]
        entries.append(entries[0])
        if name != "test.json":
            entries = [_with_faults(entry, i) for i, entry in enumerate(entries)]
        contents[name] = _json(entries)
    return contents


def _entry(rng: Random, topics: dict[str, Topic], index: int) -> Entry:
    category = list(topics)[index % len(topics)]
    topic = topics[category]
    name, noun = topic.name(rng), rng.choice(topic.nouns)
    facts = invent_facts(rng, topic.properties, rng.choice((1, 1, 2, 2, 3, 3, 4)))
    cities = (fact.value for fact in facts if fact.property.names_a_city)
    city = next(cities, None) if rng.random() < 0.6 else None
    further = invent_facts(rng, CITY.properties, rng.choice((1, 2))) if city else []

    def write() -> str:
        text = describe(rng, name, noun, _readable(facts), topic.pronoun)
        return f"{text} {tell(rng, city, _readable(further))}" if city else text

    texts = [("good", text) for text in different(rng.choice((1, 2, 3, 3)), write)]
    triples = [(name, fact.property.key, fact.value) for fact in facts]
    if city:
        triples += [(city, fact.property.key, fact.value) for fact in further]
    return Entry(category, [_with_underscores(triple) for triple in triples], texts)


def _readable(facts: list[Fact]) -> list[Fact]:
    """`facts` with their values as a text has them: without quotation marks."""
    return [Fact(fact.property, fact.value.strip('"')) for fact in facts]


def _with_underscores(triple: tuple[str, str, str]) -> tuple[str, str, str]:
    """WebNLG's spelling of entities; quoted literals and property names keep their spaces."""
    subject, key, value = triple
    written = value if value.startswith('"') else value.replace(" ", "_")
    return subject.replace(" ", "_"), key, written


def _with_faults(entry: Entry, index: int) -> Entry:
    """`entry` with its last text to be fixed in every eighth place; the third has no good text."""
    *good, (_, last) = entry.texts
    if index == 2:
        return entry._replace(texts=[("toFix", text) for _, text in entry.texts])
    if index % 8 == 5 and good:
        return entry._replace(texts=[*good, ("toFix", last.rstrip("."))])
    return entry


def _json(entries: list[Entry]) -> str:
    content = [{str(i): _fields(entry, i)} for i, entry in enumerate(entries, start=1)]
    return json.dumps({"entries": content}, indent=4, sort_keys=True, ensure_ascii=False)


def _fields(entry: Entry, number: int) -> dict[str, object]:
    triples = [
        {"subject": subject, "property": key, "object": value}
        for subject, key, value in entry.triples
    ]
    return {
        "category": entry.category,
        "dbpedialinks": [],
        "lexicalisations": [
            {"comment": comment, "lang": "", "lex": text, "xml_id": f"Id{i}"}
            for i, (comment, text) in enumerate(entry.texts, start=1)
        ],
        "links": [],
        "modifiedtripleset": triples,
        "originaltriplesets": {"originaltripleset": [triples]},
        "shape": "NA",
        "shape_type": "NA",
        "size": str(len(triples)),
        "xml_id": f"Id{number}",
    }
