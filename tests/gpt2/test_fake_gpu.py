"""What can be known of a GPU without one: shapes, dtypes and devices of a step, on fake tensors.

A CUDA build of torch is needed, though no GPU: `make gpu-traces`. float32 is not among them: flex
attention cannot be traced so, nor can the flash kernel's backward pass.
"""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import GPT2Config, GPT2LMHeadModel

from lora_lightning.data.batching import collate
from lora_lightning.data.encoding import EncodedExample, make_row
from lora_lightning.gpt2.forward import packed_hidden_states
from lora_lightning.gpt2.projection import with_own_projections
from lora_lightning.methods.lora_method import LoRA
from lora_lightning.training.loss import CompletionLoss

pytestmark = pytest.mark.skipif(
    torch.version.cuda is None, reason="this build of torch has no CUDA: make gpu-traces"
)
ROWS = [EncodedExample([5] * 7, [6] * 4), EncodedExample([7] * 3, [8] * 9)]
BATCH = collate([make_row(row, 512) for row in ROWS], range(len(ROWS)))


@pytest.fixture
def fake_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (9, 0))
    with FakeTensorMode(allow_non_fake_inputs=True), torch.device("cuda"):
        yield


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_training_step_stays_on_the_gpu_in_its_dtype(fake_gpu, dtype):
    config = GPT2Config(vocab_size=20, n_positions=32, n_embd=16, n_layer=2, n_head=2)
    torch.set_default_dtype(dtype)
    try:
        model = with_own_projections(GPT2LMHeadModel(config))
    finally:
        torch.set_default_dtype(torch.float32)
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
