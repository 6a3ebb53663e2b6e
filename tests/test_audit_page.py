"""The commands of docs/audit.md, run as they stand, on a tiny model."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from byrote.cli import main
from byrote.records import CALIBRATION, MEMBERS, NONMEMBERS
from byrote.store import Run
from fake_adapters import save_peft
from fakes import TEXTS, save_tiny_model

PAGE = (Path(__file__).parents[1] / "docs" / "audit.md").read_text("utf-8")
COMMANDS = re.findall(r"^    byrote (audit .+)$", PAGE, flags=re.MULTILINE)
FILES = {MEMBERS: "train.jsonl", NONMEMBERS: "heldout.jsonl", CALIBRATION: "heldout2.jsonl"}
CHEAP = "--machine.device cpu --machine.threads 1 --machine.workers 1 --model.precision fp32 --quiet"
CHEAP += " --statistics.bootstrap 100 --extraction.prompts.members 2 --extraction.prompts.nonmembers 2"


@pytest.mark.slow
@pytest.mark.usefixtures("one_figure")
def test_every_command_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    from byrote import lm

    monkeypatch.chdir(tmp_path)
    save_tiny_model(tmp_path / "base")
    save_tiny_model(tmp_path / "tuned", seed=1)
    base = lm.load_base(lm.resolve_base(str(tmp_path / "base"), None), "fp32", "none", lm.pick_device("cpu"))
    adapter = save_peft(base, "lora", tmp_path / "out" / "checkpoint-900")
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(
        json.dumps({**config, "base_model_name_or_path": str(tmp_path / "base")})
    )
    shutil.copytree(adapter, tmp_path / "out" / "checkpoint-300")
    other = {**config, "base_model_name_or_path": str(tmp_path / "base"), "lora_alpha": 1}
    (tmp_path / "out" / "checkpoint-300" / "adapter_config.json").write_text(json.dumps(other))
    for split, name in FILES.items():
        rows = [{"patient": f"{split}{i // 2}", "text": f"{TEXTS[i % 10][:-1]}, {split} {i}."} for i in range(20)]
        Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert len(COMMANDS) == 7
    for command in COMMANDS:
        with pytest.raises(SystemExit) as stop:
            main([*shlex.split(command), *CHEAP.split()])
        assert stop.value.code in (0, 1, 3), capsys.readouterr()
    subjects = [row["label"] for row in Run.open(tmp_path / "audits" / "checkpoints").plan()["trials"]]
    assert subjects == ["checkpoint-300", "checkpoint-900"]
