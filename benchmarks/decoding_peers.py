"""Who is compared: our engine, transformers, CTranslate2, and the reference's own loop."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

from lora_lightning.decoding.runner import decode_contexts
from lora_lightning.decoding.settings import BeamSettings
from lora_lightning.gpt2.packing import Packing

Queries = list[list[int]]
Peer = Callable[[Queries, BeamSettings], int]
"""Decodes queries and returns how many tokens the best texts have."""


def our_engine(model: GPT2LMHeadModel, packing: Packing = "auto") -> Peer:
    """Return our engine; its laying out of weights, which happens once, is part of a call."""

    def decode(queries: Queries, settings: BeamSettings) -> int:
        results = decode_contexts(model, queries, settings, packing=packing)
        return sum(found[0].length for _, found in results)

    return decode


def transformers_generate(model: GPT2LMHeadModel, batch_size: int) -> Peer:
    """Return transformers' beam search, which pads on the left; sorted by length to pad little."""

    @torch.inference_mode()
    def decode(queries: Queries, settings: BeamSettings) -> int:
        ordered = sorted(queries, key=len)
        tokens = 0
        for begin in range(0, len(ordered), batch_size):
            batch = ordered[begin : begin + batch_size]
            longest = len(batch[-1])
            device = model.device
            rows = [[0] * (longest - len(query)) + query for query in batch]
            marks = [[0] * (longest - len(query)) + [1] * len(query) for query in batch]
            padded, mask = torch.tensor(rows, device=device), torch.tensor(marks, device=device)
            output = model.generate(
                padded,
                attention_mask=mask,
                do_sample=False,
                num_beams=settings.num_beams,
                max_new_tokens=settings.max_new_tokens,
                min_new_tokens=settings.min_new_tokens,
                length_penalty=settings.length_penalty,
                eos_token_id=list(settings.end_token_ids),
                pad_token_id=settings.end_token_ids[0],
            )
            tokens += output[:, longest:].numel()
        return tokens

    return decode


def ctranslate2_folder(model: GPT2LMHeadModel, folder: Path) -> Path:
    """Convert a model for CTranslate2, with a vocabulary of made-up words; return its folder."""
    import ctranslate2

    vocabulary = model.config.vocab_size
    source, converted = folder / "source", folder / "converted"
    model.save_pretrained(source)
    words = {f"t{token}": token for token in range(vocabulary)}
    content = {"version": "1.0", "added_tokens": []}
    content |= {"model": {"type": "WordLevel", "vocab": words, "unk_token": "t0"}}
    (source / "words.json").write_text(json.dumps(content))
    end = f"t{vocabulary - 1}"
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(source / "words.json"), bos_token=end, eos_token=end, unk_token=end
    )
    tokenizer.save_pretrained(source)
    ctranslate2.converters.TransformersConverter(str(source)).convert(str(converted))
    return converted


def ctranslate2_generate(converted: Path, kind: str, batch_size: int) -> Peer:
    """Return CTranslate2's beam search.

    Args:
        converted: folder of the converted model.
        kind: CTranslate2's compute type, for example `float32` or `int8`.
        batch_size: queries at once.
    """
    import ctranslate2

    threads = torch.get_num_threads()
    generator = ctranslate2.Generator(str(converted), compute_type=kind, intra_threads=threads)

    def decode(queries: Queries, settings: BeamSettings) -> int:
        results = generator.generate_batch(
            [[f"t{token}" for token in query] for query in queries],
            max_batch_size=batch_size,
            beam_size=settings.num_beams,
            length_penalty=settings.length_penalty,
            max_length=settings.max_new_tokens,
            min_length=settings.min_new_tokens,
            include_prompt_in_result=False,
        )
        return sum(len(result.sequences_ids[0]) for result in results)

    return decode


def reference_loop(model: GPT2LMHeadModel) -> Peer:
    """Return the loop that the reference runs: a row at a time, every step to the limit.

    The prompt is run with one row and its keys and values are then repeated for each beam; at each
    step the whole cache is copied into the new order; n-grams are looked for beam by beam in
    Python. Written from its description, with transformers' model and cache.
    """

    @torch.inference_mode()
    def decode(queries: Queries, settings: BeamSettings) -> int:
        return sum(_reference_query(model, query, settings) for query in queries)

    return decode


def _reference_query(model: GPT2LMHeadModel, query: list[int], settings: BeamSettings) -> int:
    beams = settings.num_beams
    output = model(torch.tensor([query]), use_cache=True, logits_to_keep=1)
    cache = output.past_key_values
    cache.batch_repeat_interleave(beams)
    logits = output.logits[:, -1]  # (1, vocab)
    scores = torch.zeros(1)
    texts: list[list[int]] = [[] for _ in range(beams)]
    best, best_score = [], -torch.inf
    for step in range(settings.max_new_tokens):
        for row, text in enumerate(texts[: len(logits)]):
            _ban(logits[row], text, settings, step)
        sums = (scores.unsqueeze(1) + logits.log_softmax(-1)).flatten()
        scores, places = sums.topk(beams)
        parents = places // logits.shape[-1]
        newest = places % logits.shape[-1]
        texts = [
            [*texts[parent], token]
            for parent, token in zip(parents.tolist(), newest.tolist(), strict=True)
        ]
        for row, text in enumerate(texts):
            if text[-1] in settings.end_token_ids or step == settings.max_new_tokens - 1:
                score = float(scores[row]) / len(text) ** settings.length_penalty
                if score > best_score:
                    best, best_score = text, score
                if text[-1] in settings.end_token_ids:
                    scores[row] = -torch.inf
        if step < settings.max_new_tokens - 1:
            cache.reorder_cache(parents)
            logits = model(newest.unsqueeze(1), past_key_values=cache, use_cache=True).logits[:, -1]
    return len(best)


def _ban(logits: Tensor, text: list[int], settings: BeamSettings, step: int) -> None:
    if step < settings.min_new_tokens:
        logits[list(settings.end_token_ids)] = -torch.inf
    size = settings.no_repeat_ngram_size
    for begin in range(len(text) - size + 1) if size else ():
        if text[begin : begin + size - 1] == text[len(text) - size + 1 :]:
            logits[text[begin + size - 1]] = -torch.inf
