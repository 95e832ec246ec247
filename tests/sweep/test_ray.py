"""`hydra/launcher=ray`: jobs on a cluster's machines; a lost one goes on from its last checkpoint.

Two nodes on this machine stand for as many machines. Needs `pip install '.[ray]'`.
"""

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.commands import error_of, run_command
from tests.goldens import ROOT
from tests.sweep.folders import table_of

HAS_RAY = importlib.util.find_spec("ray") is not None
SETTINGS = ("trainer=cpu", "trainer.max_steps=120", "trainer.save_every_n_steps=2",
            "trainer.log_every_n_steps=1", "trainer.limit_val_batches=1")  # fmt: skip
RAY = "hydra/launcher=ray"
needs_ray = pytest.mark.skipif(not HAS_RAY, reason="without Ray: pip install '.[ray]'")


@pytest.fixture
def cluster(monkeypatch):
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    made.add_node(num_cpus=1)
    yield made
    made.shutdown()


@pytest.fixture
def one_thread():
    """As many threads as Ray gives a job of one core; more of them round differently."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def ports():
    """Ports of this machine: one of a server of pages, one that says nothing, one of nobody."""
    with (
        ThreadingHTTPServer(("localhost", 0), BaseHTTPRequestHandler) as http,
        socket.create_server(("localhost", 0)) as silent,
        socket.socket() as unused,
    ):
        unused.bind(("localhost", 0))
        threading.Thread(target=http.serve_forever, daemon=True).start()
        servers = {"http": http.socket, "silent": silent, "unused": unused}
        yield {name: server.getsockname()[1] for name, server in servers.items()}
        http.shutdown()


@pytest.mark.skipif(HAS_RAY, reason="Ray is installed")
def test_without_ray_one_line_says_what_to_install(tmp_path):
    error = error_of("train", "-m", "seed=0,1", *SETTINGS, RAY, f"output_dir={tmp_path}/sweep")
    assert "pip install '.[ray]'" in error
    assert not (tmp_path / "sweep").exists()


@pytest.mark.long
@needs_ray
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["hydra.launcher.address=here"], "allowed is <host>:<port>"),
        (["hydra.launcher.address=localhost:<unused>"], "nothing answers there"),
        (["hydra.launcher.address=localhost:<http>"], "what answers there is no Ray cluster"),
        (["hydra.launcher.address=localhost:<silent>"], "what answers there is no Ray cluster"),
        (["hydra.launcher.address=auto"], "no Ray cluster to work with"),
        (["hydra.launcher.num_cpus=4096"], "no machine of the cluster has what a job needs"),
        (["hydra.launcher.num_cpus=oops"], "hydra.launcher.num_cpus"),
        (["hydra.launcher.max_retries=-1"], "hydra.launcher.max_retries=-1"),
    ],
)
def test_a_cluster_that_could_not_work_is_refused_before_the_first_job(
    arguments, said, ports, tmp_path
):
    given = arguments
    for name, port in ports.items():
        given = [argument.replace(f"<{name}>", str(port)) for argument in given]
    command = [sys.executable, "train.py", "-m", "seed=0,1", *SETTINGS, RAY, *given]
    ended = subprocess.run([*command, f"output_dir={tmp_path}/sweep"], cwd=ROOT, timeout=200,
                           capture_output=True, text=True)  # fmt: skip
    errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert ended.returncode == 1
    assert len(errors) == 1
    assert said in errors[0]
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "sweep").exists()


@pytest.mark.long
@pytest.mark.asks_for_network  # Ray asks which of this machine's addresses leads to others
@needs_ray
def test_jobs_of_a_killed_worker_and_of_a_lost_machine_go_on_to_the_same_adapter(
    cluster, one_thread, tmp_path
):
    second = cluster.add_node(num_cpus=1)
    sweep = tmp_path / "sweep"
    started = subprocess.Popen(
        [sys.executable, "train.py", "-m", "seed=0,1", *SETTINGS, RAY,
         f"hydra.launcher.address={cluster.address}", f"output_dir={sweep}"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    processes = [process_of(sweep / job) for job in "01"]
    cluster.remove_node(second, allow_graceful=False)
    for process in processes:  # one of them was that machine's
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    said, _ = started.communicate(timeout=280)
    assert started.returncode == 0, said
    assert said.count("was lost") >= 2, said
    assert [row["status"] for row in table_of(sweep)] == ["finished"] * 2
    for job in "01":
        assert "resume" in (sweep / job / "train.log").read_text()
        alone = tmp_path / f"alone_{job}"
        run_command("train", *SETTINGS, f"seed={job}", f"output_dir={alone}")
        adapters = [run / "adapter" / "adapter_model.safetensors"
                    for run in (sweep / job, alone)]  # fmt: skip
        assert adapters[0].read_bytes() == adapters[1].read_bytes()


def process_of(job: Path) -> int:
    """Wait until a job has saved something, and return its process."""
    for _ in range(1200):
        if (job / "checkpoints" / "last.ckpt").is_file():
            return int(json.loads((job / "job.json").read_text())["process"])
        time.sleep(0.1)
    raise AssertionError(f"{job} has saved nothing")


@pytest.mark.long
@pytest.mark.asks_for_network
@needs_ray
@pytest.mark.parametrize(
    ("arguments", "taken"),
    [
        (["hydra.launcher.num_cpus=2", "hydra.launcher.num_gpus=1",
          "hydra.launcher.memory=300000000"], {"CPU": 2, "GPU": 1, "memory": 3e8}),
        (["trainer=ddp_cpu"], {"CPU": 2, "GPU": 0, "memory": 0}),  # two processes
        (["trainer.accelerator=auto"], {"CPU": 1, "GPU": 1, "memory": 0}),
    ],
)  # fmt: skip
def test_a_job_takes_what_it_asks_for_of_a_machine_that_has_it(cluster, arguments, taken, tmp_path):
    """The machine only says that it has a GPU. It has room for one job, and the other one none."""
    import ray

    cluster.add_node(num_cpus=2, num_gpus=1, memory=400_000_000)
    sweep, address = tmp_path / "sweep", f"hydra.launcher.address={cluster.address}"
    command = [sys.executable, "train.py", "-m", "seed=0,1", *SETTINGS, *arguments, RAY, address]
    with subprocess.Popen([*command, f"output_dir={sweep}"], cwd=ROOT) as started:
        ray.init(cluster.address, namespace="looks on")
        try:
            first = next(filter(None, (begun(sweep) for _ in range(1200))))
            has, free = ray.cluster_resources(), ray.available_resources()
        finally:
            started.kill()
            ray.shutdown()
    assert {name: has[name] - free.get(name, 0) for name in taken} == taken
    assert [row["status"] for row in table_of(sweep) if row["job"] != first] == ["missing"]


def begun(sweep: Path) -> str | None:
    """Return a job that runs, or wait a moment."""
    for job in "01":
        if (sweep / job / "checkpoints" / "last.ckpt").is_file():
            return job
    time.sleep(0.1)
    return None
