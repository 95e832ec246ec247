"""Write a split as JSON lines: byte for byte what the reference's preprocessing writes.

python -m lora_lightning.data.export data=e2e split=valid output=e2e_valid.jsonl
python -m lora_lightning.data.export data=webnlg data.dir=<folder> output=test.jsonl format=text
"""

import json
import logging
import sys
from collections.abc import Iterator
from os.path import expanduser
from pathlib import Path
from typing import Any, TextIO

from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lora_lightning.config.build import build
from lora_lightning.config.compose import composed
from lora_lightning.config.paths import expand_homes
from lora_lightning.config.trust import import_from
from lora_lightning.config.typed import is_true, text_of
from lora_lightning.data.datamodule import DataToTextModule
from lora_lightning.data.encoding import completion_text, context_text, encode_examples
from lora_lightning.data.example import Example
from lora_lightning.data.tokenizer import Tokenizer, load_tokenizer
from lora_lightning.errors import InputError
from lora_lightning.files import atomic_text
from lora_lightning.process.program import as_program
from lora_lightning.process.programs import as_started

HELP = f"""{__doc__}
output=<file>            where to write (required)
split=test               train | valid | test
format=tokens            tokens: ids with their end tokens; text: strings, and cate where known
overwrite=false          true: replace an existing file
data=sample_e2e          e2e | webnlg | dart | jsonl | csv | sample_e2e | sample_webnlg | …
data.dir=<folder>        the raw files, plain or .gz; further data.* keys as in train.py
model.tokenizer=<folder> tokenizer.json, or vocab.json and merges.txt; default: the model's
"""
NEEDED = ["data", "model", "paths"]
DEFAULTS: dict[str, Any] = {"output": None, "split": "test", "format": "tokens",
                            "overwrite": "false"}  # fmt: skip


def export_examples(
    examples: list[Example], tokenizer: Tokenizer, format: str, file: TextIO
) -> None:
    """Write one JSON object a line.

    Args:
        examples: the rows, in order.
        tokenizer: makes the token ids, or the texts of rows that hold ids.
        format: `tokens` or `text`.
        file: an open text file with LF line ends.

    Raises:
        InputError: unknown format, or a given token id is outside the vocabulary.
    """
    if format not in FORMATS:
        raise InputError(f"format={format}: unknown; take one of {', '.join(FORMATS)}")
    for record in FORMATS[format](examples, tokenizer):
        # json.dumps as the reference calls it: ASCII escapes, ", " and ": ".
        file.write(json.dumps(record) + "\n")


def main(arguments: list[str]) -> None:
    """Export as the arguments say, `key=value` each.

    Raises:
        InputError: a wrong argument, or bad data.
    """
    if {"--help", "-h"} & set(arguments):
        print(as_started(HELP))
        return
    own, overrides = _divide(arguments)
    if own["output"] in (None, "null"):
        raise InputError("output=<file> is missing; --help lists the keys")
    output = Path(expanduser(own["output"]))
    overwrite = is_true("overwrite", own["overwrite"])
    if output.exists() and not overwrite:
        raise InputError(f"output={output}: exists; choose another or set overwrite=true")
    data, tokenizer = _data_set(overrides)
    examples = data.examples(own["split"])
    with atomic_text(output) as file:
        export_examples(examples, tokenizer, own["format"], file)
    print(f"{len(examples)} rows -> {output}")


def _token_records(examples: list[Example], tokenizer: Tokenizer) -> Iterator[dict[str, Any]]:
    for encoded in encode_examples(examples, tokenizer):
        yield {"context": encoded.context_ids, "completion": encoded.completion_ids}


def _text_records(examples: list[Example], tokenizer: Tokenizer) -> Iterator[dict[str, Any]]:
    for example in examples:
        seen = {} if example.seen is None else {"cate": example.seen}
        yield {
            "context": context_text(example.context, tokenizer),
            "completion": completion_text(example.completion, tokenizer),
            **seen,
        }


FORMATS = {"tokens": _token_records, "text": _text_records}


def _divide(arguments: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Return the values of the keys of this command, and the overrides that Hydra gets."""
    own, overrides = dict(DEFAULTS), []
    for argument in arguments:
        key, equals, _ = argument.partition("=")
        if not equals:
            raise InputError(f"{argument}: give key=value; --help lists the keys")
        if key not in own:
            overrides.append(argument)
            continue
        own[key] = text_of(argument.partition("=")[2])
    return own, overrides


def _data_set(overrides: list[str]) -> tuple[DataToTextModule, Tokenizer]:
    try:
        # Of the others, output_dir has a value only where Hydra runs a job.
        config = OmegaConf.masked_copy(composed("train", overrides), NEEDED)
        expand_homes(config)
        import_from(Path(config.paths.user_dir).absolute())
        return build(config.data), load_tokenizer(config.model.tokenizer)
    except (HydraException, OmegaConfBaseException) as error:
        # Hydra wraps what a constructor raises; the cause says what was wrong.
        raise InputError(str(error.__cause__ or error)) from None


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s", level=logging.INFO)  # what a reader leaves out
    with as_program():
        main(sys.argv[1:])
