"""The model of a config: base, method, adapter."""

import logging
from pathlib import Path

from omegaconf import DictConfig
from transformers import GPT2LMHeadModel

from lora_lightning.data.tokenizer import Tokenizer, load_tokenizer
from lora_lightning.gpt2.hub import base_folder
from lora_lightning.gpt2.load import check_vocabulary, load_base
from lora_lightning.methods.adapter_files import is_whole_model, load_adapter, other_base
from lora_lightning.methods.method import Method
from lora_lightning.process import process_rank
from lora_lightning.runs.folder import RunFolder

log = logging.getLogger(__name__)


def tokenizer_of(model: DictConfig) -> Tokenizer:
    """Load the tokenizer of the group `model`; a hub name is found or fetched as the base is.

    Raises:
        InputError: there is none.
    """
    key = "model.path" if model.tokenizer == model.path else "model.tokenizer"
    return load_tokenizer(base_folder(model.tokenizer, key))


def load_bare_base(model: DictConfig, tokenizer: Tokenizer) -> GPT2LMHeadModel:
    """Load the base of the group `model`; the tokenizer's ids must fit it.

    Raises:
        InputError: a file is missing, or does not fit.
    """
    base = load_base(model.path, model.dtype)
    check_vocabulary(base, tokenizer.vocab_size)
    return base


def load_model(
    model: DictConfig, method: Method, tokenizer: Tokenizer, adapters: list[Path]
) -> GPT2LMHeadModel:
    """Load the base, apply the method, and load adapters over it one after another.

    Args:
        model: the group `model`.
        method: what is trained.
        tokenizer: its ids must fit the base.
        adapters: files or folders; none leaves the method at its initialisation.

    Raises:
        InputError: a file is missing or does not fit.
    """
    loaded = load_bare_base(model, tokenizer)
    method.apply(loaded)
    for path in adapters:
        if (named := other_base(path, model.path)) is not None and process_rank() == 0:
            log.warning("%s: names the base %s, but model.path=%s", path, named, model.path)
        log.info("%s: %s", path, load_adapter(loaded, method, path))
    return loaded


def adapters_of_run(run: RunFolder, checkpoint: str) -> list[Path]:
    """Return what must be loaded for a run's model, in order.

    A run that started from a whole model has its base in that file, not in `model.path`.

    Raises:
        InputError: the run wrote no such adapter.
    """
    start = run.resolved_config.adapter
    # An adapter that is gone, or on the hub, was no base: what it held is in the run's own.
    starts = [path for path in [run.started_in / start] if path.exists()] if start else []
    return [*filter(is_whole_model, starts), run.adapter(checkpoint)]
