"""Text to token ids and back, as the reference's encoder does: a text is only characters."""

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_lightning.data.tokenizer import load_tokenizer
from lora_lightning.errors import InputError
from tests.data.conftest import write_tokenizer
from tests.goldens import shared

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def byte_of_character() -> dict[str, int]:
    """GPT-2's alphabet: printable bytes stand for themselves, the others for U+0100 onwards."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(256 + index): byte for index, byte in enumerate(others)
    }


@pytest.fixture(scope="module")
def gpt2():
    return load_tokenizer(shared("gpt2-vocab"))


@settings(max_examples=50, deadline=None)
@given(text=TEXT)
def test_decoding_gives_the_text_back(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


@settings(max_examples=50, deadline=None)
@given(text=TEXT, special=st.sampled_from(["<|endoftext|>", "<|pad|>"]))
def test_special_tokens_inside_a_text_are_ordinary_characters(tokenizer, text, special):
    ids = tokenizer.encode(text + special + text)
    assert tokenizer.end_of_text not in ids
    assert tokenizer.encode("<|pad|>") != [1]
    assert tokenizer.decode(ids) == text + special + text


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_decoding_joins_bytes_and_replaces_what_is_no_utf8(tokenizer, tokenizer_folder, data):
    model = json.loads((tokenizer_folder / "tokenizer.json").read_text())["model"]
    token_of = {id: token for token, id in model["vocab"].items()}
    ids = data.draw(st.lists(st.sampled_from(sorted(token_of)), max_size=12))
    byte_of = byte_of_character()
    content = bytes(byte_of[character] for id in ids for character in token_of[id])
    assert tokenizer.decode(ids) == content.decode("utf-8", errors="replace")


def test_decoding_shows_special_tokens_and_cleans_nothing_up(tokenizer):
    ids = [*tokenizer.encode(" it 's , not "), tokenizer.end_of_text]
    assert tokenizer.decode(ids) == " it 's , not <|endoftext|>"


def test_a_batch_is_encoded_as_its_texts_are(tokenizer):
    texts = ["", "Blue Spice", " é<|endoftext|>\n\n"]
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(text) for text in texts]


def test_end_tokens_come_from_the_vocabulary(tmp_path, tokenizer):
    # The small vocabulary puts <|endoftext|> first and learned a token for the blank line.
    assert tokenizer.end_of_text == 0
    assert tokenizer.decode([tokenizer.blank_line]) == "\n\n"
    assert tokenizer.end_token_ids == (0, tokenizer.blank_line)
    added = load_tokenizer(write_tokenizer(tmp_path / "added", ["<|endoftext|>", "\n\n"]))
    assert added.decode([added.blank_line]) == "\n\n"


def test_a_vocabulary_may_lack_the_blank_line(tmp_path, tokenizer_folder):
    content = json.loads((tokenizer_folder / "tokenizer.json").read_text())
    model = content["model"]
    del model["vocab"]["ĊĊ"]
    model["merges"] = [merge for merge in model["merges"] if list(merge) != ["Ċ", "Ċ"]]
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.blank_line is None
    assert tokenizer.end_token_ids == (tokenizer.end_of_text,)


def test_vocabulary_and_merges_do_as_well_as_the_whole_file(tmp_path, tokenizer, tokenizer_folder):
    model = json.loads((tokenizer_folder / "tokenizer.json").read_text())["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = ["#version: 0.2", *(" ".join(merge) for merge in model["merges"])]
    (tmp_path / "merges.txt").write_text("\n".join(merges) + "\n")
    other = load_tokenizer(tmp_path)
    text = "Blue Spice<|endoftext|> is é\n\n"
    assert other.encode(text) == tokenizer.encode(text)
    assert other.end_token_ids == tokenizer.end_token_ids
    assert other.vocab_size == tokenizer.vocab_size


def test_padding_and_truncation_of_the_file_do_not_count(tmp_path, tokenizer, tokenizer_folder):
    content = json.loads((tokenizer_folder / "tokenizer.json").read_text())
    content["truncation"] = {
        "direction": "Right",
        "max_length": 2,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    text = "Blue Spice is a pub"
    assert load_tokenizer(tmp_path).encode(text) == tokenizer.encode(text)


def test_gpt2_has_its_known_ids(gpt2):
    assert (gpt2.end_of_text, gpt2.blank_line, gpt2.vocab_size) == (50256, 628, 50257)
    assert gpt2.end_token_ids == (50256, 628)
    assert len(gpt2.encode("<|endoftext|>")) == 7
    assert gpt2.encode("") == []
    assert gpt2.decode([0, 628, 50256]) == "!\n\n<|endoftext|>"


def test_a_folder_without_tokenizer_files_is_an_error(tmp_path):
    (tmp_path / "vocab.json").write_text("{}")
    with pytest.raises(InputError, match=r"no tokenizer here .*model\.tokenizer=<folder>"):
        load_tokenizer(tmp_path)


def test_damaged_files_are_an_error(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(InputError, match="damaged tokenizer files"):
        load_tokenizer(tmp_path)


def test_a_vocabulary_without_end_of_text_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"no <\|endoftext\|>"):
        load_tokenizer(write_tokenizer(tmp_path, []))


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("no-such-model", "give model.tokenizer=<folder>"),
        ("/no/such/folder", "give a folder or a hub name"),
    ],
)
def test_without_network_the_error_says_what_to_do(tmp_path, name, advice):
    # A process of its own, as the hub's library reads these settings when it is imported.
    code = (
        "from lora_lightning.data.tokenizer import load_tokenizer\n"
        "from lora_lightning.errors import InputError\n"
        f"try: load_tokenizer({name!r})\n"
        "except InputError as error: print(error)"
    )
    environment = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path), "HOME": str(tmp_path)}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert name in result.stdout
    assert advice in result.stdout
