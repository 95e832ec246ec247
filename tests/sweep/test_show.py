"""A sweep's table fits its terminal, best first; its figures show nothing twice."""

import pytest

from lora_lightning.sweep import figures, published
from lora_lightning.sweep.figures import drawn_scores, size_axis
from lora_lightning.sweep.record import Plan
from lora_lightning.sweep.text import jobs_table, main_scores, seeds_table

AXES = ["method.rank", "optimizer.lr", "seed"]
E2E = ("bleu", "nist", "meteor", "rouge_l", "cider")


def plan(metric="val/loss", axes=AXES):
    return Plan("train", [], "", "basic", "basic", list(axes), metric, None, None, None, {})


def job(name, objective, rank="4", seed="0", size=100, **further):
    row = {"job": name, "status": "finished", "method.rank": rank, "optimizer.lr": "0.01"}
    row |= {"seed": seed, "objective": objective, "seconds": 83.4, "trainable_parameters": size}
    row |= {"val/loss": objective, "val/perplexity": 2.0} | {f"test/{m}": 0.5 for m in E2E}
    return row | further


ROWS = [
    job("0", 0.9),
    job("1", 0.7, seed="1"),
    job("2", 0.8, rank="8", size=200),
    {"job": "3", "status": "failed", "method.rank": "8", "optimizer.lr": "0.01", "seed": "1"},
]


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_the_tables_are_as_wide_as_the_terminal_at_most(width):
    for table in (jobs_table("t", plan(), ROWS, width), seeds_table(plan(), ROWS, width)):
        assert table.width <= width
        assert any("val/loss ↓" in name for name in table.columns)
        assert any(name.endswith("rank") for name in table.columns)


def test_more_room_brings_more_scores_and_whole_names_of_keys():
    narrow, broad = (jobs_table("t", plan(), ROWS, width).columns for width in (72, 140))
    assert set(narrow) >= {"rank", "lr", "seed", "time", "status"}
    assert set(broad) >= {"method.rank", "optimizer.lr", "test/bleu", "test/meteor", "test/nist"}
    assert len(narrow) < len(broad)


def test_without_a_width_every_score_and_the_size_are_there():
    columns = jobs_table("t", plan(), ROWS, None).columns
    assert {f"test/{metric}" for metric in E2E} < set(columns)
    assert {"val/perplexity", "trainable_parameters"} < set(columns)


@pytest.mark.parametrize(("metric", "arrow", "order"), [
    ("val/loss", "↓", ["1", "2", "0", "3"]), ("test/bleu", "↑", ["0", "2", "1", "3"]),
])  # fmt: skip
def test_the_best_job_stands_first_and_is_marked_and_what_failed_last(metric, arrow, order):
    table = jobs_table("t", plan(metric), ROWS, 80)
    assert [cells[1] for cells in table.rows] == order
    assert [cells[0] for cells in table.rows] == ["★", "", "", ""]
    assert f"{metric} {arrow}" in table.columns
    assert "1:23" in table.rows[0][table.columns.index("time")]


def test_means_over_seeds_stand_below_the_best_first():
    table = seeds_table(plan(), [*ROWS, job("4", 0.6, rank="8", seed="1", size=200)], 140)
    cells = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [row["method.rank"] for row in cells] == ["8", "4"]
    assert cells[0]["val/loss ↓"] == "0.7000 ± 0.1414"
    assert cells[0]["seeds"] == "2"


def test_scores_of_a_part_of_the_split_have_a_star_also_as_objective_and_mean():
    rows = [job("0", 0.5, partial="test/bleu"), job("1", 0.6, seed="1", partial="test/bleu")]
    for table in (jobs_table("t", plan("test/bleu"), rows, 140),
                  seeds_table(plan("test/bleu"), rows, 140)):  # fmt: skip
        cells = dict(zip(table.columns, table.rows[0], strict=True))
        assert cells["test/bleu ↑"].endswith("*")
        assert not cells["test/nist"].endswith("*")


def test_the_main_scores_are_three_of_the_test_set():
    names = ["val/loss", "valid/bleu", "test/bleu", "test/ter", "test/meteor", "val/perplexity"]
    assert main_scores(names) == ["val/loss", "test/bleu", "test/meteor"]
    assert main_scores(["bleu", "ter"]) == ["bleu", "ter"]


def test_no_figure_repeats_the_objective_or_what_follows_from_it():
    assert drawn_scores(plan(axes=["method.rank", "seed"]), ROWS[:3]) == [
        f"test/{metric}" for metric in E2E
    ]
    mixed = [*ROWS[:3], job("4", 0.7, size=300)]  # the rank alone no longer says how many
    assert drawn_scores(plan(), mixed)[0] == "val/loss"


def test_scores_are_drawn_over_a_swept_key_where_the_size_stays():
    assert size_axis(plan(), ROWS[:3]) == "trainable_parameters"
    assert size_axis(plan(), ROWS[:2]) == "method.rank"


def drawn(points, x_label):
    return figures.figure(points, x_label, "val/loss", []).axes[0]


def test_seeds_are_points_without_a_line():
    axes = drawn([("0", 1.0), ("1", 2.0), ("2", 1.5)], "seed")
    assert [line.get_linestyle() for line in axes.lines] == ["None"]


@pytest.mark.parametrize(("key", "values", "scale"), [
    ("method.rank", (1, 4, 64), "log"), ("method.rank", (4, 6), "linear"),
    ("trainable parameters", (1e4, 1e7), "log"), ("optimizer.lr", (1e-4, 1e-2), "log"),
])  # fmt: skip
def test_what_goes_over_decades_has_a_logarithmic_axis(key, values, scale):
    axes = drawn([(value, 1.0) for value in values], key)
    assert axes.get_xscale() == scale
    if key == "method.rank":
        assert [label.get_text() for label in axes.get_xticklabels()] == [f"{v}" for v in values]


CONFIG = """
data: {_target_: x}
model: {path: x, tokenizer: x, dtype: float32}
method: {_target_: x, rank: 4}
generation: {}
"""


def run_folder(folder, choices):
    (folder / ".hydra").mkdir(parents=True)
    for file in (".hydra/config.yaml", "config.yaml"):
        (folder / file).write_text(CONFIG)
    lines = "".join(
        f"      {group}: {option}\n"
        for group, option in (choices | {"generation": "paper"}).items()
    )
    (folder / ".hydra" / "hydra.yaml").write_text(
        f"hydra:\n  runtime:\n    cwd: /\n    choices:\n{lines}"
    )
    return str(folder)


def test_published_rows_of_what_was_trained_stand_beside_with_the_best_jobs_distance(tmp_path):
    choices = {"data": "e2e", "model": "gpt2_medium", "method": "lora", "optimizer": "adamw"}
    folder = run_folder(tmp_path / "0", choices)
    scaled = run_folder(tmp_path / "1", choices | {"optimizer": "scaled_adamw"})
    rows = [job("0", 0.7, folder=folder) | {"test/bleu": 0.701},
            job("1", 0.8, folder=scaled)]  # fmt: skip
    [beside] = published.published_beside(plan(axes=["optimizer"]), rows)
    assert beside.title == "published: e2e, gpt2_medium"
    assert {row.optimizer for row in beside.rows} == {"adamw", "scaled_adamw"}
    assert {row.rank for row in beside.rows} == {4, None}
    assert any("70.4 ± 0.1 (-3.0)" in cells for cells in beside.table.cells)
    sample = [job("2", 0.7, folder=run_folder(tmp_path / "2", choices | {"data": "sample_e2e"}))]
    assert published.published_beside(plan(), sample) == []


@pytest.mark.parametrize(("choices", "stands"), [
    ({"data": "e2e", "model": "gpt2_medium", "method": "lora"}, True),
    ({"data": "sample_e2e", "model": "gpt2_medium", "method": "lora"}, False),
    ({"data": "e2e", "model": "gpt2_small", "method": "lora"}, False),
    ({"data": "e2e", "model": "gpt2_medium", "method": "full"}, False),
])  # fmt: skip
def test_the_papers_curve_stands_beside_its_own_setting_alone(tmp_path, choices, stands):
    folder = run_folder(tmp_path / "job", choices)
    assert published.is_the_papers([{"folder": folder}]) is stands
    assert not published.is_the_papers([])
