"""LoRA on GPT-2 for data-to-text: training, beam search and scores equal to the paper's code.

from lora_lightning import load_run
load_run("outputs/train/…").generate(["name : Blue Spice | Type : coffee shop"])
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from lora_lightning.loaded_run import LoadedRun


def load_run(
    path: "str | Path",
    checkpoint: str = "last",
    trust: bool = False,
    base: "str | Path | None" = None,
) -> "LoadedRun":
    """Load the model of a training run.

    Args:
        path: the run's folder, or `latest`: the one that wrote its adapter last.
        checkpoint: `last`, or `best` by validation loss.
        trust: take any class that the folder's config names, not only those that are known to be
            harmless: it then decides which code is run.
        base: where the base lies now, if it has moved since the run trained; its weights are
            compared with those that the adapter was trained on.

    Raises:
        InputError: the folder holds no training run or no such adapter, or its config names a
            class that is not allowed.
    """
    # Imported here, so that `import lora_lightning` stays free of torch.
    from lora_lightning.loaded_run import LoadedRun

    return LoadedRun(path, checkpoint, trust, base)
