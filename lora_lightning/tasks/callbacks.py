"""Lightning's callbacks, and what must hold of them before anything is trained."""

from collections.abc import Sequence

import lightning.pytorch as pl
from lightning.pytorch import callbacks as of_lightning

from lora_lightning.config.commands import VALIDATED
from lora_lightning.config.study import direction_of
from lora_lightning.errors import InputError

REFUSED: dict[tuple[type[pl.Callback], ...], str] = {
    (of_lightning.GradientAccumulationScheduler,): "schedules count the run's updates beforehand; "
    "use trainer.accumulate_grad_batches",
    (of_lightning.BatchSizeFinder,): "schedules count the run's batches beforehand; use "
    "data.batch_size, as large as `dry_run=true` says that the memory allows",
    (of_lightning.LearningRateFinder,): "it would train with another schedule than the run's; "
    "sweep optimizer.lr, as hparams_search=lr_alpha does",
    (of_lightning.StochasticWeightAveraging, of_lightning.WeightAveraging): "validation would "
    "measure other weights than the run saves; use optimizer.lr and scheduler",
    (of_lightning.BaseFinetuning,): "which tensors train is decided once; use method",
    (of_lightning.ModelPruning,): "it would change the frozen base, which an adapter does not hold",
    (of_lightning.SpikeDetection,): "a loss that is not finite ends the run by itself; leave it "
    "out, or use trainer.gradient_clip_val",
    (of_lightning.ProgressBar,): "the run has its own; use +trainer.enable_progress_bar=true or "
    "trainer.progress_every_n_seconds",
}


def check_callbacks(callbacks: Sequence[pl.Callback], validated: Sequence[str] = VALIDATED) -> None:
    """Check that Lightning's callbacks can do with this loop what they are for.

    What the user's own class does, or logs for another to watch, is not judged.

    Args:
        callbacks: of the group `callbacks`.
        validated: the metrics that a validation measures.

    Raises:
        InputError: one cannot, or watches a metric that there is not, or watches it the wrong way.
    """
    has_own = any(not type(callback).__module__.startswith("lightning.") for callback in callbacks)
    for callback in callbacks:
        name = type(callback).__name__
        for classes, reason in REFUSED.items():
            if isinstance(callback, classes):
                raise InputError(f"callbacks: {name} cannot work here: {reason}")
        monitor = getattr(callback, "monitor", None)
        if not isinstance(monitor, str):
            continue
        if monitor not in validated and not has_own:
            raise InputError(
                f"callbacks: {name}.monitor={monitor}: there is no such metric; allowed is "
                f"{' | '.join(validated)}"
            )
        less, mode = direction_of(monitor) == "minimize", getattr(callback, "mode", None)
        if monitor in validated and mode == ("max" if less else "min"):
            raise InputError(
                f"callbacks: {name}.mode={mode}: {monitor} is better the "
                f"{'less' if less else 'more'} of it there is; give the other mode"
            )


def require_no_validation(
    checkpoint: str, callbacks: Sequence[pl.Callback], decodes: bool = False
) -> None:
    """Check that nothing goes by what a run without validation never has.

    Args:
        checkpoint: `last` or `best`.
        decodes: whether a validation is to decode texts.
        callbacks: of the group `callbacks`.

    Raises:
        InputError: naming what does.
    """
    waiting = ["checkpoint=best"] if checkpoint == "best" else []
    waiting += ["validation=generation"] if decodes else []
    for callback in callbacks:
        if (monitor := getattr(callback, "monitor", None)) in VALIDATED:
            waiting.append(f"callbacks: {type(callback).__name__}, which goes by {monitor},")
    if waiting:
        raise InputError(
            f"{waiting[0]} needs validation, and this run has none; give rows to validate "
            "(data.valid=…) and no trainer.limit_val_batches=0, or leave it out"
        )
