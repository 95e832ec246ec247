"""What the formats of others have no place for, said by name."""

from transformers import PreTrainedModel

from lora_lightning.methods.base import adapter_tensors, base_tensors
from lora_lightning.methods.biases import Bias, trained_biases
from lora_lightning.methods.dora import DoRA, DoRALayer
from lora_lightning.methods.inject import adapter_layers, lora_layers
from lora_lightning.methods.lora import LoRALayer
from lora_lightning.methods.lora_method import LoRA
from lora_lightning.methods.method import Method
from lora_lightning.methods.rslora import RSLoRA, RSLoRALayer

IN_PEFT: dict[type, type[LoRA]] = {LoRALayer: LoRA, RSLoRALayer: RSLoRA, DoRALayer: DoRA}
"""Layers that PEFT computes alike, and the methods that its config can ask for."""


def beyond_peft(model: PreTrainedModel, method: Method) -> str | None:
    """Return what PEFT's layout cannot say of a trained model; None where it says all."""
    if not isinstance(method, LoRA):
        return f"what {type(method).__name__} trains"
    known = {
        f"{name}.{leaf}"
        for name, layer in lora_layers(model).items()
        for leaf in _leaves(type(layer))
    }
    known |= trained_biases(model, method.bias).keys()
    if unknown := [name for name in _trained(model) if name not in known]:
        return f"{unknown[0]} of {type(method).__name__}"
    for layer in adapter_layers(model).values():
        if not isinstance(method, IN_PEFT.get(type(layer), ())):
            return f"{type(layer).__name__} of {type(method).__name__}"
    return None


def is_trained_as_a_whole(model: PreTrainedModel) -> bool:
    """Whether a method trains every tensor of the base, and nothing else."""
    return not adapter_tensors(model) and all(p.requires_grad for p in base_tensors(model).values())


def beyond_loralib(model: PreTrainedModel, bias: Bias) -> str | None:
    """Return why loralib's layout does not do for a trained model; None where it does."""
    layers = lora_layers(model)
    if not layers:
        return "the model has no LoRA adapter to write; use format=merged"
    if any(isinstance(layer, DoRALayer) for layer in layers.values()):
        return "format=loralib has no place for DoRA's magnitudes; use format=peft or merged"
    known = {f"{name}.{leaf}" for name in layers for leaf in ("lora_A", "lora_B")}
    known |= trained_biases(model, bias).keys()
    unknown = [name for name in _trained(model) if name not in known]
    unknown += [type(m).__name__ for m in layers.values() if type(m) not in IN_PEFT]
    if unknown:
        return f"format=loralib has no place for {unknown[0]}; use format=merged"
    if len({(layer.rank, layer.alpha) for layer in layers.values()}) > 1:
        return "format=loralib has one rank and one alpha for all layers; use format=peft or merged"
    return None


def _leaves(layer_type: type) -> tuple[str, ...]:
    of_dora = ("lora_magnitude_vector",) if layer_type is DoRALayer else ()
    return ("lora_A", "lora_B", "start_A", "start_B", *of_dora)


def _trained(model: PreTrainedModel) -> list[str]:
    trained = [name for name, tensor in base_tensors(model).items() if tensor.requires_grad]
    return [*adapter_tensors(model), *trained]
