"""The E2E NLG data set: one `meaning representation||text` a line, or the challenge's tables."""

from pathlib import Path

from lora_lightning.data.example import Example
from lora_lightning.data.formats.e2e_table import has_texts, read_e2e_table
from lora_lightning.data.raw_folder import RawFolderDataModule
from lora_lightning.data.records import require_rows
from lora_lightning.data.sources import RawFile, find
from lora_lightning.errors import InputError
from lora_lightning.files import read_lines
from lora_lightning.tables import is_table

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
TABLES = {"train": "train", "valid": "dev", "test": "test"}
"""How the names of a split's tables begin, the challenge's and the cleaned ones."""


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


def read_e2e_file(path: Path) -> list[Example]:
    """Read a raw file of either kind.

    Raises:
        InputError: as `read_e2e` and `read_e2e_table`.
    """
    return read_e2e_table(path) if is_table(path) else read_e2e(path)


def find_table(folder: Path, split: str) -> Path | None:
    """Return the table of a split: the one in `folder` whose name begins as the split's do.

    `trainset.csv`, `devset.csv`, `testset_w_refs.csv` are the challenge's names, `train-fixed.csv`,
    `devel-fixed.csv`, `test-fixed.csv` the cleaned version's. A table without texts is none.

    Raises:
        InputError: there are several, or one cannot be read.
    """
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    named = [file for file in files if is_table(file) and file.name.startswith(TABLES[split])]
    tables = [file for file in named if len(named) == 1 or has_texts(file)]
    if len(tables) > 1:
        raise InputError(
            f"{folder}: {' and '.join(file.name for file in tables)} may both be the table of "
            f"split={split}; leave one there"
        )
    return tables[0] if tables else None


class E2EDataModule(RawFolderDataModule):
    """E2E: `train.txt`, `valid.txt`, `test.txt`, or where one is missing, the split's table."""

    files = FILES
    read = staticmethod(read_e2e_file)

    def path(self, split: str) -> Path:
        """Return the path of a split's file.

        Raises:
            InputError: as `RawFolderDataModule.path` and `find_table`.
        """
        text = find(self.dir, FILES[split].name)
        table = find_table(self.dir, split) if text is None else None
        return super().path(split) if table is None else table
