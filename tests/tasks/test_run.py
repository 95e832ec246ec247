"""What a training run leaves behind, and what the other commands make of it."""

import json
import shutil

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file

from lora_lightning import load_run
from lora_lightning.tracking.csv_tables import read_metrics
from lora_lightning.tracking.metrics_file import COLUMNS
from tests.commands import error_of, run_command
from tests.tiny import DECODING, TRAINING, read_rows, write_rows


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    run_command("train", *TRAINING, *DECODING, "then=[generate,evaluate]", f"output_dir={folder}")
    return folder


@pytest.fixture
def copy_of_run(run, tmp_path):
    return shutil.copytree(run, tmp_path / "run")


def test_the_run_folder_holds_what_the_contract_names(run):
    for name in (
        ".hydra/config.yaml", "config.yaml", "run.json", "metrics.csv", "loss.png", "train.log",
        "checkpoints/best.ckpt", "checkpoints/last.ckpt", "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors", "adapter_best/adapter_config.json", "result.json",
    ):  # fmt: skip
        assert (run / name).is_file(), name
    assert "${" not in (run / "config.yaml").read_text()


def test_run_json_says_what_the_run_was_made_with(run):
    record = json.loads((run / "run.json").read_text())
    assert record["seed"] == 0
    assert set(record["throughput"]) == {"tokens_per_second", "rows_per_second", "share_of_peak"}
    assert [rank["rank"] for rank in record["ranks"]] == [0]
    assert set(record["data"]) == {"train.txt", "valid.txt"}
    assert record["parameters"]["trainable"] < record["parameters"]["total"]


def test_metrics_csv_has_a_row_an_update_and_one_a_validation(run):
    header = (run / "metrics.csv").read_text().splitlines()[0]
    assert header == ",".join(COLUMNS)
    rows = read_metrics(run / "metrics.csv")
    assert [row["step"] for row in rows if "train/loss" in row] == [1, 2, 3]
    [validation] = [row for row in rows if "val/loss" in row]
    assert set(validation) == {
        "step", "epoch", "val/loss", "val/perplexity", "val/loss_per_token",
        "val/perplexity_per_token",
    }  # fmt: skip
    assert json.loads((run / "result.json").read_text()) == {
        "metric": "val/loss",
        "value": validation["val/loss"],
    }


def test_a_checkpoint_loads_without_pickle_and_holds_no_frozen_tensor(run):
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["state_dict"]
    assert all("lora_" in name for name in checkpoint["state_dict"])


def test_training_moves_the_adapter_away_from_zero(run):
    tensors = load_file(run / "adapter" / "adapter_model.safetensors")
    assert all(tensor.any() for tensor in tensors.values())


def test_predictions_hold_each_context_once_in_order(run):
    records = read_rows(run / "predictions" / "test" / "predictions.jsonl")
    assert len({record["context"] for record in records}) == len(records) == 5
    ids = [record["id"] for record in records]
    assert ids == sorted(ids)
    for record in records:
        best = record["hypotheses"][0]
        assert (record["tokens"], record["score"]) == (best["tokens"], best["score"])
        assert best["proven"] is True
        assert best["length"] == len(best["tokens"])


def test_the_evaluation_is_written_with_signatures_and_counts(run):
    metrics = json.loads((run / "evaluation" / "test" / "metrics.json").read_text())
    assert set(metrics["scores"]) == set(metrics["signatures"])
    assert metrics["counts"]["groups"] == 5
    assert len(read_rows(run / "evaluation" / "test" / "sentences.jsonl")) == 5


def test_generate_of_a_run_repeats_what_the_chain_decoded(copy_of_run):
    chained = (copy_of_run / "predictions/test/predictions.jsonl").read_bytes()
    run_command("generate", f"run={copy_of_run}", "name=again", "trainer=cpu")
    again = copy_of_run / "predictions/test/again/predictions.jsonl"
    assert again.read_bytes() == chained


def test_the_run_decides_and_the_user_still_overrides(copy_of_run):
    run_command("generate", f"run={copy_of_run}", "name=one", "generation.num_beams=1",
                "trainer=cpu", "data.limit_test=2")  # fmt: skip
    following = f"evaluate.py run={copy_of_run} name=one data.limit_test=2\n"
    [log] = (copy_of_run / "predictions/test/one").glob("*.log")
    assert log.read_text().endswith(following)
    settings = json.loads((copy_of_run / "predictions/test/one/manifest.json").read_text())
    generation = settings["settings"]["generation"]
    assert generation["num_beams"] == 1
    assert generation["max_new_tokens"] == 8


def test_a_group_chosen_anew_takes_nothing_of_the_runs(copy_of_run, tmp_path):
    run_command("generate", f"run={copy_of_run}", "generation=greedy", "name=greedy",
                "trainer=cpu", "data.limit_test=1")  # fmt: skip
    manifest = json.loads((copy_of_run / "predictions/test/greedy/manifest.json").read_text())
    assert manifest["settings"]["generation"]["max_new_tokens"] == 64


def test_results_are_never_overwritten_silently(copy_of_run):
    before = (copy_of_run / ".hydra" / "config.yaml").read_bytes()
    for command, arguments in (
        ("train", [*TRAINING, f"output_dir={copy_of_run}"]),
        ("generate", [f"run={copy_of_run}"]),
        ("evaluate", [f"run={copy_of_run}"]),
    ):
        error = error_of(command, *arguments)
        assert "name=" in error
        assert "overwrite=true" in error
    assert (copy_of_run / ".hydra" / "config.yaml").read_bytes() == before
    run_command("evaluate", f"run={copy_of_run}", "overwrite=true")


def test_a_text_prints_its_beams_and_writes_nothing(copy_of_run, capsys):
    def files() -> set[str]:
        return {str(path) for path in copy_of_run.rglob("*")}

    before = files()
    text = 'name : "Blue ${x} Spice" | Type : it\'s, a [pub]=\\'
    run_command("generate", f"run={copy_of_run}", f"text={text}", "trainer=cpu")
    said = capsys.readouterr().out
    assert len(said.strip().splitlines()) >= 2
    assert said.count("(not proven)") != 1, "a mark is explained where it stands"
    assert files() == before


def test_inputs_are_decoded_under_their_own_ids(copy_of_run, tmp_path):
    inputs = tmp_path / "test.jsonl"  # the name of a split, whose predictions these are not
    inputs.write_text('{"id": "b", "context": "name : X"}\n{"id": "a", "context": "name : X"}\n')
    run_command("generate", f"run={copy_of_run}", f"inputs={inputs}", "trainer=cpu")
    folder = copy_of_run / "predictions" / "inputs-test"
    records = read_rows(folder / "predictions.jsonl")
    assert [record["id"] for record in records] == ["b", "a"]
    assert json.loads((folder / "manifest.json").read_text())["settings"]["split"] is None


def test_the_python_door_gives_the_text_of_the_command(run):
    records = read_rows(run / "predictions" / "test" / "predictions.jsonl")
    loaded = load_run(run)
    texts = loaded.generate([record["context"] for record in records])
    assert texts == [record["text"] for record in records]


def test_own_data_without_validation_rows_is_trained_without_validation(tmp_path):
    rows = write_rows(tmp_path / "rows.jsonl", [{"context": "name : X", "completion": "X ."}] * 9)
    run = tmp_path / "run"
    run_command("train", *TRAINING, "data=jsonl", f"data.train={rows}", f"output_dir={run}")
    assert (run / "train.log").read_text().endswith(f'generate.py run={run} text="…"\n')
    assert (run / "adapter").is_dir()
    assert not (run / "adapter_best").exists()
    assert json.loads((run / "result.json").read_text())["value"] is None


def test_dry_run_reports_and_writes_nothing(tmp_path):
    run_command("train", *TRAINING, "dry_run=true", f"output_dir={tmp_path / 'run'}")
    assert not (tmp_path / "run").exists()


def test_a_dry_run_of_a_sweep_reports_each_job_and_writes_nothing(tmp_path, capsys, caplog):
    run_command("train", *TRAINING, "-m", "dry_run=true", "method.rank=1,2",
                f"output_dir={tmp_path / 'sweep'}")  # fmt: skip
    assert list(tmp_path.iterdir()) == []
    assert (caplog.text + "".join(capsys.readouterr())).count("does not write") == 2


def test_a_chain_with_a_hole_in_its_scores_ends_with_exit_code_3(copy_of_run):
    file = copy_of_run / "evaluation" / "test" / "metrics.json"
    metrics = json.loads(file.read_text())
    metrics["scores"]["meteor"], metrics["not_computed"] = None, {"meteor": "no Java"}
    file.write_text(json.dumps(metrics))
    with pytest.raises(SystemExit) as end:
        run_command("train", f"resume={copy_of_run}")
    assert end.value.code == 3


def test_a_run_whose_time_was_up_says_so_and_goes_on_with_more(tmp_path):
    run = tmp_path / "run"
    run_command("train", *TRAINING, "trainer.accumulate_grad_batches=2", f"output_dir={run}",
                "trainer.max_time={microseconds: 1}")  # fmt: skip
    log = (run / "train.log").read_text()
    assert "ended         after update 1 of 3" in log
    assert f"python train.py resume={run} trainer.max_time=" in log
    run_command("train", f"resume={run}")
    assert "after update 1; nothing is left" in (run / "train.log").read_text()
    run_command("train", f"resume={run}", "trainer.max_time=null")
    rows = [row["step"] for row in read_metrics(run / "metrics.csv") if "train/loss" in row]
    assert rows == [1, 2, 3]


def test_the_same_seed_gives_the_same_run(tmp_path):
    for name in ("a", "b"):
        run_command("train", *TRAINING, "seed=0", f"output_dir={tmp_path / name}")
    first, second = (
        [{k: v for k, v in row.items() if "per_second" not in k} for row in read_metrics(path)]
        for path in (tmp_path / "a" / "metrics.csv", tmp_path / "b" / "metrics.csv")
    )
    assert first == second
    a, b = (load_file(tmp_path / n / "adapter/adapter_model.safetensors") for n in ("a", "b"))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_multirun_has_a_folder_a_job(tmp_path):
    run_command("train", "-m", *TRAINING, "seed=0,1", f"output_dir={tmp_path / 'sweep'}")
    for job in ("0", "1"):
        config = OmegaConf.load(tmp_path / "sweep" / job / "config.yaml")
        assert config.seed == int(job)
        assert (tmp_path / "sweep" / job / "adapter").is_dir()


def test_the_cache_of_encoded_data_changes_no_number(tmp_path):
    for name, cache in (("without", "null"), ("first", tmp_path / "cache"),
                        ("second", tmp_path / "cache")):  # fmt: skip
        run_command("train", *TRAINING, f"data.cache_dir={cache}", f"output_dir={tmp_path / name}")
    assert len(list((tmp_path / "cache").iterdir())) == 2  # training and validation rows
    curves = [
        [{k: v for k, v in row.items() if "per_second" not in k} for row in read_metrics(path)]
        for path in (tmp_path / name / "metrics.csv" for name in ("without", "first", "second"))
    ]
    assert curves[0] == curves[1] == curves[2]
    tensors = [
        (tmp_path / name / "adapter" / "adapter_model.safetensors").read_bytes()
        for name in ("without", "first", "second")
    ]
    assert tensors[0] == tensors[1] == tensors[2]


def test_texts_are_scored_where_the_base_is_gone(copy_of_run, tmp_path):
    moved = ("model.path=./gone", "model.tokenizer=./gone", "protocol.metrics=[bleu]")
    run_command("evaluate", f"run={copy_of_run}", *moved, "name=", "overwrite=true",
                "data.limit_test=5")  # fmt: skip
    scores = json.loads((copy_of_run / "evaluation" / "test" / "metrics.json").read_text())
    assert scores["scores"]["bleu"] is not None


def test_token_ids_cannot_be_scored_without_a_tokenizer(copy_of_run, tmp_path):
    rows = write_rows(tmp_path / "ids.jsonl", [{"context": [5, 6], "completion": [7, 8]}])
    predictions = write_rows(
        tmp_path / "predictions.jsonl", [{"id": 0, "context": "", "text": "a text"}]
    )
    error = error_of("evaluate", "data=jsonl", f"data.test={rows}", f"predictions={predictions}",
                     "model.path=./gone", f"output_dir={tmp_path / 'out'}")  # fmt: skip
    assert "model.path=./gone: no such folder" in error
