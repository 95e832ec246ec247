"""Adapters in files: saving, loading into a model, and asking what one holds.

| what                                             | read | written by       |
|--------------------------------------------------|------|------------------|
| folder in PEFT's layout, ours or from elsewhere  | yes  | `save_adapter`   |
| PEFT's own folder of another tuner               | yes  | `save_adapter`   |
| folder in our layout, where PEFT has none        | yes  | `save_adapter`   |
| name of such a folder on the Hugging Face hub    | yes  |                  |
| the reference's `.pt`, adapter or whole model    | yes  | `exports`        |
| safetensors with the reference's tensor names    | yes  |                  |
| Hugging Face folder of a fully trained model     | yes  | `save_adapter`   |
| Hugging Face folder of a merged model            |      | `exports`        |
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from lora_lightning.errors import InputError
from lora_lightning.files import atomic_folder
from lora_lightning.gpt2.hub import adapter_folder, adapter_name, is_same_base
from lora_lightning.gpt2.tensor_file import copy_tensors, require_finite, require_same_tensors
from lora_lightning.methods.base import adapter_tensors, base_tensors
from lora_lightning.methods.biases import trained_biases
from lora_lightning.methods.formats import loralib, own, peft, peft_tuner, whole_model
from lora_lightning.methods.formats.expressible import beyond_peft, is_trained_as_a_whole
from lora_lightning.methods.formats.weights import Weights, read_weights
from lora_lightning.methods.inject import adapters_merged
from lora_lightning.methods.lora_method import LoRA
from lora_lightning.methods.method import Method
from lora_lightning.methods.tuner_layer import WRAPPED

OF_A_RUN = "adapter"  # in the folder of a training run
OWN_OPTION = "own"  # of the group `method`, for a class that its keys name
PEFT_OPTION = "peft"  # for a configuration of PEFT that they name
FILES_OF_A_FOLDER = (peft.TENSORS, peft.OLD_TENSORS, peft.CONFIG, peft.OWN, own.TENSORS)


@dataclass(frozen=True)
class LoadReport:
    """How many tensors were loaded; nothing is ever missing, that is an error.

    Attributes:
        adapter: number of the adapter's tensors, trained biases included.
        base: number of base tensors, 0 where the file left the base as it was.
    """

    adapter: int
    base: int

    def __str__(self) -> str:
        counts = {"adapter": self.adapter, "base": self.base}
        loaded = [f"{count} {kind} tensors" for kind, count in counts.items() if count]
        return f"loaded {' and '.join(loaded)}, 0 missing"


def load_adapter(model: PreTrainedModel, method: Method, path: Path | str) -> LoadReport:
    """Load what `path` holds into `model`: its adapter, its base, or both; all of it or nothing.

    Args:
        model: made ready by `method`; merged adapters are merged again afterwards.
        method: decides which tensors there have to be.
        path: a file or folder of the table above.

    Raises:
        InputError: the file cannot be read, or does not fit the base or the method; the message
            names the tensor or setting, and what fits.
    """
    path = Path(path)
    with adapters_merged(model, merged=False):
        if own.is_own_folder(folder := locate_adapter(path)):
            return LoadReport(own.load_own(folder, model, method), 0)
        if peft_tuner.is_tuner_folder(folder):
            return LoadReport(peft_tuner.load_tuner(folder, model, method), 0)
        weights = _read(model, method, path)
        adapter, base = adapter_tensors(model), base_tensors(model)
        biases = trained_biases(model, method.bias) if isinstance(method, LoRA) else {}
        holds_base = not isinstance(method, LoRA) or not weights.base.keys() <= biases.keys()
        require_same_tensors(adapter, weights.adapter, path)
        require_same_tensors(base if holds_base else biases, weights.base, path)
        require_finite(weights.adapter | weights.base, path)
        copy_tensors(adapter, weights.adapter)
        copy_tensors(base, weights.base)
    if holds_base:
        return LoadReport(len(weights.adapter), len(weights.base))
    return LoadReport(len(weights.adapter) + len(weights.base), 0)


def save_adapter(
    model: PreTrainedModel,
    method: Method,
    folder: Path | str,
    base: str | None = None,
    described: Mapping[str, Any] | None = None,
) -> None:
    """Save what `method` trains, atomically.

    What PEFT has a place for goes into a folder in PEFT's layout, a model that is trained as a
    whole into a Hugging Face folder, and anything else into one of ours.

    Args:
        model: made ready by `method`, adapters merged or not.
        method: the method.
        folder: the folder; files of the same names in it are replaced.
        base: name or path of the base that the adapter is for; null takes what transformers knows.
        described: `_target_` and arguments that build the method; None: as its attributes say.
    """
    with adapters_merged(model, merged=False), atomic_folder(Path(folder)) as temporary:
        if beyond_peft(model, method) is None:
            assert isinstance(method, LoRA)
            peft.write_peft(temporary, model, method, base)
        elif hasattr(model, WRAPPED):
            peft_tuner.write_tuner(temporary, model, method, base, described)
        elif is_trained_as_a_whole(model):
            whole_model.write_model(temporary, model)
        else:
            own.write_own(temporary, model, method, base, described)


def describe_adapter(path: Path | str) -> dict[str, Any] | None:
    """Return the arguments of the method with which `path` loads, as far as it says them.

    A folder in our layout says all of them, and `_target_`. A PEFT folder says `rank`, `alpha`,
    `dropout`, `targets` and `bias` (see `adapter_method` for the method itself), a file with the
    reference's tensors only `rank`. None: it holds no LoRA
    adapter.

    Raises:
        InputError: there is no such adapter, or it cannot be read.
    """
    path = locate_adapter(path)
    if own.is_own_folder(path):
        return own.describe_own(path)
    if peft_tuner.is_tuner_folder(path):
        return peft_tuner.describe_tuner(path)
    if peft.is_peft_folder(path):
        settings = peft.describe_peft(path)
        return {key: settings[key] for key in settings if key != "method"}
    if whole_model.is_model_folder(path):
        return None
    rank = loralib.find_rank(path)
    return None if rank is None else {"rank": rank}


def adapter_method(path: Path | str) -> str | None:
    """Return the option of the group `method` with which `path` loads; None: it does not say.

    Raises:
        InputError: there is no such adapter, or it cannot be read.
    """
    path = locate_adapter(path)
    if own.is_own_folder(path):
        return OWN_OPTION
    if peft_tuner.is_tuner_folder(path):
        return PEFT_OPTION
    return peft.describe_peft(path)["method"] if peft.is_peft_folder(path) else None


def other_base(path: Path | str, base: str) -> str | None:
    """Return the base that an adapter names where that is another one than `base`.

    Args:
        path: of the adapter.
        base: path or hub name of the base that it is loaded into.

    Raises:
        InputError: there is no such adapter, or it cannot be read.
    """
    path = locate_adapter(path)
    named = None
    for is_of, layout in ((own.is_own_folder, own), (peft.is_peft_folder, peft)):
        if is_of(path):
            named = layout.named_base(path)
    return None if named is None or is_same_base(named, base) else named


def is_whole_model(path: Path | str) -> bool:
    """Whether loading `path` replaces the base, too.

    Raises:
        InputError: there is no such adapter, or it cannot be read.
    """
    path = locate_adapter(path)
    if path.is_dir():
        return whole_model.is_model_folder(path)
    return loralib.has_base(path)


def _read(model: PreTrainedModel, method: Method, path: Path) -> Weights:
    path = locate_adapter(path)
    if peft.is_peft_folder(path):
        if not isinstance(method, LoRA):
            choice = peft.describe_peft(path)["method"]
            raise InputError(f"{path}: is an adapter; set method={choice}")
        return peft.read_peft(path, model, method)
    if whole_model.is_model_folder(path):
        if adapter_tensors(model):
            raise InputError(
                f"{path}: is a whole model; set method=full, or model.path={path} to adapt it"
            )
        return whole_model.read_model(path, model)
    return read_weights(path, model)


def locate_adapter(path: Path | str) -> Path:
    """Return the file or folder that holds an adapter.

    Args:
        path: that, a file of a PEFT folder, the folder of a training run, for the adapter after its
            last update, or the name of an adapter on the hub.

    Raises:
        InputError: there is none.
    """
    path = Path(path).expanduser()
    if path.name in FILES_OF_A_FOLDER and peft.is_peft_folder(path.parent):
        return path.parent
    if not path.exists() and (name := adapter_name(path)) is not None:
        return adapter_folder(name)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; give an adapter")
    if not path.is_dir() or _is_adapter_folder(path):
        return path
    if _is_adapter_folder(path / OF_A_RUN):
        return path / OF_A_RUN
    within = sorted(file.parent.name for file in path.glob(f"*/{peft.CONFIG}"))
    beside = f"; there is one in each of {', '.join(within)}: give one of these" if within else ""
    raise InputError(
        f"{path}: holds no adapter, neither {peft.CONFIG} nor {whole_model.CONFIG} and "
        f"{whole_model.TENSORS}{beside}"
    )


def _is_adapter_folder(path: Path) -> bool:
    kinds = own.is_own_folder, peft.is_peft_folder, whole_model.is_model_folder
    return any(is_of(path) for is_of in kinds)
