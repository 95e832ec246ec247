"""Raw files: found in a folder, or downloaded once and checked."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from lora_lightning.errors import InputError
from lora_lightning.files import atomic_path, read_bytes

SHA256_DIGITS = 64
LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class RawFile:
    """A file of the public data sets.

    Attributes:
        name: the reference's name.
        checksum: SHA-256 (64 hexadecimal digits) or git blob id (40) of its bytes.
    """

    name: str
    checksum: str


def find(folder: Path, name: str) -> Path | None:
    """Return the path of a raw file in a folder, as it is or with `.gz`, or None."""
    candidates = (folder / name, folder / f"{name}.gz")
    return next((path for path in candidates if path.is_file()), None)


def find_or_download(file: RawFile, folder: Path, source: str | None) -> Path:
    """Return the path of a raw file in `folder`, downloading it where it is not there.

    A file that is there is used as it is: neither checked nor overwritten.

    Args:
        file: what to find.
        folder: where it is, or is put.
        source: URL of the folder to download from; None never downloads.

    Raises:
        InputError: the file is not there and cannot be downloaded.
    """
    path = find(folder, file.name)
    if path is not None:
        return path
    if source is None:
        raise InputError(
            f"{folder / file.name}: no such file, nor with .gz;"
            f" put {file.name} there or set data.dir to its folder"
        )
    return download(file, folder, source)


def download(file: RawFile, folder: Path, source: str) -> Path:
    """Download a raw file into a folder; it appears there only when whole and checked.

    Raises:
        InputError: the source is not safe, the server cannot be reached or has no such file, the
            connection broke, or the bytes are others than expected.
    """
    require_safe(source)
    url = f"{source.rstrip('/')}/{file.name}"
    path = folder / file.name
    by_hand = f"place {file.name} in {folder}, or set data.dir to the folder that holds it"
    import torch.hub  # where something is downloaded, and nowhere else

    try:
        with atomic_path(path) as temporary:
            torch.hub.download_url_to_file(url, str(temporary), progress=True)
            content = temporary.read_bytes()
            found = checksum_like(file.checksum, content)
            if found != file.checksum:
                raise InputError(
                    f"{url}: broken or changed download ({len(content)} bytes with checksum"
                    f" {found}, expected {file.checksum}); try again, or {by_hand}"
                )
    except (OSError, HTTPException) as error:
        raise InputError(f"{url}: cannot be downloaded ({error}); {by_hand}") from error
    return path


def require_safe(source: str) -> None:
    """Require that a source is reached over https, unless it is on this machine.

    Raises:
        InputError: it is not.
    """
    url = urlsplit(source)
    is_safe = url.scheme == "https" or (url.scheme == "http" and url.hostname in LOCAL)
    if not is_safe or url.username is not None:
        raise InputError(f"data.source={source}: only https is downloaded from, without a password")


def checksum_like(expected: str, content: bytes) -> str:
    """Return the checksum of `content` of the kind of `expected`: SHA-256 or git blob id."""
    if len(expected) == SHA256_DIGITS:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def is_published(file: RawFile, path: Path) -> bool:
    """Whether `path`, plain or `.gz`, holds the bytes of the published file.

    Raises:
        InputError: it cannot be read.
    """
    return checksum_like(file.checksum, read_bytes(path)) == file.checksum


def content_sha256(*paths: Path) -> str:
    """Return the SHA-256 of a file's bytes, or of many files' one after another.

    What a name in `.gz` stands for is unpacked.

    Raises:
        InputError: a file cannot be read.
    """
    whole = hashlib.sha256()
    for path in paths:
        whole.update(read_bytes(path))
    return whole.hexdigest()


def name_beside(path: Path, others: Collection[Path]) -> str:
    """Return the file's name; with its folder where a file elsewhere has the same name."""
    same_name = {other for other in others if other.name == path.name}
    name = str(path) if len(same_name) > 1 else path.name
    return name.removesuffix(".gz")
