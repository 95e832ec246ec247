"""The DART sample: rows of tables as triples, with DART's upper-case relations, as its JSON."""

import json
from random import Random
from typing import Any

from lora_lightning.sample.grammar import (
    Property,
    Topic,
    Wording,
    describe,
    different,
    invent_facts,
)
from lora_lightning.sample.lexicon import invented, number, one_of, person, place, title

ENTRIES = {"train": 300, "dev": 40, "test": 60}
SOURCES = ("sample_tables", "sample_questions")

TOPICS = (
    Topic(
        ("driver",),
        person,
        (
            Property("TEAM", title, Wording("drives for {}", "of the team {}")),
            Property("LAPS", number(10, 90), Wording("drove {} laps/completed {} laps")),
            Property("POINTS", number(1, 60), Wording("won {} points", "with {} points")),
            Property("GRID", number(1, 24), Wording("started from place {}")),
        ),
        pronoun="",
    ),
    Topic(
        ("album", "record"),
        title,
        (
            Property("ARTIST", person, Wording("was recorded by {}", "by {}")),
            Property("YEAR", number(1960, 2020), Wording("came out in {}", "from {}")),
            Property("RECORD_LABEL", title, Wording("was released by {}")),
            Property("PEAK_POSITION", number(1, 100), Wording("reached place {} of the charts")),
        ),
    ),
    Topic(
        ("school", "college"),
        lambda rng: f"{invented(rng)} College",
        (
            Property("LOCATION", place, Wording("is located in {}", "in {}")),
            Property("NICKNAME", one_of(("Hares", "Otters")), Wording("is called the {}")),
            Property("ENROLLMENT", number(90, 9000), Wording("has {} pupils", "with {} pupils")),
            Property("JOINED", number(1890, 2010), Wording("joined in {}")),
        ),
    ),
    Topic(
        ("episode",),
        title,
        (
            Property("DIRECTED_BY", person, Wording("was directed by {}", "directed by {}")),
            Property("NO_IN_SEASON", number(1, 24), Wording("is number {} of the season")),
            Property("VIEWERS", number(1, 30, 1, "{} million"), Wording("had {} viewers")),
            Property("PAIRED_WITH", title, Wording("was shown with {}/was paired with {}")),
        ),
    ),
    Topic(
        ("candidate",),
        person,
        (
            Property("PARTY", title, Wording("stands for {} &amp; Sons", "of {} &amp; Sons")),
            Property("VOTES", number(100, 90000), Wording("got {} votes", "with {} votes")),
            Property("DISTRICT", place, Wording("ran in {}", "from {}")),
        ),
        pronoun="",
    ),
)


def files(seed: int) -> dict[str, str]:
    """The contents of the three `dart-v1.1.1-full-….json`, by file name.

    As in the real files: an entry without texts, an empty text, a text with a tab, an input that
    comes twice, a table's title as `[TABLECONTEXT] : [TITLE]`, `&` as `&amp;`, entries without
    `subtree_was_extended`, no line end at the end.
    """
    rng = Random(f"{seed} dart")
    contents = {}
    for split, count in ENTRIES.items():
        entries = [_entry(rng) for _ in range(count - 2)]
        entries[3]["annotations"][0]["text"] = ""
        entries[5]["annotations"][0]["text"] = entries[5]["annotations"][0]["text"] + "\t"
        entries.insert(10, {**entries[0], "annotations": []})
        entries.append(entries[1])
        contents[f"dart-v1.1.1-full-{split}.json"] = json.dumps(entries, indent=2)
    return contents


def _entry(rng: Random) -> dict[str, Any]:
    topic = rng.choice(TOPICS)
    name, noun = topic.name(rng), rng.choice(topic.nouns)
    facts = invent_facts(rng, topic.properties, rng.choice((1, 2, 2, 3, 4)))
    triples = [[name, fact.property.key, fact.value] for fact in facts]
    titled = rng.random() < 0.2
    if titled:
        triples.append(["[TABLECONTEXT]", "[TITLE]", f"{place(rng)} {noun}s"])
    source = rng.choice(SOURCES)
    texts = different(
        rng.choice((1, 2, 2, 3)), lambda: describe(rng, name, noun, facts, topic.pronoun)
    )
    return {
        "tripleset": triples,
        **({} if source == SOURCES[1] else {"subtree_was_extended": titled}),
        "annotations": [{"source": source, "text": text} for text in texts],
    }
