"""The runs and the sweep that an earlier version wrote, copied to where a test may use them."""

import shutil
from pathlib import Path

from tests.goldens import ROOT

RECORDED = ROOT / "tests" / "fixtures" / "recorded_runs"
BINARY = (".ckpt", ".safetensors")


def copy_recorded(folder: Path) -> Path:
    """Copy them to `folder`; every path in them is one of this machine then."""
    shutil.copytree(RECORDED, folder)
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix not in BINARY:
            text = path.read_text(encoding="utf-8")
            text = text.replace("<repository>", str(ROOT)).replace("<folder>", str(folder))
            path.write_text(text, encoding="utf-8")
    return folder
