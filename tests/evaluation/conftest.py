"""What the tests of evaluation share."""

import pytest


@pytest.fixture
def write(tmp_path):
    """Write a text, or bytes, into a file of this name."""

    def write_file(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file
