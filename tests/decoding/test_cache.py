"""The cache: one copy of each prompt, tokens written where no beam looks, reorders by index."""

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from lora_lightning.decoding.cache import BLOCK, SharedPromptCache
from lora_lightning.decoding.runner import Batch
from lora_lightning.decoding.shared_prompt import SharedPromptModel
from tests.decoding.search import make_settings

BEAMS, HEADS, DIMENSION = 3, 2, 4


def write_prompts(cache, first, lengths):
    cache.begin_prompts(first, lengths)
    keys = torch.randn(1, HEADS, sum(lengths), DIMENSION)
    seen, _ = cache.update(keys, -keys, 0)
    assert seen is keys  # prompts see nothing but themselves
    return keys[0].transpose(0, 1).split(lengths)  # each (token, head, dimension)


def write_step(cache, contexts):
    """Write a random token per beam; return its keys, and what each beam then sees."""
    cache.reserve(contexts, steps=1)
    visible = cache.begin_step()[:, 0]
    keys = torch.randn(contexts, HEADS, BEAMS, DIMENSION)
    seen, values = cache.update(keys, -keys, 0)
    assert torch.equal(seen, -values)
    return keys.transpose(1, 2), seen.transpose(1, 2), visible


def as_set(rows):
    return {tuple(row.flatten().tolist()) for row in rows}


def test_every_beam_sees_its_prompt_its_ancestors_and_itself():
    torch.manual_seed(0)
    cache = SharedPromptCache(slots=2, beams=BEAMS, device=torch.device("cpu"))
    prompts = write_prompts(cache, 0, [5, 2])
    ancestors = [[[] for _ in range(BEAMS)] for _ in prompts]
    for _ in range(60):
        new, seen, visible = write_step(cache, 2)
        for context, prompt in enumerate(prompts):
            for beam in range(BEAMS):
                ancestors[context][beam] = [*ancestors[context][beam], new[context, beam]]
                found = seen[context][visible[context, beam]]
                assert as_set(found) == as_set([*prompt, *ancestors[context][beam]])
        parents = torch.randint(0, BEAMS, (2, BEAMS))
        cache.reorder(parents)
        ancestors = [[old[k] for k in row] for old, row in zip(ancestors, parents, strict=True)]


def test_a_step_writes_over_tokens_of_beams_that_died_out():
    cache = SharedPromptCache(slots=1, beams=BEAMS, device=torch.device("cpu"))
    write_prompts(cache, 0, [4])
    for _ in range(40):
        write_step(cache, 1)
        cache.reorder(torch.zeros(1, BEAMS, dtype=torch.int64))  # all come of the first beam
    # 4 tokens of the prompt, 40 of the one text that is left, and not 3 · 40.
    assert cache.visible.shape[-1] <= 4 + 40 + BEAMS + BLOCK


def test_contexts_that_stay_close_the_ranks():
    cache = SharedPromptCache(slots=3, beams=BEAMS, device=torch.device("cpu"))
    prompts = write_prompts(cache, 0, [3, 2, 4])
    cache.keep([2, 1])
    assert cache.prompt_length[:2].tolist() == [4, 2]
    (entering,) = write_prompts(cache, 2, [6])
    _, seen, visible = write_step(cache, 3)
    for slot, prompt in enumerate((prompts[2], prompts[1], entering)):
        assert as_set(prompt) <= as_set(seen[slot][visible[slot, 0]])
        assert int(visible[slot, 0].sum()) == len(prompt) + 1


def test_the_cache_of_a_context_is_half_of_what_a_copy_for_each_beam_takes():
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=300, n_positions=128, n_embd=32, n_layer=2, n_head=2)
    model = SharedPromptModel(GPT2LMHeadModel(config))
    settings = make_settings(num_beams=10, max_new_tokens=31, end_token_ids=())  # as long as E2E's
    queries = [torch.randint(0, 300, (36,)).tolist() for _ in range(4)]
    batch = Batch(model, queries, settings, size=4)
    list(batch.decode([0, 1, 2, 3]))
    entry = 2 * 2 * 32 * 4  # keys and values, layers, features, bytes
    copies = 4 * 10 * (36 + 31) * entry
    assert batch.cache.bytes() <= 0.55 * copies
