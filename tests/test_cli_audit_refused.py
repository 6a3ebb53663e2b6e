"""What `byrote audit` refuses: one line that names the thing and the way out, exit status 2."""

import inspect
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import peft
import pytest
from transformers import AutoModelForCausalLM

from byrote.cli import main
from byrote.cli_audit import audit
from byrote.lm.library import quiet
from byrote.study.audit import FLAGS
from fakes import TEXTS, save_tiny_model

COLUMNS = ("id", "patient", "text")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with good files, and bad ones."""
    folder = tmp_path_factory.mktemp("place")
    save_tiny_model(folder / "base")
    save_tiny_model(folder / "tuned", seed=1)
    save_tiny_model(folder / "deeper", layers=3)
    save_tiny_model(folder / "gpt2", "gpt2")
    save_tiny_model(folder / "other-words", seed=2)
    change_tokenizer(folder / "other-words")
    save_adapter(folder / "base", folder / "adapter")
    save_adapter(folder / "deeper", folder / "adapter-of-deeper")
    shutil.copytree(folder / "adapter", folder / "other-modules")
    edit(folder / "other-modules" / "adapter_config.json", target_modules=["w_pack"])
    shutil.copytree(folder / "adapter", folder / "cut-config")
    (folder / "cut-config" / "adapter_config.json").write_text('{"r": 2, ')
    shutil.copytree(folder / "adapter", folder / "adapter2")
    shutil.copytree(folder / "adapter", folder / "no-weights")
    (folder / "no-weights" / "adapter_model.safetensors").unlink()
    shutil.copytree(folder / "adapter", folder / "elsewhere")
    edit(folder / "elsewhere" / "adapter_config.json", base_model_name_or_path="/gone/base")
    shutil.copytree(folder / "adapter", folder / "nameless")
    edit(folder / "nameless" / "adapter_config.json", base_model_name_or_path=None)
    (folder / "empty-folder").mkdir()
    for number, name in enumerate(("train", "held", "more")):
        write(folder / f"{name}.jsonl", [row(name, i) for i in range(12)])
        write(folder / f"{name}-ids.jsonl", [{**row(name, i), "id": f"{number}"} for i in range(12)])
    write(folder / "empty.jsonl", [])
    write(folder / "one.jsonl", [row("one", 0)])
    write(folder / "blank.jsonl", [{"text": " "} for _ in range(4)])
    write(folder / "numbers.jsonl", [{"text": i} for i in range(4)])
    write(folder / "mixed.jsonl", [{"text": "A rash."}, {"messages": []}])
    write(folder / "null.jsonl", [{"text": None}, {"text": "A rash."}])
    write(folder / "overlap.jsonl", [row("train", 3), *(row("held", i) for i in range(6))])
    write(folder / "one-patient.jsonl", [{**row("o", i), "patient": "p"} for i in range(6)])
    write(folder / "shared.jsonl", [{**row("s", i), "patient": f"train{i}"} for i in range(6)])
    write(folder / "roles.jsonl", [{"messages": [{"role": "robot", "content": t}]} for t in TEXTS])
    write(folder / "no-answer.jsonl", [{"prompt": "What followed?", "completion": None}])
    write(folder / "answers.jsonl", [{"prompt": "What followed?", "completion": text} for text in TEXTS])
    (folder / "cut.json").write_text('[{"text": "A rash."}, {"te')
    (folder / "broken.jsonl").write_text('{"text": "A rash."}\n{"text": \n')
    (folder / "latin.jsonl").write_bytes('{"text": "Übelkeit"}\n'.encode("latin-1"))
    (folder / "data.xlsx").write_bytes(b"PK")
    (folder / "bad.zip").write_bytes(b"PK nothing")
    (folder / "manifest.json").write_text("{}")
    (folder / "bad.yaml").write_text("subjects: [adapter\n")
    return folder


def row(name: str, i: int) -> dict[str, str]:
    text = f"{TEXTS[i % 10][:-1]}, {name} {i}, {name[::-1]} case."
    return {"id": f"{name}{i}", "patient": f"{name}{i // 2}", "text": text}


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def change_tokenizer(folder: Path) -> None:
    """Two tokens change places."""
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    words = tokenizer["model"]["vocab"]
    first, second = list(words)[-2:]
    words[first], words[second] = words[second], words[first]
    path.write_text(json.dumps(tokenizer))


def save_adapter(base: Path, folder: Path) -> None:
    with quiet():
        model = AutoModelForCausalLM.from_pretrained(base)
        config = peft.LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
        peft.get_peft_model(model, config).save_pretrained(folder)


A, S = "--adapter adapter", "--members train.jsonl --nonmembers held.jsonl"
BEFORE_TORCH = [
    ("", "nothing to audit: name an adapter (--adapter A)"),
    (A, "--members is missing"),
    (f"{A} --members train.jsonl", "--nonmembers is missing"),
    (S, "nothing to audit"),
    (f"--model tuned {S}", "--model tuned does not say what it was tuned from; add --base B, or --base none"),
    (f"{A} --base none {S}", "works on a base model alone"),
    (f"--model tuned --base adapter {S}", "a whole model does not say what it was tuned from"),
    (f"{A} {S} --max-tpr-at-fpr 0.01", "write a false-positive rate, = and"),
    (f"{A} {S} --max-tpr-at-fpr 0.01:0.05", "write a false-positive rate, = and"),
    (f"{A} {S} --max-tpr-at-fpr x=y", "--max-tpr-at-fpr x=y: write"),
    (f"{A} {S} --max-tpr-at-fpr 1=0.5", "rates lie between 0 and 1"),
    (f"{A} {S} --max-tpr-at-fpr 0.01=5", "rates lie between 0 and 1"),
    (f"{A} {S} --max-tpr-at-fpr 0.01=0.1 0.010=0.2", "has two limits"),
    (f"{A} {S} --max-auc 0.2", "--max-auc 0.2 must be between 0.5 and 1"),
    (f"{A} {S} --max-auc low", "error: Invalid value for --max-auc: unable to convert"),
    (f"{A} {S} --max-auc 0.6 0.7", "'0.7' belongs to no option"),
    (f"{A} --members train.jsonl more.jsonl --nonmembers held.jsonl", "'more.jsonl' belongs to no option"),
    (f"{A} {S} --minutes -5", "--minutes -5 must be above 0"),
    (f"{A} {S} --minutes 0", "--minutes 0 must be above 0"),
    (f"{A} {S} --minutes soon", "error: Invalid value for --minutes: unable to convert"),
    (f"{A} {S} --max-verbatim -1", "--max-verbatim -1 must be at least 0"),
    (f"{A} {S} --max-epsilon -1", "--max-epsilon -1 must be at least 0"),
    (f"{A} {S} --max-epsilon 4", "only canaries that a coin put in or left out bound epsilon"),
    (f"{A} {S} --equivalent-within 0.7", "--equivalent-within 0.7 must be above 0 and below 0.5"),
    (f"{A} {S} --draws 0", "--draws 0 must be at least 1"),
    (f"{A} {S} --membres x", "unknown option --membres; did you mean --members?"),
    (f"{A} {S} --max-aux 0.6", "did you mean --max-auc?"),
    (f"{A} {S} --training.epoch 1", "did you mean 'training.epochs'?"),
    (f"{A} {S} --membership.primary rato", "did you mean 'ratio'?"),
    (f"{A} {S} --text text --messages messages", "name one kind"),
    (f"{A} {S} --prompt prompt", "--prompt and --completion"),
    (f"{A} {S} --text txt", "no column 'txt'"),
    (f"{A} {S} --group patients", "did you mean 'patient'?"),
    (f"{A} {S} --id ids", "did you mean 'id'?"),
    (f"{A} {S} --messages messages", "no column 'messages'"),
    (f"{A} --members trian.jsonl --nonmembers held.jsonl", "did you mean 'train.jsonl'?"),
    (f"{A} --members train.jsonl --nonmembers empty.jsonl", "document, which cannot be halved"),
    (f"{A} --members empty.jsonl --nonmembers held.jsonl", "no records in corpus.members"),
    (f"{A} --members blank.jsonl --nonmembers held.jsonl", "no records in corpus.members"),
    (f"{A} --members one.jsonl --nonmembers held.jsonl", "has 1 record"),
    (f"{A} --members numbers.jsonl --nonmembers held.jsonl", "must be a string, got int"),
    (f"{A} --members mixed.jsonl --nonmembers held.jsonl", "no 'text' in this row"),
    (f"{A} --members null.jsonl --nonmembers held.jsonl", "got NoneType"),
    (f"{A} --members broken.jsonl --nonmembers held.jsonl", "broken.jsonl"),
    (f"{A} --members cut.json --nonmembers held.jsonl", "cut.json: not valid JSON"),
    (f"{A} --members empty-folder --nonmembers held.jsonl", "empty-folder is a folder; name one file of records"),
    (
        f"{A} --members no-answer.jsonl --nonmembers answers.jsonl --prompt prompt --completion completion",
        "row 1: 'completion' is empty (null)",
    ),
    (f"{A} --members latin.jsonl --nonmembers held.jsonl", "UTF-8"),
    (f"{A} --members data.xlsx --nonmembers held.jsonl", "unknown format '.xlsx'"),
    (f"{A} --members bad.zip --nonmembers held.jsonl", "cannot be unpacked"),
    (f"{A} --members train.jsonl --nonmembers train.jsonl", "are both"),
    (f"{A} --members train.jsonl --nonmembers overlap.jsonl", "occur both in members and outside"),
    (f"{A} --members train.jsonl --nonmembers shared.jsonl --group patient", "groups have records both in members"),
    (f"{A} --members train.jsonl --nonmembers one-patient.jsonl --group patient", "of 1 document"),
    (f"{A} --members train-ids.jsonl --nonmembers held.jsonl --id id", "ids are on several rows"),
    (f"{A} --members roles.jsonl --nonmembers held.jsonl --messages messages", "robot"),
    (f"--adapter gone-* {S}", "--adapter gone-*: nothing matches this pattern"),
    (f"{A} adapter {S}", "stands 2 times"),
    (f"{A} {S} --canaries gone.json", "gone.json"),
    (f"{A} {S} --canaries manifest.json", "manifest.json"),
    ("nothing.yaml", "no study 'nothing.yaml'"),
    ("bad.yaml", "bad.yaml"),
    (f"{A} {S} --name a/b", "name"),
    (f"{A} {S} --machine.device gpu", "machine.device must be"),
]
BEFORE_WEIGHTS = [
    (f"--adapter adapter adapter2 {S}", "adapter and adapter2 hold the same files to the byte"),
    (f"--adapter gone {S}", "gone"),
    (f"--adapter empty-folder {S}", "empty-folder"),
    (f"--adapter no-weights {S}", "no-weights"),
    (f"--adapter tuned {S}", "tuned"),
    (f"--adapter elsewhere {S}", "--base"),
    (f"--adapter nameless {S}", "names no base model; name it (--base)"),
    (f"{A} --base gone/base {S}", "gone/base"),
    (f"{A} --base gpt2 {S}", "adapter"),
    (f"--model adapter --base base {S}", "adapter"),
    (f"{A} --base deeper {S}", "it was trained on a base model with fewer layers"),
    (f"--adapter adapter-of-deeper --base base {S}", "has no module 'model.layers.2.self_attn.q_proj'"),
    (f"--adapter other-modules {S}", "has none of the modules that it adapts (w_pack)"),
    (f"--adapter cut-config {S}", "adapter_config.json of adapter 'cut-config' cannot be read"),
    (f"--model tuned --base deeper {S}", "another size or architecture (only 'deeper' has model.layers.2."),
    (f"--model deeper --base base {S}", "another size or architecture (only 'deeper' has model.layers.2."),
    (f"--model tuned --base gpt2 {S}", "another size or architecture (the first is a llama, the second a gpt2)"),
    (f"--model other-words --base base {S}", "another than that of its base model base: 2 of"),
    (f"--model tuned other-words --base none {S}", "another than that of its base model"),
    (f"--model tuned --base gpt2-missing.gguf {S}", "no such file"),
]


def refused(words: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        main(["audit", *words.split(), "--quiet"])
    assert stop.value.code == 2
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    assert shown.err.startswith("error: ")  # no box, no usage
    return " ".join((shown.out + shown.err).split())


@pytest.mark.parametrize(("words", "message"), BEFORE_TORCH)
def test_refused_before_torch(
    words: str, message: str, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    from byrote.running import planning

    monkeypatch.chdir(place)
    monkeypatch.setattr(planning, "prepare", None)  # the first that needs torch
    assert message in refused(words, capsys)
    assert not (place / "runs").exists()


@pytest.mark.parametrize(("words", "message"), BEFORE_WEIGHTS)
def test_refused_before_weights(
    words: str, message: str, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(place)
    assert message in refused(words, capsys)


def test_a_mistake_is_told_without_torch(place: Path):
    code = "import sys\nfrom byrote.cli import main\ntry:\n    main()\nfinally:\n    print('torch' in sys.modules)"
    words = [sys.executable, "-c", code, "audit", *f"{A} --members trian.jsonl --nonmembers held.jsonl".split()]
    began = time.monotonic()
    done = subprocess.run(words, cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout.strip() == "False"
    assert time.monotonic() - began < 20  # two seconds on an idle machine


def test_the_nearest_option_is_looked_for_among_all_of_them() -> None:
    renamed = {"id_column": "id", "as_json": "json"}
    taken = [renamed.get(name, name.replace("_", "-")) for name in inspect.signature(audit).parameters]
    assert sorted(FLAGS) == sorted(set(taken) - {"words"})
