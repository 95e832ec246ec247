"""E2E as the challenge published it, and its cleaned version: tables of `mr` and `ref`.

The text files that the reference trains on came out of the challenge's tables: three attributes
have other names there, and prices and texts were divided into tokens. A table read here gives the
rows of its text file.
"""

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from lora_lightning.data.example import Example
from lora_lightning.data.records import require_rows
from lora_lightning.errors import InputError
from lora_lightning.tables import column, read_table

if TYPE_CHECKING:
    from spacy.tokenizer import Tokenizer

MEANING, TEXT = "mr", "ref"
NAMES = {"eatType": "Type", "priceRange": "price", "familyFriendly": "family friendly"}
ATTRIBUTE = re.compile(r"\s*([^\[\],]+)\[([^\[\]]*)\]\s*(?:,|$)")


def read_e2e_table(path: Path) -> list[Example]:
    """Read a table with a meaning representation and a text in each row, plain or `.gz`.

    Columns other than `mr` and `ref`, such as the cleaned version's, say nothing here.

    Raises:
        InputError: as `read_table`, or the header lacks one of the two columns, or a meaning
            representation is no list of `attribute[value]`; the message names the line.
    """
    header, *rows = read_table(path)
    meaning, text = (column(header, name, path) for name in (MEANING, TEXT))
    if meaning is None or text is None:
        raise InputError(
            f"{path}:{header.line}: no column {MEANING if meaning is None else TEXT!r} in "
            f"{header.cells}; E2E's tables have {MEANING} and {TEXT} (other names: data=csv)"
        )
    examples = []
    for row in rows:
        context = e2e_context(row.cells[meaning], f"{path}:{row.line}")
        examples.append(Example(context, tokenised(row.cells[text])))
    return require_rows(examples, path)


def has_texts(path: Path) -> bool:
    """Whether a table's header has a column of texts, which the challenge's first test set lacks.

    Raises:
        InputError: as `read_table`.
    """
    header = read_table(path)[0]
    return column(header, TEXT, path) is not None


def e2e_context(meaning: str, place: str) -> str:
    """Return the context of the text files for a meaning representation such as `near[Avalon]`.

    Args:
        meaning: attributes with their values, joined by commas.
        place: for messages.

    Raises:
        InputError: it is something else.
    """
    parts, end = [], 0
    while end < len(meaning):
        found = ATTRIBUTE.match(meaning, end)
        if found is None:
            break
        attribute, value = (group.strip() for group in found.groups())
        name = NAMES.get(attribute, attribute)
        parts.append(f"{name} : {tokenised(value) if name == 'price' else value}")
        end = found.end()
    if not parts or end < len(meaning):
        raise InputError(
            f"{place}: no meaning representation such as name[Aromi], area[riverside]: "
            f"{meaning[:80]!r}"
        )
    return " | ".join(parts)


def tokenised(text: str) -> str:
    """Return a text with one space between its tokens, as in the text files.

    They were made by spaCy's rules for English at a time when no hyphen after a digit divided:
    `family - friendly`, but `5-star`.
    """
    return " ".join(token.text for token in _tokenizer()(text) if not token.is_space)


@cache
def _tokenizer() -> "Tokenizer":
    from spacy.lang.en import English
    from spacy.lang.punctuation import TOKENIZER_INFIXES
    from spacy.util import compile_infix_regex

    tokenizer: Tokenizer = English().tokenizer
    tokenizer.infix_finditer = compile_infix_regex(TOKENIZER_INFIXES).finditer
    return tokenizer
