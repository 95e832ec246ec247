"""Decoding against its peers and its bound, on this machine's CPU.

OMP_NUM_THREADS=2 python benchmarks/decoding.py speed       ours, packed or not; two peers
OMP_NUM_THREADS=2 python benchmarks/decoding.py speed --dtype bfloat16
OMP_NUM_THREADS=2 python benchmarks/decoding.py profile     where ours spends its time
OMP_NUM_THREADS=2 python benchmarks/decoding.py reference   the reference's loop, a row at a time
OMP_NUM_THREADS=2 python benchmarks/decoding.py test_set    distinct contexts and early stop
OMP_NUM_THREADS=2 python benchmarks/decoding.py memory      the cache, over the contexts
OMP_NUM_THREADS=2 python benchmarks/decoding.py growth      time per token, over the batch

`--write` puts the table into benchmarks/README.md.

The model has GPT-2 small's shape and random weights, made sharp, and is loaded as every command
loads its base; the contexts have the lengths of the E2E test set's. Contestants run in turn in one
process, round after round; what counts are the ratios within a round, given as median (least …
most). The peers are transformers and, where it is installed, CTranslate2.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import table  # noqa: E402
from benchmarks.decoding_peers import (  # noqa: E402
    Peer,
    Queries,
    ctranslate2_folder,
    ctranslate2_generate,
    our_engine,
    reference_loop,
    transformers_generate,
)
from benchmarks.decoding_profile import place_in_decoding  # noqa: E402
from benchmarks.profiled import seconds_of_places, shares  # noqa: E402
from lora_lightning.data.sets.e2e import read_e2e  # noqa: E402
from lora_lightning.data.tokenizer import load_tokenizer  # noqa: E402
from lora_lightning.decoding.runner import Batch  # noqa: E402
from lora_lightning.decoding.schedule import entry_bytes  # noqa: E402
from lora_lightning.decoding.settings import BeamSettings  # noqa: E402
from lora_lightning.decoding.shared_prompt import SharedPromptModel  # noqa: E402
from lora_lightning.gpt2.layout import PackedProjection, lay_out, shared_copy  # noqa: E402
from lora_lightning.gpt2.load import load_base  # noqa: E402
from lora_lightning.gpt2.packing import PackedMatrix  # noqa: E402
from lora_lightning.gpt2.precision import compute_dtype  # noqa: E402

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
CPU = torch.device("cpu")
PACKAGES = ("torch", "transformers", "ctranslate2")

Row = tuple[str, str]


def sharp_gpt2_small(dtype: str) -> GPT2LMHeadModel:
    """Load GPT-2 small's shape with random weights, large enough for sharp distributions."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        GPT2LMHeadModel(GPT2Config(initializer_range=0.05)).save_pretrained(folder)
        return load_base(folder, dtype)


def packed_bytes(model: GPT2LMHeadModel) -> int:
    """Return the memory that packing takes beside the weights as they are."""
    matrices = [m.matrix for m in lay_out(shared_copy(model), True).modules()
                if isinstance(m, PackedProjection)]  # fmt: skip
    return sum(matrix.packed.numel() * matrix.dtype.itemsize for matrix in matrices)


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
        packed = PackedMatrix(weight)
        calls = [seconds(lambda x=x, packed=packed: packed.product(x)) for _ in range(15)]
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


def show(label: str, values: list[float], unit: str = "") -> Row:
    """Print median, least and most; return them as a row of the table."""
    numbers = [f"{value:.{3 if value < 10 else 1}f}" for value in (
        statistics.median(values), min(values), max(values)
    )]  # fmt: skip
    return said(label, f"{numbers[0]}{unit} ({numbers[1]} … {numbers[2]})")


def said(label: str, value: str) -> Row:
    """Print a row of the table, and return it."""
    print(f"{label:48s} {value}", flush=True)
    return label, value


def ratios(over: list[float], under: list[float]) -> list[float]:
    """Return the ratio of each round."""
    return [a / b for a, b in zip(over, under, strict=True)]


def speed(given: argparse.Namespace) -> list[Row]:
    """Compare whole tasks and tokens alone with the peers, and ours with its bound."""
    queries = e2e_queries(given.contexts)
    model = sharp_gpt2_small(given.dtype)
    with tempfile.TemporaryDirectory() as folder:
        peers: dict[str, Peer] = {"ours": our_engine(model, packing=True)}
        peers["ours, not packed"] = our_engine(model, packing=False)
        for size in given.batch_sizes:
            peers[f"transformers x{size}"] = transformers_generate(model, size)
        if find_spec("ctranslate2"):
            converted = ctranslate2_folder(sharp_gpt2_small("float32"), Path(folder))
            kind = "float32" if given.dtype == "float32" else "int8"
            for size in given.batch_sizes:
                peers[f"CTranslate2 {kind} x{size}"] = ctranslate2_generate(converted, kind, size)
        whole: dict[str, list[float]] = {name: [] for name in peers}
        first: dict[str, list[float]] = {name: [] for name in peers}
        rates = []
        for name, decode in peers.items():
            tokens = decode(queries[:2], PAPER)
            assert tokens == 2 * NEW_TOKENS, f"{name}: {tokens}, not {2 * NEW_TOKENS} tokens"
        for _ in range(given.rounds):
            rates.append(matmul_rate(compute_dtype(model.dtype, CPU)))
            for name, decode in peers.items():
                whole[name].append(seconds(lambda decode=decode: decode(queries, PAPER)))
                first[name].append(seconds(lambda decode=decode: decode(queries, FIRST_TOKEN)))
    bounds = [needed_flops(model, queries, PAPER) / rate for rate in rates]
    tokens = {
        name: [a - b for a, b in zip(whole[name], first[name], strict=True)] for name in peers
    }
    found = [
        show(f"{name}, a context", [value / len(queries) for value in whole[name]], " s")
        for name in peers
    ]
    for name in list(peers)[1:]:
        found.append(show(f"ours to {name}, whole task", ratios(whole[name], whole["ours"]), " ×"))
        found.append(show(f"ours to {name}, per token", ratios(tokens[name], tokens["ours"]), " ×"))
    stored = sum(parameter.numel() * parameter.itemsize for parameter in model.parameters())
    return [
        *found,
        show("the model's own products, GFLOP/s", [rate / 1e9 for rate in rates]),
        show("bound: the products alone, a context", [b / len(queries) for b in bounds], " s"),
        show("ours, share of the bound", ratios(bounds, whole["ours"])),
        said(
            "weights", f"{stored / 1e6:.0f} MB, packed besides {packed_bytes(model) / 1e6:.0f} MB"
        ),
    ]


def profile(given: argparse.Namespace) -> list[Row]:
    """Measure what stands between a search and its bound, a context."""
    queries = e2e_queries(given.contexts)
    ours = our_engine(sharp_gpt2_small(given.dtype), packing=True)
    ours(queries[:2], PAPER)
    places = seconds_of_places(lambda: ours(queries, PAPER), given.rounds, place_in_decoding)
    a_context = {place: value / len(queries) for place, value in places.items()}
    return [said(place, f"{time}, {share}") for place, time, share in shares(a_context)]


def reference(given: argparse.Namespace) -> list[Row]:
    """Compare with the reference's loop, which has one row of the data at a time."""
    model = sharp_gpt2_small(given.dtype)
    queries = e2e_queries(given.contexts)
    few = queries[:: max(1, len(queries) // 3)]
    ours, loop = our_engine(model), reference_loop(model)
    full, alone = [], []
    for _ in range(given.rounds):
        full.append(seconds(lambda: ours(queries, PAPER)) / len(queries))
        alone.append(seconds(lambda: loop(few, PAPER)) / len(few))
    return [
        show("the reference's loop, a context", alone, " s"),
        show("ours to the reference's loop", ratios(alone, full), " ×"),
    ]


def test_set(given: argparse.Namespace) -> list[Row]:
    """Measure what the distinct contexts and the early stop save over all rows to the limit.

    By the bundled base on the bundled sample, whose texts end by themselves; the number of rows a
    context is E2E's.
    """
    sample = Path(__file__).parents[1] / "data" / "sample"
    model = load_base(str(sample / "gpt2_tiny"))
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
    return [
        show("early stop", early, " ×"),
        show("distinct contexts", [rows], " ×"),
        show("both, to all rows to the limit", [rows * ratio for ratio in early], " ×"),
    ]


def memory(given: argparse.Namespace) -> list[Row]:
    """Compare keys and values with a copy of all for every beam, as transformers keeps them."""
    model = sharp_gpt2_small(given.dtype)
    settings = replace(PAPER, max_new_tokens=E2E_TEXT, min_new_tokens=E2E_TEXT)
    found = []
    for contexts in (4, 8, 16):
        queries = e2e_queries(contexts)
        batch = Batch(SharedPromptModel(model), queries, settings, contexts)
        order = sorted(range(contexts), key=lambda index: -len(queries[index]))
        list(batch.decode(order))
        prompts = sum(len(query) for query in queries)
        copies = settings.num_beams * (prompts + contexts * E2E_TEXT) * entry_bytes(model)
        size = batch.cache.bytes() / 2**20
        share = batch.cache.bytes() / copies
        row = (
            f"{contexts} contexts",
            (
                f"{size:.1f} MiB, {size / contexts:.2f} a context; prompts 1/{settings.num_beams}, "
                f"all {share:.2f} of copies for each beam"
            ),
        )
        found.append(said(*row))
    return found


def growth(given: argparse.Namespace) -> list[Row]:
    """Measure the time of a token over the batch; it must not rise."""
    model = SharedPromptModel(sharp_gpt2_small(given.dtype))
    queries = [e2e_queries(3)[1] for _ in range(16)]
    found = []
    for size in (1, 2, 4, 8, 12, 16):
        times = []
        for _ in range(given.rounds):
            batch = Batch(model, queries[:size], PAPER, size)
            took = seconds(lambda batch=batch, size=size: list(batch.decode(list(range(size)))))
            times.append(1000 * took / (size * NEW_TOKENS))
        found.append(show(f"batch {size}, a token of the text", times, " ms"))
    return found


PROGRAMS = {f.__name__: f for f in (speed, profile, reference, test_set, memory, growth)}


def main() -> None:
    """Run one program."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("program", choices=PROGRAMS)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--contexts", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[16], help="of the peers")
    parser.add_argument("--write", action="store_true", help="into benchmarks/README.md")
    given = parser.parse_args()
    about = (
        f"{table.conditions(PACKAGES)} {given.dtype}, {torch.get_num_threads()} threads, "
        f"{given.rounds} rounds."
    )
    print(about, flush=True)
    found = PROGRAMS[given.program](given)
    if given.write:
        name = f"decoding {given.program} {given.dtype}"
        table.replace(name, f"{about}\n\n{table.rows((given.program, ''), found)}")


if __name__ == "__main__":
    main()
