"""Where the configs of compared systems differ."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lora_lightning.config.overrides import flat_values
from lora_lightning.files import read_json_object
from lora_lightning.runs.folder import RunFolder

_OF_PLACES = ("paths.", "output_dir", "name", "hydra.", "then", "resume", "run")
LONGEST_PATH = 4  # <run>/evaluation/<split>/<name>


def config_of(evaluation: Path) -> dict[str, Any]:
    """Return dotted key → value of the run that an evaluation's folder lies in, and its decoding.

    Settings of the decoding are those that `manifest.json` of its predictions has. What lies in no
    run has no config.

    Raises:
        InputError: the run's config is damaged.
    """
    for run in list(evaluation.parents)[: LONGEST_PATH - 1]:
        if (run / ".hydra" / "config.yaml").is_file() and (run / "config.yaml").is_file():
            folder = RunFolder.open(run)
            values = flat_values(folder.resolved_config, folder.started_in)
            return values | _decoding(run, evaluation)
    return {}


def _decoding(run: Path, evaluation: Path) -> dict[str, Any]:
    parts = evaluation.relative_to(run).parts[1:]
    manifest = run.joinpath("predictions", *parts, "manifest.json")
    if not manifest.is_file():
        return {}
    settings = read_json_object(manifest).get("settings")
    generation = settings.get("generation") if isinstance(settings, dict) else None
    items = generation.items() if isinstance(generation, dict) else ()
    return {f"generation.{key}": value for key, value in items}


def differences(configs: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, dict[str, str]]:
    """Return each key that differs between systems → system → its values over the runs.

    Systems without a config are left out of the comparison, and have empty values.

    Args:
        configs: system → the config of each of its runs.
    """
    keys = dict.fromkeys(key for runs in configs.values() for run in runs for key in run)
    rows = {
        key: {name: _values(key, runs) for name, runs in configs.items()}
        for key in keys
        if not key.startswith(_OF_PLACES)
    }
    known = [name for name, runs in configs.items() if any(runs)]
    return {key: row for key, row in rows.items() if len({row[name] for name in known}) > 1}


def _values(key: str, runs: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(dict.fromkeys(str(run[key]) for run in runs if key in run))
