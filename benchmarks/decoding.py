"""Decoding against its peers and its bound, on this machine's CPU.

OMP_NUM_THREADS=2 python benchmarks/decoding.py speed       ours, transformers, CTranslate2
OMP_NUM_THREADS=2 python benchmarks/decoding.py speed --dtype bfloat16
OMP_NUM_THREADS=2 python benchmarks/decoding.py reference   the reference's loop, a row at a time
OMP_NUM_THREADS=2 python benchmarks/decoding.py test_set    distinct contexts and early stop
OMP_NUM_THREADS=2 python benchmarks/decoding.py memory      the cache, over the contexts
OMP_NUM_THREADS=2 python benchmarks/decoding.py growth      time per token, over the batch

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
    ctranslate2_folder,
    ctranslate2_generate,
    our_engine,
    reference_loop,
    transformers_generate,
)
from transformers import GPT2Config, GPT2LMHeadModel

from lora_lightning.data.sets.e2e import read_e2e
from lora_lightning.data.tokenizer import load_tokenizer
from lora_lightning.decoding.runner import Batch
from lora_lightning.decoding.schedule import entry_bytes
from lora_lightning.decoding.settings import BeamSettings
from lora_lightning.decoding.shared_prompt import SharedPromptModel
from lora_lightning.gpt2.layout import PackedProjection, has_amx

# Tokens of the 630 distinct contexts of the E2E test set, end token included.
E2E_LENGTHS = [14] * 4 + [15] * 10 + [16] * 8 + [17] * 3 + [18] + [19] * 2 + [20] * 6 + [21] * 7
E2E_LENGTHS += [22] * 3 + [23] * 4 + [24] * 7 + [25] * 5 + [26] * 2 + [27] * 3 + [28] * 8 + [29] * 5
E2E_LENGTHS += [30] * 28 + [31] * 39 + [32] * 5 + [35] * 30 + [36] * 92 + [37] + [38] * 30
E2E_LENGTHS += [39] * 88 + [40] * 36 + [41] * 4 + [42] * 90 + [43] * 85 + [44] * 11 + [45] * 9
E2E_LENGTHS += [47] * 4
E2E_ROWS = 4693
E2E_TEXT = 31  # tokens of its texts on average, end token included
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
    """Return FLOP/s of the model's own products, each at the median of some calls."""
    total, spent = 0.0, 0.0
    for features, outputs in ((768, 2304), (768, 768), (768, 3072), (3072, 768), (768, 50257)):
        layers = 12 if outputs < 50000 else 1
        x, weight = torch.randn(rows, features).to(dtype), torch.randn(outputs, features).to(dtype)
        packed = PackedProjection(weight, None)
        calls = [seconds(lambda x=x, packed=packed: packed(x)) for _ in range(15)]
        spent += layers * statistics.median(calls)
        total += layers * 2 * rows * features * outputs
    return total / spent


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
    print(f"{label:48s} {middle:8.3f}{unit}  ({min(values):.3f} … {max(values):.3f})", flush=True)


def ratios(over: list[float], under: list[float]) -> list[float]:
    """Return the ratio of each round."""
    return [a / b for a, b in zip(over, under, strict=True)]


def speed(given: argparse.Namespace) -> None:
    """Compare whole tasks and tokens alone with the peers, and ours with its bound."""
    dtype = getattr(torch, given.dtype)
    queries = e2e_queries(given.contexts)
    model = sharp_gpt2_small(dtype)
    with tempfile.TemporaryDirectory() as folder:
        converted = ctranslate2_folder(sharp_gpt2_small(torch.float32), Path(folder))
        kind = "float32" if dtype == torch.float32 else "int8"
        peers: dict[str, Peer] = {"ours": our_engine(model)}
        for size in given.batch_sizes:
            peers[f"transformers x{size}"] = transformers_generate(model, size)
            peers[f"CTranslate2 {kind} x{size}"] = ctranslate2_generate(converted, kind, size)
        whole: dict[str, list[float]] = {name: [] for name in peers}
        first: dict[str, list[float]] = {name: [] for name in peers}
        rates = []
        for name, decode in peers.items():
            tokens = decode(queries[:2], PAPER)
            assert tokens == 2 * NEW_TOKENS, f"{name}: {tokens}, not {2 * NEW_TOKENS} tokens"
        for _ in range(given.rounds):
            # Without AMX our engine multiplies in fp32 whatever the weights are.
            rates.append(matmul_rate(dtype if has_amx() else torch.float32))
            for name, decode in peers.items():
                whole[name].append(seconds(lambda decode=decode: decode(queries, PAPER)))
                first[name].append(seconds(lambda decode=decode: decode(queries, FIRST_TOKEN)))
    bounds = [needed_flops(model, queries, PAPER) / rate for rate in rates]
    tokens = {
        name: [a - b for a, b in zip(whole[name], first[name], strict=True)] for name in peers
    }
    for name in peers:
        show(f"{name}, s a context", [value / len(queries) for value in whole[name]])
    for name in list(peers)[1:]:
        show(f"{name} / ours, whole task", ratios(whole[name], whole["ours"]))
        show(f"{name} / ours, per token", ratios(tokens[name], tokens["ours"]))
    show("matmul rate, GFLOP/s", [rate / 1e9 for rate in rates])
    show("bound, s a context", [bound / len(queries) for bound in bounds])
    show("share of the bound", ratios(bounds, whole["ours"]))


def reference(given: argparse.Namespace) -> None:
    """Compare with the reference's loop, which has one row of the data at a time."""
    model = sharp_gpt2_small(getattr(torch, given.dtype))
    queries = e2e_queries(given.contexts)
    few = queries[:: max(1, len(queries) // 3)]
    ours, loop = our_engine(model), reference_loop(model)
    full, alone = [], []
    for _ in range(given.rounds):
        full.append(seconds(lambda: ours(queries, PAPER)) / len(queries))
        alone.append(seconds(lambda: loop(few, PAPER)) / len(few))
    show("the reference's loop, s a context", alone)
    show("the reference's loop / ours", ratios(alone, full))


def test_set(given: argparse.Namespace) -> None:
    """Measure what the distinct contexts and the early stop save over all rows to the limit.

    By the bundled base on the bundled sample, whose texts end by themselves; the number of rows a
    context is E2E's.
    """
    sample = Path(__file__).parents[1] / "data" / "sample"
    model = GPT2LMHeadModel.from_pretrained(sample / "gpt2_tiny").eval()
    tokenizer = load_tokenizer(sample / "gpt2_tiny")
    contexts = dict.fromkeys(row.context for row in read_e2e(sample / "e2e" / "test.txt"))
    end = tokenizer.end_token_ids[0]
    queries = [[*tokenizer.encode(context), end] for context in contexts][: given.contexts]
    settings = replace(
        PAPER, max_new_tokens=64, min_new_tokens=0, end_token_ids=tokenizer.end_token_ids
    )
    # So many hypotheses are never found, so that none is proven before the limit.
    to_the_limit = replace(settings, num_return=1000)
    ours = our_engine(model)
    stopped, whole = [], []
    for _ in range(given.rounds):
        stopped.append(seconds(lambda: ours(queries, settings)))
        whole.append(seconds(lambda: ours(queries, to_the_limit)))
    rows = E2E_ROWS / len(E2E_LENGTHS)
    early = ratios(whole, stopped)
    show("early stop", early)
    show("distinct contexts", [rows])
    show("both: all rows to the limit / ours", [rows * ratio for ratio in early])


def memory(given: argparse.Namespace) -> None:
    """Compare keys and values with a copy of all for every beam, as transformers keeps them."""
    model = sharp_gpt2_small(getattr(torch, given.dtype))
    settings = replace(PAPER, max_new_tokens=E2E_TEXT, min_new_tokens=E2E_TEXT)
    for contexts in (4, 8, 16):
        queries = e2e_queries(contexts)
        batch = Batch(SharedPromptModel(model), queries, settings, contexts)
        order = sorted(range(contexts), key=lambda index: -len(queries[index]))
        list(batch.decode(order))
        prompts = sum(len(query) for query in queries)
        copies = settings.num_beams * (prompts + contexts * E2E_TEXT) * entry_bytes(model)
        size = batch.cache.bytes() / 2**20
        print(
            f"{contexts:3d} contexts: {size:7.1f} MiB, {size / contexts:5.2f} a context; "
            f"prompts 1/{settings.num_beams} and all {batch.cache.bytes() / copies:.2f} of copies"
        )


def growth(given: argparse.Namespace) -> None:
    """Measure the time of a token over the batch; it must not rise."""
    model = SharedPromptModel(sharp_gpt2_small(getattr(torch, given.dtype)))
    queries = [e2e_queries(3)[1] for _ in range(16)]
    for size in (1, 2, 4, 8, 12, 16):
        times = []
        for _ in range(given.rounds):
            batch = Batch(model, queries[:size], PAPER, size)
            took = seconds(lambda batch=batch, size=size: list(batch.decode(list(range(size)))))
            times.append(1000 * took / (size * NEW_TOKENS))
        show(f"batch {size}, ms a token of the text", times)


if __name__ == "__main__":
    programs = {f.__name__: f for f in (speed, reference, test_set, memory, growth)}
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("program", choices=programs)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--contexts", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[16], help="of the peers")
    arguments = parser.parse_args()
    programs[arguments.program](arguments)
