"""The first values of PEFT's LoRA from data: PEFT's own functions, with the run's own rows."""

import contextlib
import copy
import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from peft import LoraGAConfig, get_peft_model, initialize_lora_eva_weights
from peft.tuners.lora.corda import preprocess_corda
from peft.tuners.lora.loraga import preprocess_loraga
from peft.tuners.tuners_utils import cast_adapter_dtype
from torch import Tensor, nn

from lora_lightning.errors import InputError, first_line
from lora_lightning.methods.peft_initial import KEY, changes_base, init_of
from lora_lightning.methods.peft_start import START, add_start, give_back, lora_layers_of, weights

MOST_PASSES = 2000  # forward passes in which EVA's components must come to rest

Rows = Mapping[str, Tensor]


def make_room(wrapped: Any, name: str, config: Any, tensors: Mapping[str, Tensor]) -> None:
    """Give the layers the ranks that tensors have: EVA's, or the second adapter.

    Args:
        wrapped: PEFT's model as it is before any data was seen.
        name: of the adapter.
        config: that of the method.
        tensors: of a file or a checkpoint, by PEFT's names or the model's.
    """
    layers = lora_layers_of(wrapped) if init_of(config) else {}
    of_layers = {_layer_of(key): tensor for key, tensor in tensors.items()}
    found = {layer: of_layers[layer] for layer in layers if layer in of_layers}
    if init_of(config) == "eva" and found:
        empty = {layer: torch.empty(0, module.in_features) for layer, module in layers.items()}
        fitting = {k: t for k, t in found.items() if t.dim() == 2 and
                   t.shape[1] == layers[k].in_features}  # fmt: skip
        _take_eva(wrapped, name, {**empty, **fitting})
    elif changes_base(config) and (
        any(f".lora_A.{START}." in key for key in tensors)
        or any(tensor.shape[:1] == (2 * layers[k].r[name],) for k, tensor in found.items())
    ):
        add_start(wrapped, name)


def _layer_of(key: str) -> str | None:
    """Return the module of which a tensor is the A of the first adapter."""
    fitting = re.fullmatch(r"(?:base_model\.model\.)?(.+)\.lora_A(?:\.default)?\.weight", key)
    return fitting[1] if fitting else None


def _take_eva(wrapped: Any, name: str, values: Mapping[str, Tensor]) -> None:
    state = {f"base_model.model.{layer}": tensor for layer, tensor in values.items()}
    with warnings.catch_warnings(action="ignore"), torch.random.fork_rng(devices=[]):
        initialize_lora_eva_weights(wrapped, eva_state_dict=state, adapter_name=name)
    cast_adapter_dtype(wrapped.base_model.model, name, autocast_adapter_dtype=True)


def initialise(wrapped: Any, name: str, config: Any, batches: Sequence[Rows]) -> Any:
    """Have PEFT give A and B their first values from data, and return its model, perhaps a new one.

    Args:
        wrapped: PEFT's model as it is before any data was seen.
        name: of the adapter.
        config: that of the method.
        batches: padded rows, see `Method.initialise`.

    Raises:
        InputError: PEFT cannot, with these rows.
    """
    init = init_of(config)
    try:
        if init == "eva":
            _initialise_eva(wrapped, name, batches)
            return wrapped
        return _initialise_changing(wrapped, name, config, batches)
    except InputError:
        raise
    except Exception as error:  # each has its own
        raise InputError(
            f"{KEY}={init}: PEFT cannot begin so with {len(batches)} micro-batches "
            f"({first_line(error)}); change method.config, or raise method.initial_batches"
        ) from None


def _initialise_eva(wrapped: Any, name: str, batches: Sequence[Rows]) -> None:
    config, passes = wrapped.peft_config[name], 0
    most = max(round(layer.r[name] * config.eva_config.rho)
               for layer in lora_layers_of(wrapped).values())  # fmt: skip
    counted = "labels" if config.eva_config.use_label_mask else "attention_mask"
    seen = [int((rows[counted] != (-100 if counted == "labels" else 0)).sum()) for rows in batches]
    if max(seen) < most:  # PEFT would go on for ever
        raise InputError(
            f"{KEY}=eva: finds {most} components of rank · rho, and no micro-batch has more than "
            f"{max(seen)} tokens for it; raise data.batch_size, or lower method.config.r"
        )

    def forward(model: nn.Module, rows: Rows) -> Any:
        nonlocal passes
        if (passes := passes + 1) > MOST_PASSES:
            raise InputError(
                f"{KEY}=eva: components move on after {MOST_PASSES} micro-batches; lower "
                f"method.config.eva_config.tau, which is {config.eva_config.tau}"
            )
        return model(**rows)

    # PEFT prints a line for each micro-batch that is too short for it.
    with warnings.catch_warnings(action="ignore"), contextlib.redirect_stdout(io.StringIO()):
        initialize_lora_eva_weights(
            wrapped, [dict(rows) for rows in batches], forward_fn=forward, adapter_name=name,
            gather_distributed_inputs=False, show_progress_bar=False,
        )  # fmt: skip
    cast_adapter_dtype(wrapped.base_model.model, name, autocast_adapter_dtype=True)


def _initialise_changing(wrapped: Any, name: str, config: Any, batches: Sequence[Rows]) -> Any:
    before_data, config = wrapped.peft_config[name], copy.deepcopy(config)
    for key in ("target_modules", "base_model_name_or_path", "task_type"):
        setattr(config, key, getattr(before_data, key))
    config.lora_ga_config = config.lora_ga_config or LoraGAConfig()
    model = wrapped.unload()
    with warnings.catch_warnings(action="ignore"), _without_gradients(model):
        if init_of(config) == "corda":
            preprocess_corda(model, config, run_model=_each_row(model, batches))
        else:
            preprocess_loraga(model, config, train_step=_each_gradient(model, batches))
        before = weights(model)
        wrapped = get_peft_model(model, config, adapter_name=name)
    give_back(wrapped, name, before)
    wrapped.peft_config[name] = before_data
    return wrapped


def _each_row(model: nn.Module, batches: Sequence[Rows]) -> Callable[[], None]:
    """Return what runs each row on its own, as CorDA's covariance knows no padding."""

    def run() -> None:
        for rows in batches:
            for ids, mask in zip(rows["input_ids"], rows["attention_mask"], strict=True):
                model(input_ids=ids[mask.bool()][None])

    return run


def _each_gradient(model: nn.Module, batches: Sequence[Rows]) -> Callable[[], None]:
    """Return what adds up the gradients of the micro-batches' losses, without dropout."""

    def run() -> None:
        model.eval()
        for rows in batches:
            if not (rows["labels"] != -100).any():
                continue  # its mean is none
            loss: Tensor = model(**rows).loss  # the mean over the micro-batch's labels
            loss.backward()

    return run


@contextlib.contextmanager
def _without_gradients(model: nn.Module) -> Iterator[None]:
    """Context after which no parameter keeps a gradient, and training goes on as it was."""
    was_training = model.training
    try:
        yield
    finally:
        model.zero_grad(set_to_none=True)
        model.train(was_training)
