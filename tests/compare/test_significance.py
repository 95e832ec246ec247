"""The tests agree with sacrebleu's, are calibrated, and find what is there."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from sacrebleu.metrics import BLEU
from sacrebleu.significance import PairedTest

from lora_lightning.compare.comparison import compared
from lora_lightning.compare.corpus_scores import CORPUS_SCORES
from lora_lightning.compare.resampling import bootstrap_weights, sums_of
from lora_lightning.compare.significance import holm
from lora_lightning.evaluation.files import pad_references
from lora_lightning.evaluation.metrics.bleu import generation_eval_statistics
from lora_lightning.evaluation.segment import tokenise_segments
from lora_lightning.evaluation.tokenizers.mteval import tokenise_13a_bytes
from tests.compare.systems import MEANS, e2e_statistics, run_of, table
from tests.evaluation.golden_sets import webnlg_set

SENTENCES = 150


def pair_of(comparison, metric="score"):
    [pair] = comparison[metric].pairs
    return pair.test


def difference_of_means(a, b, resamples=1000):
    return pair_of(compared({"a": a, "b": b}, MEANS, resamples, 0))


SAMPLES = 4000
BLEU_OF_TEXTS = {"bleu": CORPUS_SCORES["webnlg"]["bleu"]}


def alike_systems():
    """Two systems that differ in few sentences, so that p says something, and the references."""
    a, b = ([s.hypothesis for s in webnlg_tokens(name)] for name in ("melbourne", "adapt"))
    references = [s.references for s in webnlg_tokens("melbourne")]
    return {"a": a, "b": [*b[:30], *a[30:]]}, references


def assert_equal_up_to_chance(p, other):
    assert 0.02 < other < 0.98
    assert abs(p - other) < 4 * np.sqrt(other * (1 - other) * 2 / SAMPLES)


def test_randomisation_is_sacrebleus_on_one_bleu():
    systems, references = alike_systems()
    statistics = {name: [webnlg_statistics(of, references)] for name, of in systems.items()}
    ours = compared(statistics, BLEU_OF_TEXTS, SAMPLES, 0)
    theirs = sacrebleus("ar", systems, references)
    for of_sacrebleu, of_ours in zip(theirs, ours["bleu"].systems.values(), strict=True):
        assert of_sacrebleu.score == pytest.approx(of_ours.mean, abs=1e-9)
    assert_equal_up_to_chance(pair_of(ours, "bleu").p_randomisation, theirs[1].p_value)


def test_bootstrap_samples_are_sacrebleus_on_one_bleu():
    """Theirs folds the differences before it centres them: half our p, above chance in 1 of 10."""
    systems, references = alike_systems()
    tables = [webnlg_statistics(of, references)["bleu"] for of in systems.values()]
    [weights] = bootstrap_weights(SENTENCES, SAMPLES, np.random.default_rng(0))
    a, b = (BLEU_OF_TEXTS["bleu"](sums, SENTENCES) for sums in sums_of(weights, tables))
    one, other = (result.score for result in sacrebleus("bs", systems, references))
    folded = np.abs(b - a) - np.abs(b - a).mean()
    theirs = sacrebleus("bs", systems, references)[1]
    assert_equal_up_to_chance((folded > abs(one - other)).mean(), theirs.p_value)
    assert b.mean() == pytest.approx(theirs.mean, abs=4 * b.std() * np.sqrt(2 / SAMPLES))
    assert (np.quantile(b, 0.975) - np.quantile(b, 0.025)) / 2 == pytest.approx(theirs.ci, rel=0.1)


def sacrebleus(test, systems, references):
    """A result a system of sacrebleu's test, the first system the one that others differ from."""
    streams = [[" ".join(text) for text in stream] for stream in zip(*references, strict=True)]
    bleu = BLEU(tokenize="none", smooth_method="none", force=True, references=streams)
    named = [(name, [" ".join(text) for text in texts]) for name, texts in systems.items()]
    _, results = PairedTest(named, {"BLEU": bleu}, None, test, n_samples=SAMPLES)()
    [signature] = results.keys() - {"System"}
    return results[signature]


@cache
def webnlg_tokens(system):
    """Tokens of the first sentences, the first reference in place of those that are missing."""
    _, segments, *_ = webnlg_set(system, ["bleu"])
    segments = [
        replace(s, references=tuple(pad_references(s.references, 6))) for s in segments[:SENTENCES]
    ]
    return tokenise_segments(segments, tokenise_13a_bytes)


def webnlg_statistics(hypotheses, references):
    pairs = zip(hypotheses, references, strict=True)
    return {"bleu": table([generation_eval_statistics(*pair) for pair in pairs])}


def test_outputs_exchanged_at_random_differ_by_chance_in_one_of_twenty():
    one, _ = e2e_statistics("tgen")
    other, _ = e2e_statistics("chen")
    generator = np.random.default_rng(1)
    metrics = {name: CORPUS_SCORES["e2e"][name] for name in ("bleu", "meteor", "cider")}
    found = {name: np.zeros((200, 2)) for name in metrics}
    for trial in range(200):
        swap = generator.integers(0, 2, len(one["bleu"]), dtype=bool)[:, None]
        pair = {
            "a": [{m: np.where(swap, other[m], one[m]) for m in metrics}],
            "b": [{m: np.where(swap, one[m], other[m]) for m in metrics}],
        }
        for name, comparison in compared(pair, metrics, 200, trial).items():
            test = comparison.pairs[0].test
            found[name][trial] = test.p_bootstrap, test.p_randomisation
    for name, p in found.items():
        assert ((p < 0.05).sum(axis=0) <= 22).all(), name  # 10 expected, 22 in one of 10,000
        assert ((p < 0.5).sum(axis=0) >= 70).all(), name  # 100 expected: no test without power


def runs(generator, count, mean=0.0, seed_effect=0.0, main=0.0):
    return [
        run_of(mean + generator.normal(0, seed_effect) + main + generator.normal(0, 1, 300))
        for _ in range(count)
    ]


@pytest.mark.parametrize("seed_effect", [0.0, 0.15])
def test_three_seeds_that_differ_by_chance_are_told_apart_in_one_of_twenty_at_most(seed_effect):
    generator = np.random.default_rng(2)
    p = [
        difference_of_means(
            *(runs(generator, 3, seed_effect=seed_effect) for _ in "ab"), resamples=200
        )
        for _ in range(300)
    ]
    for name in ("p_bootstrap", "p_randomisation"):
        below = sum(getattr(test, name) < 0.05 for test in p)
        assert below <= 27, name  # 15 expected at 5 %
        assert sum(getattr(test, name) < 0.5 for test in p) >= 90, name


def test_a_planted_difference_is_found():
    generator = np.random.default_rng(3)
    main = generator.normal(0, 1, 300)  # sentences are easy or hard for every system
    a = runs(generator, 1, main=main)
    b = runs(generator, 1, mean=0.4, main=main)
    test = difference_of_means(a, b)
    assert test.p_bootstrap < 0.01
    assert test.p_randomisation < 0.01
    assert test.interval[0] > 0
    assert test.difference == pytest.approx(0.4, abs=0.2)


def test_a_planted_difference_is_found_with_three_seeds_that_agree():
    generator = np.random.default_rng(4)
    a, b = runs(generator, 3), runs(generator, 3, mean=0.5)
    test = difference_of_means(a, b)
    assert max(test.p_bootstrap, test.p_randomisation) < 0.01
    assert test.interval[0] > 0


def test_seeds_that_differ_more_than_systems_show_nothing():
    generator = np.random.default_rng(5)
    a, b = (
        [run_of(mean + generator.normal(0, 0.1, 300)) for mean in means]
        for means in ((0.0, 0.5, 1.0), (0.3, 0.8, 1.3))
    )
    alone = difference_of_means(a[:1], b[:1])
    together = difference_of_means(a, b)
    assert alone.p_bootstrap < 0.01  # what one seed each would have claimed
    assert together.p_bootstrap > 0.2
    assert together.interval[0] < 0 < together.interval[1]


def test_equal_outputs_have_no_difference_at_all():
    outputs = runs(np.random.default_rng(6), 1)
    test = difference_of_means(outputs, outputs)
    assert (test.difference, test.p_bootstrap, test.p_randomisation) == (0, 1, 1)
    assert test.interval == (0, 0)


def test_numbers_depend_on_the_seed_alone():
    generator = np.random.default_rng(7)
    a, b = runs(generator, 2), runs(generator, 2)
    one, again, other = (
        pair_of(compared({"a": a, "b": b}, MEANS, 500, seed)) for seed in (0, 0, 1)
    )
    assert one == again
    assert one != other


def test_holm_steps_down_from_the_least_p_and_never_falls():
    # Holm (1979): 3 x .01, 2 x .02, 1 x .03 raised to the one before, none above 1.
    assert holm([0.02, 0.01, 0.03]) == [0.04, 0.03, 0.04]
    assert holm([0.9, 0.5]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
