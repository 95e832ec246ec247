"""What is compared: the runs, evaluations, sweeps and files of hypotheses that were named."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os.path import expanduser
from pathlib import Path
from typing import Any

from lora_lightning.compare.configs import config_of
from lora_lightning.compare.evaluated import (
    METRICS,
    PROTOCOLS,
    Evaluated,
    Say,
    read_evaluated,
    score_segments,
)
from lora_lightning.config.typed import command_line
from lora_lightning.errors import InputError
from lora_lightning.evaluation.files import read_hypotheses
from lora_lightning.evaluation.protocols.protocol import ScoringProtocol
from lora_lightning.evaluation.segment import Segment
from lora_lightning.evaluation.statistics_file import SENTENCES
from lora_lightning.runs.latest import LATEST, named_run
from lora_lightning.sweep.record import PLAN, SweepFolder
from lora_lightning.sweep.table import axis_value
from lora_lightning.tables import is_table

PREDICTIONS = "predictions.jsonl"
SPLIT = "test"


@dataclass(frozen=True)
class System:
    """What stands on one side of a difference: a run, or the runs of one setting over seeds."""

    name: str
    runs: list[Evaluated]


@dataclass(frozen=True)
class Sources:
    """How what is named is found and read.

    Attributes:
        say: is called with a line on what takes a while, or is left out.
        references: of files of hypotheses, where no folder gives them.
        protocol: of files of hypotheses, None where a folder gives it.
        places: overrides that say where `latest` looks.
    """

    say: Say
    references: list[Path] = field(default_factory=list)
    protocol: str | None = None
    places: list[str] = field(default_factory=list)


def read_systems(names: Sequence[str], sources: Sources) -> list[System]:
    """Return the systems that arguments name, all on the same sentences in the same order.

    Raises:
        InputError: an argument names none, fewer than two systems are left, one is there twice, or
            they are of different sentences, references or protocols.
    """
    paths = {name: _path(name, sources) for name in names}
    if len(paths) < len(names):
        twice = next(name for number, name in enumerate(names) if name in names[:number])
        raise InputError(f"{twice}: named twice; a run is not compared with itself")
    folders = {name: path for name, path in paths.items() if not path.is_file()}
    found = {name: list(_in_folder(name, path, sources)) for name, path in folders.items()}
    known = next((system for systems in found.values() for system in systems), None)
    for name, path in paths.items():
        if name not in folders:
            found[name] = [System(name, [_file(path, sources, known)])]
    systems = [system for name in names for system in found[name]]
    if len(systems) < 2:
        raise InputError(
            f"{names[0]}: one system alone ({systems[0].name}); name another to compare it with"
            if systems
            else f"{names[0]}: has no evaluated run; name runs that evaluate.py has scored"
        )
    _require_distinct(systems)
    return _on_the_same_sentences(systems)


def _path(name: str, sources: Sources) -> Path:
    if name == LATEST:
        return named_run(LATEST, sources.places).path
    path = Path(expanduser(name))
    if not path.exists():
        raise InputError(f"{name}: no such folder or file; give a run, an evaluation, a sweep, or "
                         "a file of hypotheses")  # fmt: skip
    if path.name == PREDICTIONS:
        raise InputError(f"{name}: predictions without scores; run evaluate.py on them, and name "
                         "the folder that it writes")  # fmt: skip
    return path


def _in_folder(name: str, folder: Path, sources: Sources) -> Iterator[System]:
    if (folder / PLAN).is_file():
        yield from _of_sweep(name, SweepFolder.open(folder), sources)
    else:
        yield System(name, [_read(_evaluation_of(folder, name), sources)])


def _read(evaluation: Path, sources: Sources) -> Evaluated:
    return read_evaluated(evaluation, config_of(evaluation), sources.say)


def _evaluation_of(folder: Path, name: str) -> Path:
    """Return the folder of scores that a run, or a folder of scores, stands for.

    Raises:
        InputError: it has none, or several of which none is that of the test split.
    """
    if (folder / METRICS).is_file() or (folder / SENTENCES).is_file():
        return folder.resolve()
    if (folder / "evaluation" / SPLIT / METRICS).is_file():
        return (folder / "evaluation" / SPLIT).resolve()
    found = sorted(path.parent for path in folder.glob(f"evaluation/**/{METRICS}"))
    if len(found) == 1:
        return found[0].resolve()
    if found:
        raise InputError(f"{name}: has the evaluations {', '.join(map(str, found))}; name one")
    if (folder / ".hydra").is_dir() and (folder / "config.yaml").is_file():
        mend = command_line("evaluate.py", f"run={name}")
        raise InputError(f"{name}: the run has no scores; run {mend}, after generate.py")
    raise InputError(f"{name}: holds no run, evaluation ({METRICS}, {SENTENCES}) or sweep")


def _of_sweep(name: str, sweep: SweepFolder, sources: Sources) -> Iterator[System]:
    """Yield a system for each setting of a sweep's axes but the seed, its jobs the runs."""
    axes = [axis for axis in sweep.plan.axes if axis != "seed"]
    settings: dict[str, list[Evaluated]] = {}
    for job in sweep.jobs():
        folder = sweep.path / job.job
        try:
            if job.status != "finished":
                raise InputError(f"{folder}: {job.status}")
            evaluation = _evaluation_of(folder, str(folder))
        except InputError as reason:
            sources.say(f"left out: {reason}")
            continue
        setting = " ".join(f"{axis}={axis_value(job.overrides, axis)}" for axis in axes)
        settings.setdefault(setting, []).append(_read(evaluation, sources))
    for setting, runs in settings.items():
        yield System(f"{name} {setting}" if setting else name, runs)


def _file(path: Path, sources: Sources, known: System | None) -> Evaluated:
    """Return a file of hypotheses, scored with given references or those of a folder.

    Raises:
        InputError: there are neither, or another number of them.
    """
    if sources.references:
        protocol = _protocol(sources, known)
        return score_segments(path, protocol, protocol.read(path, sources.references), sources.say)
    if known is None:
        raise InputError(f"{path}: hypotheses need references=<file>, or [reference0,…] with "
                         "protocol=webnlg, or an evaluated folder beside them")  # fmt: skip
    if is_table(path):
        raise InputError(f"{path}: a table needs references=<file>; else give a text a line")
    texts = read_hypotheses(path)
    run = known.runs[0]
    if len(texts) != len(run.sentences):
        raise InputError(
            f"{path}: {len(texts)} hypotheses, but {run.place} has {len(run.sentences)} sentences; "
            "give a line for each, or references=<file>"
        )
    segments = [
        Segment(text.strip(), tuple(of.references), of.id, of.context, of.seen)
        for text, of in zip(texts, run.sentences, strict=True)
    ]
    return score_segments(path, _protocol(sources, known), segments, sources.say)


def _protocol(sources: Sources, known: System | None) -> ScoringProtocol:
    """Return what scores files: the protocol and the metrics of a folder, where there is one."""
    if known is None or sources.protocol not in (None, known.runs[0].protocol):
        return PROTOCOLS[sources.protocol or "e2e"]()
    return PROTOCOLS[known.runs[0].protocol](list(known.runs[0].statistics))


def _require_distinct(systems: Sequence[System]) -> None:
    named: dict[Path, str] = {}
    for system in systems:
        for run in system.runs:
            place = run.place.resolve()
            if place in named:
                raise InputError(
                    f"{system.name}: {place} is in {named[place]} too; a run is not compared with "
                    "itself"
                )
            named[place] = system.name


def _on_the_same_sentences(systems: Sequence[System]) -> list[System]:
    """Return systems with their sentences in the first one's order.

    Raises:
        InputError: ids, inputs, references or protocols differ, or there is one sentence alone.
    """
    first = systems[0].runs[0]
    if len(first.sentences) < 2:
        raise InputError(f"{first.place}: {len(first.sentences)} sentence; tests need two at least")
    for system in systems:
        for run in system.runs:
            _require_same(first, run)
    ids = [sentence.id for sentence in first.sentences]
    return [System(s.name, [run.in_order_of(ids) for run in s.runs]) for s in systems]


def _require_same(first: Evaluated, other: Evaluated) -> None:
    if first.protocol != other.protocol:
        raise InputError(
            f"{first.place} is scored as {first.protocol}, {other.place} as {other.protocol}; "
            "compare scores of one protocol"
        )
    of_first, of_other = ({s.id: s for s in run.sentences} for run in (first, other))
    if of_first.keys() != of_other.keys():
        raise InputError(
            f"{first.place} and {other.place} have different sentences: "
            f"{_only(first, of_other)}; {_only(other, of_first)}; score both on the same data"
        )
    for name, sentence in of_first.items():
        theirs = of_other[name]
        contexts = {sentence.context, theirs.context} - {None}
        if len(contexts) > 1 or sorted(sentence.references) != sorted(theirs.references):
            what = "inputs" if len(contexts) > 1 else "references"
            raise InputError(
                f"{first.place} and {other.place} have other {what} for id {name}; score both on "
                "the same data"
            )


def _only(run: Evaluated, others: Mapping[int | str, Any]) -> str:
    ids = [repr(sentence.id) for sentence in run.sentences if sentence.id not in others]
    shown = ", ".join(ids[:3]) + (", …" if len(ids) > 3 else "")
    alone = f"ids {shown} are in {run.place} alone" if ids else f"none is in {run.place} alone"
    return f"{alone} ({len(run.sentences)} sentences)"
