"""Validation by generation: what it measures, and that the training does not notice it."""

import json
from collections import Counter

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping
from safetensors.torch import load_file

from lora_lightning.errors import InputError
from lora_lightning.tasks.callbacks import check_callbacks
from lora_lightning.tasks.text_validation import stratified
from lora_lightning.tracking.csv_tables import read_metrics
from tests.checkpoints.interrupted_runs import crash, interrupted, rows_of, state_of
from tests.commands import error_of, run_command, run_process

SEARCH = ("generation.num_beams=2", "generation.max_new_tokens=10")
TRAINING = ("trainer=cpu", "data=sample_e2e", "trainer.max_steps=9", "trainer.val_check_interval=3",
            "trainer.log_every_n_steps=1", "trainer.limit_val_batches=1", "optimizer.lr=1e-2",
            "trainer.validate_first=true", "method.dropout=0.2", *SEARCH)  # fmt: skip
TEXTS = ("validation=generation", "validation.contexts=null", "best_by=val/bleu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def run(folder):
    """A run that decodes every validation context, and goes by BLEU."""
    run_command("train", *TRAINING, *TEXTS, "checkpoint=best", f"output_dir={folder / 'run'}")
    return folder / "run"


def validations(run):
    return [row for row in read_metrics(run / "metrics.csv") if "val/bleu" in row]


def test_the_training_is_that_of_a_run_that_decodes_nothing(run, folder):
    run_command("train", *TRAINING, f"output_dir={folder / 'plain'}")
    plain = rows_of(folder / "plain")
    texts = ("val/bleu", "val/nist")
    assert [{k: v for k, v in row.items() if k not in texts} for row in rows_of(run)] == plain
    assert "val/bleu" not in (folder / "plain" / "metrics.csv").read_text()
    adapters = [load_file(path / "adapter" / "adapter_model.safetensors")
                for path in (run, folder / "plain")]  # fmt: skip
    assert all(torch.equal(adapters[0][name], adapters[1][name]) for name in adapters[1])


def test_the_scores_are_those_of_generate_and_evaluate_on_the_same_contexts(run):
    run_command("generate", f"run={run}", "split=valid", "checkpoint=last", "trainer=cpu", *SEARCH)
    run_command("evaluate", f"run={run}", "split=valid", "protocol.metrics=[bleu,nist]")
    scores = json.loads((run / "evaluation" / "valid" / "metrics.json").read_text())["scores"]
    last = validations(run)[-1]
    assert [last["val/bleu"], last["val/nist"]] == pytest.approx(
        [scores["bleu"], scores["nist"]], rel=1e-12
    )


def test_the_best_adapter_is_the_one_of_the_best_score(run):
    rows = validations(run)
    assert [row["step"] for row in rows] == [0, 3, 6, 9]
    best = max(rows[1:], key=lambda row: row["val/bleu"])
    assert len({row["val/bleu"] for row in rows}) > 2
    kept = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    assert kept["update"] == best["step"]
    assert (run / "adapter_best" / "adapter_model.safetensors").is_file()


def test_the_log_says_what_is_decoded_and_what_it_costs(run):
    log = (run / "train.log").read_text(encoding="utf-8")
    assert "decodes 38 of 38 contexts each time" in log
    assert ", val/bleu 0." in log
    assert " s to decode) after update 9" in log


def test_a_run_that_was_killed_goes_on_to_the_same_scores(run, folder):
    settings = (*TRAINING, *TEXTS, "trainer.save_every_n_steps=2", "checkpoint=best")
    interrupted(folder / "killed", (), 8, crash, settings=settings)
    run_command("train", f"resume={folder / 'killed'}")
    assert rows_of(folder / "killed") == rows_of(run)
    for name in ("last.ckpt", "best.ckpt"):
        killed, whole = (state_of(path, name)["state_dict"] for path in (folder / "killed", run))
        assert all(torch.equal(killed[key], whole[key]) for key in whole)


def test_two_ranks_get_the_score_of_all_texts(run, folder):
    run_process("train.py", *TRAINING, *TEXTS, "trainer=ddp_cpu", "trainer.max_steps=1",
                "trainer.val_check_interval=null", f"output_dir={folder / 'ranks'}")  # fmt: skip
    first = validations(folder / "ranks")[0]
    assert [first["val/bleu"], first["val/nist"]] == pytest.approx(
        [validations(run)[0]["val/bleu"], validations(run)[0]["val/nist"]], rel=1e-12
    )


def test_early_stopping_goes_by_the_score_and_knows_that_more_is_better(folder):
    run_command("train", *TRAINING, *TEXTS, "optimizer.lr=0", "callbacks=early_stopping",
                "callbacks.early_stopping.patience=1", "trainer.validate_first=false",
                f"output_dir={folder / 'stopped'}")  # fmt: skip
    assert [row["step"] for row in validations(folder / "stopped")] == [3, 6]
    stored = (folder / "stopped" / "config.yaml").read_text()
    assert "monitor: val/bleu" in stored
    assert "mode: max" in stored


def test_a_callback_that_watches_the_wrong_way_is_refused():
    names = ["val/loss", "val/bleu", "val/ter"]
    for monitor, mode in (("val/bleu", "max"), ("val/loss", "min"), ("val/ter", "min")):
        check_callbacks([EarlyStopping(monitor, mode=mode)], names)
        wrong = {"max": "min", "min": "max"}[mode]
        with pytest.raises(InputError, match=f"mode={wrong}: {monitor} is better the"):
            check_callbacks([EarlyStopping(monitor, mode=wrong)], names)


@pytest.mark.parametrize(("arguments", "message"), [
    (["best_by=val/bleu"], "best_by=val/bleu: a validation measures val/loss, val/perplexity"),
    (["best_by=val/meteor", "validation=generation"], "val/per"),
    (["best_by=loss"], "best_by=loss"),
    (["validation=generation", "validation.contexts=0"], "validation.contexts=0"),
    (["validation=generation", "trainer.limit_val_batches=0"], "validation=generation needs"),
    (["validation.contexts=5"], "validation.contexts"),
    (["validation=texts"], "validation=texts"),
    (["validation=generation", "generation.max_new_tokens=600"], "generation.max_new_tokens=600"),
])  # fmt: skip
def test_what_a_validation_cannot_do_is_one_line(arguments, message, tmp_path):
    error = error_of("train", *TRAINING, *arguments, f"output_dir={tmp_path / 'run'}")
    assert message in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("count", [1, 7, 20, 59, 60, 99])
def test_each_stratum_has_its_share_of_the_contexts(count):
    strata = [("a", 1)] * 30 + [("b", 1)] * 20 + [("b", 2)] * 10
    strata = strata[::7] + [s for place, s in enumerate(strata) if place % 7]
    places = stratified(strata, count)
    assert places == sorted(set(places))
    assert len(places) == min(count, 60)
    taken, all_of_them = Counter(strata[place] for place in places), Counter(strata)
    for stratum, size in all_of_them.items():
        assert abs(taken[stratum] - size * len(places) / 60) < 1
