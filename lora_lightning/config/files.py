"""What the config files say about themselves: their comments, keys, defaults and options."""

from dataclasses import dataclass
from pathlib import Path

PACKAGE = "# @package"


@dataclass(frozen=True)
class Key:
    """One key of a config file.

    Attributes:
        default: its value as the file has it.
        comment: the comment behind it, or right above it; empty where there is none.
    """

    default: str
    comment: str


def default_options(root: Path) -> dict[str, str]:
    """Return each group of a root config with its default option, `null` where it has none."""
    options = {}
    for line in root.read_text(encoding="utf-8").splitlines():
        item = line.split("#")[0].strip().removeprefix("- ").removeprefix("optional ")
        if line.startswith("  - ") and ": " in item:
            group, option = item.split(": ", 1)
            options[group] = option
    return options


def options_of(group: Path) -> dict[str, Path]:
    """Return the file of each option of a group's folder, by name."""
    files = sorted(group.rglob("*.yaml"))
    return {file.relative_to(group).with_suffix("").as_posix(): file for file in files}


def description(file: Path) -> list[str]:
    """Return the comment lines that a config file begins with."""
    lines = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith(PACKAGE):
            lines.append(line.removeprefix("#").strip())
    return lines


def keys_of(file: Path) -> dict[str, Key]:
    """Return the keys of a config file; a file's parents come first, and lend it their comments."""
    keys: dict[str, Key] = {}
    section = above = ""
    for line in file.read_text(encoding="utf-8").splitlines()[len(description(file)) :]:
        setting, _, comment = line.partition(" # ")
        if line.startswith("# "):
            above = line[2:]
        elif line.startswith("  - "):
            parent = _parent(file, setting[4:].strip())
            keys |= keys_of(parent) if parent.is_file() else {}
        elif setting.strip() and setting.lstrip()[0].isalpha() and setting != "defaults:":
            section = section if line.startswith(" ") else ""
            name, _, value = setting.strip().partition(":")
            if value.strip():
                key = section + name
                inherited = keys[key].comment if key in keys else ""
                keys[key] = Key(value.strip(), comment or above or inherited)
            else:
                section = f"{name}."
            above = ""
    return keys


def _parent(file: Path, entry: str) -> Path:
    """Return the file that an entry of a file's defaults names, such as `lora` or `/data@_here_`.

    A leading slash means the folder of all configs, the one that holds the file's group.
    """
    name = entry.split("@")[0]
    folder = file.parents[1] if name.startswith("/") else file.parent
    return folder / f"{name.lstrip('/')}.yaml"
