"""What the README says is so: its tree, and its study of one's own files. And how little a first command imports."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import byrote
from byrote.corpora.adverse_events import read
from byrote.running.planning import prepare
from byrote.study import AdverseEventsCorpus, Study, load_study

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text("utf-8")
FILES = {"members": "trained-on.jsonl", "nonmembers": "held-out.jsonl", "calibration": "held-out-too.jsonl"}
UNNAMED = {"__init__.py", "__main__.py", "py.typed"}


def blocks(heading: str) -> list[str]:
    """The indented blocks of a section, without their indent."""
    section = re.split(r"^## ", README.split(f"\n## {heading}\n")[1], flags=re.MULTILINE)[0]
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", section, flags=re.MULTILINE)
    return [re.sub(r"^    ", "", block, flags=re.MULTILINE).strip("\n") for block in blocks]


def named_in_the_tree() -> dict[Path, list[str]]:
    """Each path of the tree, and the files and folders that its line speaks of, which lie in it."""
    (tree,) = blocks("The tree")
    named: dict[Path, list[str]] = {}
    room = Path()
    for line in tree.splitlines():
        name, _, rest = line.strip().partition(" ")
        path = room / name if line.startswith(" ") else Path(name)
        room = room if line.startswith(" ") else path
        named[path] = re.findall(r"[\w.-]+\.(?:py|md)\b|\b[a-z]+/(?= )", rest)
    return named


def test_every_path_of_the_tree_exists_and_nothing_of_the_package_is_left_out() -> None:
    named = named_in_the_tree()
    places = [REPOSITORY / path for path in named]
    places += [REPOSITORY / path / inner for path, inners in named.items() for inner in inners]
    assert len(places) > len(named) > 20
    assert [str(place) for place in places if not place.exists()] == []
    package = REPOSITORY / "src" / "byrote"
    there = {
        p.name
        for p in package.iterdir()
        if p.name not in UNNAMED and (p.suffix == ".py" or (p / "__init__.py").is_file())
    }
    assert there - {path.name for path in named if path.parent == Path("src/byrote")} == set()


def own_study(folder: Path, model: Path) -> Study:
    """The README's study of one's own files, the tiny model in place of the gated one, on 60 records a side."""
    example = next(block for block in blocks("Your own records and model") if block.startswith("# my-study.yaml"))
    raw: dict[str, Any] = yaml.safe_load(example.split("\n\n")[0])
    assert {name: raw["corpus"][name] for name in FILES} == FILES
    corpus = read(AdverseEventsCorpus(source="adverse_events", size=60, seed=4))
    for split, file in FILES.items():
        rows = [{"text": r.text, "id": r.record, "patient": r.group} for r in corpus if r.split == split]
        (folder / file).write_text("".join(json.dumps(row) + "\n" for row in rows))
    raw["model"]["source"] = str(model)
    (folder / "my-study.yaml").write_text(yaml.safe_dump(raw))
    return load_study(folder / "my-study.yaml", {"model.precision": "fp32"})


def test_a_study_of_ones_own_files_holds_with_sixty_records(tmp_path: Path, tiny_folder: Path) -> None:
    prepared = prepare(own_study(tmp_path, tiny_folder))
    assert len(prepared.planned) == 3 * 2 * 3
    assert {len(planned.training_ids) for planned in prepared.planned} == {60}
    assert len({r.group for r in prepared.records}) < 180  # documents of several records, as in one's own files


@pytest.mark.slow
def test_a_study_of_ones_own_files_runs_as_printed(tmp_path: Path, tiny_folder: Path) -> None:
    outcome = byrote.run(own_study(tmp_path, tiny_folder), tmp_path / "run")
    assert outcome.failures == ()
    tables = byrote.load(outcome.path).tables
    assert list(tables.trials.state) == ["done"] * 18
    records = tables.membership[tables.membership.stratum == "records"]
    assert set(records.n_members) == set(records.n_nonmembers) == {60}
    assert records[records.attack == "ratio"].auc.between(0, 1).sum() == 18


HEAVY = ("torch", "transformers", "peft", "datasets", "pandas", "pyarrow", "matplotlib", "sklearn", "scipy")
LIGHT = f"""
import sys
import byrote
import byrote.integrations
from byrote.cli import main

def loaded():
    return [name for name in {HEAVY!r} if name in sys.modules]

assert not loaded(), ("import byrote", loaded())
for words, status in ((["--help"], 0), (["studies"], 0), (["run", "nofile.yaml"], 2)):
    try:
        main(words)
    except SystemExit as stop:
        assert stop.code == status, (words, stop.code)
    assert not loaded(), (words, loaded())
"""


def test_help_and_mistakes_come_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    """In a process of its own; that is what lets `byrote --help` answer within half a second."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", LIGHT], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "no study 'nofile.yaml'" in done.stderr
    assert list(tmp_path.iterdir()) == []
