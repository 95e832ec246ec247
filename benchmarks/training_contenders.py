"""Who is measured: one training step each, of the same rows, the same trainable set, one dtype.

Every contender is GPT-2 with random weights and LoRA of rank 4 with dropout 0.1, trained by torch's
AdamW. PEFT cannot adapt q and v alone, so against PEFT both adapt the whole `c_attn`.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from benchmarks.training_rows import VOCAB, RowIds
from lora_lightning.gpt2.packing import Packing

SHAPES = {
    "gpt2_small": {"n_embd": 768, "n_layer": 12, "n_head": 12},
    "gpt2_medium": {"n_embd": 1024, "n_layer": 24, "n_head": 16},
    "tiny": {"n_embd": 64, "n_layer": 2, "n_head": 4},  # to try the programs
}
RANK, ALPHA, DROPOUT = 4, 32, 0.1
NOT_A_LABEL = -100


def random_base(shape: str, dtype: torch.dtype) -> GPT2LMHeadModel:
    """Build GPT-2 of a known shape with random weights and no dropout of its own."""
    torch.manual_seed(0)
    no_dropout = dict.fromkeys(("embd_pdrop", "attn_pdrop", "resid_pdrop"), 0.0)
    config = GPT2Config(vocab_size=VOCAB, attn_implementation="sdpa", **SHAPES[shape], **no_dropout)
    return GPT2LMHeadModel(config).to(dtype)


class Contender(ABC):
    """A model that is trained step by step."""

    model: torch.nn.Module

    def __init__(self, base: GPT2LMHeadModel, device: torch.device) -> None:
        self.device = device
        self.build(base.to(device))
        self.model.train()
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=2e-4)

    @abstractmethod
    def build(self, base: GPT2LMHeadModel) -> None:
        """Put the adapters into the base."""

    @abstractmethod
    def batch(self, rows: list[RowIds]) -> Any:
        """Join rows to what the model takes, on its device; not part of the time."""

    @abstractmethod
    def loss(self, batch: Any) -> Tensor:
        """Run forward, ()."""

    def step(self, batch: Any) -> Tensor:
        """Train on one batch."""
        loss = self.backward(batch)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss

    def backward(self, batch: Any) -> Tensor:
        """Add the gradient of a batch, and return its loss, ()."""
        loss = self.loss(batch)
        loss.backward()
        return loss.detach()


class Ours(Contender):
    """The engine that train.py uses, with its defaults."""

    targets = ("c_attn",)
    packing: Packing = "auto"
    label_smoothing = 0.0

    def build(self, base: GPT2LMHeadModel) -> None:
        """Put in our LoRA layers."""
        from lora_lightning.gpt2.projection import pack_for_training, with_own_projections
        from lora_lightning.methods.lora_method import LoRA
        from lora_lightning.training.allocator import keep_freed_memory
        from lora_lightning.training.loss import CompletionLoss

        keep_freed_memory()
        with_own_projections(base)
        LoRA(RANK, ALPHA, DROPOUT, list(self.targets)).apply(base)
        pack_for_training(base, self.packing, self.device)
        self.model = base
        self.criterion = CompletionLoss(self.label_smoothing)

    def batch(self, rows: list[RowIds]) -> Any:
        """Pack the rows."""
        from lora_lightning.data.batching import collate
        from lora_lightning.data.encoding import EncodedExample, make_row

        batch = collate([make_row(EncodedExample(*row), 512) for row in rows], range(len(rows)))
        return batch._replace(
            **{k: v.to(self.device) for k, v in batch._asdict().items() if isinstance(v, Tensor)}
        )

    def loss(self, batch: Any) -> Tensor:
        """Hidden states and loss of the labelled positions, of what is computed at once."""
        from lora_lightning.gpt2.forward import packed_hidden_states

        head = self.model.lm_head.weight
        hidden = packed_hidden_states(self.model.transformer, batch, batch.positions)
        return self.criterion(hidden, head, batch.targets, batch.share)[0] * batch.share

    def backward(self, batch: Any) -> Tensor:
        """Take the micro-batch in parts, as training does."""
        from lora_lightning.training.parts import parts_of

        parts = parts_of(batch, self.criterion.positions(batch))
        return torch.stack([super(Ours, self).backward(part) for part in parts]).sum()


class OursPacked(Ours):
    """The same with packed weights."""

    packing: Packing = True


class OursNotPacked(Ours):
    """The same with weights as they are."""

    packing: Packing = False


class OursLikeTheReference(Ours):
    """The same on q and v, with label smoothing."""

    targets = ("q", "v")
    label_smoothing = 0.1


class PeftPadded(Contender):
    """PEFT and transformers in a plain loop, rows padded to the longest."""

    def build(self, base: GPT2LMHeadModel) -> None:
        """Let PEFT put in its layers."""
        from peft import get_peft_model

        self.model = get_peft_model(base, lora_config())

    def batch(self, rows: list[RowIds]) -> Any:
        """Pad on the right, with an attention mask."""
        longest = max(len(context) + len(completion) for context, completion in rows)
        batch = {
            "input_ids": torch.zeros(len(rows), longest, dtype=torch.int64),
            "attention_mask": torch.zeros(len(rows), longest, dtype=torch.int64),
            "labels": torch.full((len(rows), longest), NOT_A_LABEL),
        }
        for i, (context, completion) in enumerate(rows):
            length = len(context) + len(completion)
            batch["input_ids"][i, :length] = torch.tensor(context + completion)
            batch["attention_mask"][i, :length] = 1
            batch["labels"][i, len(context) : length] = torch.tensor(completion)
        return {key: tensor.to(self.device) for key, tensor in batch.items()}

    def loss(self, batch: Any) -> Tensor:
        """Let transformers compute its loss."""
        loss: Tensor = self.model(**batch, use_cache=False).loss
        return loss


class PeftFlattened(PeftPadded):
    """PEFT and transformers in a plain loop, rows joined by transformers' padding-free collator."""

    def batch(self, rows: list[RowIds]) -> Any:
        """Join the rows end to end."""
        from transformers import DataCollatorWithFlattening

        batch = DataCollatorWithFlattening(return_tensors="pt")(labelled(rows))
        return {key: tensor.to(self.device) for key, tensor in batch.items()}


class PeftTrainer(PeftPadded):
    """PEFT under transformers' Trainer: its training step, its optimizer."""

    def build(self, base: GPT2LMHeadModel) -> None:
        """Put the PEFT model into a Trainer."""
        from transformers import Trainer, TrainingArguments

        super().build(base)
        arguments = TrainingArguments(
            output_dir="unused", use_cpu=self.device.type == "cpu", report_to=[], disable_tqdm=True
        )
        self.trainer = Trainer(model=self.model, args=arguments)
        self.trainer.current_gradient_accumulation_steps = 1  # which Trainer.train would set

    def step(self, batch: Any) -> Tensor:
        """Let the Trainer compute the gradient."""
        loss = self.trainer.training_step(self.model, batch)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss


class TrlFlattened(PeftPadded):
    """PEFT under TRL's SFT trainer: padding-free rows, its chunked loss, its training step."""

    def build(self, base: GPT2LMHeadModel) -> None:
        """Put the base into a trainer, which needs a tokenizer and rows to begin with."""
        from datasets import Dataset
        from tokenizers import Tokenizer, models
        from transformers import PreTrainedTokenizerFast
        from trl import SFTConfig, SFTTrainer

        words = Tokenizer(models.WordLevel({"<end>": 0}, unk_token="<end>"))
        self.trainer = SFTTrainer(
            base,
            SFTConfig(
                output_dir="unused",
                use_cpu=self.device.type == "cpu",
                bf16=False,  # the base has the dtype that is asked for, and nothing is converted
                report_to=[],
                disable_tqdm=True,
                padding_free=True,
                max_length=None,
                gradient_checkpointing=False,
            ),
            train_dataset=Dataset.from_list(labelled([([0], [0])])),
            processing_class=PreTrainedTokenizerFast(
                tokenizer_object=words, eos_token="<end>", pad_token="<end>"
            ),
            peft_config=lora_config(),
        )
        self.trainer.current_gradient_accumulation_steps = 1  # which Trainer.train would set
        self.model = self.trainer.model

    def batch(self, rows: list[RowIds]) -> Any:
        """Let TRL join the rows."""
        return self.trainer.data_collator(labelled(rows))

    def step(self, batch: Any) -> Tensor:
        """Let TRL compute the gradient."""
        loss = self.trainer.training_step(self.model, batch)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss


def labelled(rows: list[RowIds]) -> list[dict[str, list[int]]]:
    """Return rows as transformers' and TRL's collators take them, completions alone trained."""
    return [
        {"input_ids": context + completion, "labels": [NOT_A_LABEL] * len(context) + completion}
        for context, completion in rows
    ]


def lora_config() -> Any:
    """Return PEFT's configuration of the same LoRA."""
    from peft import LoraConfig

    return LoraConfig(
        r=RANK,
        lora_alpha=ALPHA,
        lora_dropout=DROPOUT,
        target_modules=["c_attn"],
        fan_in_fan_out=True,
    )
