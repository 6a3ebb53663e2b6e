"""AuditCallback inside plain Trainer, PEFT and TRL: the training is the same to the bit, and the numbers are right."""

import logging
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from peft import IA3Config, LoraConfig, PrefixTuningConfig, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file
from transformers import DataCollatorForLanguageModeling, Trainer, TrainerCallback, TrainingArguments, set_seed

from byrote.errors import CorpusError, ModelError, StudyError
from byrote.integrations import AuditCallback
from byrote.integrations.callback import BASE_FILE
from byrote.records import TokenScores
from byrote.statistics.roc import auc
from fakes import TEXTS, tiny_model, tiny_tokenizer

MEMBERS = [f"{text[:-1]}, case m{i}." for i, text in enumerate(TEXTS)]
NONMEMBERS = [f"{text[:-1]}, case n{i}." for i, text in enumerate(TEXTS)]
CALIBRATION = [f"{text[:-1]}, case c{i}." for i, text in enumerate(TEXTS)]


class Tracker(TrainerCallback):
    """A tracker that closes when the training ends, as TensorBoard's and MLflow's do."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.closed = False

    def on_log(self, _: Any, state: Any, *__: Any, logs: Any, **___: Any) -> None:
        assert not self.closed
        self.rows.append({**logs, "step": state.global_step})

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self.closed = True


class Draws(TrainerCallback):
    """What the global generators give after each step, and each module's mode."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_step_begin(self, *_: Any, model: Any, **__: Any) -> None:
        modes = [module.training for module in model.modules()]
        trained = [parameter.requires_grad for parameter in model.parameters()]
        states = torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()
        self.seen.append((modes, trained, states))


def lora_model(**options: Any) -> Any:
    set_seed(3)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], lora_dropout=0.3, task_type="CAUSAL_LM", **options)
    return get_peft_model(tiny_model(), config)


def trainer_of(model: Any, folder: Path, callbacks: Any = (), **options: Any) -> Trainer:
    tokenizer = tiny_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    rows = Dataset.from_list([{"input_ids": tokenizer(text)["input_ids"]} for text in MEMBERS])
    settings = {
        "per_device_train_batch_size": 2,
        "max_steps": 9,
        "learning_rate": 0.02,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
        "seed": 5,
    }
    args = TrainingArguments(output_dir=str(folder), **{**settings, **options})
    collator = DataCollatorForLanguageModeling(tokenizer, mlm=False)
    return Trainer(
        model,
        args,
        train_dataset=rows,
        data_collator=collator,
        processing_class=tokenizer,
        callbacks=[Tracker(), Draws(), *callbacks],
    )


def tracker_of(trainer: Trainer, kind: type = Tracker) -> Any:
    return next(c for c in trainer.callback_handler.callbacks if isinstance(c, kind))


def losses(trainer: Trainer) -> list[Any]:
    rows = [row for row in trainer.state.log_history if "loss" in row or "train_loss" in row]
    return [{k: v for k, v in row.items() if k in ("loss", "grad_norm", "step", "train_loss")} for row in rows]


def weights(model: Any) -> dict[str, bytes]:
    return {name: tensor.detach().numpy().tobytes() for name, tensor in model.state_dict().items()}


def full_model() -> Any:
    model = tiny_model()
    model.config.attention_dropout = 0.2
    for module in model.modules():
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = 0.2
    return model


def checkpointing_model() -> Any:
    """An adapter under gradient checkpointing."""
    model = lora_model()
    model.get_base_model().activation_checkpointing_enable()
    model.enable_input_require_grads()
    return model


@pytest.mark.parametrize(
    ("make", "logging_steps"), [(lora_model, 1), (lora_model, 4), (full_model, 1), (checkpointing_model, 1)]
)
def test_the_training_is_the_same_to_the_bit(make: Any, logging_steps: int, tmp_path: Path) -> None:
    runs = []
    for audited in (False, True):
        trainer = trainer_of(make(), tmp_path / str(audited), logging_steps=logging_steps)
        if audited:
            AuditCallback(MEMBERS, NONMEMBERS, every=2, at=(1, 3)).attach(trainer)
        trainer.train()
        runs.append(trainer)
    plain, audited = runs
    assert len(losses(plain)) > 2
    assert losses(audited) == losses(plain)
    assert tracker_of(audited, Draws).seen == tracker_of(plain, Draws).seen
    assert any(mode for modes, _, _ in tracker_of(plain, Draws).seen for mode in modes)
    assert weights(audited.model) == weights(plain.model)
    plain.model.save_pretrained(tmp_path / "plain")
    audited.model.save_pretrained(tmp_path / "audited")
    for path in (tmp_path / "plain").glob("*.safetensors"):
        assert path.read_bytes() == (tmp_path / "audited" / path.name).read_bytes()
        assert load_file(path)


KINDS = {
    "prefix tuning": PrefixTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM"),
    "prompt tuning": PromptTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM"),
    "IA3": IA3Config(task_type="CAUSAL_LM"),
    "DoRA": LoraConfig(use_dora=True, target_modules=["q_proj"], task_type="CAUSAL_LM"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_other_adapters_are_left_alone_and_measured_too(kind: str, tmp_path: Path) -> None:
    histories, trainer, audit = [], None, None
    for audited in (False, True):
        set_seed(3)
        trainer = trainer_of(get_peft_model(tiny_model(), KINDS[kind]), tmp_path)
        if audited:
            audit = AuditCallback(MEMBERS, NONMEMBERS, every=3, batch_tokens=60).attach(trainer)
        trainer.train()
        histories.append(losses(trainer))
    assert histories[0] == histories[1]
    assert trainer is not None
    assert audit is not None
    assert audit.base_scores is not None
    expected = np.concatenate([plain_logprobs(trainer.model.eval(), text) for text in MEMBERS]).mean()
    assert audit.looks[-1].numbers["loss_members"] == pytest.approx(-expected, abs=1e-4)
    expected = plain_logprobs(tiny_model(), MEMBERS[0])
    assert audit.base_scores.take(["members:1"]).logprob == pytest.approx(expected, abs=1e-4)


def test_modes_are_restored_module_by_module(tmp_path: Path) -> None:
    trainer = trainer_of(lora_model(), tmp_path, max_steps=1)
    audit = AuditCallback(MEMBERS, NONMEMBERS).attach(trainer)
    seen = []

    class Half(TrainerCallback):
        def on_step_end(self, *_: Any, model: Any, **__: Any) -> None:
            model.base_model.model.model.layers[0].eval()

        def on_train_end(self, *_: Any, model: Any, **__: Any) -> None:
            seen.append([m.training for m in model.modules()])

    trainer.add_callback(Half())
    trainer.train()
    assert len(audit.looks) == 1
    assert {True, False} == set(seen[0])


def plain_logprobs(model: Any, text: str) -> np.ndarray:
    """The slow twin: one text, transformers' own forward pass, log-softmax."""
    ids = torch.tensor([tiny_tokenizer()(text)["input_ids"]])
    with torch.no_grad():
        rows = model(input_ids=ids).logits[0, -ids.shape[1] :].log_softmax(-1)  # after virtual tokens
    return np.array([rows[i, ids[0, i + 1]] for i in range(ids.shape[1] - 1)])


@pytest.mark.parametrize("make", [lora_model, full_model])
def test_scores_and_numbers_equal_plain_transformers(make: Any, tmp_path: Path) -> None:
    trainer = trainer_of(make(), tmp_path)
    audit = AuditCallback(MEMBERS, NONMEMBERS, attacks=["loss", "ratio"], batch_tokens=50).attach(trainer)
    trainer.train()
    base, tuned = tiny_model(), trainer.model.eval()
    means: dict[str, list[list[float]]] = {}
    assert audit.base_scores is not None
    for side, texts in (("members", MEMBERS), ("nonmembers", NONMEMBERS)):
        for i, text in enumerate(texts, 1):
            expected = plain_logprobs(base, text)
            assert audit.base_scores.take([f"{side}:{i}"]).logprob == pytest.approx(expected, abs=1e-4)
            pair = [-plain_logprobs(tuned, text).mean(), -expected.mean()]
            means.setdefault(side, []).append(pair)
    tuned_in, base_in = np.array(means["members"]).T
    tuned_out, base_out = np.array(means["nonmembers"]).T
    numbers = audit.looks[-1].numbers
    assert numbers["auc_loss"] == pytest.approx(auc(-tuned_in, -tuned_out))
    assert numbers["auc_ratio"] == pytest.approx(auc(base_in / tuned_in, base_out / tuned_out), abs=0.011)
    assert numbers["auc_ratio"] > 0.6
    assert (tmp_path / BASE_FILE).exists() == (make is full_model)
    if make is full_model:
        assert (tmp_path / BASE_FILE).stat().st_mode & 0o777 == 0o600


def test_numbers_reach_the_history_and_the_trackers_in_order(tmp_path: Path) -> None:
    trainer = trainer_of(lora_model(), tmp_path, logging_steps=3)
    audit = AuditCallback(MEMBERS, NONMEMBERS, calibration=CALIBRATION, every=3, rates=(0.1, 0.5)).attach(trainer)
    trainer.train()
    assert [look.step for look in audit.looks] == [3, 6, 9]
    rows = [row for row in trainer.state.log_history if "byrote/auc_ratio" in row]
    assert [row["step"] for row in rows] == [3, 6, 9]
    assert [r["step"] for r in tracker_of(trainer).rows if "byrote/auc_ratio" in r] == [3, 6, 9]
    assert [r["step"] for r in tracker_of(trainer).rows if "loss" in r] == [3, 6, 9]
    assert {"byrote/auc_ratio_low", "byrote/tpr_at_fpr_0.5_ratio_low", "byrote/loss_members"} <= set(rows[0])
    assert rows[-1]["byrote/loss_members"] < rows[-1]["byrote/base_loss_members"]
    assert "tpr_at_fpr_0.1_ratio" in audit.looks[0].numbers
    assert "interval takes at least 4" in audit.looks[0].missing["tpr_at_fpr_0.1_ratio_low"]


def test_it_stops_when_a_bound_is_crossed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer = trainer_of(full_model(), tmp_path, max_steps=90, learning_rate=0.01, lr_scheduler_type="constant")
    audit = AuditCallback(MEMBERS, NONMEMBERS, every=15, stop_when="max_auc_ratio=0.6").attach(trainer)
    with caplog.at_level(logging.WARNING):
        trainer.train()
    assert trainer.state.global_step < 90
    assert audit.looks[-1].step == trainer.state.global_step
    assert [bool(look.crossed) for look in audit.looks] == [False] * (len(audit.looks) - 1) + [True]
    assert f"stopped at step {audit.looks[-1].step}: ratio is at least" in caplog.text
    crossed = [row["byrote/bounds_crossed"] for row in tracker_of(trainer).rows if "byrote/bounds_crossed" in row]
    assert crossed == [0.0] * (len(audit.looks) - 1) + [1.0]
    assert audit.error == pytest.approx(0.025 / 6)


def test_it_does_not_stop_below_the_bound(tmp_path: Path) -> None:
    trainer = trainer_of(lora_model(), tmp_path)
    audit = AuditCallback(MEMBERS, NONMEMBERS, every=3, stop_when={"max_auc": 0.99}).attach(trainer)
    trainer.train()
    assert trainer.state.global_step == 9
    assert not any(look.crossed for look in audit.looks)
    assert audit.error == pytest.approx(0.025 / 3 / 3)  # three looks, three attacks


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    trainer = trainer_of(full_model(), tmp_path, save_strategy="steps", save_steps=3, max_steps=3)
    AuditCallback(MEMBERS, NONMEMBERS).attach(trainer)
    trainer.train()
    return tmp_path / "checkpoint-3"


def test_a_resumed_full_fine_tune_has_its_base_from_the_first_start(checkpoint: Path) -> None:
    trainer = trainer_of(full_model(), checkpoint.parent, max_steps=6)
    audit = AuditCallback(MEMBERS, NONMEMBERS).attach(trainer)
    trainer.train(resume_from_checkpoint=str(checkpoint))
    assert audit.base_scores is not None
    expected = plain_logprobs(tiny_model(), MEMBERS[0])
    assert audit.base_scores.take(["members:1"]).logprob == pytest.approx(expected, abs=1e-4)


def test_without_base_scores_a_resumed_full_fine_tune_is_refused(checkpoint: Path, tiny_folder: Path) -> None:
    (checkpoint.parent / BASE_FILE).unlink()
    trainer = trainer_of(full_model(), checkpoint.parent, max_steps=6)
    AuditCallback(MEMBERS, NONMEMBERS).attach(trainer)
    with pytest.raises(ModelError, match=r"trained before the checkpoint.*give base"):
        trainer.train(resume_from_checkpoint=str(checkpoint))
    trainer = trainer_of(full_model(), checkpoint.parent, max_steps=6)
    audit = AuditCallback(MEMBERS, NONMEMBERS, base=str(tiny_folder)).attach(trainer)
    trainer.train(resume_from_checkpoint=str(checkpoint))
    assert audit.base_scores is not None
    expected = plain_logprobs(tiny_model(), MEMBERS[0])
    assert audit.base_scores.take(["members:1"]).logprob == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"bias": "all"}, "own parameters are trained beside the adapter"), ({"modules_to_save": ["lm_head"]}, None)],
)
def test_a_resumed_adapter_whose_base_changed_is_refused(options: Any, words: str | None, tmp_path: Path) -> None:
    def make() -> Any:
        model = lora_model(**options)
        if options.get("bias"):  # the tiny Llama has no biases of its own
            norm = model.base_model.model.model.norm.weight
            norm.requires_grad_(True)
        return model

    trainer = trainer_of(make(), tmp_path, save_strategy="steps", save_steps=3, max_steps=3)
    AuditCallback(MEMBERS, NONMEMBERS).attach(trainer)
    trainer.train()
    trainer = trainer_of(make(), tmp_path, max_steps=6)
    audit = AuditCallback(MEMBERS, NONMEMBERS).attach(trainer)
    if words:
        with pytest.raises(ModelError, match=words):
            trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
        return
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    assert audit.base_scores is not None
    expected = plain_logprobs(tiny_model(), MEMBERS[0])
    assert audit.base_scores.take(["members:1"]).logprob == pytest.approx(expected, abs=1e-4)


def test_an_adapter_that_took_from_its_base_is_refused(tmp_path: Path) -> None:
    trainer = trainer_of(lora_model(init_lora_weights="pissa"), tmp_path)
    AuditCallback(MEMBERS, NONMEMBERS).attach(trainer)
    with pytest.raises(ModelError, match="pissa"):
        trainer.train()


def test_labels_say_which_tokens_are_measured(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()

    def answers(texts: list[str]) -> list[dict[str, list[int]]]:
        rows = [tokenizer(text)["input_ids"] for text in texts]
        return [{"input_ids": ids, "labels": [-100] * 5 + ids[5:]} for ids in rows]

    trainer = trainer_of(lora_model(), tmp_path, max_steps=2)
    audit = AuditCallback(answers(MEMBERS), Dataset.from_list(answers(NONMEMBERS))).attach(trainer)
    trainer.train()
    tuned = trainer.model.eval()
    expected = np.concatenate([plain_logprobs(tuned, text)[4:] for text in MEMBERS]).mean()
    assert audit.looks[-1].numbers["loss_members"] == pytest.approx(-expected, abs=1e-4)


def test_base_scores_of_other_records_are_refused(tmp_path: Path) -> None:
    none = np.zeros(3, np.float32)
    other = TokenScores(("members:1",), np.array([0, 3]), none, none.astype(bool), none, none)
    trainer = trainer_of(lora_model(), tmp_path)
    AuditCallback(MEMBERS, NONMEMBERS, base=other).attach(trainer)
    with pytest.raises(ModelError, match="base has 3 scores for members:1, which takes"):
        trainer.train()


def test_a_callback_without_its_trainer_is_refused(tmp_path: Path) -> None:
    trainer = trainer_of(lora_model(), tmp_path, [AuditCallback(MEMBERS, NONMEMBERS)])
    with pytest.raises(StudyError, match=r"attach\(trainer\)"):
        trainer.train()


def test_a_step_beyond_the_training_is_refused(tmp_path: Path) -> None:
    trainer = trainer_of(lora_model(), tmp_path)
    AuditCallback(MEMBERS, NONMEMBERS, at=(10,)).attach(trainer)
    with pytest.raises(StudyError, match="step 10, but this training has steps 1 to 9"):
        trainer.train()


@pytest.mark.parametrize("mark", ["ds_id", "device_mesh"])
def test_a_divided_model_is_refused(mark: str, tmp_path: Path) -> None:
    trainer = trainer_of(full_model(), tmp_path)
    setattr(next(trainer.model.parameters()), mark, 0)
    AuditCallback(MEMBERS, NONMEMBERS).attach(trainer)
    with pytest.raises(ModelError, match=r"whole in one process.*divided"):
        trainer.train()


WRONG = {
    "unknown attack": ({"attacks": ["ratoi"]}, StudyError, "attacks: no attack 'ratoi'"),
    "no attack": ({"attacks": []}, StudyError, "attacks must be a list of names"),
    "calibration missing": ({"attacks": ["rmia"]}, StudyError, "rmia compares with calibration"),
    "no members": ({"members": []}, CorpusError, "members is empty"),
    "overlap": ({"nonmembers": [MEMBERS[0], *NONMEMBERS]}, CorpusError, "both in members and outside: members:1"),
    "unknown bound": ({"stop_when": {"max_acu": 0.7}}, StudyError, "no bound 'max_acu'; did you mean 'max_auc'"),
    "unwritten bound": ({"stop_when": "max_auc"}, StudyError, "not written name=limit"),
    "limit": ({"stop_when": "max_auc=7"}, StudyError, "between 0 and 1, got 7"),
    "rate without calibration": ({"stop_when": "max_tpr_at_fpr_0.1=0.3"}, StudyError, "needs calibration records"),
    "rate": ({"rates": (10,)}, StudyError, "must lie between 0 and 1, got 10"),
    "every": ({"every": 0}, StudyError, "every must be a whole number of at least 1, got 0"),
    "size": ({"size": 1}, StudyError, "size must be a whole number of at least 2, got 1"),
    "chat": ({"members": [{"messages": []}]}, CorpusError, "members:1 has messages; the callback reads 'text'"),
    "no text": ({"members": [{"txt": "a"}]}, CorpusError, "members:1: no 'text'; it has txt; did you mean 'txt'"),
    "no group": ({"group": "patient", "members": [{"text": "a"}]}, CorpusError, "no 'patient'"),
    "number": ({"members": [3]}, CorpusError, "members, record 1 is a int"),
    "labels": ({"members": [{"input_ids": [1, 2], "labels": [2, -100]}]}, CorpusError, "a label is its token"),
    "few labels": ({"members": [{"input_ids": [1, 2], "labels": [2]}]}, CorpusError, "1 labels for 2 input_ids"),
    "no file": ({"members": "nowhere.jsonl"}, CorpusError, "no file nowhere.jsonl"),
}


@pytest.mark.parametrize("case", WRONG)
def test_each_mistake_is_told_in_one_line(case: str) -> None:
    options, kind, words = WRONG[case]
    with pytest.raises(kind) as raised:
        AuditCallback(**{"members": MEMBERS, "nonmembers": NONMEMBERS, **options})
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
