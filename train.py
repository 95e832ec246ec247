"""Train an adapter (or a whole GPT-2) for data-to-text.

python train.py experiment=quickstart
python train.py experiment=e2e/gpt2_medium 'then=[generate,evaluate]'
python train.py data=jsonl data.train=mine.jsonl data.valid=dev.jsonl model.path=my_gpt2
python train.py -m method.rank=1,2,4,8 seed=0,1,2 experiment=quickstart
python train.py experiment=e2e/gpt2_medium dry_run=true
"""

import lora_lightning.process.first  # noqa: F401  # isort: skip
import hydra
from omegaconf import DictConfig

from lora_lightning.cli.entry import run
from lora_lightning.cli.quick_imports import import_lightning
from lora_lightning.sweep.job import run_task


@hydra.main(version_base="1.3", config_path="configs", config_name="train")
def main(config: DictConfig) -> float | None:
    """Train, then do what `then` says, and return the metric that a sweeper optimizes."""
    import_lightning()
    from lora_lightning.tasks.train import train

    return run_task(train, config)


if __name__ == "__main__":
    run(main)
