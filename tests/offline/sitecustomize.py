"""Keeps a Python process from the network: only this machine itself can be reached.

Python imports a module of this name when it starts, so the folder on PYTHONPATH is enough for the
processes that tests start; conftest.py imports it for the tests' own.
"""

import atexit
import ipaddress
import socket
import sys
from typing import Any

REACHED = "a test's process reached for"
attempts: list[str] = []  # what was asked for beyond this machine

_connect, _connect_ex, _look_up = (
    socket.socket.connect,
    socket.socket.connect_ex,
    socket.getaddrinfo,
)


def is_here(host: Any) -> bool:
    """Whether a host is this machine, by name or address."""
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost", socket.gethostname(), socket.getfqdn()):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified or is_own(address)


def is_own(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is one of this machine's: no other can be bound."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True


def refuse(host: Any) -> None:
    """Raise what a machine without a network raises, unless `host` is this machine."""
    if not is_here(host):
        attempts.append(str(host))
        raise socket.gaierror(socket.EAI_NONAME, f"tests must not touch the network: {host}")


def connect(self: socket.socket, address: Any) -> None:
    """Connect within this machine."""
    if self.family in (socket.AF_INET, socket.AF_INET6):
        refuse(address[0])
    _connect(self, address)


def connect_ex(self: socket.socket, address: Any) -> int:
    """Connect within this machine."""
    if self.family in (socket.AF_INET, socket.AF_INET6):
        refuse(address[0])
    return _connect_ex(self, address)


def look_up(host: Any, *rest: Any, **named: Any) -> Any:
    """Look up names of this machine."""
    refuse(host)
    return _look_up(host, *rest, **named)


def report() -> None:
    """Say at the end what was asked for, as an attempt alone may pass unseen."""
    if attempts:
        sys.stderr.write(f"{REACHED} {', '.join(sorted(set(attempts)))}\n")


atexit.register(report)
socket.socket.connect = connect  # type: ignore[method-assign]
socket.socket.connect_ex = connect_ex  # type: ignore[method-assign]
socket.getaddrinfo = look_up
