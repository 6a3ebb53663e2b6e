"""The reference pipeline as a user would write it today: Trainer + PEFT, padded batches of 16, one record at a time.

fp32, gradient checkpointing, accumulation 4, dropout 0.05; scoring one record, generation one prompt at a time.
"""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)
from workers import Settings

from byrote.lm.library import quiet


class Contender:
    """The plain pipeline. Every method gives the seconds it took, preparations apart."""

    def __init__(self, settings: Settings) -> None:
        torch.set_num_threads(settings.threads)
        self.device = torch.device(settings.device)
        self.tokenizer = load_tokenizer(settings.folder)
        self.model = load_model(settings.folder, torch.float32, self.device)
        self.model.enable_input_require_grads()

    def finetune(self, token_ids: Sequence[Sequence[int]]) -> float:
        """One epoch in steps of 64 records."""
        seconds = train(
            self.model,
            self.tokenizer,
            token_ids,
            per_device_train_batch_size=16,
            gradient_accumulation_steps=4,
            gradient_checkpointing=True,
        )
        self.model.gradient_checkpointing_disable()
        return seconds

    @torch.no_grad()
    def score(self, token_ids: Sequence[Sequence[int]]) -> float:
        """The loss of each record, one at a time."""
        self.model.eval()
        started = time.perf_counter()
        for ids in token_ids:
            batch = torch.tensor([ids], device=self.device)
            self.model(input_ids=batch, labels=batch).loss.item()
        return time.perf_counter() - started

    @torch.no_grad()
    def complete(self, token_ids: Sequence[Sequence[int]], samples: int) -> float:
        """Sampled completions of each first half, one at a time."""
        self.model.eval()
        started = time.perf_counter()
        for ids in token_ids:
            prompt = torch.tensor([ids[: len(ids) // 2]], device=self.device)
            new = len(ids) - len(ids) // 2
            for _ in range(samples):
                self.model.generate(
                    input_ids=prompt,
                    attention_mask=torch.ones_like(prompt),
                    do_sample=True,
                    top_k=0,
                    temperature=1.0,
                    max_new_tokens=new,
                    min_new_tokens=new,
                    pad_token_id=self.tokenizer.pad_token_id,
                ).cpu()
        return time.perf_counter() - started

    def gpu_memory(self) -> int | None:
        """Most bytes allocated on the GPU; None on a processor."""
        return gpu_memory(self.device)


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer with the end-of-text token for padding."""
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(folder: Path, dtype: torch.dtype, device: torch.device, **options: Any) -> Any:
    """The base model under a LoRA adapter of rank 1 on v; the adapter is fp32 whatever the base is."""
    with quiet():
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True, **options)
        config = LoraConfig(task_type="CAUSAL_LM", target_modules=["v_proj"], r=1, lora_alpha=16, lora_dropout=0.05)
        return get_peft_model(model.to(device), config)


def train(model: Any, tokenizer: Any, token_ids: Sequence[Sequence[int]], **options: Any) -> float:
    """Seconds of Trainer.train over one epoch of these records; what is timed logs, saves and evaluates nothing."""
    with tempfile.TemporaryDirectory() as folder, quiet():
        arguments = TrainingArguments(
            folder,
            learning_rate=1e-3,
            num_train_epochs=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            logging_strategy="no",
            use_cpu=not torch.cuda.is_available(),
            **options,
        )
        data: Any = [{"input_ids": list(ids)} for ids in token_ids]
        collator = DataCollatorForLanguageModeling(tokenizer, mlm=False)
        trainer = Trainer(model, arguments, train_dataset=data, data_collator=collator)
        trainer.remove_callback(PrinterCallback)
        started = time.perf_counter()
        trainer.train()
        return time.perf_counter() - started


def gpu_memory(device: torch.device) -> int | None:
    """Most bytes torch held allocated on a GPU; None on a processor."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
