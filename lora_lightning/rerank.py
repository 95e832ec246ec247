"""Choose other texts among the hypotheses of a run's predictions, without decoding again.

    python -m lora_lightning.rerank run=latest length_penalty=0.6,0.8,1.0
    python -m lora_lightning.rerank run=latest choice=mbr metric=rouge_l
    python -m lora_lightning.rerank run=latest choice=slots output=<folder>

choice: score (log probability / length^length_penalty) · mbr (minimum Bayes risk: the greatest
expected metric against all hypotheses of the context) · slots (E2E: fewest slot errors, then the
score).
For each length_penalty, by default the search's own, predictions that evaluate.py takes are written
into predictions/<split>/ of the run, or into output=<folder>. A table compares them with the search
and with the oracle, which takes the hypothesis that is best against the references.

metric (of mbr and the oracle): bleu | chrf | meteor | rouge_l | ter, of single texts. Further keys:
split=test, name=<label of the predictions>, overwrite=false, trust=false (true: take any class that
the run's config names), paths.output_dir=<folder> (where latest looks). docs/rerank.md says more.
"""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from os.path import expanduser
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.table import Table

from lora_lightning.cli.environment import load_environment
from lora_lightning.cli.program import given_values, run_program
from lora_lightning.config.label import label_of_folder
from lora_lightning.config.typed import as_typed, command_line, is_true
from lora_lightning.decoding.settings import LengthPenalty
from lora_lightning.errors import InputError
from lora_lightning.evaluation.sentence_metrics import SENTENCE_METRICS
from lora_lightning.files import atomic_text, write_json
from lora_lightning.process import workspace
from lora_lightning.process.programs import as_started
from lora_lightning.runs.folder import PREDICTIONS, RunFolder, remove_results
from lora_lightning.runs.holder import held_by_this_command
from lora_lightning.runs.latest import named_run
from lora_lightning.tasks.rerank import Candidates, Ranking

log = logging.getLogger(__name__)
KEYS: dict[str, Any] = {"run": None, "split": "test", "name": "", "length_penalty": None,
                        "choice": "score", "metric": "bleu", "output": None, "overwrite": "false",
                        "trust": "false"}  # fmt: skip
CHOICES = ("score", "mbr", "slots")
SPLITS = ("train", "valid", "test")


def rerank(arguments: list[str]) -> list[Path]:
    """Rank as `key=value` arguments say, print the table, and return the files written.

    Raises:
        InputError: a key or value is wrong, the predictions are missing or hold no hypotheses, or
            an output exists; nothing is written then.
    """
    values, places = given_values(arguments, KEYS, "paths.")
    if values["run"] in (None, "null"):
        raise InputError("run=<folder or latest> is needed; see --help")
    for key, allowed in (("choice", CHOICES), ("metric", SENTENCE_METRICS), ("split", SPLITS)):
        if values[key] not in allowed:
            raise InputError(f"{key}={values[key]}: allowed is {' | '.join(allowed)}")
    choice, metric, label = values["choice"], values["metric"], label_of_folder(values["name"])
    asked = _length_penalties(values["length_penalty"])
    run = named_run(values["run"], places)
    run.check_alone(is_true("trust", values["trust"]))
    predictions = run.path / "predictions" / values["split"]
    candidates = Candidates(run, values["split"], predictions / label)
    own = candidates.search.length_penalty
    penalties = asked or [own]
    output = predictions if values["output"] is None else Path(expanduser(values["output"]))
    prefix = "_".join(part for part in (label, "" if choice == "score" else choice) if part)
    folders = [output / f"{prefix}{prefix and '_'}length_penalty_{one}" for one in penalties]
    if not is_true("overwrite", values["overwrite"]):
        for folder in folders:
            if any((folder / name).exists() for name in PREDICTIONS):
                raise InputError(
                    f"{folder}: holds predictions; give another output=, or overwrite=true"
                )
    rankings = [candidates.ranking(choice, penalty, metric) for penalty in penalties]
    chosen = {"search": [0] * len(candidates.records)}
    for penalty, ranking in zip(penalties, rankings, strict=True):
        name = str(penalty) if choice == "score" else f"{choice}, {penalty}"
        chosen[name] = [places[0] for places in ranking.places]
    chosen[f"oracle ({metric})"] = candidates.oracle(metric)
    say_what_there_is(candidates)
    Console().print(comparison(candidates, chosen))
    written = []
    for penalty, ranking, folder in zip(penalties, rankings, folders, strict=True):
        settings = {"choice": choice, "length_penalty": penalty, "of": str(predictions / label)}
        settings |= {"metric": metric} if choice == "mbr" else {}
        is_of_search = choice == "score" and penalty == own
        written.append(write(candidates, ranking, is_of_search, settings, folder))
    split = [] if values["split"] == "test" else [f"split={values['split']}"]
    if not candidates.is_whole_split:
        split.append(f"data.limit_{values['split']}={len(candidates.records)}")
    for line in next_lines(run, split, written, values["output"] is not None):
        log.info("next          %s", line)
    return written


def _length_penalties(text: str | None) -> list[float]:
    """Return the values of `0.6,0.8` or `[0.6,0.8]`, none of null."""
    if text in (None, "null"):
        return []
    penalties = []
    for part in str(text).removeprefix("[").removesuffix("]").split(","):
        try:
            penalties.append(TypeAdapter(LengthPenalty).validate_python(part.strip()))
        except ValidationError:
            raise InputError(
                f"length_penalty={text}: {part.strip()!r} is no number from -10 to 10; give one, "
                "or several with commas between"
            ) from None
    return list(dict.fromkeys(penalties))


def say_what_there_is(candidates: Candidates) -> None:
    """Say how many hypotheses there are, and how more would be had."""
    counts, search = candidates.counts, candidates.search
    log.info(
        "hypotheses    %d of %d contexts, %d to %d each, mean %.1f",
        sum(counts), len(counts), min(counts), max(counts), sum(counts) / len(counts),
    )  # fmt: skip
    if max(counts) == 1:
        log.info(
            "note          one hypothesis each leaves nothing to choose from; generate.py with "
            "generation.num_beams=10 generation.num_return=10 finds more"
        )
    if search.temperature is not None or max(counts) == 1:
        return
    log.info(
        "note          the search kept what was best by its own length penalty, %s: it may have "
        "dropped what another one prefers", search.length_penalty,
    )  # fmt: skip
    if min(counts) < search.num_beams:
        log.info(
            "note          generate.py with generation.num_return=%d goes on until it has %d of "
            "each context", search.num_beams, search.num_beams,
        )  # fmt: skip


def comparison(candidates: Candidates, chosen: dict[str, list[int]]) -> Table:
    """Return a table with a row a choice: what changes, how long the texts are, the scores."""
    rows = {name: candidates.corpus_scores(places) for name, places in chosen.items()}
    metrics = list(next(iter(rows.values())))
    table = Table("length_penalty", "other texts", "tokens", *metrics)
    for name, places in chosen.items():
        texts = zip(candidates.hypotheses, places, strict=True)
        picked = [(context[0].text, context[place]) for context, place in texts]
        others = sum(first != one.text for first, one in picked)
        length = sum(one.length for _, one in picked) / len(picked)
        scores = [
            candidates.protocol.published_form(metric, rows[name][metric]) for metric in metrics
        ]
        table.add_row(name, str(others), f"{length:.1f}", *scores)
    return table


def write(
    candidates: Candidates,
    ranking: Ranking,
    is_of_search: bool,
    settings: dict[str, Any],
    folder: Path,
) -> Path:
    """Write predictions.jsonl and manifest.json of a ranking, and return the former's path."""
    with ExitStack() as held:
        held.enter_context(held_by_this_command(folder))
        remove_results(folder, PREDICTIONS)
        path = folder / "predictions.jsonl"
        with atomic_text(path, lasting=True) as file:
            for record in candidates.predictions(ranking, is_of_search):
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
        kept = {key: value for key, value in candidates.manifest.items() if key != "throughput"}
        write_json(folder / "manifest.json", kept | {"reranked": settings})
    return path


def next_lines(
    run: RunFolder, split: list[str], written: list[Path], is_elsewhere: bool
) -> Iterator[str]:
    """Yield the commands that score what was written."""
    given = [as_typed("run", str(run.path)), *split]
    for path in written:
        where = ("predictions", str(path)) if is_elsewhere else ("name", path.parent.name)
        yield command_line("evaluate.py", *given, as_typed(*where))


def main(arguments: list[str]) -> None:
    """Rank, with the settings of `.env`, and print the paths that were written."""
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    load_environment(workspace() / ".env")
    for path in rerank(arguments):
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    run_program(main, as_started(__doc__ or ""))
