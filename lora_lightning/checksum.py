"""Checksums that cannot be separated from what they are of, so that damage is noticed on reading.

| what                                         | where its checksum stands         |
|----------------------------------------------|-----------------------------------|
| torch's zip (`.ckpt`, `.pt`)                 | the zip's comment, its last bytes |
| `lora_lightning.json`, each line of a shard  | a key of the JSON object itself   |

A file of another origin has none, and is taken as it is. (safetensors files keep theirs among their
own metadata, see `gpt2.tensor_file`.)
"""

import hashlib
import json
import zlib
from pathlib import Path
from typing import Any

from lora_lightning.errors import InputError

MARK = b"sha256:"
COMMENT = len(MARK) + 64  # with 64 hexadecimal digits
START = b"PK\3\4"
# A zip ends with this record (PKWARE's APPNOTE, 4.3.16) and a comment, whose length, two
# little-endian bytes, is the record's last field.
END, END_SIZE = b"PK\5\6", 22
KEY = "crc32"


def append_checksum(path: Path) -> None:
    """Make the SHA-256 of all that precedes it the comment of a zip that has none.

    Raises:
        ValueError: the file does not end as a zip without a comment does.
    """
    with path.open("r+b") as file:
        if not _ends_without_comment(file):
            raise ValueError(f"{path}: no zip, or one that has a comment")
        file.seek(-2, 2)
        file.write(COMMENT.to_bytes(2, "little") + MARK)
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.write(digest.encode())


def require_intact(path: Path) -> None:
    """Check a zip against its checksum.

    A zip without a comment has nothing to check, and what is no zip is left to whoever reads it.

    Raises:
        InputError: the file is damaged.
    """
    with path.open("rb") as file:
        if file.read(len(START)) != START or _ends_without_comment(file):
            return
        whole, left = hashlib.sha256(), file.seek(0, 2) - 64
        file.seek(0)
        while left > 0:
            part = file.read(min(left, 1 << 20))
            whole.update(part)
            left -= len(part)
        if file.read() != whole.hexdigest().encode():
            raise InputError(f"{path}: damaged, its content does not fit its checksum")


def _ends_without_comment(file: Any) -> bool:
    size = file.seek(0, 2)
    file.seek(max(0, size - END_SIZE))
    end = file.read()
    return end.startswith(END) and end.endswith(b"\0\0")


def with_checksum(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record of JSON values with the checksum of all of them as a further one."""
    return record | {KEY: _crc32(record)}


def without_checksum(content: dict[str, Any]) -> dict[str, Any] | None:
    """Return the record that `with_checksum` made this of, None where it does not fit.

    What has no checksum is a record as it is.
    """
    record = {key: value for key, value in content.items() if key != KEY}
    return record if content.get(KEY, _crc32(record)) == _crc32(record) else None


def _crc32(record: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogatepass"))
