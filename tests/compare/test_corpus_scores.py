"""Scores of many samples at once are the corpus scorers' own."""

import numpy as np
import pytest

from lora_lightning.compare.corpus_scores import CORPUS_SCORES
from lora_lightning.evaluation.measurement import NotComputable
from lora_lightning.evaluation.metrics import bleu, nist
from lora_lightning.evaluation.metrics.bleu import BleuStatistics
from lora_lightning.evaluation.metrics.entity_coverage import coverage, entity_coverage
from lora_lightning.evaluation.metrics.nist import NistStatistics
from lora_lightning.evaluation.slots.errors import error_rate, slot_errors
from tests.compare.systems import e2e_statistics, table
from tests.evaluation.golden_sets import E2E_SYSTEMS, close


@pytest.mark.parametrize("system", E2E_SYSTEMS)
def test_all_sentences_once_give_the_official_scores_of_e2e(system):
    statistics, official = e2e_statistics(system)
    for metric, rows in statistics.items():
        score = CORPUS_SCORES["e2e"][metric]
        assert float(score(rows.sum(axis=0), len(rows))) == close(official[metric]), metric


def test_shares_are_those_of_the_metrics_without_references():
    errors = [slot_errors("name[Zizzi], eatType[pub]", text) for text in ("Zizzi", "a cheap pub")]
    named = [coverage("A : is in : B | A : has : C", text) for text in ("A B", "C", "")]
    for rows, score, own in (
        (errors, CORPUS_SCORES["e2e"]["slot_error"], error_rate(errors)),
        (named, CORPUS_SCORES["dart"]["entity_coverage"], entity_coverage(named)),
    ):
        assert 0 < own < 1
        assert float(score(table(rows).sum(axis=0), len(rows))) == own


def few_sentences():
    """Statistics of short and empty texts, in which every case of the formulas occurs."""
    texts = [["a"], [], ["a", "b", "c", "d", "e"], ["x", "y"], ["a", "b", "c", "d", "f", "g"]]
    return [(text, [["a", "b", "c", "d", "e"], ["x"]]) for text in texts]


@pytest.mark.parametrize(
    ("score", "of_segment", "of_sums"),
    [
        (bleu.e2e_bleu, bleu.e2e_statistics, CORPUS_SCORES["e2e"]["bleu"]),
        (
            bleu.generation_eval_bleu,
            bleu.generation_eval_statistics,
            CORPUS_SCORES["dart"]["bleu"],
        ),
    ],
)
def test_bleu_of_every_sample_is_the_scorers(score, of_segment, of_sums):
    statistics = [of_segment(*segment) for segment in few_sentences()]
    assert_every_sample_agrees(statistics, score, of_sums)


def test_nist_of_every_sample_is_the_scorers():
    hypotheses, references = zip(*few_sentences(), strict=True)
    statistics = nist.statistics(hypotheses, references)
    assert_every_sample_agrees(statistics, nist.nist, CORPUS_SCORES["e2e"]["nist"])


def assert_every_sample_agrees(
    statistics: list[BleuStatistics] | list[NistStatistics], score, of_sums
):
    generator = np.random.default_rng(0)
    samples = [[i] for i in range(len(statistics))]
    samples += [list(generator.integers(0, len(statistics), len(statistics))) for _ in range(50)]
    for sample in samples:
        chosen = [statistics[i] for i in sample]
        with np.errstate(all="ignore"):
            value = float(of_sums(table(chosen).sum(axis=0), len(sample)))
        try:
            assert value == close(score(chosen)), sample
        except NotComputable:
            assert np.isnan(value), sample
