"""docs/quickstart.ipynb runs from its first cell to its last, on a machine without a network."""

import os

import nbformat
import pytest
from nbclient import NotebookClient

from tests.goldens import ROOT

NOTEBOOK = ROOT / "docs" / "quickstart.ipynb"
QUICK = ["trainer=cpu", "trainer.max_steps=2", "trainer.limit_val_batches=1", "data.limit_test=3",
         "generation.num_beams=2", "generation.max_new_tokens=6",
         "protocol.metrics=[bleu,rouge_l]"]  # fmt: skip


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def test_the_notebook_is_committed_without_outputs(notebook):
    nbformat.validate(notebook)
    assert all(not cell.outputs for cell in notebook.cells if cell.cell_type == "code")


def test_the_notebook_trains_generates_scores_and_compares(notebook, tmp_path, monkeypatch):
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    [parameters] = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    parameters.source = f"settings = {QUICK}"
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": tmp_path}})
    client.execute()
    said = [
        output.get("text", "") or output.get("data", {}).get("text/plain", "")
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    ]
    table = said[-1].splitlines()
    assert table[0].split() == ["metric", "rank", "4", "rank", "1"]
    assert [line.split()[0] for line in table[1:]] == ["bleu", "rouge_l"]
    for job in ("0", "1"):
        run = tmp_path / "quickstart" / job
        assert len((run / "predictions/test/predictions.jsonl").read_text().splitlines()) == 3
        assert (run / "evaluation/test/metrics.json").is_file()
