"""The reference pipeline as a user would write it today: Trainer + PEFT, padded batches of 16, one record at a time.

fp32, gradient checkpointing, accumulation 4, dropout 0.05; scoring one record, generation one prompt at a time.
"""

import tempfile
import time
from collections.abc import Sequence

import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainingArguments,
)

from byrote.lm import BaseFiles


def load(files: BaseFiles) -> torch.nn.Module:
    """The base model in fp32 under a LoRA adapter of rank 1 on v."""
    model = AutoModelForCausalLM.from_pretrained(files.folder, dtype=torch.float32)
    config = LoraConfig(task_type="CAUSAL_LM", target_modules=["v_proj"], r=1, lora_alpha=16, lora_dropout=0.05)
    return get_peft_model(model, config)


def finetune(model: torch.nn.Module, files: BaseFiles, token_ids: Sequence[Sequence[int]]) -> float:
    """Seconds of one epoch."""
    tokenizer = AutoTokenizer.from_pretrained(files.folder)
    tokenizer.pad_token = tokenizer.eos_token
    model.enable_input_require_grads()
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            per_device_train_batch_size=16,
            gradient_accumulation_steps=4,
            gradient_checkpointing=True,
            learning_rate=1e-3,
            num_train_epochs=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            logging_strategy="no",
            use_cpu=not torch.cuda.is_available(),
        )
        data = [{"input_ids": list(ids)} for ids in token_ids]
        collator = DataCollatorForLanguageModeling(tokenizer, mlm=False)
        trainer = Trainer(model, arguments, train_dataset=data, data_collator=collator)
        started = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - started
    model.gradient_checkpointing_disable()
    return seconds


@torch.no_grad()
def score(model: torch.nn.Module, token_ids: Sequence[Sequence[int]]) -> float:
    """Seconds for the loss of each record, one at a time."""
    model.eval()
    started = time.perf_counter()
    for ids in token_ids:
        batch = torch.tensor([ids])
        model(input_ids=batch, labels=batch)
    return time.perf_counter() - started


@torch.no_grad()
def complete(model: torch.nn.Module, token_ids: Sequence[Sequence[int]]) -> float:
    """Seconds for a sampled completion of each first half, one at a time."""
    model.eval()
    started = time.perf_counter()
    for ids in token_ids:
        prompt = torch.tensor([ids[: len(ids) // 2]])
        new = len(ids) - len(ids) // 2
        model.generate(
            input_ids=prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=True,
            top_k=0,
            temperature=1.0,
            max_new_tokens=new,
            min_new_tokens=new,
            pad_token_id=0,
        )
    return time.perf_counter() - started
