"""Settings that make a whole run with the bundled base and sample a matter of seconds."""

import json
from pathlib import Path
from typing import Any

TRAINING = ("trainer=cpu", "trainer.max_steps=3", "trainer.log_every_n_steps=1",
            "trainer.limit_val_batches=2")  # fmt: skip
DECODING = ("data.limit_test=5", "generation.num_beams=2", "generation.max_new_tokens=8")


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
