"""Reading back what W&B recorded offline: a LevelDB log of protocol buffers."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2 as protocol

BLOCK, FILE_HEADER, HEADER = 32768, 7, 7  # bytes
WHOLE, LAST = 1, 4  # kinds of a piece that ends a record


@dataclass
class RecordedRun:
    """What one offline run holds."""

    id: str = ""
    name: str = ""
    group: str = ""
    project: str = ""
    entity: str = ""
    notes: str = ""
    tags: list[str] = field(default_factory=list)
    job_type: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, set[str]] = field(default_factory=dict)  # name → aliases
    step_metrics: dict[str, str] = field(default_factory=dict)  # glob → metric of its axis
    exit_code: int | None = None
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)  # key → columns, data

    def metric(self, name: str) -> list[tuple[int, float]]:
        """Return (updates done, value) of each history row with the metric."""
        return [(row["trainer/global_step"], row[name]) for row in self.history if name in row]


def recorded_runs(folder: Path) -> list[RecordedRun]:
    """Return the offline runs below `folder`, in order of time."""
    return [read_run(path) for path in sorted(folder.glob("**/offline-run-*/*.wandb"))]


def read_run(path: Path, patience: float = 20) -> RecordedRun:
    """Read one `.wandb` file, and the tables beside it.

    W&B's own process may still be writing it when the run has ended; it is waited for some seconds.
    """
    deadline = time.monotonic() + patience
    while (run := _read_now(path)).exit_code is None and time.monotonic() < deadline:
        time.sleep(0.1)
    return run


def _read_now(path: Path) -> RecordedRun:
    run = RecordedRun()
    for record in records(path.read_bytes()):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run.id, run.name = record.run.run_id, record.run.display_name
            run.group, run.job_type = record.run.run_group, record.run.job_type
            run.project, run.entity = record.run.project, record.run.entity
            run.notes, run.tags = record.run.notes, list(record.run.tags)
            run.config |= values(record.run.config.update)
        elif kind == "config":
            run.config |= values(record.config.update)
        elif kind == "history":
            run.history.append(values(record.history.item))
        elif kind == "summary":
            run.summary |= values(record.summary.update)
        elif kind == "artifact":
            run.artifacts.setdefault(record.artifact.name, set()).update(record.artifact.aliases)
        elif kind == "metric":
            run.step_metrics[record.metric.glob_name or record.metric.name] = (
                record.metric.step_metric
            )
        elif kind == "exit":
            run.exit_code = record.exit.exit_code
    for row in run.history:
        for key, value in row.items():
            if isinstance(value, dict) and value.get("_type") == "table-file":
                file = path.parent / "files" / value["path"]
                run.tables[key] = json.loads(file.read_text(encoding="utf-8"))
    return run


def records(content: bytes) -> Iterator[protocol.Record]:
    """Yield the records of a `.wandb` file: pieces of at most a block, put together."""
    position, collected = FILE_HEADER, b""
    while position + HEADER <= len(content):
        if (left := BLOCK - position % BLOCK) < HEADER:
            position += left
            continue
        length = int.from_bytes(content[position + 4 : position + 6], "little")
        kind = content[position + 6]
        collected += content[position + HEADER : position + HEADER + length]
        position += HEADER + length
        if kind in (WHOLE, LAST) and position <= len(content):
            record = protocol.Record()
            record.ParseFromString(collected)
            collected = b""
            yield record


def values(items: Any) -> dict[str, Any]:
    """Return the updates of a record by key, nested keys as nested dictionaries."""
    found: dict[str, Any] = {}
    for item in items:
        keys = list(item.nested_key) or [item.key]
        place = found
        for key in keys[:-1]:
            place = place.setdefault(key, {})
        place[keys[-1]] = json.loads(item.value_json)
    return found
