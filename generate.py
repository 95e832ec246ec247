"""Decode contexts with beam search: every distinct context of a split, a file's, or one text.

python generate.py run=latest
python generate.py run=outputs/train/… split=valid generation.num_beams=5 name=five_beams
python generate.py run=latest text="name : Blue Spice | Type : coffee shop"
python generate.py run=latest inputs=contexts.txt
python generate.py adapter=released.pt model=gpt2_medium data=e2e
"""

import lora_lightning.process.first  # noqa: F401  # isort: skip
import hydra
from omegaconf import DictConfig

from lora_lightning.cli.entry import run
from lora_lightning.cli.quick_imports import import_gpt2, import_lightning
from lora_lightning.sweep.job import run_task


@hydra.main(version_base="1.3", config_path="configs", config_name="generate")
def main(config: DictConfig) -> None:
    """Decode and write predictions.jsonl, or print the beams of one text."""
    if config.text is not None:
        import_gpt2()
        from lora_lightning.tasks.one_text import print_hypotheses as task
    else:
        import_lightning()
        from lora_lightning.tasks.generate import generate as task
    run_task(task, config)


if __name__ == "__main__":
    run(main)
