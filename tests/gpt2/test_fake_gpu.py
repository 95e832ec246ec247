"""What can be known of a GPU without one: shapes, dtypes and devices of a step, on fake tensors.

A CUDA build of torch is needed, though no GPU: `make gpu-traces`. Training in float32 is not among
them: flex attention cannot be traced so, nor can the flash kernel's backward pass.
"""

from dataclasses import replace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import GPT2Config, GPT2LMHeadModel

from lora_lightning.data.batching import collate
from lora_lightning.data.encoding import EncodedExample, make_row
from lora_lightning.decoding.beam import BeamState, advance, start
from lora_lightning.decoding.captured import CapturedStep
from lora_lightning.decoding.runner import Batch
from lora_lightning.decoding.settings import BeamSettings, Sampling
from lora_lightning.decoding.shared_prompt import SharedPromptModel
from lora_lightning.gpt2.forward import packed_hidden_states
from lora_lightning.gpt2.layout import shared_copy
from lora_lightning.gpt2.projection import with_own_projections
from lora_lightning.methods.lora import LoRALayer
from lora_lightning.methods.lora_method import LoRA
from lora_lightning.one_pass.joint_model import JointReader, Owners, ThinUpdates
from lora_lightning.training.loss import CompletionLoss

pytestmark = pytest.mark.skipif(
    torch.version.cuda is None, reason="this build of torch has no CUDA: make gpu-traces"
)
ROWS = [EncodedExample([5] * 7, [6] * 4), EncodedExample([7] * 3, [8] * 9)]
SAMPLING = Sampling(temperature=0.7, top_k=5, top_p=0.9, seed=0)
SETTINGS = BeamSettings(
    num_beams=3,
    max_new_tokens=8,
    min_new_tokens=2,
    length_penalty=0.8,
    no_repeat_ngram_size=2,
    no_repeat_ngram_scope="generated",
    repetition_penalty=1.2,
    end_token_ids=(1, 2),
    num_return=1,
)
BATCH = collate([make_row(row, 512) for row in ROWS], range(len(ROWS)))


@pytest.fixture
def fake_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (9, 0))
    with FakeTensorMode(allow_non_fake_inputs=True), torch.device("cuda"):
        yield


def small_gpt2(dtype):
    config = GPT2Config(vocab_size=20, n_positions=32, n_embd=16, n_layer=2, n_head=2)
    torch.set_default_dtype(dtype)
    try:
        return GPT2LMHeadModel(config)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_training_step_stays_on_the_gpu_in_its_dtype(fake_gpu, dtype):
    model = with_own_projections(small_gpt2(dtype))
    LoRA(4, 32, 0.1, ["q", "v"]).apply(model)
    tensors = {k: v.cuda() for k, v in BATCH._asdict().items() if isinstance(v, torch.Tensor)}
    batch = BATCH._replace(**tensors)
    loss = CompletionLoss(0.1)
    positions = loss.positions(batch)
    hidden = packed_hidden_states(model.transformer, batch, positions)
    value = loss(hidden, model.lm_head.weight, batch.targets[positions]).smoothed
    assert (hidden.device.type, hidden.dtype) == ("cuda", dtype)
    assert hidden.shape == (13, model.config.n_embd)
    assert (value.device.type, value.dtype, value.shape) == ("cuda", torch.float32, ())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("search", [{}, {"no_repeat_ngram_scope": "full"}, {"sampling": SAMPLING}])
def test_a_step_of_the_search_can_be_recorded(fake_gpu, dtype, search):
    """On fake tensors, asking for a value raises, so that no value reaches the host."""
    settings = replace(SETTINGS, **search)
    check_recordable(SharedPromptModel(small_gpt2(dtype).eval()), settings, dtype)


def test_a_step_of_the_search_with_several_adapters_can_be_recorded(fake_gpu):
    base, dtype = with_own_projections(small_gpt2(torch.float32)).eval(), torch.float32
    owners, joint = Owners(), shared_copy(base)
    for block in joint.transformer.h:
        frozen = block.attn.c_attn
        layers = [LoRALayer(frozen, rank, 32, slices=(0, 2), num_slices=3) for rank in (2, 4)]
        block.attn.c_attn = ThinUpdates(frozen, layers, owners)
    reader = JointReader(joint, owners, [0, 1], packing=False)
    assert reader.is_recordable
    check_recordable(reader, SETTINGS, dtype)


def check_recordable(model: SharedPromptModel, settings: BeamSettings, dtype: torch.dtype):
    prompts = [[5] * 4, [6] * 3]
    batch = Batch(model, prompts, settings, len(prompts))
    batch.cache._grow(16)
    batch.cache.reading, batch.cache._contexts = 16, len(prompts)  # as `reserve` leaves it
    before = start(range(len(prompts)), prompts, settings, torch.device("cuda"))
    before, _ = advance(before, torch.zeros(len(prompts), 1, 20), settings)
    recorded = CapturedStep(batch._step, before)
    with torch.no_grad():
        recorded._once()  # what a graph records
    assert kinds(recorded.state) == kinds(before)
    assert {device for *_, device in kinds(before)} == {"cuda"}
    assert {keys_and_values.dtype for keys_and_values in batch.cache.states} == {dtype}


def kinds(state: BeamState):
    return [(t.shape, t.dtype, t.device.type) for t in state.tensors()]
