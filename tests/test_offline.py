"""No test can touch the network, not even in a process that it starts."""

import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

CONNECT = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)"


@pytest.mark.asks_for_network
@pytest.mark.parametrize("host", ["192.0.2.1", "huggingface.co"])
def test_another_machine_is_out_of_reach(host):
    with pytest.raises(urllib.error.URLError, match="must not touch the network"):
        urllib.request.urlopen(f"http://{host}/", timeout=5)


def test_a_process_of_a_test_is_kept_from_it_too():
    result = subprocess.run([sys.executable, "-c", CONNECT], capture_output=True, text=True)
    assert "must not touch the network" in result.stderr
    assert "reached for 192.0.2.1" in result.stderr.splitlines()[-1]


def test_this_machine_itself_can_be_reached():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=5).close()
