"""What decodes: a model with its adapters merged, its tokenizer, the search settings."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, NamedTuple

from omegaconf import DictConfig, OmegaConf

from lora_lightning.config.build import build
from lora_lightning.data.encoding import Context, make_query
from lora_lightning.data.tokenizer import Tokenizer
from lora_lightning.decoding.seat import DECODING_SEAT
from lora_lightning.decoding.settings import BeamSettings, DrawingSettings, Sampling, SearchSettings
from lora_lightning.errors import InputError
from lora_lightning.gpt2.packing import Packing
from lora_lightning.methods.adapter_files import locate_adapter
from lora_lightning.methods.inject import merge_adapters
from lora_lightning.runs.folder import RunFolder
from lora_lightning.tasks.model import adapters_of_run, load_bare_base, load_model, tokenizer_of

log = logging.getLogger(__name__)


class Decoder(NamedTuple):
    """A model ready to decode, adapters merged, with its tokenizer and search settings.

    `described` is what a manifest says of it: everything of the config that decides predictions.
    """

    model: Any
    tokenizer: Tokenizer
    settings: BeamSettings
    batch_size: int | Literal["auto"]
    max_memory: int | None
    packing: Packing
    token_log_probabilities: bool
    longest_query: int
    on_long_context: str
    adapter_checksums: dict[str, str]
    described: dict[str, Any]


def chosen_adapters(config: DictConfig) -> list[Path] | None:
    """Return the adapters to load in order; None where the bare base is to be decoded."""
    if config.adapter is not None:
        return [locate_adapter(config.adapter)]
    if config.run is not None:
        return adapters_of_run(RunFolder.open(config.run), config.checkpoint)
    log.info("neither run= nor adapter= is given: decoding the bare base %s", config.model.path)
    return None


def load_decoder(config: DictConfig, adapters: list[Path] | None) -> Decoder:
    """Load model, tokenizer and search settings.

    Raises:
        InputError: a file is missing or does not fit, or a setting does not fit the model.
    """
    tokenizer = tokenizer_of(config.model)
    if adapters is None:
        model = load_bare_base(config.model, tokenizer)
    else:
        model = load_model(config.model, build(config.method), tokenizer, adapters)
        if DECODING_SEAT.get() is None:  # which shares the base with others
            merge_adapters(model)
    return decoder_of(config, model, tokenizer, adapters or [])


def decoder_of(
    config: DictConfig, model: Any, tokenizer: Tokenizer, adapters: Sequence[Path] = ()
) -> Decoder:
    """Return what decodes with a model, its adapters merged, as the config's `generation` says.

    Args:
        config: of the command.
        model: transformers' GPT-2.
        tokenizer: its own.
        adapters: the files that it was made of, for the manifest.

    Raises:
        InputError: a setting does not fit the model.
    """
    positions = min(config.data.max_length, model.config.n_positions)
    settings = beam_settings(config, tokenizer, model.config.vocab_size)
    longest = positions - settings.max_new_tokens
    if longest < 1:
        raise InputError(
            f"generation.max_new_tokens={settings.max_new_tokens} leaves no room for a context in "
            f"{positions} tokens (the smaller of data.max_length and the model's positions)"
        )
    generation = config.generation
    return Decoder(
        model,
        tokenizer,
        settings,
        generation.batch_size,
        generation.max_memory,
        config.model.get("packed", "auto"),  # a run may be older than the key
        generation.token_log_probabilities,
        longest,
        generation.on_long_context,
        _checksums(adapters),
        {
            "generation": OmegaConf.to_container(generation),
            "seed": config.seed if settings.sampling else None,
            "model": OmegaConf.to_container(config.model, resolve=True),
        },
    )


def beam_settings(config: DictConfig, tokenizer: Tokenizer, vocabulary: int) -> BeamSettings:
    """Return the search settings of the config, the tokenizer's end tokens filled in.

    Raises:
        InputError: more beams than tokens.
    """
    keys: dict[str, Any] = OmegaConf.to_container(config.generation)  # type: ignore[assignment]
    drawing = {
        field.name: keys[field.name] for field in fields(DrawingSettings) if field.name in keys
    }
    if config.generation.num_beams > vocabulary:
        raise InputError(
            f"generation.num_beams={config.generation.num_beams}: the vocabulary has {vocabulary} "
            "tokens"
        )
    return BeamSettings(
        **{field.name: keys[field.name] for field in fields(SearchSettings)},
        end_token_ids=tuple(config.generation.eos_token_ids or tokenizer.end_token_ids),
        sampling=Sampling(**drawing, seed=config.seed) if drawing else None,
    )


def make_queries(contexts: list[Context], decoder: Decoder) -> tuple[list[list[int]], int]:
    """Return each context's query, cut from the left where it is too long, and how many were.

    Raises:
        InputError: a context is too long and `on_long_context` is `error`.
    """
    limit = decoder.longest_query
    long = [context for context in contexts if len(context.query_ids) > limit]
    if long and decoder.on_long_context == "error":
        raise InputError(
            f"context {long[0].id} has {len(long[0].query_ids)} tokens, {limit} fit beside "
            "generation.max_new_tokens; generation.on_long_context=cut cuts it from the left"
        )
    total = limit + decoder.settings.max_new_tokens
    queries = [
        make_query(context.query_ids, total, decoder.settings.max_new_tokens)
        for context in contexts
    ]
    return queries, len(long)


def _checksums(adapters: Sequence[Path]) -> dict[str, str]:
    """Return the SHA-256 of each weight file of the adapters."""
    files: list[Path] = []
    for path in adapters:
        names = ("*.safetensors", "adapter_model.bin")
        files += [file for name in names for file in sorted(path.glob(name))] or [path]
    checksums = {}
    for path in files:
        with path.open("rb") as file:
            checksums[str(path)] = hashlib.file_digest(file, "sha256").hexdigest()
    return checksums
