"""Decoding the contexts of many adapters in one pass, against one adapter after another."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.training_report import spread

TARGET = 1.0
"""At most of the time in turn. On a CPU a batch of one adapter fills the products already."""


def measure(
    run: Callable[..., tuple[Path, float, float]],
    trained: Sequence[Path],
    rows: Path,
    contexts: int,
    rounds: int,
) -> list[tuple[str, str, str]]:
    """Decode with the adapters of trained runs, in one pass and in turn, by alternation.

    Args:
        run: runs generate.py; returns its folder, wall seconds and peak memory in MB.
        trained: the runs.
        rows: file of the contexts.
        contexts: of each run.
        rounds: how often.

    Returns:
        Rows of a table: what, measured, and the target.
    """
    given = (
        "-m", f"run={','.join(map(str, trained))}", f"data.test={rows}",
        f"data.limit_test={contexts}", "hydra.sweep.subdir=${hydra.job.num}", "trainer=cpu",
    )  # fmt: skip
    searches, walls = [], []
    for _ in range(rounds):
        together, wall, memory = run(*given, "hydra/launcher=one_pass")
        in_turn, wall_in_turn, memory_in_turn = run(*given)
        of_pass, of_jobs = max(_seconds(together)), sum(_seconds(in_turn))
        searches.append(of_pass / of_jobs)
        walls.append(wall / wall_in_turn)
        print(f"  searches in one pass {of_pass:.1f} s, in turn {of_jobs:.1f} s; commands "
              f"{wall:.1f} s and {wall_in_turn:.1f} s", flush=True)  # fmt: skip
    what = f"decoding, {len(trained)} adapters × {contexts} contexts: "
    return [
        (what + "searches, to those in turn", spread(searches), f"at most {TARGET}"),
        (what + "`generate.py -m`, to it in turn", spread(walls), ""),
        (what + "peak memory", f"{memory:,.0f} MB, in turn {memory_in_turn:,.0f} MB", ""),
    ]


def _seconds(sweep: Path) -> list[float]:
    """Return how long each job decoded; in a pass with what the others did meanwhile."""
    manifests = [json.loads(path.read_text()) for path in sweep.glob("*/manifest.json")]
    return [m["counts"]["contexts"] / m["throughput"]["contexts_per_second"] for m in manifests]
