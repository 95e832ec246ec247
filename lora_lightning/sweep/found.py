"""What a study found: the best of its trials, said and written to optimization_results.yaml."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from lora_lightning.config.study import objectives_of
from lora_lightning.errors import InputError
from lora_lightning.files import atomic_text

if TYPE_CHECKING:
    import optuna

log = logging.getLogger(__name__)
RESULTS = "optimization_results.yaml"


def write_results(study: "optuna.Study", config: DictConfig) -> None:
    """Say what is best, and write it to optimization_results.yaml.

    Raises:
        InputError: no trial has a value.
    """
    from optuna.trial import TrialState

    metrics = objectives_of(config)
    if not study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]):
        raise InputError(
            f"no trial finished with a value of {', '.join(metrics)}; each job's folder in the "
            "sweep's says why"
        )
    best = study.best_trials if len(metrics) > 1 else [study.best_trial]
    for trial in best:
        values = ", ".join(f"{m} {v:.6g}" for m, v in zip(metrics, trial.values, strict=True))
        log.info("best          trial %d: %s by %s", trial.number, values, trial.params)
    found: dict[str, Any] = {"solutions": [{"params": t.params, "values": t.values} for t in best]}
    if len(metrics) == 1:
        found = {"best_params": best[0].params, "best_value": best[0].value}
    with atomic_text(Path(config.hydra.sweep.dir) / RESULTS) as file:
        file.write(OmegaConf.to_yaml(OmegaConf.create({"name": "optuna", **found})))
