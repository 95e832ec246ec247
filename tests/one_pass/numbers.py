"""What a job of a pass came to, against the same job by itself."""

import pytest
import torch
from safetensors.torch import load_file

from lora_lightning.tracking.csv_tables import read_metrics

TOLERANCE = 1e-5


def rows_of(run):
    kept = ("step", "epoch", "val/loss", "train/loss", "train/lr", "train/gradient_norm")
    rows = read_metrics(run / "metrics.csv")
    return [{key: row[key] for key in kept if row.get(key) is not None} for row in rows]


def check_numbers(together, alone):
    """Check that two runs logged the same and came to the same adapters, to rounding."""
    rows, expected = rows_of(together), rows_of(alone)
    assert [row.keys() for row in rows] == [row.keys() for row in expected]
    for row, other in zip(rows, expected, strict=True):
        assert row == pytest.approx(other, abs=TOLERANCE)
    for name in ("adapter", "adapter_best"):
        tensors, others = (load_file(run / name / "adapter_model.safetensors")
                           for run in (together, alone))  # fmt: skip
        assert tensors.keys() == others.keys()
        for key, tensor in tensors.items():
            assert torch.allclose(tensor, others[key], rtol=0, atol=TOLERANCE)
