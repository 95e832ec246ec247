"""The byte-level BPE tokenizer of GPT-2, with the reference's idea of a text: only characters."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import tokenizers

from lora_lightning.errors import InputError
from lora_lightning.gpt2.hub import base_folder

END_OF_TEXT = "<|endoftext|>"
# In a byte-level vocabulary "Ċ" is the line feed; an added token has its characters as they are.
BLANK_LINE_NAMES = ("ĊĊ", "\n\n")
FILES = ("tokenizer.json", "vocab.json", "merges.txt")


class Tokenizer:
    """Turns text into token ids and back.

    `<|endoftext|>` and other special tokens inside a text are ordinary characters when encoding,
    as for the reference's encoder, which knows no special tokens; nothing is added in front.

    Attributes:
        name: where it came from, for messages.
        end_of_text: id of `<|endoftext|>`.
        blank_line: id of the token for two line feeds, where the vocabulary has one.
        vocab_size: number of tokens.

    Raises:
        InputError: the vocabulary has no `<|endoftext|>`.
    """

    def __init__(self, backend: tokenizers.Tokenizer, name: str) -> None:
        backend.encode_special_tokens = True
        backend.no_truncation()
        backend.no_padding()
        end_of_text = backend.token_to_id(END_OF_TEXT)
        if end_of_text is None:
            raise InputError(f"{name}: the vocabulary has no {END_OF_TEXT}; take a GPT-2 tokenizer")
        self._backend = backend
        self.name = name
        self.end_of_text: int = end_of_text
        blank_lines = [backend.token_to_id(token) for token in BLANK_LINE_NAMES]
        self.blank_line: int | None = next((id for id in blank_lines if id is not None), None)
        self.vocab_size: int = backend.get_vocab_size(with_added_tokens=True)

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of all that decides how it encodes."""
        return hashlib.sha256(self._backend.to_str().encode()).hexdigest()

    @property
    def end_token_ids(self) -> tuple[int, ...]:
        """The ids that end a generated text: end of text and, where there is one, blank line."""
        ends = (self.end_of_text, self.blank_line)
        return tuple(id for id in ends if id is not None)

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text; no token is added."""
        return self._backend.encode(text, add_special_tokens=False).ids

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """Return the token ids of each text, as `encode` does, on all cores."""
        encodings = self._backend.encode_batch(texts, add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids: the bytes joined, read as UTF-8.

        Bytes that are no UTF-8 become U+FFFD, special tokens appear as they are written, nothing
        is cleaned up.
        """
        return self._backend.decode(ids, skip_special_tokens=False)


def load_tokenizer(source: str | Path) -> Tokenizer:
    """Load a tokenizer from where `base_folder` finds it: a folder, or the Hugging Face hub.

    Args:
        source: a folder with `tokenizer.json`, or `vocab.json` and `merges.txt`; or a hub name.

    Raises:
        InputError: as `base_folder`, no tokenizer files, or files that are damaged.
    """
    folder = base_folder(str(source), "model.tokenizer")
    return Tokenizer(_read_folder(folder), str(source))


def _read_folder(folder: Path) -> tokenizers.Tokenizer:
    whole, vocabulary, merges = (folder / name for name in FILES)
    try:
        if whole.is_file():
            return tokenizers.Tokenizer.from_file(str(whole))
        if vocabulary.is_file() and merges.is_file():
            return _byte_level(tokenizers.models.BPE.from_file(str(vocabulary), str(merges)))
    # The library raises nothing more special than Exception for a damaged file.
    except Exception as error:
        raise InputError(f"{folder}: damaged tokenizer files ({error})") from error
    raise InputError(
        f"{folder}: no tokenizer here (tokenizer.json, or vocab.json and merges.txt);"
        " set model.tokenizer=<folder>"
    )


def _byte_level(model: tokenizers.models.BPE) -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    return backend
