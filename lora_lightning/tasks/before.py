"""What is said, and measured, before a training starts."""

import logging

import torch
from torch import nn
from transformers import GPT2LMHeadModel

from lora_lightning.data.batches import Batches
from lora_lightning.errors import InputError
from lora_lightning.gpt2.flops import measured_peak
from lora_lightning.gpt2.forward import Execution
from lora_lightning.gpt2.precision import compute_dtype
from lora_lightning.methods.exports import refused_by_peft
from lora_lightning.methods.method import Method, rows_of, trainable_parameters
from lora_lightning.training.memory import MemoryEstimate, estimate_memory
from lora_lightning.training.plan import TrainingPlan

log = logging.getLogger(__name__)
UNLABELLED = {  # what rows without a label are, and what they change
    "train": ("training", "nothing is learned from them"),
    "valid": (
        "validation",
        "val/loss counts a batch of them as 0, as the reference does; val/loss_per_token and what "
        "a sweep compares leave them out",
    ),
}


def report(
    data: Batches,
    model: GPT2LMHeadModel,
    method: Method,
    plan: TrainingPlan,
    memory: MemoryEstimate,
) -> None:
    """Say what will be trained, on what, for how long, before anything slow starts."""
    cut, rows = data.cut_rows("train")
    log.info("%s", parameter_table(model, method))
    if (reason := refused_by_peft(model, method)) is not None:
        log.info("export        %s", reason)
    log.info(
        "training      %d rows, %d micro-batches, an update every %d: %d updates",
        rows,
        plan.micro_steps,
        plan.accumulate_grad_batches,
        plan.updates,
    )
    log.info(
        "memory        expected peak %.1f MB: weights %.1f, gradients and optimizer %.1f, "
        "activations %.1f",
        *(size / 1e6 for size in (memory.peak, memory.weights, memory.training)),
        memory.activations / 1e6,
    )
    kept = 3 if data.rows.has_validation else 2  # the last, the one before it, the best
    log.info("checkpoint    %.1f MB, %d are kept", memory.training / 1e6, kept)
    if not data.rows.has_validation:
        log.info("validation    none: data.valid is null")
    if cut:
        log.info("cut           %d of %d rows, to %d tokens", cut, rows, data.rows.max_length)


def report_unlabelled(data: Batches, split: str) -> None:
    """Say how many rows of a split have no completion left, and what that means for its numbers.

    Raises:
        InputError: none has one.
    """
    unlabelled, rows = data.unlabelled_rows(split)
    if not unlabelled:
        return
    kind, what = UNLABELLED[split]
    reason = f"their contexts fill data.max_length={data.rows.max_length}"
    if unlabelled == rows:
        raise InputError(
            f"none of the {rows} {kind} rows has a token of its completion left: {reason}; raise it"
        )
    log.warning("unlabelled    %d of %d %s rows, %s: %s", unlabelled, rows, kind, reason, what)


def largest_step(
    model: GPT2LMHeadModel, data: Batches, execution: Execution, device: torch.device
) -> MemoryEstimate:
    """Estimate the memory of the largest micro-batch there can be, and warn of too much."""
    lengths = sorted(data.lengths("train"), reverse=True)
    rows = data.rows.batch_sizes["train"]
    if data.rows.batch_tokens is not None:
        rows = max(1, data.rows.batch_tokens // lengths[0])
    memory = estimate_memory(model, lengths[:rows], execution, device)
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None
    if free is not None and memory.peak > free:
        log.warning(
            "the GPU has %.1f MB free, the largest step needs %.1f MB: add small_gpu to the "
            "experiments, as in 'experiment=[e2e/gpt2_large,small_gpu]'",
            free / 1e6,
            memory.peak / 1e6,
        )
    return memory


def peak_of(model: GPT2LMHeadModel, precision: str, device: torch.device) -> float:
    """Measure the device's products in the precision that training has, FLOP/s."""
    dtype = torch.bfloat16 if precision == "bf16-mixed" else None
    dtype = torch.float16 if precision == "16-mixed" else dtype
    peak = measured_peak(model.config.n_embd, dtype or compute_dtype(model.dtype, device), device)
    log.info("peak          %.1f GFLOP/s in matrix products", peak / 1e9)
    return peak


def parameter_table(model: nn.Module, method: Method) -> str:
    """Return the trainable parameters by formula, and all, as lines.

    A method of the user's own may leave some out of its rows; the sum has all.
    """
    total = sum(parameter.numel() for parameter in model.parameters())
    rows = rows_of(method, model)
    trainable = trainable_parameters(model)
    lines = [f"{'parameters':<14}{row.kind}: {row.count:,} = {row.formula}" for row in rows]
    lines.append(f"{'':<14}trainable {trainable:,} of {total:,} ({100 * trainable / total:.3f} %)")
    return "\n".join(lines)
