"""`then=[generate,evaluate]`: decoding and scoring in the process that trained."""

import lightning.pytorch as pl
from omegaconf import DictConfig

from lora_lightning.data.datamodule import DataToTextModule
from lora_lightning.runs.folder import RunFolder


def do_what_follows(
    config: DictConfig,
    run: RunFolder,
    data: DataToTextModule,
    trainer: pl.Trainer,
    may_be_done: bool,
) -> dict[str, float]:
    """Do what `then` names, in this process and its ranks, and return the scores.

    Args:
        config: of the run.
        run: its folder; the model is loaded from what it wrote to disk.
        data: the data set.
        trainer: whose ranks decode, and whose loggers get predictions and scores.
        may_be_done: whether results in the folder are of the model as it is, and need no repeat.
    """
    from lora_lightning.tasks.evaluate import score_run
    from lora_lightning.tasks.generate import decode_run

    decoded = run.path / "predictions" / config.split / "manifest.json"
    scored = run.path / "evaluation" / config.split / "metrics.json"
    if "generate" in config.then and not (may_be_done and decoded.is_file()):
        decode_run(config, run, data, trainer)
    if "evaluate" not in config.then or not trainer.is_global_zero:
        return {}
    if not (may_be_done and scored.is_file()):
        score_run(config, run, data, trainer.loggers)
    return run.scores(config.split)
