"""What the README says is so, and fits a screen. And how little a first command imports."""

import os
import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text("utf-8")
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


def test_the_tree_names_every_page_of_the_docs() -> None:
    pages = {path.name for path in (REPOSITORY / "docs").glob("*.md")}
    assert pages - set(named_in_the_tree()[Path("docs")]) == set()


def test_what_stands_above_the_tree_is_one_screen() -> None:
    above = README.split("\n## The tree\n")[0].splitlines()
    assert len(above) <= 60
    assert "fine-tuned language model" in above[2]
    commands = [line.split("#")[0].strip() for line in above if line.startswith("    ")][:2]
    assert commands == ["make demo", "make test"]
    targets = (REPOSITORY / "Makefile").read_text("utf-8")
    assert all(f"\n{command.removeprefix('make ')}:" in targets for command in commands)


def test_every_link_leads_to_a_file() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert len(links) > 20
    assert [link for link in links if not (REPOSITORY / link).is_file()] == []


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
