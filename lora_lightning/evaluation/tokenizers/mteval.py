r"""The tokeniser of NIST's mteval-13a script, as BLEU and NIST use it.

In order: drop `<skipped>`; a line break after `-` vanishes with it, any other is a space; decode
`&quot; &amp; &lt; &gt;`; put spaces around every ASCII symbol except `' , - .`; split `.` and `,`
off a neighbour that is no digit; split `-` off a digit before it; split at white space.
"""

import re

_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
_SYMBOLS = {
    ord(character): f" {character} "
    for character in map(chr, range(128))
    if re.match(r"[{-~\[-` -&(-+:-@/]", character)
}
_RULES = (
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)
_ASCII_SPACE = re.compile(r"\s+", re.ASCII)


def tokenise_13a(text: str) -> list[str]:
    """Return the tokens, divided at Unicode white space, case kept (pymteval, for E2E)."""
    return _separated(text).split()


def tokenise_13a_lower(text: str) -> list[str]:
    """Return the tokens in lower case; only they are, as `&AMP;` is no entity."""
    return [token.lower() for token in tokenise_13a(text)]


def tokenise_13a_bytes(text: str) -> list[str]:
    """Return the tokens, divided at ASCII white space alone (multi-bleu-detok reads bytes)."""
    return [token for token in _ASCII_SPACE.split(_separated(text)) if token]


def _separated(text: str) -> str:
    text = text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    if "&" in text:
        for entity, character in _ENTITIES:
            text = text.replace(entity, character)
    text = f" {text} ".translate(_SYMBOLS)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text
