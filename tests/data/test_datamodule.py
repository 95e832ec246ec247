"""Data sets and their batches: what tasks and the Trainer get from them."""

import gzip
import hashlib
import json
import warnings

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from lora_lightning.data.batches import Batches
from lora_lightning.data.batching import ReferenceBatchSampler, padded
from lora_lightning.data.encoding import encode_contexts
from lora_lightning.data.sets.dart import DARTDataModule
from lora_lightning.data.sets.e2e import E2EDataModule
from lora_lightning.data.sets.jsonl import JsonlDataModule
from lora_lightning.data.sets.webnlg import WebNLGDataModule
from lora_lightning.errors import InputError
from tests.goldens import shared

LINES = ["a||one", "b||two", "a||three", "c||four", "b||five", "d||six", "c||seven"]
DART_ENTRY = {"tripleset": [["s", "P", "o"]], "annotations": [{"source": "x", "text": "t"}]}


@pytest.fixture
def e2e_folder(tmp_path):
    for name in ("train.txt", "valid.txt", "test.txt"):
        (tmp_path / name).write_text("\n".join(LINES) + "\n")
    return tmp_path


@pytest.fixture
def make_e2e(e2e_folder, tokenizer):
    """Make the batches of E2E on the lines above."""

    def make(**settings) -> Batches:
        return Batches(E2EDataModule(**{"dir": e2e_folder, **settings}), tokenizer, seed=110)

    return make


def completions(data, split):
    return [example.completion for example in data.rows.examples(split)]


def row_ids(loader):
    return [list(batch.row_ids) for batch in loader]


class RowRecorder(LightningModule):
    """A model that learns nothing and remembers which rows it saw."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen = []
        self.validated = []

    def training_step(self, batch, _):
        self.seen.append(list(batch.row_ids))
        return self.weight * batch.row_tokens

    def validation_step(self, batch, _):
        self.validated.append(list(batch.row_ids))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(folder, data, steps, checkpoint=None):
    """Train for `steps` batches with a checkpoint after every one; return the model."""
    model = RowRecorder()
    keep_all = ModelCheckpoint(
        folder, "{step}", every_n_train_steps=1, save_top_k=-1, save_on_train_epoch_end=False
    )
    trainer = Trainer(
        accelerator="cpu",
        max_steps=steps,
        logger=False,
        callbacks=[keep_all],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(model, datamodule=data, ckpt_path=checkpoint)
    return model


def test_only_the_file_of_the_split_asked_for_is_read(make_e2e, e2e_folder):
    (e2e_folder / "train.txt").unlink()
    data = make_e2e()
    assert len(data.rows.examples("test")) == 7
    sha256 = hashlib.sha256((e2e_folder / "test.txt").read_bytes()).hexdigest()
    assert data.rows.checksums() == {"test.txt": sha256}
    (e2e_folder / "test.txt").unlink()
    assert len(data.rows.examples("test")) == 7


def test_checksums_are_of_the_unpacked_bytes(make_e2e, e2e_folder):
    plain = (e2e_folder / "valid.txt").read_bytes()
    (e2e_folder / "valid.txt").unlink()
    (e2e_folder / "valid.txt.gz").write_bytes(gzip.compress(plain))
    data = make_e2e()
    data.rows.examples("valid")
    assert data.rows.checksums() == {"valid.txt": hashlib.sha256(plain).hexdigest()}


def test_contexts_are_distinct_and_named_by_their_first_row(make_e2e):
    assert make_e2e().rows.contexts("test") == [(0, "a"), (1, "b"), (3, "c"), (5, "d")]


def test_the_first_contexts_keep_all_their_texts_and_their_ids(make_e2e):
    data = make_e2e(limit_test=2)
    assert completions(data, "test") == [
        "one",
        "two",
        "three",
        "five",
    ]
    assert data.rows.contexts("test") == make_e2e().rows.contexts("test")[:2]
    assert len(data.rows.examples("valid")) == 7
    assert make_e2e(limit_test=0).rows.contexts("test") == []
    assert len(make_e2e(limit_test=99).rows.contexts("test")) == 4


def test_the_first_training_rows_are_taken_where_a_limit_says_so(make_e2e):
    data = make_e2e(limit_train=3)
    assert completions(data, "train") == [
        "one",
        "two",
        "three",
    ]
    assert len(data.rows.examples("valid")) == len(data.rows.examples("test")) == 7
    limited = make_e2e(limit_valid=3)
    assert completions(limited, "valid") == [
        "one",
        "two",
        "three",
    ]
    assert len(limited.encoded("valid")) == 3
    assert len(limited.rows.examples("train")) == len(limited.rows.examples("test")) == 7


def test_loaders_give_the_reference_order_and_go_on_over_calls(make_e2e):
    data = make_e2e(batch_size=3, valid_batch_size=2)
    training = ReferenceBatchSampler(7, 3, seed=110, drop_last=True)
    validation = ReferenceBatchSampler(7, 2, seed=110, fixed_epoch=0)
    for _ in range(3):
        assert row_ids(data.train_dataloader()) == list(training)
        assert row_ids(data.val_dataloader()) == list(validation)


def test_a_look_at_the_first_epoch_sees_its_batches_and_leaves_the_order_as_it_was(make_e2e):
    data, looked_at = make_e2e(), make_e2e()
    seen = [batch.row_ids for batch in looked_at.first_epoch(1)]
    state = looked_at.state_dict()
    assert state == data.state_dict()
    assert seen == [batch.row_ids for batch in data.train_dataloader()]
    assert seen == [batch.row_ids for batch in looked_at.train_dataloader()]


def test_padded_rows_have_the_loss_of_packed_ones(make_e2e):
    batch = next(make_e2e().first_epoch(1))
    rows = padded(batch, batch.completion_positions)
    kept = rows["labels"] != -100
    assert rows["labels"][kept].equal(rows["input_ids"][kept])
    assert rows["input_ids"][kept].equal(batch.targets[batch.completion_positions])
    assert int(rows["attention_mask"].sum()) == batch.row_tokens


def test_without_shuffle_batches_are_in_the_order_of_the_file(make_e2e):
    data = make_e2e(batch_size=3, valid_batch_size=4, shuffle=False)
    for _ in range(2):
        assert row_ids(data.train_dataloader()) == [[0, 1, 2], [3, 4, 5], [6]]
        assert row_ids(data.val_dataloader()) == [[0, 1, 2, 3], [4, 5, 6]]


def test_without_round_up_rows_every_validation_has_each_row_once(make_e2e):
    data = make_e2e(batch_size=3, valid_batch_size=4, round_up="none")
    for _ in range(2):
        assert row_ids(data.val_dataloader()) == [[0, 1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_without_round_up_rows_the_ranks_share_each_row_once(make_e2e, world_size):
    data = make_e2e(valid_batch_size=2, round_up="none")
    shares = [data._make_sampler("valid", world_size, rank) for rank in range(world_size)]
    rows = [row for share in shares for batch in share for row in batch]
    assert sorted(rows) == list(range(7))


@pytest.mark.parametrize(
    ("shuffle", "world_size", "expected"), [(True, 1, 15), (True, 2, 8), (False, 2, 5)]
)
def test_the_length_of_a_run_is_counted_as_in_the_reference(
    make_e2e, shuffle, world_size, expected
):
    data = make_e2e(batch_size=3, shuffle=shuffle)
    assert data.batches_per_epoch == 3
    assert data.micro_batches(5, world_size) == expected


def test_cut_rows_are_counted(make_e2e):
    lengths = sorted(row.length for row in make_e2e().encoded("train"))
    middle = lengths[3]
    data = make_e2e(max_length=middle)
    assert data.cut_rows("train") == (sum(length > middle for length in lengths), 7)
    assert 0 < data.cut_rows("train")[0] < 7
    assert max(max(batch.lengths) for batch in data.train_dataloader()) == middle - 1


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("stop", [1, 2, 3, 5, 6])
def test_a_training_that_was_stopped_anywhere_goes_on_with_the_same_rows(
    tmp_path, make_e2e, shuffle, stop
):
    def make():
        return make_e2e(batch_size=3, valid_batch_size=2, shuffle=shuffle)

    whole = fit(tmp_path / "whole", make(), steps=9)
    fit(tmp_path / "part", make(), steps=stop)
    checkpoint = tmp_path / "part" / f"step={stop}.ckpt"
    resumed = fit(tmp_path / "resumed", make(), steps=9, checkpoint=checkpoint)
    assert resumed.seen == whole.seen[stop:]
    if stop % 3:  # Lightning never makes up for a validation due right after its checkpoint.
        assert resumed.validated == whole.validated[4 * (stop // 3) :]


def test_the_samplers_state_loads_without_pickled_objects(tmp_path, make_e2e):
    fit(tmp_path, make_e2e(batch_size=3), steps=2)
    checkpoint = torch.load(tmp_path / "step=2.ckpt", weights_only=True)
    assert checkpoint["Batches"]["train"] == {"batches_given": [2]}


def test_token_ids_of_json_lines_are_batched_as_they_stand(write, tokenizer):
    path = write("rows.jsonl", '{"context": [7, 8], "completion": [9, 7]}\n')
    data = Batches(JsonlDataModule(train=path, batch_size=1), tokenizer, seed=0)
    [batch] = data.train_dataloader()
    assert batch.input_ids.tolist() == [7, 8, 9]
    assert encode_contexts(data.rows.contexts("train"), tokenizer)[0].query_ids == [7, 8]


def test_a_token_id_outside_the_vocabulary_names_the_file_and_the_row(write, tokenizer):
    path = write("rows.jsonl", '{"context": [7, 50256], "completion": [9]}\n')
    data = Batches(JsonlDataModule(train=path), tokenizer, seed=0)
    with pytest.raises(InputError, match=r"rows\.jsonl: row 0 .*50256"):
        data.train_dataloader()


def test_json_lines_of_two_folders_keep_apart_in_the_checksums(tmp_path):
    paths = [tmp_path / name / "rows.jsonl" for name in ("train", "valid")]
    for path in paths:
        path.parent.mkdir()
        path.write_text(json.dumps({"context": str(path), "completion": "x"}))
    data = JsonlDataModule(train=paths[0], valid=paths[1])
    data.examples("train"), data.examples("valid")
    assert list(data.checksums()) == [str(path) for path in paths]


def test_rows_are_cached_for_each_naming_of_their_fields(write, tmp_path, tokenizer):
    path = write("rows.jsonl", '{"context": "a", "completion": "b", "other": "a much longer text"}')

    def tokens(**settings):
        rows = JsonlDataModule(train=path, cache_dir=tmp_path / "cache", **settings)
        return len(Batches(rows, tokenizer, seed=0).encoded("train")[0].completion_ids)

    assert tokens() < tokens(fields={"completion": "other"})


def test_names_of_fields_that_say_nothing_are_refused():
    for fields, message in [
        ({"text": "a"}, r"data\.fields\.text: a row has no such part; it has context, completion"),
        ({"context": "a", "completion": "a"}, "'a' is named for context and completion alike"),
        ({"context": 3}, r"data\.fields"),
    ]:
        with pytest.raises(InputError, match=message):
            JsonlDataModule(fields=fields)


def test_a_json_lines_file_is_needed_only_by_what_reads_it(write, tokenizer):
    rows = JsonlDataModule(test=write("t.jsonl", '{"context": "a", "completion": "b"}'))
    assert len(rows.examples("test")) == 1
    with pytest.raises(InputError, match=r"data\.train is null"):
        Batches(rows, tokenizer, seed=0).train_dataloader()


def test_dart_takes_the_partial_training_file_only_where_that_is_allowed(tmp_path):
    def make(**settings):
        return DARTDataModule(dir=tmp_path, **settings)

    partial = tmp_path / "dart-v1.1.1-partial-train.json.gz"
    partial.write_bytes(gzip.compress(json.dumps([DART_ENTRY]).encode()))
    with pytest.raises(InputError, match=r"data\.allow_partial=true"):
        make().examples("train")
    assert len(make(allow_partial=True).examples("train")) == 1
    full = tmp_path / "dart-v1.1.1-full-train.json"
    full.write_text(json.dumps([DART_ENTRY] * 3))
    for allow_partial in (True, False):
        assert len(make(allow_partial=allow_partial).examples("train")) == 3
    with pytest.raises(InputError, match=r"dart-v1\.1\.1-full-dev\.json: no such file"):
        make(allow_partial=True).examples("valid")


def test_webnlg_files_are_found_under_the_names_of_the_reference():
    folder = shared("data", "webnlg_challenge_2017")
    data = WebNLGDataModule(dir=folder)
    assert len(data.examples("valid")) == 2258
    assert list(data.checksums()) == ["dev.json"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, r"data\.batch_size=0"),
        ({"valid_batch_size": 0}, r"data\.valid_batch_size=0"),
        ({"max_length": 0}, r"data\.max_length=0"),
        ({"limit_test": -1}, r"data\.limit_test=-1"),
    ],
)
def test_a_value_out_of_range_names_its_key(make_e2e, settings, message):
    with pytest.raises(InputError, match=message):
        make_e2e(**settings)


def test_an_unknown_split_is_an_error(make_e2e):
    with pytest.raises(InputError, match="split=dev: unknown; take one of train, valid, test"):
        make_e2e().rows.examples("dev")


class TwoRanks:
    """What the batches ask of the Trainer of one of two processes."""

    world_size = 2
    global_rank = 0

    class strategy:
        root_device = torch.device("cpu")


@pytest.mark.parametrize(
    ("batch_size", "rounds", "dropped"), [(3, 1, 1), (2, 2, 0)], ids=["incomplete", "complete"]
)
def test_an_incomplete_last_round_of_two_ranks_is_dropped_with_one_warning(
    make_e2e, batch_size, rounds, dropped
):
    data = make_e2e(batch_size=batch_size, shuffle=False)
    data.trainer = TwoRanks()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            assert len(data.train_dataloader()) == rounds
    assert sum("are dropped" in str(warning.message) for warning in caught) == dropped


@pytest.mark.parametrize("shuffle", [True, False])
def test_too_few_rows_for_the_ranks_are_an_error_in_every_rank(make_e2e, shuffle):
    data = make_e2e(batch_size=8, valid_batch_size=8, shuffle=shuffle)
    data.trainer = TwoRanks()
    with pytest.raises(InputError, match=r"data\.batch_size=8: 7 rows of train"):
        data.train_dataloader()


@pytest.mark.parametrize(("functions", "said"), [
    ({"read": lambda self, path: None}, r"Mine.read\(\) gives no list of Example"),
    ({"read": lambda self, path: ["a text"]}, r"Mine.read\(\) gives no list of Example"),
    ({"path": lambda self, split: "train.txt"}, r"Mine.path\(\) gives 'train.txt', where a"),
])  # fmt: skip
def test_what_a_data_set_of_ones_own_gives_is_judged_where_it_is_taken(
    make_e2e, monkeypatch, functions, said
):
    data = make_e2e().rows
    monkeypatch.setattr(data, "__class__", type("Mine", (type(data),), functions))
    with pytest.raises(InputError, match=said):
        data.examples("train")
