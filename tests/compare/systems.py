"""Statistics of systems whose official ones are recorded, and of made ones."""

from functools import cache

import numpy as np

from lora_lightning.compare.corpus_scores import CORPUS_SCORES
from lora_lightning.evaluation.metrics import meteor
from lora_lightning.evaluation.statistics_file import numbers_of
from tests.evaluation.golden_sets import read_json, read_records
from tests.goldens import golden

MEANS = {"score": CORPUS_SCORES["e2e"]["rouge_l"]}


@cache
def e2e_statistics(system):
    """Metric → what the official scorers added up for each text of an E2E system; their scores."""
    folder = golden("scores", "e2e")
    records = read_records(folder / f"{system}.segments.jsonl.gz")
    kept = {
        "bleu": [(r["bleu_hits"], r["bleu_cand_lens"], r["bleu_cand_lens"][0], r["bleu_ref_len"])
                 for r in records],
        "meteor": [meteor._parse(record["meteor_stats"]) for record in records],
        **{metric: [record[metric] for record in records] for metric in ("rouge_l", "cider")},
    }  # fmt: skip
    scores = read_json(folder / "scores.json")[system]["scores"]
    return {metric: table(rows) for metric, rows in kept.items()}, scores


def table(rows):
    return np.array([numbers_of(row) for row in rows], dtype=np.float64)


def run_of(scores):
    """A run of a metric that is a mean over sentences."""
    return {"score": np.asarray(scores, dtype=np.float64)[:, None]}
