"""One evaluated run: its sentences, what its metrics add up, and the config it comes from."""

import errno
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lora_lightning.compare.corpus_scores import CORPUS_SCORES, Array, CorpusScore
from lora_lightning.errors import InputError
from lora_lightning.evaluation.evaluation import evaluate
from lora_lightning.evaluation.protocols.dart import DARTProtocol
from lora_lightning.evaluation.protocols.e2e import E2EProtocol
from lora_lightning.evaluation.protocols.protocol import ScoringProtocol
from lora_lightning.evaluation.protocols.webnlg import WebNLGProtocol
from lora_lightning.evaluation.segment import Segment
from lora_lightning.evaluation.statistics_file import (
    SENTENCES,
    Rows,
    read_statistics,
    write_statistics,
)
from lora_lightning.files import read_json_lines, require_kind
from lora_lightning.process import cache_folder
from lora_lightning.runs.stored_results import Scores, read_scores

PROTOCOLS: Mapping[str, type[ScoringProtocol]] = {
    protocol.name: protocol for protocol in (E2EProtocol, WebNLGProtocol, DARTProtocol)
}
METRICS = "metrics.json"
AGAIN = "run evaluate.py again"
Say = Callable[[str], None]
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
_AGREEMENT = 1e-6  # relative: of a score in metrics.json and that of its statistics


@dataclass(frozen=True)
class Sentence:
    """A line of sentences.jsonl."""

    id: int | str
    hypothesis: str
    references: list[str]
    context: str | None = None
    seen: bool | None = None
    metrics: dict[str, float | None] = field(default_factory=dict)

    def segment(self) -> Segment:
        """Return it as the scorers take it."""
        return Segment(self.hypothesis, tuple(self.references), self.id, self.context, self.seen)


@dataclass(frozen=True)
class Evaluated:
    """One run, scored.

    Attributes:
        place: the folder or file that it was read from.
        protocol: its name.
        sentences: in the order of the file.
        statistics: metric → what it adds up, shape (sentences, columns), in the same order.
        signatures: metric → definition, implementation and version.
        lacking: metric → why it has no statistics.
        partial: what was left out, where only a part of the split was scored.
        config: dotted key → value of the training and decoding, as far as they are known.
    """

    place: Path
    protocol: str
    sentences: Sequence[Sentence]
    statistics: Mapping[str, Array]
    signatures: Mapping[str, str]
    lacking: Mapping[str, str]
    partial: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)

    def in_order_of(self, ids: Iterable[int | str]) -> "Evaluated":
        """Return the same with its sentences in another order."""
        place = {sentence.id: number for number, sentence in enumerate(self.sentences)}
        order = [place[of_sentence] for of_sentence in ids]
        return Evaluated(
            self.place,
            self.protocol,
            [self.sentences[number] for number in order],
            {metric: table[order] for metric, table in self.statistics.items()},
            self.signatures,
            self.lacking,
            self.partial,
            self.config,
        )


def read_evaluated(folder: Path, config: Mapping[str, Any], say: Say) -> Evaluated:
    """Return the evaluation in a folder; statistics that it lacks are made, and stored in it.

    Args:
        folder: with metrics.json and sentences.jsonl.
        config: of the run that it belongs to.
        say: is called with a line on what takes a while.

    Raises:
        InputError: a file is missing or damaged, or they do not belong together.
    """
    scores = read_scores(folder / METRICS)
    sentences = read_sentences(folder / SENTENCES)
    name = protocol_of(scores, folder)
    known = CORPUS_SCORES[name]
    wanted = [metric for metric in known if scores.scores.get(metric) is not None]
    rows = read_statistics(folder)
    if missing := [metric for metric in wanted if metric not in rows]:
        say(f"{folder}: has no statistics of {', '.join(missing)}; making them (some time)")
        segments = [sentence.segment() for sentence in sentences]
        made = evaluate(PROTOCOLS[name](missing), segments)
        rows = rows | made.statistics
        _store(folder, rows, say)
    tables = {m: _table(folder, m, rows[m], len(sentences)) for m in wanted if m in rows}
    for metric, table in tables.items():
        _require_agreement(folder, metric, table, known[metric], scores.scores[metric])
    return Evaluated(
        folder,
        name,
        sentences,
        tables,
        scores.signatures,
        _lacking(name, tables, scores.not_computed, folder),
        scores.partial,
        config,
    )


def score_segments(
    place: Path, protocol: ScoringProtocol, segments: Sequence[Segment], say: Say
) -> Evaluated:
    """Return hypotheses of a file, scored.

    Args:
        place: the file.
        protocol: what scores them.
        segments: with their references.
        say: is called with a line on what takes a while.
    """
    say(f"{place}: scoring it by {', '.join(protocol.metrics)}")
    protocol.cache = protocol.cache or cache_folder()
    made = evaluate(protocol, segments)
    tables = {m: np.array(rows, dtype=np.float64) for m, rows in made.statistics.items()}
    return Evaluated(
        place,
        protocol.name,
        require_kind(made.sentences, list[Sentence], place, AGAIN),
        tables,
        made.signatures,
        _lacking(protocol.name, tables, made.not_computed, place),
    )


def read_sentences(path: Path) -> list[Sentence]:
    """Return the lines of a sentences.jsonl.

    Raises:
        InputError: it is missing, empty or damaged, or an id occurs twice.
    """
    records = [record for _, record in read_json_lines(path)]
    sentences = require_kind(records, list[Sentence], f"{path} (lines from 0)", AGAIN)
    if not sentences:
        raise InputError(f"{path}: holds no sentence; {AGAIN}")
    lines: dict[int | str, int] = {}
    for line, sentence in enumerate(sentences, start=1):
        if (first := lines.setdefault(sentence.id, line)) != line:
            raise InputError(f"{path}:{line}: id {sentence.id} stands in line {first}; {AGAIN}")
    return sentences


def protocol_of(scores: Scores, folder: Path) -> str:
    """Return the name of the protocol that made scores.

    Those that do not say it are known by a metric that no other protocol has; DART is scored as
    WebNLG is.

    Raises:
        InputError: it is unknown.
    """
    if scores.protocol in PROTOCOLS:
        return str(scores.protocol)
    metrics = set(scores.scores)
    if scores.protocol is None and metrics & {"nist", "rouge_l", "cider"}:
        return "e2e"
    if scores.protocol is None and "ter" in metrics:
        return "webnlg"
    raise InputError(
        f"{folder / METRICS}: the protocol is not known, {scores.protocol!r}; allowed is "
        f"{' | '.join(PROTOCOLS)}; {AGAIN}"
    )


def _lacking(
    protocol: str, found: Collection[str], not_computed: Mapping[str, str], place: Path
) -> dict[str, str]:
    """Return why each metric of a protocol that was not found is not there."""
    lacking = [metric for metric in CORPUS_SCORES[protocol] if metric not in found]
    return {metric: not_computed.get(metric, f"not scored in {place}") for metric in lacking}


def _store(folder: Path, rows: Mapping[str, Rows], say: Say) -> None:
    try:
        write_statistics(folder, rows)
    except OSError as error:
        if error.errno not in _READ_ONLY:
            raise
        say(f"{folder}: may not be written to; the statistics are not kept")


def _table(folder: Path, metric: str, rows: Rows, sentences: int) -> Array:
    """Return rows as one array.

    Raises:
        InputError: their number is not that of the sentences, or they have different lengths.
    """
    if len(rows) != sentences or len({len(row) for row in rows}) != 1:
        raise InputError(f"{folder}: statistics of {metric} do not fit its sentences; {AGAIN}")
    return np.array(rows, dtype=np.float64)


def _require_agreement(
    folder: Path, metric: str, table: Array, score: CorpusScore, stored: float | None
) -> None:
    try:
        with np.errstate(all="ignore"):
            own = float(score(table.sum(axis=0), len(table)))
    except (IndexError, ValueError):
        own = math.nan
    if not math.isclose(own, stored or 0.0, rel_tol=_AGREEMENT, abs_tol=1e-12):
        raise InputError(
            f"{folder}: {metric} of its sentences is {own:.6g}, but {METRICS} has {stored}; {AGAIN}"
        )
