"""`--help`: examples, groups and keys, read from the config files and their comments."""

import ast
from pathlib import Path


def print_help(command: str, configs: Path) -> None:
    """Print what `command` does, its config groups with their options, and every key."""
    root = configs / f"{command}.yaml"
    entry = ast.parse((configs.parent / f"{command}.py").read_text(encoding="utf-8"))
    print(ast.get_docstring(entry))
    defaults = _defaults(root)
    print("\nGroups (group=option, the default marked *):")
    for group, default in defaults.items():
        options = sorted(
            str(path.relative_to(configs / group).with_suffix(""))
            for path in (configs / group).rglob("*.yaml")
        )
        marked = [f"*{option}" if option == default else option for option in options]
        print(f"  {group:<12} {'  '.join(marked)}")
    print("\nKeys (key=value; with the options marked above):")
    _print_keys(root, "")
    for group, default in defaults.items():
        if default != "null" and group not in ("hydra", "paths"):
            print()
            _print_keys(configs / group / f"{default}.yaml", f"{group}.")
    print("\nThe composed config: --cfg job --resolve.  Sweeps: -m key=a,b.  Hydra: --hydra-help.")


def _defaults(root: Path) -> dict[str, str]:
    """Return the groups of a root config with their default options, in the order to show them."""
    items = [
        line.strip()[2:].split("#")[0].strip()
        for line in root.read_text(encoding="utf-8").splitlines()
        if line.startswith("  - ") and ":" in line
    ]
    pairs = [item.split(": ", 1) for item in items if not item.startswith("override")]
    return dict(reversed(pairs))  # data and model first


def _print_keys(file: Path, prefix: str) -> None:
    """Print each key of a config file with its default and comment."""
    for key, (value, comment) in _keys(file).items():
        print(f"  {f'{prefix}{key}={value}':<46} {comment}".rstrip())


def _keys(file: Path) -> dict[str, tuple[str, str]]:
    """Return key → (value, comment); a file's parents come first, and lend it their comments."""
    keys: dict[str, tuple[str, str]] = {}
    section = ""
    for line in file.read_text(encoding="utf-8").splitlines():
        setting, _, comment = line.partition(" # ")
        indent = len(line) - len(line.lstrip())
        if indent == 0:
            section = ""
        if line.startswith("  - "):
            parent = file.parent / f"{setting[4:].strip()}.yaml"
            keys |= _keys(parent) if parent.is_file() else {}
        elif setting.strip() and setting.lstrip()[0].isalpha() and setting != "defaults:":
            name, _, value = setting.strip().partition(":")
            if value.strip():
                key = section + name
                keys[key] = (value.strip(), comment or keys.get(key, ("", ""))[1])
            else:
                section = f"{name}."
    return keys
