"""How the LoRA of PEFT begins where that needs data, or takes something off the base.

| `init_lora_weights`      | A and B are made of                                | data | off base |
|--------------------------|----------------------------------------------------|------|----------|
| `eva`                    | principal components of the inputs; ranks by layer | yes  |          |
| `corda`                  | the weight times the covariance of its inputs      | yes  | yes      |
| `lora_ga`                | the gradient of the weight                         | yes  | yes      |
| `pissa`, `pissa_niter_n` | the weight                                         |      | yes      |
| `olora`                  | the weight                                         |      | yes      |

PEFT computes all of them: `peft_from_data.py`. What is taken off the base: `peft_start.py`.
"""

import copy
import re
from collections.abc import Mapping
from typing import Any

from lora_lightning.errors import InputError

NEED_DATA = ("eva", "corda", "lora_ga")
KEY = "method.config.init_lora_weights"


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
    allowed = f"allowed is true | false or {' | '.join(known)} | pissa_niter_<number>"
    if not isinstance(given := entry("init_lora_weights"), str | bool | None):
        raise InputError(f"{KEY}={given}: {allowed}")
    if init == "loftq":
        raise InputError(
            f"{KEY}=loftq: leaves a quantized base, which no adapter file holds; take another"
        )
    if init and init not in known and not re.fullmatch(r"pissa_niter_\d+", init):
        raise InputError(f"{KEY}={init}: {allowed}")
    if init == "olora" and not linear:
        raise InputError(
            f"{KEY}=olora: PEFT takes GPT-2's Conv1D the wrong way round; set method.linear=true, "
            "or take method=lora method.init=olora"
        )
    if changes_base(config) and (feature := next(filter(entry, ("use_dora", "kasa_config")), None)):
        raise InputError(f"{KEY}={init}: does not go with method.config.{feature}; take one")
    corda = entry("corda_config") or {}
    settings = corda if isinstance(corda, Mapping) else vars(corda)
    for name in ("cache_file", "covariance_file"):
        if init == "corda" and settings.get(name):
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
