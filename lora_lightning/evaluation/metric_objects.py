"""Corpus metrics as `torchmetrics.Metric`, for validation loops.

They take tokens, so that no Java runs while training, and pass them to the functions that define
the metrics; under DDP `compute` gives every rank the value over all ranks' segments. The value is
NaN where the metric is undefined, as before the first update.

    metric = NIST()
    metric.update([hypothesis.lower().split()], [[text.lower().split() for text in references]])
    self.log("val/nist", metric.compute())
"""

import hashlib
import math
from collections.abc import Hashable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from lora_lightning.evaluation import bleu, cider, nist, rouge_l, ter
from lora_lightning.evaluation.bleu import BleuStatistics
from lora_lightning.evaluation.protocol import NotComputable, mean

Texts = Sequence[Sequence[str]]


class _BLEU(Metric):
    """BLEU from summed statistics."""

    higher_is_better = True
    full_state_update = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        zeros = torch.zeros(bleu.ORDER, dtype=torch.int64)
        for name, zero in (("hits", zeros), ("totals", zeros)):
            self.add_state(name, zero.clone(), dist_reduce_fx="sum")
        for name in ("length", "reference_length"):
            self.add_state(name, torch.tensor(0), dist_reduce_fx="sum")

    def update(self, hypotheses: Texts, references: Sequence[Texts]) -> None:
        """Add segments: tokens of each hypothesis, and of each of its references."""
        statistics = [
            self.segment_statistics(hypothesis, group)
            for hypothesis, group in zip(hypotheses, references, strict=True)
        ]
        hits, totals, length, reference_length = bleu.add_up(statistics)
        self.hits += torch.tensor(hits, device=self.device)
        self.totals += torch.tensor(totals, device=self.device)
        self.length += length
        self.reference_length += reference_length

    def compute(self) -> Tensor:
        """Return BLEU as a float64 scalar."""
        sums = BleuStatistics(
            tuple(self.hits.tolist()),
            tuple(self.totals.tolist()),
            int(self.length),
            int(self.reference_length),
        )
        return _value(lambda: self.score([sums])) if sums.reference_length else _value(None)

    def segment_statistics(self, hypothesis: Sequence[str], group: Texts) -> BleuStatistics:
        """Return one segment's statistics."""
        raise NotImplementedError

    def score(self, statistics: Sequence[BleuStatistics]) -> float:
        """Return the score of the sums."""
        raise NotImplementedError
