"""Parts of a metric's signature, which says what exactly a number is."""

from importlib.metadata import version

from lora_lightning.evaluation.java import SHA256


def versions(*packages: str) -> str:
    """Return our version, and those of the packages whose code takes part in a metric."""
    return ", ".join(f"{package} {version(package)}" for package in ("lora_lightning", *packages))


def signed(name: str) -> str:
    """Return the name of a jar with the beginning of its checksum."""
    return f"{name.rsplit('/')[-1]} sha256:{SHA256[name][:12]}"
