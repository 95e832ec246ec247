"""`sweep resume` runs a sweep's own jobs in its own folder, whoever wrote sweep.json."""

import json

import pytest

from lora_lightning.config.trust import trust_of
from lora_lightning.errors import InputError
from lora_lightning.sweep.__main__ import sweep as sweep_command
from lora_lightning.sweep.record import SweepFolder
from lora_lightning.sweep.trusted import check_sweep
from tests.goldens import ROOT
from tests.trust.planted import running

JOB = {"job": "0", "overrides": ["method.rank=1"], "status": "failed", "error": "x"}


@pytest.fixture
def sweep(tmp_path):
    """A sweep of one job, which failed."""
    folder = tmp_path / "sweep"
    (folder / "0").mkdir(parents=True)
    (folder / "0" / "job.json").write_text(json.dumps(JOB))
    plan = {
        "command": "train", "arguments": ["-m", "method.rank=1"], "folder": str(ROOT),
        "launcher": "basic", "sweeper": "basic", "axes": ["method.rank"], "metric": "val/loss",
        "trials": None, "storage": None, "study": None, "jobs": {"0": ["method.rank=1"]},
    }  # fmt: skip
    (folder / "sweep.json").write_text(json.dumps(plan))
    return folder


def change(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def refusal(folder):
    before = sorted(folder.parent.rglob("*"))
    with pytest.raises(InputError) as raised:
        sweep_command(["resume", str(folder)])
    assert sorted(folder.parent.rglob("*")) == before
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("command", ["../evil", "/tmp/evil", "evil", "doctor", ""])
def test_a_command_is_train_generate_or_evaluate(sweep, command):
    change(sweep / "sweep.json", command=command)
    assert "is no command" in refusal(sweep)


def attacks(marker):
    node = running(marker)
    return [
        f"+callbacks.x._target_={node['_target_']}",
        f"+callbacks.x={{_target_:{node['_target_']},arguments:[-c]}}",
        f"+callbacks.x={{a:1}},{{_target_:{node['_target_']}}}",
        f"method._target_={node['_target_']}",
        f"+model.x._target_={node['_target_']}",
        "+method._args_=[1]",
        "method=../../evil/lora",
        "+experiment=[quickstart,/tmp/evil]",
        "method@callbacks.x=lora",
        "hydra.searchpath=[file:///tmp/evil]",
        "hydra.launcher.setup=[evil]",
        "hydra.launcher.address=evil:6379",
        "+hydra.launcher._target_=os.system",
        "+hydra.job.env_set.PYTHONPATH=/tmp/evil",
        "+hydra.job_logging.handlers.x.class=evil",
        "model.path=${oc.env:WANDB_API_KEY}",
        "model.path=a,'${oc.env:WANDB_API_KEY}'",
        "hydra.sweep.subdir=${oc.env:WANDB_API_KEY}",
        "evaluation.java=/tmp/evil",
        "trust=true",
        "paths.user_dir=/tmp/evil",
        "resume=/tmp/run",
        "--config-dir=/tmp/evil",
        "-cd",
        "no override",
    ]


NUMBERS = range(len(attacks("")))


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("place", ["arguments", "jobs", "job.json"])
def test_an_override_that_builds_loads_or_starts_something_is_refused(sweep, marker, place, number):
    attack = attacks(marker)[number]
    if place == "job.json":
        change(sweep / "0" / "job.json", overrides=[attack])
    elif place == "jobs":
        change(sweep / "sweep.json", jobs={"0": [attack], "1": [attack]})
    else:
        change(sweep / "sweep.json", arguments=["-m", attack])
    assert refusal(sweep)


@pytest.mark.parametrize("key", ["launcher", "sweeper"])
def test_a_launcher_is_an_option(sweep, key):
    change(sweep / "sweep.json", **{key: "../../evil"})
    assert f"hydra/{key}=../../evil" in refusal(sweep)


@pytest.mark.parametrize("storage", ["sqlite:////tmp/absent.db", "mysql://evil/study"])
def test_a_study_is_a_file_that_exists(sweep, storage):
    change(sweep / "sweep.json", storage=storage, study="x")
    assert storage in refusal(sweep)


@pytest.mark.parametrize("name", ["../mine", "{}/mine", "a/../../mine", ".", "link/mine"])
def test_a_planned_job_elsewhere_is_refused_and_nothing_is_removed(sweep, tmp_path, name):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    (sweep / "link").symlink_to(tmp_path)
    name = name.format(tmp_path)
    change(sweep / "sweep.json", jobs={name: ["method.rank=1"]})
    assert f"job {name!r}" in refusal(sweep)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_a_jobs_folder_is_where_its_file_lies_whatever_name_it_has(sweep, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    change(sweep / "0" / "job.json", job="../mine", error="\x1b[31mred\x1b[0m", status="finished")
    assert sweep_command(["show", str(sweep)]) == 0
    shown = capsys.readouterr().out
    assert "job 0: " in shown
    assert "../mine" not in shown


def test_a_link_in_a_sweep_that_leads_out_of_it_is_refused(sweep, tmp_path):
    (tmp_path / "mine").mkdir()
    (sweep / "1").symlink_to(tmp_path / "mine")
    assert "a link to" in refusal(sweep)


def test_what_a_job_says_reaches_the_terminal_without_control_characters(sweep, capsys):
    escape = "\x1b]0;title\x07\x9b31m[bold]red"
    change(sweep / "0" / "job.json", error=escape, overrides=[f"method.rank={escape}"])
    change(sweep / "sweep.json", metric=escape, axes=["method.rank", escape])
    for action in ("show", "plot"):
        assert sweep_command([action, str(sweep)]) == 0
    page = (sweep / "sweep.html").read_text()
    for text in (capsys.readouterr().out, page):
        assert "\\x1b]0;title\\x07\\x9b31m[bold]red" in text
        assert not {"\x1b", "\x07", "\x9b"} & set(text)


def test_what_the_user_trusts_runs(sweep):
    change(sweep / "0" / "job.json", overrides=[
        "+callbacks.x._target_=lora_lightning.tracking.progress.PlainLines",
        "+callbacks.x.every_n_seconds=5", "experiment=quickstart", "trainer=cpu",
        "trainer.max_steps=1", "trainer.limit_val_batches=1",
    ])  # fmt: skip
    assert "PlainLines" in refusal(sweep)
    assert sweep_command(["resume", str(sweep), "trust=true"]) == 0
    assert (sweep / "0" / "result.json").is_file()
    assert "trust" not in (sweep / "0" / "job.json").read_text()


def test_numbers_of_the_launchers_are_taken_from_a_sweeps_folder(sweep):
    given = ["max_jobs_at_once=2", "strict=true", "num_cpus=2", "num_gpus=0.5", "memory=1000000",
             "max_retries=1", "n_jobs=2"]  # fmt: skip
    arguments = ["-m", "method.rank=1", *(f"hydra.launcher.{one}" for one in given)]
    change(sweep / "sweep.json", arguments=arguments)
    check_sweep(SweepFolder.open(sweep), trust_of(everything=False))
