"""Every command ends on SIGTERM, SIGINT and SIGUSR1 wherever it stands, and says how to go on."""

import json
import signal
import subprocess
import sys
import threading

import psutil
import pytest

from lora_lightning.checkpoints import save
from lora_lightning.cli import entry
from lora_lightning.decoding.writer import ShardWriter
from lora_lightning.errors import Interrupted
from lora_lightning.evaluation import java
from lora_lightning.process.children import run_child
from lora_lightning.process.signals import ended_by_signals
from lora_lightning.tasks import generate, scoring, training
from lora_lightning.training.module import FineTuning
from tests.commands import run_command
from tests.goldens import ROOT
from tests.process.commands import all_end, family, lines_in, ranks_of, started, wait_until
from tests.tiny import DECODING, TRAINING, read_rows

CODES = [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 138)]


@pytest.fixture(autouse=True)
def interrupted_by_ctrl_c():
    """Pytest runs in the background of a shell, too, where Ctrl-C is ignored."""
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.signal(signal.SIGINT, earlier) is signal.default_int_handler


def end_of(capsys, happens, place, name, number, command, *arguments):
    """Run a command in which a signal comes when `place.name` is called; return code and line."""
    with pytest.MonkeyPatch.context() as patch:
        original = getattr(place, name)

        def with_signal(*given, **further):
            if happens():
                signal.raise_signal(number)
            return original(*given, **further)

        patch.setattr(place, name, with_signal)
        with pytest.raises(SystemExit) as raised:
            run_command(command, *arguments)
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return raised.value.code, said.strip().splitlines()[-1]


def always():
    return True


def at_call(number):
    """Return what is true at its call of this number alone."""
    calls = iter(range(1, 1000))
    return lambda: next(calls) == number


@pytest.mark.parametrize(("number", "code"), CODES)
def test_decoding_ends_at_once_and_the_same_command_goes_on(number, code, tmp_path, capsys):
    folder = tmp_path / "predictions"
    arguments = ("trainer=cpu", *DECODING, f"output_dir={folder}")
    where = (at_call(4), ShardWriter, "write")
    found = end_of(capsys, *where, number, "generate", *arguments)
    name = signal.Signals(number).name
    assert found == (code, f"{name} ended the command; the same command with output_dir={folder}, "
                           "and no overwrite=true, goes on")  # fmt: skip
    assert lines_in(folder / "shards" / "rank_0.jsonl") == 3
    run_command("generate", *arguments)
    assert len(read_rows(folder / "predictions.jsonl")) == 5


@pytest.mark.parametrize(
    ("place", "name", "advice"),
    [
        (entry, "prepare_arguments", "start it again"),
        (training, "load_model", "nothing was saved yet; start it again"),
        (FineTuning, "validation_step", "nothing was saved yet; start it again"),
    ],
    ids=["its arguments", "its model", "a validation before the first update"],
)
def test_training_ends_at_once_before_its_first_update(place, name, advice, tmp_path, capsys):
    arguments = ("train", *TRAINING, "trainer.validate_first=true", f"output_dir={tmp_path / 'a'}")
    code, line = end_of(capsys, always, place, name, signal.SIGTERM, *arguments)
    assert code == 143
    assert line.startswith(f"SIGTERM ended the command; {advice}")


def test_a_signal_after_the_last_update_is_obeyed_when_all_is_saved(tmp_path, capsys):
    run = tmp_path / "run"
    arguments = ("train", *TRAINING, "trainer.limit_val_batches=0", f"output_dir={run}")
    code, line = end_of(capsys, always, save, "save_adapter", signal.SIGUSR1, *arguments)
    assert code == 138
    assert line == (
        f"SIGUSR1 ended training after update 3 of 3; go on with: python train.py resume={run}"
    )
    run_command("train", f"resume={run}")
    assert json.loads((run / "run.json").read_text())["resumed_at"] == []
    assert (run / "adapter").is_dir()


def test_what_follows_a_training_ends_at_once_and_is_done_by_resume(tmp_path, capsys):
    run = tmp_path / "run"
    arguments = ("train", *TRAINING, *DECODING, "then=[generate]", f"output_dir={run}")
    code, line = end_of(capsys, at_call(3), ShardWriter, "write", signal.SIGTERM, *arguments)
    assert (code, line) == (
        143, f"SIGTERM ended the command; go on with: python train.py resume={run}"
    )  # fmt: skip
    run_command("train", f"resume={run}")
    assert len(read_rows(run / "predictions" / "test" / "predictions.jsonl")) == 5


def test_a_sweep_ends_with_the_job_under_way_and_names_what_goes_on(tmp_path, capsys):
    sweep = tmp_path / "sweep"
    arguments = ("train", "-m", *TRAINING, "seed=0,1", f"output_dir={sweep}")
    code, line = end_of(capsys, always, training, "load_model", signal.SIGINT, *arguments)
    assert (code, line) == (
        130,
        f"SIGINT ended the command; go on with: python -m lora_lightning.sweep resume {sweep}",
    )
    assert json.loads((sweep / "0" / "job.json").read_text())["status"] == "killed"
    assert not (sweep / "1").exists()


@pytest.fixture(scope="module")
def hypotheses(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    (folder / "hypotheses.txt").write_text("a restaurant\n")
    (folder / "references.txt").write_text("the restaurant\n\n")
    return [f"{name}={folder / name}.txt" for name in ("hypotheses", "references")]


def test_scoring_ends_at_once_and_so_does_its_java(hypotheses, tmp_path, capsys, monkeypatch):
    wait, waited_for = java._wait, []

    def wait_and_see(process, *further):
        waited_for.append(psutil.Process(process.pid))
        psutil.Process().send_signal(signal.SIGTERM)
        return wait(process, *further)

    java._ask.cache_clear()
    monkeypatch.setattr(java, "_wait", wait_and_see)
    with pytest.raises(SystemExit) as raised:
        run_command("evaluate", "protocol=e2e", *hypotheses, f"output_dir={tmp_path / 'scores'}")
    java._ask.cache_clear()
    assert raised.value.code == 143
    said = capsys.readouterr().err
    assert "SIGTERM ended the command; nothing was kept; start it again" in said
    assert "Traceback" not in said
    assert waited_for
    assert all_end(waited_for)
    assert not (tmp_path / "scores" / "metrics.json").exists()


def test_a_decoding_that_ends_between_its_files_is_completed_by_the_same_command(tmp_path, capsys):
    folder = tmp_path / "predictions"
    arguments = ("generate", "trainer=cpu", *DECODING, f"output_dir={folder}")
    code, line = end_of(capsys, always, generate, "write_json", signal.SIGTERM, *arguments)
    assert code == 143
    assert f"the same command with output_dir={folder}" in line
    assert {path.name for path in folder.iterdir()} >= {"predictions.jsonl", "shards"}
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(ShardWriter, "write")  # nothing is decoded anew
        run_command(*arguments)
    assert len(read_rows(folder / "predictions.jsonl")) == 5
    assert {path.name for path in folder.iterdir()} >= {"predictions.jsonl", "manifest.json"}
    assert not (folder / "shards").exists()


def test_a_scoring_that_ends_between_its_files_is_done_by_the_same_command(
    hypotheses, tmp_path, capsys
):
    scores = tmp_path / "scores"
    arguments = ("evaluate", "protocol=e2e", "protocol.metrics=[bleu]", *hypotheses,
                 f"output_dir={scores}")  # fmt: skip
    code, line = end_of(capsys, always, scoring, "write_json", signal.SIGTERM, *arguments)
    assert (code, (scores / "sentences.jsonl").exists()) == (143, True)
    assert line == "SIGTERM ended the command; nothing was kept; start it again"
    run_command(*arguments)
    assert (scores / "metrics.json").exists()


@pytest.mark.parametrize("rank", [0, 1])
def test_all_ranks_of_a_decoding_end_on_a_signal_to_one(rank, tmp_path):
    arguments = ("trainer=ddp_cpu", "generation.num_beams=2", "generation.max_new_tokens=6",
                 "generation.batch_size=1", f"output_dir={tmp_path / 'a'}")  # fmt: skip
    with started("generate.py", *arguments) as process:
        shards = [tmp_path / "a" / "shards" / f"rank_{rank}.jsonl" for rank in (0, 1)]
        wait_until(lambda: all(lines_in(shard) > 1 for shard in shards), process)
        left = family(process)
        [process, *ranks_of(process)][rank].send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=60)
        assert all_end(left[1:])
    assert process.returncode == 143, said
    assert "SIGTERM ended the command; the same command" in said
    assert "Traceback" not in said


def test_a_child_that_is_waited_for_gets_the_signal_and_ends_in_its_own_time(tmp_path):
    child = f"""
import pathlib, signal, sys, time
def save(number, frame):
    time.sleep(0.3)
    pathlib.Path({str(tmp_path / "saved")!r}).write_text(signal.Signals(number).name)
    sys.exit()
signal.signal(signal.SIGTERM, save)
pathlib.Path({str(tmp_path / "ready")!r}).touch()
time.sleep(100)
"""
    stop = threading.Event()

    def send_when_ready():
        while not (tmp_path / "ready").exists():
            stop.wait(0.01)
        psutil.Process().send_signal(signal.SIGTERM)

    sender = threading.Thread(target=send_when_ready)
    sender.start()
    with pytest.raises(Interrupted), ended_by_signals():
        run_child(["-c", child])
    sender.join()
    assert (tmp_path / "saved").read_text() == "SIGTERM"


def test_an_interruption_that_falls_into_code_that_drops_exceptions_comes_again():
    class Dropping:
        def __del__(self):
            signal.raise_signal(signal.SIGTERM)

    def collect_and_go_on():
        dropping = Dropping()
        del dropping
        threading.Event().wait(60)

    with pytest.raises(Interrupted), ended_by_signals():
        collect_and_go_on()


STUCK = """
import ctypes, sys, threading
from lora_lightning.process import signals
signals.STUCK_SECONDS = 0.2
with signals.ended_by_signals():
    mutex, lock = ctypes.create_string_buffer(64), ctypes.CDLL(None).pthread_mutex_lock
    threading.Timer(0.3, lambda: print("ready", flush=True)).start()
    lock(mutex)
    lock(mutex)  # for ever
"""


def test_a_command_that_waits_outside_of_python_ends_all_the_same():
    with started("-c", STUCK) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 143
    assert said == "SIGTERM ended the command while it waited; start it again\n"


def send(*numbers):
    """Raise signals, each whatever the one before did."""
    first, *further = numbers
    try:
        signal.raise_signal(first)
    finally:
        if further:
            send(*further)


def test_one_wish_that_comes_twice_is_one():
    with pytest.raises(Interrupted) as raised, ended_by_signals():
        send(signal.SIGTERM, signal.SIGTERM, signal.SIGINT)
    assert raised.value.exit_code == 143


def test_what_a_job_in_the_background_of_a_shell_ignores_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with ended_by_signals():
        signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)


IMPORTING = """
import signal
import lora_lightning.process.first
signal.raise_signal({number})
"""


@pytest.mark.parametrize(("number", "code"), CODES)
def test_a_command_that_is_still_importing_ends_with_one_line(number, code):
    program = IMPORTING.format(number=int(number))
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    name = signal.Signals(number).name
    assert (ran.returncode, ran.stderr) == (code, f"{name} ended the command; start it again\n")


AT_THE_END = """
import atexit, logging, signal
from lora_lightning.process.signals import ended_by_signals

logging.basicConfig(level=logging.INFO)
atexit.register(logging.info, "statistics")
atexit.register(lambda: print("what a library does at the end"))
with ended_by_signals():
    atexit.register(lambda: signal.raise_signal(signal.SIGINT))
"""


def test_a_signal_while_a_process_ends_by_itself_is_not_heard_but_a_second_one_is():
    once = subprocess.run([sys.executable, "-c", AT_THE_END], cwd=ROOT, capture_output=True)
    assert (once.returncode, once.stdout, once.stderr) == (
        0, b"what a library does at the end\n", b"",
    )  # fmt: skip
    twice = AT_THE_END.replace("print(", "signal.raise_signal(signal.SIGINT) or print(")
    ended = subprocess.run([sys.executable, "-c", twice], cwd=ROOT, capture_output=True)
    assert (ended.returncode, ended.stdout) == (-signal.SIGINT, b"")
