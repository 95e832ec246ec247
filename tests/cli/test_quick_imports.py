"""A command does not pay for packages that it never uses."""

import json

from tests.commands import run_process
from tests.evaluation.golden_sets import EDGE_CASES
from tests.tiny import TRAINING

COMMANDS = """
import runpy, sys

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

# What was left out, asked for afterwards.
import matplotlib.pyplot, scipy.signal, torch.distributed, transformers
from torch.distributed.tensor import DTensor
from transformers import AutoModelForCausalLM, GPT2Config
from transformers.models.bert import BertModel
assert torch.distributed.is_available()
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


def test_commands_import_nothing_they_do_not_use_and_all_of_it_can_be_had_later(tmp_path):
    output = run_process("-c", COMMANDS, tmp_path / "run", *TRAINING)
    assert output.splitlines()[-1] == "without need:", output


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
