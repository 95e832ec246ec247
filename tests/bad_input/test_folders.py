"""Damaged run folders and sweeps: each fault is one line that names the file, and harms nothing."""

import json

import pytest
import torch

from tests.bad_input.driver import Case, check
from tests.recorded import copy_recorded

DEEP = "[" * 100_000 + "]" * 100_000
HUGE = "9" * 6_000
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def text(file, content):
    """Let a file hold this text."""
    return lambda folder: (folder / file).write_text(content, encoding="utf-8")


def half(file):
    """Cut a file off in its middle."""

    def cut(folder):
        content = (folder / file).read_bytes()
        (folder / file).write_bytes(content[: len(content) // 2])

    return cut


def not_utf8(file):
    """Let a file begin with a byte that no UTF-8 text has."""

    def change(folder):
        (folder / file).write_bytes(b"\xff" + (folder / file).read_bytes())

    return change


def missing(file):
    """Remove a file."""
    return lambda folder: (folder / file).unlink()


def edited(file, edit):
    """Change the value that a JSON file holds."""

    def change(folder):
        content = json.loads((folder / file).read_text(encoding="utf-8"))
        edit(content)
        (folder / file).write_text(json.dumps(content), encoding="utf-8")

    return change


def without_line(file, start):
    """Remove the lines of a file that begin so."""

    def change(folder):
        lines = (folder / file).read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if not line.strip().startswith(start)]
        assert len(kept) < len(lines)
        (folder / file).write_text("".join(kept), encoding="utf-8")

    return change


def checkpoint_without(*fields):
    """Remove a field from the checkpoint, or from what one of its fields holds."""

    def change(folder):
        path = folder / "interrupted/checkpoints/last.ckpt"
        saved = torch.load(path, weights_only=True)
        holder = saved
        for field in fields[:-1]:
            holder = holder[field]
        del holder[fields[-1]]
        torch.save(saved, path)

    return change


GENERATE = ("generate", ("run=<folder>/finished", "trainer=cpu"))
EVALUATE = ("evaluate", ("run=<folder>/finished",))
RESUME = ("train", ("resume=<folder>/interrupted",))
LOAD_RUN = ("load_run", ("<folder>/finished",))
EXPORT = ("export", ("run=<folder>/finished", "output=<folder>/exported"))
SHOW = ("sweep", ("show", "<folder>/sweep"))
RERUN = ("sweep", ("resume", "<folder>/sweep"))


def yaml_cases():
    """Every damage of every YAML file that a run's config is read from."""
    composed, resolved, hydra = ".hydra/config.yaml", "config.yaml", ".hydra/hydra.yaml"
    damages = {
        "cut off": (half, "<path>"),
        "not UTF-8": (not_utf8, "<path>:1: not UTF-8"),
        "missing": (missing, "<run>"),
        "empty": (lambda path: text(path, ""), "<path>: empty"),
        "a list": (lambda path: text(path, "- a\n- b\n"), "<path>: holds no mapping"),
        "a text": (lambda path: text(path, "only words\n"), "<path>: "),
        "no YAML": (lambda path: text(path, "a: [\n"), "<path>:2: no YAML"),
        "no config": (lambda path: text(path, "a: 1\n"), "<path>: "),
        "an alias bomb": (lambda path: text(path, BOMB), "<path>: holds an alias"),
        "too deep": (lambda path: text(path, f"a: {DEEP}\n"), "<path>: larger, or nested deeper"),
        "a huge number": (lambda path: text(path, f"a: {HUGE}\n"), "<path>: no YAML of a config"),
        "a tag that builds": (
            lambda path: text(path, "a: !!python/object/apply:os.getcwd []\n"), "<path>:1: no YAML",
        ),
    }  # fmt: skip
    readers = [
        (composed, "finished", GENERATE), (composed, "finished", EVALUATE),
        (composed, "interrupted", RESUME), (hydra, "finished", GENERATE),
        (hydra, "interrupted", RESUME), (resolved, "finished", LOAD_RUN),
        (resolved, "finished", EXPORT),
    ]  # fmt: skip
    for file, run, (command, arguments) in readers:
        for name, (damage, said) in damages.items():
            if (command == "evaluate" or (command, file) == ("train", hydra)) and name not in (
                "cut off", "no config",
            ):  # fmt: skip
                continue
            path = f"{run}/{file}"
            says = said.replace("<path>", f"<folder>/{path}").replace("<run>", f"<folder>/{run}")
            yield Case(f"{file} {name}", damage(path), command, arguments, (says,))


def lost_key_cases():
    """Stored configs that lost a key, or hold another kind of value there."""
    composed, resolved = "finished/.hydra/config.yaml", "finished/config.yaml"
    yield Case(
        "a key is lost",
        without_line("interrupted/.hydra/config.yaml", "weight_decay:"),
        *RESUME,
        ("<folder>/interrupted/.hydra/config.yaml: lacks optimizer.weight_decay",),
    )
    yield Case(
        "a class is lost",
        without_line(resolved, "_target_: lora_lightning.methods"),
        *EXPORT,
        (f"<folder>/{resolved}: ",),
    )
    yield Case(
        "a group is lost",
        text(composed, "data: {}\nmodel: {}\nmethod: {}\n"),
        *GENERATE,
        (f"<folder>/{composed}: ", "field required"),
    )
    yield Case(
        "a group is a number",
        text(composed, "data: 3\nmodel: {}\nmethod: {}\n"),
        *GENERATE,
        (f"<folder>/{composed}: ",),
    )
    yield Case(
        "hydra notes no choices",
        text("finished/.hydra/hydra.yaml", "hydra: {runtime: {cwd: /, choices: {}}}\n"),
        *GENERATE,
        ("<folder>/finished/.hydra/hydra.yaml: choices: data",),
    )


def json_cases():
    """JSON files of sweeps and runs: no JSON, another kind, a field of another kind."""
    files = {
        "sweep/sweep.json": SHOW, "sweep/1/job.json": SHOW, "sweep/1/run.json": SHOW,
    }  # fmt: skip
    damages = {
        "cut off": half, "not UTF-8": not_utf8, "empty": lambda path: text(path, ""),
        "a list": lambda path: text(path, "[1]"), "an empty object": lambda path: text(path, "{}"),
        "too deep": lambda path: text(path, DEEP), "a huge number": lambda path: text(path, HUGE),
    }  # fmt: skip
    for file, reader in files.items():
        for name, damage in damages.items():
            yield Case(f"{file} {name}", damage(file), *reader, (f"<folder>/{file}",))
    for file, field, value in (
        ("sweep/sweep.json", "jobs", [1]), ("sweep/sweep.json", "axes", {"seed": 1}),
        ("sweep/sweep.json", "arguments", [1]), ("sweep/sweep.json", "trials", "many"),
        ("sweep/1/job.json", "overrides", "seed=1"), ("sweep/1/job.json", "seconds", "3"),
        ("sweep/1/job.json", "job", None), ("sweep/1/run.json", "parameters", [3]),
    ):  # fmt: skip
        damage = edited(file, lambda content, f=field, v=value: content.update({f: v}))
        yield Case(f"{file} {field} is {value}", damage, *SHOW, (f"<folder>/{file}: {field}",))
    for file in ("sweep/sweep.json", "sweep/1/job.json"):
        yield Case(f"{file} cut off", half(file), *RERUN, (f"<folder>/{file}",))
    yield Case("sweep.json missing", missing("sweep/sweep.json"), *SHOW, ("<folder>/sweep: holds",))
    yield Case(
        "metrics.csv not UTF-8",
        not_utf8("sweep/1/metrics.csv"),
        *SHOW,
        ("<folder>/sweep/1/metrics.csv:1: not UTF-8",),
    )
    for name, content in {"a list": "[]", "a number as id": '{"wandb": 3}', "deep": DEEP}.items():
        yield Case(
            f"logger_ids.json {name}",
            text("interrupted/logger_ids.json", content),
            "train",
            ("resume=<folder>/interrupted", "logger=wandb", "logger.wandb.offline=true"),
            ("<folder>/interrupted/logger_ids.json",),
        )


def resume_cases():
    """What `resume=` needs beside the config: checkpoint and tables."""
    last, metrics = "interrupted/checkpoints/last.ckpt", "interrupted/metrics.csv"
    diagnostics = "interrupted/diagnostics.csv"
    for name, damage in {
        "cut off": half(last), "a text": text(last, "no checkpoint\n"), "empty": text(last, ""),
        "no pickle": text(last, "PK\3\4 and nothing that follows"),
    }.items():  # fmt: skip
        yield Case(f"last.ckpt {name}", damage, *RESUME, (f"<folder>/{last}: ", "train anew"))
    for fields in (
        ("micro_step",),
        ("loops",),
        ("random_states",),
        ("state_dict",),
        ("callbacks", "SaveRun"),
        ("callbacks", "SaveRun", "metrics_bytes"),
    ):
        yield Case(
            f"last.ckpt without {fields[-1]}",
            checkpoint_without(*fields),
            *RESUME,
            (f"<folder>/{last}: a checkpoint of another version",),
        )
    mend = "remove it to go on without its rows"
    for name, damage, said in (
        ("cut off", half(metrics), ": cut off after "), ("empty", text(metrics, ""), ": cut off"),
        ("not UTF-8", not_utf8(metrics), ":1: not UTF-8"),
        ("no table", text(metrics, "step,epoch\n1,many\n" * 99), ":2: no row of the table"),
    ):  # fmt: skip
        yield Case(f"metrics.csv {name}", damage, *RESUME, (f"<folder>/{metrics}{said}", mend))
    for name, content, said in (
        ("empty", "", ": cut off"), ("no table", "step,epoch,a\n1,0\n", ":2: no row of the table"),
        ("no step", "step,epoch,a\n,0,1.0\n", ":2: no row of the table"),
    ):  # fmt: skip
        yield Case(
            f"diagnostics.csv {name}",
            text(diagnostics, content),
            *RESUME,
            (f"<folder>/{diagnostics}{said}", mend),
        )


def data_cases():
    """JSON lines that no reader may stumble over."""
    row = '{"context": "name : A", "completion": "A eats.", "id": 1}\n'
    for name, value in {"a huge number": HUGE, "too deep": DEEP}.items():
        line = row + f'{{"context": {value}, "completion": "A"}}\n'
        yield Case(
            f"training rows: {name}",
            text("data/train.jsonl", line),
            "train",
            (
                "trainer=cpu",
                "data=jsonl",
                "data.train=<folder>/data/train.jsonl",
                "data.valid=null",
                "output_dir=<folder>/run",
            ),
            ("<folder>/data/train.jsonl:2: ",),
        )
        yield Case(
            f"inputs: {name}",
            text("data/inputs.jsonl", line),
            "generate",
            (
                "run=<folder>/finished",
                "inputs=<folder>/data/inputs.jsonl",
                "trainer=cpu",
                "output_dir=<folder>/decoded",
            ),
            ("<folder>/data/inputs.jsonl:2: ",),
        )
        yield Case(
            f"predictions: {name}",
            text("data/predictions.jsonl", line),
            "evaluate",
            (
                "run=<folder>/finished",
                "predictions=<folder>/data/predictions.jsonl",
                "output_dir=<folder>/scored",
            ),
            ("<folder>/data/predictions.jsonl:",),
        )
    yield Case(
        "adapter too deep",
        text("finished/adapter/lora_lightning.json", DEEP),
        *LOAD_RUN,
        ("<folder>/finished/adapter/lora_lightning.json: JSON nested too deeply",),
    )
    yield Case(
        "adapter cut off",
        half("finished/adapter/adapter_model.safetensors"),
        *GENERATE,
        ("<folder>/finished/adapter/adapter_model.safetensors: ",),
    )


CASES = [*yaml_cases(), *lost_key_cases(), *json_cases(), *resume_cases(), *data_cases()]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_damaged_folder_is_one_line_and_stays_as_it_was(case, tmp_path, capfd):
    check(case, copy_recorded(tmp_path / "folder"), capfd)
