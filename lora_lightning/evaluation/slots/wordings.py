"""How each value of an E2E slot is said: the data set's closed lists, a pattern for each value.

docs/slots.md says the rules in words. A value's pattern tries its wordings in the order given here;
where two values have hits on the same characters, the one that stands first here is meant, unless
the other was asked for.
"""

import re
from itertools import pairwise
from typing import NamedTuple

GAP = "[ -]+"


class Value(NamedTuple):
    """A value of a slot, and how it is said.

    Attributes:
        slot: the slot's name in E2E notation.
        name: the value as the training set writes it.
        pattern: matches its wordings in lower-cased text, from word boundary to word boundary.
    """

    slot: str
    name: str
    pattern: re.Pattern[str]

    def __str__(self) -> str:
        return f"{self.slot}[{self.name}]"


def value(slot: str, name: str, *wordings: str) -> Value:
    """Return a value that is said by any of these regular expressions."""
    return Value(slot, name, re.compile(rf"\b(?:{'|'.join(wordings).lower()})\b"))


def literal_value(slot: str, name: str) -> Value:
    """Return a value that is said as it is written; white space beside signs may differ."""
    words = re.findall(r"\w+|[^\w\s]", name.lower())
    pattern = re.escape(words[0]) if words else r"(?!)"
    for before, word in pairwise(words):
        are_words = re.match(r"\w", before) and re.match(r"\w", word)
        pattern += (" " if are_words else r"\s*") + re.escape(word)
    return Value(slot, name, re.compile(rf"(?<!\w){pattern}(?!\w)"))


def up_to(count: int) -> str:
    """Return a pattern of at most so many words, with a space after each."""
    return rf"(?:\w+ ){{0,{count}}}"


NAMES = (
    "Alimentum", "Aromi", "Bibimbap House", "Blue Spice", "Browns Cambridge", "Clowns", "Cocum",
    "Cotto", "Fitzbillies", "Giraffe", "Green Man", "Loch Fyne", "Midsummer House", "Strada",
    "Taste of Cambridge", "The Cambridge Blue", "The Cricketers", "The Dumpling Tree", "The Eagle",
    "The Golden Curry", "The Golden Palace", "The Mill", "The Olive Grove", "The Phoenix",
    "The Plough", "The Punter", "The Rice Boat", "The Twenty Two", "The Vaults", "The Waterman",
    "The Wrestlers", "Travellers Rest Beefeater", "Wildwood", "Zizzi",
)  # fmt: skip
PLACES = (
    "All Bar One", "Avalon", "Burger King", "Café Adriatic", "Café Brazil", "Café Rouge",
    "Café Sicilia", "Clare Hall", "Crowne Plaza Hotel", "Express by Holiday Inn",
    "Rainbow Vegetarian Café", "Raja Indian Cuisine", "Ranch", "The Bakers", "The Portland Arms",
    "The Rice Boat", "The Six Bells", "The Sorrento", "Yippee Noodle Bar",
)  # fmt: skip

NAME_VALUES = [
    *(value("name", name, name) for name in NAMES),
    *(value("near", place, place) for place in PLACES),
]
EAT_TYPES = [
    value("eatType", "coffee shop", f"coffee{GAP}shop", "cafe", "café", "coffee"),
    value("eatType", "pub", "pub"),
    value("eatType", "restaurant", "restaurant"),
]
FOODS = [
    value("food", "Chinese", "Chinese?"),
    value("food", "English", "English", "British"),
    *(value("food", food, food) for food in ("Fast food", "French", "Indian", "Italian")),
    value("food", "Japanese", "Japanese"),
]
AREAS = [
    value(
        "area",
        "city centre",
        "(?:city|town) cent(?:re|er)",
        "cent(?:re|er) of (?:the )?(?:city|town)",
        "in the cent(?:re|er)",
    ),
    value(
        "area",
        "riverside",
        "riverside",
        "(?:near|by|at|close to|along|on|off|beside) the river",
    ),
]


def _price_last(adjectives: str) -> str:
    return f"(?:{adjectives}){GAP}price[sd]?"


def _price_first(adjectives: str) -> str:
    return f"prices? (?:range )?{up_to(3)}(?:{adjectives})"


CHEAP = ("(?:cheap|inexpensive)(?:ly)?", _price_last("low"), _price_first("low"), "affordably")
MIDDLE = "moderate|reasonable|ok|average"
MODERATE = (_price_last(f"(?:{MIDDLE})(?:ly)?"), _price_first(MIDDLE))
HIGH = (_price_last("high"), "expensive", _price_first("high"))

PRICE_RANGES = [
    value("priceRange", "cheap", *CHEAP, "affordable"),
    value(
        "priceRange",
        "less than £20",
        "(?:less than|under) £? ?20",
        *CHEAP,
        "affordable",
        "moderately priced",
    ),
    value("priceRange", "more than £30", "(?:more than|over) £? ?30", *HIGH, "not cheap"),
    value("priceRange", "high", *HIGH),
    value(
        "priceRange",
        "moderate",
        *MODERATE,
        f"mid{GAP}range{GAP}price[sd]?",
        "affordable",
        "not cheap",
    ),
    value("priceRange", "£20-25", "20 *(?:[-–—]+|to) *25", *MODERATE, "affordable"),
]

RATING_NOUNS = "rated|ratings?|reviews?|standards?|quality"
LOW_RATING = rf"low|bad|poor|(?:not|doesn't|isn't) {up_to(2)}(?:good|well)"
AVERAGE_RATING = "average|(?<!very )(?:good|well)"
HIGH_RATING = "high|excellent|great|very good"


def _noun_first(adjectives: str) -> str:
    return f"(?:rates?|{RATING_NOUNS}) {up_to(2)}(?:as )?(?:{adjectives})"


def _adjective_first(adjectives: str) -> str:
    return rf"(?:{adjectives})(?:ly)?(?:{GAP}\w+){{0,2}}{GAP}(?:{RATING_NOUNS})"


def _out_of_five(number: str) -> str:
    return f"(?:{number})(?: (?:out )?of (?:5|five)(?: stars?)?|{GAP}stars?)"


def _rating_number(name: str, number: str, nouns_first: str, adjectives_first: str) -> Value:
    """Return a rating in figures; words that lead up to its figure belong to it."""
    figure = _out_of_five(number)
    words = f"(?:{_noun_first(nouns_first)}|{_adjective_first(adjectives_first)})"
    return value("customer rating", name, figure, rf"{words}(?: {up_to(3)}{figure})?")


def _rating_word(name: str, number: str, nouns_first: str, adjectives_first: str) -> Value:
    return value(
        "customer rating",
        name,
        _out_of_five(number),
        _noun_first(nouns_first),
        _adjective_first(adjectives_first),
    )


RATINGS = [
    _rating_number("1 out of 5", "1|one", "low|bad|poor", LOW_RATING),
    _rating_number("3 out of 5", "3|three", "average", AVERAGE_RATING),
    _rating_number("5 out of 5", "5|five", "high", HIGH_RATING),
    _rating_word("high", "5|five", "high", f"{HIGH_RATING}|well"),
    _rating_word("average", "3|three", "average", AVERAGE_RATING),
    _rating_word("low", "1|one", "low|bad|poor", LOW_RATING),
]

CHILD = "child|children|family|kids?"
CHILDREN = "children|kids|family|families"
ANY_CHILD = f"{CHILD}|families"
FRIENDLY = "friendly|oriented|orientated"
WELCOMED = "welcome|allowed|accepted"
WELCOMES = "welcome|allow|accept"

FAMILY_FRIENDLY = [
    value(
        "familyFriendly",
        "no",
        f"(?:not|non|no|isn't){GAP}{up_to(2)}(?:{CHILD}){GAP}(?:{FRIENDLY})",
        f"(?:{CHILD}){GAP}unfriendly",
        f"adults?{GAP}only",
        "only for adults",
        f"(?:no|not) (?:{CHILDREN})",
        f"(?:no|not) (?:(?:good|suitable|opened|open|{FRIENDLY}) )?(?:at|for|to|with) (?:the )?"
        f"(?:{CHILDREN}|all age)",
        f"(?:{ANY_CHILD}) (?:are|is)(?: not|n't) (?:{WELCOMED})",
        f"(?:does not|doesn't) (?:{WELCOMES}) {up_to(2)}(?:{ANY_CHILD}|all age)",
        "adult (?:venue|place|establish(?:ment)?)",
    ),
    value(
        "familyFriendly",
        "yes",
        f"(?:{CHILD}){GAP}(?:{FRIENDLY})",
        f"for (?:{CHILDREN})",
        "family place",
        "place to bring the (?:whole )?family",
        f"(?:{ANY_CHILD}) (?:are|is) (?:{WELCOMED})",
        f"(?:{WELCOMES})s? {up_to(2)}(?:{ANY_CHILD}|all age)",
    ),
]

OTHER_VALUES = [*EAT_TYPES, *FOODS, *AREAS, *PRICE_RANGES, *RATINGS, *FAMILY_FRIENDLY]
VALUES = [*NAME_VALUES, *OTHER_VALUES]
SLOTS = tuple(dict.fromkeys(value.slot for value in VALUES))
