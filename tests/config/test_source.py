"""Config files that editors of other systems wrote are read as any other."""

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from lora_lightning.config.files import description
from lora_lightning.config.source import register_source
from lora_lightning.errors import InputError


@pytest.fixture
def composed(tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "root.yaml").write_text("defaults:\n  - own: one\nseed: 0\n")

    def compose_with(content: str, encoding: str):
        (tmp_path / "own" / "one.yaml").write_text(content, encoding=encoding)
        register_source()
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(tmp_path), version_base="1.3"):
            return compose("root")

    return compose_with


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_hides_no_header_of_a_config(composed, encoding, tmp_path):
    assert composed("# @package _global_\n# Mine.\nseed: 7\nown: {a: 1}\n", encoding) == {
        "seed": 0,
        "own": {"a": 1},
    }
    assert description(tmp_path / "own" / "one.yaml") == ["Mine."]


def test_a_config_in_another_encoding_is_named(composed):
    with pytest.raises(InputError, match=r"one\.yaml: UTF-16 or UTF-32, not UTF-8"):
        composed("seed: 7\n", "utf-16")
