"""A run's predictions with their scores, read from its folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_lightning.data.records import field, read_records
from lora_lightning.errors import InputError
from lora_lightning.files import read_json_object
from lora_lightning.runs.folder import RunFolder
from lora_lightning.runs.stored_results import Scores, read_scores

SENTENCES, SCORES, PREDICTIONS = "sentences.jsonl", "metrics.json", "predictions.jsonl"


@dataclass(frozen=True)
class ScoredRun:
    """What a report shows of a run.

    Attributes:
        run: its folder.
        split: which was decoded and scored.
        scores: over all groups.
        record: all of metrics.json.
        sentences: of each group: id, context, hypothesis, references, metrics.
        hypotheses: of each id, its hypotheses, the best first; none where the file is not there.
    """

    run: RunFolder
    split: str
    scores: Scores
    record: dict[str, Any]
    sentences: list[dict[str, Any]]
    hypotheses: dict[int | str, list[dict[str, Any]]]

    @property
    def name(self) -> str:
        """The run's folder and the one that it lies in."""
        return f"{self.run.path.parent.name}/{self.run.path.name}"

    @property
    def evaluation(self) -> Path:
        """The folder of its scores."""
        return evaluation_folder(self.run, self.split)

    @property
    def protocol(self) -> str:
        """The protocol's name; empty where an older version has not written it."""
        return self.scores.protocol or ""


def evaluation_folder(run: RunFolder, split: str) -> Path:
    """Return the folder of a run's scores of a split."""
    return run.path / "evaluation" / split


def read_scored(run: RunFolder, split: str) -> ScoredRun:
    """Read what `generate.py` and `evaluate.py` wrote of a run.

    Raises:
        InputError: it has no predictions or no scores, or they are damaged or of different texts.
    """
    evaluation = evaluation_folder(run, split)
    predictions = run.path / "predictions" / split / PREDICTIONS
    if not (evaluation / SCORES).is_file():
        missing = "scores" if predictions.is_file() else "predictions"
        command = "evaluate.py" if predictions.is_file() else "generate.py"
        raise InputError(
            f"{run.path}: has no {missing} of split={split} to report; first run: "
            f"python {command} run={run.path} split={split}"
        )
    sentences = [record for _, record in _records(evaluation / SENTENCES)]
    hypotheses = {}
    if predictions.is_file():
        hypotheses = {record["id"]: record["hypotheses"] for _, record in _records(predictions)}
        _check_same(sentences, hypotheses, evaluation, predictions)
    scores = read_scores(evaluation / SCORES)
    record = read_json_object(evaluation / SCORES)
    return ScoredRun(run, split, scores, record, sentences, hypotheses)


def check_comparable(first: ScoredRun, second: ScoredRun) -> None:
    """Require that two runs were scored on the same inputs in the same order.

    Raises:
        InputError: they were not; it names the first difference.
    """
    ours, theirs = (_inputs(scored.sentences) for scored in (first, second))
    if ours == theirs:
        return
    pairs = zip(ours, theirs, strict=False)
    place = next((i for i, pair in enumerate(pairs) if pair[0] != pair[1]), None)
    what = (
        f"{len(ours)} and {len(theirs)} inputs"
        if place is None
        else f"input {place + 1} is {ours[place]!r} here and {theirs[place]!r} there"
    )
    raise InputError(f"against={second.run.path}: scored on other inputs ({what})")


def _inputs(sentences: Sequence[dict[str, Any]]) -> list[tuple[Any, Any]]:
    return [(sentence["id"], sentence.get("context")) for sentence in sentences]


def _records(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return the records of a file of ours, with the fields that a report needs.

    Raises:
        InputError: it is missing or damaged.
    """
    needed: dict[str, type] = (
        {"hypotheses": list}
        if path.name == PREDICTIONS
        else {"hypothesis": str, "references": list, "metrics": dict}
    )
    records = list(read_records(path))
    for place, record in records:
        for key, kind in needed.items():
            field(record, key, kind, place)
        if not isinstance(record.get("id"), int | str):
            raise InputError(f"{place}: no 'id'; write the file anew")
    return records


def _check_same(
    sentences: Sequence[dict[str, Any]], ids: dict[int | str, Any], scores: Path, predictions: Path
) -> None:
    unknown = [sentence["id"] for sentence in sentences if sentence["id"] not in ids]
    if unknown:
        raise InputError(
            f"{scores}: scores of other predictions than {predictions} (id {unknown[0]} is not "
            "there); run evaluate.py again"
        )
