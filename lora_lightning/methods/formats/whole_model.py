"""A whole model as a Hugging Face folder: config.json and model.safetensors."""

import copy
from pathlib import Path

from transformers import PreTrainedModel

from lora_lightning.errors import InputError
from lora_lightning.files import read_json_object
from lora_lightning.gpt2.tensor_file import write_tensors
from lora_lightning.methods.base import base_tensors, config_shape, require_same_shape
from lora_lightning.methods.formats.weights import Weights, read_weights

CONFIG = "config.json"
TENSORS = "model.safetensors"


def is_model_folder(path: Path) -> bool:
    """Whether a folder holds a whole model."""
    return (path / CONFIG).is_file() and (path / TENSORS).is_file()


def write_model(folder: Path, model: PreTrainedModel) -> None:
    """Write the base weights of `model`, with what is merged into them, into an existing folder.

    transformers loads it as a model without adapters. Tied weights are written once.
    """
    tensors = base_tensors(model)
    config = copy.deepcopy(model.config)
    config.architectures = [type(model).__name__]
    config.dtype = next(iter(tensors.values())).dtype
    config.save_pretrained(folder)
    if model.generation_config is not None:
        model.generation_config.save_pretrained(folder)
    write_tensors(folder / TENSORS, tensors)


def read_model(folder: Path, model: PreTrainedModel) -> Weights:
    """Read such a folder for `model`.

    Raises:
        InputError: a file cannot be read, or the folder's model has another shape.
    """
    settings = read_json_object(folder / CONFIG)
    try:
        config = type(model.config).from_dict(settings)
    except Exception as error:  # each version of transformers has other classes for it
        raise InputError(f"{folder / CONFIG}: describes no model ({error})") from None
    require_same_shape(config_shape(model.config), config_shape(config), folder)
    return read_weights(folder / TENSORS, model)
