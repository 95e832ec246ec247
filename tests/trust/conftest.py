"""One run for all tests; each takes a copy."""

import pytest

from tests.commands import run_command
from tests.tiny import DECODING, TRAINING


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trust") / "run"
    run_command("train", *TRAINING, *DECODING, f"output_dir={folder}")
    return folder


@pytest.fixture
def marker(tmp_path):
    """What an attack would make, and must not be there in the end."""
    file = tmp_path / "attacked"
    yield file
    assert not file.exists()
