"""A sweep on the bundled sample: LoRA's rank × seed, two jobs at a time.

    python -m lora_lightning.sweep.demo

Trains and scores every job, prints the table with mean ± std over seeds, and the path of the page.
"""

import subprocess
import sys

from lora_lightning.resolvers import REPOSITORY, now

SETTINGS = (
    "hparams_search=rank_grid", "method.rank=1,4,16", "seed=0,1", "experiment=quickstart",
    "trainer=cpu", "trainer.max_steps=120", "data.limit_test=20", "then=[generate,evaluate]",
    "hydra/launcher=joblib", "hydra.launcher.n_jobs=2",
)  # fmt: skip


def main() -> None:
    """Run the three commands as a user would."""
    if {"--help", "-h"} & set(sys.argv[1:]):
        sys.stdout.write(f"{__doc__}\n")
        return
    folder = REPOSITORY / "outputs" / "train" / f"sweep_demo_{now()}"
    command(str(REPOSITORY / "train.py"), "-m", *SETTINGS, f"output_dir={folder}")
    command("-m", "lora_lightning.sweep", "show", str(folder))
    command("-m", "lora_lightning.sweep", "plot", str(folder))


def command(*arguments: str) -> None:
    """Show and run one command; end as it ends where it fails."""
    sys.stdout.write(f"\n$ python {' '.join(arguments)}\n")
    sys.stdout.flush()
    code = subprocess.run([sys.executable, *arguments], cwd=REPOSITORY).returncode
    if code:
        sys.exit(code)


if __name__ == "__main__":
    main()
