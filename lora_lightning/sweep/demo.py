"""A sweep on the bundled sample: LoRA's rank × seed, in one pass over the base.

    python -m lora_lightning.sweep.demo

Trains and scores every job, prints the table with mean ± std over seeds, and the path of the page.
"""

from lora_lightning.errors import ProgramArguments
from lora_lightning.process import now
from lora_lightning.process.children import show_child
from lora_lightning.process.program import as_program
from lora_lightning.process.programs import as_started

SETTINGS = (
    "hparams_search=rank_grid", "method.rank=1,4,16", "seed=0,1", "experiment=quickstart",
    "trainer=cpu", "trainer.max_steps=120", "data.limit_test=20", "then=[generate,evaluate]",
    "hydra/launcher=one_pass",
)  # fmt: skip


def main() -> None:
    """Run the three commands as a user would."""
    ProgramArguments(as_started(__doc__)).parse_args()
    folder = f"outputs/train/sweep_demo_{now()}"
    show_child("train.py", "-m", *SETTINGS, f"output_dir={folder}")
    show_child("-m", "lora_lightning.sweep", "plot", folder)


if __name__ == "__main__":
    with as_program():
        main()
