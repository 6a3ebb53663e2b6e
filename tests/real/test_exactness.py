"""byrote's training against the libraries' own on SmolLM2-135M: the same losses, step by step."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

from byrote import lm
from byrote.corpora import load_corpus
from byrote.lm.library import quiet
from byrote.passes.finetune import finetune
from byrote.study import AdverseEventsCorpus, Lora, Training

pytestmark = pytest.mark.real
STEPS, BATCH, MICRO = 20, 8, 4
TRAINING = Training(epochs=1, learning_rate=1e-3, effective_batch=BATCH, warmup_steps=2, seed=5)


def collate(rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    """Padded on the right; padding is no target."""
    width = max(len(row["input_ids"]) for row in rows)
    fill = [[0] * (width - len(row["input_ids"])) for row in rows]
    ids = [row["input_ids"] + rest for row, rest in zip(rows, fill, strict=True)]
    labels = [row["input_ids"] + [-100] * len(rest) for row, rest in zip(rows, fill, strict=True)]
    mask = [[1] * len(row["input_ids"]) + rest for row, rest in zip(rows, fill, strict=True)]
    return {"input_ids": torch.tensor(ids), "labels": torch.tensor(labels), "attention_mask": torch.tensor(mask)}


def reference_losses(model: Any, token_ids: list[tuple[int, ...]], folder: Path) -> list[float]:
    """Losses of Trainer + PEFT in fp32 with gradient checkpointing, micro-batches of 4, records in the order given."""
    model.enable_input_require_grads()
    arguments = TrainingArguments(
        str(folder),
        per_device_train_batch_size=MICRO,
        gradient_accumulation_steps=BATCH // MICRO,
        gradient_checkpointing=True,
        learning_rate=TRAINING.learning_rate,
        warmup_steps=TRAINING.warmup_steps,
        num_train_epochs=1,
        train_sampling_strategy="sequential",
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )
    trainer = Trainer(
        model, arguments, train_dataset=[{"input_ids": list(ids)} for ids in token_ids], data_collator=collate
    )
    trainer.train()
    return [row["loss"] for row in trainer.state.log_history if "loss" in row]


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")
def test_twenty_losses_equal_the_reference_pipelines(tmp_path: Path) -> None:
    files = lm.resolve_base("smollm2-135m")
    records = load_corpus(AdverseEventsCorpus(source="adverse_events", size=STEPS * BATCH)).records
    texts = [r.text for r in records if r.split == "members"]
    token_ids = lm.load_tokenizer(files).encode(texts, append_eos=False)
    base = lm.load_base(files, "fp32", "none", torch.device("cpu"))
    adapted = lm.attach(base, Lora(matrices=("q", "v"), rank=4, dropout=0.0), seed=5)
    lm.save_adapter(adapted, tmp_path / "start", "smollm2-135m")
    (log,) = finetune(adapted, token_ids, TRAINING, 256)
    order = np.random.default_rng([TRAINING.seed, 0]).permutation(len(token_ids))
    with quiet():
        plain = AutoModelForCausalLM.from_pretrained(files.folder, dtype=torch.float32)
        start = PeftModel.from_pretrained(plain, str(tmp_path / "start"), is_trainable=True)
        theirs = reference_losses(start, [token_ids[i] for i in order], tmp_path / "trainer")
    assert len(theirs) == len(log) == STEPS
    np.testing.assert_allclose([step.loss for step in log], theirs, rtol=1e-4)
    assert theirs[-1] < theirs[0] - 0.3  # it did learn
