"""The search as a library: any GPT-2 of transformers, lists of token ids in, hypotheses out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from lora_lightning.decoding.hypotheses import Hypothesis
from lora_lightning.decoding.runner import decode_contexts
from lora_lightning.decoding.settings import BeamSettings
from lora_lightning.errors import InputError
from lora_lightning.gpt2.packing import Packing

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel


def beam_search(
    model: "GPT2LMHeadModel",
    prompts: Sequence[Sequence[int]],
    *,
    num_beams: int,
    max_new_tokens: int,
    min_new_tokens: int = 0,
    length_penalty: float = 1.0,
    no_repeat_ngram_size: int = 0,
    no_repeat_ngram_scope: Literal["generated", "full"] = "generated",
    repetition_penalty: float = 1.0,
    num_return: int = 1,
    end_token_ids: Sequence[int] | None = None,
    batch_size: int | Literal["auto"] = "auto",
    packing: Packing = "auto",
) -> list[list[Hypothesis]]:
    """Search for the likeliest continuations of prompts.

    The texts of a prompt depend on nothing else in the call: neither on the other prompts, their
    order or their lengths, nor on the batch size. Scores may differ in their last bits.

    Args:
        model: on any device, in evaluation mode, adapters merged; it stays as it is.
        prompts: token ids, none empty, without padding.
        num_beams: K, the beams per prompt; 1 is greedy search.
        max_new_tokens: the limit; a beam that has not ended there enters as it is.
        min_new_tokens: no end token among the first so many tokens.
        length_penalty: p in score = sum of log p / length^p; the length counts the end token.
        no_repeat_ngram_size: no n-gram of this size occurs twice; 0 = off.
        no_repeat_ngram_scope: whose n-grams count: the generated tokens', or `full`, the prompt's
            too.
        repetition_penalty: lowers tokens that have been generated; 1 = off.
        num_return: how many of the best hypotheses are to be proven the best.
        end_token_ids: the tokens that end a text; None: the model's `eos_token_id`.
        batch_size: prompts at once; `auto`: as many as memory has room for.
        packing: whether weights are laid out for the CPU's products.

    Returns:
        The hypotheses of each prompt, from best to worst; their tokens end with the end token.

    Raises:
        InputError: a setting is out of its range, a prompt is empty or leaves no room, the model is
            in training mode, or memory does not suffice for one prompt.
        NonFiniteLogitsError: the model's logits are NaN or infinite.
    """
    if model.training:
        raise InputError("the model is in training mode, in which dropout draws; call model.eval()")
    if end_token_ids is None:
        own = model.config.eos_token_id
        end_token_ids = own if isinstance(own, list) else [] if own is None else [own]
    settings = BeamSettings(
        num_beams=num_beams,
        max_new_tokens=max_new_tokens,
        min_new_tokens=min_new_tokens,
        length_penalty=length_penalty,
        no_repeat_ngram_size=no_repeat_ngram_size,
        no_repeat_ngram_scope=no_repeat_ngram_scope,
        repetition_penalty=repetition_penalty,
        num_return=num_return,
        end_token_ids=tuple(end_token_ids),
    )
    room = model.config.max_position_embeddings - max_new_tokens
    for index, prompt in enumerate(prompts):
        if len(prompt) > room:
            raise InputError(
                f"prompt {index} has {len(prompt)} tokens; the model's "
                f"{model.config.max_position_embeddings} positions leave room for {room} before "
                f"max_new_tokens={max_new_tokens}; cut the prompt or lower the limit"
            )
    queries = [list(prompt) for prompt in prompts]
    found = dict(decode_contexts(model, queries, settings, batch_size, packing=packing))
    return [found[index] for index in range(len(queries))]
