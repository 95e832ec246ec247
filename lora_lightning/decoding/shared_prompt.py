"""A causal language model of transformers that reads prompts once and then K beams of each.

transformers' own forward runs; what is ours comes in by its doors: the cache object, and an
attention function under the name `shared_prompt`.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from lora_lightning.decoding.cache import SharedPromptCache
from lora_lightning.gpt2.layout import lay_out, shared_copy
from lora_lightning.gpt2.packing import Packing
from lora_lightning.gpt2.prefix import prefix_of
from lora_lightning.methods.inject import unwrap_merged

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ATTENTION = "shared_prompt"


class SharedPromptModel:
    """A model's forward pass over prompts and over beams.

    Args:
        model: the model, adapters merged; it stays as it is.
        packing: whether its weights are laid out for the CPU's products.

    Attributes:
        is_recordable: whether a step's shapes depend on nothing but how many contexts there are.
    """

    is_recordable = True

    def __init__(self, model: "PreTrainedModel", packing: Packing = "auto") -> None:
        from transformers import AttentionInterface

        AttentionInterface.register(ATTENTION, shared_prompt_attention)
        twin = shared_copy(model)
        unwrap_merged(twin)
        self.model = lay_out(twin, packing)
        self.model.config._attn_implementation = ATTENTION
        self.device, self.dtype = self.model.device, self.model.dtype

    def read_prompts(
        self, query: Tensor, prompts: Sequence[Sequence[int]], cache: SharedPromptCache, first: int
    ) -> Tensor:
        """Read prompts of any lengths, laid end to end with no padding, into slots from `first`.

        Args:
            query: (prompt,) int64, the caller's number of each; here all are read alike.
            prompts: token ids; equal lengths beside each other save calls.
            cache: where keys and values go.
            first: the first slot.

        Returns:
            (prompt, 1, vocab), the logits behind each prompt.
        """
        lengths = [len(prompt) for prompt in prompts]
        cache.begin_prompts(first, lengths)
        tokens = torch.tensor([token for prompt in prompts for token in prompt])
        positions = torch.cat([torch.arange(length) for length in lengths])
        hidden = self._hidden(tokens.unsqueeze(0), positions.unsqueeze(0), None, cache)
        last = torch.tensor(lengths).cumsum(0).to(self.device) - 1
        return self._logits(hidden[0, last]).unsqueeze(1)

    def read_tokens(
        self, query: Tensor, newest: Tensor, step: Tensor, cache: SharedPromptCache
    ) -> Tensor:
        """Read one token per beam of the contexts in the first slots.

        Args:
            query: (context,) int64, as in `read_prompts`.
            newest: (context, beam) int64.
            step: (context,) int64, tokens generated so far, `newest` included.
            cache: their keys and values; room must be reserved.

        Returns:
            (context, beam, vocab) logits.
        """
        visible = cache.begin_step()
        # A finite number, as transformers uses: attention in bf16 makes no NaN of it.
        hidden_entry = torch.finfo(self.dtype).min
        mask = visible.new_zeros(visible.shape, dtype=self.dtype)
        mask = mask.masked_fill(~visible, hidden_entry)
        position = cache.prompt_length[: len(step)] + step - 1
        positions = position.unsqueeze(1).expand_as(newest)
        return self._logits(self._hidden(newest, positions, mask, cache))

    def _hidden(
        self, tokens: Tensor, positions: Tensor, mask: Tensor | None, cache: SharedPromptCache
    ) -> Tensor:
        output = self.model.base_model(
            tokens.to(self.device),
            position_ids=positions.to(self.device),
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
            prompt_lengths=cache.prompt_lengths,
        )
        return output.last_hidden_state

    def _logits(self, hidden: Tensor) -> Tensor:
        return self.model.get_output_embeddings()(hidden)


def shared_prompt_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    prompt_lengths: list[int] | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attend within prompts, or from beams to the entries that they see.

    Args:
        module: the layer.
        query: (context, head, beam, dimension), or (1, head, token, dimension) of prompts.
        key: (context, head, entry, dimension), or as `query`.
        value: as `key`.
        attention_mask: (context, 1, beam, entry) float, added to the scores; None for prompts.
        scaling: what scores are multiplied by.
        prompt_lengths: tokens of each prompt, laid end to end; None for beams.

    Returns:
        (context, beam, head, dimension), or (1, token, head, dimension); and no weights.
    """
    shares_heads = query.shape[1] != key.shape[1]
    front = (
        None
        if (prefix := prefix_of(module)) is None
        else prefix.keys_and_values(module, query.dtype)
    )
    if prompt_lengths is None:
        if front is not None and attention_mask is not None:
            key, value = _behind(front, key, value)
            attention_mask = pad(attention_mask, (front[0].shape[1], 0))  # every beam sees it
        attended = scaled_dot_product_attention(
            query, key, value, attention_mask, scale=scaling, enable_gqa=shares_heads
        )
        return attended.transpose(1, 2), None
    parts, end = [], 0
    for length, group in groupby(prompt_lengths):  # prompts of one length are one batch
        begin, end = end, end + length * len(list(group))
        # (1, head, token, dimension) -> (prompt, head, position, dimension)
        queries, keys, values = (
            tensor[0, :, begin:end].unflatten(1, (-1, length)).transpose(0, 1)
            for tensor in (query, key, value)
        )
        visible = None
        if front is not None:
            keys, values = _behind(front, keys, values)
            visible = keys.new_ones(length, keys.shape[2], dtype=torch.bool)
            visible = visible.tril(keys.shape[2] - length)
        attended = scaled_dot_product_attention(
            queries,
            keys,
            values,
            visible,
            is_causal=visible is None,
            scale=scaling,
            enable_gqa=shares_heads,
        )
        parts.append(attended.transpose(1, 2).flatten(0, 1))  # (token, head, dimension)
    return torch.cat(parts).unsqueeze(0), None


def _behind(front: tuple[Tensor, Tensor], key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Put keys and values of a prefix, (head, place, dimension), in front of those of each row."""
    many = [part.expand(len(key), -1, -1, -1) for part in front]
    return torch.cat([many[0], key], dim=2), torch.cat([many[1], value], dim=2)
