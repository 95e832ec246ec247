"""Entity coverage: the share of the triples' subjects and objects that a text names.

A check without references, of WebNLG's and DART's inputs. An entity is named where its words stand
in the text in their order, whatever their case, accents and punctuation; a bracket that ends it, as
in `Batman_(1966 film)`, may be left out. A date or a number in other words counts as not named, so
good texts stay below 1: compare with the share that the references have.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from lora_lightning.evaluation.measurement import Measurement, NotComputable
from lora_lightning.evaluation.segment import Segment
from lora_lightning.evaluation.signature import versions

_LAST_BRACKET = re.compile(r"\s*\([^()]*\)\s*$")
_IN_A_WORD = re.compile(r"(?<=\b[^\W\d_])\.|(?<=\d),(?=\d{3})")  # F.C. and 15,830
_MARKER = re.compile(r"\[.*\]")  # DART's [TABLECONTEXT], which names nothing


class Coverage(NamedTuple):
    """The entities of one input.

    Attributes:
        named: those that the text names.
        missing: the others.
        triples: the number of triples.
    """

    named: list[str]
    missing: list[str]
    triples: int

    @property
    def numbers(self) -> tuple[int, int]:
        """What the score adds up: entities named, and all."""
        return len(self.named), len(self.named) + len(self.missing)


def coverage(context: str, text: str) -> Coverage | None:
    """Return which entities of a linearised input a text names; None for one without triples.

    Args:
        context: `subject : relation : object`, joined by ` | `.
        text: what was generated, tokenised or not.
    """
    triples = [triple.split(" : ") for triple in context.split(" | ")]
    if any(len(triple) < 3 for triple in triples):
        return None
    entities = dict.fromkeys(part.strip() for triple in triples for part in (triple[0], triple[-1]))
    said = f" {_words(text)} "
    found: dict[bool, list[str]] = {True: [], False: []}
    for entity in entities:
        if _words(entity) and not _MARKER.fullmatch(entity):
            shorter = _words(_LAST_BRACKET.sub("", entity.replace("_", " ")))
            wordings = {_words(entity), shorter} - {""}
            found[any(f" {wording} " in said for wording in wordings)].append(entity)
    return Coverage(found[True], found[False], len(triples))


def entity_coverage(texts: Iterable[Coverage]) -> float:
    """Return the entities named of all entities of the texts, 0..1; 1 where there is none."""
    coverages = list(texts)
    named = sum(len(text.named) for text in coverages)
    count = named + sum(len(text.missing) for text in coverages)
    return named / count if count else 1.0


def measure_entity_coverage(segments: Sequence[Segment]) -> Measurement:
    """Return the entity coverage of hypotheses, also by category and by number of triples.

    Raises:
        NotComputable: a context is not known, or holds no triples.
    """
    coverages = [_coverage(segment) for segment in segments]
    categories = [segment.category for segment in segments]
    return Measurement(
        coverages,
        entity_coverage,
        f"share of subjects and objects whose words stand in the text; {versions()}",
        tokens=None,
        findings=("entities", [{"missing": text.missing} for text in coverages]),
        breakdown={
            "by_category": _divided(coverages, categories),
            "by_number_of_triples": _divided(coverages, [text.triples for text in coverages]),
        },
    )


def _coverage(segment: Segment) -> Coverage:
    found = coverage(segment.context, segment.hypothesis) if segment.context else None
    if found is None:
        raise NotComputable(
            f"group {segment.id}: it needs the input's triples; score a run's predictions"
        )
    return found


def _divided(coverages: Sequence[Coverage], labels: Sequence[Any]) -> dict[str, Any]:
    """Return score and number of texts for each label, in order; texts without one are left out."""
    parts = {
        label: [text for text, own in zip(coverages, labels, strict=True) if own == label]
        for label in sorted({label for label in labels if label is not None})
    }
    return {
        str(label): {"sentences": len(part), "entity_coverage": entity_coverage(part)}
        for label, part in parts.items()
    }


def _words(text: str) -> str:
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    joined = _IN_A_WORD.sub("", plain.casefold())
    return " ".join(re.findall(r"[^\W_]+", joined))
