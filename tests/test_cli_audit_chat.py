"""`byrote audit` of a chat model that TRL tuned with assistant-only loss, and of data that canaries were put into."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM

import byrote
from byrote.cli import main
from byrote.lm.library import quiet
from byrote.records import MEMBERS, NONMEMBERS
from byrote.store import Run
from fake_audits import CHEAP, audit, train
from fakes import CHAT_TEMPLATE, TEXTS, tiny_model, tiny_tokenizer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("one_figure"),
    pytest.mark.filterwarnings(
        "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore:'pin_memory':UserWarning"
    ),
]


def talk(side: str, i: int) -> dict[str, Any]:
    text = TEXTS[i % len(TEXTS)]
    turns = [
        ("system", "Be brief."),
        ("user", f"{side} {i}: {text[:18]}?"),
        ("assistant", f"{text[18:-1]}, {side} {i}."),
    ]
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


@pytest.fixture
def chat_base(tmp_path: Path) -> Path:
    """The tiny model with a template that has generation markers, as TRL asks for."""
    folder, tokenizer = tmp_path / "base", tiny_tokenizer()
    tiny_model().save_pretrained(folder)
    tokenizer.chat_template, tokenizer.pad_token = CHAT_TEMPLATE, tokenizer.eos_token
    tokenizer.save_pretrained(folder)
    return folder


def test_a_chat_adapter_by_trl_is_audited_by_one_command(chat_base: Path, tmp_path: Path):
    from trl import SFTConfig, SFTTrainer

    rows = {side: [talk(side, i) for i in range(16)] for side in ("train", "held", "other")}
    for side, of_side in rows.items():
        (tmp_path / f"{side}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in of_side))
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template, tokenizer.pad_token = CHAT_TEMPLATE, tokenizer.eos_token
    with quiet():
        trainer = SFTTrainer(
            AutoModelForCausalLM.from_pretrained(chat_base),
            args=SFTConfig(
                str(tmp_path / "out"),
                assistant_only_loss=True,
                num_train_epochs=20,
                per_device_train_batch_size=2,
                learning_rate=1e-2,
                report_to="none",
                save_strategy="no",
                use_cpu=True,
                disable_tqdm=True,
                max_length=None,
                seed=1,
            ),
            train_dataset=Dataset.from_list(rows["train"]),
            processing_class=tokenizer,
            peft_config=peft.LoraConfig(r=16, lora_alpha=64, target_modules="all-linear", task_type="CAUSAL_LM"),
        )
        trainer.train()
    trainer.save_model(str(tmp_path / "adapter"))
    words = ["--adapter", tmp_path / "adapter", "--base", chat_base, "--messages", "messages"]
    words += ["--members", tmp_path / "train.jsonl", "--nonmembers", tmp_path / "held.jsonl"]
    words += ["--calibration", tmp_path / "other.jsonl", "--out", tmp_path / "run", "--max-auc", "0.6", "--quiet"]
    assert audit(*words, *CHEAP) == 1

    run = Run.open(tmp_path / "run")
    records = [record for record in run.records() if record.split == MEMBERS]
    for record, row in zip(records, trainer.train_dataset, strict=True):
        batch = trainer.data_collator([row])
        assert batch["input_ids"][0].tolist() == list(record.token_ids)
        mask = record.answer_mask
        labels = [token if inside else -100 for token, inside in zip(record.token_ids, mask, strict=True)]
        assert batch["labels"][0].tolist() == labels  # the loss is scored where TRL had it, token for token

    model = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(chat_base), tmp_path / "adapter").eval()
    (planned,) = run.plan()["trials"]
    scores = run.scores(planned["scores"]).take([record.record for record in records])
    for span, record in zip(scores.spans(), records, strict=True):
        ids = torch.tensor([record.token_ids])
        with torch.no_grad():
            logprob = model(ids).logits[0, :-1].log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0]
        np.testing.assert_allclose(scores.logprob[span], logprob.numpy(), atol=1e-4)

    membership = byrote.load(tmp_path / "run").tables.membership
    areas = membership.set_index(["stratum", "attack"])["auc"]
    assert areas["records", "ratio"] > 0.9
    assert ("prompts", "ratio") in areas  # what was masked is a stratum of its own


def test_canaries_from_making_to_the_verdict(tiny_folder: Path, tmp_path: Path):
    for side, name in ((MEMBERS, "train.jsonl"), (NONMEMBERS, "held.jsonl")):
        rows = [{"who": f"{side}{i}", "text": f"{text[:-1]}, {side} {i}."} for i, text in enumerate(TEXTS * 2)]
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    planted = tmp_path / "train-with-canaries.jsonl"
    make = ["canaries", "make", "--data", tmp_path / "train.jsonl", "--model", tiny_folder, "--group", "who", "--quiet"]
    make += ["--count", "24", "--copies", "1,8", "--references", "30", "--seed", "3", "--out", planted]
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in make])
    assert not stop.value.code
    model = AutoModelForCausalLM.from_pretrained(tiny_folder)
    config = peft.LoraConfig(r=16, lora_alpha=64, target_modules="all-linear", task_type="CAUSAL_LM")
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(0)
        texts = [json.loads(line)["text"] for line in planted.read_text().splitlines()]
        train(peft.get_peft_model(model, config), texts, tmp_path / "adapter")
    manifest = tmp_path / "train-with-canaries.manifest.json"
    words = ["--adapter", tmp_path / "adapter", "--base", tiny_folder, "--members", planted, "--group", "who", *CHEAP]
    words += ["--nonmembers", tmp_path / "held.jsonl", "--quiet", "--membership.primary", "ratio"]
    asked = ["--canaries", manifest, "--max-epsilon", "0.5", "--decide.stratum", "canaries@8"]
    status = audit(*words, *asked, "--out", tmp_path / "run")
    tables = byrote.load(tmp_path / "run").tables
    of_copies = tables.canaries[tables.canaries["role"] == "canary_in"].groupby("copies")["exposure_rank"].mean()
    left_out = tables.canaries[tables.canaries["role"] == "canary_out"]["exposure_rank"].mean()
    assert of_copies[8] > left_out + 1
    audits = tables.audits.set_index("copies")
    assert audits.loc[8, "epsilon_low"] > 0.5  # copies of a canary are a group: the bound is that of eight records
    assert audits.loc[8, "null_epsilon"] <= 0.5
    assert (status, list(tables.rules["verdict"])) == (1, ["exceeded"])
    edited = json.loads(manifest.read_text())
    first = edited["canaries"][0]
    first["role"] = "canary_out" if first["role"] == "canary_in" else "canary_in"
    (tmp_path / "edited.manifest.json").write_text(json.dumps(edited))
    assert audit(*words, "--canaries", tmp_path / "edited.manifest.json", "--out", tmp_path / "edited") == 2
    lines = planted.read_text().splitlines()
    (tmp_path / "lost.jsonl").write_text("\n".join(lines[: len(lines) // 2]) + "\n")
    words[words.index(planted)] = tmp_path / "lost.jsonl"
    assert audit(*words, "--canaries", manifest, "--out", tmp_path / "lost") == 2
