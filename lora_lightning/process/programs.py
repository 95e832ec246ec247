"""Every program of the project, by the name that `lora-lightning <name>` knows it by."""

import os
import re

from lora_lightning.process import IS_INSTALLED

COMMAND = "lora-lightning"
STARTED_AS = "LORA_LIGHTNING_STARTED_AS"  # set by the command, for itself and what it starts

# name: (script or module, what it does)
PROGRAMS = {
    "train": ("train.py", "train an adapter, or a whole GPT-2"),
    "generate": ("generate.py", "decode a split, a file, or one text"),
    "evaluate": ("evaluate.py", "score predictions with their data set's protocol"),
    "sweep": ("lora_lightning.sweep", "show, draw or resume a sweep"),
    "paper": ("lora_lightning.paper", "published scores, beside which ours stand"),
    "compare": ("lora_lightning.compare", "whether a difference of systems is more than chance"),
    "report": ("lora_lightning.report", "one page of a run: scores, curves, every prediction"),
    "analyse": ("lora_lightning.analyse", "take an adapter apart: singular values, subspaces"),
    "export": ("lora_lightning.export", "write a run's adapter in another format"),
    "rerank": ("lora_lightning.rerank", "choose among a run's hypotheses without decoding again"),
    "slots": ("lora_lightning.slots", "count slot errors of E2E texts"),
    "data-export": ("lora_lightning.data.export", "write a split as JSON lines"),
    "doctor": ("lora_lightning.doctor", "what does not work on this machine, and the mend"),
    "demo": ("lora_lightning.demo", "scores before and after adaptation, on the bundled sample"),
    "sweep-demo": ("lora_lightning.sweep.demo", "rank x seed on the bundled sample"),
    "methods-demo": ("lora_lightning.methods_demo", "every method on the bundled sample"),
    "sample": ("lora_lightning.sample", "make the bundled sample and base anew (--output)"),
    "config-reference": ("lora_lightning.config_reference", "write docs/config.md (a checkout's)"),
}


def as_started(text: str) -> str:
    """Return a text in which each program is called as this command was.

    Args:
        text: names programs as in a checkout: `python train.py`, `python -m lora_lightning.sweep`.
    """
    start = os.environ.get(STARTED_AS) or (COMMAND if IS_INSTALLED else None)
    if start is None:
        return text
    names = {target: name for name, (target, _) in PROGRAMS.items()}
    return re.sub(
        r"python (?:-m )?([\w.]*\w)",
        lambda call: f"{start} {names[call[1]]}" if call[1] in names else call[0],
        text,
    )
