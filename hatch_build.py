"""The three commands' place in the wheel; `sources` of pyproject.toml can map folders alone."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

COMMANDS = ("train.py", "generate.py", "evaluate.py")


class BundledCommands(BuildHookInterface[Any]):
    """Adds them to a wheel; an editable installation has those of the checkout."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Say what else the wheel takes in."""
        if version != "editable":
            build_data["force_include"] |= {
                command: f"lora_lightning/bundled/{command}" for command in COMMANDS
            }
