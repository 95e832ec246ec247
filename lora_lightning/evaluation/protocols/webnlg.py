"""The WebNLG protocol: what GenerationEval computes on six reference files, all, seen, unseen."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from lora_lightning.errors import InputError
from lora_lightning.evaluation.files import (
    read_hypotheses,
    read_reference_files,
    read_seen_lines,
    write_lines,
    write_reference_files,
)
from lora_lightning.evaluation.protocols.generation_eval import GenerationEvalScorer
from lora_lightning.evaluation.protocols.protocol import Scorer, ScoringProtocol
from lora_lightning.evaluation.segment import Segment, subset_positions
from lora_lightning.evaluation.text import lower_and_tokenise, tokenise
from lora_lightning.ranges import Text, Texts, ranged

REFERENCE_FILES = 6


@ranged("protocol")
class WebNLGProtocol(ScoringProtocol):
    """Score lower-cased, tokenised texts against at most six references.

    Args:
        metrics: which of the protocol's metrics to compute; None = the official scorer's.
        seen_lines: for files from elsewhere, a JSON list of the 0-based lines whose category
            occurs in training; then the seen and the unseen lines are scored apart too.
    """

    name = "webnlg"
    metric_names = ("bleu", "meteor", "ter")
    further_metric_names = ("entity_coverage",)
    validation_metric_names = ("bleu", "ter")
    has_subsets = True
    published_digits: ClassVar = {
        "bleu": (1, 1),
        "meteor": (1, 2),
        "ter": (1, 2),
        "entity_coverage": (100, 1),
    }
    test_set_counts: ClassVar = {"groups": 1862, "references": 4922, "seen": 971, "unseen": 891}

    def __init__(self, metrics: Texts | None = None, seen_lines: Text | Path | None = None) -> None:
        super().__init__(metrics)
        self.seen_lines = None if seen_lines is None else Path(seen_lines)

    def prepare(self, segments: Sequence[Segment]) -> list[Segment]:
        """Lower-case and tokenise hypotheses and references, as the reference's decode step."""
        return [
            replace(
                segment,
                hypothesis=lower_and_tokenise(segment.hypothesis),
                references=tuple(lower_and_tokenise(text) for text in segment.references),
            )
            for segment in segments
        ]

    def read(self, hypotheses: Path, references: Path | Sequence[Path]) -> list[Segment]:
        """Read hypotheses, one a line, and the reference files, whose lines belong to them.

        Raises:
            InputError: the files have different numbers of lines, or as `read_reference_files`
                and `read_seen_lines`.
        """
        paths = [references] if isinstance(references, Path) else list(references)
        texts = read_hypotheses(hypotheses)
        groups = read_reference_files(paths)
        if len(texts) != len(groups):
            raise InputError(
                f"{hypotheses}: {len(texts)} hypotheses, but {paths[0]} has {len(groups)} lines; "
                "line i of every reference file belongs to hypothesis i"
            )
        seen: set[int] | None = None
        if self.seen_lines is not None:
            seen = read_seen_lines(self.seen_lines, len(texts))
        return [
            Segment(text, tuple(group), id=line, seen=None if seen is None else line in seen)
            for line, (text, group) in enumerate(zip(texts, groups, strict=True))
        ]

    def write(self, segments: Sequence[Segment], folder: Path) -> list[Path]:
        """Write `hypotheses.txt` and `references/reference0…5`, and the same for the subsets.

        The files of a subset carry its name: `hypotheses.seen.txt`, `references.seen/`.
        """
        paths: list[Path] = []
        positions = {"": list(range(len(segments))), **subset_positions(segments)}
        for subset, members in positions.items():
            mark = f".{subset}" if subset else ""
            part = [segments[i] for i in members]
            paths.append(folder / f"hypotheses{mark}.txt")
            write_lines(paths[-1], [segment.hypothesis for segment in part])
            paths += write_reference_files(
                folder / f"references{mark}",
                [segment.references for segment in part],
                REFERENCE_FILES,
            )
        return paths

    def scorer(self, segments: Sequence[Segment], java: str | None) -> Scorer:
        """Return GenerationEval for these segments."""
        scored = [replace(s, references=self.scored_references(s)) for s in segments]
        return GenerationEvalScorer(scored, self.metrics, java, self.cache)

    def scored_references(self, segment: Segment) -> tuple[str, ...]:
        """Return at most six references, without the copies of the first that fill up files.

        None of the three metrics changes by a reference that occurs again.
        """
        references = list(segment.references[:REFERENCE_FILES])
        while len(references) > 1 and references[-1] == references[0]:
            references.pop()
        return tuple(references)

    def input_notes(self, segments: Sequence[Segment]) -> list[str]:
        """Say what about the texts makes scores differ from the official scorer's."""
        notes = super().input_notes(segments)
        dropped = sum(len(segment.references) > REFERENCE_FILES for segment in segments)
        if dropped:
            notes.append(f"{dropped} groups have more than six references; the first six count")
        raw = sum(tokenise(text) != " ".join(text.split()) for s in segments for text in s.texts)
        if raw:
            notes.append(
                f"{raw} texts are not tokenised; GenerationEval's METEOR and TER divide such text "
                "by NLTK's rules, ours at white space, so these two may differ from its scores"
            )
        return notes
