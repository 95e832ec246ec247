"""The topics of the WebNLG sample: six of its categories that training knows, two that it lacks.

Values are written for reading; webnlg.py writes entities with `_` for spaces as the data set does.
"""

from lora_lightning.sample.grammar import Property, Topic, Wording
from lora_lightning.sample.lexicon import (
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

COUNTRIES = ["Arlenia", "Borvania", "Castoria", "Dorland", "Estmark", "Feroe Isles", "Gallowia"]
GENRES = ["folk music", "jazz", "chamber music", "dance music", "rock music"]


def _named(kind: str, stem: Maker = invented) -> Maker:
    """A maker of names that end in `kind`."""
    return lambda rng: f"{stem(rng)} {kind}"


def _quoted(value: Maker) -> Maker:
    """A maker of literals, which WebNLG wraps in quotation marks."""
    return lambda rng: f'"{value(rng)}"'


CITY = Topic(
    ("city",),
    place,
    (
        Property("country", one_of(COUNTRIES), Wording("lies in {}/is part of {}", "in {}")),
        Property("leaderName", person, Wording("is led by {}/has the leader {}", "led by {}")),
        Property("populationTotal", number(900, 900000), Wording("has a population of {}")),
        Property("areaCode", _quoted(number(10, 999)), Wording("has the area code {}")),
    ),
)

SEEN = {
    "Airport": Topic(
        ("airport",),
        _named("Airport"),
        (
            Property(
                "cityServed",
                place,
                Wording("serves the city of {}", "serving {}"),
                names_a_city=True,
            ),
            Property("runwayLength", number(900, 4000), Wording("has a runway length of {}")),
            Property("operatingOrganisation", title, Wording("is operated by {}", "run by {}")),
            Property(
                "elevationAboveTheSeaLevel_(in_metres)",
                number(1, 900),
                Wording("is {} metres above sea level/lies {} metres above the sea"),
            ),
            Property(
                "runwayName",
                _quoted(number(10, 36, 1, "{}L/07R")),
                Wording("has a runway named {}"),
            ),
        ),
    ),
    "Building": Topic(
        ("building",),
        _named("Hall"),
        (
            Property("location", place, Wording("is located in {}", "in {}"), names_a_city=True),
            Property("architect", person, Wording("was designed by {}", "designed by {}")),
            Property("floorCount", number(2, 90), Wording("has {} floors", "with {} floors")),
            Property("completionDate", number(1850, 2015), Wording("was completed in {}")),
            Property("owner", title, Wording("is owned by {}/belongs to {}")),
        ),
    ),
    "City": CITY,
    "Food": Topic(
        ("dish", "food"),
        _named("stew"),
        (
            Property("country", one_of(COUNTRIES), Wording("comes from {}", "from {}")),
            Property(
                "ingredient",
                one_of(words("barley beans cabbage carrot cheese lentils onion rice turnip")),
                Wording("contains {}/has {} as an ingredient", "made with {}"),
            ),
            Property("course", one_of(("Main course", "Dessert")), Wording("is served as a {}")),
            Property("alternativeName", _quoted(invented), Wording("is also known as {}")),
            Property("main ingredients", _quoted(_named("flour")), Wording("is mainly {}")),
        ),
    ),
    "SportsTeam": Topic(
        ("team", "club"),
        _named("Rovers"),
        (
            Property("ground", _named("Stadium"), Wording("plays at {}", "that plays at {}")),
            Property("manager", person, Wording("is managed by {}", "managed by {}")),
            Property("league", _named("League"), Wording("is in the {}", "in the {}")),
            Property("numberOfMembers", number(800, 60000), Wording("has {} members")),
        ),
    ),
    "University": Topic(
        ("university",),
        _named("University"),
        (
            Property("city", place, Wording("is in {}/is based in {}", "in {}"), names_a_city=True),
            Property("established", number(1500, 2000), Wording("was established in {}")),
            Property("rector", person, Wording("has {} as its rector")),
            Property("numberOfStudents", number(500, 50000), Wording("has {} students")),
        ),
    ),
}

UNSEEN = {
    "Artist": Topic(
        ("artist", "musician"),
        person,
        (
            Property(
                "birthPlace", place, Wording("was born in {}", "born in {}"), names_a_city=True
            ),
            Property("genre", one_of(GENRES), Wording("performs {}", "who performs {}")),
            Property("instrument", one_of(("Cello", "Harp", "Oboe")), Wording("plays the {}")),
            Property("recordLabel", _named("Records"), Wording("is signed to {}")),
        ),
        pronoun="",
    ),
    "Athlete": Topic(
        ("athlete", "player"),
        person,
        (
            Property("club", _named("United"), Wording("plays for {}", "who plays for {}")),
            Property("birthDate", day, Wording("was born on {}", "born on {}")),
            Property("position", one_of(("Goalkeeper", "Winger")), Wording("plays as a {}")),
            Property("height", number(50, 99, 1, "1.{}"), Wording("is {} tall")),
        ),
        pronoun="",
    ),
}
