"""Lightning without what it imports and we never use: a sixth of a job's start."""

import sys
from importlib.metadata import PackageNotFoundError
from typing import Any
from unittest.mock import patch

UNUSED = ("scipy", "matplotlib")


def import_lightning() -> None:
    """Import Lightning; torchmetrics, which it imports, finds no scipy and no matplotlib meanwhile.

    They are for metrics of sound and for plots of metrics. Both can be imported afterwards.
    """
    from lightning_utilities.core import imports

    if "torchmetrics" in sys.modules or not hasattr(imports, "_version"):
        return
    version = imports._version

    def without_unused(name: str) -> str:
        if name in UNUSED:
            raise PackageNotFoundError(name)
        return version(name)

    absent = [name for name in UNUSED if name not in sys.modules]
    with patch.object(imports, "_version", without_unused):
        hidden: dict[str, Any] = dict.fromkeys(absent)
        sys.modules |= hidden  # None is how Python says that a module is not there
        try:
            import torchmetrics  # noqa: F401
        finally:
            for name in absent:
                del sys.modules[name]
