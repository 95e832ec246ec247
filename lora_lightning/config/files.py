"""What the config files say about themselves: their comments, keys, defaults and options."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from lora_lightning.files import read_text

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
    return {
        key.value.removeprefix("optional "): value.value
        for entry in _parents(_document(root))
        if isinstance(entry, MappingNode)
        for key, value in entry.value
    }


def options_of(group: Path) -> dict[str, Path]:
    """Return the file of each option of a group's folder, by name."""
    files = sorted(group.rglob("*.yaml"))
    return {file.relative_to(group).with_suffix("").as_posix(): file for file in files}


def description(file: Path) -> list[str]:
    """Return the comment lines that a config file begins with."""
    lines = []
    for line in read_text(file).splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith(PACKAGE):
            lines.append(line.removeprefix("#").strip())
    return lines


def keys_of(file: Path) -> dict[str, Key]:
    """Return the keys of a config file; a file's parents come first, and lend it their comments."""
    document = _document(file)
    keys: dict[str, Key] = {}
    for entry in _parents(document):
        if isinstance(entry, ScalarNode) and (parent := _parent(file, entry.value)).is_file():
            keys |= keys_of(parent)
    for name, own in _keys(document, read_text(file), ""):
        inherited = keys[name].comment if name in keys else ""
        keys[name] = Key(own.default, own.comment or inherited)
    return keys


def lacks(group: Path, option: str, key: str) -> bool:
    """Whether an option of a group's folder has no such key; one without a file there may have."""
    file = options_of(group).get(option)
    known = () if file is None else keys_of(file)
    return file is not None and not any(
        key == k or k.startswith(f"{key}.") or key.startswith(f"{k}.") for k in known
    )


def every_key(configs: Path) -> set[str]:
    """Return the dotted keys of every command and of every option of every group."""
    keys = {key for root in configs.glob("*.yaml") for key in keys_of(root)}
    for group in (path for path in configs.iterdir() if path.is_dir()):
        for file in options_of(group).values():
            keys |= {f"{group.name}.{key}" for key in keys_of(file)}
    return keys


def _parent(file: Path, entry: str) -> Path:
    """Return the file that an entry of a file's defaults names, such as `lora` or `/data@_here_`.

    A leading slash means the folder of all configs, the one that holds the file's group.
    """
    name = entry.split("@")[0]
    folder = file.parents[1] if name.startswith("/") else file.parent
    return folder / f"{name.lstrip('/')}.yaml"


def _document(file: Path) -> Node | None:
    return YAML().compose(read_text(file))


def _parents(document: Node | None) -> list[Node]:
    """Return the entries of a document's defaults list."""
    if isinstance(document, MappingNode):
        for key, value in document.value:
            if key.value == "defaults":
                return list(value.value)
    return []


def _keys(node: Node | None, text: str, prefix: str) -> Iterator[tuple[str, Key]]:
    """Yield the dotted keys of a mapping; one that is written in braces is a value."""
    if not isinstance(node, MappingNode) or node.flow_style:
        return
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        if isinstance(value, MappingNode) and not value.flow_style:
            yield from _keys(value, text, f"{name}.")
        elif name != "defaults":
            start, end = value.start_mark.index, value.end_mark.index
            comment = _behind(text, end) or _above(text, key.start_mark.index)
            yield name, Key(text[start:end].strip() or "null", comment)


def _behind(text: str, end: int) -> str:
    """Return the comment between a value's end and the line's; nothing else can stand there."""
    return text[end:].partition("\n")[0].strip().removeprefix("#").strip()


def _above(text: str, start: int) -> str:
    """Return the comment on the line before the one where a key starts, but not the file's own."""
    lines = text[:start].split("\n")[:-1]
    is_files = all(line.startswith("#") for line in lines)
    last = lines[-1].strip() if lines and not is_files else ""
    return last.removeprefix("#").strip() if last.startswith("#") else ""
