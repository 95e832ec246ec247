"""Print torch and the packages it was compiled with, as pip constraints; nothing without a torch.

`name==version` a line, of what is installed: a replaced one would no longer fit this torch.
"""

import sys
from importlib.metadata import PackageNotFoundError, distributions, version

COMPILED = ("torch", "torchvision", "torchaudio", "triton", "pytorch-triton", "numpy")
CUDA = "nvidia-"  # how the names of CUDA's libraries begin


def kept_packages() -> dict[str, str]:
    """Return name → installed version; empty where torch is not installed."""
    try:
        version("torch")
    except PackageNotFoundError:
        return {}
    found: dict[str, str] = {}
    for distribution in distributions():
        name = (distribution.name or "").lower().replace("_", "-")
        if name in COMPILED or name.startswith(CUDA):
            found.setdefault(name, distribution.version)  # the first on the path is imported
    return found


if __name__ == "__main__":
    for name, number in sorted(kept_packages().items()):
        sys.stdout.write(f"{name}=={number}\n")
