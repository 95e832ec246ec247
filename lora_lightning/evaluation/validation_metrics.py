"""The scores of a validation that decodes: those of the protocol that need no Java."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torchmetrics import Metric

from lora_lightning.evaluation.metric_objects import E2EBLEU, NIST, TER, GenerationEvalBLEU
from lora_lightning.evaluation.protocols.e2e import E2EProtocol
from lora_lightning.evaluation.protocols.protocol import ScoringProtocol
from lora_lightning.evaluation.protocols.webnlg import WebNLGProtocol
from lora_lightning.evaluation.segment import Segment
from lora_lightning.evaluation.tokenizers.mteval import tokenise_13a_bytes, tokenise_13a_lower
from lora_lightning.evaluation.tokenizers.treebank import treebank_tokens


class TextMetric(NamedTuple):
    """A metric object, and how its tokens are made of prepared texts."""

    metric: Metric
    tokenise: Callable[[str], list[str]]

    def update(self, segments: Sequence[Segment]) -> None:
        """Add segments as the protocol prepared them."""
        self.metric.update(
            [self.tokenise(segment.hypothesis) for segment in segments],
            [[self.tokenise(text) for text in segment.references] for segment in segments],
        )


def validation_metrics(protocol: ScoringProtocol) -> dict[str, TextMetric]:
    """Return a new object of each of the protocol's `validation_metric_names`."""
    if isinstance(protocol, E2EProtocol):
        return {
            "bleu": TextMetric(E2EBLEU(), tokenise_13a_lower),
            "nist": TextMetric(NIST(), tokenise_13a_lower),
        }
    if isinstance(protocol, WebNLGProtocol):
        return {
            "bleu": TextMetric(GenerationEvalBLEU(), tokenise_13a_bytes),
            "ter": TextMetric(TER(), treebank_tokens),
        }
    return {}
