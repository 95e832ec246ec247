"""Decode one text and print its beams: without Lightning, whose import takes longer than that."""

import logging
import sys

from omegaconf import DictConfig

from lora_lightning.config.rules import check_config
from lora_lightning.data.encoding import encode_contexts
from lora_lightning.errors import printable
from lora_lightning.tasks.decoder import chosen_adapters, load_decoder, make_queries
from lora_lightning.tasks.hypotheses import decode_named, prediction_record

log = logging.getLogger(__name__)
UNPROVEN = "  (not proven)"
NOTE = """
%s: found on the way. The search stopped when it was sure of its best %d; with
generation.num_return=%d it goes on until it is sure of all of these."""


def print_hypotheses(config: DictConfig) -> None:
    """Decode `text` and print its hypotheses, best first.

    Raises:
        InputError: a key, a file or their combination is wrong.
    """
    check_config(config)
    decoder = load_decoder(config, chosen_adapters(config))
    contexts = encode_contexts([(0, config.text)], decoder.tokenizer)
    queries, _ = make_queries(contexts, decoder)
    [(context, hypotheses)] = decode_named(decoder, contexts, queries)
    records = prediction_record(context, hypotheses, decoder)["hypotheses"]
    for record in records:
        mark = "" if record["proven"] else UNPROVEN
        score = "  no token" if record["score"] is None else f"{record['score']:10.4f}"
        sys.stdout.write(f"{score}  {printable(record['text'])}{mark}\n")
    if decoder.settings.sampling is None and not all(record["proven"] for record in records):
        log.info(NOTE, UNPROVEN.strip(), decoder.settings.num_return, len(records))
