"""Adapters in the formats of others: PEFT's, the reference's, a whole model's."""

from pathlib import Path

from transformers import PreTrainedModel

from lora_lightning.errors import InputError
from lora_lightning.files import atomic_folder
from lora_lightning.methods.adapter_files import save_adapter
from lora_lightning.methods.biases import Bias
from lora_lightning.methods.formats import loralib, whole_model
from lora_lightning.methods.formats.expressible import (
    beyond_loralib,
    beyond_peft,
    is_trained_as_a_whole,
)
from lora_lightning.methods.inject import adapters_merged, unmerged_tensors
from lora_lightning.methods.method import Method
from lora_lightning.methods.tuner_layer import WRAPPED


def export_peft(
    model: PreTrainedModel, method: Method, folder: Path | str, base: str | None = None
) -> None:
    """Write the adapter in PEFT's layout, a model that is trained as a whole as `save_adapter`.

    Raises:
        InputError: PEFT has no place for it.
    """
    if (reason := refused_by_peft(model, method)) is not None:
        raise InputError(f"{folder}: {reason}")
    save_adapter(model, method, folder, base)


def refused_by_peft(model: PreTrainedModel, method: Method) -> str | None:
    """Return why `export_peft` refuses what a method trains; None: it takes it.

    Args:
        model: made ready by `method`, trained or not.
        method: the method.
    """
    reason = beyond_peft(model, method)
    if reason is None or hasattr(model, WRAPPED) or is_trained_as_a_whole(model):
        return None
    return (
        f"format=peft has no place for {reason}; the run's own adapter folder has it, and "
        "format=merged where it can be merged"
    )


def export_loralib(model: PreTrainedModel, path: Path | str, bias: Bias = "none") -> None:
    """Write the adapter as the reference's `.pt`, atomically; the file does not say alpha.

    Args:
        model: its adapters may be merged or not.
        path: the file.
        bias: which biases were trained with it.

    Raises:
        InputError: the model has no adapter, or one that the format has no place for.
    """
    if (reason := beyond_loralib(model, bias)) is not None:
        raise InputError(f"{path}: {reason}")
    loralib.write_loralib(Path(path), model, bias)


def export_merged(model: PreTrainedModel, folder: Path | str) -> None:
    """Write a Hugging Face folder of the model with its adapters merged, atomically.

    Raises:
        InputError: the model has an adapter that cannot be merged.
    """
    with adapters_merged(model, merged=True), atomic_folder(Path(folder)) as temporary:
        if left := unmerged_tensors(model):
            raise InputError(
                f"{folder}: format=merged has no place for {left[0]}, which is in no weight of the "
                "base; this method decodes from the run's own adapter folder alone"
            )
        whole_model.write_model(temporary, model)
