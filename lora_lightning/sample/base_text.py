"""The rows that the bundled base is trained on: topics.py and made-up forms, in several layouts."""

from random import Random

from lora_lightning.sample.grammar import (
    Property,
    Topic,
    Wording,
    describe,
    invent_facts,
    spaced,
)
from lora_lightning.sample.lexicon import (
    ADJECTIVES,
    NOUNS,
    Maker,
    day,
    invented,
    number,
    one_of,
    person,
    place,
    title,
    words,
)
from lora_lightning.sample.topics import TOPICS

FORM_SHARE = 0.3
FORM_KEYS = words(
    "type food price rating customer area family near number level code label team leader city "
    "country club date league record group region weight speed grade field style partner sign "
    "unit class season series range"
)
FORM_NOUNS = (
    *NOUNS,
    *words("bar customer family house item pub restaurant thing"),
    *("coffee cup", "tea house key", "wine glass"),
)
FORM_VALUES: tuple[Maker, ...] = (
    invented,
    title,
    person,
    place,
    one_of(ADJECTIVES),
    number(1, 9999),
    day,
)


def row(rng: Random) -> tuple[str, str]:
    """A context and its text, in one of the layouts that data sets have."""
    topic = _form(rng) if rng.random() < FORM_SHARE else rng.choice(TOPICS)
    name, noun = topic.name(rng), rng.choice(topic.nouns)
    facts = invent_facts(rng, topic.properties, rng.choice((1, 2, 3, 3, 4, 5)))
    text = describe(rng, name, noun, facts)
    pairs = [("kind", noun), *((fact.property.key, fact.value) for fact in facts)]
    if rng.random() < 0.5:
        return _slots(name, pairs), spaced(text) if rng.random() < 0.8 else text
    return (_entities if rng.random() < 0.5 else _triples)(name, pairs), text


def _form(rng: Random) -> Topic:
    """A topic whose keys and values go together by chance: only copying can word it."""
    properties = tuple(
        Property(
            key,
            rng.choice(FORM_VALUES),
            Wording(
                f"has the {key} {{}}/has {{}} as its {key}",
                f"with the {key} {{}}/of {key} {{}}",
            ),
        )
        for key in rng.sample(FORM_KEYS, 6)
    )
    noun = rng.choice(FORM_NOUNS)
    return Topic((noun,), rng.choice((invented, title, person)), properties)


def _slots(name: str, pairs: list[tuple[str, str]]) -> str:
    """`name : The Fox | kind : ferry | home port : Old Wick`."""
    return " | ".join(f"{key} : {value}" for key, value in [("name", name), *pairs])


def _entities(name: str, pairs: list[tuple[str, str]]) -> str:
    """`The_Fox : kind : ferry | The_Fox : homePort : Old_Wick`."""
    subject = name.replace(" ", "_")
    return " | ".join(
        f"{subject} : {_camel(key)} : {value.replace(' ', '_')}" for key, value in pairs
    )


def _triples(name: str, pairs: list[tuple[str, str]]) -> str:
    """`The Fox : kind : ferry | The Fox : home_port : Old Wick`."""
    return " | ".join(f"{name} : {key.replace(' ', '_')} : {value}" for key, value in pairs)


def _camel(key: str) -> str:
    first, *others = key.split(" ")
    return first + "".join(word.capitalize() for word in others)
