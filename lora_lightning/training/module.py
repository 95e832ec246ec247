"""The LightningModule: GPT-2 with a method, trained as the reference trains it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
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
from lora_lightning.gpt2.flops import training_flops
from lora_lightning.gpt2.forward import EAGER, Execution, packed_hidden_states
from lora_lightning.gpt2.rows import PackedRows
from lora_lightning.methods.base import adapter_tensors
from lora_lightning.methods.method import Method, extra_loss_of
from lora_lightning.training.accumulation import AccumulationGroup, gradient_norm
from lora_lightning.training.cross_entropy import CrossEntropy
from lora_lightning.training.diagnostics import diagnostics, restart_peak_memory
from lora_lightning.training.finite import FiniteWatch
from lora_lightning.training.loss import LabelledBatch, TrainingLoss, validation_statistics
from lora_lightning.training.made_optimizer import require_optimizer
from lora_lightning.training.parts import Part, parts_of
from lora_lightning.training.plan import TrainingPlan
from lora_lightning.training.schedules import Schedule, build_schedule
from lora_lightning.training.seat import Seat
from lora_lightning.training.throughput import Throughput, Work
from lora_lightning.training.validation import (
    DECODING_SECONDS,
    LABELLED_SHARE,
    ValidationSums,
    is_finite,
    require_finite,
)


class TokenBatch(PackedRows, LabelledBatch, Protocol):
    """Packed rows of tokens with their labels."""

    @property
    def row_ids(self) -> tuple[int, ...]:
        """Number of each row in the data set."""

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
        execution: how to run the model's blocks.
        peak: operations a second that the device could do; None where nobody measured them.
        score_texts: called with the model at each validation; returns further metrics, and the
            seconds that they took. None: a validation measures the loss alone.
        method: what made `model` ready; its hooks are called, see `methods.method.Method`.
    """

    def __init__(
        self,
        model: GPT2LMHeadModel,
        loss: TrainingLoss,
        make_optimizer: Callable[[list[tuple[str, nn.Parameter]]], Optimizer],
        schedule: Schedule,
        plan: TrainingPlan,
        execution: Execution = EAGER,
        peak: float | None = None,
        score_texts: Callable[[GPT2LMHeadModel], tuple[dict[str, float], float]] | None = None,
        method: Method | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.strict_loading = False  # checkpoints hold no frozen base
        self.model = model
        self.loss = loss
        self.make_optimizer = make_optimizer
        self.schedule = schedule
        self.plan = plan
        self.execution = execution
        self.peak = peak
        self.score_texts = score_texts
        self.method = method
        self.seat: Seat | None = None  # where it trains together with others
        self.micro_step = 0
        self.latest: dict[str, float] = {}  # of the last logged update, for progress displays
        self._throughput = Throughput(torch.device("cpu"))
        self._watch = FiniteWatch()
        self._group = AccumulationGroup()
        self._gradient_norm = torch.zeros(())
        self._validated: list[Tensor] = []

    @property
    def update(self) -> int:
        """Updates done."""
        return self.micro_step // self.plan.accumulate_grad_batches

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LambdaLR]]:
        """Build the optimizer over the trainable tensors, and its schedule."""
        optimizer = require_optimizer(
            self.make_optimizer(
                [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]
            )
        )
        total = self.plan.total_steps(self.schedule.per)
        return [optimizer], [build_schedule(optimizer, self.schedule, total)]

    def hidden_states(self, rows: PackedRows, positions: Tensor, is_last: bool = True) -> Tensor:
        """Return the final hidden states of some positions, (positions, width).

        `is_last` is false of a micro-batch's parts that others follow.
        """
        if self.seat is not None:
            return self.seat.hidden_states(self.model, rows, positions, self.execution, is_last)
        return packed_hidden_states(self.model.transformer, rows, positions, self.execution)

    def training_loss(self, part: Part) -> CrossEntropy:
        """Return a part's share of its micro-batch's loss, () float32, and that unsmoothed."""
        hidden = self.hidden_states(part, part.positions, part.is_last)
        share = part.share / self.plan.accumulate_grad_batches
        losses = self.loss(hidden, self.model.lm_head.weight, part.targets, share)
        return CrossEntropy(*(loss * part.share for loss in losses))

    def backward(self, loss: Tensor, *_: Any, **__: Any) -> None:
        """Add the gradient of a loss (), for which `manual_backward` calls this."""
        if self.seat is None:
            loss.backward()
        else:
            self.seat.backward(loss)

    def on_train_start(self) -> None:
        """Start the clock of the first update, and the count of memory."""
        restart_peak_memory(self.device)
        self._throughput = Throughput(self.device, self.peak)

    def training_step(self, batch: TokenBatch, batch_index: int) -> None:
        """Add one micro-batch to the gradient, and update when its group is full."""
        self.micro_step += 1
        is_update = self.plan.is_update(self.micro_step)
        parts = parts_of(batch, self.loss.positions(batch))
        losses = [self._add_gradient(part, is_update) for part in parts]
        smoothed, unsmoothed = (torch.stack(each).sum() for each in zip(*losses, strict=True))
        self._group.add(smoothed, unsmoothed, batch, self._work(batch))
        schedule = self.lr_schedulers()
        assert isinstance(schedule, LambdaLR)
        rate = schedule.get_last_lr()[0]
        if is_update:
            self._update()
        if is_update or self.schedule.per == "micro_step":
            schedule.step()
        if is_update:
            self._close_group(float(rate))

    def _add_gradient(self, part: Part, is_update: bool) -> tuple[Tensor, Tensor]:
        """Add a part's gradient, and return its share of the losses."""
        loss, unsmoothed = self.training_loss(part)
        with self._gradient_exchange(is_update and part.is_last):
            penalty = extra_loss_of(self.method, self.model)
            trained = loss if penalty is None else loss + part.share * penalty
            self.manual_backward(trained / self.plan.accumulate_grad_batches)
        return loss.detach(), unsmoothed

    def on_train_batch_end(self, *_: Any) -> None:
        """Say whether Lightning validates now, and end the run at its last micro-batch.

        Lightning validates at the end of an epoch while `val_check_batch` is infinite, after every
        batch while it is 1, and once more when `should_stop` ends the run within an epoch.
        """
        is_due = self.plan.is_validated(self.micro_step)
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
        hidden, targets = self.hidden_states(batch, positions), batch.targets[positions]
        self._validated.append(
            torch.stack(validation_statistics(hidden, self.model.lm_head.weight, targets))
        )

    def on_validation_batch_end(
        self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Wait after the last batch for the other ranks, which may have one more."""
        if self.seat is not None and batch_idx + 1 == self.trainer.num_val_batches[0]:
            self.seat.meet()

    def on_validation_epoch_end(self) -> None:
        """Average as the reference does, over the batches of all ranks, and per token.

        Raises:
            InputError: no row has a label, or an average is not finite.
        """
        # (batches, 3): batch loss, sum of negative log-likelihoods, labels
        each = torch.stack(self._validated).cpu().double()
        labelled = int((each[:, 2] > 0).sum())
        sums = ValidationSums(*self._sum_over_ranks([len(each), labelled, *each.sum(0).tolist()]))
        metrics = sums.metrics()
        self.latest[LABELLED_SHARE] = sums.labelled / sums.batches
        if self.score_texts is not None and is_finite(metrics):
            texts, self.latest[DECODING_SECONDS] = self.score_texts(self.model)
            metrics |= texts
        self._log_row(metrics)
        require_finite(metrics, self.update)
        # For callbacks that watch a metric, such as early stopping.
        self.log_dict(
            {key: torch.tensor(value) for key, value in metrics.items()},
            logger=False,
            sync_dist=True,  # the values are the same in every rank
        )

    def on_validation_end(self) -> None:
        """Restart the clock: validation is not part of a training step."""
        self._throughput.restart()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what the method trained or added; the frozen base is loaded from its own files.

        Raises:
            InputError: an update since the last look was not finite; the last checkpoint stays.
        """
        self._watch.check(self.model)
        kept, state = self._kept_tensors(), checkpoint["state_dict"]
        checkpoint["state_dict"] = {name: state[name] for name in state if name in kept}
        checkpoint["micro_step"] = self.micro_step
        checkpoint |= {"update": self.update, "planned_micro_steps": self.plan.micro_steps}
        checkpoint["latest"] = dict(self.latest)
        if (of_method := self._call_hook("training_state")) is not None:
            checkpoint["method"] = of_method

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the counts, and refuse a checkpoint of other tensors.

        Raises:
            InputError: the checkpoint's tensors are not exactly those.
        """
        if difference := self._kept_tensors() ^ set(checkpoint["state_dict"]):
            raise InputError(f"the checkpoint does not fit this model: {sorted(difference)[:3]}")
        self.micro_step = checkpoint["micro_step"]
        self.latest = dict(checkpoint["latest"])
        if "method" in checkpoint:
            self._call_hook("load_training_state", checkpoint["method"])

    def _kept_tensors(self) -> set[str]:
        """Return the names of the tensors that a checkpoint holds."""
        trained = {name for name, p in self.named_parameters() if p.requires_grad}
        return trained | {f"model.{name}" for name in adapter_tensors(self.model)}

    def median_throughput(self) -> dict[str, float | None]:
        """Return tokens and rows a second, summed over ranks, and the ranks' mean share of peak."""
        own = self._throughput.medians()
        rates: dict[str, float | None] = dict.fromkeys(
            ("tokens_per_second", "rows_per_second", "share_of_peak")
        )
        if own is not None:
            rates |= zip(own, self._sum_over_ranks(list(own.values())), strict=True)
        if (share := rates["share_of_peak"]) is not None:
            rates["share_of_peak"] = share / self.trainer.world_size
        return rates

    def _call_hook(self, name: str, *arguments: Any) -> Any:
        """Call what the method has under a name with the model; None where it has no such hook."""
        hook = getattr(self.method, name, None)
        return None if hook is None else hook(self.model, *arguments)

    def _gradient_exchange(self, is_update: bool) -> AbstractContextManager[None]:
        """Leave the exchange between ranks to the group's last backward pass."""
        strategy = self.trainer.strategy
        if is_update or not isinstance(strategy, ParallelStrategy):
            return nullcontext()
        return strategy.block_backward_sync()

    def _update(self) -> None:
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        optimizer.step()
        self._call_hook("after_step", self.update)
        optimizer.zero_grad()

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip the gradient, and see that it and the loss are finite.

        Lightning calls this once a gradient of `precision=16-mixed` has its true scale again.

        Raises:
            InputError: they are not; on a GPU possibly some updates later.
        """
        norm = self._gradient_norm = gradient_norm(self.model, self.plan.gradient_clip_val)
        if getattr(self.trainer.precision_plugin, "scaler", None) is not None:
            norm = torch.zeros_like(norm)  # the scaler itself leaves out what is not finite
        self._watch.note(self.update, self._group.batches, self._group.mean_loss(), norm)
        if self.device.type == "cpu":
            self._watch.check(self.model)

    def _close_group(self, rate: float) -> None:
        group, self._group = self._group, AccumulationGroup()
        self._throughput.add(group.work)
        if not self.plan.is_logged(self.update):
            return
        self._watch.check(self.model)
        rates = self._throughput.last()
        loss, unsmoothed, *sums = self._sum_over_ranks([*group.mean_losses(), *rates.values()])
        speed = {f"train/{key}": value for key, value in zip(rates, sums, strict=True)}
        if "train/share_of_peak" in speed:
            speed["train/share_of_peak"] /= self.trainer.world_size
        losses = {"train/loss": loss, "train/loss_unsmoothed": unsmoothed}
        losses = {key: value / self.trainer.world_size for key, value in losses.items()}
        further = diagnostics(self.model, self._gradient_norm)
        self._log_row({**losses, "train/lr": rate, **speed, **further})

    def _work(self, batch: TokenBatch) -> Work:
        lengths = [length + 1 for length in batch.lengths]
        labels = len(self.loss.labelled(batch))
        flops = 0.0 if self.peak is None else training_flops(self.model, lengths, labels)
        return Work(batch.row_tokens, len(batch.row_ids), flops)

    def _log_row(self, metrics: dict[str, float]) -> None:
        self.latest |= metrics
        for logger in self.loggers:
            logger.log_metrics({"epoch": self.current_epoch, **metrics}, step=self.update)

    def _sum_over_ranks(self, values: list[float]) -> list[float]:
        if self.trainer.world_size == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        return self.trainer.strategy.reduce(tensor, reduce_op="sum").tolist()
