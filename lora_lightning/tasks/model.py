"""The model of a config: base, method, adapter."""

import logging
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from transformers import GPT2LMHeadModel

from lora_lightning.config.build import build
from lora_lightning.data.tokenizer import Tokenizer, load_tokenizer
from lora_lightning.gpt2.hub import base_folder
from lora_lightning.gpt2.load import check_vocabulary, load_base
from lora_lightning.methods.adapter_files import is_whole_model, load_adapter
from lora_lightning.runs.folder import RunFolder

log = logging.getLogger(__name__)


def tokenizer_of(config: DictConfig) -> Tokenizer:
    """Load the tokenizer of a config; a hub name is found or fetched as the base itself is.

    Raises:
        InputError: there is none.
    """
    path = config.model.tokenizer
    key = "model.path" if path == config.model.path else "model.tokenizer"
    return load_tokenizer(base_folder(path, key))


def load_model(
    config: DictConfig, tokenizer: Tokenizer, adapters: list[Path]
) -> tuple[GPT2LMHeadModel, Any]:
    """Load the base, apply the method, and load adapters over it one after another.

    Args:
        config: has `model` and `method`.
        tokenizer: its ids must fit the base.
        adapters: files or folders; none leaves the method at its initialisation.

    Returns:
        The model and the method.

    Raises:
        InputError: a file is missing or does not fit.
    """
    model = load_base(config.model.path, config.model.dtype)
    check_vocabulary(model, tokenizer.vocab_size)
    method = build(config.method)
    method.apply(model)
    for path in adapters:
        log.info("%s: %s", path, load_adapter(model, method, path))
    return model, method


def adapters_of_run(run: RunFolder, checkpoint: str) -> list[Path]:
    """Return what must be loaded for a run's model, in order.

    A run that started from a whole model has its base in that file, not in `model.path`.

    Raises:
        InputError: the run wrote no such adapter.
    """
    start = run.config.adapter
    bases = [run.started_in / start] if start and is_whole_model(run.started_in / start) else []
    return [*bases, run.adapter(checkpoint)]
