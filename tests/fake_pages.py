"""Pages of the docs, run as they stand: the files that they show are written, their commands and their Python executed,
in the order of the page. What a page itself calls "not executed", in the line before a block, is left alone."""

import csv
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from byrote.cli import main
from byrote.records import CALIBRATION, MEMBERS, NONMEMBERS
from fake_adapters import save_peft
from fakes import TEXTS, save_chat_model, save_tiny_model

DOCS = Path(__file__).parents[1] / "docs"
NOT_EXECUTED = "not executed"
FILES = {MEMBERS: "train.jsonl", NONMEMBERS: "heldout.jsonl", CALIBRATION: "heldout2.jsonl"}
MACHINE = (
    "--machine.device cpu --machine.threads 1 --machine.workers 1 --model.precision fp32 --statistics.bootstrap 100"
)
PROMPTS = "--extraction.prompts.members 2 --extraction.prompts.nonmembers 2"
CHEAP = {
    "audit": f"{MACHINE} {PROMPTS} --quiet",
    "plan": f"{MACHINE} --model.source base",
    "run": f"{MACHINE} --model.source base {PROMPTS} --extraction.untargeted.completions 0 --grid.seed [13] --quiet",
    "report": "--quiet",
}
FEW = "--corpus.size 12"  # of the demo, which has 120 records a side
Kind = Literal["file", "commands", "python", "words"]


@dataclass(frozen=True)
class Block:
    """A block of a page. executed: the page does not say otherwise."""

    kind: Kind
    text: str
    executed: bool

    @property
    def file(self) -> str:
        """The name that the first line of a file gives it."""
        return self.text.splitlines()[0].removeprefix("# ")

    @property
    def commands(self) -> list[str]:
        """What stands after `byrote`, lines that go on joined, comments left out."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line.partition("  #")[0].removeprefix("byrote ").strip() for line in lines]


def page_of(name: str) -> str:
    return (DOCS / f"{name}.md").read_text("utf-8")


def blocks_of(page: str) -> list[Block]:
    """The fenced Python and the indented blocks of a page; a blank line ends an indented one."""
    blocks, before = [], ""
    for part in re.split(r"\n\s*\n(?=\S|    )|(?=^```python\n)", _closed(page), flags=re.MULTILINE):
        text = part.strip("\n")
        if text.startswith("```python\n"):
            blocks.append(Block("python", text.removeprefix("```python\n").removesuffix("```"), _executed(before)))
        elif text.startswith("    "):
            text = re.sub(r"^    ", "", text, flags=re.MULTILINE)
            blocks.append(Block(_kind(text), text, _executed(before)))
        else:
            before = text
    return blocks


def _closed(page: str) -> str:
    """Without blank lines inside fences, which would be taken for their end."""
    return re.sub(r"^```python\n.*?^```", lambda m: re.sub(r"\n\n+", "\n", m.group()), page, flags=re.M | re.S)


def _executed(before: str) -> bool:
    return NOT_EXECUTED not in before


def _kind(text: str) -> Kind:
    if re.match(r"# [\w-]+\.yaml\n", text):
        return "file"
    return "commands" if re.match(r"byrote ", text) else "words"


def execute(page: str) -> Iterator[tuple[str, int]]:
    """Files, commands and Python of a page in its order; yields each command with its exit status once it is done."""
    names: dict[str, Any] = {}
    for block in blocks_of(page):
        if not block.executed or block.kind == "words":
            continue
        if block.kind == "file":
            Path(block.file).write_text(block.text + "\n", "utf-8")
        elif block.kind == "python":
            exec(block.text, names)
        else:
            for command in block.commands:
                yield command, run_command(command)


def run_command(command: str) -> int:
    """The exit status of a command, on the tiny model where it would load one."""
    words = shlex.split(command)
    cheap = CHEAP.get(words[0], "") + (f" {FEW}" if words[1:2] in (["demo"], ["demo.yaml"]) else "")
    with pytest.raises(SystemExit) as stop:
        main([*words, *cheap.split()])
    return int(stop.value.code or 0)


def make_workplace() -> None:
    """In the working directory: `base`, a merged model `tuned`, two checkpoints and `out/adapter`, records in files of
    every kind that pages name."""
    from byrote import lm

    save_chat_model(Path("base"))
    save_tiny_model(Path("tuned"), seed=1)
    base = lm.load_base(lm.resolve_base("base", None), "fp32", "none", lm.pick_device("cpu"))
    adapter = save_peft(base, "lora", Path("out/checkpoint-900"))
    config = json.loads((adapter / "adapter_config.json").read_text()) | {
        "base_model_name_or_path": str(Path("base").resolve())
    }
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    for name, alpha in (("checkpoint-300", 1), ("adapter", config["lora_alpha"])):
        shutil.copytree(adapter, Path("out") / name)
        (Path("out") / name / "adapter_config.json").write_text(json.dumps({**config, "lora_alpha": alpha}))
    make_records()


def write_cheap_study() -> None:
    """In the working directory: `my-study.yaml`, two trials of a tiny model on `make_records`, seconds to run."""
    save_tiny_model(Path("base"))
    make_records()
    study = {
        "model": {"source": "base", "precision": "fp32"},
        "corpus": {"source": "files", **FILES, "group": "patient"},
        "grid": {"matrices": [["q"], ["v"]], "rank": [2]},
        "training": {"epochs": 2, "learning_rate": 1e-2, "effective_batch": 4},
        "statistics": {"bootstrap": 100},
        "extraction": {"prompts": {"members": 4, "nonmembers": 4}, "untargeted": {"completions": 0}},
        "machine": {"device": "cpu", "threads": 1, "workers": 1},
    }
    Path("my-study.yaml").write_text(yaml.safe_dump(study), "utf-8")


def make_records() -> None:
    """Twenty records a side, two of a patient: lines of text, chats, questions; and all of one file of rows."""
    whole: list[dict[str, str]] = []
    for split, name in FILES.items():
        kind = name.removeprefix("train").removesuffix(".jsonl")
        end = f"-{kind}.jsonl" if kind else ".jsonl"
        rows = [
            {"id": f"{split}{i}", "patient": f"{split}{i // 2}", "text": f"{TEXTS[i % 10][:-1]}, {split} {i}."}
            for i in range(20)
        ]
        whole += [{"patient": row["patient"], "note": row["text"]} for row in rows]
        write_lines(name, rows)
        asked = [{"question": f"{row['id']}? ", "answer": row["text"][:40]} for row in rows]
        write_lines(f"questions{end}", asked)
        talks = [[_turn("user", row["question"]), _turn("assistant", row["answer"])] for row in asked]
        write_lines(f"chats{end}", [{"messages": talk, "customer": f"{split}{i // 2}"} for i, talk in enumerate(talks)])
    with Path("all.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["patient", "note"])
        writer.writeheader()
        writer.writerows(whole)


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def write_lines(name: str, rows: list[dict[str, Any]]) -> None:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
