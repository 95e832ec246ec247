"""How the LoRA of PEFT begins where that needs data, or takes something off the base.

| `init_lora_weights`      | A and B are made of                                | data | off base |
|--------------------------|----------------------------------------------------|------|----------|
| `eva`                    | principal components of the inputs; ranks by layer | yes  |          |
| `corda`                  | the weight times the covariance of its inputs      | yes  | yes      |
| `lora_ga`                | the gradient of the weight                         | yes  | yes      |
| `pissa`, `pissa_niter_n` | the weight                                         |      | yes      |
| `olora`                  | the weight                                         |      | yes      |

PEFT computes all of them. Those that change the base take s · B₀ A₀ off its weight. Here the
weight gets its values back, and a second adapter of PEFT's, frozen and without dropout, takes the
same off the output: the sum is the same, and in files the adapter is the plain LoRA of rank 2r that
PEFT's own conversion makes, on the untouched base.
"""

import contextlib
import copy
import io
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from peft import LoraGAConfig, get_peft_model, initialize_lora_eva_weights
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.corda import preprocess_corda
from peft.tuners.lora.loraga import preprocess_loraga
from peft.tuners.tuners_utils import cast_adapter_dtype
from torch import Tensor, nn

from lora_lightning.errors import InputError, first_line

START = "start"
"""The adapter that takes off what the first values of A and B add."""
NEED_DATA = ("eva", "corda", "lora_ga")
KEY = "method.config.init_lora_weights"
MOST_PASSES = 2000  # forward passes in which EVA's components must come to rest

Rows = Mapping[str, Tensor]


def init_of(config: Any) -> str:
    """Return the initialisation that a configuration of LoRA names; empty for plain ones.

    Args:
        config: PEFT's, or a mapping that describes one.
    """
    if isinstance(config, Mapping):
        is_lora = str(config.get("_target_", "")).rpartition(".")[2] == "LoraConfig"
        named = config.get("init_lora_weights")
    else:
        is_lora = getattr(config.peft_type, "value", config.peft_type) == "LORA"
        named = getattr(config, "init_lora_weights", None)
    return named if is_lora and isinstance(named, str) else ""


def check_init(config: Any, linear: bool) -> None:
    """Check the initialisation that a configuration of LoRA names.

    Args:
        config: PEFT's, or a mapping that describes one.
        linear: whether projections are `nn.Linear`.

    Raises:
        InputError: there is none of that name, or it does not go with the rest.
    """
    init = init_of(config)
    entry = config.get if isinstance(config, Mapping) else vars(config).get
    known = ("gaussian", "orthogonal", "mica", *NEED_DATA, "pissa", "olora")
    if init == "loftq":
        raise InputError(
            f"{KEY}=loftq: leaves a quantized base, which no adapter file holds; take another"
        )
    if init and init not in known and not re.fullmatch(r"pissa_niter_\d+", init):
        raise InputError(
            f"{KEY}={init}: allowed is true | false or {' | '.join(known)} | pissa_niter_<number>"
        )
    if init == "olora" and not linear:
        raise InputError(
            f"{KEY}=olora: PEFT takes GPT-2's Conv1D the wrong way round; set method.linear=true, "
            "or take method=lora method.init=olora"
        )
    if changes_base(config) and (feature := next(filter(entry, ("use_dora", "kasa_config")), None)):
        raise InputError(f"{KEY}={init}: does not go with method.config.{feature}; take one")
    corda = entry("corda_config") or {}
    given = corda if isinstance(corda, Mapping) else vars(corda)
    for name in ("cache_file", "covariance_file"):
        if init == "corda" and given.get(name):
            raise InputError(
                f"method.config.corda_config.{name}: a run keeps nothing outside of its folder; "
                "leave it out"
            )


def changes_base(config: Any) -> bool:
    """Whether the initialisation takes something off the base."""
    return init_of(config).startswith(("corda", "lora_ga", "pissa", "olora"))


def config_before_data(config: Any) -> Any:
    """Return the configuration with which PEFT wraps a model before any data is seen."""
    config = copy.deepcopy(config)
    if init_of(config) in ("corda", "lora_ga"):
        config.init_lora_weights, config.corda_config, config.lora_ga_config = True, None, None
    return config


def lora_layers_of(wrapped: Any) -> dict[str, Any]:
    """Return PEFT's LoRA layers by the name of the module in whose place they stand."""
    base = wrapped.base_model.model
    return {name: module for name, module in base.named_modules() if isinstance(module, LoraLayer)}


def weights(model: nn.Module) -> dict[int, Tensor]:
    """Return a copy of the matrices that PEFT may change, by the parameter's id."""
    return {id(p): p.detach().clone() for p in model.parameters() if p.dim() == 2}


def give_back(wrapped: Any, name: str, before: Mapping[int, Tensor]) -> None:
    """Give the base its weights back, and put the second adapter beside the first.

    Args:
        wrapped: PEFT's model whose base the initialisation changed.
        name: of the first adapter.
        before: what `weights` gave before.
    """
    add_start(wrapped, name)
    for layer in lora_layers_of(wrapped).values():
        weight = layer.get_base_layer().weight
        weight.data = before[id(weight)]
        layer.lora_A[START].weight.data = layer.lora_A[name].weight.detach().clone()
        layer.lora_B[START].weight.data = -layer.lora_B[name].weight.detach()


def add_start(wrapped: Any, name: str) -> None:
    """Put the second adapter, of zeros, beside the first; does nothing if it is there."""
    config = copy.deepcopy(wrapped.peft_config[name])
    config.lora_dropout, config.init_lora_weights, config.lora_bias = 0.0, True, False
    for layer in lora_layers_of(wrapped).values():
        if START in layer.lora_A:
            continue
        with torch.random.fork_rng(devices=[]):  # PEFT draws values that are replaced
            layer.update_layer(START, layer.r[name], layer.lora_alpha[name], config=config)
        layer.set_adapter([name, START])
        for matrices in (layer.lora_A, layer.lora_B):
            like = matrices[name].weight
            matrices[START].weight = nn.Parameter(torch.zeros_like(like), requires_grad=False)
            like.requires_grad_(True)


def start_state(wrapped: Any) -> dict[str, Tensor]:
    """Return the tensors of the second adapter, none where there is none."""
    return {
        f"base_model.model.{layer}.{matrix}.{START}.weight": getattr(module, matrix)[START].weight
        for layer, module in lora_layers_of(wrapped).items()
        for matrix in ("lora_A", "lora_B")
        if START in getattr(module, matrix)
    }


def joined(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return both adapters as one of twice the rank, as PEFT's files have it."""
    result = {name: tensor for name, tensor in state.items() if f".{START}." not in name}
    for name, start in state.items():
        if f".{START}." in name:
            first = name.replace(f".{START}.", ".")
            result[first] = torch.cat([state[first], start], dim=_dimension(name))
    return result


def parted(tensors: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what `joined` joined.

    Args:
        tensors: of a file.
        state: of the model that takes them, with the ranks of each adapter.
    """
    result = dict(tensors)
    for name in state:
        if f".{START}." in name:
            first = name.replace(f".{START}.", ".")
            result[first], result[name] = tensors[first].chunk(2, dim=_dimension(name))
    return result


def _dimension(name: str) -> int:
    return 0 if "lora_A" in name else 1


def config_in_files(wrapped: Any, name: str) -> Any:
    """Return the configuration with which PEFT reads what `joined` gives."""
    config = copy.deepcopy(wrapped.peft_config[name])
    if not start_state(wrapped):
        return config
    factor = math.sqrt(2) if config.use_rslora else 2
    config.r, config.lora_alpha = 2 * config.r, factor * config.lora_alpha
    config.rank_pattern = {key: 2 * rank for key, rank in (config.rank_pattern or {}).items()}
    config.alpha_pattern = {key: factor * a for key, a in (config.alpha_pattern or {}).items()}
    config.init_lora_weights = True
    config.corda_config = config.lora_ga_config = None
    return config


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
