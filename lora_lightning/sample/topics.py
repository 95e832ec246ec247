"""The base's own world: what the bundled GPT-2 reads before it ever sees a data set.

None of these topics is in one of the three samples, so that adaptation has something to do; their
texts teach the base to carry values from a context into sentences.
"""

from collections.abc import Callable
from random import Random

from lora_lightning.sample.grammar import Property, Topic, Wording
from lora_lightning.sample.lexicon import (
    ADJECTIVES,
    AREAS,
    COLOURS,
    MATERIALS,
    MONTHS,
    NOUNS,
    cafe,
    day,
    invented,
    number,
    one_of,
    person,
    place,
    title,
    words,
)

SCORES = ["poor", "fair", "good", "excellent", "2 out of 6", "4 out of 6", "6 out of 6"]
GOODS = words(
    "Chilean Cuban Czech Danish Dutch Finnish Greek Irish Korean Lebanese Mexican Peruvian Polish "
    "Spanish Swiss Thai fresh plain sweet vegan wooden"
)
LEVELS = words("average cheap fair high low moderate steep")
QUARTERS = [*AREAS, "east side", "mill quarter", "upper town"]
TEMPERS = words("friendly merry patient wild")
YES_NO = ("yes", "no")


def _crowd(rng: Random) -> str:
    """A number of people, at times with a bound: `more than 300`."""
    return f"{rng.choice(('', 'more than ', 'less than '))}{rng.randrange(100, 9000, 100)}"


def _either(yes: Wording, no: Wording) -> Callable[[str], Wording]:
    """How the values `yes` and `no` are worded."""
    return lambda value: yes if value == "yes" else no


TOPICS = (
    Topic(
        ("garden", "park", "botanical garden", "rose garden"),
        title,
        (
            Property("flower", one_of(NOUNS), Wording("grows {} flowers", "full of {} flowers")),
            Property(
                "quarter", one_of(QUARTERS), Wording("lies in the {} quarter", "in the {} quarter")
            ),
            Property("size", number(50, 9000, 10), Wording("covers an area of {} square metres")),
            Property("keeper", person, Wording("is looked after by {}", "tended by {}")),
            Property(
                "children",
                one_of(YES_NO),
                _either(
                    Wording("lets children in", "where children may play/friendly to children"),
                    Wording("does not let children in", "that is not made for children"),
                ),
            ),
        ),
    ),
    Topic(
        ("machine", "steam engine", "water pump", "printing press"),
        lambda rng: f"{invented(rng)} {rng.randrange(2, 900)}",
        (
            Property("maker", title, Wording("was built by {}", "built by {}/made by {}")),
            Property("year", number(1800, 2020), Wording("was made in {}", "from {}")),
            Property("power", number(20, 9000, 5, "{} watts"), Wording("has a power of {}")),
            Property("colour", one_of(COLOURS), Wording("is painted {}", adjectives="{}")),
            Property("price", number(5, 900, 5, "£ {}"), Wording("costs {}", "at a price of {}")),
        ),
    ),
    Topic(
        ("ship", "ferry", "sailing boat", "steamer"),
        title,
        (
            Property("captain", person, Wording("is commanded by {}", "under Captain {}")),
            Property("home port", place, Wording("comes from {}/sails from {}", "from {}")),
            Property("length", number(8, 300, 1, "{} metres"), Wording("is {} long")),
            Property("cargo", one_of(NOUNS), Wording("carries {} seeds", "carrying {} seeds")),
            Property("sister ship", title, Wording("has a sister ship called {}")),
        ),
    ),
    Topic(
        ("trip", "walking tour", "boat tour", "journey"),
        lambda rng: f"{rng.choice(ADJECTIVES).capitalize()} {invented(rng)} Tour",
        (
            Property("destination", place, Wording("goes to {}/leads to {}", "to {}")),
            Property("days", number(2, 30), Wording("takes {} days")),
            Property("guide", person, Wording("is guided by {}", "guided by {}")),
            Property("cost", number(20, 990, 10, "£ {}"), Wording("has a price of {}", "for {}")),
            Property("month", one_of(MONTHS), Wording("takes place in {}", "in {}")),
            Property("score", one_of(SCORES), Wording("gets the score {} from travellers")),
        ),
    ),
    Topic(
        ("bakery", "bookshop", "flower shop", "tea shop", "wine cellar"),
        title,
        (
            Property(
                "goods",
                one_of(GOODS),
                Wording("sells {} goods", "selling {} goods/that has {} goods"),
            ),
            Property("level", one_of(LEVELS), Wording("asks {} prices", "known for {} prices")),
            Property("score", one_of(SCORES), Wording("is rated {} by its buyers")),
            Property("street", title, Wording("stands on {} Street", "on {} Street")),
            Property("owner", person, Wording("belongs to {}/is owned by {}", "owned by {}")),
            Property(
                "opposite",
                lambda rng: rng.choice((title, title, cafe))(rng),
                Wording("is opposite {}", "opposite {}/beside {}"),
            ),
            Property("custom", number(5, 90), Wording("has {} customers a day")),
        ),
    ),
    Topic(
        ("museum", "gallery", "coffee museum", "wine museum"),
        lambda rng: f"{title(rng)} {rng.choice(('Museum', 'Gallery', 'House'))}",
        (
            Property("theme", one_of(NOUNS), Wording("is about {}s", "about {}s/for {} lovers")),
            Property("town", place, Wording("is found in {}", "in {}")),
            Property("founded", number(1700, 2000), Wording("was founded in {}")),
            Property("entry", number(1, 30, 1, "£ {}"), Wording("charges {} for entry")),
            Property("score", one_of(SCORES), Wording("has a visitor rating of {}")),
        ),
    ),
    Topic(
        ("river", "stream", "canal"),
        lambda rng: f"{invented(rng)} River",
        (
            Property("source", place, Wording("rises near {}", "from {}")),
            Property("mouth", place, Wording("ends at {}/flows to {}")),
            Property("length", number(3, 900, 1, "{} km"), Wording("is {} long")),
            Property("colour", one_of(COLOURS), Wording("looks {}", adjectives="{}")),
            Property("fish", one_of(NOUNS), Wording("is home to the {} fish")),
        ),
    ),
    Topic(
        ("festival", "market", "concert", "fair"),
        lambda rng: f"{invented(rng)} {rng.choice(('Festival', 'Fair', 'Days'))}",
        (
            Property("month", one_of(MONTHS), Wording("is held in {}", "held in {}")),
            Property("town", place, Wording("is held in {}", "in {}")),
            Property("host", person, Wording("is hosted by {}", "hosted by {}")),
            Property("guests", _crowd, Wording("has {} guests")),
            Property(
                "families",
                one_of(YES_NO),
                _either(
                    Wording("suits families", "for families"),
                    Wording("does not suit families", "not made for families"),
                ),
            ),
        ),
    ),
    Topic(
        ("bridge", "lighthouse", "windmill", "tower"),
        title,
        (
            Property("material", one_of(MATERIALS), Wording("is made of {}", "made of {}")),
            Property("height", number(5, 200, 1, "{} metres"), Wording("is {} high")),
            Property("designer", person, Wording("was designed by {}", "designed by {}")),
            Property("opened", number(1500, 2020), Wording("was opened in {}")),
            Property("near", place, Wording("is located near {}", "near {}/close to {}")),
        ),
    ),
    Topic(
        ("painting", "drawing", "pub sign", "restaurant sign", "bar sign"),
        title,
        (
            Property("painter", person, Wording("was painted by {}", "by {}")),
            Property("finished", day, Wording("was finished on {}")),
            Property("main colour", one_of(COLOURS), Wording("is mostly {}", adjectives="{}")),
            Property("owner", title, Wording("belongs to {}/hangs in {}")),
        ),
    ),
    Topic(
        ("guest house", "hostel", "cottage"),
        title,
        (
            Property("rooms", number(2, 80), Wording("has {} rooms", "with {} rooms")),
            Property(
                "quarter", one_of(QUARTERS), Wording("lies in the {} quarter", "in the {} quarter")
            ),
            Property("night", number(10, 200, 5, "£ {}"), Wording("asks {} a night")),
            Property("view", one_of(NOUNS), Wording("looks at a {}", "with a view of a {}")),
            Property("night range", number(10, 90, 5, "£ {} - 95"), Wording("is in the {} range")),
            Property(
                "family run",
                one_of(YES_NO),
                _either(
                    Wording("is family-run", adjectives="family-run"),
                    Wording("is not family-run", "that is not family-run"),
                ),
            ),
            Property("close by", title, Wording("can be found not far from {}", "not far from {}")),
        ),
    ),
    Topic(
        ("dog", "horse", "goat", "donkey"),
        lambda rng: rng.choice((invented, title))(rng),
        (
            Property("temper", one_of(TEMPERS), Wording("is {}", adjectives="{}")),
            Property("food", one_of(GOODS), Wording("eats {} food/likes {} dishes")),
            Property("weight", number(5, 600, 1, "{} kg"), Wording("weighs {}")),
            Property("owner", person, Wording("serves {}/belongs to {}", "serving {}/of {}")),
            Property(
                "visitors",
                one_of(YES_NO),
                _either(Wording("welcomes visitors"), Wording("is not for visitors")),
            ),
        ),
    ),
)
