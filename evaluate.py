"""Score predictions with the protocol of their data set.

python evaluate.py run=latest
python evaluate.py run=outputs/train/… split=valid name=five_beams
python evaluate.py protocol=e2e hypotheses=out.txt references=refs.txt
python evaluate.py protocol=webnlg hypotheses=out.txt 'references=[reference0,reference1]'
"""

import lora_lightning.process.first  # noqa: F401  # isort: skip
import hydra
from omegaconf import DictConfig

from lora_lightning.cli.entry import run
from lora_lightning.cli.quick_imports import import_lightning
from lora_lightning.sweep.job import run_task


@hydra.main(version_base="1.3", config_path="configs", config_name="evaluate")
def main(config: DictConfig) -> None:
    """Score the predictions, write metrics.json and sentences.jsonl, and print the table."""
    if config.logger:
        import_lightning()
    from lora_lightning.tasks.evaluate import evaluate

    run_task(evaluate, config)


if __name__ == "__main__":
    run(main)
