"""The Python door: a training run's model, ready to decode."""

from collections.abc import Sequence
from pathlib import Path

from lora_lightning.data.encoding import encode_contexts
from lora_lightning.runs.folder import RunFolder
from lora_lightning.runs.stored_config import RESOLVED, named_in_errors
from lora_lightning.tasks.decoder import load_decoder, make_queries
from lora_lightning.tasks.hypotheses import decode_named, prediction_record
from lora_lightning.tasks.model import adapters_of_run


class LoadedRun:
    """A training run's model with its adapter merged.

    Args:
        path: the run's folder.
        checkpoint: `last` or `best`.
        trust: whether to take any class that its config names.
        base: where the base lies now; None: where it lay when the run trained.

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
        run = RunFolder.open(path)
        run.check_alone(trust)
        self.config = run.with_base(None if base is None else str(base))
        with named_in_errors(run.path / RESOLVED):
            self.decoder = load_decoder(self.config, adapters_of_run(run, checkpoint))

    def generate(self, contexts: Sequence[str]) -> list[str]:
        """Return the best text for each context, by the run's own beam search settings."""
        inputs = encode_contexts(enumerate(contexts), self.decoder.tokenizer)
        queries, _ = make_queries(inputs, self.decoder)
        texts = {}
        for context, hypotheses in decode_named(self.decoder, inputs, queries):
            texts[context.id] = prediction_record(context, hypotheses, self.decoder)["text"]
        return [texts[context.id] for context in inputs]
