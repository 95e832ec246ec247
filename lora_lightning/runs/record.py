"""run.json: what a run was made with, and how it went."""

import json
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, distribution, version
from typing import Any

import torch

from lora_lightning.process import IS_INSTALLED, REPOSITORY

PACKAGES = ("torch", "lightning", "transformers", "hydra-core", "omegaconf", "sacrebleu")


def environment() -> dict[str, Any]:
    """Return versions, the device and the state of the repository."""
    return {
        "versions": {"python": platform.python_version(), **_package_versions()},
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else _processor(),
        "git": _git_state(),
    }


def _package_versions() -> dict[str, str]:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def _processor() -> str:
    return platform.processor() or platform.machine()


def _git_state() -> dict[str, Any] | None:
    """Return commit and whether files differ from it; None where nothing tells the commit."""
    if IS_INSTALLED:
        origin = json.loads(distribution("lora_lightning").read_text("direct_url.json") or "{}")
        commit = origin.get("vcs_info", {}).get("commit_id")
        return commit and {"commit": commit, "changed": False}

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None
