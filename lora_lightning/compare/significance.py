r"""Is a difference of two systems more than chance? Tests over sentences, and over seeds as well.

With S a corpus score, a system's score is the mean of S over its runs, and D = S(b) - S(a). For the
sentences alone,

- paired bootstrap: D*_k on sentences drawn with replacement, the same for both systems. The
  interval lies between the 2.5 % and 97.5 % quantiles of D*, and p is the share of
  |D*_k - mean D*| >= |D| (Koehn 2004; Efron and Tibshirani 1993, chapter 16).
- approximate randomisation: D*_k after each sentence's outputs change sides with probability 1/2;
  p is the share of |D*_k| >= |D| (Noreen 1989; Riezler and Maxwell 2005).

Both count one sample more, the one observed, so that no p is 0.

Seeds. Runs differ by the seed, and by seed and sentence together. Three runs drawn anew from three
show neither: their spread comes out too small by a third, and what seed and sentence do together is
counted twice, with the seeds and with the sentences. So with R >= 2 runs of a system, whose scores
have the sample variance s^2,

    v = mean over samples of s*^2 - s^2        what resampling of sentences adds to the runs' spread
    V = variance of D* - sum v / R             what differs by sentence alone, not below 0
    D*' = D* with its deviations scaled to the variance V, + t · sqrt(sum s^2 / R)

with t of Student's distribution, its degrees of freedom those of Welch (1947) and Satterthwaite
(1946) for the sum of s^2 / R. Sentences are drawn or exchanged with all runs' outputs at once. What
a system of a single run would do with another seed is not in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lora_lightning.compare.corpus_scores import Array

LEVEL = 0.95
_ROUNDING = 1e-10  # relative to the scores: differences closer than that are equal


@dataclass(frozen=True)
class SystemScores:
    """One metric of one system.

    Attributes:
        runs: the score of each run, shape (runs,).
        resampled: the same of every bootstrap sample, shape (samples, runs).
    """

    runs: Array
    resampled: Array

    @property
    def spread(self) -> float:
        """Sample variance over the runs, 0 for a single one."""
        return float(self.runs.var(ddof=1)) if len(self.runs) > 1 else 0.0

    @property
    def of_seeds(self) -> float:
        """Variance of the mean over the runs, as the runs show it: `s² / R`."""
        return self.spread / len(self.runs)

    @property
    def of_seeds_and_sentences(self) -> float:
        """The part of that, `v / R`, which resampling of sentences shows too."""
        if len(self.runs) == 1:
            return 0.0
        grown = float(np.nanmean(self.resampled.var(axis=1, ddof=1))) - self.spread
        return max(0.0, grown) / len(self.runs)


@dataclass(frozen=True)
class PairTest:
    """Two systems by one metric: `b - a` on the official scale, its 95 % interval, two-sided p."""

    difference: float
    interval: tuple[float, float]
    p_bootstrap: float
    p_randomisation: float


def tested(
    a: SystemScores, b: SystemScores, exchanged: Array, generator: np.random.Generator
) -> PairTest:
    """Test the difference of two systems.

    Args:
        a: the first system.
        b: the second, on the same samples.
        exchanged: `b - a` of every sample of exchanged sentences, shape (samples,).
        generator: draws what seeds add.
    """
    difference = float(b.runs.mean() - a.runs.mean())
    resampled = b.resampled.mean(axis=1) - a.resampled.mean(axis=1)
    centre = np.nanmean(resampled)
    share = _share_of_sentences(a, b, float(np.nanvar(resampled)))
    drawn = centre + (resampled - centre) * share + _of_seeds(a, b, len(resampled), generator)
    swapped = exchanged * share + _of_seeds(a, b, len(exchanged), generator)
    scale = max(float(np.abs(system.runs).max()) for system in (a, b))
    low, high = np.nanquantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return PairTest(
        difference=difference,
        interval=(float(low), float(high)),
        p_bootstrap=_share_as_far(drawn - centre, difference, scale),
        p_randomisation=_share_as_far(swapped, difference, scale),
    )


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values that hold for all tests together (Holm 1979), in the order given."""
    adjusted = [0.0] * len(values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=lambda i: values[i])):
        largest = max(largest, min(1.0, (len(values) - rank) * values[place]))
        adjusted[place] = largest
    return adjusted


def _share_of_sentences(a: SystemScores, b: SystemScores, variance: float) -> float:
    """Return by what deviations over sentences shrink, as the runs' spread holds a part."""
    twice = a.of_seeds_and_sentences + b.of_seeds_and_sentences
    return float(np.sqrt(max(0.0, variance - twice) / variance)) if variance > 0 else 1.0


def _of_seeds(
    a: SystemScores, b: SystemScores, samples: int, generator: np.random.Generator
) -> Array:
    """Draw what other seeds would add to the difference; nothing where no system has several."""
    parts = [(s.of_seeds, len(s.runs) - 1) for s in (a, b) if s.of_seeds > 0]
    if not parts:
        return np.zeros(samples)
    variance = sum(part for part, _ in parts)
    freedom = variance**2 / sum(part**2 / runs for part, runs in parts)
    return generator.standard_t(freedom, samples) * np.sqrt(variance)


def _share_as_far(deviations: Array, difference: float, scale: float) -> float:
    """Return the share of samples that are not nearer than what was seen, which counts as one."""
    nearer = np.abs(deviations) < abs(difference) - _ROUNDING * scale
    return float((np.count_nonzero(~nearer) + 1) / (len(deviations) + 1))
