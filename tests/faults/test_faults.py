"""What befalls a command at a random moment loses, doubles and alters nothing."""

import subprocess
import sys

from tests.goldens import ROOT

SEED = "1"  # of what befalls what; when exactly, the machine's own pace decides anew each time
TRIES = "12"


def test_faults_at_random_moments_lose_double_and_alter_nothing():
    ran = subprocess.run(
        [sys.executable, "-m", "tests.faults", "--quick", "--seed", SEED, "--tries", TRIES],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout
