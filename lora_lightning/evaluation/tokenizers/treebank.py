"""NLTK's `word_tokenize` on text that is tokenised already, for GenerationEval's METEOR and TER.

On text split at every non-word character (what the decode step writes), NLTK 3.5 changes whole
tokens only: a straight double quote becomes two backticks, and six contractions are divided. On
raw text it does much more; such text is scored with a note.
"""

_QUOTE = "``"
_CONTRACTIONS = {"cannot": 3, "gonna": 3, "gotta": 3, "wanna": 3, "gimme": 3, "lemme": 3}


def treebank_tokens(text: str) -> list[str]:
    """Return the tokens of a text whose tokens stand between spaces."""
    tokens: list[str] = []
    for token in text.split():
        if token == '"':
            tokens.append(_QUOTE)
        elif cut := _CONTRACTIONS.get(token.lower()):
            tokens += [token[:cut], token[cut:]]
        else:
            tokens.append(token)
    return tokens
