"""What a check found."""

from dataclasses import dataclass
from typing import Literal

Mark = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        mark: `ok`; `warning`, where something works only in part or not yet; `error`, where
            something that every command needs is broken.
        name: what was looked at.
        text: what was found.
        mend: the command or key that mends it; empty where nothing is wrong.
    """

    mark: Mark
    name: str
    text: str
    mend: str = ""

    def line(self) -> str:
        """Return the finding as a line of plain characters, which every console can show."""
        mend = f"  -> {self.mend}" if self.mend else ""
        return f"{self.mark:<9}{self.name:<15}{self.text}{mend}"
