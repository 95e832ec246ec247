"""The bundled base: its folder loads, its vocabulary is the program's, its training learns."""

import json
from functools import cache

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoTokenizer, GPT2LMHeadModel

from lora_lightning.sample.__main__ import COPYING, OUTPUT, SEED, vocabulary_texts
from lora_lightning.sample.pretrain import (
    IGNORED,
    POSITIONS,
    batches,
    build_model,
    next_token_loss,
    pretrain,
    sinusoids,
    write_base,
)
from lora_lightning.sample.vocabulary import END_OF_TEXT, SIZE, train_tokenizer, write_tokenizer

FOLDER = OUTPUT / "gpt2_tiny"


@cache
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(FOLDER / "tokenizer.json"))


def test_the_folder_is_small():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 8_000_000


def test_the_model_loads_with_the_shape_and_no_dropout():
    model = GPT2LMHeadModel.from_pretrained(FOLDER)
    config = model.config
    assert config.n_positions == POSITIONS == 1024
    assert (config.resid_pdrop, config.embd_pdrop, config.attn_pdrop) == (0, 0, 0)
    assert config.vocab_size == SIZE
    assert config.eos_token_id == SIZE - 1
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
    assert model.transformer.wte.weight.dtype == torch.float32


def test_the_tokenizer_has_an_end_of_text_and_a_blank_line():
    loaded = AutoTokenizer.from_pretrained(FOLDER)
    assert len(loaded) == SIZE
    assert loaded.eos_token == END_OF_TEXT
    assert loaded.eos_token_id == SIZE - 1
    assert len(loaded.encode("\n\n")) == 1
    assert loaded.decode(loaded.encode("\n\n")) == "\n\n"


@pytest.mark.parametrize("text", [" naïve café — £ 5", "日本語\t\x00", "  two  spaces \n", ""])
def test_any_text_survives_the_tokenizer(text: str):
    loaded = AutoTokenizer.from_pretrained(FOLDER)
    assert loaded.decode(loaded.encode(text)) == text


def test_the_single_bytes_come_first_in_gpt2s_order():
    assert tokenizer().id_to_token(0) == "!"
    assert all(len(tokenizer().id_to_token(i)) == 1 for i in range(256))


def test_common_words_are_one_token():
    for word in (" restaurant", " the", " near", " customer"):
        assert len(tokenizer().encode(word).ids) == 1


def test_the_program_makes_the_committed_vocabulary(tmp_path):
    write_tokenizer(train_tokenizer(vocabulary_texts(SEED)), tmp_path, POSITIONS)
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes()
    made, committed = (
        json.loads((folder / "tokenizer.json").read_text("utf-8"))["model"]
        for folder in (tmp_path, FOLDER)
    )
    assert made["vocab"] == committed["vocab"]
    assert made["merges"] == committed["merges"]


def test_the_base_explains_its_own_world_far_better_than_an_untrained_one():
    tokens = next(batches(tokenizer(), seed=1))
    with torch.no_grad():
        trained = next_token_loss(GPT2LMHeadModel.from_pretrained(FOLDER), tokens)
        untrained = next_token_loss(build_model(SIZE, seed=0), tokens)
    assert trained < untrained / 3


def test_two_steps_of_training_run_and_are_reproducible(tmp_path):
    first, second = (pretrain(tokenizer(), steps=2, seed=0) for _ in range(2))
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name
    write_base(first, tmp_path)
    loaded = GPT2LMHeadModel.from_pretrained(tmp_path)
    assert torch.equal(loaded.transformer.wpe.weight, first.transformer.wpe.weight)


def test_rows_are_context_end_completion_end():
    tokens = next(batches(tokenizer(), seed=0))
    end = tokenizer().token_to_id(END_OF_TEXT)
    for row in tokens.tolist():
        ids = [token for token in row if token != IGNORED]
        assert ids.count(end) == 2
        assert ids[-1] == end
        completion = tokenizer().decode(ids[ids.index(end) + 1 : -1], skip_special_tokens=False)
        assert completion.startswith(" ")


def test_positions_start_as_rotations_by_one_step():
    table = sinusoids(8, 4)
    assert table.shape == (8, 4)
    angles = torch.tensor([1.0, 0.01])
    pairs = table.view(8, 2, 2)  # (position, rate, (sin, cos))
    sine, cosine = pairs[:-1, :, 0], pairs[:-1, :, 1]
    next_sine = sine * angles.cos() + cosine * angles.sin()
    torch.testing.assert_close(pairs[1:, :, 0], next_sine)


NAMES = ("Blue Spice", "Zizzi", "The Punter", "Cotto", "Green Man", "Aromi", "The Vaults",
         "Alimentum", "The Rice Boat", "Giraffe")  # fmt: skip


def test_the_base_of_today_copies_names_that_are_in_none_of_its_lists():
    folder = OUTPUT / COPYING
    model, loaded = GPT2LMHeadModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    copied = 0
    for name in NAMES:
        ids = loaded(f"name : {name} | kind : ferry{END_OF_TEXT}", return_tensors="pt")
        text = loaded.decode(model.generate(**ids, do_sample=False, max_new_tokens=20)[0])
        copied += name in text.partition(END_OF_TEXT)[2]
    assert copied >= 8


def test_both_bases_have_one_vocabulary():
    for name in ("vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json"):
        assert (OUTPUT / COPYING / name).read_bytes() == (FOLDER / name).read_bytes()
