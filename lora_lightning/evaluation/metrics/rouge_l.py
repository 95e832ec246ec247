r"""ROUGE-L as the COCO caption code in e2e-metrics computes it (Lin 2004, β = 1.2).

    P = max over references of LCS / hypothesis length,  R = max of LCS / reference length
    F = (1 + β²) P R / (R + β² P),  0 where nothing is common; corpus = mean over segments

LCS = length of the longest common subsequence of PTB tokens. The two maxima may come from
different references. An empty text is one empty token, so two texts without tokens score 1.
"""

from collections.abc import Hashable, Sequence

from lora_lightning.evaluation.metrics.bleu import Tokens

_BETA_SQUARED = 1.2**2


def rouge_l(hypothesis: Tokens, references: Sequence[Tokens]) -> float:
    """Return ROUGE-L of one segment, 0..1."""
    from rapidfuzz.distance import LCSseq

    candidate: Sequence[Hashable] = hypothesis or [""]
    precision = recall = 0.0
    for reference in references:
        target: Sequence[Hashable] = reference or [""]
        common = LCSseq.similarity(candidate, target)
        precision = max(precision, common / len(candidate))
        recall = max(recall, common / len(target))
    if precision == 0:
        return 0.0
    return (1 + _BETA_SQUARED) * precision * recall / (recall + _BETA_SQUARED * precision)
