"""Word lists, and makers of names and values.

A maker is a function from a random generator to a text, so that a table of properties can say what
its values look like: `Property("opened", number(1700, 1990), …)`.
"""

from collections.abc import Callable, Sequence
from random import Random

Maker = Callable[[Random], str]


def words(text: str) -> list[str]:
    """The words of `text`."""
    return text.split()


ONSETS = words("b br d dr f g gr h k l m n p r s t tr v w z")
VOWELS = words("a e i o u")
CODAS = [*words("n r l m s t"), *[""] * 6]
ENDINGS = [*words("ton ford by wick dale mouth burg field"), *[""] * 12]

# Of coined names. Wider than those of `invented`, which are the samples' own: who has copied such
# pieces of words in every order copies a name that no list here has.
COINED_ONSETS = words(
    "b bl br c ch cl cr d dr f fl fr g gl gr h j k kn l m n p ph pl pr qu r s sc sh sk sl sm sn sp "
    "squ st str sw t th tr tw v w wh wr y z"
)
COINED_VOWELS = words("a e i o u a e i o u y ai au ay ea ee ei ey ie oa oi oo ou ow")
COINED_CODAS = [
    *words("b ck ct d ff ft g k l ld ll lt m mp n nd ng nk nn nt p r rd rk rm rn rt s sh sk ss st "
           "t th tt v x z zz"),
    *[""] * 24,
]  # fmt: skip
COINED_ENDINGS = [*words("e er es ies ing le ly man s side son y"), *[""] * 18]

ADJECTIVES = words(
    "amber ancient autumn brass bright broken copper crooked crystal distant eastern emerald "
    "gentle golden grand green happy hidden hollow honest iron ivory jolly laughing little lonely "
    "lucky merry midnight narrow noble northern olive painted patient quiet rusty scarlet secret "
    "silent silver sleepy southern stone summer sunny tall tiny velvet wandering western white "
    "wild winter wise wooden yellow young"
)

NOUNS = words(
    "acorn anchor angel anvil apple arrow badger barrel basket bear bell bird boat bridge candle "
    "castle cat cherry clock cloud compass corner crane crown dolphin dragon drum eagle falcon "
    "feather fiddle fig finch fox garden gate goose hammer harbour hare harp hat hedge heron "
    "horse island ivy kettle key king ladder lantern lemon lion maple meadow mill mirror moon "
    "oak orchard otter owl parrot path peacock pear pepper piano pine plum pond queen rabbit raven "
    "river rose sail saddle salmon seal shell ship spoon squirrel star stone swan table tiger "
    "tower tree trumpet tulip turtle violin well whale wheel willow window wolf wren"
)

COLOURS = words("black blue brown cream green grey orange pink purple red white yellow")
MATERIALS = words(
    "brick bronze clay concrete glass granite limestone marble oak slate steel timber"
)
MONTHS = words(
    "January February March April May June July August September October November December"
)
AREAS = ["riverside", "city centre", "old town", "harbour", "market square", "north side"]
FIRST_NAMES = words(
    "Ada Alma Anton Bruno Carla Cora Dario Edda Elif Emil Farid Greta Hana Hugo Ines Ivo Jana "
    "Jonas Kaya Lars Leila Lena Marek Mila Nadia Nils Olga Omar Paula Petra Rafael Rosa Ruben "
    "Selma Sofia Tariq Theo Ursula Vera Viktor Wanda Yara Yusuf Zora"
)


def invented(rng: Random) -> str:
    """A pronounceable name of a few syllables that means nothing, such as `Brelda`."""
    syllables = [
        rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS)
        for _ in range(rng.choice((1, 2, 2)))
    ]
    return ("".join(syllables) + rng.choice(ENDINGS)).capitalize()


def place(rng: Random) -> str:
    """The name of a town or a region."""
    shapes: tuple[Callable[[], str], ...] = (
        lambda: invented(rng),
        lambda: invented(rng),
        lambda: f"{invented(rng)} {rng.choice(('Bay', 'Hill', 'Falls', 'Green', 'Park'))}",
        lambda: f"{rng.choice(('New', 'Old', 'Upper', 'Port', 'East'))} {invented(rng)}",
    )
    return rng.choice(shapes)()


def person(rng: Random) -> str:
    """A first name and an invented surname."""
    return f"{rng.choice(FIRST_NAMES)} {invented(rng)}"


def title(rng: Random) -> str:
    """The name of a house, a ship, a shop: `The Silver Heron`, `Maple Gate`, `Brelda`."""
    adjective, first, second = (
        word.capitalize() for word in (rng.choice(ADJECTIVES), rng.choice(NOUNS), rng.choice(NOUNS))
    )
    shapes = (
        f"The {adjective} {first}",
        f"{adjective} {first}",
        f"The {first}",
        f"{first} {second}",
        f"The {first} and {second}",
        f"{invented(rng)} {first}",
        invented(rng),
    )
    return rng.choice(shapes)


def cafe(rng: Random) -> str:
    """The name of a café."""
    return f"Café {invented(rng)}"


def coined(rng: Random) -> str:
    """A name of words that are mostly in no list, such as `The Spice Clonker`, `Blou`."""
    shape = rng.choice(("{}", "{} {}", "{} {}", "The {}", "The {} {}", "{} and {}"))
    return shape.format(*(_coined_word(rng) for _ in range(shape.count("{}"))))


def _coined_word(rng: Random) -> str:
    if rng.random() < 0.2:
        return rng.choice(rng.choice((ADJECTIVES, NOUNS, COLOURS))).capitalize()
    syllables = [
        rng.choice(("", *COINED_ONSETS)) + rng.choice(COINED_VOWELS) + rng.choice(COINED_CODAS)
        for _ in range(rng.choice((1, 1, 2)))
    ]
    return ("".join(syllables) + rng.choice(COINED_ENDINGS)).capitalize()


def one_of(values: Sequence[str]) -> Maker:
    """A maker that picks from `values`."""
    return lambda rng: rng.choice(values)


def number(low: int, high: int, step: int = 1, form: str = "{}") -> Maker:
    """A maker of the numbers `low`, `low + step`, … below `high`, written into `form`."""
    return lambda rng: form.format(rng.randrange(low, high, step))


def day(rng: Random) -> str:
    """A date such as `1987-04-23`."""
    return f"{rng.randrange(1930, 2005)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}"


def indefinite(phrase: str) -> str:
    """`phrase` with `a` or `an` before it."""
    vowel = phrase[0].lower() in "aeiou" and not phrase.startswith("uni")
    return f"{'an' if vowel else 'a'} {phrase}"
