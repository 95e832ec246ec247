"""`~` is the user's home in every key that names a path, wherever it is given."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from lora_lightning.config.compose import CONFIGS, composed
from lora_lightning.config.overrides import stored_value
from lora_lightning.config.own import user_folder
from lora_lightning.config.paths import expand_homes
from lora_lightning.config.resolvers import register


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("key", ["paths.output_dir", "output_dir"])
def test_hydra_writes_into_the_home(key, home):
    register()
    with initialize_config_dir(str(CONFIGS), version_base="1.3", job_name="train"):
        config = compose("generate", [f"{key}='~/runs'"], return_hydra_config=True)
        assert Path(config.hydra.run.dir).is_relative_to(home / "runs")


def test_what_is_read_is_looked_for_in_the_home(home):
    config = composed("evaluate", ["paths.data_dir='~/raw'", "data=e2e", "hypotheses='~/h.txt'",
                                   "references=['~/a','/b']"])  # fmt: skip
    expand_homes(config)
    assert config.data.dir == f"{home}/raw/e2e"
    assert config.hypotheses == f"{home}/h.txt"
    assert config.references == [f"{home}/a", "/b"]


def test_a_stored_path_stays_in_the_home(home):
    assert stored_value("data.dir", "~/raw", Path("/elsewhere")) == f"{home}/raw"
    assert user_folder("~/mine") == home / "mine"
