"""Keys and values of all beams, written in place."""

from typing import Any

import torch
from torch import Tensor


class BeamCache:
    """What attention has seen, for transformers' `past_key_values`.

    One buffer holds both keys and values of all layers, with room for every token to come, so a
    step writes its own position only. The beams of a query share the prompt; a reorder therefore
    moves the generated part alone, by a single gather.

    Prompts are padded on the right, where causality hides the padding from the prompt itself;
    from the generated tokens the mask hides it.

    Attributes:
        states: (layer, key and value, row, head, position, head dimension); row = query · beams +
            beam; position = the longest prompt's, then the generated tokens'.
        mask: (row, 1, 1, position), what is added to attention scores.
        prompt_length: (row,) int64, tokens of each row's prompt.
        step: generated tokens seen; whoever runs the model counts it up.
    """

    def __init__(self, prompt: Tensor, prompt_length: Tensor, beams: int, room: int) -> None:
        """Expand what prompts left behind to beams.

        Args:
            prompt: (layer, key and value, query, head, position, head dimension).
            prompt_length: (query,) int64.
            beams: beams per query.
            room: the most tokens that will be written.
        """
        layers, parts, queries, heads, length, dimension = prompt.shape
        rows, positions = queries * beams, length + room
        self.padded_length = length
        self.states = prompt.new_empty(layers, parts, rows, heads, positions, dimension)
        of_query = self.states.unflatten(2, (queries, beams))
        of_query[..., :length, :] = prompt.unsqueeze(3)
        self.prompt_length = prompt_length.repeat_interleave(beams)
        places = torch.arange(positions, device=prompt.device)
        hidden = (places >= self.prompt_length.unsqueeze(1)) & (places < self.padded_length)
        # A finite number, as transformers uses: attention in bf16 makes no NaN of it.
        mask = prompt.new_zeros(rows, positions)
        self.mask = mask.masked_fill(hidden, torch.finfo(mask.dtype).min)[:, None, None]
        self.step = 0

    def update(
        self, keys: Tensor, values: Tensor, layer: int, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Write one token's keys and values (row, head, 1, head dimension); return all seen."""
        place = self.get_seq_length()
        self.states[layer, 0, :, :, place] = keys[:, :, 0]
        self.states[layer, 1, :, :, place] = values[:, :, 0]
        seen = self.states[layer, :, :, :, : place + 1]
        return seen[0], seen[1]

    def get_seq_length(self, layer: int = 0) -> int:
        """Return the number of positions before the token that comes next."""
        return self.padded_length + self.step

    def reorder(self, rows: Tensor) -> None:
        """Let row i go on from row `rows[i]`; fewer rows than before drop the others.

        Args:
            rows: (row,) int64; each of the same query as before, or of a later one after a drop.
        """
        if len(rows) < len(self.prompt_length):
            self.states = self.states[:, :, rows]
            self.mask, self.prompt_length = self.mask[rows], self.prompt_length[rows]
        else:
            generated = self.states[..., self.padded_length : self.padded_length + self.step, :]
            generated.copy_(generated[:, :, rows])
