"""Whatever a file or an override holds: it is taken, or refused by one line. Nothing else happens.

A few examples of each kind run by default, always the same ones; `LORA_LIGHTNING_FUZZ=5000` runs
so many, other ones each time.
"""

import json
import os
import resource
import shutil
from functools import partial

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from lora_lightning.checkpoints.files import read_checkpoint
from lora_lightning.checkpoints.same_run import find_resumable, resume_overrides
from lora_lightning.cli.arguments import prepare_arguments
from lora_lightning.config.compose import CONFIGS, composed
from lora_lightning.config.faults import COMPOSING, explain
from lora_lightning.config.rules import check_config
from lora_lightning.config.study import open_storage
from lora_lightning.data.inputs import read_inputs
from lora_lightning.data.sets.dart import read_dart
from lora_lightning.data.sets.e2e import read_e2e
from lora_lightning.data.sets.jsonl import read_jsonl
from lora_lightning.data.sets.webnlg import read_webnlg
from lora_lightning.errors import InputError
from lora_lightning.gpt2.tensor_file import read_tensors
from lora_lightning.methods.adapter_files import adapter_method, describe_adapter
from lora_lightning.runs.folder import RunFolder
from lora_lightning.runs.stored_results import read_logger_ids, read_record, read_scores
from lora_lightning.sweep.record import SweepFolder
from lora_lightning.sweep.space import Space
from lora_lightning.sweep.study import check_study
from lora_lightning.sweep.table import mean_over_seeds, read_rows
from tests.recorded import copy_recorded

FUZZ = os.environ.get("LORA_LIGHTNING_FUZZ")
MEMORY = 512 << 20  # bytes that an example may add
fuzz = partial(
    settings,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # to shrink a failure would take longer than to read it
    derandomize=FUZZ is None,
    suppress_health_check=list(HealthCheck),
)
many = fuzz(max_examples=int(FUZZ or 25))
few = fuzz(max_examples=int(FUZZ or 8))

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
CONTEXTS = st.fixed_dictionaries({}, optional={
    "context": VALUES, "completion": VALUES, "cate": VALUES, "category": VALUES, "id": VALUES,
})  # fmt: skip


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    return copy_recorded(tmp_path_factory.mktemp("recorded") / "folder")


def taken_or_refused(read):
    """Read; a refusal is one line, and memory stays bounded."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        read()
    except (InputError, *COMPOSING) as error:
        assert "\n" not in explain(error)  # noqa: PT017
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10 < MEMORY


@st.composite
def damages(draw):
    """A change of bytes: cut, overwritten, inserted, repeated, or all of it something else."""
    kind = draw(st.sampled_from(["cut", "overwrite", "insert", "repeat", "replace"]))
    place, noise = draw(st.floats(0, 1)), draw(st.binary(max_size=24) | _pieces)

    def damage(content):
        at = round(place * len(content))
        return {
            "cut": content[:at],
            "overwrite": content[:at] + noise + content[at + len(noise) :],
            "insert": content[:at] + noise + content[at:],
            "repeat": content[:at] + content[at // 2 :],
            "replace": noise,
        }[kind]

    return damage


_pieces = st.sampled_from([
    b"{", b"[", b"}", b"null", b"-1", b"1e999", b"NaN", b"\0", b"\xff", b"${oc.env:HOME}", b": ",
    b"- ", b"&a *a", b"!!python/object", b"\n", b"\n  ", b'"', b"../..", b"9" * 5000, b"[" * 5000,
])  # fmt: skip


def damaged(path, damage, read):
    """Read with one file damaged, and put it back."""
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    try:
        taken_or_refused(read)
    finally:
        path.write_bytes(whole)


KEYS = st.sampled_from([
    "seed", "name", "method.rank", "method.alpha", "method.targets", "optimizer.lr", "data.dir",
    "optimizer.betas", "trainer.devices", "trainer.limit_val_batches", "then", "optimized_metric",
    "generation.eos_token_ids", "callbacks", "+callbacks.x", "+logger.x._target_", "data", "paths",
    "paths.output_dir", "+trainer.max_time", "+trainer.plugins", "~method", "run", "adapter",
    "hydra.run.dir", "text", "model.path", "protocol.metrics", "++data", "loss._target_", "method",
])  # fmt: skip
WORDS = st.text(max_size=12) | st.sampled_from([
    "", "null", "nan", "-inf", "1e400", "[1,[2", "{a:1}", "{_target_:os.getcwd}", "${nope}", "???",
    "${oc.env:NOPE}", "os.system", "[" * 40 + "]" * 40, "9" * 5000, "../..", "a,b", "'", "a=b",
])  # fmt: skip


@few
@given(given_ones=st.lists(st.builds("{}={}".format, KEYS, WORDS) | WORDS, max_size=3))
def test_any_override_is_taken_or_refused(given_ones):
    def read():
        arguments = ["output_dir=unused", *(a for a in given_ones if not a.startswith("-"))]
        prepared = prepare_arguments("train", [a.replace("\0", "") for a in arguments])
        check_config(composed("train", [a for a in prepared if not a.startswith("hydra.")]))

    taken_or_refused(read)


READERS = {
    "e2e": (read_e2e, b"name : A , food : B||A has B .\n"),
    "webnlg": (
        read_webnlg,
        b'{"entries": [{"1": {"category": "City", "lexicalisations": [{"comment": "good", '
        b'"lex": "A b ."}], "modifiedtripleset": [{"subject": "A", "property": "p", '
        b'"object": "B"}]}}]}',
    ),
    "dart": (
        read_dart,
        b'[{"tripleset": [["A", "P", "B"]], "annotations": [{"source": "s", "text": "A b."}]}]',
    ),
    "jsonl": (read_jsonl, b'{"context": "name : A", "completion": "A .", "cate": true}\n'),
    "inputs": (read_inputs, b'{"id": 1, "context": "name : A"}\n'),
}


@pytest.mark.parametrize("name", READERS)
@many
@given(damage=damages())
def test_any_raw_file_is_taken_or_refused(name, damage, tmp_path_factory):
    read, content = READERS[name]
    path = tmp_path_factory.getbasetemp() / f"fuzz_{name}.jsonl"
    path.write_bytes(content)
    damaged(path, damage, lambda: read(path))


@pytest.mark.parametrize("read", [read_jsonl, read_inputs])
@many
@given(rows=st.lists(CONTEXTS | VALUES, max_size=3))
def test_any_rows_are_taken_or_refused(read, rows, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    taken_or_refused(lambda: read(path))


def describe(folder):
    describe_adapter(folder)
    adapter_method(folder)


@pytest.mark.parametrize(
    "file", ["adapter_model.safetensors", "lora_lightning.json", "adapter_config.json"]
)
@many
@given(damage=damages())
def test_any_adapter_is_taken_or_refused(file, damage, recorded):
    adapter = recorded / "finished" / "adapter"

    def read():
        describe(adapter)
        read_tensors(adapter / "adapter_model.safetensors")

    damaged(adapter / file, damage, read)


@many
@given(damage=damages())
def test_any_checkpoint_is_taken_or_refused(damage, recorded):
    checkpoint = recorded / "interrupted" / "checkpoints" / "last.ckpt"
    damaged(checkpoint, damage, lambda: read_checkpoint(checkpoint))


def open_run(folder):
    run = RunFolder.open(folder)
    run.check_alone(trust=False)
    list(resume_overrides(find_resumable(str(folder), lambda: folder), {}))


@pytest.mark.parametrize("file", [".hydra/config.yaml", ".hydra/hydra.yaml", "config.yaml",
                                  ".hydra/overrides.yaml"])  # fmt: skip
@few
@given(damage=damages())
def test_any_stored_config_is_taken_or_refused(file, damage, recorded):
    run = recorded / "interrupted"
    damaged(run / file, damage, lambda: open_run(run))


@many
@given(damage=damages())
def test_any_record_of_a_run_is_taken_or_refused(damage, recorded):
    for file, read in (("run.json", read_record), ("run.json", read_scores),
                       ("run.json", read_logger_ids)):  # fmt: skip
        path = recorded / "finished" / file
        damaged(path, damage, lambda path=path, read=read: read(path))


def show(folder):
    sweep = SweepFolder(folder)
    mean_over_seeds(sweep.plan, read_rows(sweep))


@pytest.mark.parametrize("file", ["sweep.json", "1/job.json", "1/run.json", "1/metrics.csv",
                                  "1/result.json"])  # fmt: skip
@many
@given(damage=damages())
def test_any_sweep_is_taken_or_refused(file, damage, recorded):
    sweep = recorded / "sweep"
    damaged(sweep / file, damage, lambda: show(sweep))


@pytest.fixture(scope="module", params=["sqlite", "journal"])
def storage(request, tmp_path_factory):
    import optuna

    path = tmp_path_factory.mktemp("optuna") / f"study.{request.param}"
    opened = open_storage(f"{request.param}:///{path}")
    study = optuna.create_study(storage=opened, study_name="x")
    study.optimize(lambda trial: trial.suggest_float("a", 0, 1), n_trials=2)
    return path


@few
@given(damage=damages())
def test_any_storage_is_taken_or_refused(damage, storage):
    copy = shutil.copy(storage, storage.with_name(f"damaged{storage.suffix}"))
    config = OmegaConf.create({
        "optimized_metric": "val/loss",
        "hydra": {
            "overrides": {"task": []},
            "sweeper": {"storage": f"{storage.suffix[1:]}:///{copy}", "study_name": "x"},
        },
    })  # fmt: skip
    space = Space(None, [], [], ["minimize"], trials=1, at_once=1)
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        damaged(copy, damage, lambda: check_study(config, space))
