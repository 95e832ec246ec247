"""Decoding against its peers and its bound, on this machine's CPU.

OMP_NUM_THREADS=2 python benchmarks/decoding.py speed            ours, transformers, CTranslate2
OMP_NUM_THREADS=2 python benchmarks/decoding.py speed --dtype bfloat16
OMP_NUM_THREADS=2 python benchmarks/decoding.py test_set         distinct contexts and early stop
OMP_NUM_THREADS=2 python benchmarks/decoding.py memory           the cache
OMP_NUM_THREADS=2 python benchmarks/decoding.py growth           time per token over the batch

The model has GPT-2 small's shape and random weights, made sharp; the contexts have the lengths of
the E2E test set's. Contestants run in turn in one process, round after round; what counts are the
ratios within a round, given as median (least … most).
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from decoding_peers import (
    Peer,
    Queries,
    ctranslate2_generate,
    our_engine,
    reference_loop,
    transformers_generate,
)
from transformers import GPT2Config, GPT2LMHeadModel

from lora_lightning.decoding.cache import SharedPromptCache
from lora_lightning.decoding.layout import PackedProjection
from lora_lightning.decoding.runner import Batch, decode_contexts
from lora_lightning.decoding.schedule import entry_bytes
from lora_lightning.decoding.settings import BeamSettings
from lora_lightning.decoding.shared_prompt import SharedPromptModel

# Tokens of the 630 distinct contexts of the E2E test set, end token included.
E2E_LENGTHS = [14] * 4 + [15] * 10 + [16] * 8 + [17] * 3 + [18] + [19] * 2 + [20] * 6 + [21] * 7
E2E_LENGTHS += [22] * 3 + [23] * 4 + [24] * 7 + [25] * 5 + [26] * 2 + [27] * 3 + [28] * 8 + [29] * 5
E2E_LENGTHS += [30] * 28 + [31] * 39 + [32] * 5 + [35] * 30 + [36] * 92 + [37] + [38] * 30
E2E_LENGTHS += [39] * 88 + [40] * 36 + [41] * 4 + [42] * 90 + [43] * 85 + [44] * 11 + [45] * 9
E2E_LENGTHS += [47] * 4
NEW_TOKENS = 24  # of every text, so that all contestants do the same work
PAPER = BeamSettings(
    num_beams=10,
    max_new_tokens=NEW_TOKENS,
    min_new_tokens=NEW_TOKENS,
    length_penalty=0.8,
    no_repeat_ngram_size=4,
    no_repeat_ngram_scope="generated",
    repetition_penalty=1.0,
    end_token_ids=(50256, 628),
    num_return=1,
)
FIRST_TOKEN = replace(PAPER, max_new_tokens=1, min_new_tokens=1)


def sharp_gpt2_small(dtype: torch.dtype) -> GPT2LMHeadModel:
    """Return GPT-2 small's shape with random weights, large enough for sharp distributions."""
    torch.manual_seed(0)
    config = GPT2Config(initializer_range=0.05, attn_implementation="sdpa")
    return GPT2LMHeadModel(config).eval().to(dtype)


def e2e_queries(count: int) -> Queries:
    """Return random contexts whose lengths are spread as in the E2E test set."""
    generator = torch.Generator().manual_seed(0)
    chosen = [E2E_LENGTHS[place * len(E2E_LENGTHS) // count] for place in range(count)]
    return [torch.randint(0, 50000, (length,), generator=generator).tolist() for length in chosen]


def seconds(run: Callable[[], object]) -> float:
    """Return how long one call takes."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def matmul_rate(dtype: torch.dtype, rows: int = 160) -> float:
    """Return FLOP/s of the model's own products, each at its best of some calls."""
    total, best = 0.0, 0.0
    for features, outputs in ((768, 2304), (768, 768), (768, 3072), (3072, 768), (768, 50257)):
        layers = 12 if outputs < 50000 else 1
        x, weight = torch.randn(rows, features).to(dtype), torch.randn(outputs, features).to(dtype)
        packed = PackedProjection(weight, None)
        best += layers * min(seconds(lambda x=x, packed=packed: packed(x)) for _ in range(15))
        total += layers * 2 * rows * features * outputs
    return total / best


def needed_flops(model: GPT2LMHeadModel, queries: Queries, settings: BeamSettings) -> float:
    """Return the FLOPs of the products that these texts need: the prompt once, then K rows."""
    head = model.lm_head.weight.numel()
    layers = sum(p.numel() for block in model.transformer.h for p in block.parameters())
    rows = settings.num_beams * (settings.max_new_tokens - 1)
    per_token, per_logits = 2 * layers, 2 * head
    prompts = sum(len(query) for query in queries)
    return prompts * per_token + len(queries) * (per_logits + rows * (per_token + per_logits))


def show(label: str, values: list[float], unit: str = "") -> None:
    """Print median, least and most."""
    middle = statistics.median(values)
    print(f"{label:44s} {middle:8.3f}{unit}  ({min(values):.3f} … {max(values):.3f})", flush=True)


def speed(dtype: torch.dtype, contexts: int, rounds: int, batch_sizes: list[int]) -> None:
    """Compare whole tasks and tokens alone with the peers, and ours with its bound."""
    queries = e2e_queries(contexts)
    model = sharp_gpt2_small(dtype)
    with torch.inference_mode(), tempfile.TemporaryDirectory() as folder:
        peers: dict[str, Peer] = {"ours": our_engine(model)}
        for size in batch_sizes:
            peers[f"transformers x{size}"] = transformers_generate(model, size)
        kinds = ["float32"] if dtype == torch.float32 else ["int8"]
        for kind in kinds:
            for size in batch_sizes:
                place = Path(folder) / f"{kind}{size}"
                place.mkdir()
                peers[f"CTranslate2 {kind} x{size}"] = ctranslate2_generate(
                    sharp_gpt2_small(torch.float32), place, kind, size
                )
        _speed_rounds(peers, model, queries, dtype, rounds)
        one = queries[len(queries) // 2 :][:2]
        ours = [seconds(lambda: peers["ours"](one, PAPER)) for _ in range(rounds)]
        loop = [seconds(lambda: reference_loop(model)(one, PAPER)) for _ in range(rounds)]
        whole = [seconds(lambda: peers["ours"](queries, PAPER)) / len(queries) for _ in range(1)]
        show("reference's loop, s a context", [value / 2 for value in loop])
        show("reference's loop / ours in a full batch", [v / 2 / whole[0] for v in loop])
        show(
            "reference's loop / ours, two contexts",
            [a / b for a, b in zip(loop, ours, strict=True)],
        )


def _speed_rounds(
    peers: dict[str, Peer],
    model: GPT2LMHeadModel,
    queries: Queries,
    dtype: torch.dtype,
    rounds: int,
) -> None:
    whole: dict[str, list[float]] = {name: [] for name in peers}
    first: dict[str, list[float]] = {name: [] for name in peers}
    rates = []
    for name, decode in peers.items():
        tokens = decode(queries[:2], PAPER)
        assert tokens == 2 * NEW_TOKENS, f"{name}: {tokens} tokens instead of {2 * NEW_TOKENS}"
    for _ in range(rounds):
        rates.append(matmul_rate(dtype))
        for name, decode in peers.items():
            whole[name].append(seconds(lambda decode=decode: decode(queries, PAPER)))
            first[name].append(seconds(lambda decode=decode: decode(queries, FIRST_TOKEN)))
    bounds = [needed_flops(model, queries, PAPER) / rate for rate in rates]
    steps = {name: [a - b for a, b in zip(whole[name], first[name], strict=True)] for name in peers}
    for name in peers:
        show(f"{name}, s a context", [value / len(queries) for value in whole[name]])
    for name in list(peers)[1:]:
        for part, times in (("whole task", whole), ("per token", steps)):
            ratios = [a / b for a, b in zip(times[name], times["ours"], strict=True)]
            show(f"{name} / ours, {part}", ratios)
    show("matmul rate, GFLOP/s", [rate / 1e9 for rate in rates])
    show("bound, s a context", [bound / len(queries) for bound in bounds])
    show("share of the bound", [a / b for a, b in zip(bounds, whole["ours"], strict=True)])


def test_set(dtype: torch.dtype) -> None:
    """Count what the distinct contexts and the early stop save over all rows to the limit."""
    raise NotImplementedError


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["speed", "test_set", "memory", "growth"])
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--contexts", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[16])
    given = parser.parse_args()
    chosen = getattr(torch, given.dtype)
    speed(chosen, given.contexts, given.rounds, given.batch_sizes)
