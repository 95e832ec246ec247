"""What a method may have besides the two functions of the protocol `Method`; none is needed."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from torch import Tensor
from transformers import PreTrainedModel


class MethodHooks(Protocol):
    """Functions that a method of one's own has of these are called with these arguments."""

    def state(self, model: PreTrainedModel) -> dict[str, Tensor]:
        """Return what is written into `adapter/`, by names of the method's own.

        Without it that is all tensors that the base does not have, and those of the base that are
        trained (`methods.base.trained_tensors`).
        """

    def load(self, model: PreTrainedModel, tensors: dict[str, Tensor]) -> None:
        """Take what `state` gave; without it each tensor is copied into its namesake."""

    def initialise(self, model: PreTrainedModel, batches: Iterator[dict[str, Tensor]]) -> None:
        """Give what was added first values that come from data.

        Is called once, before anything else that is slow, in a new run that starts from no adapter,
        and in every rank with the same rows and random numbers; neither these nor the place in the
        data is the run's. Tensors may get other shapes.

        Args:
            model: made ready by `apply`.
            batches: the micro-batches of the first epoch, all ranks' in turn, padded: `input_ids`,
                `attention_mask` and `labels`, each (rows, tokens) int64, as transformers' models
                take them.
        """

    def make_room(self, model: PreTrainedModel, tensors: Mapping[str, Tensor]) -> None:
        """Give the model the shapes of a checkpoint, where `initialise` decides shapes.

        Args:
            model: made ready by `apply`, in a run that goes on.
            tensors: of the checkpoint, by their names in the model.
        """

    def begin(self, model: PreTrainedModel, updates: int) -> None:
        """Be told, before anything slow, how many updates the run will have."""

    def extra_loss(self, model: PreTrainedModel) -> Tensor | None:
        """Return what is added to what each micro-batch makes small, () float32; not logged."""

    def after_step(self, model: PreTrainedModel, update: int) -> None:
        """Follow an update, counted from 1, while its gradients are still there."""

    def training_state(self, model: PreTrainedModel) -> dict[str, Any] | None:
        """Return what a resumed run needs besides the tensors: plain values and tensors."""

    def load_training_state(self, model: PreTrainedModel, state: dict[str, Any]) -> None:
        """Take what `training_state` gave."""
