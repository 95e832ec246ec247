"""The method `peft`: any tuner of PEFT that changes layers, wrapped, merged and saved by PEFT.

Only the order in which GPT-2's modules are called is ours: rows lie packed, see `gpt2/forward.py`.
"""

import importlib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any

import torch
from peft import (
    PeftConfig,
    PeftModel,
    PeftType,
    TaskType,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING
from peft.tuners.tuners_utils import BaseTuner
from torch import Tensor, nn
from transformers import PreTrainedModel

from lora_lightning.errors import InputError, first_line
from lora_lightning.gpt2.projection import with_linear_projections
from lora_lightning.gpt2.tensor_file import copy_tensors
from lora_lightning.methods import adalora, peft_from_data, peft_initial, peft_start
from lora_lightning.methods.method import ParameterRow, tensor_rows
from lora_lightning.methods.peft_targets import check_names
from lora_lightning.methods.tuner_layer import WRAPPED
from lora_lightning.ranges import DESCRIBED, Count, check, ranged

NAME = "default"  # of the adapter in PEFT's model
INPUTS = "changes what the model reads, not its layers, which is all that method=peft does"
REFUSED = {
    "LILY": "mixes the tokens of a batch, so packed rows would not be rows of their own",
    "POLY": "asks for a task of each row, which data-to-text has not",
    "SHADOW": "puts a second model beside the first, not layers into it",
    "TRAINABLE_TOKENS": "trains rows of the embedding, to which the output is tied",
    "XLORA": "chooses among adapters that are trained already",
}
"""Types of PEFT's adapters that change layers, or say so, and do not fit; and why."""


@ranged("method")
@dataclass(frozen=True)
class PEFT:
    """What one configuration of PEFT describes.

    Attributes:
        config: such as `peft.VeraConfig(r=256)`.
        linear: whether GPT-2's projections become `nn.Linear` first, for tuners that know no
            `Conv1D`; the logits stay.
        initial_batches: micro-batches from which LoRA begins where its `init_lora_weights` needs
            data, see `peft_initial.py`.

    Raises:
        InputError: the configuration is none, or of a tuner that changes no layers.
    """

    config: Annotated[PeftConfig, DESCRIBED]
    linear: bool = False
    initial_batches: Count = 32

    def __post_init__(self) -> None:
        if isinstance(self.config, dict | PeftConfig):
            peft_initial.check_init(self.config, self.linear)
        if isinstance(self.config, dict):
            return  # a description, which is not built yet
        if not isinstance(self.config, PeftConfig) or self.config.peft_type is None:
            raise InputError(
                f"method.config._target_: gives a {type(self.config).__name__}; name a "
                "configuration of PEFT, as in method.config={_target_: peft.VeraConfig, r: 256}"
            )
        adalora.check(self.config)
        if getattr(type(self.config), "r", 0):  # of other tuners it may be 0, and means no rank
            check("method.config.r", getattr(self.config, "r", None), Count)
        tuner = PEFT_TYPE_TO_TUNER_MAPPING.get(self.config.peft_type)  # type: ignore[call-overload]
        changes_layers = isinstance(tuner, type) and issubclass(tuner, BaseTuner)
        reason = REFUSED.get(PeftType(self.config.peft_type).value)
        if self.config.is_prompt_learning or not changes_layers:
            reason = INPUTS
        if reason is not None:
            raise InputError(f"{self._key}: {reason}; name the configuration of another tuner")

    @property
    def _key(self) -> str:
        return f"method.config._target_=peft.{type(self.config).__name__}"

    def apply(self, model: nn.Module) -> None:
        """Freeze `model` and have PEFT put its layers into it.

        Raises:
            InputError: PEFT refuses the configuration, or finds nothing that it fits.
        """
        assert isinstance(model, PreTrainedModel)
        if self.linear:
            with_linear_projections(model)
            if torch.distributed.is_available():  # PEFT asks for a class in there, not imported
                importlib.import_module("torch.distributed.tensor")
        check_names(self.config, model)
        config, was_training = peft_initial.config_before_data(self.config), model.training
        config.base_model_name_or_path = model.config.name_or_path or None
        config.task_type = TaskType.CAUSAL_LM  # what the folder is for, to whoever reads it
        try:
            with warnings.catch_warnings(action="ignore"):  # of fan_in_fan_out, which PEFT sets
                changes = peft_initial.changes_base(config)
                before = peft_start.weights(model) if changes else {}
                wrapped = get_peft_model(model, config, adapter_name=NAME)
                if changes:
                    peft_start.give_back(wrapped, NAME, before)
        except Exception as error:  # every tuner has its own
            targets = getattr(self.config, "target_modules", None)
            raise InputError(
                f"{self._key} with target_modules={targets}: PEFT refuses this for GPT-2 "
                f"({first_line(error)}); change method.config, or see whether method.linear=true "
                "helps"
            ) from None
        model.train(was_training)
        if type(model.get_input_embeddings()) is not nn.Embedding:
            raise InputError(
                "method.config.target_modules: wte is tied to lm_head, so it cannot have an update "
                "of its own; leave it out"
            )
        object.__setattr__(model, WRAPPED, wrapped)  # no submodule: it holds the model

    def parameter_table(self, model: nn.Module) -> list[ParameterRow]:
        """Return one row for each kind of trained tensor."""
        return tensor_rows((n, p) for n, p in model.named_parameters() if p.requires_grad)

    def state(self, model: nn.Module) -> dict[str, Tensor]:
        """Return what PEFT saves of `model`, by the names of its files.

        The adapter that keeps the base as it was has names with `start`, see `peft_start.py`.
        """
        wrapped = wrapped_by_peft(model)
        # Whether to save embeddings would be asked of the hub.
        state: dict[str, Tensor] = get_peft_model_state_dict(
            wrapped, adapter_name=NAME, save_embedding_layers=False
        )
        return state | peft_start.start_state(wrapped)

    def load(self, model: nn.Module, tensors: dict[str, Tensor]) -> None:
        """Take what `state` gave, in the shapes that it has before training."""
        wrapped = wrapped_by_peft(model)
        start = peft_start.start_state(wrapped)
        copy_tensors(start, {name: tensors[name] for name in start})
        first = {name: tensor for name, tensor in tensors.items() if name not in start}
        set_peft_model_state_dict(wrapped, first, adapter_name=NAME)

    def initialise(self, model: nn.Module, batches: Iterator[dict[str, Tensor]]) -> None:
        """Give LoRA its first values where they come from data.

        Raises:
            InputError: PEFT cannot, with these micro-batches.
        """
        if peft_initial.init_of(self.config) in peft_initial.NEED_DATA:
            first = list(islice(batches, self.initial_batches))
            wrapped = peft_from_data.initialise(wrapped_by_peft(model), NAME, self.config, first)
            object.__setattr__(model, WRAPPED, wrapped)

    def make_room(self, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
        """Give LoRA the ranks that data gave it in the run that `tensors` are of."""
        peft_from_data.make_room(wrapped_by_peft(model), NAME, self.config, tensors)

    def begin(self, model: nn.Module, updates: int) -> None:
        """Take the length of the run.

        Raises:
            InputError: it leaves AdaLoRA no update in which ranks may fall.
        """
        adalora.begin(config_of(model), updates)

    def extra_loss(self, model: nn.Module) -> Tensor | None:
        """Return AdaLoRA's penalty of what is not orthogonal, (); None of any other tuner."""
        return adalora.penalty(model, config_of(model))

    def after_step(self, model: nn.Module, update: int) -> None:
        """Let AdaLoRA choose ranks."""
        if adalora.is_adalora(config_of(model)):
            tuner: Any = wrapped_by_peft(model).base_model
            tuner.update_and_allocate(update)

    def training_state(self, model: nn.Module) -> dict[str, Any] | None:
        """Return what AdaLoRA knows of the ranks; None of any other tuner."""
        return adalora.state(wrapped_by_peft(model), config_of(model))

    def load_training_state(self, model: nn.Module, state: dict[str, Any]) -> None:
        """Take what `training_state` gave."""
        adalora.load_state(wrapped_by_peft(model), config_of(model), state)


def config_of(model: nn.Module) -> Any:
    """Return the configuration that PEFT put into `model`, as training has changed it since."""
    return wrapped_by_peft(model).peft_config[NAME]


def config_in_files(model: nn.Module) -> Any:
    """Return the configuration with which PEFT reads the files of `model`'s adapter."""
    return peft_start.config_in_files(wrapped_by_peft(model), NAME)


def wrapped_by_peft(model: nn.Module) -> PeftModel:
    """Return PEFT's model around `model`."""
    wrapped: PeftModel = getattr(model, WRAPPED)
    return wrapped
