"""The keys of the commands themselves, and of groups that describe no object of their own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from lora_lightning.errors import InputError
from lora_lightning.ranges import Count, Seed, Text, Texts

Split = Literal["train", "valid", "test"]
Checkpoint = Literal["last", "best"]
VALIDATED = ("val/loss", "val/perplexity", "val/loss_per_token", "val/perplexity_per_token")
"""What every validation measures."""
TRAINABLE = "parameters/trainable"
"""An objective that every run has."""
CHAINS: tuple[list[str], ...] = ([], ["generate"], ["generate", "evaluate"])


@dataclass(frozen=True, kw_only=True)
class Command:
    """Keys of every command; what they mean says its config file."""

    groups: ClassVar[tuple[str, ...]] = (
        "paths",
        "data",
        "model",
        "method",
        "generation",
        "protocol",
        "logger",
    )

    name: str | int | float | None
    output_dir: Text
    overwrite: bool
    on_job_failure: Literal["skip", "raise"]
    seed: Seed
    dry_run: bool
    trust: bool
    split: Split


@dataclass(frozen=True, kw_only=True)
class Train(Command):
    """Keys of `train.py`.

    Raises:
        InputError: `then` leaves out a step.
    """

    groups = (*Command.groups, "optimizer", "scheduler", "loss", "validation", "trainer",
              "callbacks", "pruner", "evaluation")  # fmt: skip

    adapter: Text | None
    resume: Text | None
    resume_force: bool
    then: Sequence[Literal["generate", "evaluate"]]
    checkpoint: Checkpoint
    best_by: Text
    optimized_metric: Text | Texts

    def __post_init__(self) -> None:
        if list(self.then) not in CHAINS:
            raise InputError(f"then={self.then}: allowed is [generate] or [generate,evaluate]")


@dataclass(frozen=True, kw_only=True)
class Generate(Command):
    """Keys of `generate.py`."""

    groups = (*Command.groups, "trainer")

    run: Text | None
    adapter: Text | None
    checkpoint: Checkpoint
    text: str | None
    inputs: Text | None


@dataclass(frozen=True, kw_only=True)
class Evaluate(Command):
    """Keys of `evaluate.py`."""

    groups = (*Command.groups, "evaluation")

    run: Text | None
    predictions: Text | None
    hypotheses: Text | None
    references: Text | Texts | None
    json: bool


@dataclass(frozen=True)
class Paths:
    """Keys of `paths`: folders, from which other keys begin."""

    root_dir: Text
    data_dir: Text
    sample_dir: Text
    output_dir: Text
    cache_dir: Text | None
    user_dir: Text


@dataclass(frozen=True)
class Base:
    """Keys of `model`: the frozen base."""

    path: Text
    tokenizer: Text
    dtype: Literal["float32", "bfloat16"]
    packed: Literal["auto", True, False]


@dataclass(frozen=True)
class Validation:
    """Keys of `validation`: what is measured beside the training."""

    by: Literal["loss", "generation"]
    contexts: Count | None = None


@dataclass(frozen=True)
class NoPruner:
    """Key of `pruner=none`, which the others share."""

    metric: Text | None


@dataclass(frozen=True)
class Programs:
    """Keys of `evaluation`: the programs that scorers need."""

    java: Text | None


COMMANDS: dict[str, type[Command]] = {"train": Train, "generate": Generate, "evaluate": Evaluate}
