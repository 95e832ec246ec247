"""What holds for every test: it stays on this machine, and asks no account for anything."""

import atexit
import os
import sys
from pathlib import Path

import pytest

OFFLINE = str(Path(__file__).parent / "offline")
sys.path.insert(0, OFFLINE)
# Python may have a sitecustomize of its own, which is imported by now.
sys.modules.pop("sitecustomize", None)
import sitecustomize as network  # noqa: E402

sys.path.remove(OFFLINE)
atexit.unregister(network.report)  # each test is told of by itself
os.environ["WANDB_ERROR_REPORTING"] = "false"  # W&B reports in the background, at any time
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [OFFLINE, os.environ.get("PYTHONPATH")]))


@pytest.fixture(autouse=True)
def stay_on_this_machine(request):
    """Fail a test that reaches for the network, unless it is about having none."""
    before = len(network.attempts)
    yield
    reached = network.attempts[before:]
    if reached and not request.node.get_closest_marker("asks_for_network"):
        pytest.fail(f"the test reached for {', '.join(sorted(set(reached)))}")
