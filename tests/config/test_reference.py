"""docs/config.md and --help say of every key what the configs and rules say."""

import re
import shutil
import sys

import pytest

from lora_lightning import config_reference
from lora_lightning.cli.help import help_lines
from lora_lightning.config.files import Key, default_options, description, keys_of
from lora_lightning.config.reference import CONFIGS, UNITS, reference
from lora_lightning.config.rules import OF_MANY, UNCHECKED, types_of
from lora_lightning.config_reference import PAGE
from lora_lightning.errors import InputError
from tests.config.test_rules import OPTIONS, composed


@pytest.fixture(scope="module")
def rows():
    lines = [line for line in reference().splitlines() if re.match(r"\| `.*\|.*\|.*\|.*\|", line)]
    return [line.replace("\\|", "/").strip("| ").split(" | ") for line in lines]


def test_the_page_is_current():
    assert PAGE.read_text(encoding="utf-8") == reference(), "run make docs"


@pytest.mark.parametrize("option", OPTIONS)
def test_every_argument_that_a_config_may_give_has_a_row(rows, option):
    config = composed(option)
    assert set(types_of(config)) <= {row[0].strip("`") for row in rows}


def test_every_row_says_what_the_key_means(rows):
    assert [row[0] for row in rows if len(row) < 5 or not row[4].strip()] == []


def test_every_row_of_ours_says_what_is_allowed(rows):
    ours = [row for row in rows if row[0].strip("`").split(".")[0] not in (*UNCHECKED, *OF_MANY)]
    assert [row[0] for row in ours if not row[3].strip()] == []


def test_units_belong_to_keys_that_exist(rows):
    assert set(UNITS) <= {row[0].strip("`") for row in rows}


def test_a_default_that_differs_between_options_is_named_with_its_option(rows):
    [alpha] = [row for row in rows if row[0] == "`method.alpha`"]
    assert alpha[1] == "`32` · `rslora`: `16`"
    assert "(of `dora`, `lora`, `lora_all_linear`, `rslora`)" in alpha[4]


def test_a_page_that_is_not_current_is_an_error(monkeypatch, tmp_path):
    page = tmp_path / "config.md"
    page.write_text("old")
    monkeypatch.setattr(config_reference, "PAGE", page)
    monkeypatch.setattr(sys, "argv", ["config_reference", "--check"])
    with pytest.raises(InputError, match="make docs"):
        config_reference.main()
    monkeypatch.setattr(sys, "argv", ["config_reference"])
    config_reference.main()
    assert page.read_text(encoding="utf-8") == reference()


def test_a_file_lends_its_comments_to_its_children(tmp_path):
    (tmp_path / "parent.yaml").write_text("# What it is.\nrate: 1 # per update\nsize: 2 # rows\n")
    (tmp_path / "child.yaml").write_text("defaults:\n  - parent\n  - _self_\n\nrate: 3\n")
    assert description(tmp_path / "parent.yaml") == ["What it is."]
    assert keys_of(tmp_path / "child.yaml") == {
        "rate": Key("3", "per update"),
        "size": Key("2", "rows"),
    }


def test_a_group_may_share_a_file_beside_its_folder(tmp_path):
    (tmp_path / "rows.yaml").write_text("size: 2 # rows\n")
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "own.yaml").write_text(
        "defaults:\n  - /rows@_here_\n  - _self_\nsize: 3\n"
    )
    assert keys_of(tmp_path / "rows" / "own.yaml") == {"size": Key("3", "rows")}


def test_a_hash_in_quotes_begins_no_comment_and_nested_keys_keep_their_names(tmp_path):
    (tmp_path / "own.yaml").write_text(
        "# What it is.\n"
        "colour: '#fff # not' # of the line\n"
        "outer:\n"
        "  # above the key\n"
        "  inner:\n"
        "    rate: 1 # per update\n"
        "  size: [1, 2] # rows\n"
        "plain: a#b\n"
        "empty: {}\n"
        "none:\n"
    )
    assert keys_of(tmp_path / "own.yaml") == {
        "colour": Key("'#fff # not'", "of the line"),
        "outer.inner.rate": Key("1", "per update"),
        "outer.size": Key("[1, 2]", "rows"),
        "plain": Key("a#b", ""),
        "empty": Key("{}", ""),
        "none": Key("null", ""),
    }


def test_an_optional_group_is_known_by_its_name():
    assert default_options(CONFIGS / "train.yaml")["local"] == "default"


@pytest.mark.parametrize("command", ["train", "generate", "evaluate"])
@pytest.mark.parametrize("width", [80, 110])
def test_help_fits_the_terminal(command, width):
    body = list(help_lines(command, CONFIGS, width))[1:]  # after the examples, which are to copy
    lines = [line for line in "\n".join(body).splitlines() if " " in line.strip()]
    assert max(map(len, lines)) <= width


def test_help_shows_a_users_own_option_of_a_group(tmp_path):
    configs = shutil.copytree(CONFIGS, tmp_path / "configs")
    shutil.copy(CONFIGS.parent / "train.py", tmp_path)
    (configs / "model" / "mine.yaml").write_text("path: mine\n")
    assert any("mine" in line for line in help_lines("train", configs, 110))
