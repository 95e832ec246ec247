"""Validation by generation: scores of texts that the model in training gives for a few contexts."""

import logging
import time
from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
from omegaconf import DictConfig
from transformers import GPT2LMHeadModel

from lora_lightning.data.batches import Batches
from lora_lightning.data.encoding import Context, encode_contexts
from lora_lightning.decoding.schedule import divide, expected_cost
from lora_lightning.decoding.seat import DECODING_SEAT
from lora_lightning.errors import InputError
from lora_lightning.evaluation.grouping import Group, group_rows
from lora_lightning.evaluation.protocols.protocol import ScoringProtocol
from lora_lightning.evaluation.segment import Segment, one_line
from lora_lightning.evaluation.text import cut_text
from lora_lightning.evaluation.validation_metrics import validation_metrics
from lora_lightning.methods.inject import merged_copy
from lora_lightning.tasks.decoder import decoder_of, make_queries
from lora_lightning.tasks.evaluate import text_rows
from lora_lightning.tasks.hypotheses import decode_named

log = logging.getLogger(__name__)


class TextValidation:
    """Decodes the same contexts at each validation, and scores the texts.

    Every rank decodes its share; the scores are those of all ranks' texts. Training goes on as if
    nothing had been decoded: a copy of what is trained is merged, and no random numbers are drawn.

    Args:
        config: of the run.
        data: whose validation contexts are decoded.
        protocol: what the texts are scored by.
        trainer: whose ranks decode.

    Raises:
        InputError: the protocol has no score for a validation.
    """

    def __init__(
        self,
        config: DictConfig,
        data: Batches,
        protocol: ScoringProtocol,
        trainer: pl.Trainer,
    ) -> None:
        if not protocol.validation_metric_names:
            raise InputError(
                f"validation=generation: protocol {protocol.name} has no score for a validation"
            )
        self.config, self.data, self.protocol, self.trainer = config, data, protocol, trainer
        groups = group_rows(text_rows(data.rows.examples("valid"), config.model))  # type: ignore[arg-type]
        contexts = encode_contexts(data.rows.contexts("valid"), data.tokenizer)
        places = stratified([_stratum(group) for group in groups], config.validation.contexts)
        self.groups = [groups[place] for place in places]
        self.contexts = [contexts[place] for place in places]
        log.info("validation    decodes %d of %d contexts each time", len(places), len(contexts))

    def __call__(self, model: GPT2LMHeadModel) -> tuple[dict[str, float], float]:
        """Return `val/<metric>` of each metric, and the seconds that decoding and scoring took."""
        began = time.perf_counter()
        metrics = validation_metrics(self.protocol)
        if (seat := DECODING_SEAT.get()) is None:
            segments = self._segments(merged_copy(model))
        else:  # it is merged, or not, where all are decoded
            segments = self._segments(model)
            seat.meet()
        segments = self.protocol.prepare(segments)
        scores = {}
        for name, metric in metrics.items():
            metric.metric.to(model.device)
            metric.update(segments)
            scores[f"val/{name}"] = float(metric.metric.compute())
        return scores, time.perf_counter() - began

    def _segments(self, model: GPT2LMHeadModel) -> list[Segment]:
        """Decode this rank's share."""
        decoder = decoder_of(self.config, model, self.data.tokenizer)
        queries, _ = make_queries(self.contexts, decoder)
        costs = [expected_cost(len(query), decoder.settings) for query in queries]
        own = divide(costs, self.trainer.world_size)[self.trainer.global_rank]
        groups = {self.contexts[place].id: self.groups[place] for place in own}
        contexts: list[Context] = [self.contexts[place] for place in own]
        return [
            Segment(
                one_line(cut_text(decoder.tokenizer.decode(hypotheses[0].tokens))),
                tuple(one_line(text) for text in groups[context.id].references),
                context.id,
            )
            for context, hypotheses in decode_named(
                decoder, contexts, [queries[place] for place in own]
            )
        ]


def stratified(strata: Sequence[Any], count: int | None) -> list[int]:
    """Return the places of `count` items, ascending, each stratum with its share, to one.

    Every n-th item is taken of the items in the order of their strata (systematic sampling), so the
    choice is the same for every run on the same items.

    Args:
        strata: of each item; they can be ordered.
        count: how many to take; all where there are no more, or None.
    """
    ordered = sorted(range(len(strata)), key=lambda place: strata[place])
    total = len(ordered)
    taken = total if count is None else min(count, total)
    return sorted(ordered[(2 * number + 1) * total // (2 * taken)] for number in range(taken))


def _stratum(group: Group) -> tuple[str, int]:
    """Return a group's category, and how many slots or triples its context has."""
    return group.category or "", group.context.count(" | ")
