"""Reading and writing files safely."""

import gzip
import json
import os
import re
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from lora_lightning.errors import InputError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path` that takes its name when the block ends well.

    A reader never sees half a file, and a failed block leaves the old file as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary sibling that takes the name of `folder` when the block ends well.

    Where `folder` exists, the files of the block take the place of their namesakes, one at a time
    in the order of their names, and everything else in it stays.
    """
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if folder.exists():
            for file in sorted(temporary.iterdir()):
                file.replace(folder / file.name)
        else:
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def atomic_text(path: Path) -> Iterator[TextIO]:
    """Yield a UTF-8 text file with LF line ends that appears as `path` when the block ends well."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        yield file


def folder_name(text: str) -> str:
    """Return `text` with every run of characters other than `A-Za-z0-9._-` made one `-`."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-")


def require_within(path: Path, root: Path, what: str) -> None:
    """Require that a path, its links followed, lies below a folder.

    Args:
        path: may be there or not.
        root: the folder.
        what: names the path in the message.

    Raises:
        InputError: it does not.
    """
    resolved, within = path.resolve(), root.resolve()
    if resolved == within or not resolved.is_relative_to(within):
        raise InputError(f"{what}: leads to {resolved}, which is not below {within}; remove it")


def require_links_within(folder: Path, switch: str) -> None:
    """Require that no link in a folder leads out of it: what is written to it would land there.

    Args:
        folder: with everything below it.
        switch: what lets such links be, for the message.

    Raises:
        InputError: naming the link.
    """
    root = folder.resolve()
    for parent, folders, files in os.walk(root):
        for path in (Path(parent, name) for name in [*folders, *files]):
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                raise InputError(
                    f"{path}: a link to {path.resolve()}, outside of this folder; remove it, or "
                    f"give {switch} if you trust who made it"
                )


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically."""
    with atomic_text(path) as file:
        json.dump(content, file, indent=2, ensure_ascii=False)
        file.write("\n")


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file, unpacked where its name ends in `.gz`.

    Raises:
        InputError: the file is missing, is a folder, or is no gzip file.
    """
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file, unpacked where its name ends in `.gz`; LF is kept as it is.

    Raises:
        InputError: as `read_bytes`, or the file is not UTF-8; the message names the line.
    """
    content = read_bytes(path)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}:{line}: not UTF-8 ({error.reason}); convert the file") from None


def read_lines(path: Path) -> list[str]:
    """Return the lines of a UTF-8 file, divided at LF alone; one LF at the end closes the last.

    Raises:
        InputError: as `read_text`.
    """
    lines = read_text(path).split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def read_json(path: Path) -> Any:
    """Return the JSON value of a UTF-8 file, unpacked where its name ends in `.gz`.

    Raises:
        InputError: as `read_text`, or the file is no JSON; the message names the line.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: no JSON ({error.msg})") from None


def read_json_object(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        InputError: as `read_json`, or the file holds another kind of value.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no JSON object")
    return content


def read_json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield (line number from 1, value) of a file with one JSON value a line.

    Raises:
        InputError: as `read_text`, or a line is no JSON; the message names the line.
    """
    for number, line in enumerate(read_lines(path), start=1):
        yield number, parse_json_line(line, f"{path}:{number}")


def parse_json_line(line: str | bytes, place: str) -> Any:
    """Return the JSON value that a line holds.

    Args:
        line: the text, or its UTF-8 bytes.
        place: where it stands, for messages.

    Raises:
        InputError: it is no JSON; the message begins with `place`.
    """
    try:
        return json.loads(line)
    except ValueError as error:  # no JSON, or bytes that are no text
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "not UTF-8"
        raise InputError(f"{place}: no JSON ({reason}): {line[:80]!r}") from None
