"""Published scores on E2E, WebNLG and DART with GPT-2, as data: one row a printed row.

The rows stand in `e2e.yaml`, `webnlg.yaml` and `dart.yaml` beside this file, the papers in
`papers.yaml`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import yaml

DATASETS = ("e2e", "webnlg", "dart")
SUBSETS = ("all", "seen", "unseen")
ORIGINAL = "lora"  # the key of Hu et al. 2021
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MULTIPLES = {"K": 1e3, "M": 1e6, "B": 1e9}
Scores = Mapping[str, Mapping[str, float]]
"""Subset (`all`, `seen`, `unseen`) → metric → score, on the scale on which it is printed."""
NONE: Scores = MappingProxyType({})


@dataclass(frozen=True)
class Paper:
    """Where scores were printed.

    Attributes:
        name: short, as the field calls it.
        authors: where the name alone does not tell.
        year: of its first version.
        arxiv: number there.
        openreview: number there.
    """

    name: str
    authors: str | None = None
    year: int | None = None
    arxiv: str | None = None
    openreview: str | None = None


@dataclass(frozen=True)
class PublishedRow:
    """One row of a published table; None: not stated.

    Attributes:
        paper: key of `papers.yaml`; `readers` are people who ran the released code again.
        dataset: `e2e`, `webnlg` or `dart`.
        model: option of the group `model`; None where only "GPT-2" is said.
        method: option of the group `method` where there is one, otherwise the paper's own name.
        optimizer: likewise; `adamw` where a paper names none.
        parameters: trained ones, as printed.
        rank: of LoRA and its kin.
        learning_rate: where it is not the released 2e-4.
        updates: of training.
        table: number in the LoRA paper.
        kind: `own`: run by that paper; `copied`: taken by it from another; `rerun`: LoRA run again
            by others than its authors.
        role: in a paper's own rows, what it proposes or what it compares with.
        copied_from: the other one.
        by: a reader's name.
        seeds: their number, or themselves.
        checkpoint: which one was scored.
        length_penalty: of the beam search.
        by_commands: what the authors' published commands use where the paper is silent.
        texts: how many independent texts agree on every cell; of 1, a misprint can be ours.
        confirmed: cells of such a row that a second text has.
        comparable: False: scored or decoded otherwise than the rest.
        note: what else sets the row apart.
        scores: means, or the only run's scores.
        std: standard deviations as printed.
        interval: half widths of 95% confidence intervals as printed.
    """

    paper: str
    dataset: str
    method: str
    kind: Literal["own", "copied", "rerun"]
    texts: int
    scores: Scores
    model: str | None = None
    optimizer: str = "adamw"
    parameters: str | None = None
    rank: int | None = None
    learning_rate: float | None = None
    updates: int | None = None
    table: int | None = None
    role: Literal["proposed", "baseline"] | None = None
    copied_from: str | None = None
    by: str | None = None
    seeds: int | tuple[int, ...] | None = None
    checkpoint: Literal["best", "last"] | None = None
    length_penalty: float | None = None
    by_commands: Mapping[str, Any] = field(default_factory=dict)
    confirmed: tuple[str, ...] = ()
    comparable: bool = True
    note: str | None = None
    std: Scores = field(default_factory=dict)
    interval: Scores = field(default_factory=dict)

    @property
    def number_of_seeds(self) -> int | None:
        """How many runs the scores are a mean of."""
        return len(self.seeds) if isinstance(self.seeds, tuple) else self.seeds

    @property
    def size(self) -> float | None:
        """The trained parameters as a number; None where they are a share, or not stated."""
        text = self.parameters or ""
        number = text.rstrip("".join(_MULTIPLES))
        if not number or text.endswith("%"):
            return None
        return float(number) * _MULTIPLES.get(text[-1], 1)


@cache
def papers() -> Mapping[str, Paper]:
    """Return the papers by key."""
    return MappingProxyType({key: Paper(**entry) for key, entry in _read("papers").items()})


@cache
def published_rows(dataset: str) -> tuple[PublishedRow, ...]:
    """Return every row of a data set; none of one that no paper has.

    Args:
        dataset: `e2e`, `webnlg`, `dart`, or another protocol's name.
    """
    if dataset not in DATASETS:
        return ()
    return tuple(PublishedRow(dataset=dataset, **_unchanging(entry)) for entry in _read(dataset))


def _unchanging(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value
            for key, value in entry.items()}  # fmt: skip


def _read(name: str) -> Any:
    text = (Path(__file__).parent / f"{name}.yaml").read_text(encoding="utf-8")
    return yaml.load(text, LOADER)
