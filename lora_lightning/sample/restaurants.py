"""The E2E sample: restaurants, one `slots||text ` a line, written as E2E writes them."""

from collections.abc import Callable
from random import Random

from lora_lightning.sample.grammar import (
    Property,
    Wording,
    describe,
    different,
    invent_facts,
    spaced,
)
from lora_lightning.sample.lexicon import AREAS, Maker, cafe, coined, one_of, title

KINDS = ("restaurant", "pub", "coffee shop", "tea house", "wine bar")
FOODS = ("Danish", "Greek", "Korean", "Lebanese", "Mexican", "Peruvian", "Polish", "Thai", "vegan")
PRICES = ("cheap", "moderate", "high", "less than £ 15", "£ 15 - 25", "more than £ 25")
RATINGS = ("low", "average", "high", "1 out of 5", "3 out of 5", "5 out of 5")


def _price(value: str) -> Wording:
    if "£" in value:
        return Wording("has prices of {}/charges {}", "with prices of {}/in the {} price range")
    return Wording("has {} prices/has a {} price range", "with {} prices/in the {} price range")


def _rating(value: str) -> Wording:
    if "out of" in value:
        return Wording("has a customer rating of {}/is rated {} by customers")
    return Wording("has a {} customer rating/is rated {} by customers")


def _family(value: str) -> Wording:
    if value == "yes":
        return Wording("is family-friendly/welcomes children", adjectives="family-friendly")
    return Wording("is not family-friendly/is not for children", "that is not family-friendly")


def slots(near: Maker) -> tuple[Property, ...]:
    """The slots after `name` and `Type`, in E2E's order; `near` makes the neighbours' names."""
    return (
        Property(
            "food",
            one_of(FOODS),
            Wording("serves {} food/offers {} dishes", "serving {} food/that serves {} food"),
        ),
        Property("price", one_of(PRICES), _price),
        Property("customer rating", one_of(RATINGS), _rating),
        Property(
            "area",
            one_of(AREAS),
            Wording("is located in the {} area/is in the {}", "in the {} area/in the {}"),
        ),
        Property("family friendly", one_of(("yes", "no")), _family),
        Property(
            "near",
            near,
            Wording("is near {}/can be found close to {}", "near {}/close to {}"),
        ),
    )


COINED = 4  # names that are in no list, for each one that is


def rows(seed: int, coined_names: bool = True) -> dict[str, list[str]]:
    """The lines of `train.txt`, `valid.txt` and `test.txt`, by file name, without line ends.

    In the training file the rows are shuffled, in the others the rows of one input stand together.
    No input is in two files; about half of the names of the test file are in no other.

    Args:
        seed: decides everything.
        coined_names: whether most names of the first two files are coined anew for each input. Who
            adapts to a few dozen names forgets how to copy others.
    """
    rng = Random(f"{seed} restaurants")
    known = _names(rng, 60)
    new = [name for name in _names(rng, 40) if name not in known]
    taken: set[str] = set()
    coins = COINED if coined_names else 0
    files = {
        "train.txt": _rows(rng, known, inputs=370, texts=(2, 3, 4, 5, 6), taken=taken, coins=coins),
        "valid.txt": _rows(rng, known, inputs=38, texts=(3, 4, 5), taken=taken, coins=coins),
        "test.txt": _rows(rng, known[:40] + new, inputs=60, texts=(3, 4, 5, 6), taken=taken),
    }
    rng.shuffle(files["train.txt"])
    return files


def _names(rng: Random, count: int) -> list[str]:
    """About `count` names of restaurants, some of them with an `é`."""
    cafes = count // 20
    return sorted({title(rng) for _ in range(count - cafes)} | {cafe(rng) for _ in range(cafes)})


def _rows(
    rng: Random,
    names: list[str],
    inputs: int,
    texts: tuple[int, ...],
    taken: set[str],
    coins: int = 0,
) -> list[str]:
    """The rows of `inputs` inputs not yet in `taken`, each with about one of `texts` texts.

    An input takes its names from `names` and from `coins` times as many coined ones.
    """
    lines = []
    wanted = len(taken) + inputs
    while len(taken) < wanted:
        context, write = _input(rng, names + [coined(rng) for _ in range(coins * len(names))])
        if context not in taken:
            taken.add(context)
            lines += [f"{context}||{text} " for text in different(rng.choice(texts), write)]
    return lines


def _input(rng: Random, names: list[str]) -> tuple[str, Callable[[], str]]:
    """A restaurant's slots, and what writes a text about it."""
    name, *others = rng.sample(names, len(names))
    kind = rng.choice(KINDS) if rng.random() < 0.85 else ""
    facts = invent_facts(rng, slots(near=one_of(others)), rng.choice((2, 3, 3, 4, 4, 5, 6)))
    pairs = [("name", name), ("Type", kind), *((f.property.key, f.value) for f in facts)]
    context = " | ".join(f"{key} : {value}" for key, value in pairs if value)
    return context, lambda: spaced(describe(rng, name, kind or "place", facts))
