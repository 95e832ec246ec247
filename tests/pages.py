"""The pages of docs/ as what they show: Python that runs, commands that a user copies."""

import re
from types import SimpleNamespace
from typing import Any

from tests.goldens import ROOT


def page_text(name: str) -> str:
    """Return a page of docs/ by its file's name."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def run_python(page: str, **replaced: object) -> SimpleNamespace:
    """Run the Python blocks of a page, one after another, and return what they define.

    Args:
        page: its text.
        replaced: a string that stands in the blocks once, and what stands there instead.
    """
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", page, re.M | re.S))
    for shown, instead in replaced.items():
        assert code.count(f'"{shown}"') == 1, shown
        code = code.replace(f'"{shown}"', repr(str(instead)))
    names: dict[str, Any] = {}
    exec(code, names)
    return SimpleNamespace(**names)


def overrides_shown(page: str, key: str) -> list[str]:
    """Return the command lines within a page's prose that begin with a key and its value."""
    prose = re.sub(r"^```.*?^```", "", page, flags=re.M | re.S)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
    return [span for span in spans if re.match(rf"{key}=\w", span)]
