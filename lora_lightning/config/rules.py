"""What each key of the configs may hold, checked before anything slow starts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lora_lightning.config.keys import flat_keys, unknown_key
from lora_lightning.errors import InputError

FREE_GROUPS = ("paths", "callbacks", "logger", "hydra")  # third-party objects check themselves


@dataclass(frozen=True)
class Rule:
    """Which values a key takes."""

    allowed: str
    accepts: Callable[[Any], bool]


def integer(minimum: int) -> Rule:
    """Whole numbers from `minimum`."""
    return Rule(
        f"a whole number >= {minimum}",
        lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= minimum,
    )


def number(minimum: float, maximum: float = float("inf"), below: bool = False) -> Rule:
    """Numbers from `minimum` to `maximum` (excluded where `below`)."""
    upper = "" if maximum == float("inf") else f" and {'<' if below else '<='} {maximum}"

    def accepts(value: Any) -> bool:
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        return minimum <= value < maximum or (not below and value == maximum)

    return Rule(f"a number >= {minimum}{upper}", accepts)


def above(minimum: float) -> Rule:
    """Finite numbers greater than `minimum`."""
    finite = number(minimum, float("inf"), below=True)
    return Rule(f"a number > {minimum}", lambda value: finite.accepts(value) and value > minimum)


def any_number() -> Rule:
    """All finite numbers."""
    finite = number(float("-inf"), float("inf"), below=True)
    return Rule("a number", lambda value: finite.accepts(value) and value > float("-inf"))


def one_of(*values: Any) -> Rule:
    """Exactly the given values."""
    shown = [str(value).lower() if isinstance(value, bool) else str(value) for value in values]
    return Rule(
        " | ".join(shown),
        lambda value: any(value == item and type(value) is type(item) for item in values),
    )


def text() -> Rule:
    """Any text, not empty."""
    return Rule("a text", lambda value: isinstance(value, str) and value != "")


def list_of(rule: Rule, minimum: int = 0, maximum: int | None = None) -> Rule:
    """Lists whose items follow `rule`."""

    def accepts(value: Any) -> bool:
        return (
            isinstance(value, list)
            and minimum <= len(value) <= (len(value) if maximum is None else maximum)
            and all(rule.accepts(item) for item in value)
        )

    return Rule(f"a list, each item {rule.allowed}", accepts)


def either(*rules: Rule) -> Rule:
    """Values that one of the rules accepts."""
    return Rule(
        " or ".join(rule.allowed for rule in rules),
        lambda value: any(rule.accepts(value) for rule in rules),
    )


def optional(*rules: Rule) -> Rule:
    """Null, or what one of the rules accepts."""
    rule = either(*rules)
    return Rule(f"{rule.allowed}, or null", lambda value: value is None or rule.accepts(value))


BOOLEAN = one_of(True, False)
LABEL = Rule("a text or number", lambda value: isinstance(value, str | int))
PROBABILITY = number(0, 1, below=True)
POSITIVE_SHARE = Rule(
    "a number > 0 and <= 1", lambda value: number(0, 1).accepts(value) and value > 0
)

RULES = {
    "name": LABEL,
    "output_dir": text(),
    "overwrite": BOOLEAN,
    "on_job_failure": one_of("skip", "raise"),
    "seed": number(0, 2**32 - 1),
    "adapter": optional(text()),
    "dry_run": BOOLEAN,
    "trust": BOOLEAN,
    "resume": optional(text()),
    "resume_force": BOOLEAN,
    "then": list_of(one_of("generate", "evaluate")),
    "checkpoint": one_of("last", "best"),
    "split": one_of("train", "valid", "test"),
    "optimized_metric": text(),
    "run": optional(text()),
    "text": optional(Rule("a text", lambda value: isinstance(value, str))),
    "inputs": optional(text()),
    "predictions": optional(text()),
    "hypotheses": optional(text()),
    "references": optional(text(), list_of(text(), 1)),
    "data.dir": text(),
    "data.train": optional(text()),
    "data.valid": optional(text()),
    "data.test": optional(text()),
    "data.batch_size": integer(1),
    "data.valid_batch_size": integer(1),
    "data.batch_tokens": optional(integer(1)),
    "data.bucket_by_length": BOOLEAN,
    "data.max_length": integer(2),
    "data.shuffle": BOOLEAN,
    "data.limit_train": optional(integer(1)),
    "data.limit_test": optional(integer(0)),
    "data.cache_dir": optional(text()),
    "data.allow_partial": BOOLEAN,
    "data.source": optional(text()),
    "model.path": text(),
    "model.tokenizer": text(),
    "model.dtype": one_of("float32", "bfloat16"),
    "method.rank": integer(1),
    "method.alpha": above(0),
    "method.dropout": PROBABILITY,
    "method.targets": list_of(text(), 1),
    "method.bias": one_of("none", "lora_only", "all"),
    "optimizer.lr": number(0),
    "optimizer.lr_ratio": above(0),
    "optimizer.weight_decay": number(0),
    "optimizer.betas": list_of(PROBABILITY, 2, 2),
    "optimizer.eps": above(0),
    "optimizer.correct_bias": BOOLEAN,
    "optimizer.no_decay_bias": BOOLEAN,
    "optimizer.momentum": PROBABILITY,
    "scheduler.per": one_of("optimizer_step", "micro_step"),
    "scheduler.warmup_steps": integer(0),
    "scheduler.total_steps": optional(integer(1)),
    "scheduler.steps": list_of(integer(0), 1),
    "scheduler.lrs": list_of(number(0), 1),
    "loss.label_smoothing": number(0, 1),
    "generation.num_beams": integer(1),
    "generation.max_new_tokens": integer(1),
    "generation.min_new_tokens": integer(0),
    "generation.length_penalty": any_number(),
    "generation.no_repeat_ngram_size": integer(0),
    "generation.no_repeat_ngram_scope": one_of("generated", "full"),
    "generation.repetition_penalty": above(0),
    "generation.eos_token_ids": optional(list_of(integer(0), 1)),
    "generation.batch_size": either(one_of("auto"), integer(1)),
    "generation.max_memory": optional(integer(1)),
    "generation.num_return": integer(1),
    "generation.token_log_probabilities": BOOLEAN,
    "generation.temperature": above(0),
    "generation.top_k": integer(0),
    "generation.top_p": POSITIVE_SHARE,
    "generation.on_long_context": one_of("cut", "error"),
    "protocol.metrics": optional(list_of(text(), 1)),
    "protocol.seen_lines": optional(text()),
    "evaluation.java": optional(text()),
    "trainer.accelerator": one_of("auto", "cpu", "gpu"),
    "trainer.devices": either(one_of("auto"), integer(1)),
    "trainer.num_nodes": integer(1),
    "trainer.strategy": one_of("auto", "ddp"),
    "trainer.precision": one_of("32-true", "16-mixed", "bf16-mixed"),
    "trainer.gradient_checkpointing": BOOLEAN,
    "trainer.compile": BOOLEAN,
    "trainer.measure_peak": BOOLEAN,
    "trainer.profiler": optional(one_of("simple", "pytorch")),
    "trainer.max_epochs": integer(1),
    "trainer.max_steps": optional(integer(1)),
    "trainer.accumulate_grad_batches": integer(1),
    "trainer.gradient_clip_val": optional(number(0)),
    "trainer.val_check_interval": optional(integer(1)),
    "trainer.limit_val_batches": optional(integer(0), number(0, 1)),
    "trainer.validate_first": BOOLEAN,
    "trainer.log_every_n_steps": integer(1),
    "trainer.save_every_n_steps": optional(integer(1)),
    "trainer.progress_every_n_seconds": above(0),
}


def check_config(config: DictConfig) -> None:
    """Check every value, and values against each other.

    Raises:
        InputError: naming the key, what it holds and what it may hold.
    """
    for key in flat_keys(config):
        if key.split(".")[0] in FREE_GROUPS or key.split(".")[-1].startswith("_"):
            continue
        if key not in RULES:
            raise InputError(unknown_key(key, list(RULES)))
        value = OmegaConf.select(config, key)
        value = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
        if not RULES[key].accepts(value):
            raise InputError(f"{key}={value!r}: allowed is {RULES[key].allowed}")
    _check_together(config)


def _check_together(config: DictConfig) -> None:
    generation = config.generation
    if generation.min_new_tokens > generation.max_new_tokens:
        raise InputError(
            f"generation.min_new_tokens={generation.min_new_tokens} is more than "
            f"generation.max_new_tokens={generation.max_new_tokens}; lower the first"
        )
    if generation.num_return > generation.num_beams:
        raise InputError(
            f"generation.num_return={generation.num_return} is more than "
            f"generation.num_beams={generation.num_beams}; a search keeps as many as it has beams"
        )
    scheduler = config.get("scheduler")
    if scheduler is not None and "steps" in scheduler:
        steps, rates = list(scheduler.steps), list(scheduler.lrs)
        if len(steps) != len(rates) or sorted(set(steps)) != steps:
            raise InputError(
                f"scheduler.steps={steps}, scheduler.lrs={rates}: needs increasing steps and one "
                "rate for each"
            )
    if "optimizer" in config:
        _check_method(config)
    # This machine's own settings may hold part of a group that the command does not have.
    if "devices" in (config.get("trainer") or {}):
        _check_devices(config.trainer)
    if config.get("then") and list(config.then) not in (["generate"], ["generate", "evaluate"]):
        raise InputError(f"then={list(config.then)}: allowed is [generate] or [generate,evaluate]")


def _check_method(config: DictConfig) -> None:
    bias, dtype = config.method.get("bias", "none"), config.model.dtype
    if bias != "none" and dtype != "float32":
        raise InputError(
            f"method.bias={bias} trains biases of the base, and model.dtype={dtype} would round "
            "their updates away; set model.dtype=float32 or method.bias=none"
        )
    if "lr_ratio" in config.optimizer and "rank" not in config.method:
        raise InputError(
            "optimizer=lora_plus needs LoRA's A and B, which this method does not have; set "
            "method=lora, rslora or dora, or another optimizer"
        )


def _check_devices(trainer: DictConfig) -> None:
    import torch

    gpus = torch.cuda.device_count()
    if trainer.accelerator == "gpu" and gpus == 0:
        raise InputError("trainer.accelerator=gpu: no GPU is visible; use trainer=cpu")
    is_gpu = trainer.accelerator == "gpu" or (trainer.accelerator == "auto" and gpus > 0)
    if is_gpu and trainer.devices != "auto" and trainer.devices > gpus:
        raise InputError(f"trainer.devices={trainer.devices}: this machine has {gpus} GPUs")
    if trainer.devices != 1 and trainer.strategy == "auto" and not (is_gpu and gpus == 1):
        raise InputError(
            f"trainer.devices={trainer.devices} needs trainer.strategy=ddp (or trainer=ddp, "
            "trainer=ddp_cpu)"
        )
    if trainer.precision == "16-mixed" and not is_gpu:
        raise InputError("trainer.precision=16-mixed needs a GPU; use bf16-mixed or 32-true")
