"""Encoded data on disk, so that one job after another need not encode it again.

A file's name is a checksum of all that decides its content, so a file is never out of date; it is
mapped into memory, so jobs that run at once share it.
"""

import hashlib
import inspect
import json
import logging
from collections.abc import Callable
from pathlib import Path

import tokenizers
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lora_lightning import files, tables
from lora_lightning.data.encoded_rows import EncodedRows
from lora_lightning.data.tokenizer import Tokenizer
from lora_lightning.files import atomic_path

log = logging.getLogger(__name__)
CHECKSUM = "sha256"


def cached_rows(
    folder: Path | None, key: str, encode: Callable[[], EncodedRows], name: str
) -> EncodedRows:
    """Return rows from the cache, or encode them and put them there.

    A broken file is written anew, and where nothing can be written the rows are only returned;
    each with a line. Processes that write the same file at once write the same content, each under
    a name of its own, so the last one wins.

    Args:
        folder: of the cache; None: there is none.
        key: from `cache_key`.
        encode: makes the rows.
        name: of what is encoded, for the lines.

    Raises:
        InputError: from `encode`.
    """
    if folder is None:
        return encode()
    path = folder / f"{key}.safetensors"
    if path.is_file():
        try:
            return _read(path)
        except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
            log.warning("%s: broken (%s); encoding %s anew", path, error, name)
    rows = encode()
    try:
        _write(path, rows)
    except OSError as error:
        log.warning("%s: cannot be written (%s); data.cache_dir=null does without", path, error)
    return rows


def cache_key(raw_sha256: str, reader: type, tokenizer: Tokenizer, settings: object) -> str:
    """Return a checksum of all that decides how a raw file is encoded.

    The code that reads and encodes is part of it, so that no change of it needs a new version
    number that somebody may forget.

    Args:
        raw_sha256: of the raw file's content.
        reader: the data module's class.
        tokenizer: its own content counts, not its name.
        settings: further settings that decide the rows, as JSON can hold them.
    """
    sources = {
        *Path(__file__).parent.glob("*.py"),
        *Path(__file__).parent.glob("formats/*.py"),
        *(Path(inspect.getfile(part)) for part in (files, tables, reader)),
    }
    code = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(sources))).hexdigest()
    versions = [code, tokenizers.__version__]
    described = [versions, raw_sha256, reader.__qualname__, tokenizer.checksum, settings]
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()


def _read(path: Path) -> EncodedRows:
    with safe_open(path, framework="pt") as file:
        names = EncodedRows.join([]).tensors()
        tensors = {name: file.get_tensor(name) for name in names}
        expected = (file.metadata() or {}).get(CHECKSUM)
    if _checksum(tensors) != expected:
        raise ValueError("its content has another checksum than it says")
    return EncodedRows(**tensors)


def _write(path: Path, rows: EncodedRows) -> None:
    tensors = rows.tensors()
    with atomic_path(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode
        save_file(tensors, temporary, {CHECKSUM: _checksum(tensors)})
        temporary.chmod(mode)  # safetensors lets its owner alone read it, whatever the umask says


def _checksum(tensors: dict[str, Tensor]) -> str:
    whole = hashlib.sha256()
    for tensor in tensors.values():
        whole.update(tensor.numpy().data)
    return whole.hexdigest()
