"""What may not come next: three rules on logits, before the softmax.

All of them change `logits` in place and work on the device, over all beams at once, with no
look at a value: nothing here waits for a GPU. Since they act before the softmax, the
probabilities of what is left add up to one again.

Queries of a batch may stand at different steps; `tokens` is −1 where nothing is generated yet.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from lora_lightning.decoding.settings import BeamSettings


def constrain(logits: Tensor, prompt: Tensor, tokens: Tensor, settings: BeamSettings) -> None:
    """Apply the constraints in the reference's order.

    Args:
        logits: (batch, beam, vocab) float, changed in place.
        prompt: (batch, prompt) int64, negative where padded; of width 0 unless its n-grams count.
        tokens: (batch, beam, limit) int64, the tokens generated so far, negative behind them.
        settings: what is on.
    """
    if settings.repetition_penalty != 1:
        penalise_repetition(logits, tokens, settings.repetition_penalty)
    if settings.min_new_tokens > 0:
        generated = (tokens >= 0).sum(-1)  # (batch, beam)
        ban_tokens(logits, settings.end_token_ids, where=generated < settings.min_new_tokens)
    if settings.no_repeat_ngram_size > 0:
        history = torch.cat([prompt.unsqueeze(1).expand(-1, tokens.shape[1], -1), tokens], dim=-1)
        ban_repeated_ngrams(logits, history, settings.no_repeat_ngram_size)


def penalise_repetition(logits: Tensor, tokens: Tensor, penalty: float) -> None:
    """Make every token that was generated before less likely, once however often it occurs.

    The reference divides positive logits by `penalty` and multiplies negative ones; the prompt
    does not count.

    Args:
        logits: (batch, beam, vocab) float, changed in place.
        tokens: (batch, beam, limit) int64, the tokens generated so far, negative behind them.
        penalty: more than 0; above 1 discourages, 1 changes nothing.
    """
    # A place behind the end repeats the first token. A token that occurs twice is written twice
    # with the same value, so the order is no matter.
    repeated = torch.where(tokens < 0, tokens[..., :1], tokens)
    index = repeated.clamp(min=0)  # (batch, beam, limit)
    seen = logits.gather(-1, index)
    penalised = torch.where(seen > 0, seen / penalty, seen * penalty)
    logits.scatter_(-1, index, torch.where(repeated < 0, seen, penalised))


def ban_tokens(logits: Tensor, token_ids: Sequence[int], where: Tensor) -> None:
    """Make some tokens impossible for some beams.

    Args:
        logits: (batch, beam, vocab) float, changed in place.
        token_ids: the tokens, for example the end tokens below the minimum length.
        where: (batch, beam) bool, the beams.
    """
    for token in token_ids:
        logits[..., token].masked_fill_(where, -torch.inf)


def ban_repeated_ngrams(logits: Tensor, history: Tensor, size: int) -> None:
    """Make every token impossible that would end an n-gram which its beam holds already.

    Args:
        logits: (batch, beam, vocab) float, changed in place.
        history: (batch, beam, length) int64, the tokens that count; a negative one, on either
            side, is padding and belongs to no n-gram.
        size: n of the n-grams, at least 1 (which bans every token of the history).
    """
    length = history.shape[-1]
    if length < size:
        return
    ngrams = history.unfold(-1, size, 1)  # (batch, beam, ngram, size)
    # The newest size − 1 tokens end at the last one that is no padding.
    places = torch.arange(length, device=history.device)
    end = (places + 1).mul(history >= 0).amax(-1, keepdim=True)  # (batch, beam, 1)
    newest = history.gather(-1, (end - size + 1 + places[: size - 1]).clamp(min=0))
    repeated = (ngrams[..., :-1] == newest.unsqueeze(-2)).all(-1) & (ngrams >= 0).all(-1)
    # The minimum with +inf leaves a logit alone. A plain write would not do: the last token of a
    # repeated n-gram may end another one as well, and which of two writes stays is undefined.
    bound = torch.where(repeated, -torch.inf, torch.inf).to(logits.dtype)
    logits.scatter_reduce_(-1, ngrams[..., -1].clamp(min=0), bound, reduce="amin")
