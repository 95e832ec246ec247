"""Where the goldens of the reference implementation lie."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = Path(os.environ.get("LORA_LIGHTNING_GOLDENS", ROOT.parent / "shared" / "golden"))
SHARED = FOLDER.parent


def golden(*parts: str) -> Path:
    """The path of a golden file or folder; its absence fails in CI and skips the test elsewhere."""
    path = FOLDER.joinpath(*parts)
    return path if path.exists() else _absent(path)


def shared(*parts: str) -> Path:
    """The path of a real data file or tokenizer beside the goldens, with the same rule."""
    path = SHARED.joinpath(*parts)
    return path if path.exists() else _absent(path)


def _absent(path: Path) -> Path:
    if os.environ.get("CI") == "true":
        pytest.fail(f"golden {path} is missing")
    pytest.skip(f"golden {path} is not here; set LORA_LIGHTNING_GOLDENS to its folder")
