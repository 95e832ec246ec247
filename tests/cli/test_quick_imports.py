"""A command does not pay for packages that it never uses."""

import json

import pytest

from lora_lightning.data.sets.e2e import E2EDataModule
from tests.commands import run_process
from tests.evaluation.golden_sets import EDGE_CASES
from tests.goldens import ROOT
from tests.tiny import TRAINING, write_rows

COMMANDS = """
import gc, runpy, sys

def run(command, *arguments):
    sys.argv = [command + ".py", *arguments]
    runpy.run_path(sys.argv[0], run_name="__main__")

folder, *training = sys.argv[1:]
run("train", *training, f"output_dir='{folder}'")
run("generate", f"run='{folder}'", "text=name : Blue Spice", "generation.max_new_tokens=2")
unused = {"accelerate", "torch._dynamo.eval_frame", "torch.distributed.tensor", "sympy", "scipy",
          "transformers.models.bert", "matplotlib.pyplot", "wandb", "tensorboard", "sacrebleu",
          "pandas", "peft"}
import torch
if torch.__version__ < "2.7":
    unused -= {"sympy"}  # its own checkpointing asks for it
imported_without_need = unused & sys.modules.keys()
from transformers.utils.import_utils import create_import_structure_from_path as names_in_files
assert names_in_files.cache_info().misses < 20  # of hundreds of folders
assert gc.isenabled()
assert gc.get_freeze_count() > 100_000  # what is imported, which no search looks at again

# What was left out, asked for afterwards.
import matplotlib.pyplot, scipy.signal, torch.distributed, transformers
from torch.distributed.tensor import DTensor
from transformers import AutoModelForCausalLM, GPT2Config
from transformers.models.bert import BertModel
assert torch.distributed.is_available()
from transformers.processing_utils import transformers_module
assert transformers_module.GPT2LMHeadModel is transformers.GPT2LMHeadModel
assert transformers.GPT2LMHeadModel is AutoModelForCausalLM.from_config(
    GPT2Config(n_layer=1, n_head=1, n_embd=8)).__class__
assert torch.compile(lambda x: x + 1, backend="eager")(torch.ones(1)).item() == 2
weight = torch.nn.Parameter(torch.ones(2))
optimizers = [torch.optim.SGD([weight], lr=1.0), torch.optim.AdamW([weight], lr=1.0)]
for optimizer in optimizers:
    weight.grad = torch.ones(2)
    assert optimizer.step(lambda: 3.0) == 3.0
print("without need:", *imported_without_need)
"""


SCORING = """
import gc, importlib, pkgutil, runpy, sys
from lora_lightning.data import sets

def score(*arguments):
    sys.argv = ["evaluate.py", *arguments, "data.limit_test=2", "protocol.metrics=[bleu]"]
    runpy.run_path("evaluate.py", run_name="__main__")

for module in pkgutil.iter_modules(sets.__path__):
    importlib.import_module(f"lora_lightning.data.sets.{module.name}")
run, sweep = sys.argv[1:]
score(f"run='{run}'")
score("-m", f"run='{run}'", "seed=0,1", f"output_dir='{sweep}'")
assert gc.isenabled()
print("without need:", *{"torch", "lightning", "torchmetrics", "transformers", "numpy", "pandas",
                         "matplotlib", "wandb"} & sys.modules.keys())
"""
LAST = "without need:"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run, and what the process printed that made it."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    return folder, run_process("-c", COMMANDS, folder, *TRAINING)


def test_commands_import_nothing_they_do_not_use_and_all_of_it_can_be_had_later(trained):
    _, output = trained
    assert output.splitlines()[-1] == LAST, output


def test_scoring_predictions_that_hold_texts_imports_no_torch_also_of_several_jobs(
    trained, tmp_path
):
    run, _ = trained
    contexts = E2EDataModule(dir=ROOT / "data" / "sample" / "e2e").contexts("test")
    predictions = run / "predictions" / "test" / "predictions.jsonl"
    predictions.parent.mkdir(parents=True)
    write_rows(
        predictions,
        [{"id": row, "context": context, "text": "A pub ."} for row, context in contexts[:2]],
    )
    output = run_process("-c", SCORING, run, tmp_path / "sweep")
    assert output.splitlines()[-1] == LAST, output
    for folder in (run / "evaluation" / "test", *(tmp_path / "sweep").glob("*seed*")):
        scores = json.loads((folder / "metrics.json").read_text())["scores"]
        assert scores["bleu"] > 0, folder


def test_scoring_files_imports_neither_torch_nor_lightning_nor_transformers(tmp_path):
    output = run_process(
        "-X", "importtime", "evaluate.py", "protocol=e2e",
        f"hypotheses={EDGE_CASES / 'e2e_hypotheses.txt'}",
        f"references={EDGE_CASES / 'e2e_references.txt'}", f"output_dir='{tmp_path / 'scores'}'",
    )  # fmt: skip
    imported = {line.rpartition("|")[2].strip() for line in output.splitlines()
                if line.startswith("import time:")}  # fmt: skip
    assert {"hydra", "lora_lightning.evaluation.evaluation"} <= imported
    assert not imported & {"torch", "lightning", "lightning.pytorch", "torchmetrics",
                           "transformers", "pandas", "matplotlib", "wandb"}  # fmt: skip
    scores = json.loads((tmp_path / "scores" / "metrics.json").read_text())["scores"]
    assert scores["bleu"] > 0
    assert scores["meteor"] > 0  # with its index of paraphrases
