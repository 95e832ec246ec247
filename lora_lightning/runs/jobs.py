"""Jobs of a multirun of generate.py and evaluate.py: each takes what its own run had.

Hydra composes every job from one command line. Where `run=` is swept, the loader of configs here
puts the overrides of the job's own run in the place of another's; and it says where the job's
results go: into its run, as without `-m`, in a folder that is named by the overrides.
"""

import os
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, open_dict

from lora_lightning.config.files import lacks
from lora_lightning.config.resolvers import results_dir
from lora_lightning.config.search_path import CONFIGS
from lora_lightning.errors import InputError
from lora_lightning.files import folder_name

KINDS = {"generate": "predictions", "evaluate": "evaluation"}
OF_PATH = ("run", "split", "inputs", "name")  # keys that results in a run have in their path
IN_NO_LABEL = ("output_dir", "overwrite", "on_job_failure", "dry_run", "trust")


@dataclass(frozen=True)
class Jobs:
    """What the jobs of a multirun take from runs, and where their results go.

    Attributes:
        command: `generate` or `evaluate`.
        presets: run → overrides that give its data, model, method and generation.
        own: keys that the user gave, as they stand before the `=`.
        swept: those of them that have several values.
        writes: whether the command writes anything.
    """

    command: str
    presets: dict[str, list[str]] = field(default_factory=dict)
    own: frozenset[str] = frozenset()
    swept: frozenset[str] = frozenset()
    writes: bool = True

    def require_keys(self) -> None:
        """Require that every run of several has the keys that the jobs are given.

        Raises:
            InputError: naming the key, and a run whose data, model, method or generation lacks it.
        """
        for key in sorted(self.own) if len(self.presets) > 1 else ():
            group, _, name = key.partition(".")
            chosen = {run: _value(presets, group) for run, presets in self.presets.items()}
            options = {run: option for run, option in chosen.items() if name and option}
            without = [r for r, o in options.items() if lacks(CONFIGS / group, o, name)]
            if without and len(without) < len(options):
                raise InputError(
                    f"{key}: run={without[0]} has {group}={options[without[0]]}, which has no such "
                    f"key; sweep the runs that have it by themselves, or leave out {key}"
                )

    def own_overrides(self, overrides: Iterable[str]) -> list[str]:
        """Return a job's overrides without those that stand for a run."""
        of_runs = {_key(preset) for presets in self.presets.values() for preset in presets}
        return [o for o in overrides if _key(o) in self.own or _key(o) not in of_runs]

    def composed_of(self, overrides: Iterable[str]) -> list[str]:
        """Return a job's overrides with those that stand for its own run before them."""
        own = self.own_overrides(overrides)
        presets = self.presets.get(_value(own, "run") or "", [])
        return [*(preset for preset in presets if _key(preset) not in self.own), *own]

    def place(self, hydra: Any, config: DictConfig, overrides: Iterable[str]) -> str | None:
        """Return where a job's results go, below the sweep's folder or absolute.

        Args:
            hydra: Hydra's own config.
            config: of the sweep, for what the job does not say.
            overrides: of the job, as far as the user gave them.

        Returns:
            None where nothing but the job's number tells it from others.
        """
        if not self.writes:
            return None
        own = list(overrides)
        label = self._label(hydra, config, own)
        if (results := results_in_run(self.command, own, config)) is None:
            return label or None
        folder, sweep = os.path.join(results, label), os.path.abspath(hydra.sweep.dir)
        relative = os.path.relpath(os.path.abspath(folder), sweep)
        if relative == os.curdir:
            return None
        return os.path.abspath(folder) if relative.startswith(os.pardir) else relative

    def _label(self, hydra: Any, config: DictConfig, own: list[str]) -> str:
        style = hydra.job.config.override_dirname
        is_in_run = results_in_run(self.command, own, config) is not None
        in_path = OF_PATH if is_in_run else [key for key in OF_PATH if key not in self.swept]
        run = _value(own, "run")
        if run is not None and not is_in_run:
            own = [f"run={self._short(run)}" if _key(o) == "run" else o for o in own]
        exclude = [*style.exclude_keys, *IN_NO_LABEL, *in_path]
        named = [override for override in own if not _key(override).startswith("paths.")]
        parsed = OverridesParser.create().parse_overrides(named)
        return folder_name(get_overrides_dirname(parsed, exclude, style.item_sep, style.kv_sep))

    def _short(self, run: str) -> str:
        """Return what tells a run from the others."""
        shared = os.path.commonpath(self.presets) if len(self.presets) > 1 else os.path.dirname(run)
        return f"'{os.path.relpath(run, shared)}'"


JOBS: ContextVar[Jobs | None] = ContextVar("JOBS", default=None)


def results_in_run(command: str, overrides: Iterable[str], config: DictConfig) -> str | None:
    """Return the folder of a job's results, without its label; None where no run has them.

    Args:
        command: `generate` or `evaluate`.
        overrides: of the job.
        config: of the sweep, for what the job does not say.
    """
    own = list(overrides)
    if "output_dir" in map(_key, own) or (run := _value(own, "run")) is None:
        return None
    values = {key: _value(own, key) for key in ("split", "inputs", "name")}
    given = {key: config.get(key) if value is None else value for key, value in values.items()}
    return results_dir(KINDS[command], "", run, str(given["split"]), given["inputs"], given["name"])


class JobLoader(ConfigLoaderImpl):
    """Hydra's loader of configs, for jobs that take what runs had; launchers send it to workers."""

    def __init__(self, config_search_path: ConfigSearchPath, jobs: Jobs) -> None:
        super().__init__(config_search_path)
        self.jobs = jobs

    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        """Return the config of one job."""
        own = self.jobs.own_overrides(sweep_overrides)
        config = super().load_sweep_config(master_config, self.jobs.composed_of(sweep_overrides))
        place = self.jobs.place(master_config.hydra, master_config, own)
        with open_dict(config):
            config.hydra.sweep.dir = str(master_config.hydra.sweep.dir)
            if is_default_place(master_config):
                config.hydra.sweep.subdir = "${hydra.job.num}" if place is None else place
        return config


def is_default_place(config: DictConfig) -> bool:
    """Whether a sweep's jobs lie where our own configs say, and not where the user does."""
    return str(config.hydra.sweep._get_node("subdir")._value()).startswith("${job_folder:")


def install_loader() -> None:
    """Let Hydra load the configs of this command's jobs as they need it."""
    if (jobs := JOBS.get()) is not None:
        hydra: Any = GlobalHydra.instance().hydra
        hydra.config_loader = JobLoader(hydra.config_loader.get_search_path(), jobs)


def require_own_folders(places: Mapping[str, Path]) -> None:
    """Require that no two jobs write into one folder.

    Raises:
        InputError: naming both.
    """
    first: dict[Path, str] = {}
    for job, folder in places.items():
        if (other := first.setdefault(folder, job)) != job:
            raise InputError(
                f"jobs {other} and {job} would both write into {folder}; leave out what is given "
                "twice, or sweep name=…"
            )


def _key(override: str) -> str:
    return override.split("=", 1)[0]


def _value(overrides: Iterable[str], key: str) -> str | None:
    """Return the text that a key is set to, None where it is not, or to null."""
    value = None
    for override in OverridesParser.create().parse_overrides(
        [o for o in overrides if _key(o).lstrip("+") == key]
    ):
        value = override.value()
    return None if value is None or isinstance(value, dict | list) else str(value)
