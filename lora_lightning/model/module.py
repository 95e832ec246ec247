"""The LightningModule: GPT-2 with a method, trained as the reference trains it."""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from statistics import median
from typing import Any, Protocol

import lightning.pytorch as pl
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import ParallelStrategy
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import GPT2LMHeadModel

from lora_lightning.errors import InputError
from lora_lightning.model.loss import LabelledBatch, TrainingLoss, validation_statistics
from lora_lightning.model.packed import PackedRows, packed_hidden_states
from lora_lightning.model.plan import TrainingPlan
from lora_lightning.model.schedules import Schedule, build_schedule

WARM_UP_UPDATES = 5  # not counted in the throughput


class TokenBatch(PackedRows, LabelledBatch, Protocol):
    """Packed rows of tokens with their labels."""

    @property
    def targets(self) -> Tensor:
        """Next token ids, (tokens,) int64."""

    @property
    def row_tokens(self) -> int:
        """Context and completion ids of all rows, whether computed or not."""


class FineTuning(pl.LightningModule):
    """Trains what the method left trainable.

    Optimization is manual because Lightning's own accumulation steps at the end of an epoch, where
    the reference lets an unfinished group carry over, and because its schedules count updates,
    where the reference's count micro-batches.

    Args:
        model: transformers' GPT2LMHeadModel with a method applied.
        loss: which positions have a label, and what is to be made small there.
        make_optimizer: called with the named trainable parameters.
        schedule: the learning rate over the run.
        plan: length of the run and what happens when.
    """

    def __init__(
        self,
        model: GPT2LMHeadModel,
        loss: TrainingLoss,
        make_optimizer: Callable[[list[tuple[str, nn.Parameter]]], Optimizer],
        schedule: Schedule,
        plan: TrainingPlan,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.strict_loading = False  # checkpoints hold the trainable tensors only
        self.model = model
        self.loss = loss
        self.make_optimizer = make_optimizer
        self.schedule = schedule
        self.plan = plan
        self.micro_step = 0
        self.latest: dict[str, float] = {}  # of the last logged update, for progress displays
        self.throughput: list[tuple[float, float]] = []  # (tokens/s, rows/s) of each update
        self._group = _Group()
        self._validated: list[Tensor] = []
        self._clock = 0.0

    @property
    def update(self) -> int:
        """Updates done."""
        return self.micro_step // self.plan.accumulate_grad_batches

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LambdaLR]]:
        """Build the optimizer over the trainable tensors, and its schedule."""
        optimizer = self.make_optimizer(
            [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]
        )
        total = self.plan.total_steps(self.schedule.per)
        return [optimizer], [build_schedule(optimizer, self.schedule, total)]

    def training_loss(self, batch: TokenBatch) -> Tensor:
        """Return the loss of one micro-batch, () float32."""
        positions = self.loss.positions(batch)
        hidden = packed_hidden_states(self.model.transformer, batch, positions)
        share = 1 / self.plan.accumulate_grad_batches
        return self.loss(hidden, self.model.lm_head.weight, batch.targets[positions], share)

    def on_train_start(self) -> None:
        """Start the clock of the first update."""
        self._clock = time.perf_counter()

    def training_step(self, batch: TokenBatch, batch_index: int) -> None:
        """Add one micro-batch to the gradient, and update when its group is full."""
        self.micro_step += 1
        is_update = self.plan.is_update(self.micro_step)
        loss = self.training_loss(batch)
        with self._gradient_exchange(is_update):
            self.manual_backward(loss / self.plan.accumulate_grad_batches)
        self._group.add(loss.detach(), batch)
        schedule = self.lr_schedulers()
        assert isinstance(schedule, LambdaLR)
        rate = schedule.get_last_lr()[0]
        if is_update:
            self._update()
        if is_update or self.schedule.per == "micro_step":
            schedule.step()
        if is_update:
            self._close_group(float(rate))

    def on_train_batch_end(self, *_: Any) -> None:
        """Say whether Lightning validates now, and end the run at its last micro-batch.

        Lightning validates at the end of an epoch while `val_check_batch` is infinite, after every
        batch while it is 1, and once more when `should_stop` ends the run within an epoch.
        """
        interval = self.plan.val_check_interval
        is_due = interval is not None and self.micro_step % interval == 0
        self.trainer.val_check_batch = 1 if is_due else float("inf")
        if self.micro_step >= self.plan.micro_steps:
            self.trainer.should_stop = True

    def on_validation_model_zero_grad(self) -> None:
        """Keep the gradient: an unfinished accumulation group goes on after a validation."""

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation."""
        self._validated = []

    def validation_step(self, batch: TokenBatch, batch_index: int) -> None:
        """Score one batch, unsmoothed and on completions alone, whatever the training loss."""
        positions = batch.completion_positions
        hidden = packed_hidden_states(self.model.transformer, batch, positions)
        statistics = validation_statistics(
            hidden, self.model.lm_head.weight, batch.targets[positions]
        )
        self._validated.append(
            torch.stack([torch.as_tensor(s, device=hidden.device).float() for s in statistics])
        )

    def on_validation_epoch_end(self) -> None:
        """Average as the reference does, over the batches of all ranks, and per token."""
        # (batches, 3): batch loss, sum of negative log-likelihoods, labels
        each = torch.stack(self._validated).double().cpu()
        sums = self._sum_over_ranks([len(each), *each.sum(0).tolist()])
        batches, batch_losses, negative_log_likelihood, labels = sums
        loss, per_token = batch_losses / batches, negative_log_likelihood / max(labels, 1)
        metrics = {
            "val/loss": loss,
            "val/perplexity": _perplexity(loss),
            "val/loss_per_token": per_token,
            "val/perplexity_per_token": _perplexity(per_token),
        }
        self._log_row(metrics)
        # For callbacks that watch a metric, such as early stopping.
        self.log_dict(
            {key: torch.tensor(value) for key, value in metrics.items()},
            logger=False,
            sync_dist=True,  # the values are the same in every rank
        )

    def on_validation_end(self) -> None:
        """Restart the clock: validation is not part of a training step."""
        self._clock = time.perf_counter()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the trainable tensors alone; the frozen base is loaded from its own files."""
        trainable = {name for name, p in self.named_parameters() if p.requires_grad}
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {name: state[name] for name in state if name in trainable}
        checkpoint["micro_step"] = self.micro_step

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the counts, and refuse a checkpoint of other tensors.

        Raises:
            InputError: the checkpoint's tensors are not exactly the trainable ones.
        """
        trainable = {name for name, p in self.named_parameters() if p.requires_grad}
        if difference := trainable ^ set(checkpoint["state_dict"]):
            raise InputError(f"the checkpoint does not fit this model: {sorted(difference)[:3]}")
        self.micro_step = checkpoint["micro_step"]

    def median_throughput(self) -> dict[str, float | None]:
        """Return the medians over the updates after the fifth, summed over ranks."""
        counted = self.throughput[WARM_UP_UPDATES:]
        tokens, rows = zip(*counted, strict=True) if counted else ((), ())
        if not counted:
            return {"tokens_per_second": None, "rows_per_second": None, "share_of_peak": None}
        tokens_rate, rows_rate = self._sum_over_ranks([median(tokens), median(rows)])
        return {
            "tokens_per_second": tokens_rate,
            "rows_per_second": rows_rate,
            "share_of_peak": None,
        }

    def _gradient_exchange(self, is_update: bool) -> AbstractContextManager[None]:
        """Leave the exchange between ranks to the group's last backward pass."""
        strategy = self.trainer.strategy
        if is_update or not isinstance(strategy, ParallelStrategy):
            return nullcontext()
        return strategy.block_backward_sync()

    def _update(self) -> None:
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        if self.plan.gradient_clip_val:
            self.clip_gradients(optimizer.optimizer, self.plan.gradient_clip_val, "norm")
        optimizer.step()
        optimizer.zero_grad()

    def _close_group(self, rate: float) -> None:
        now = time.perf_counter()
        seconds, self._clock = now - self._clock, now
        group, self._group = self._group, _Group()
        self.throughput.append((group.tokens / seconds, group.rows / seconds))
        if not self.plan.is_logged(self.update):
            return
        loss, ranks, tokens = self._sum_over_ranks([group.mean_loss(), 1.0, group.tokens])
        if not math.isfinite(loss):
            raise InputError(
                f"the loss is {loss / ranks} at update {self.update}; lower optimizer.lr"
            )
        self._log_row(
            {
                "train/loss": loss / ranks,
                "train/lr": rate,
                "train/tokens_per_second": tokens / seconds,
            }
        )

    def _log_row(self, metrics: dict[str, float]) -> None:
        self.latest |= metrics
        for logger in self.loggers:
            logger.log_metrics({"epoch": self.current_epoch, **metrics}, step=self.update)

    def _sum_over_ranks(self, values: list[float]) -> list[float]:
        if self.trainer.world_size == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        return self.trainer.strategy.reduce(tensor, reduce_op="sum").tolist()


class _Group:
    """The micro-batches of one update so far."""

    def __init__(self) -> None:
        self.losses: list[Tensor] = []
        self.tokens = 0
        self.rows = 0

    def add(self, loss: Tensor, batch: TokenBatch) -> None:
        self.losses.append(loss)
        self.tokens += batch.row_tokens
        self.rows += len(batch.row_ids)

    def mean_loss(self) -> float:
        return torch.stack(self.losses).double().mean().item()


def _perplexity(loss: float) -> float:
    return math.exp(loss) if loss < 700 else math.inf
