"""Made-up forms: topics whose keys, values and phrases go together by chance.

A form teaches the base what no table can: to word a key it never saw by copying it, and to choose a
phrase by the look of a value (a person leads, a place is where something lies).
"""

from random import Random
from typing import NamedTuple

from lora_lightning.sample.grammar import Property, Topic, Wording
from lora_lightning.sample.lexicon import (
    ADJECTIVES,
    AREAS,
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

PHRASE_SHARE = 0.6
KEYS = words(
    "area birth city class club code country customer date director family field food grade group "
    "label leader league length level near number party partner place points position price "
    "range rating record region season series sign speed style team type unit votes weight year"
)
THINGS = (
    *NOUNS,
    *words(
        "airport album artist athlete bar building candidate city club college customer dish "
        "driver episode family food house item musician place player pub record restaurant school "
        "team thing university"
    ),
    *("coffee cup", "tea house key", "wine glass"),
)


class Kind(NamedTuple):
    """A kind of value, and the verbs and modifiers that suit it, divided by `/`.

    An empty modifier leaves the value to the verbs.
    """

    value: Maker
    verbs: str
    modifiers: str


KINDS = (
    Kind(
        person,
        "is led by {}/was designed by {}/is managed by {}/was directed by {}/"
        "was recorded by {}/is operated by {}/has the leader {}/has {} as its head",
        "led by {}/designed by {}/managed by {}/directed by {}/by {}/",
    ),
    Kind(
        place,
        "is located in {}/is based in {}/was born in {}/lies in {}/comes from {}/"
        "is part of {}/plays at {}/serves the town of {}/ran in {}",
        "in {}/from {}/born in {}/near {}/",
    ),
    Kind(
        title,
        "is owned by {}/belongs to {}/plays for {}/is signed to {}/is known as {}/"
        "was released by {}/stands for {}/is operated by {}/is called {}/"
        "can be found close to {}/is near {}/was paired with {}",
        "of {}/run by {}/who plays for {}/near {}/close to {}/",
    ),
    Kind(
        invented,
        "is also known as {}/is named {}/is in the {} League/is mainly {} flour/contains {}/"
        "has {} as its ground/is called the {}",
        "named {}/made with {}/in the {} League/",
    ),
    Kind(
        number(1, 90000),
        "has {} members/has a population of {}/has a length of {}/got {} votes/"
        "has {} students/won {} points/is {} metres above sea level/has {} floors/"
        "has the code {}/has prizes of {}/charges {}/has a height of {}",
        "with {} points/with {} members/with {} floors/with prizes of {}/",
    ),
    Kind(
        number(1, 99),
        "won {} points/is number {} of the season/reached place {} of the list/"
        "had {} million viewers/completed {} laps/started from place {}",
        "with {} points/with the number {}/",
    ),
    Kind(
        number(1500, 2020),
        "was established in {}/was completed in {}/joined in {}/came out in {}",
        "from {}/of the year {}/",
    ),
    Kind(
        day,
        "was born on {}/was opened on {}/ended on {}",
        "born on {}/of {}/",
    ),
    Kind(
        one_of(ADJECTIVES),
        "has a {} look/is rated {} by judges/has {} windows/is thought {} by customers",
        "with {} windows/in the {} colour range/",
    ),
    Kind(
        one_of((*NOUNS, *AREAS)),
        "plays the {}/performs {} music/is served as a {}/contains {}/stands in the {} area/"
        "is in the {}/offers {} tours",
        "in the {}/in the {} area/who plays the {}/",
    ),
)


def form(rng: Random) -> Topic:
    """A topic of six properties."""
    properties = tuple(_property(rng, key) for key in rng.sample(KEYS, 6))
    name = rng.choice((invented, title, person, place))
    return Topic((rng.choice(THINGS),), name, properties, pronoun=rng.choice(("It", "")))


def _property(rng: Random, key: str) -> Property:
    kind = rng.choice(KINDS)
    if rng.random() < PHRASE_SHARE:
        wording = Wording(rng.choice(kind.verbs.split("/")), rng.choice(kind.modifiers.split("/")))
    else:
        wording = Wording(
            f"has the {key} {{}}/has {{}} as its {key}", f"with the {key} {{}}/of {key} {{}}"
        )
    return Property(key, kind.value, wording)
