"""Callbacks that cannot do here what they are for are refused before anything is trained."""

import re

import pytest
from lightning.pytorch import callbacks
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from lora_lightning.errors import InputError
from lora_lightning.tasks.callbacks import REFUSED, check_callbacks, require_no_validation
from lora_lightning.tracking.csv_tables import read_metrics
from tests.commands import error_of, run_command
from tests.goldens import ROOT
from tests.tiny import TRAINING

NONE = ("trainer.limit_val_batches=0",)


class Own(callbacks.Callback):
    """A callback of the user's, which may log anything."""


class OwnPruning(callbacks.ModelPruning):
    """A class of the user's that is one of Lightning's."""


@pytest.mark.parametrize(
    ("callback", "instead"),
    [
        (callbacks.BatchSizeFinder(), "data.batch_size"),
        (callbacks.LearningRateFinder(), "sweep optimizer.lr"),
        (callbacks.GradientAccumulationScheduler({0: 2}), "trainer.accumulate_grad_batches"),
        (callbacks.StochasticWeightAveraging(1e-3), "scheduler"),
        (callbacks.WeightAveraging(), "scheduler"),
        (callbacks.EMAWeightAveraging(), "scheduler"),
        (callbacks.BackboneFinetuning(), "use method"),
        (callbacks.ModelPruning("l1_unstructured"), "frozen base"),
        (OwnPruning("l1_unstructured"), "frozen base"),
        (callbacks.RichProgressBar(), "trainer.enable_progress_bar"),
        (callbacks.TQDMProgressBar(), "trainer.enable_progress_bar"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, callbacks.Callback) else "",
)
def test_a_callback_that_does_not_go_with_the_loop_is_refused_with_what_to_use(callback, instead):
    with pytest.raises(InputError, match=f"{type(callback).__name__} cannot work here") as error:
        check_callbacks([callback])
    assert instead in str(error.value)


@pytest.mark.parametrize("kind", [EarlyStopping, ModelCheckpoint])
def test_what_there_is_no_metric_of_cannot_be_watched(kind):
    for monitor in ("val/loss", "val/perplexity_per_token"):
        check_callbacks([kind(monitor=monitor)])
        with pytest.raises(InputError, match=f"which goes by {monitor}, needs validation"):
            require_no_validation("last", [kind(monitor=monitor)])
    for monitor in ("loss", "val_loss", "train/loss"):
        with pytest.raises(InputError, match=f"monitor={monitor}: there is no such metric; "
                           r"allowed is val/loss \| "):  # fmt: skip
            check_callbacks([kind(monitor=monitor)])
        check_callbacks([kind(monitor=monitor), Own()])


def test_callbacks_that_watch_nothing_pass():
    passed = [callbacks.LearningRateMonitor(), callbacks.DeviceStatsMonitor(), callbacks.Timer(),
              ModelCheckpoint(), callbacks.LambdaCallback(), callbacks.ModelSummary()]  # fmt: skip
    check_callbacks(passed)
    require_no_validation("last", passed)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("callbacks=early_stopping", "callbacks.early_stopping.monitor=val_loss"), "val_loss: "),
        (
            ("callbacks=early_stopping", *NONE),
            "which goes by val/loss, needs validation, and this run has none",
        ),
        (("checkpoint=best", *NONE), "checkpoint=best needs validation, and this run has none"),
    ],
    ids=str,
)
def test_the_command_refuses_before_it_trains(tmp_path, overrides, said):
    error = error_of("train", *TRAINING, *overrides, f"output_dir={tmp_path / 'run'}")
    assert said in error
    assert not (tmp_path / "run" / "config.yaml").exists()


def table():
    """The callbacks of the page by name, and whether they work."""
    page = (ROOT / "docs" / "callbacks.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (yes|no) \|", page, re.MULTILINE)
    return {name: works == "yes" for name, works in rows}


def test_the_page_says_of_every_callback_of_lightning_whether_it_works():
    refused = {kind for kinds in REFUSED for kind in kinds}
    works = {
        name: not issubclass(getattr(callbacks, name), tuple(refused)) for name in callbacks.__all__
    }
    assert table() == works


def test_those_that_work_do_so_together_on_one_command_line(tmp_path):
    run = tmp_path / "run"
    needed = {
        "ModelCheckpoint": f",dirpath:'{tmp_path}/own',monitor:val/loss",
        "OnExceptionCheckpoint": f",dirpath:'{tmp_path}/exception'",
        "EarlyStopping": ",monitor:val/loss",
        "ThroughputMonitor": ",batch_size_fn:{_target_:hydra.utils.get_method,path:builtins.len}",
        "Timer": ",duration:{hours:1}",
    }
    given = [
        f"+callbacks.{name}={{_target_:lightning.pytorch.callbacks.{name}{needed.get(name, '')}}}"
        for name, works in table().items()
        if works
    ]
    run_command("train", *TRAINING, *given, f"output_dir={run}")
    assert len(list((tmp_path / "own").glob("*.ckpt"))) == 1
    rows = read_metrics(run / "diagnostics.csv")
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert all("train/gradient_norm" in row for row in rows)
