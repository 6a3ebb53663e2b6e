"""Both notebooks from top to bottom on a small run made here: two placements, two ranks, canaries of several copies.

python benchmarks/notebooks.py    # `make notebooks`

On a tiny model with random weights: what is tested is that every cell runs and every figure has data. Exits with 1
where a cell fails or a figure is not drawn.
"""

import json
import os
import sys
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

import byrote
from byrote.cli_notebooks import NOTEBOOKS

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

DRAWN = "is not drawn"


def main() -> int:
    """The run, then the notebooks; 1 where one fails."""
    with tempfile.TemporaryDirectory() as folder:
        run = small_run(Path(folder))
        failed = [name for name in NOTEBOOKS if not executed(name, run)]
    print(f"{len(NOTEBOOKS) - len(failed)} of {len(NOTEBOOKS)} notebooks run to their end")
    return int(bool(failed))


def small_run(folder: Path) -> Path:
    """A run that has something for every cell."""
    from fakes import TEXTS, save_tiny_model

    save_tiny_model(folder / "base")
    for split, count in (("members", 120), ("nonmembers", 60), ("calibration", 60)):
        rows = [
            {"id": f"{split}{i}", "group": f"{split}{i // 2}", "text": f"{TEXTS[i % 10][:-1]}, {split[0]}{i}."}
            for i in range(count)
        ]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    named = {split: f"{split}.jsonl" for split in ("members", "nonmembers", "calibration")}
    study: dict[str, Any] = {
        "name": "small",
        "model": {"source": str(folder / "base"), "precision": "fp32"},
        "corpus": {"source": "files", "path": str(folder), "id": "id", "group": "group", **named},
        "canaries": {"design": "many", "count": 8, "copies": [1, 4], "references": 12},
        "grid": {"matrices": [["q"], ["v"]], "rank": [1, 4]},
        "training": {"epochs": 2, "learning_rate": 1e-2, "effective_batch": 8},
        "membership": {"attacks": ["all"]},
        "extraction": {"prompts": {"members": 10, "nonmembers": 10}, "temperatures": [0.0, 1.0]},
        "machine": {"device": "cpu", "threads": 1, "workers": 1},
    }
    return byrote.run(study, folder / "run").path


def executed(name: str, run: Path) -> bool:
    """Whether a notebook runs from top to bottom, and draws all that it wants to."""
    os.environ["BYROTE_RUN"] = str(run)
    notebook = nbformat.reads((files("byrote.notebooks") / name).read_text(encoding="utf-8"), as_version=4)
    try:
        NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    except CellExecutionError as error:
        print(f"{name}: {error}")
        return False
    said = [output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ())]
    undrawn = [text.strip() for text in said if DRAWN in text]
    print("\n".join([f"{name}: {len(notebook.cells)} cells", *undrawn]), flush=True)
    return not undrawn


if __name__ == "__main__":
    sys.exit(main())
