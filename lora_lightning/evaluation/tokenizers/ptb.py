"""Tokens of the Penn Treebank tokenizer for METEOR, ROUGE-L and CIDEr, through CoreNLP 3.4.1.

`PTBTokenizer -preserveLines -lowerCase`, then the COCO caption code's filter of punctuation. The
text is lower-cased before the filter sees it, so brackets (`-lrb-`, `-rrb-` …) stay; so do `!!!`
and the like.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from lora_lightning.evaluation.java import CORENLP_JAR, Java, jar, run_java
from lora_lightning.evaluation.measurement import NotComputable
from lora_lightning.evaluation.segment import one_line

_QUOTES = ("''", "'", "``", "`")
_BRACKETS = ("-LRB-", "-RRB-", "-LCB-", "-RCB-")
_PUNCTUATION = frozenset([*_QUOTES, *_BRACKETS, ".", "?", "!", ",", ":", "-", "--", "...", ";"])
_SECONDS = 120.0
_SECONDS_PER_TEXT = 0.005


def ptb_tokens(files: Sequence[Sequence[str]], java: Java) -> list[list[list[str]]]:
    """Return the tokens of each text of each file.

    Each file is tokenised as a whole, as the official code does with all hypotheses and with all
    references: the tokenizer looks over line ends at abbreviations. One Java process does all.

    Args:
        files: lists of texts; line separators inside a text count as white space.
        java: the runtime.

    Raises:
        NotComputable: Java failed, or its output does not fit the texts.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pairs = [(folder / f"{i}.txt", folder / f"{i}.tokens") for i in range(len(files))]
        for texts, (source, _) in zip(files, pairs, strict=True):
            source.write_text("\n".join(map(one_line, texts)), "utf-8", newline="\n")
        listing = folder / "files.tsv"
        # Names alone, as a space in the folder's would divide them.
        names = (f"{source.name}\t{target.name}\n" for source, target in pairs)
        listing.write_text("".join(names), "utf-8")
        options = ["-preserveLines", "-lowerCase", "-ioFileList", listing.name]
        program = ["-cp", str(jar(CORENLP_JAR)), "edu.stanford.nlp.process.PTBTokenizer"]
        count = sum(map(len, files))
        timeout = _SECONDS + _SECONDS_PER_TEXT * count
        run_java(java, [*program, *options], None, folder / "output", timeout, count)
        return [
            _read_tokens(target, len(texts))
            for texts, (_, target) in zip(files, pairs, strict=True)
        ]


def _read_tokens(path: Path, expected: int) -> list[list[str]]:
    lines = path.read_text("utf-8").split("\n") if path.exists() else []
    if len(lines) != expected:
        raise NotComputable(
            f"the PTB tokenizer gave {len(lines)} lines for {expected} texts; "
            "this is a defect of the tokenizer's input or of Java: please report it"
        )
    return [[token for token in line.split() if token not in _PUNCTUATION] for line in lines]
