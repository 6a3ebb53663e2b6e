"""The scripts of docs/training-script.md run as printed, and SFTTrainer is left as it was."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig

from byrote.integrations import AuditCallback
from fakes import TEXTS, tiny_model, tiny_tokenizer

# TRL asks transformers for names of its older versions; the scripts leave the trainer's settings for a GPU as they are.
pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore:'pin_memory' argument:UserWarning"
)

PAGE = (Path(__file__).parents[2] / "docs" / "training-script.md").read_text("utf-8")
SCRIPTS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.parametrize("which", range(2))
def test_the_scripts_run_as_printed(
    which: int, tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(SCRIPTS) == 2
    shutil.copytree(tiny_folder, tmp_path / "base-model")
    for name in ("train", "held-out", "held-out-too"):
        rows = [{"text": f"{text[:-1]}, {name} {i}.", "patient": f"{name}{i // 2}"} for i, text in enumerate(TEXTS)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    names: dict[str, Any] = {}
    exec(compile(SCRIPTS[which], f"script {which} of the page", "exec"), names)
    audit = names["audit"]
    assert [look.step for look in audit.looks] == [[10, 20, 30], [5, 20, 30]][which]
    assert "byrote/auc_ratio" in str(names["trainer"].state.log_history)
    assert capsys.readouterr().out


@pytest.mark.slow
def test_sft_trainer_goes_on_to_the_same_bits_and_means(tmp_path: Path) -> None:
    from trl import SFTConfig, SFTTrainer

    members, outside = ([f"{text[:-1]}, {side}{i}." for i, text in enumerate(TEXTS)] for side in "mn")
    histories, adapters, scored = [], [], None
    for audited in (False, True):
        tokenizer = tiny_tokenizer()
        tokenizer.pad_token = tokenizer.eos_token
        trainer = SFTTrainer(
            tiny_model(),
            args=SFTConfig(
                str(tmp_path / str(audited)),
                max_steps=6,
                per_device_train_batch_size=2,
                logging_steps=4,
                learning_rate=0.01,
                report_to="none",
                save_strategy="no",
                use_cpu=True,
                disable_tqdm=True,
            ),
            train_dataset=Dataset.from_list([{"text": text} for text in members]),
            processing_class=tokenizer,
            peft_config=LoraConfig(r=4, lora_dropout=0.2, target_modules=["q_proj"], task_type="CAUSAL_LM"),
        )
        if audited:
            scored = AuditCallback(members, outside, append_eos=True, every=3, at=(2,)).attach(trainer)
        trainer.train()
        rows = [row for row in trainer.state.log_history if not any(name.startswith("byrote/") for name in row)]
        assert "mean_token_accuracy" in rows[0]
        clock = ("train_runtime", "train_samples_per_second", "train_steps_per_second")
        histories.append([{name: value for name, value in row.items() if name not in clock} for row in rows])
        trainer.save_model(str(tmp_path / f"adapter{audited}"))
        adapters.append((tmp_path / f"adapter{audited}" / "adapter_model.safetensors").read_bytes())
    assert histories[0] == histories[1]
    assert adapters[0] == adapters[1]
    assert scored is not None
    assert [look.step for look in scored.looks] == [2, 3, 6]
    ids = [tuple(row["input_ids"]) for row in trainer.train_dataset]
    sample = scored._ready
    assert sample is not None
    assert [r.token_ids for r in sample.records if r.split == "members"] == ids  # as SFTTrainer sees them


def test_answers_as_sft_trainer_masked_them(tmp_path: Path) -> None:
    from trl import SFTConfig, SFTTrainer

    def halves(side: str) -> Dataset:
        rows = [f"{text[:-1]}, {side}{i}." for i, text in enumerate(TEXTS)]
        return Dataset.from_list([{"prompt": row[:20], "completion": row[20:]} for row in rows])

    tokenizer = tiny_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    settings = {"report_to": "none", "save_strategy": "no", "use_cpu": True, "disable_tqdm": True}
    trainer = SFTTrainer(
        tiny_model(),
        args=SFTConfig(str(tmp_path), max_steps=2, learning_rate=0.01, **settings),
        train_dataset=halves("m"),
        eval_dataset=halves("n"),
        processing_class=tokenizer,
    )
    audit = AuditCallback(trainer.train_dataset, trainer.eval_dataset).attach(trainer)
    trainer.train()
    losses = []
    for row in trainer.train_dataset:  # the slow twin: one answer, transformers' own loss
        ids, labels = torch.tensor([row["input_ids"]]), torch.tensor([row["labels"]])
        assert (labels == -100).any()
        with torch.no_grad():
            logprobs = trainer.model.eval()(input_ids=ids).logits[0, :-1].log_softmax(-1)
        kept = labels[0, 1:] != -100
        losses.append(-logprobs[kept, ids[0, 1:][kept]])
    assert audit.looks[-1].numbers["loss_members"] == pytest.approx(float(torch.cat(losses).mean()), abs=1e-4)
