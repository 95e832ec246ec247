"""A logger as a user would write one: it notes what it is told."""

from lightning.pytorch.utilities import rank_zero_only

from lora_lightning.tracking.run_logger import RunLogger

told = []


class Notes(RunLogger):
    """Notes the name of every hook that is called."""

    name = "notes"
    version = ""

    @rank_zero_only
    def log_metrics(self, metrics, step=None):
        if "val/loss" in metrics:
            told.append("validation")

    @rank_zero_only
    def log_hyperparams(self, params, *_, **__):
        told.append(f"seed {params['seed']}")

    def begin(self):
        told.append("begin")

    def begin_training(self, folder, rows, total):
        told.append(f"begin_training {sum(row.count for row in rows)}")

    def log_adapters(self, folder):
        told.append(f"log_adapters {sorted(path.name for path in folder.glob('adapter*'))}")

    def log_predictions(self, folder, label, checkpoint):
        assert (folder / "predictions.jsonl").is_file()
        told.append(f"log_predictions {label} {checkpoint}")

    def log_evaluation(self, folder, label):
        assert (folder / "metrics.json").is_file()
        told.append(f"log_evaluation {label}")

    def end(self, exit_code):
        told.append(f"end {exit_code}")
