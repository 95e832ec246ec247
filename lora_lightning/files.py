"""Reading and writing files safely."""

import codecs
import ctypes
import errno
import gzip
import json
import os
import re
import shutil
import sys
import unicodedata
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TextIO, TypeVar

from lora_lightning.errors import DISK_FAULTS, InputError

PROBE_BYTES = 1 << 20
WANDBS_LOG = "debug-core.log"
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of Linux: relative to this folder; both names at once
BYTE_ORDER_MARK = "\ufeff"

Kind = TypeVar("Kind")


@contextmanager
def atomic_path(path: Path, lasting: bool = False) -> Iterator[Path]:
    """Yield a temporary sibling of `path` that takes its name when the block ends well.

    A reader never sees half a file, and a failed block leaves the old file as it was.

    Args:
        path: the file.
        lasting: whether that is to hold where the machine loses its power, too; waits for the disk.

    Raises:
        OSError: of the disk, with the path's name, also where the library that writes in the block
            says it in its own way.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield temporary
        if lasting:
            flush_to_disk(temporary)
        temporary.replace(path)
        if lasting:
            flush_to_disk(path.parent)
    except Exception as error:
        _raise_named(error, temporary, path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def require_folder(folder: Path) -> None:
    """Check that a folder that was made is still there; to make it again would hide a removal.

    Raises:
        FileNotFoundError: it was removed meanwhile.
    """
    if not folder.is_dir():
        raise FileNotFoundError(errno.ENOENT, "the folder was removed meanwhile", str(folder))


def flush_to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, would survive a loss of power."""
    if path.is_dir() and os.name == "nt":  # which opens no folders
        return
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _raise_named(error: Exception, temporary: Path, path: Path) -> None:
    """Raise what an error says of the file system as an OSError of `path`; return otherwise."""
    number = None
    if isinstance(error, OSError):
        is_ours = str(error.filename).startswith(str(temporary))
        is_unnamed = error.filename is None and error.errno in DISK_FAULTS
        number = error.errno if is_ours or is_unnamed else None
    elif match := re.search(r"os error (\d+)", str(error)):  # as safetensors says it
        number = int(match[1])
    elif temporary.is_file():
        number = _refusal(temporary)
    if number is not None:
        raise OSError(number, os.strerror(number), str(path)) from None


def _refusal(path: Path) -> int | None:
    """Return why the system lets nobody write behind a file, as its number of the error.

    So it is asked what torch, which writes files by itself, does not pass on.
    """
    try:
        with path.open("ab") as file:
            file.write(bytes(PROBE_BYTES))
    except OSError as error:
        return error.errno
    return None


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary sibling that takes the name of `folder` when the block ends well.

    Where `folder` exists, the files of the block take the place of their namesakes, and everything
    else in it stays. On Linux they do so all at once, elsewhere one at a time in the order of their
    names. All that holds where the machine loses its power, too.
    """
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(temporary, ignore_errors=True)  # of a killed process that had this one's id
    temporary.mkdir(parents=True)
    try:
        yield temporary
        files = sorted(temporary.iterdir())
        for file in files:
            flush_to_disk(file)
        if not folder.exists():
            temporary.rename(folder)
        elif not _exchange(temporary, folder):
            for file in files:
                file.replace(folder / file.name)
            flush_to_disk(folder)
        flush_to_disk(folder.parent)
    except Exception as error:
        _raise_named(error, temporary, folder)
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _exchange(new: Path, old: Path) -> bool:
    """Let `new` and `old` exchange their names in one step, with what else `old` holds in both.

    Returns:
        Whether the system, and the file system, has such a step; else the names stay.
    """
    exchange = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    if exchange is None:
        return False
    written = {file.name for file in new.iterdir()}
    further = [path for path in old.iterdir() if path.name not in written]
    for path in further:
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, new / path.name, symlinks=True, copy_function=link_or_copy)
        else:
            link_or_copy(path, new / path.name)
    flush_to_disk(new)
    return bool(
        exchange(AT_FDCWD, os.fsencode(new), AT_FDCWD, os.fsencode(old), RENAME_EXCHANGE) == 0
    )


def link_or_copy(source: Path | str, target: Path | str) -> None:
    """Give a file a second name; it takes further space only where there are no hard links."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copyfile(source, target, follow_symlinks=False)


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed process left half written directly in a folder that no other writes."""
    for remains in folder.glob(".*.partial"):
        if remains.is_dir():
            shutil.rmtree(remains)
        else:
            remains.unlink()


def size_on_disk(path: Path) -> int:
    """Return the size in bytes of a file, once it is flushed; 0 where there is none."""
    if not path.is_file():
        return 0
    flush_to_disk(path)
    return path.stat().st_size


def folder_size(folder: Path) -> int:
    """Return how many bytes the files of a folder have; 0 where there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def near_path(path: Path) -> str:
    """Return a path as short as it can be typed: relative to this folder where it lies below."""
    path = path.absolute()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


@contextmanager
def atomic_text(path: Path, lasting: bool = False) -> Iterator[TextIO]:
    """Yield a UTF-8 text file with LF line ends that appears as `path`, as `atomic_path` says."""
    with (
        atomic_path(path, lasting) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        yield file


def folder_name(text: str) -> str:
    """Return `text` with every run of what `may_be_in_name` does not know made one `-`."""
    kept = "".join(c if may_be_in_name(c) else " " for c in unicodedata.normalize("NFC", text))
    return "-".join(kept.split()).strip("-")


def may_be_in_name(character: str) -> bool:
    """Whether a folder's name can have a character: letters and digits of any script, `.` `_` `-`.

    Marks that letters are written with count as letters.
    """
    return character in "._-" or unicodedata.category(character)[0] in "LMN"


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

    W&B links its own log into the folder of every run of its, and never writes through the link.

    Args:
        folder: with everything below it.
        switch: what lets such links be, for the message.

    Raises:
        InputError: naming the link.
    """
    root = folder.resolve()
    for parent, folders, files in os.walk(root):
        for path in (Path(parent, name) for name in [*folders, *files]):
            is_wandbs = path.name == WANDBS_LOG and "wandb" in path.relative_to(root).parts
            leads_out = path.is_symlink() and not path.resolve().is_relative_to(root)
            if leads_out and not is_wandbs:
                raise InputError(
                    f"{path}: a link to {path.resolve()}, outside of this folder; remove it, or "
                    f"give {switch} if you trust who made it"
                )


def write_json(path: Path, content: Any, lasting: bool = False) -> None:
    """Write `content` as indented JSON, as `atomic_path` says."""
    with atomic_text(path, lasting) as file:
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
        InputError: as `read_bytes` and `decoded`.
    """
    return decoded(read_bytes(path), path)


def decoded(content: bytes, source: Path | str) -> str:
    """Return a text without its byte order mark, which is no part of it.

    Args:
        content: the bytes.
        source: the file's path, or what else they come from, for messages.

    Raises:
        InputError: it is UTF-16, or not UTF-8; the message names the line.
    """
    zeros = content.count(0)
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or 4 * zeros > len(content):
        raise InputError(f"{source}: UTF-16 or UTF-32, not UTF-8; save the file as UTF-8")
    try:
        return content.decode("utf-8").removeprefix(BYTE_ORDER_MARK)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{source}:{line}: not UTF-8 ({error.reason}); convert the file") from None


def has_byte_order_mark(path: Path) -> bool:
    """Whether a file, unpacked where its name ends in `.gz`, begins with UTF-8's mark."""
    return read_bytes(path).startswith(codecs.BOM_UTF8)


def read_lines(path: Path) -> list[str]:
    """Return the lines of a UTF-8 file, as `lines_of`.

    Raises:
        InputError: as `read_text` and `lines_of`.
    """
    return lines_of(read_text(path), path)


def lines_of(text: str, source: Path | str) -> list[str]:
    """Return the lines of a text, divided at LF alone; one LF at the end closes the last.

    Args:
        text: of any length.
        source: where it comes from, for messages.

    Raises:
        InputError: its lines end in CR alone, as nothing that we read has them.
    """
    if "\n" not in text and "\r" in text.rstrip("\r"):
        raise InputError(f"{source}: its lines end in CR alone; save the file with LF or CR LF")
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def read_json(path: Path) -> Any:
    """Return the JSON value of a UTF-8 file, unpacked where its name ends in `.gz`.

    Raises:
        InputError: as `read_text`, or the file is no JSON; the message names the line.
    """
    return parse_json(read_text(path), path)


def parse_json(text: str, path: Path) -> Any:
    """Return the JSON value that a whole file holds.

    Args:
        text: of the file.
        path: where it was read, for messages.

    Raises:
        InputError: it is no JSON; the message names the line.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise InputError(f"{path}{line}: {_no_json(error)}") from None


def require_kind(content: Any, kind: type[Kind], place: Path | str, mend: str) -> Kind:
    """Return values as JSON has them as what they must be, such as a dataclass.

    Args:
        content: what was read; nothing is converted: a text is no number.
        kind: what it must be; keys that a dataclass does not name are left out.
        place: where it stands, for messages.
        mend: what to do otherwise, for messages.

    Raises:
        InputError: it is not; the message names the place and the key.
    """
    from pydantic import ValidationError

    try:
        adapter = _adapter(kind)  # type: ignore[arg-type]  # of a type variable nothing is known
        checked: Kind = adapter.validate_json(json.dumps(content), strict=True)
        return checked
    except ValidationError as error:
        first = error.errors()[0]
        key = "".join(f"{part}: " for part in [".".join(map(str, first["loc"]))] if part)
        raise InputError(f"{place}: {key}{first['msg'].lower()}; {mend}") from None


@lru_cache
def _adapter(kind: Any) -> Any:
    """Return what checks values of a kind; to make it takes longer than most checks."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


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
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: {_no_json(error)}: {line[:80]!r}") from None


def _no_json(error: Exception) -> str:
    """Return what kept a text from being read as JSON."""
    if isinstance(error, json.JSONDecodeError):
        return f"no JSON ({error.msg})"
    if isinstance(error, RecursionError):
        return "JSON nested too deeply"
    return "not UTF-8" if isinstance(error, UnicodeError) else "a number of too many digits"
