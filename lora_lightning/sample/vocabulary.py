"""The bundled base's own byte-level BPE vocabulary, laid out as GPT-2's.

The 256 bytes come first, in GPT-2's order (`!` is 0), then the merges in the order they were
learned, `<|endoftext|>` last. The blank line is an ordinary merge of two line feeds, as in GPT-2.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from lora_lightning.files import atomic_path, atomic_text, write_json

END_OF_TEXT = "<|endoftext|>"
BLANK_LINE = "\n\n"
SIZE = 2000


def train_tokenizer(texts: Iterable[str], size: int = SIZE) -> Tokenizer:
    """Learn `size` tokens from `texts`, the end of text included.

    Args:
        texts: what the merges are counted on.
        size: number of tokens, at least 258.

    Returns:
        A tokenizer with GPT-2's pre-tokenisation, so that ` word` becomes one token.
    """
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size - 1,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    learner.train_from_iterator(_with_blank_lines(texts), trainer)
    learned = json.loads(learner.to_str())["model"]
    vocabulary = {**learned["vocab"], END_OF_TEXT: len(learned["vocab"])}
    merges = [(left, right) for left, right in learned["merges"]]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(END_OF_TEXT, special=True, normalized=True)])
    return tokenizer


def write_tokenizer(tokenizer: Tokenizer, folder: Path, positions: int) -> None:
    """Write the four files that transformers' `AutoTokenizer` reads into `folder`."""
    with atomic_path(folder / "tokenizer.json") as path:
        tokenizer.save(str(path), pretty=False)
    model = json.loads(tokenizer.to_str())["model"]
    with atomic_text(folder / "vocab.json") as file:
        json.dump(model["vocab"], file, ensure_ascii=False)
    with atomic_text(folder / "merges.txt") as file:
        file.write("#version: 0.2\n")
        file.writelines(f"{left} {right}\n" for left, right in model["merges"])
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "GPT2Tokenizer",
            "add_prefix_space": False,
            "bos_token": END_OF_TEXT,
            "eos_token": END_OF_TEXT,
            "unk_token": END_OF_TEXT,
            "model_max_length": positions,
        },
    )


def _with_blank_lines(texts: Iterable[str]) -> Iterable[str]:
    """`texts` and as many blank lines as make them a token of their own."""
    yield from texts
    yield from [BLANK_LINE] * 1000
