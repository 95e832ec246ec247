"""The small grammar: facts about one subject become a few English sentences.

A property words itself in up to three ways, and the grammar builds sentences out of them:

    verbs       `serves {} food`        The Fox serves Thai food.
    modifiers   `serving {} food`       The Fox is a pub serving Thai food.
    adjectives  `{}`                    The Fox is a cheap pub.

Variants are divided by `/`; an earlier one is used more often, so that several texts for one input
agree about as much as texts of different writers do.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from lora_lightning.sample.lexicon import Maker, indefinite


@dataclass(frozen=True)
class Wording:
    """How a property's value enters a sentence; `{}` stands for the value."""

    verbs: str
    modifiers: str = ""
    adjectives: str = ""


@dataclass(frozen=True)
class Property:
    """One thing that can be said about a subject.

    Args:
        key: its name in the data set: a slot, a WebNLG property, a DART relation.
        value: makes a value.
        wording: how a value is worded, or a function from the value to that.
        names_a_city: whether the value is a city, about which further facts can follow.
    """

    key: str
    value: Maker
    wording: Wording | Callable[[str], Wording]
    names_a_city: bool = False


@dataclass(frozen=True)
class Topic:
    """A kind of subject: the nouns that call it, how its members are named, its properties.

    `pronoun` stands for a member in a later sentence; empty for people, who are named anew.
    """

    nouns: tuple[str, ...]
    name: Maker
    properties: tuple[Property, ...]
    pronoun: str = "It"


class Fact(NamedTuple):
    """One property of a subject with its value."""

    property: Property
    value: str

    def wording(self) -> Wording:
        """How this fact is worded."""
        wording = self.property.wording
        return wording(self.value) if callable(wording) else wording


def invent_facts(rng: Random, properties: Sequence[Property], count: int) -> list[Fact]:
    """Values for `count` of `properties` (or as many as there are), in their order."""
    chosen = sorted(rng.sample(range(len(properties)), min(count, len(properties))))
    return [Fact(properties[i], properties[i].value(rng)) for i in chosen]


def describe(rng: Random, name: str, noun: str, facts: Sequence[Fact], pronoun: str = "It") -> str:
    """Sentences that say that `name` is a `noun` and tell all `facts`, in a varying form."""
    waiting = list(facts)
    if len(waiting) > 1 and rng.random() < 0.3:
        i = rng.randrange(len(waiting) - 1)
        waiting[i], waiting[i + 1] = waiting[i + 1], waiting[i]
    sentences = [_opening(rng, waiting)(rng, name, noun, waiting)]
    while waiting:
        subjects = (pronoun or name, name, f"The {noun}")
        subject = rng.choices(subjects, weights=(5, 2, 2))[0]
        sentences.append(f"{subject} {_verbs(rng, waiting)}")
    return " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences)


def tell(rng: Random, name: str, facts: Sequence[Fact]) -> str:
    """Sentences that tell all `facts` about a `name` that was spoken of before."""
    waiting = list(facts)
    sentences = []
    while waiting:
        sentences.append(f"{name} {_verbs(rng, waiting)}.")
    return " ".join(f"{sentence[0].upper()}{sentence[1:]}" for sentence in sentences)


def different(count: int, write: Callable[[], str]) -> list[str]:
    """At most `count` different texts out of three times as many that `write` gives."""
    return list(dict.fromkeys(write() for _ in range(3 * count)))[:count]


def spaced(text: str) -> str:
    """`text` as E2E is written, its punctuation between spaces: `family - friendly , £ 15 .`."""
    return re.sub(r"\s*([,.£-])\s*", r" \1 ", text).strip()


def _opening(rng: Random, waiting: list[Fact]) -> Callable[[Random, str, str, list[Fact]], str]:
    """A form for the first sentence that the facts can fill."""
    if not any(fact.wording().modifiers or fact.wording().adjectives for fact in waiting):
        return _report
    return rng.choices((_introduce, _exist, _front, _report), weights=(6, 2, 2, 2))[0]


def _introduce(rng: Random, name: str, noun: str, waiting: list[Fact]) -> str:
    """`The Fox is a cheap pub serving Thai food near Oak Mill`."""
    return f"{name} is {indefinite(_noun_phrase(rng, noun, waiting))}"


def _exist(rng: Random, name: str, noun: str, waiting: list[Fact]) -> str:
    """`There is a cheap pub serving Thai food called The Fox`."""
    return f"There is {indefinite(_noun_phrase(rng, noun, waiting))} called {name}"


def _front(rng: Random, name: str, noun: str, waiting: list[Fact]) -> str:
    """`Near Oak Mill, The Fox is a pub serving Thai food`."""
    for fact in waiting:
        if fact.wording().modifiers.startswith(("near", "in the")):
            waiting.remove(fact)
            front = _pick(rng, fact.wording().modifiers, fact.value)
            return f"{front}, {name} is {indefinite(_noun_phrase(rng, noun, waiting))}"
    return _introduce(rng, name, noun, waiting)


def _report(rng: Random, name: str, noun: str, waiting: list[Fact]) -> str:
    """`The pub The Fox serves Thai food and is near Oak Mill`."""
    return f"The {noun} {name} {_verbs(rng, waiting)}"


def _noun_phrase(rng: Random, noun: str, waiting: list[Fact]) -> str:
    """`noun` with at most one adjective and two modifiers, taken from `waiting`."""
    adjectives = [fact for fact in waiting if fact.wording().adjectives][:1]
    for fact in adjectives:
        waiting.remove(fact)
    modifiers = [fact for fact in waiting if fact.wording().modifiers][: rng.choice((1, 2, 2))]
    for fact in modifiers:
        waiting.remove(fact)
    return " ".join(
        [_pick(rng, fact.wording().adjectives, fact.value) for fact in adjectives]
        + [noun]
        + [_pick(rng, fact.wording().modifiers, fact.value) for fact in modifiers]
    )


def _verbs(rng: Random, waiting: list[Fact]) -> str:
    """The verb phrases of the next one or two facts, taken from `waiting`."""
    taken = waiting[: rng.choice((1, 2, 2))]
    del waiting[: len(taken)]
    return " and ".join(_pick(rng, fact.wording().verbs, fact.value) for fact in taken)


def _pick(rng: Random, variants: str, value: str) -> str:
    """One of the variants with `value` in it; each is half as likely as the one before."""
    choices = variants.split("/")
    weights = [2.0**-i for i in range(len(choices))]
    return rng.choices(choices, weights)[0].replace("{}", value)
