"""The trial of a study that a job is: what it reports while it trains, and whether it goes on.

A job knows its trial by its own config, or where it is a process of its own by its environment, so
jobs may lie in one process, in several, or on several machines: the study's storage joins them.
"""

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from lora_lightning.config.study import open_storage, storage_in, study_name

if TYPE_CHECKING:
    import optuna

TRIAL = "LORA_LIGHTNING_TRIAL"


class PrunedError(Exception):
    """A job ended early, as its trial promised less than the others; all that it has is saved."""


@dataclass(frozen=True)
class Trial:
    """A trial of a study.

    Attributes:
        storage: URL of the study's storage.
        study: its name there.
        number: of the trial.
    """

    storage: str
    study: str
    number: int

    def should_be_pruned(
        self, pruner: "optuna.pruners.BasePruner", step: int, value: float
    ) -> bool:
        """Report a metric and return whether the job ends now; the study then has it as pruned.

        A trial that the study has already as ended, as that of a job that runs again, goes on.

        Args:
            pruner: that judges.
            step: updates done.
            value: of the metric after them.
        """
        from optuna.trial import TrialState

        study = self.load_study(pruner)
        trial = study.get_trials(deepcopy=False)[self.number]
        if trial.state.is_finished():
            return False
        storage = study._storage
        storage.set_trial_intermediate_value(trial._trial_id, step, value)
        if not pruner.prune(study, storage.get_trial(trial._trial_id)):
            return False
        study.tell(self.number, state=TrialState.PRUNED)
        return True

    def load_study(self, pruner: "optuna.pruners.BasePruner | None" = None) -> "optuna.Study":
        """Return the study, as its storage has it now."""
        import optuna

        storage: Any = open_storage(self.storage)
        return optuna.load_study(study_name=self.study, storage=storage, pruner=pruner)

    def environment(self) -> dict[str, str]:
        """Return what tells a process of its own that it runs this trial."""
        return {TRIAL: json.dumps(asdict(self))}


def current_trial() -> Trial | None:
    """Return the trial that this job is, None where it is none."""
    if TRIAL in os.environ:
        return Trial(**json.loads(os.environ[TRIAL]))
    hydra = HydraConfig.get()
    number = hydra.sweeper.get("trial")
    if hydra.mode != RunMode.MULTIRUN or number is None:
        return None
    storage = hydra.sweeper.storage or storage_in(hydra.sweep.dir)
    return Trial(storage, study_name(hydra.sweeper.study_name), number)
