"""One run of Weights & Biases: what the dashboard gets beside the metrics of every logger."""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import wandb
from lightning.pytorch.loggers import WandbLogger

from lora_lightning.errors import InputError
from lora_lightning.files import read_json, read_json_lines, write_json
from lora_lightning.methods.method import ParameterRow
from lora_lightning.ranges import GIVEN, CountOrZero, Text, ranged
from lora_lightning.runs.folder import LOGGER_IDS
from lora_lightning.tracking.run_logger import RunLogger

PROJECT = "lora_lightning"


@ranged("logger.wandb")
class WandbRun(WandbLogger, RunLogger):
    """Lightning's logger with the tables and artifacts of our runs; used in rank 0 alone.

    Args:
        save_dir: folder for W&B's own files.
        project: where runs are gathered; None: WANDB_PROJECT, or `lora_lightning`.
        entity: user or team; None: WANDB_ENTITY, or the account's own.
        name: of the run.
        group: of runs that belong together.
        job_type: `train`, `generate` or `evaluate`.
        tags: to find runs by; none: WANDB_TAGS.
        notes: about the run; None: WANDB_NOTES.
        save_code: this and all up to `monitor_gym` are handed to `wandb.init`, but for None.
        settings: of W&B's client.
        config_include_keys: keys of the config that alone are shown.
        config_exclude_keys: keys of the config that are not shown.
        force: end where W&B cannot be reached.
        reinit: what happens to a run that is still open.
        resume_from: run and step to rewind to.
        fork_from: run and step to begin a new run at.
        tensorboard: take over what TensorBoard is told.
        sync_tensorboard: the same, and upload its files.
        monitor_gym: upload videos of OpenAI Gym.
        offline: record into `save_dir` alone.
        log_adapter: upload adapters; a fully trained model is one, too.
        prediction_rows: most rows of a table of predictions.
        id: of the run to continue; None begins a new one.

    Attributes:
        shown_config: what the run's config shows, set before `begin`; None leaves that of a
            continued run as it is.
    """

    shown_config: dict[str, Any] | None = None

    def __init__(
        self,
        *,
        save_dir: Text,
        project: Text | None = None,
        entity: Text | None = None,
        name: Text | None = None,
        group: Text | None = None,
        job_type: Annotated[Text | None, GIVEN] = None,
        tags: Sequence[Text] = (),
        notes: Text | None = None,
        save_code: bool | None = None,
        settings: Mapping[str, bool | int | float | Text | None] | None = None,
        config_include_keys: Sequence[Text] | None = None,
        config_exclude_keys: Sequence[Text] | None = None,
        force: bool | None = None,
        reinit: bool | Text | None = None,
        resume_from: Text | None = None,
        fork_from: Text | None = None,
        tensorboard: bool | None = None,
        sync_tensorboard: bool | None = None,
        monitor_gym: bool | None = None,
        offline: bool = False,
        log_adapter: bool = True,
        prediction_rows: CountOrZero = 100,
        id: Annotated[Text | None, GIVEN] = None,
    ) -> None:
        # Not Lightning's own `offline`: it sets WANDB_MODE for all later jobs of this process.
        mode = "offline" if offline else None
        handed_on: dict[str, Any] = {
            "save_code": save_code, "settings": settings and dict(settings), "force": force,
            "reinit": reinit,
            "config_include_keys": config_include_keys, "config_exclude_keys": config_exclude_keys,
            "resume_from": resume_from, "fork_from": fork_from, "tensorboard": tensorboard,
            "sync_tensorboard": sync_tensorboard, "monitor_gym": monitor_gym,
        }  # fmt: skip
        given = {key: value for key, value in handed_on.items() if value is not None}
        if resume_from or fork_from:  # W&B takes one of three
            given["resume"] = None
        super().__init__(
            project=project or os.environ.get("WANDB_PROJECT") or PROJECT, save_dir=save_dir,
            entity=entity or os.environ.get("WANDB_ENTITY"), name=name, group=group,
            job_type=job_type, tags=list(tags) or _tags_of_environment(),
            notes=notes or os.environ.get("WANDB_NOTES"), id=id, mode=mode,
            **given,
        )  # fmt: skip
        self.log_adapter = log_adapter
        self.prediction_rows = prediction_rows

    def begin(self) -> None:
        """Create the run, or continue it.

        Raises:
            InputError: W&B refuses, or cannot be reached.
        """
        try:
            self.experiment.config.update(self.shown_config or {}, allow_val_change=True)
        except ValueError as error:  # of what is handed on
            what = " ".join(str(error).split()).partition(" For further information")[0]
            raise InputError(f"logger.wandb: wandb.init refuses what is given ({what})") from None
        except wandb.errors.Error as error:
            raise InputError(
                f"logger=wandb: {' '.join(str(error).split())}; record without a network by "
                "logger.wandb.offline=true, or leave W&B out by logger=csv"
            ) from None

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Do nothing: the config is given when the run begins, flat axes included."""

    def begin_training(self, folder: Path, rows: list[ParameterRow], total: int) -> None:
        """Begin, write the run's id into the run folder, and log the trainable parameters.

        `resume=`, `generate.py` and `evaluate.py` look for the id there.

        Raises:
            InputError: as `begin`.
        """
        is_continued = self.version is not None
        self.begin()
        write_json(folder / LOGGER_IDS, {"wandb": self.experiment.id})
        if is_continued:
            return
        columns: list[str | int] = ["parameters", "formula", "count"]
        table = wandb.Table(columns, [[row.kind, row.formula, row.count] for row in rows])
        self.experiment.log({"parameters": table})
        trainable = sum(row.count for row in rows)
        self.experiment.summary.update(
            {"parameters/trainable": trainable, "parameters/total": total}
        )

    def log_adapters(self, folder: Path) -> None:
        """Log a run folder's adapters as one artifact: versions `last` and `best`."""
        for alias, name in (("last", "adapter"), ("best", "adapter_best")):
            if self.log_adapter and (folder / name).is_dir():
                artifact = wandb.Artifact(f"adapter-{self.experiment.id}", type="model")
                artifact.add_dir(str(folder / name))
                self.experiment.log_artifact(artifact, aliases=[alias])

    def log_predictions(self, folder: Path, label: str, checkpoint: str) -> None:
        """Log predictions.jsonl as an artifact under the checkpoint's alias, and the speed."""
        name = artifact_name(f"predictions-{label}-{self.experiment.id}")
        artifact = wandb.Artifact(name, type="predictions")
        for name in ("predictions.jsonl", "manifest.json"):
            artifact.add_file(str(folder / name))
        self.experiment.log_artifact(artifact, aliases=[checkpoint])
        throughput = read_json(folder / "manifest.json")["throughput"]
        self.experiment.log({f"decoding/{key}": value for key, value in throughput.items()})

    def log_evaluation(self, folder: Path, label: str) -> None:
        """Log the scores, and a table of some predictions with their references and scores."""
        metrics = read_json(folder / "metrics.json")
        subsets = {"": metrics["scores"]} | {f"{k}/": v for k, v in metrics["subsets"].items()}
        scores = {
            f"{label}/{subset}{metric}": value
            for subset, values in subsets.items()
            for metric, value in values.items()
            if value is not None
        }
        sentences = [record for _, record in read_json_lines(folder / "sentences.jsonl")]
        chosen = sample_by_id(sentences, self.prediction_rows)
        self.experiment.log(scores | {f"predictions/{label}": predictions_table(chosen)})

    def end(self, exit_code: int) -> None:
        """Close the run, if it began, and record how the job ended."""
        if self._experiment is not None:
            self._experiment.finish(exit_code=exit_code)


def _tags_of_environment() -> list[str] | None:
    tags = os.environ.get("WANDB_TAGS", "").split(",")
    return [tag.strip() for tag in tags if tag.strip()] or None


def sample_by_id(sentences: list[dict[str, Any]], rows: int) -> list[dict[str, Any]]:
    """Return at most `rows` records in their order: the same ids in every run over a data set."""

    def place(record: dict[str, Any]) -> str:
        return hashlib.sha256(str(record["id"]).encode()).hexdigest()

    chosen = {record["id"] for record in sorted(sentences, key=place)[:rows]}
    return [record for record in sentences if record["id"] in chosen]


def artifact_name(text: str) -> str:
    """Return a name that W&B takes: a letter of another script as its number."""
    return re.sub(r"[^A-Za-z0-9._-]", lambda match: f"_u{ord(match[0]):x}_", text)


def predictions_table(sentences: list[dict[str, Any]]) -> wandb.Table:
    """Return a table of sentences: id, context, references, prediction, a column a metric."""
    metrics = list(dict.fromkeys(name for record in sentences for name in record["metrics"]))
    rows = [
        [
            str(record["id"]),
            record["context"],
            "\n".join(record["references"]),
            record["hypothesis"],
            *(record["metrics"].get(name) for name in metrics),
        ]
        for record in sentences
    ]
    return wandb.Table(["id", "context", "references", "prediction", *metrics], rows)
