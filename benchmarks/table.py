"""Tables that a benchmark writes into benchmarks/README.md itself; no figure is typed by hand.

A table stands between two comments that name its program:

    <!-- evaluation -->
    …
    <!-- /evaluation -->
"""

import os
import platform
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

README = Path(__file__).with_name("README.md")
PROCESSOR = Path("/proc/cpuinfo")
# What decides how fast products of matrices are.
FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8")


def rows(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    ruled = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in ruled)


def conditions(packages: Sequence[str]) -> str:
    """Return where and with what a table is measured: the date, the processor, versions, the load.

    Args:
        packages: whose versions count; one that is not installed is left out.
    """
    found = []
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    load = f"load before {os.getloadavg()[0]:.1f}"
    versions = ", ".join([f"Python {platform.python_version()}", *found])
    return f"{datetime.now(UTC):%Y-%m-%d}, {processor()}; {versions}; {load}."


def processor() -> str:
    """Return the processor's name, how many of its cores there are, and what it multiplies with."""
    text = PROCESSOR.read_text() if PROCESSOR.is_file() else ""
    name = re.search(r"model name\s*: (.*)", text)
    flags = re.search(r"flags\s*: (.*)", text)
    has = set(flags[1].split()) if flags else set()
    features = " ".join(feature for feature in FEATURES if feature in has)
    return f"{os.cpu_count()} cores of {name[1] if name else platform.processor()} ({features})"


def replace(name: str, text: str, page: Path = README) -> None:
    """Put a text between the comments of this name, in place of what stood there.

    Exits where the page has no such comments.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = page.read_text("utf-8").partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        sys.exit(f"{page} has no {begin} … {end}")
    page.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}", "utf-8")
