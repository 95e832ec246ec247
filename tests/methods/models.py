"""Small models for the tests of the methods."""

import pytest
import torch
from hypothesis import strategies as st
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from lora_lightning.errors import InputError
from lora_lightning.gpt2.projection import with_own_projections
from lora_lightning.methods.adapter_files import load_adapter
from lora_lightning.methods.base import adapter_tensors
from lora_lightning.methods.biases import trained_biases
from lora_lightning.methods.dora import DoRA
from lora_lightning.methods.lora_method import LoRA
from lora_lightning.methods.rslora import RSLoRA

QV = LoRA(rank=2, alpha=6, dropout=0.0, targets=["q", "v"])
METHODS = {method.choice: method for method in (LoRA, RSLoRA, DoRA)}
TARGETS = [["q", "v"], ["k"], ["q", "k", "v"], ["c_attn"], ["q", "v", "mlp.c_fc"], ["c_proj", "k"]]
# Settings of one adapted layer around a fused projection.
LAYERS = st.fixed_dictionaries(
    {
        "linear": st.booleans(),
        "slices": st.sampled_from([(0,), (1,), (2,), (0, 2), (1, 2), (0, 1, 2)]),
        "rank": st.integers(1, 8),
        "alpha": st.sampled_from([0.5, 4, 32]),
        "dtype": st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
    }
)


def small_gpt2(seed: int = 0, **settings) -> GPT2LMHeadModel:
    """A random GPT-2 of 2 layers, 16 wide, without dropout, of the modules that a base has."""
    sizes = {"vocab_size": 50, "n_positions": 32, "n_embd": 16, "n_layer": 2, "n_head": 2}
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    no_dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    torch.manual_seed(seed)
    model = GPT2LMHeadModel(GPT2Config(**sizes | ends | no_dropout | settings)).eval()
    for parameter in model.parameters():
        # Wide enough that every tensor, the biases included, shows in the logits.
        nn.init.normal_(parameter, std=0.2)
    return with_own_projections(model)


def randomize(model: nn.Module, bias="none", seed: int = 1) -> nn.Module:
    """Give the adapters of a model, and biases trained with them, an update that is not zero."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, tensor in (adapter_tensors(model) | trained_biases(model, bias)).items():
            if name.endswith("lora_magnitude_vector"):
                tensor.mul_(torch.empty_like(tensor).uniform_(0.5, 1.5))
            else:
                tensor.normal_(std=0.3)
    return model


def adapted(method=QV, seed: int = 0, **settings) -> GPT2LMHeadModel:
    """A small GPT-2 with a method applied and, for an adapter, random updates."""
    model = small_gpt2(seed, **settings)
    method.apply(model)
    return randomize(model, getattr(method, "bias", "none"))


@torch.no_grad()
def logits(model: nn.Module) -> torch.Tensor:
    """Logits of a fixed input, (2, 7, vocab)."""
    ids = torch.randint(50, (2, 7), generator=torch.Generator().manual_seed(0))
    return model(input_ids=ids).logits


def fresh(method=QV, seed=0, **settings):
    """A base with a method that has learned nothing yet."""
    model = small_gpt2(seed, **settings)
    method.apply(model)
    return model


def same(left, right):
    """Whether two sets of named tensors are equal to the bit."""
    return left.keys() == right.keys() and all(left[name].equal(right[name]) for name in left)


def refusal(model, method, path):
    """Load what must be refused, and return the message; the model stays as it was."""
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(InputError) as error:
        load_adapter(model, method, path)
    assert same(model.state_dict(), state)
    return str(error.value)
