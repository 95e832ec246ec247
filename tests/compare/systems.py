"""Statistics of systems whose official ones are recorded, and of made ones."""

from functools import cache

import numpy as np

from lora_lightning.compare.corpus_scores import CORPUS_SCORES
from lora_lightning.evaluation.metrics import meteor
from lora_lightning.evaluation.statistics_file import numbers_of
from tests.evaluation.golden_sets import e2e_set

MEANS = {"score": CORPUS_SCORES["e2e"]["rouge_l"]}


@cache
def e2e_statistics(system):
    """Metric → statistics of a golden E2E system: n-grams by our scorer, the others as recorded."""
    protocol, segments, scores, records = e2e_set(system, ["bleu", "nist"])
    scorer = protocol.scorer(segments, None)
    kept = {metric: scorer.measure(metric).statistics for metric in protocol.metrics}
    kept["meteor"] = [meteor._parse(record["meteor_stats"]) for record in records]
    kept |= {metric: [record[metric] for record in records] for metric in ("rouge_l", "cider")}
    return {metric: table(rows) for metric, rows in kept.items()}, scores


def table(rows):
    return np.array([numbers_of(row) for row in rows], dtype=np.float64)


def run_of(scores):
    """A run of a metric that is a mean over sentences."""
    return {"score": np.asarray(scores, dtype=np.float64)[:, None]}
