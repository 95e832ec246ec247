"""Named tensors in safetensors and `.pt` files: reading, matching against a model, writing."""

import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lora_lightning.errors import InputError, first_line


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file, on the CPU: safetensors by its suffix, else torch's format.

    A torch file is unpickled with `weights_only`, so it cannot run code. It holds the tensors by
    name, at the top or, as the reference writes them, in `model_state_dict`.

    Raises:
        InputError: the file is missing, corrupt, or holds anything else.
    """
    if path.suffix == ".safetensors":
        with _naming(path):
            return load_file(path)
    with _naming(path):
        content = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(content, Mapping):
        content = content.get("model_state_dict", content)
    if not _is_named_tensors(content):
        raise InputError(
            f"{path}: holds no tensors by name, at the top or in 'model_state_dict'; "
            "give an adapter or a model"
        )
    return dict(content)


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file that transformers and PEFT know as PyTorch's.

    Equal tensors make equal bytes. (With a second entry of metadata they would not: safetensors
    writes the entries in a random order.)
    """
    path.touch()
    mode = path.stat().st_mode
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(on_cpu, path, {"format": "pt"})
    # safetensors makes the file readable by its owner only, whatever the umask says.
    path.chmod(mode)


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
        if not tensor.is_floating_point():
            raise InputError(f"{path}: tensor {name} holds {tensor.dtype}, not real numbers")
        if tensor.shape != target[name].shape:
            raise InputError(
                f"{path}: tensor {name} has shape {tuple(tensor.shape)}, the model's has "
                f"{tuple(target[name].shape)}; choose the base (model.path) and the method.targets "
                "that the file is for"
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
