"""Choose among the hypotheses of a run's predictions anew, without decoding again."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from omegaconf import OmegaConf

from lora_lightning.config.build import build
from lora_lightning.data.datamodule import DataToTextModule
from lora_lightning.decoding.reranking import best_first, scores
from lora_lightning.decoding.writer import Record
from lora_lightning.errors import InputError
from lora_lightning.evaluation.grouping import Group, group_rows
from lora_lightning.evaluation.measurement import Measurement, NotComputable
from lora_lightning.evaluation.minimum_bayes_risk import (
    expected_scores,
    probabilities,
    similarities,
)
from lora_lightning.evaluation.protocols.protocol import ScoringProtocol
from lora_lightning.evaluation.segment import Segment, one_line
from lora_lightning.evaluation.sentence_metrics import SENTENCE_METRICS, Pair
from lora_lightning.evaluation.slots.errors import slot_errors
from lora_lightning.evaluation.slots.meaning import NoMeaning
from lora_lightning.evaluation.tokenizers.mteval import tokenise_13a_lower
from lora_lightning.runs.folder import RunFolder
from lora_lightning.runs.stored_config import RESOLVED, named_in_errors
from lora_lightning.tasks.evaluate import require_split, text_rows
from lora_lightning.tasks.stored_hypotheses import DECODE_AGAIN, read_hypotheses, read_search


@dataclass(frozen=True)
class Ranking:
    """One way to choose.

    Attributes:
        places: of each context, its hypotheses' places in the file from the best on.
        scores: of each context, log_probability / length^length_penalty by place.
        further: a further field of each hypothesis by name, of each context by place.
    """

    places: list[list[int]]
    scores: list[list[float]]
    further: dict[str, Sequence[Sequence[float]]]


class Candidates:
    """The hypotheses of a run's predictions, and what they are chosen by.

    Args:
        run: the run.
        split: whose contexts were decoded.
        folder: of the predictions.

    Raises:
        InputError: they are not there, hold no hypotheses, or are not of the run's data.
    """

    def __init__(self, run: RunFolder, split: str, folder: Path) -> None:
        path = folder / "predictions.jsonl"
        if not path.is_file():
            raise InputError(f"{path}: the run has no such predictions; {DECODE_AGAIN}")
        require_split(path, split)
        self.manifest, self.search = read_search(folder)
        self.records, self.hypotheses = read_hypotheses(path)
        config = OmegaConf.merge(run.resolved_config, {"data": {"limit_test": None}})
        with named_in_errors(run.path / RESOLVED):
            self.protocol: ScoringProtocol = build(config.protocol)
            data: DataToTextModule = build(config.data)
        rows = text_rows(data.examples(split), config.model)
        groups = group_rows(rows)  # type: ignore[arg-type]
        self.groups = _groups(groups, self.records, path)
        self.is_whole_split = len(self.records) == len(groups)

    @property
    def counts(self) -> list[int]:
        """The number of hypotheses of each context."""
        return [len(hypotheses) for hypotheses in self.hypotheses]

    def ranking(self, choice: str, length_penalty: float, metric: str) -> Ranking:
        """Return the order of each context's hypotheses.

        Args:
            choice: `score`; `mbr`: the expected score against all of them; `slots`: slot errors.
                Then of the latter two, the score.
            length_penalty: of the score.
            metric: of `mbr`.

        Raises:
            InputError: `slots`, but the contexts are no meaning representations of E2E.
        """
        found = [
            scores([one.log_probability for one in context], [one.length for one in context],
                   length_penalty)
            for context in self.hypotheses
        ]  # fmt: skip
        further: dict[str, Sequence[Sequence[float]]] = {}
        if choice == "mbr":
            if self.search.temperature is None:
                weights = [probabilities(context) for context in found]
            else:  # drawn as often as the model means them
                weights = [[1 / count] * count for count in self.counts]
            further["expected_score"] = expected_scores(weights, self._similarities(metric))
            keys = [further["expected_score"], found]
        elif choice == "slots":
            further["slot_errors"] = self._slot_errors
            keys = [[[-count for count in context] for context in self._slot_errors], found]
        else:
            keys = [found]
        return Ranking([best_first(*of) for of in zip(*keys, strict=True)], found, further)

    def oracle(self, metric: str) -> list[int]:
        """Return the place of each context's hypothesis that is best against its references."""
        pairs = [
            Pair(words, references)
            for texts, references in zip(self._tokens, self._reference_tokens, strict=True)
            for words in texts
        ]
        found = iter(_measured(metric, pairs))
        return [best_first([next(found) for _ in texts])[0] for texts in self._tokens]

    def corpus_scores(self, chosen: Sequence[int]) -> dict[str, float]:
        """Return the protocol's BLEU, and what it measures beside the official scorer.

        Args:
            chosen: the place of each context's hypothesis.
        """
        begins = [sum(self.counts[:number]) for number in range(len(self.counts))]
        return {
            name: measured.score([measured.statistics[begin + place]
                                  for begin, place in zip(begins, chosen, strict=True)])
            for name, measured in self._measurements.items()
        }  # fmt: skip

    def predictions(self, ranking: Ranking, is_of_search: bool) -> list[Record]:
        """Return the records of predictions.jsonl in a ranking.

        Args:
            ranking: of all hypotheses.
            is_of_search: whether the search itself ranks so; else nothing is proven.
        """
        if is_of_search:
            return self.records
        return [self._record(number, ranking) for number in range(len(self.records))]

    def _record(self, number: int, ranking: Ranking) -> Record:
        record = self.records[number]
        hypotheses = []
        for place in ranking.places[number]:
            value = ranking.scores[number][place]
            stored = record["hypotheses"][place]
            finite = None if stored["log_probability"] is None else value
            fields = {name: values[number][place] for name, values in ranking.further.items()}
            hypotheses.append(stored | {"score": finite, "proven": False} | fields)
        best = {key: hypotheses[0][key] for key in ("text", "tokens", "score")}
        return record | best | {"hypotheses": hypotheses}

    @cached_property
    def _measurements(self) -> dict[str, Measurement]:
        """Each metric over all hypotheses of all contexts; the sums of any choice follow."""
        protocol = type(self.protocol)(["bleu", *self.protocol.further_metric_names])
        segments = protocol.prepare(
            [
                Segment(one_line(hypothesis.text), references, group.row_ids[0], group.context)
                for group, hypotheses in zip(self.groups, self.hypotheses, strict=True)
                for references in [tuple(one_line(text) for text in group.references)]
                for hypothesis in hypotheses
            ]
        )
        scorer, found = protocol.scorer(segments, None), {}
        for metric in protocol.metrics:
            try:
                found[metric] = scorer.measure(metric)
            except NotComputable:  # such as slot errors of contexts that are no E2E inputs
                continue
        scorer.close()
        return found

    @cached_property
    def _tokens(self) -> list[list[list[str]]]:
        return [[tokenise_13a_lower(one.text) for one in context] for context in self.hypotheses]

    @cached_property
    def _reference_tokens(self) -> list[list[list[str]]]:
        return [[tokenise_13a_lower(text) for text in group.references] for group in self.groups]

    @cached_property
    def _slot_errors(self) -> list[list[int]]:
        try:
            return [
                [slot_errors(record["context"], one.text).count for one in context]
                for record, context in zip(self.records, self.hypotheses, strict=True)
            ]
        except NoMeaning as error:
            raise InputError(f"choice=slots: counts slot errors of E2E; {error}") from None

    def _similarities(self, metric: str) -> list[list[list[float]]]:
        return similarities(self._tokens, lambda pairs: _measured(metric, pairs))


def _measured(metric: str, pairs: Sequence[Pair]) -> list[float]:
    try:
        return SENTENCE_METRICS[metric](pairs)
    except NotComputable as error:
        raise InputError(f"metric={metric}: {error}") from None


def _groups(groups: Sequence[Group], records: Sequence[Record], path: Path) -> list[Group]:
    """Return the group of each record's context."""
    by_context = {group.context: group for group in groups}
    for record in records:
        if record["context"] not in by_context:
            raise InputError(
                f"{path}: id {record['id']!r} is for a context that the run's data does not have; "
                "give the run whose data was decoded"
            )
    return [by_context[record["context"]] for record in records]
