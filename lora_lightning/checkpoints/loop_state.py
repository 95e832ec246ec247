"""What a resumed run needs beside weights and optimizer: its place, random numbers, its base."""

from typing import Any

import torch
import torch.distributed
from torch import Tensor
from transformers import GPT2LMHeadModel

from lora_lightning.methods.base import base_tensors, fingerprint

ZEROS = {"ready": 0, "started": 0, "processed": 0, "completed": 0}


def between_micro_batches(fit_loop: dict[str, Any]) -> dict[str, Any]:
    """Return the state of Lightning's fit loop as it is between two micro-batches.

    A state saved from a hook is that of a loop within this hook: Lightning would run or leave out
    the validation around it by rules of its own. Everything due was done when we saved, so the
    counts are set to what they are before the next micro-batch, or before the next epoch.

    Args:
        fit_loop: `checkpoint["loops"]["fit_loop"]`.
    """
    batches, epochs = fit_loop["epoch_loop.batch_progress"], fit_loop["epoch_progress"]
    is_epoch_done = batches["is_last_batch"]
    return fit_loop | {
        "epoch_progress": {
            kind: _epochs(counts["started"], is_epoch_done) for kind, counts in epochs.items()
        },
        "epoch_loop.batch_progress": {
            "total": dict.fromkeys(ZEROS, batches["total"]["processed"]),
            "current": dict.fromkeys(
                ZEROS, 0 if is_epoch_done else batches["current"]["processed"]
            ),
            "is_last_batch": False,
        },
        "epoch_loop.val_loop.batch_progress": {
            "total": ZEROS,
            "current": ZEROS,
            "is_last_batch": False,
        },
    }


def _epochs(begun: int, is_done: bool) -> dict[str, int]:
    done = begun if is_done else begun - 1
    return {"ready": begun, "started": begun, "processed": done, "completed": done}


def frozen_base(model: GPT2LMHeadModel) -> dict[str, Any]:
    """Return what tells the tensors that are not trained, and so not saved, from others."""
    trained = {name for name, tensor in base_tensors(model).items() if tensor.requires_grad}
    return fingerprint(model, trained)


def random_states() -> list[dict[str, Tensor]]:
    """Return the state of every rank's random numbers, in order; called by every rank."""
    own = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        own["cuda"] = torch.cuda.get_rng_state()
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [own]
    states: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(states, own)
    return states


def restore_random_state(states: list[dict[str, Tensor]], rank: int) -> None:
    """Go on with the random numbers of `rank`; a rank that there was not takes another's."""
    state = states[rank % len(states)]
    torch.set_rng_state(state["cpu"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())
