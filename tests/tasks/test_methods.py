"""Every method through the commands: trained, saved, found again by its adapter alone."""

import pytest
import torch
from omegaconf import OmegaConf

from lora_lightning.export import export
from lora_lightning.methods.adapter_files import adapter_method, describe_adapter
from tests.commands import error_of, run_command
from tests.tiny import DECODING, TRAINING

RUNS = {
    "lora_all_linear": ("method=lora_all_linear",),
    "rslora": ("method=rslora", "method.bias=lora_only"),
    "dora": (
        "method=dora",
        "method.bias=all",
        "optimizer=lora_plus",
        "method.targets=[q,mlp.c_fc]",
    ),
}
FAST = ("optimizer.lr=0.1", "scheduler=constant")  # three updates that show


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folders = {name: tmp_path_factory.mktemp("runs") / name for name in RUNS}
    for name, folder in folders.items():
        run_command(
            "train", *RUNS[name], *FAST, *TRAINING, *DECODING, "then=[generate]",
            f"output_dir={folder}",
        )  # fmt: skip
    return folders


def predictions(folder):
    return (folder / "predictions.jsonl").read_bytes()


@pytest.mark.parametrize("name", RUNS)
def test_a_checkpoint_holds_exactly_what_the_method_trains(runs, name):
    state = torch.load(runs[name] / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    leaves = {key.rpartition(".")[2] for key in state}
    expected = {
        "lora_all_linear": {"lora_A", "lora_B"},
        "rslora": {"lora_A", "lora_B", "bias"},
        "dora": {"lora_A", "lora_B", "lora_magnitude_vector", "bias"},
    }
    assert leaves == expected[name]
    assert any(key.endswith("ln_f.bias") for key in state) == (name == "dora")


def test_each_method_learns_something_else(runs):
    assert len({predictions(run / "predictions/test") for run in runs.values()}) == len(runs)


@pytest.mark.parametrize("name", RUNS)
def test_the_adapter_alone_says_how_to_decode_with_it(runs, name, tmp_path):
    adapter = runs[name] / "adapter"
    assert adapter_method(adapter) == name.removesuffix("_all_linear")
    run_command(
        "generate", f"adapter={adapter}", *DECODING, "trainer=cpu", f"output_dir={tmp_path}"
    )
    assert predictions(tmp_path) == predictions(runs[name] / "predictions/test")


def test_an_adapter_of_another_method_replaces_the_runs(runs, tmp_path):
    run, adapter = runs["lora_all_linear"], runs["dora"] / "adapter"
    run_command("generate", f"run={run}", f"adapter={adapter}", "trainer=cpu",
                f"output_dir={tmp_path}")  # fmt: skip
    assert predictions(tmp_path) == predictions(runs["dora"] / "predictions/test")


def test_training_goes_on_from_an_adapter_with_its_method(runs, tmp_path):
    adapter = runs["dora"] / "adapter"
    run_command("train", f"adapter={adapter}", *TRAINING, f"output_dir={tmp_path / 'run'}")
    method = OmegaConf.to_container(OmegaConf.load(tmp_path / "run" / "config.yaml").method)
    assert method.pop("_target_").endswith("DoRA")
    assert method.pop("exceptions") == []
    assert method == describe_adapter(adapter)
    assert describe_adapter(tmp_path / "run" / "adapter") == describe_adapter(adapter)


def test_a_method_that_the_user_names_is_not_replaced(runs, tmp_path):
    adapter = runs["dora"] / "adapter"
    error = error_of("generate", f"adapter={adapter}", "method=lora", f"output_dir={tmp_path}")
    assert "set method=dora" in error


@pytest.mark.parametrize("name", RUNS)
def test_a_merged_export_needs_no_method(runs, name, tmp_path):
    export([f"run={runs[name]}", "format=merged", f"output={tmp_path / 'merged'}"])
    run_command("generate", f"model.path={tmp_path / 'merged'}", *DECODING, "trainer=cpu",
                f"output_dir={tmp_path / 'decoded'}")  # fmt: skip
    assert predictions(tmp_path / "decoded") == predictions(runs[name] / "predictions/test")


def test_the_references_format_takes_what_it_can_hold(runs, tmp_path):
    export([f"run={runs['rslora']}", "format=loralib", f"output={tmp_path / 'adapter.pt'}"])
    run_command("generate", f"adapter={tmp_path / 'adapter.pt'}", *RUNS["rslora"], *DECODING,
                "trainer=cpu", f"output_dir={tmp_path / 'decoded'}")  # fmt: skip
    decoded = predictions(tmp_path / "decoded")
    assert decoded == predictions(runs["rslora"] / "predictions/test")


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["method=dora", "method.targets=[wpe]"], "method.targets"),
        (["method=dora", "method.rank=129"], "method.rank=129"),
        (["method=full", "optimizer=lora_plus"], "optimizer=lora_plus"),
        (["method.bias=all", "model.dtype=bfloat16"], "method.bias=all"),
    ],
)
def test_what_a_method_cannot_do_is_named_by_its_key(overrides, named, tmp_path):
    error = error_of("train", *TRAINING, *overrides, f"output_dir={tmp_path / 'run'}")
    assert named in error
