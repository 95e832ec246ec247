"""Labels of every script are kept, and two labels are never made one."""

import pytest

from lora_lightning.config.label import label_of_folder
from lora_lightning.config.resolvers import label, results_dir
from lora_lightning.errors import InputError
from lora_lightning.files import folder_name
from lora_lightning.tracking.wandb_run import artifact_name

LABELS = ("束搜索", "поиск", "חיפוש", "किरण", "größe", "빔", "五beams_0.8-x", "0.8", "١٢")


@pytest.mark.parametrize("name", LABELS)
def test_a_label_of_any_script_is_kept(name):
    assert label_of_folder(name) == name
    assert label(name) == f"_{name}"
    assert results_dir("predictions", "r", "run", "test", None, name).endswith(f"/test/{name}")


def test_two_ways_to_write_one_letter_are_one_label():
    assert label_of_folder("gro\u0308ße") == label_of_folder("größe")


@pytest.mark.parametrize("name", ["a b", "a/b", "../x", "a:b", "🙂", "a\nb", "a\u200bb", "x="])
def test_what_a_folder_cannot_have_is_refused_and_named(name):
    with pytest.raises(InputError, match="cannot be in a label"):
        label_of_folder(name)


@pytest.mark.parametrize("name", [".", "..", ".lock", "shards", "manifest.json"])
def test_names_of_other_files_are_no_labels(name):
    with pytest.raises(InputError, match="is no label"):
        label_of_folder(name)


@pytest.mark.parametrize("name", [None, ""])
def test_no_label_adds_nothing(name):
    assert label(name) == label_of_folder(name) == ""


def test_a_number_is_a_label():
    assert label_of_folder(0.8) == "0.8"


def test_other_names_of_folders_keep_every_script_too():
    assert folder_name("束 搜索 (2).txt") == "束-搜索-2-.txt"


def test_wandb_gets_two_names_for_two_labels():
    names = {artifact_name(f"predictions-test_{name}-ab12") for name in LABELS}
    assert len(names) == len(LABELS)
    assert all(name.isascii() for name in names)
