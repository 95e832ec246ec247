"""Keys and values of all beams: one copy of each prompt, and of each generated token.

The beams of a context are treated as the tokens of one sequence under a mask of their own, so
that all of them read the same entries:

    entry     0 … prompt − 1    prompt … entries − 1
              the prompt        one per generated token and beam, in any order
    visible   every beam        the beams that come of that token

A new token is written into an entry that no beam sees. A reorder is a reorder of `visible`: no key
and no value moves. The entries of beams that died out become free of themselves, so a context
takes about as many as it has tokens, not K times as many.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

BLOCK = 16  # entries by which the buffers grow


class SharedPromptCache:
    """What attention has seen, for transformers' `past_key_values`.

    Contexts stand in the slots 0 … n − 1. A pass over the model is prepared by `begin_prompts` or
    `begin_step`, which choose the entries that it writes.

    Args:
        slots: the most contexts at once.
        beams: K, beams per context.
        device: where everything lies.

    Attributes:
        states: per layer (key and value, slot, entry, head, head dimension); a layer's buffer
            appears with its first keys.
        visible: (slot, beam, entry) bool.
        prompt_length: (slot,) int64.
        reading: entries that attention reads; what lies behind is seen by no beam.
        prompt_lengths: while prompts are read, their lengths; else None.
    """

    def __init__(self, slots: int, beams: int, device: torch.device) -> None:
        self.states: list[Tensor] = []
        self.visible = torch.zeros(slots, beams, 0, dtype=torch.bool, device=device)
        self.prompt_length = torch.zeros(slots, dtype=torch.int64, device=device)
        self.reading = 0
        self.prompt_lengths: list[int] | None = None
        self._contexts = 0
        self._places = self.prompt_length  # flat (slot, entry) of each token that a pass writes

    def begin_prompts(self, first: int, lengths: Sequence[int]) -> None:
        """Prepare a pass over prompts, laid end to end, into the slots from `first`.

        Args:
            first: the first slot.
            lengths: tokens of each prompt.
        """
        self._grow(max(lengths))
        slots = slice(first, first + len(lengths))
        length = self.visible.new_tensor(lengths, dtype=torch.int64)
        entries = torch.arange(self.visible.shape[-1], device=length.device)
        is_prompt = entries < length.unsqueeze(1)  # (prompt, entry)
        self.prompt_length[slots] = length
        self.visible[slots] = is_prompt.unsqueeze(1)
        slot, entry = is_prompt.nonzero(as_tuple=True)
        self._places = (first + slot) * self.visible.shape[-1] + entry
        self.prompt_lengths = list(lengths)

    def reserve(self, contexts: int, steps: int) -> None:
        """Make room for `steps` more tokens of each beam; waits for the device.

        Args:
            contexts: n, the contexts that go on.
            steps: how many times `begin_step` may follow.
        """
        beams, entries = self.visible.shape[1:]
        places = torch.arange(1, entries + 1, device=self.visible.device)
        used = int(self.visible[:contexts].any(1).mul(places).amax())
        # New tokens take the lowest free entries, so none lies behind this one.
        self.reading = -(-(used + steps * beams) // BLOCK) * BLOCK
        self._grow(self.reading)
        self._contexts = contexts
        self.prompt_lengths = None

    def begin_step(self) -> Tensor:
        """Prepare a pass over one token per beam; `reserve` has made room.

        Returns:
            (context, 1, beam, entry) bool, which entries each beam sees, its own new one included.
        """
        contexts, beams = self._contexts, self.visible.shape[1]
        visible = self.visible[:contexts, :, : self.reading]
        is_used = visible.any(1).byte()  # (context, entry)
        free = is_used.argsort(dim=1, stable=True)[:, :beams]  # the lowest ones first
        visible.scatter_(-1, free.unsqueeze(-1), True)  # beam k has the entry k
        slots = torch.arange(contexts, device=free.device).unsqueeze(1)
        self._places = (slots * self.visible.shape[-1] + free).flatten()
        return visible.unsqueeze(1)

    def update(
        self, keys: Tensor, values: Tensor, layer: int, *_ignored: Any, **_options: Any
    ) -> tuple[Tensor, Tensor]:
        """Write the keys and values of a pass, and return those that attention reads.

        Args:
            keys: (1, head, token, dimension) of prompts, or (context, head, beam, dimension).
            values: likewise.
            layer: the layer's number.

        Returns:
            Keys and values, (context, head, entry, dimension); those of the pass itself while
            prompts are read, which see nothing else.
        """
        if layer == len(self.states):
            slots, entries = self.visible.shape[0], self.visible.shape[-1]
            self.states.append(keys.new_zeros(2, slots, entries, keys.shape[1], keys.shape[3]))
        for buffer, new in zip(self.states[layer], (keys, values), strict=True):
            rows = new.transpose(1, 2).flatten(0, 1)  # (token, head, dimension)
            buffer.flatten(0, 1).index_copy_(0, self._places, rows)
        if self.prompt_lengths is not None:
            return keys, values
        seen = self.states[layer][:, : self._contexts, : self.reading].transpose(2, 3)
        return seen[0], seen[1]

    def reorder(self, parents: Tensor) -> None:
        """Let each beam go on from its parent, (context, beam) int64."""
        visible = self.visible[: len(parents)]
        visible.copy_(visible.gather(1, parents.unsqueeze(-1).expand_as(visible)))

    def keep(self, slots: Sequence[int]) -> None:
        """Let slot i hold what slot `slots[i]` held, for every i; the others become vacant.

        Args:
            slots: each at least its own index, so that none is overwritten before it moves.
        """
        for target, source in enumerate(slots):
            if target != source:
                self.visible[target] = self.visible[source]
                self.prompt_length[target] = self.prompt_length[source]
                for buffer in self.states:
                    buffer[:, target] = buffer[:, source]
        self.visible[len(slots) :] = False

    def get_seq_length(self, layer: int = 0) -> int:
        """Return the entries before a pass; positions are given, so nothing depends on it."""
        return self.reading

    def bytes(self) -> int:
        """Return the size of the keys and values."""
        return sum(buffer.nbytes for buffer in self.states)

    def _grow(self, entries: int) -> None:
        """Make room for at least so many entries in every slot."""
        missing = -(-(entries - self.visible.shape[-1]) // BLOCK) * BLOCK
        if missing <= 0:
            return
        self.visible = torch.nn.functional.pad(self.visible, (0, missing))
        for layer, buffer in enumerate(self.states):  # one by one: the old ones are freed at once
            self.states[layer] = torch.nn.functional.pad(buffer, (0, 0, 0, 0, 0, missing))
