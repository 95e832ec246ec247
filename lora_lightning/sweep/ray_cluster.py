"""The cluster of `hydra/launcher=ray`: reached before the first job, and what a job takes of it."""

import logging
import os
import socket
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from omegaconf import DictConfig

from lora_lightning.config.trainer import processes
from lora_lightning.errors import InputError, first_line
from lora_lightning.ranges import CountOrZero, NotNegative, Text, check

log = logging.getLogger(__name__)
KEYS = {
    "address": Text | None,
    "num_cpus": NotNegative | None,
    "num_gpus": NotNegative | None,
    "memory": NotNegative | None,  # bytes, more than a count may be
    "max_retries": CountOrZero,
}
ANSWER_SECONDS = 5.0
# HTTP/2's greeting (RFC 9113, 3.4), to which a server of gRPC, as Ray's is, answers with a frame of
# type 4, its settings; a frame begins with nine bytes, the fourth of which is the type.
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
# Ray's own settings for reaching a head: once, 15 seconds in all; else 20 times 40 seconds.
ONE_TRY = {
    "RAY_gcs_server_port_wait_time_s": "1",
    "RAY_NUM_REDIS_GET_RETRIES": "1",
    "RAY_py_gcs_connect_timeout_s": "5",
}
LOCAL = "local"
RAY = "ray"  # option of hydra/launcher
OF_OTHERS = "hydra-ray-launcher"


@dataclass(frozen=True)
class Needs:
    """What one job takes of a machine, while it runs: cores, GPUs, and bytes of memory."""

    num_cpus: float
    num_gpus: float
    memory: int

    @classmethod
    def of(cls, config: DictConfig) -> "Needs":
        """Return what the job of a config needs.

        Raises:
            InputError: it asks for more than one machine.
        """
        given, trainer = config.hydra.launcher, config.get("trainer")
        if trainer is not None and trainer.num_nodes > 1:
            raise InputError(
                f"trainer.num_nodes={trainer.num_nodes}: hydra/launcher=ray gives a job one "
                "machine; use hydra/launcher=submitit_slurm or torchrun"
            )
        count = (processes(trainer.devices) or 1) if trainer is not None else 1
        may_use_gpus = trainer is not None and trainer.accelerator in ("auto", "gpu")
        gpus = count if may_use_gpus and (trainer.accelerator == "gpu" or _most("GPU")) else 0
        return cls(
            count if given.num_cpus is None else given.num_cpus,
            gpus if given.num_gpus is None else given.num_gpus,
            int(given.memory or 0),
        )

    def require_a_machine(self) -> None:
        """Require that a machine of the cluster has so much, or the job would wait for ever.

        Raises:
            InputError: none has.
        """
        wanted = {"CPU": self.num_cpus, "GPU": self.num_gpus, "memory": self.memory}
        if any(all(has.get(k, 0) >= v for k, v in wanted.items()) for has in _machines()):
            return
        asked = ", ".join(f"{name} {value:g}" for name, value in wanted.items() if value)
        most = ", ".join(f"{name} {_most(name):g}" for name in wanted)
        raise InputError(
            f"hydra/launcher=ray: no machine of the cluster has what a job needs ({asked}; the "
            f"most of any is {most}); set hydra.launcher.num_cpus, num_gpus or memory, or "
            "trainer.devices"
        )


def connect(config: DictConfig) -> None:
    """Connect this process with the cluster, or begin one of this machine alone.

    Raises:
        InputError: a key of `hydra.launcher` is wrong, Ray is not installed, no cluster answers at
            the address, or no machine of it could run a job.
    """
    for key, kind in KEYS.items():
        check(f"hydra.launcher.{key}", config.hydra.launcher[key], kind)
    address = address_of(config)
    if address != LOCAL:
        os.environ |= ONE_TRY | os.environ
    try:
        import ray
    except ImportError:
        raise InputError("hydra/launcher=ray: needs Ray; pip install '.[ray]'") from None
    if not ray.is_initialized():
        _require_an_answer(address)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # sends nothing of anybody's
        own: dict[str, Any] = {"include_dashboard": False} if address == LOCAL else {}
        try:
            ray.init(address, logging_level=logging.WARNING, **own)
        except (Exception, SystemExit) as error:  # Ray's many kinds
            raise InputError(
                f"hydra.launcher.address={address}: no Ray cluster to work with "
                f"({first_line(error)}); `ray status --address={address}` says what it sees"
            ) from None
        log.info("ray           %s, machines: %d", address, len(_machines()))
        if (others := _version_of_others()) is not None:
            log.info("launcher      ours, not that of %s %s", OF_OTHERS, others)
    Needs.of(config).require_a_machine()


def address_of(config: DictConfig) -> str:
    """Return where the cluster is, `local` where it is this machine alone."""
    return config.hydra.launcher.address or os.environ.get("RAY_ADDRESS") or LOCAL


def _require_an_answer(address: str) -> None:
    """Require that a Ray cluster may be at an address; Ray itself would try for minutes.

    Raises:
        InputError: nothing answers, or something else, or it is no address.
    """
    if address in ("auto", LOCAL):
        return
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (host and colon and port.isdigit()):
        raise InputError(
            f"hydra.launcher.address={address}: allowed is <host>:<port> of a cluster's head, auto "
            "or null"
        )
    place = f"hydra.launcher.address={address}"
    try:
        connection = socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS)
    except (OSError, OverflowError) as error:
        raise InputError(
            f"{place}: nothing answers there ({first_line(error)}); start a cluster with "
            "`ray start --head`, or leave the key out to use this machine alone"
        ) from None
    with connection:
        if os.environ.get("RAY_USE_TLS", "0") == "0" and not _speaks_grpc(connection):
            raise InputError(
                f"{place}: what answers there is no Ray cluster; give the <host>:<port> that "
                "`ray start --head` prints, whose port is 6379 unless --port= says otherwise"
            )


def _speaks_grpc(connection: socket.socket) -> bool:
    """Whether a server that was just connected to speaks gRPC, without encryption."""
    try:
        connection.sendall(GREETING)
        frame = connection.recv(9, socket.MSG_WAITALL)
    except OSError:  # it says nothing, or hangs up
        return False
    return len(frame) == 9 and frame[3] == 4


def _machines() -> list[dict[str, float]]:
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _most(resource: str) -> float:
    return max((has.get(resource, 0) for has in _machines()), default=0)


def _version_of_others() -> str | None:
    try:
        return version(OF_OTHERS)
    except PackageNotFoundError:
        return None
