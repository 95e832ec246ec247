"""Draw the README's pictures anew: the losses of a run, and a sweep over LoRA's rank.

    python -m docs.pictures

Trains the quickstart and a small sweep on the bundled sample, some minutes, below outputs/.
"""

import shutil

from lora_lightning.errors import ProgramArguments, one_line_errors
from lora_lightning.process import REPOSITORY, now
from lora_lightning.process.children import show_child

PICTURES = REPOSITORY / "docs" / "pictures"
SWEEP = ("-m", "method.rank=1,4,16", "seed=0,1", "trainer.max_steps=60")


def main() -> None:
    """Train, and copy what the commands drew."""
    ProgramArguments(__doc__).parse_args()
    name = now()
    run, sweep = (REPOSITORY / "outputs" / "train" / f"{kind}_{name}" for kind in ("run", "sweep"))
    common = ("experiment=quickstart", "trainer=cpu")
    show_child("train.py", *common, f"output_dir={run}")
    show_child("train.py", *SWEEP, *common, f"output_dir={sweep}")
    show_child("-m", "lora_lightning.sweep", "plot", str(sweep))
    PICTURES.mkdir(exist_ok=True)
    for drawn, picture in (
        (run / "loss.png", "run.png"),
        (sweep / "plots" / "objective_over_method.rank.png", "sweep.png"),
    ):
        shutil.copyfile(drawn, PICTURES / picture)


if __name__ == "__main__":
    with one_line_errors():
        main()
