"""What the page is given of each prediction, as JSON."""

from dataclasses import dataclass
from typing import Any

from lora_lightning.evaluation.metrics.entity_coverage import coverage
from lora_lightning.evaluation.slots.errors import slot_errors
from lora_lightning.evaluation.slots.meaning import NoMeaning
from lora_lightning.evaluation.slots.reading import located_mentions
from lora_lightning.report.scored import ScoredRun

SHOWN_HYPOTHESES = 5


@dataclass(frozen=True)
class Content:
    """What a text says of its input.

    Attributes:
        parts: the slots or the entities that are asked for.
        errors: how many are added, missing or wrong.
        remarks: each of them in words, `missing area[riverside]`.
        marks: what to mark in the text: first character, the one after the last, the remark.
    """

    parts: list[str]
    errors: int
    remarks: list[str]
    marks: list[tuple[int, int, str]]


def prediction_rows(scored: ScoredRun, against: ScoredRun | None) -> list[dict[str, Any]]:
    """Return a row a group, in the order of the scores.

    Args:
        scored: the run.
        against: another run on the same inputs, if any.
    """
    rows = [_row(scored, sentence) for sentence in scored.sentences]
    if against is not None:
        for row, sentence in zip(rows, against.sentences, strict=True):
            row["against"] = {
                "text": sentence["hypothesis"],
                "scores": sentence["metrics"],
                **_checked(sentence["context"], sentence["hypothesis"]),
            }
    return rows


def _row(scored: ScoredRun, sentence: dict[str, Any]) -> dict[str, Any]:
    context, text = sentence.get("context"), sentence["hypothesis"]
    hypotheses = scored.hypotheses.get(sentence["id"], [])[:SHOWN_HYPOTHESES]
    content = content_of(context, text)
    return {
        "id": sentence["id"],
        "context": context or "",
        "category": sentence.get("category"),
        "seen": sentence.get("seen"),
        "parts": [] if content is None else content.parts,
        "text": text,
        "words": len(text.split()),
        "references": sentence["references"],
        "scores": sentence["metrics"],
        "hypotheses": [{"text": h.get("text"), "score": h.get("score")} for h in hypotheses],
        **_checked(context, text),
    }


def _checked(context: str | None, text: str) -> dict[str, Any]:
    content = content_of(context, text)
    if content is None:
        return {"errors": None, "remarks": [], "marks": []}
    return {"errors": content.errors, "remarks": content.remarks, "marks": content.marks}


def content_of(context: str | None, text: str) -> Content | None:
    """Compare a text with its input: E2E's slots, or the entities of triples; None for others."""
    if context is None:
        return None
    try:
        return _slots(context, text)
    except NoMeaning:
        pass
    found = coverage(context, text)
    if found is None:
        return None
    remarks = [f"not named: {entity}" for entity in found.missing]
    return Content([*found.named, *found.missing], len(remarks), remarks, [])


def _slots(context: str, text: str) -> Content:
    errors = slot_errors(context, text)
    record = errors.record()
    remarks = [f"{kind} {value}" for kind, values in record.items() for value in values]
    said = {value: f"added {value}" for value in errors.added}
    said |= {said: f"wrong, asked was {asked}" for asked, said in errors.wrong}
    marks = [
        (*span, said[value])
        for value, span in located_mentions(text, errors.asked)
        if value in said
    ]
    slots = list(dict.fromkeys(value.slot for value in errors.asked))
    return Content(slots, errors.count, remarks, sorted(marks))
