"""The folder of a training run: what lies where, finding one, and never overwriting one."""

import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from os.path import expanduser
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from lora_lightning.config.overrides import FILE_KEYS, flat_values, with_absolute_paths
from lora_lightning.config.stored import check_choice, check_classes, without_resolvers
from lora_lightning.config.trust import SWITCH, Trust, switch_for, trust_of, trusted_no_longer
from lora_lightning.errors import InputError
from lora_lightning.files import require_links_within
from lora_lightning.runs.stored_config import (
    COMPOSED,
    HYDRA,
    RESOLVED,
    read_composed,
    read_resolved,
    read_runtime,
)
from lora_lightning.runs.stored_results import read_scores

ISOLATED_JOB = "LORA_LIGHTNING_ISOLATED_JOB"  # the folder that a multirun made for this process
CONTINUES = "LORA_LIGHTNING_CONTINUES"  # the sweep folder that `sweep resume` goes on with
LOGGER_IDS = "logger_ids.json"  # logger → id of the run in it, such as {"wandb": "ab12cd34"}
PREDICTIONS = ("predictions.jsonl", "manifest.json")
UNFINISHED = ("shards",)
SCORES = ("metrics.json", "sentences.jsonl", "statistics.json")  # the first is written last
TRAINING = (
    "run.json", "config.yaml", "metrics.csv", "checkpoints", "adapter", "adapter_best",
    "result.json", "loss.png", "multirun.yaml", "sweep.json", "sweep.csv", "diagnostics.csv",
    LOGGER_IDS,
)  # fmt: skip


@dataclass(frozen=True)
class RunFolder:
    """A training run on disk."""

    path: Path

    @classmethod
    def open(cls, path: Path | str, key: str = "run") -> "RunFolder":
        """Return the run in `path`.

        Args:
            path: the folder.
            key: the config key that names it, for messages.

        Raises:
            InputError: the folder is missing or holds no training run.
        """
        folder = Path(expanduser(path))
        if (
            not (folder / ".hydra" / "config.yaml").is_file()
            or not (folder / "config.yaml").is_file()
        ):
            what = "holds no training run" if folder.is_dir() else "no such folder"
            raise InputError(
                f"{key}={path}: {what}; give a folder that train.py wrote, or {key}=latest"
            )
        return cls(folder.resolve())

    def check(self, trust: Trust, given: Collection[str] = ()) -> None:
        """Check that the folder, which others may have written, decides nothing that it must not.

        Args:
            trust: of this command.
            given: keys and groups that the command line gives anew.

        Raises:
            InputError: its config names a class, program or option that is not allowed, or a link
                in it leads out of it.
        """
        for file, config in ((COMPOSED, self.config), (RESOLVED, self.resolved_config)):
            content: Any = OmegaConf.to_container(config, resolve=False)
            check_classes(content, str(self.path / file), trust, given)
        self.require_options()
        if not trust.everything:
            require_links_within(self.path, SWITCH)

    def check_alone(self, trust: bool, user_dir: str | None = None) -> None:
        """Check as `check` does, for a caller that has no command line of Hydra's.

        Args:
            trust: whether whoever wrote the folder may decide which code is run.
            user_dir: where the user's own modules lie; None: as `configs/` has it.
        """
        with trusted_no_longer():
            self.check(trust_of(trust, user_dir))

    def switch(self, user_folder: Path) -> str:
        """Return what a command line that goes on with this run needs besides: nothing, mostly."""
        return switch_for(self.check, user_folder)

    @property
    def config(self) -> DictConfig:
        """The run's config as the user composed it, its keys' references to each other alive."""
        composed = read_composed(self.path)
        return without_resolvers(composed, self.resolved_config, self.path / COMPOSED)

    @property
    def resolved_config(self) -> DictConfig:
        """The run's config as it was used, paths of files absolute."""
        config = read_resolved(self.path)
        plain = without_resolvers(config, config, self.path / RESOLVED)
        return with_absolute_paths(plain, self.started_in)

    def with_base(self, base: str | None) -> DictConfig:
        """Return the config as it was used, for a process of any folder: paths of files absolute.

        Args:
            base: path or hub name of a base that has moved since, if any; a tokenizer that came
                with it comes with this one.
        """
        config = self.resolved_config
        if base is not None:
            if config.model.tokenizer == config.model.path:
                config.model.tokenizer = base
            config.model.path = base
        return config

    def values(self) -> dict[str, Any]:
        """Return the config by dotted key, interpolations alive, paths of files absolute."""
        used = flat_values(self.resolved_config, self.started_in)
        values = flat_values(self.config, self.started_in)
        # Only the run itself could tell a name on the hub from a folder that has gone since.
        plain = [key for key in FILE_KEYS if key in values and "${" not in str(values[key])]
        return values | {key: used[key] for key in plain if key in used}

    @property
    def choices(self) -> dict[str, Any]:
        """Which option of each config group the run chose."""
        self.require_options()
        return read_runtime(self.path).choices

    def require_options(self) -> None:
        """Require that what the run chose are options, not paths to elsewhere.

        Raises:
            InputError: naming the group.
        """
        for group, option in read_runtime(self.path).choices.items():
            check_choice(group, option, str(self.path / HYDRA))

    @property
    def started_in(self) -> Path:
        """The folder that the run's relative paths are relative to."""
        return Path(read_runtime(self.path).cwd)

    @property
    def last_checkpoint(self) -> Path:
        """The file that `resume=` goes on from."""
        return self.path / "checkpoints" / "last.ckpt"

    def adapter(self, checkpoint: str) -> Path:
        """Return the adapter's folder of `checkpoint` (`last` or `best`).

        Raises:
            InputError: the run wrote none.
        """
        folder = self.path / ("adapter" if checkpoint == "last" else "adapter_best")
        if not folder.is_dir():
            why = (
                "the run did not end"
                if checkpoint == "last"
                else "the run had no validation; use checkpoint=last"
            )
            raise InputError(f"checkpoint={checkpoint}: {folder} does not exist ({why})")
        return folder

    def lacks_scores(self, split: str) -> bool:
        """Whether the run's evaluation has a hole: a metric that could not be computed."""
        path = self.path / "evaluation" / split / "metrics.json"
        return path.is_file() and bool(read_scores(path).not_computed)

    def scores(self, split: str) -> dict[str, float]:
        """Return `<split>/<metric>` → score of the run's evaluation, without what it lacks."""
        scores = read_scores(self.path / "evaluation" / split / "metrics.json").scores
        return {f"{split}/{metric}": value for metric, value in scores.items() if value is not None}


def is_job_of_sweep() -> bool:
    """Whether this job is one of a multirun, in its process or in one of its own."""
    return HydraConfig.get().mode == RunMode.MULTIRUN or ISOLATED_JOB in os.environ


def output_folder() -> Path:
    """Return the folder of this job as Hydra made it."""
    return Path(HydraConfig.get().runtime.output_dir)


def remove_results(folder: Path, names: tuple[str, ...]) -> None:
    """Remove earlier results from `folder`, once their successors are about to be written."""
    for name in names:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
