"""Which references a prediction is scored against: those of its own context, or none."""

import json

import pytest

from tests.commands import error_of, run_command
from tests.tiny import write_rows

ROWS = [
    {"context": f"name : {name} | Type : pub", "completion": f"{name} is a pub ."}
    for name in ("Aromi", "Cotto", "Zizzi", "Strada")
]


@pytest.fixture
def evaluate_with(tmp_path):
    """Return a function that writes predictions, and gives the arguments that score them."""
    folder = tmp_path / "decoded"
    folder.mkdir()

    def arguments(rows, split="test", manifest=None):
        predictions = write_rows(
            folder / "predictions.jsonl",
            [
                {"id": number, "context": row["context"], "text": row["completion"]}
                for number, row in enumerate(ROWS)
            ],
        )
        if manifest is not None:
            (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        data = write_rows(tmp_path / "rows.jsonl", rows)
        return (
            "data=jsonl", f"data.test={data}", f"data.valid={data}", f"split={split}",
            f"predictions={predictions}", "protocol.metrics=[bleu]",
            f"output_dir={tmp_path / 'scores'}",
        )  # fmt: skip

    return arguments


def test_rows_in_another_order_are_scored_against_their_own_references(tmp_path, evaluate_with):
    run_command("evaluate", *evaluate_with(ROWS[::-1], manifest={"settings": {"split": "test"}}))
    metrics = json.loads((tmp_path / "scores" / "metrics.json").read_text())
    assert metrics["scores"]["bleu"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("rows", "split", "manifest", "said"),
    [
        (ROWS[:3], "test", None, "prediction id 3 is no row of the data"),
        (ROWS + ROWS[:1], "test", {"settings": {"split": "valid"}}, "split=valid, not for split=t"),
        (
            ROWS,
            "valid",
            {"settings": {"split": "test"}},
            "made for split=test, not for split=valid",
        ),
        (
            ROWS,
            "test",
            {"settings": {"split": None}},
            "made from inputs=, which have no references",
        ),
        (
            [*ROWS[:2], {"context": "name : Giraffe", "completion": "x"}, ROWS[3]],
            "test",
            None,
            "prediction id 2 is for the context 'name : Zizzi | Type : pub', but that row has "
            "'name : Giraffe'",
        ),
    ],
)
def test_predictions_for_other_contexts_are_named(
    tmp_path, evaluate_with, rows, split, manifest, said
):
    assert said in error_of("evaluate", *evaluate_with(rows, split, manifest))
    assert not (tmp_path / "scores" / "metrics.json").exists()
