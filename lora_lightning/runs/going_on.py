"""How a user goes on after a signal, or a full disk, ended a command."""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig

from lora_lightning.config.typed import as_typed, command_line, for_shell
from lora_lightning.runs.folder import RunFolder, output_folder


def how_to_go_on(user_folder: Path) -> str:
    """Return what makes use of what this command has left in its folder.

    Args:
        user_folder: of the user's own classes, which need no switch.
    """
    command, folder = HydraConfig.get().job.config_name, output_folder().resolve()
    run = RunFolder(folder)
    if command == "train" and run.last_checkpoint.is_file():
        resume = command_line("train.py", as_typed("resume", str(folder)))
        return f"go on with: {resume}{run.switch(user_folder)}"
    if command == "generate" and (folder / "shards").is_dir():
        same = for_shell(as_typed("output_dir", str(folder)))
        return f"the same command with {same}, and no overwrite=true, goes on"
    if command == "train":
        return "nothing was saved yet; start it again, in the same folder with overwrite=true"
    return "nothing was kept; start it again"
