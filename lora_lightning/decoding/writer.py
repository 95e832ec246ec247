"""Predictions on disk: every context exactly once, in order, for any number of ranks and restarts.

Each rank appends its records to a shard of its own; a run that was killed goes on with the
contexts that no shard holds; at the end one process merges the shards.

    <folder>/shards/rank_0.jsonl     first line {"settings": key}, then one record a line,
                                     each with its checksum
    <folder>/predictions.jsonl       after `merge_shards`; `remove_shards` says that all is done
"""

import json
import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lora_lightning.checksum import KEY, with_checksum, without_checksum
from lora_lightning.errors import InputError
from lora_lightning.files import atomic_text, parse_json_line, read_json_lines, require_folder

Record = dict[str, Any]
RecordId = int | str
SAME_FOR_ONE_ID = ("context", "text", "tokens")

log = logging.getLogger(__name__)


class ShardWriter:
    """Appends one rank's records, each written before the next.

    A line that a killed run left unfinished is cut off first.

    Args:
        folder: the folder of the predictions.
        rank: this process.
        settings_key: names everything that decides the predictions; shards of another key are
            never continued.
    """

    def __init__(self, folder: Path, rank: int, settings_key: str) -> None:
        path = folder / "shards" / f"rank_{rank}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        written = path.read_bytes() if path.exists() else b""
        # Unbuffered: what could not be written is not written later, when the file is closed.
        self._file = path.open("ab", buffering=0)
        self._file.truncate(written.rfind(b"\n") + 1)
        if b"\n" not in written:
            self.write({"settings": settings_key})

    def write(self, record: Record) -> None:
        """Append one record.

        Raises:
            OSError: of the disk, with the shard's name.
        """
        left = json.dumps(with_checksum(record), ensure_ascii=False).encode() + b"\n"
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise OSError(error.errno, error.strerror, self._file.name) from None

    def close(self) -> None:
        """Close the shard."""
        self._file.close()


def finished_records(folder: Path, settings_key: str) -> dict[RecordId, Record]:
    """Return by id what an unfinished run has written, by any rank of any number of ranks.

    Ranks must all have read before the first of them writes, or they divide the rest differently.

    Raises:
        InputError: a shard was written under other settings or is malformed, or two records of one
            id differ.
    """
    for path in _shards(folder):
        for number, content in _whole_lines(path):
            if number == 1 and content != {"settings": settings_key}:
                raise InputError(
                    f"{path.parent}: unfinished predictions of other settings; "
                    "take another name= or output_dir=, or overwrite=true"
                )
    return _records(folder)


def merge_shards(folder: Path, ids: Sequence[RecordId]) -> Path:
    """Write `predictions.jsonl` from the shards, in the order of `ids`; the shards stay.

    Raises:
        InputError: the shards do not hold exactly these ids, are malformed, or hold two records of
            one id that differ.
        FileNotFoundError: the folder was removed since the shards were written.
    """
    require_folder(folder / "shards")
    record_of = _records(folder)
    found, asked = Counter(list(record_of)), Counter(ids)
    for problem, difference in (
        ("missing or asked twice", asked - found),
        ("not asked for", found - asked),
    ):
        if difference:
            examples = ", ".join(map(repr, list(difference)[:5]))
            raise InputError(
                f"{folder / 'shards'}: {difference.total()} of {len(ids)} predictions are "
                f"{problem} (ids {examples}); start again with overwrite=true"
            )
    path = folder / "predictions.jsonl"
    with atomic_text(path, lasting=True) as file:
        for record_id in ids:
            file.write(json.dumps(record_of[record_id], ensure_ascii=False) + "\n")
    return path


def remove_shards(folder: Path) -> None:
    """Remove the shards, once all that is made of them is written; all of them or none."""
    removed = folder / f".shards.{os.getpid()}.partial"
    (folder / "shards").rename(removed)
    for remains in folder.glob(".shards.*.partial"):
        shutil.rmtree(remains, ignore_errors=True)


def read_predictions(path: Path) -> list[Record]:
    """Return the records of a predictions file, in its order; may be `.gz`.

    Raises:
        InputError: a line is no record with `id` (whole number or text), `context` and `text`, or
            an id is there twice; the message names file and line.
    """
    line_of: dict[RecordId, int] = {}
    records = []
    for number, content in read_json_lines(path):
        where = f"{path}:{number}"
        if not isinstance(content, dict):
            raise InputError(f"{where}: expected an object with id, context and text")
        for key, kinds in (("id", (int, str)), ("context", (str,)), ("text", (str,))):
            if type(content.get(key)) not in kinds:
                raise InputError(f"{where}: {key} is missing or of a wrong type in this prediction")
        first = line_of.setdefault(content["id"], number)
        if first != number:
            raise InputError(f"{where}: id {content['id']!r} is there twice, first on line {first}")
        records.append(content)
    return records


def _records(folder: Path) -> dict[RecordId, Record]:
    """Return the records of all shards by id; one that was written twice is taken once.

    Scores of two batches may differ in their last bits; texts and tokens of one model do not.

    Raises:
        InputError: two records of one id have other tokens or texts; the message names the shards.
    """
    records: dict[RecordId, Record] = {}
    shard_of: dict[RecordId, Path] = {}
    doubled = 0
    for path in _shards(folder):
        for record in (content for number, content in _whole_lines(path) if number > 1):
            first = records.setdefault(record["id"], record)
            doubled += first is not record
            if any(first.get(key) != record.get(key) for key in SAME_FOR_ONE_ID):
                raise InputError(
                    f"{path}: the prediction of id {record['id']!r} is another one than in "
                    f"{shard_of[record['id']]}; both files stay as they are: remove one of them, "
                    "or start again with overwrite=true"
                )
            shard_of.setdefault(record["id"], path)
    if doubled:
        log.info("merged        %d predictions that were written twice, alike", doubled)
    return records


def _shards(folder: Path) -> list[Path]:
    return sorted((folder / "shards").glob("rank_*.jsonl"))


def _whole_lines(path: Path) -> Iterator[tuple[int, Record]]:
    """Yield (line number, content) of a shard, without a line that a kill left unfinished.

    Raises:
        InputError: a line is damaged, or none that `ShardWriter` writes; the message names it.
    """
    checked = False
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        place, mend = f"{path}:{number}", "remove the line, to decode its context again"
        try:
            content = parse_json_line(line, place)
        except InputError as error:
            raise InputError(f"{error}; {mend}") from None
        expected = "settings" if number == 1 else "id"
        if not isinstance(content, dict) or type(content.get(expected)) not in (int, str):
            raise InputError(f"{place}: no record of a prediction; {mend}")
        checked = checked or KEY in content  # a shard of an earlier version begins without
        record = without_checksum(content)
        if record is None or (checked and KEY not in content):
            raise InputError(f"{place}: damaged, it does not fit its checksum; {mend}")
        yield number, record
