"""The rows that the bundled base is trained on: topics.py and forms.py, in several layouts."""

from random import Random

from lora_lightning.sample.forms import form
from lora_lightning.sample.grammar import describe, invent_facts, spaced, tell
from lora_lightning.sample.lexicon import coined
from lora_lightning.sample.topics import TOPICS

FORM_SHARE = 0.5
CHAIN_SHARE = 0.2


def row(rng: Random, coined_share: float = 0.0) -> tuple[str, str]:
    """A context and its text, in one of the layouts that data sets have.

    Args:
        rng: decides everything.
        coined_share: how many subjects have a coined name.
    """
    topic = form(rng) if rng.random() < FORM_SHARE else rng.choice(TOPICS)
    name = topic.name(rng)
    if coined_share and rng.random() < coined_share:
        name = coined(rng)
    noun = rng.choice(topic.nouns)
    facts = invent_facts(rng, topic.properties, rng.choice((1, 2, 3, 3, 4, 5)))
    text = describe(rng, name, noun, facts, topic.pronoun)
    pairs = [("kind", noun), *((fact.property.key, fact.value) for fact in facts)]
    if rng.random() < 0.5:
        return _slots(name, pairs), spaced(text) if rng.random() < 0.8 else text
    triples = [(name, key, value) for key, value in pairs]
    if rng.random() < CHAIN_SHARE:
        # Facts about a value, as in WebNLG: the text goes on with a second subject.
        other = rng.choice(facts).value
        further = invent_facts(rng, form(rng).properties, rng.choice((1, 2)))
        triples += [(other, fact.property.key, fact.value) for fact in further]
        text = f"{text} {tell(rng, other, further)}"
    return (_entities if rng.random() < 0.5 else _triples)(triples), text


def _slots(name: str, pairs: list[tuple[str, str]]) -> str:
    """`name : The Fox | kind : ferry | home port : Old Wick`."""
    return " | ".join(f"{key} : {value}" for key, value in [("name", name), *pairs])


def _entities(triples: list[tuple[str, str, str]]) -> str:
    """`The_Fox : kind : ferry | The_Fox : homePort : Old_Wick`."""
    return " | ".join(
        f"{subject.replace(' ', '_')} : {_camel(key)} : {value.replace(' ', '_')}"
        for subject, key, value in triples
    )


def _triples(triples: list[tuple[str, str, str]]) -> str:
    """`The Fox : kind : ferry | The Fox : home_port : Old Wick`."""
    return " | ".join(
        f"{subject} : {key.replace(' ', '_')} : {value}" for subject, key, value in triples
    )


def _camel(key: str) -> str:
    first, *others = key.split(" ")
    return first + "".join(word.capitalize() for word in others)
