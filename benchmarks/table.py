"""Tables of measured numbers, each between two marks of a page."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from lora_lightning.files import atomic_text


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def write_between(page: Path, name: str, text: str) -> None:
    """Put text in the place of what stands between `<!-- name -->` and `<!-- end of name -->`.

    Raises:
        ValueError: the page has no such marks, or has them twice.
    """
    first, last = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    before, rest = page.read_text("utf-8").split(first)
    _, after = rest.split(last)
    with atomic_text(page) as file:
        file.write(f"{before}{first}{text}{last}{after}")
