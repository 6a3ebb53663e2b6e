"""Folders of a run, which ends at its links: nothing is written or removed behind one that leads out of it."""

import shutil
from pathlib import Path

from byrote.errors import StoreError


def check_inside(root: Path, folder: Path) -> None:
    """StoreError where a folder of the run `root` lies outside it, by a link or by `..`; the run folder itself may be
    a link."""
    if not folder.resolve().is_relative_to(root.resolve()):
        raise StoreError(
            f"{folder} leads out of the run folder, to {folder.resolve()}, where nothing is written or removed; take "
            "the link away, or let the whole run folder be one"
        )


def make_private(root: Path, folder: Path) -> None:
    """Make a folder of the run `root`; its owner alone may enter it. StoreError where it lies outside the run."""
    check_inside(root, folder)
    made = [new for new in (folder, *folder.parents) if new.is_relative_to(root) and not new.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for new in made:
        new.chmod(0o700)


def remove(place: Path) -> None:
    """Remove a file, a folder with all that is in it, or a link and not what it leads to."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def links_out(root: Path) -> list[Path]:
    """The links in a run folder that lead out of it."""
    links = (path for path in sorted(root.rglob("*")) if path.is_symlink())
    return [path for path in links if not path.resolve().is_relative_to(root.resolve())]
