"""Corpus metrics as `torchmetrics.Metric`, for validation loops.

They take tokens, so that no Java runs while training, and hand them to the functions that define
the metrics; what must be lower-cased (E2E's BLEU and NIST) the caller lower-cases. Under DDP
`compute` gives every rank the value over all ranks' segments. Where a metric is undefined, as
before the first update, the value is NaN.

    metric = NIST()
    metric.update([hypothesis.lower().split()], [[text.lower().split() for text in references]])
    self.log("val/nist", metric.compute())
"""

import hashlib
import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from lora_lightning.evaluation.measurement import NotComputable, mean
from lora_lightning.evaluation.metrics import bleu, cider, nist, rouge_l, ter
from lora_lightning.evaluation.metrics.bleu import BleuStatistics, Tokens

Hypotheses = Sequence[Sequence[str]]
References = Sequence[Sequence[Sequence[str]]]


class _SummedBLEU(Metric):
    """BLEU from sums of the segments' statistics."""

    higher_is_better = True
    full_state_update = False
    hits: Tensor
    totals: Tensor
    lengths: Tensor

    def __init__(
        self,
        statistics: Callable[[Tokens, Sequence[Tokens]], BleuStatistics],
        score: Callable[[Sequence[BleuStatistics]], float],
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._statistics = statistics
        self._score = score
        for name, size in (("hits", bleu.ORDER), ("totals", bleu.ORDER), ("lengths", 2)):
            self.add_state(name, torch.zeros(size, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, hypotheses: Hypotheses, references: References) -> None:
        """Add segments: tokens of each hypothesis, and of each of its references."""
        segments = zip(hypotheses, references, strict=True)
        hits, totals, length, reference_length = bleu.add_up(
            [self._statistics(hypothesis, group) for hypothesis, group in segments]
        )
        self.hits += torch.tensor(hits, device=self.device)
        self.totals += torch.tensor(totals, device=self.device)
        self.lengths += torch.tensor([length, reference_length], device=self.device)

    def compute(self) -> Tensor:
        """Return BLEU as a float64 scalar."""
        length, reference_length = self.lengths.tolist()
        if length == 0:
            return _scalar(math.nan, self.device)
        hits, totals = tuple(self.hits.tolist()), tuple(self.totals.tolist())
        score = self._score([BleuStatistics(hits, totals, length, reference_length)])
        return _scalar(score, self.device)


class E2EBLEU(_SummedBLEU):
    """BLEU as e2e-metrics computes it, 0..1; tokens lower-cased by the caller."""

    def __init__(self, **options: Any) -> None:
        super().__init__(bleu.e2e_statistics, bleu.e2e_bleu, **options)


class GenerationEvalBLEU(_SummedBLEU):
    """BLEU as GenerationEval computes it for WebNLG and DART, 0..100; case counts."""

    def __init__(self, **options: Any) -> None:
        super().__init__(bleu.generation_eval_statistics, bleu.generation_eval_bleu, **options)


class _SegmentMean(Metric):
    """The mean over segments of a score that needs no other segment."""

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(
        self, score: Callable[[Sequence[str], Sequence[Sequence[str]]], float], **options: Any
    ) -> None:
        super().__init__(**options)
        self._score = score
        self.add_state("total", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, hypotheses: Hypotheses, references: References) -> None:
        """Add segments: tokens of each hypothesis, and of each of its references."""
        segments = zip(hypotheses, references, strict=True)
        self.total += sum(self._score(hypothesis, group) for hypothesis, group in segments)
        self.count += len(hypotheses)

    def compute(self) -> Tensor:
        """Return the mean as a float64 scalar."""
        return self.total / self.count


class ROUGEL(_SegmentMean):
    """ROUGE-L as e2e-metrics computes it, 0..1 (officially on PTB tokens)."""

    higher_is_better = True

    def __init__(self, **options: Any) -> None:
        super().__init__(rouge_l.rouge_l, **options)


class TER(_SegmentMean):
    """TER as GenerationEval computes it; 0 is best, and it may exceed 1."""

    higher_is_better = False

    def __init__(self, **options: Any) -> None:
        super().__init__(ter.ter, **options)


class _GatheredTokens(Metric):
    """A score that needs the references of all segments, so every token is kept, as an id.

    The states are flat int64 tensors: token ids of all texts (each segment's hypothesis, then its
    references), the texts' lengths, the segments' numbers of texts.
    """

    higher_is_better = True
    full_state_update = False
    token_ids: list[Tensor]
    text_lengths: list[Tensor]
    text_counts: list[Tensor]

    def __init__(
        self, score: Callable[[Sequence[Tokens], Sequence[Sequence[Tokens]]], float], **options: Any
    ) -> None:
        super().__init__(**options)
        self._score = score
        self._names = ("token_ids", "text_lengths", "text_counts")
        for name in self._names:
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, hypotheses: Hypotheses, references: References) -> None:
        """Add segments: tokens of each hypothesis, and of each of its references."""
        segments = [[h, *group] for h, group in zip(hypotheses, references, strict=True)]
        texts = [text for segment in segments for text in segment]
        self.token_ids.append(self._integers(_token_id(t) for text in texts for t in text))
        self.text_lengths.append(self._integers(len(text) for text in texts))
        self.text_counts.append(self._integers(len(segment) for segment in segments))

    def sync(self, *arguments: Any, **options: Any) -> None:
        """Gather the ranks' tokens; a rank without any takes part with empty tensors."""
        # torchmetrics would fill the gap with float32, which int64 ranks cannot gather.
        for name in self._names:
            if not getattr(self, name):
                setattr(self, name, [self._integers([])])
        super().sync(*arguments, **options)

    def compute(self) -> Tensor:
        """Return the score as a float64 scalar."""
        segments = list(self._segments())
        hypotheses, references = [s[0] for s in segments], [s[1:] for s in segments]
        try:
            score = self._score(hypotheses, references) if segments else math.nan
        except NotComputable:
            score = math.nan
        return _scalar(score, self.device)

    def _integers(self, values: Any) -> Tensor:
        return torch.tensor(list(values), dtype=torch.int64, device=self.device)

    def _segments(self) -> Iterator[list[list[Hashable]]]:
        """Yield the texts of each segment, the hypothesis first."""
        ids, lengths, counts = (_flat(getattr(self, name)) for name in self._names)
        token, length = iter(ids), iter(lengths)
        for count in counts:
            yield [[next(token) for _ in range(next(length))] for _ in range(count)]


class NIST(_GatheredTokens):
    """NIST as e2e-metrics computes it; tokens lower-cased by the caller."""

    def __init__(self, **options: Any) -> None:
        super().__init__(_nist, **options)


class CIDEr(_GatheredTokens):
    """CIDEr as e2e-metrics computes it, 0..10 (officially on PTB tokens)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(_cider, **options)


def _nist(hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> float:
    return nist.nist(nist.statistics(hypotheses, references))


def _cider(hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> float:
    return mean(cider.cider(hypotheses, references))


@lru_cache(maxsize=1 << 16)
def _token_id(token: str) -> int:
    """Return the same 64-bit number for a token in every process, which `hash` does not."""
    digest = hashlib.blake2b(token.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _flat(state: list[Tensor] | Tensor) -> list[int]:
    """Return a state's integers: a list of tensors before a sync, one tensor after it."""
    parts = [state] if isinstance(state, Tensor) else state
    return [number for part in parts for number in part.tolist()]


def _scalar(value: float, device: torch.device) -> Tensor:
    return torch.tensor(value, dtype=torch.float64, device=device)
