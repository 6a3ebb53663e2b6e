"""A training by two processes, run by test_ddp.py: `torchrun ddp_script.py FOLDER AUDITED STOP`."""

import json
import os
import sys
from pathlib import Path

import torch.distributed as distributed
from peft import LoraConfig, get_peft_model
from transformers import DataCollatorForLanguageModeling, Trainer, TrainingArguments, set_seed

from byrote.integrations import AuditCallback
from fakes import TEXTS, tiny_model, tiny_tokenizer

folder, audited, stop = Path(sys.argv[1]), sys.argv[2] == "audited", sys.argv[3] == "stop"
members, outside = ([f"{text[:-1]}, {side}{i}." for i, text in enumerate(TEXTS)] for side in "mn")
set_seed(1)
tokenizer = tiny_tokenizer()
tokenizer.pad_token = tokenizer.eos_token
lora = LoraConfig(r=4, lora_dropout=0.2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
trainer = Trainer(
    get_peft_model(tiny_model(), lora),
    TrainingArguments(
        str(folder),
        max_steps=8,
        per_device_train_batch_size=2,
        learning_rate=0.02,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        ddp_backend="gloo",
        disable_tqdm=True,
    ),
    train_dataset=[{"input_ids": tokenizer(text)["input_ids"]} for text in members],
    data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False),
    processing_class=tokenizer,
)
if audited:
    bound = "max_auc=0.01" if stop else "max_auc=0.99"
    audit = AuditCallback(members, outside, every=3, stop_when=bound).attach(trainer)
trainer.train()
result = {
    "processes": distributed.get_world_size(),
    "losses": [row["loss"] for row in trainer.state.log_history if "loss" in row],
    "steps": trainer.state.global_step,
    "looks": [look.step for look in audit.looks] if audited else [],
}
(folder / f"{trainer.args.process_index}.json").write_text(json.dumps(result))
distributed.barrier()
distributed.destroy_process_group()  # gloo's threads must not outlive the interpreter
sys.stdout.flush()
os._exit(0)  # a thread of gloo's that is still joinable would abort the interpreter's own end
