"""The commands that faults are tried on: how each starts, goes on, and what it has to end with."""

import re
import shlex
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from lora_lightning.tracking.csv_tables import read_metrics
from tests.checkpoints.interrupted_runs import assert_same, rows_of, state_of
from tests.sweep import folders
from tests.tiny import read_rows

TRAINING = (
    "data.limit_train=24", "data.batch_size=2", "trainer.max_epochs=2", "trainer.max_steps=10",
    "trainer.val_check_interval=4", "trainer.limit_val_batches=1", "trainer.save_every_n_steps=1",
    "trainer.log_every_n_steps=1", "method.dropout=0.2", "optimizer.lr=1e-2",
)  # fmt: skip
DECODING = ("data.limit_test=12", "generation.num_beams=2", "generation.max_new_tokens=8",
            "generation.batch_size=2")  # fmt: skip
QUICK_SCORES = "protocol.metrics=[bleu,nist]"
SWEEP = (
    "trainer=cpu", "data.limit_train=6", "data.batch_size=2", "trainer.max_steps=3",
    "trainer.limit_val_batches=1", "trainer.save_every_n_steps=1", "trainer.log_every_n_steps=1",
    "method.dropout=0.1",
)  # fmt: skip
SPACE = {"method.rank": ("1", "2"), "optimizer.lr": ("0.001", "0.002")}
TRIALS = 3


@dataclass
class Difference:
    """What an end result lacks, has twice, or has otherwise than an undisturbed one; as texts."""

    lost: list[str]
    doubled: list[str]
    wrong: list[str]

    @classmethod
    def none(cls):
        return cls([], [], [])

    def add(self, other):
        self.lost += other.lost
        self.doubled += other.doubled
        self.wrong += other.wrong

    def compare(self, what, keys, expected):
        """Note the keys that are missing, there twice, or not expected."""
        found, asked = Counter(keys), Counter(expected)
        self.lost += [f"{what} {key}" for key in asked - found]
        for key in found - asked:
            (self.doubled if key in asked else self.wrong).append(f"{what} {key}")


@dataclass(frozen=True)
class Scenario:
    """A command in a folder.

    Attributes:
        name: of the command.
        weight: how often it is drawn.
        script: what Python is given before the settings.
        settings: of the command line, the folder apart.
        compare: takes the folder of results and that of an undisturbed command.
        ranks: how many processes it has.
        restarts: further settings of a restart of the same command, one of them drawn.
        kind: `training`, `sweep`, or what writes its results at its end.
        is_quick: whether it needs neither Java nor further Pythons.
        always_real: whether it cannot be a fork.
    """

    name: str
    weight: int
    script: tuple[str, ...]
    settings: tuple[str, ...]
    compare: object
    ranks: int = 1
    restarts: tuple[tuple[str, ...], ...] = ((),)
    kind: str = "results"
    is_quick: bool = True
    always_real: bool = False

    def command(self, folder):
        """The arguments of Python that write into `folder`."""
        own = (f"output_dir={folder}", f"paths.output_dir={folder.parent}")
        return [*self.script, *self.settings, *own]

    def goes_on(self, folder, random, said):
        """The arguments of Python that go on with what an ended command left, as it said.

        One that was killed has said nothing; then it is what the contract says.
        """
        line = (said.strip().splitlines() or [""])[-1]
        again = [*self.command(folder), *random.choice(self.restarts)]
        if match := re.search(r"go on with: python ([^<`]+?)(?: \(.*)?$", line):
            return shlex.split(match[1])
        if "overwrite=true" in line and "no overwrite=true" not in line:
            return [*again, "overwrite=true"]
        if self.kind == "training":
            saved = (folder / "checkpoints" / "last.ckpt").is_file()
            return ["train.py", f"resume={folder}"] if saved else [*again, "overwrite=true"]
        plan = folder / "sweep.json"
        if self.kind == "sweep":
            if plan.is_file() and plan.stat().st_size:
                return ["-m", "lora_lightning.sweep", "resume", str(folder)]
            return [*again, "overwrite=true"]
        return again


def compare_runs(folder, expected):
    """Compare curve, checkpoints and adapters; bits count."""
    difference = Difference.none()
    rows, whole = rows_of(folder), rows_of(expected)
    steps = [(sorted(row), row["step"]) for row in rows]
    difference.compare("row", map(str, steps), [str((sorted(row), row["step"])) for row in whole])
    if rows != whole and not (difference.lost or difference.doubled):
        difference.wrong.append("metrics.csv")
    for name in ("last.ckpt", "best.ckpt"):
        if not (folder / "checkpoints" / name).is_file():
            difference.lost.append(name)
            continue
        try:
            assert_same(state_of(folder, name), state_of(expected, name))
        except AssertionError:
            difference.wrong.append(name)
    names = [f"{kind}/{path.name}" for kind in ("adapter", "adapter_best")
             for path in (expected / kind).iterdir()]  # fmt: skip
    difference.add(same_files(folder, expected, [*names, "result.json"]))
    if not (folder / "run.json").is_file():
        difference.lost.append("run.json")
    return difference


def compare_all(folder, expected):
    """Compare a training, its predictions and its scores."""
    difference = compare_runs(folder, expected)
    for part, compare in (("predictions", compare_predictions), ("evaluation", compare_scores)):
        difference.add(compare(folder / part / "test", expected / part / "test"))
    return difference


def same_files(folder, expected, names):
    """Compare files byte for byte."""
    difference = Difference.none()
    for name in names:
        if not (folder / name).is_file():
            difference.lost.append(name)
        elif (folder / name).read_bytes() != (expected / name).read_bytes():
            difference.wrong.append(name)
    return difference


def compare_predictions(folder, expected):
    """Compare which contexts were decoded, and to what; scores may differ in their last bits."""
    difference = Difference.none()
    if not (folder / "predictions.jsonl").is_file():
        difference.lost.append("predictions.jsonl")
        return difference
    records, whole = (read_rows(path / "predictions.jsonl") for path in (folder, expected))
    difference.compare("id", [r["id"] for r in records], [r["id"] for r in whole])
    texts = {record["id"]: (record["text"], record["tokens"]) for record in whole}
    for record in records:
        if texts.get(record["id"]) != (record["text"], record["tokens"]):
            difference.wrong.append(f"text of id {record['id']}")
    if [r["id"] for r in records] != [r["id"] for r in whole]:
        difference.wrong.append("order of ids")
    if not (folder / "manifest.json").is_file():
        difference.lost.append("manifest.json")
    return difference


def compare_scores(folder, expected):
    """Compare scores and each group's record."""
    return same_files(folder, expected, ["metrics.json", "sentences.jsonl"])


def table_of(folder):
    """The rows of a sweep's table."""
    return folders.table_of(folder) if (folder / "sweep.csv").is_file() else []


def compare_sweeps(folder, expected):
    """Compare the table's jobs and objectives, and each job's curve."""
    difference = Difference.none()
    rows, whole = table_of(folder), table_of(expected)
    done = [row["job"] for row in rows if row["status"] == "finished"]
    difference.compare("job", done, [row["job"] for row in whole])
    objectives = {row["job"]: row["objective"] for row in whole}
    for row in rows:
        job = folder / row["job"]
        if row["objective"] != objectives.get(row["job"]):
            difference.wrong.append(f"objective of job {row['job']}")
        elif read_metrics(job / "metrics.csv")[-1].keys() and rows_of(job) != rows_of(
            expected / row["job"]
        ):
            difference.wrong.append(f"curve of job {row['job']}")
    return difference


def compare_studies(folder, expected):
    """Compare a search's jobs with those of a grid over its whole space, and with its study."""
    import optuna

    difference = Difference.none()
    setting = lambda row: tuple(float(row[key]) for key in SPACE)  # noqa: E731
    objectives = {setting(row): row["objective"] for row in table_of(expected)}
    rows = table_of(folder)
    done = [row for row in rows if row["status"] == "finished"]
    difference.compare("job", [row["job"] for row in done], map(str, range(TRIALS)))
    for row in done:
        if row["objective"] != objectives[setting(row)]:
            difference.wrong.append(f"objective of job {row['job']}")
    [database] = folder.parent.glob("optuna/*.db")
    storage = f"sqlite:///{database}"
    [summary] = optuna.get_all_study_summaries(storage)
    trials = optuna.load_study(study_name=summary.study_name, storage=storage).trials
    told = Counter(
        (tuple(float(trial.params[key]) for key in SPACE), trial.value)
        for trial in trials
        if trial.state == optuna.trial.TrialState.COMPLETE
    )
    wanted = Counter((setting(row), float(row["objective"])) for row in done)
    difference.lost += [f"trial {trial}" for trial in wanted - told]
    return difference


def swept(join):
    """The overrides of the search space."""
    return tuple(f"{key}={join(values)}" for key, values in SPACE.items())


def choice(values):
    """As Optuna's sweeper reads it."""
    return f"choice({','.join(values)})"


ONE, TWO = ("trainer=cpu",), ("trainer=ddp_cpu",)
GRID = ("-m", *SWEEP, *swept(",".join))
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "train.py")


def all_scenarios(predictions: Path):
    """Every scenario.

    Args:
        predictions: a file to score.
    """
    scored = (f"predictions={predictions}", DECODING[0])
    following = ("then=[generate,evaluate]", QUICK_SCORES, *DECODING)
    return [
        Scenario("train, 1 rank", 60, ("train.py",), (*ONE, *TRAINING), compare_runs,
                 kind="training"),
        Scenario("train, 2 ranks", 45, ("train.py",), (*TWO, *TRAINING), compare_runs, ranks=2,
                 kind="training"),
        Scenario("train, then generate and evaluate", 25, ("train.py",),
                 (*ONE, *TRAINING, *following), compare_all, kind="training"),
        Scenario("train under torchrun, 2 ranks", 4, TORCHRUN, (*TWO, *TRAINING), compare_runs,
                 ranks=2, kind="training", is_quick=False, always_real=True),
        Scenario("generate, 1 rank", 40, ("generate.py",), (*ONE, *DECODING), compare_predictions,
                 restarts=((), TWO)),
        Scenario("generate, 2 ranks", 45, ("generate.py",), (*TWO, *DECODING), compare_predictions,
                 ranks=2, restarts=((), ONE)),
        Scenario("evaluate", 25, ("evaluate.py",), (*scored, QUICK_SCORES), compare_scores),
        Scenario("evaluate, with Java", 5, ("evaluate.py",), scored, compare_scores,
                 is_quick=False),
        Scenario("sweep of a grid", 30, ("train.py",), GRID, compare_sweeps, kind="sweep"),
        Scenario("sweep by Optuna", 25, ("train.py",),
                 ("hparams_search=optuna", f"hydra.sweeper.n_trials={TRIALS}", *SWEEP,
                  *swept(choice)), compare_studies, kind="sweep"),
        Scenario("sweep by joblib", 5, ("train.py",),
                 (*GRID, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"), compare_sweeps,
                 kind="sweep", is_quick=False),
    ]  # fmt: skip
