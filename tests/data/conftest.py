"""Small stand-ins, so that these tests need nothing from outside the repository."""

import json
from pathlib import Path

import pytest
import tokenizers

from lora_lightning.data.tokenizer import Tokenizer, load_tokenizer

TEXTS = ["name : Blue Spice | Type : pub", " Blue Spice is a pub .\n\n", " in the city centre"]


def write_tokenizer(folder: Path, special: list[str]) -> Path:
    """Train a small byte-level BPE and save it in `folder`; `special` are its special tokens."""
    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(TEXTS * 9, trainer)
    folder.mkdir(parents=True, exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory) -> Path:
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer"), ["<|endoftext|>", "<|pad|>"])


@pytest.fixture(scope="session")
def tokenizer(tokenizer_folder) -> Tokenizer:
    return load_tokenizer(tokenizer_folder)


@pytest.fixture
def write(tmp_path):
    """Write a file: texts as they are, anything else as JSON."""

    def write_file(name: str, content) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text, encoding="utf-8", newline="")
        return path

    return write_file
