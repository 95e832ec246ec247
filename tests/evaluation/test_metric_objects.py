"""The torchmetrics objects equal the functions, for any batches and on two ranks."""

import os

import pytest
import torch
import torch.multiprocessing as multiprocessing

from lora_lightning.evaluation.measurement import mean
from lora_lightning.evaluation.metric_objects import (
    E2EBLEU,
    NIST,
    ROUGEL,
    TER,
    CIDEr,
    GenerationEvalBLEU,
)
from lora_lightning.evaluation.metrics import bleu, cider, nist, rouge_l, ter
from tests.evaluation.golden_sets import edge_case_records

METRICS = (E2EBLEU, GenerationEvalBLEU, NIST, ROUGEL, CIDEr, TER)


def texts():
    """Tokens of hypotheses, and of each of their references."""
    records = edge_case_records("e2e")
    hypotheses = [record["hyp_ptb"].split() for record in records]
    return hypotheses, [[text.split() for text in record["refs_ptb"]] for record in records]


def expected():
    hypotheses, references = texts()
    pairs = list(zip(hypotheses, references, strict=True))
    return [
        bleu.e2e_bleu([bleu.e2e_statistics(*pair) for pair in pairs]),
        bleu.generation_eval_bleu([bleu.generation_eval_statistics(*pair) for pair in pairs]),
        nist.nist(nist.statistics(hypotheses, references)),
        mean([rouge_l.rouge_l(*pair) for pair in pairs]),
        mean(cider.cider(hypotheses, references)),
        mean([ter.ter(*pair) for pair in pairs]),
    ]


def update(metrics, first, last):
    hypotheses, references = texts()
    for metric in metrics:
        for start in range(first, last, 10):
            batch = slice(start, min(start + 10, last))
            metric.update(hypotheses[batch], references[batch])


def test_the_value_does_not_depend_on_the_batches():
    metrics = [kind() for kind in METRICS]
    update(metrics, 0, len(texts()[0]))
    values = [metric.compute() for metric in metrics]
    assert [float(value) for value in values] == pytest.approx(expected(), rel=1e-12)
    assert all(value.dtype == torch.float64 for value in values)


def test_before_the_first_update_and_after_a_reset_the_value_is_nan():
    for metric in [kind() for kind in METRICS]:
        update([metric], 0, 10)
        metric.reset()
        metric.update([], [])
        assert metric.compute().isnan()


def test_an_undefined_nist_is_nan():
    metric = NIST()
    metric.update([["a"]], [[["a", "b"]]])
    assert metric.compute().isnan()


def rank_values(rank, shares, folder):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=len(shares[0]) - 1
    )
    values = []
    for share in shares:
        metrics = [kind() for kind in METRICS]
        update(metrics, share[rank], share[rank + 1])
        values.append([float(metric.compute()) for metric in metrics])
    torch.save(values, os.path.join(folder, f"{rank}.pt"))
    torch.distributed.destroy_process_group()


def test_two_ranks_give_the_value_of_one_process_even_if_one_has_no_segment(tmp_path):
    count = len(texts()[0])
    shares = [(0, 27, count), (0, count, count)]
    multiprocessing.spawn(rank_values, (shares, str(tmp_path)), nprocs=2)
    for rank in range(2):
        for values in torch.load(tmp_path / f"{rank}.pt", weights_only=True):
            assert values == pytest.approx(expected(), rel=1e-12)
