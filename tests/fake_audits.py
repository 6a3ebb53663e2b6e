"""Audits from the command line, and models that Trainer tunes for them."""

from pathlib import Path
from typing import Any

import pytest
from transformers import Trainer, TrainingArguments

from byrote.cli import main
from fakes import tiny_tokenizer

CHEAP = ("--machine.device", "cpu", "--machine.threads", "1", "--machine.workers", "1", "--model.precision", "fp32")
CHEAP += ("--statistics.bootstrap", "100", "--extraction.prompts.members", "4", "--extraction.prompts.nonmembers", "4")


def audit(*words: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["audit", *map(str, words)])
    return int(stop.value.code or 0)


def train(model: Any, texts: list[str], folder: Path, **more: Any) -> None:
    tokenizer = tiny_tokenizer()
    examples = [{"input_ids": ids, "labels": ids} for ids in (tokenizer(text)["input_ids"][:128] for text in texts)]
    arguments = TrainingArguments(
        str(folder / "out"),
        num_train_epochs=12,
        per_device_train_batch_size=1,
        learning_rate=1e-2,
        report_to=[],
        save_strategy=more.get("save_strategy", "no"),
        save_steps=more.get("save_steps", 500),
        disable_tqdm=True,
        use_cpu=True,
        seed=1,
        logging_strategy="no",
    )
    Trainer(model, arguments, train_dataset=examples).train()  # pyright: ignore[reportArgumentType]
    model.save_pretrained(folder)
