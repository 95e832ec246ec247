"""The E2E NLG data set: one `meaning representation||text` a line."""

from pathlib import Path

from lora_lightning.data.example import Example
from lora_lightning.data.raw_folder import RawFolderDataModule
from lora_lightning.data.records import require_rows
from lora_lightning.data.sources import RawFile
from lora_lightning.errors import InputError
from lora_lightning.files import read_lines

SEPARATOR = "||"
FILES = {
    "train": RawFile(
        "train.txt", "eae319082237310913d9f37f6a891d48fb3f821f29d86870d2cb4f92ddd72c5a"
    ),
    "valid": RawFile(
        "valid.txt", "ba963113c8401d3d26216c0dc0a6dae1ea6ea927de3bf830e32c41f65401c80d"
    ),
    "test": RawFile("test.txt", "81b1bcd40c4f12845ec4eb61a77bf43765d112483cd9b2f91ef10bfc1b3d8f13"),
}


def read_e2e(path: Path) -> list[Example]:
    """Read a raw E2E file, plain or `.gz`.

    As in the reference the line is stripped before it is divided, so the text loses the space
    that ends it in the raw file.

    Raises:
        InputError: the file is missing, empty or not UTF-8, or a line has not exactly one `||`.
    """
    lines = enumerate(read_lines(path), start=1)
    return require_rows([_example(line, f"{path}:{number}") for number, line in lines], path)


def _example(line: str, place: str) -> Example:
    parts = line.strip().split(SEPARATOR)
    if len(parts) != 2:
        raise InputError(
            f"{place}: needs exactly one {SEPARATOR} between context and text: {line[:80]!r}"
        )
    context, completion = parts
    return Example(context, completion)


class E2EDataModule(RawFolderDataModule):
    """E2E: `train.txt`, `valid.txt`, `test.txt`."""

    files = FILES
    read = staticmethod(read_e2e)
