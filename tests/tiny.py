"""A model and data small enough for tests that need a whole run and no golden."""

import json
from pathlib import Path

SETTINGS = (
    "trainer=cpu",
    "trainer.max_steps=3",
    "trainer.log_every_n_steps=1",
    "trainer.limit_val_batches=2",
    "generation.num_beams=2",
    "generation.max_new_tokens=8",
    "data.limit_test=5",
)


def write_rows(path: Path, rows: list[dict[str, object]]) -> Path:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
