"""From decoded text to the text that is scored, as the reference's decode step does it."""

import re

END_OF_TEXT = "<|endoftext|>"
BLANK_LINE = "\n\n"

_NON_WORD = re.compile(r"(\W)")


def cut_text(text: str) -> str:
    """Cut `text` at the literal end-of-text mark, then at the first blank line, and strip it.

    A single line break stays. The reference cuts predictions and references alike.
    """
    return text.split(END_OF_TEXT, 1)[0].split(BLANK_LINE, 1)[0].strip()


def tokenise(text: str) -> str:
    r"""Split at every non-word character and join by single spaces (the reference's `--tokenize`).

    `\W` is Unicode-aware: accented letters and `_` stay inside words, white space vanishes.
    """
    return " ".join(" ".join(_NON_WORD.split(text)).split())


def lower_and_tokenise(text: str) -> str:
    """Lower-case, then tokenise: what the reference does for WebNLG and DART.

    The order matters: a letter that lower-cases to two characters (`İ`) is split afterwards.
    """
    return tokenise(text.lower())
