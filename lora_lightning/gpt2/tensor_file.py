"""Named tensors in safetensors and `.pt` files: reading, matching against a model, writing.

A safetensors file that we write has a checksum of its tensors among its metadata, so that the two
cannot be separated; one from elsewhere has none, and is taken as it is.
"""

import hashlib
import json
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lora_lightning.checksum import require_intact
from lora_lightning.errors import InputError, first_line

CHECKSUM = "sha256"


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file, on the CPU: safetensors by its suffix, else torch's format.

    A torch file is unpickled with `weights_only`, so it cannot run code. It holds the tensors by
    name, at the top or, as the reference writes them, in `model_state_dict`.

    Raises:
        InputError: the file is missing, corrupt, or holds anything else.
    """
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    with _naming(path):
        require_intact(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(content, Mapping):
        content = content.get("model_state_dict", content)
    if not _is_named_tensors(content):
        raise InputError(
            f"{path}: holds no tensors by name, at the top or in 'model_state_dict'; "
            "give an adapter or a model"
        )
    return dict(content)


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write a safetensors file that transformers and PEFT know as PyTorch's.

    Equal tensors make equal bytes.

    Returns:
        The checksum that the file has of its tensors.
    """
    path.touch()
    mode = path.stat().st_mode
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {"format": "pt", CHECKSUM: checksum(on_cpu)}
    save_file(on_cpu, path, metadata)
    _order_metadata(path, metadata)
    # safetensors makes the file readable by its owner only, whatever the umask says.
    path.chmod(mode)
    return metadata[CHECKSUM]


def stored_checksum(path: Path) -> str | None:
    """Return the checksum that a safetensors file has of its tensors; None in one from elsewhere.

    Raises:
        InputError: it is no safetensors file.
    """
    with _naming(path), safe_open(path, framework="pt") as file:
        return (file.metadata() or {}).get(CHECKSUM)


def checksum(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of names, dtypes, shapes and values of tensors on the CPU."""
    whole = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        whole.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        whole.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return whole.hexdigest()


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    with _naming(path), safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        expected = (file.metadata() or {}).get(CHECKSUM)
    if expected is not None and checksum(tensors) != expected:
        raise InputError(
            f"{path}: damaged, its tensors do not fit their checksum; copy or write it again"
        )
    return tensors


def _order_metadata(path: Path, metadata: dict[str, str]) -> None:
    """Write the entries of a file's metadata in the given order; safetensors has a random one."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        ordered = json.dumps(
            header | {"__metadata__": metadata}, ensure_ascii=False, separators=(",", ":")
        )
        content = ordered.encode().ljust(size)
        assert len(content) == size
        file.seek(8)
        file.write(content)


@torch.no_grad()
def copy_tensors(target: Mapping[str, Tensor], source: Mapping[str, Tensor]) -> None:
    """Copy every tensor of `source` into its namesake in `target`, cast to that one's dtype."""
    for name, tensor in source.items():
        target[name].copy_(tensor)


def require_same_tensors(
    target: Mapping[str, Tensor], source: Mapping[str, Tensor], path: Path
) -> None:
    """Check that `source`, read from `path`, has the names and shapes of `target`, and no others.

    Raises:
        InputError: a tensor is missing, unexpected or of another shape; the message names it.
    """
    missing = [name for name in target if name not in source]
    if missing:
        raise InputError(
            f"{path}: tensor {missing[0]} is missing{_more(missing)}; the model with this method "
            "needs it"
        )
    unexpected = [name for name in source if name not in target]
    if unexpected:
        raise InputError(
            f"{path}: tensor {unexpected[0]} is unexpected{_more(unexpected)}; the model with this "
            "method has no such place"
        )
    for name, tensor in source.items():
        if target[name].is_floating_point() and not tensor.is_floating_point():
            raise InputError(f"{path}: tensor {name} holds {tensor.dtype}, not real numbers")
        if tensor.shape != target[name].shape:
            raise InputError(
                f"{path}: tensor {name} has shape {tuple(tensor.shape)}, the model's has "
                f"{tuple(target[name].shape)}; choose the base (model.path) and the method.targets "
                "that the file is for"
            )


def require_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Check that what was read from `path` holds numbers alone.

    Raises:
        InputError: naming the first tensor that holds NaN or an infinity.
    """
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise InputError(
                f"{path}: tensor {name} holds NaN or infinity; take a checkpoint from before its "
                "training failed"
            )


def _is_named_tensors(content: object) -> bool:
    return (
        isinstance(content, Mapping)
        and len(content) > 0
        and all(isinstance(name, str) for name in content)
        and all(isinstance(value, Tensor) for value in content.values())
    )


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn what goes wrong while the file at `path` is read into an `InputError` that names it."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except SafetensorError as error:
        raise InputError(f"{path}: corrupt or truncated safetensors ({error})") from None
    except pickle.UnpicklingError:
        raise InputError(
            f"{path}: is corrupt or not weights-only (loading it might run code), so it is not "
            "loaded; give a file that holds tensors alone"
        ) from None
    except (RuntimeError, OSError, EOFError, ValueError, LookupError) as error:
        reason = first_line(error).partition(". ")[0]
        raise InputError(f"{path}: corrupt or truncated ({reason})") from None
