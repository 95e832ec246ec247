"""Published rows are facts with a source, equal to what was collected of the papers."""

from collections import Counter
from dataclasses import fields

import pytest
import yaml

from lora_lightning.evaluation.protocols.dart import DARTProtocol
from lora_lightning.evaluation.protocols.e2e import E2EProtocol
from lora_lightning.evaluation.protocols.webnlg import WebNLGProtocol
from lora_lightning.paper.rows import DATASETS, ORIGINAL, PublishedRow, papers, published_rows
from tests.goldens import ROOT, shared

PROTOCOLS = {p.name: p for p in (E2EProtocol, WebNLGProtocol, DARTProtocol)}
ALL = [row for dataset in DATASETS for row in published_rows(dataset)]
UNPRINTED = {
    "adamw_32bit": ("fine_tuning", "adamw"),
    "adamw_4bit": ("fine_tuning", "adamw_4bit"),
    "lora_rite": ("lora", "lora_rite"),
    "lora_pro": ("lora", "lora_pro"),
    "lora_stiefel_adamw": ("lora", "stiefel_adamw"),
    "cayley_adam": ("lora", "cayley_adam"),
    "riemannion_sgd": ("lora", "riemannion_sgd"),
}


def test_every_row_has_a_source_a_method_a_kind_and_scores_of_its_data_set():
    for row in ALL:
        assert row.paper in papers()
        assert row.kind in ("own", "copied", "rerun")
        assert row.texts >= 1
        assert (row.kind == "own") == (row.role in ("proposed", "baseline"))
        assert (row.paper == "readers") == (row.by is not None)
        for scores in row.scores.values():
            assert scores
            assert set(scores) <= {*PROTOCOLS[row.dataset].metric_names, "val/loss"}
        subsets = {"all", "seen", "unseen"} if row.dataset == "webnlg" else {"all"}
        assert "all" in row.scores
        assert set(row.scores) <= subsets
        for spread in (row.std, row.interval):
            assert all(set(spread[subset]) <= set(row.scores[subset]) for subset in spread)


def test_parameters_as_printed_are_numbers_where_they_are_no_share():
    sizes = {row.parameters: row.size for row in ALL}
    assert sizes["354.92M"] == 354_920_000
    assert sizes["147456"] == 147_456
    assert sizes["0.1%"] is None
    assert sizes[None] is None


def test_every_field_of_a_row_is_used_and_every_paper_has_rows():
    defaults = PublishedRow("", "", "", "own", 1, {})
    for name in (field.name for field in fields(PublishedRow)):
        assert any(getattr(row, name) != getattr(defaults, name) for row in ALL), name
    assert {row.paper for row in ALL} == set(papers())


def test_the_data_comes_with_the_package():
    files = {path.stem for path in (ROOT / "lora_lightning" / "paper").glob("*.yaml")}
    assert files == {*DATASETS, "papers"}


def facts(dataset, model, method, optimizer, parameters, scores, spread):
    def flat(mapping):
        return tuple(
            sorted((s, m, round(v, 6)) for s, by in mapping.items() for m, v in by.items())
        )

    return dataset, model, method, optimizer, parameters, flat(scores), flat(spread)


def by_subset(row, columns, field):
    if field in row:
        found = {"all": dict(zip(columns, row[field], strict=True))}
    else:
        suffix = {"mean": "", "values": "", "std": "_std", "ci95": "_ci95"}[field]
        cells = {metric: row.get(metric + suffix) for metric in columns}
        found = {subset: {metric: values[place] for metric, values in cells.items() if values}
                 for place, subset in enumerate(("unseen", "seen", "all"))}  # fmt: skip
    known = {s: {m: v for m, v in by.items() if v is not None} for s, by in found.items()}
    return {subset: scores for subset, scores in known.items() if scores}


def named(method):
    if method in UNPRINTED:
        return UNPRINTED[method]
    lora, _, optimizer = method.partition("_")
    return (lora, optimizer) if lora == "lora" and optimizer else (method, "adamw")


def collected(file):
    """The facts of a file of the papers' collectors."""
    for section, table in file.items():
        dataset = section.split("_")[1 if section.startswith("table") else 0]
        for row in table.get("rows", []) if isinstance(table, dict) else []:
            model = row.get("model", section.removeprefix(f"{dataset}_"))
            spread = by_subset(row, table["columns"], "std") or by_subset(
                row, table["columns"], "ci95"
            )
            method, optimizer = named(row["method"])
            model = None if model == "gpt2_size_not_stated" else model
            scores = by_subset(row, table["columns"], "mean")
            yield facts(dataset, model, method, optimizer, row["parameters"], scores, spread)


def ours(rows):
    return [facts(row.dataset, row.model, row.method, row.optimizer, row.parameters,
                  row.scores, row.std or row.interval) for row in rows]  # fmt: skip


def test_the_papers_rows_equal_those_collected():
    file = yaml.safe_load(shared("paper", "published.yaml").read_text())
    mine = [row for row in ALL if row.paper == ORIGINAL and row.table != 18]
    assert Counter(ours(mine)) == Counter(collected(file))
    sweep = {row.rank: list(row.scores["all"].values()) for row in ALL if row.table == 18}
    for rank, values in file["table18_rank_sweep_e2e_gpt2_medium"].items():
        percent = [100 * v if place in (3, 4) else v for place, v in enumerate(values)]
        assert sweep[rank] == pytest.approx(percent, abs=1e-9)


def test_the_later_rows_equal_those_collected():
    file = yaml.safe_load(shared("paper", "successors.yaml").read_text())
    mine = [row for row in ALL if row.paper not in (ORIGINAL, "readers")]
    assert Counter(ours(mine)) == Counter(collected(file))
    tables = [section["rows"] for section in file.values() if "rows" in section]
    for key in ("checkpoint", "length_penalty", "rank", "learning_rate"):
        theirs = Counter(row.get(key) for rows in tables for row in rows)
        theirs[None] += theirs.pop("unknown", 0)
        assert Counter(getattr(row, key) for row in mine) == theirs, key


def test_the_readers_scores_equal_those_collected():
    reruns = yaml.safe_load(shared("paper", "successors.yaml").read_text())["reader_reruns"]
    mine = [row for row in ALL if row.paper == "readers"]
    theirs = [tuple(row["values"]) for row in reruns["e2e"]]
    assert [tuple(row.scores["all"].values()) for row in mine if row.dataset == "e2e"] == theirs
    single = [row["value"] for key in ("webnlg_bleu_all", "dart_bleu") for row in reruns[key]]
    assert [row.scores["all"]["bleu"] for row in mine if row.dataset != "e2e"] == single
