"""The Python door: a training run's model, its predictions, scores and losses."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from lora_lightning.data.encoding import encode_contexts
from lora_lightning.runs.latest import named_run
from lora_lightning.runs.stored_config import RESOLVED, named_in_errors
from lora_lightning.tasks.decoder import load_decoder, make_queries
from lora_lightning.tasks.hypotheses import decode_named, prediction_record
from lora_lightning.tasks.model import adapters_of_run
from lora_lightning.tracking.csv_tables import read_metrics

Split = Literal["train", "valid", "test"]


class LoadedRun:
    """A training run's model with its adapter merged.

    Args:
        path: the run's folder, or `latest`.
        checkpoint: `last` or `best`.
        trust: whether to take any class that its config names.
        base: where the base lies now; None: where it lay when the run trained.

    Attributes:
        path: the run's folder, absolute.
        config: the run's config as it was used, paths of files absolute.
        adapter_path: the adapter's folder, in PEFT's layout; of a `full` run the trained model's.

    Raises:
        InputError: the folder holds no training run or no such adapter, it is damaged, or its
            config names a class that is not allowed.
    """

    def __init__(
        self,
        path: str | Path,
        checkpoint: str = "last",
        trust: bool = False,
        base: str | Path | None = None,
    ) -> None:
        self._run = named_run(path)
        self._run.check_alone(trust)
        self.path = self._run.path
        self.config = self._run.with_base(None if base is None else str(base))
        self.adapter_path = self._run.adapter(checkpoint)
        with named_in_errors(self.path / RESOLVED):
            self.decoder = load_decoder(self.config, adapters_of_run(self._run, checkpoint))

    def generate(self, contexts: Sequence[str]) -> list[str]:
        """Return the best text for each context, by the run's own beam search settings."""
        inputs = encode_contexts(enumerate(contexts), self.decoder.tokenizer)
        queries, _ = make_queries(inputs, self.decoder)
        texts = {}
        for context, hypotheses in decode_named(self.decoder, inputs, queries):
            texts[context.id] = prediction_record(context, hypotheses, self.decoder)["text"]
        return [texts[context.id] for context in inputs]

    def predictions(self, split: Split = "test") -> list[dict[str, Any]]:
        """Return the run's predictions, a record a distinct context; where it has none, decode.

        They lie in `predictions/<split>/` of the run, as `generate.py run=…` writes them; the
        fields are those of docs/contract.md.

        Raises:
            InputError: the data is missing or wrong, or the predictions that are there are of
                another adapter than this one.
        """
        from lora_lightning.tasks.stored_run import predictions_of

        return predictions_of(self._run, self.config, self.decoder, split)

    def evaluate(self, split: Split = "test") -> dict[str, float | None]:
        """Score the run's predictions, decoded first where it has none, and print the table.

        Everything is written into `evaluation/<split>/` of the run, as by `evaluate.py run=…`.

        Returns:
            Metric → score on the official scorer's scale; None where it cannot be computed.

        Raises:
            InputError: as `predictions`, or their ids are not those of the data.
        """
        from lora_lightning.tasks.stored_run import scores_of

        return scores_of(self._run, self.config, self.decoder, split)

    def metrics(self) -> Any:
        """Return metrics.csv, a row a logged update or validation.

        Returns:
            A pandas.DataFrame where pandas is installed, empty cells NaN; else a list of dicts
            without them.

        Raises:
            InputError: the file is missing or damaged.
        """
        rows = read_metrics(self.path / "metrics.csv")
        if find_spec("pandas") is None:
            return rows
        import pandas

        return pandas.DataFrame(rows)
