"""The verb `byrote notebooks`: the notebooks that come with byrote, to where the user is."""

import shutil
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from byrote.cli_print import out_console
from byrote.errors import StudyError

NOTEBOOKS = ("analysis.ipynb", "visualizations.ipynb")
notebooks = App(name="notebooks", help="Notebooks that repeat the reference study's analysis and plots on a run.")


@notebooks.command
def copy(folder: Path = Path(), /, *, force: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Copy analysis.ipynb and visualizations.ipynb into a folder, the current one by default.

    Parameters
    ----------
    force
        Replace notebooks of these names that are there.
    """
    there = [folder / name for name in NOTEBOOKS if (folder / name).exists()]
    if there and not force:
        raise StudyError(f"{there[0]} is there already; name another folder, or replace it with --force")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in NOTEBOOKS:
            with as_file(files("byrote.notebooks") / name) as source:
                shutil.copyfile(source, folder / name)
            out_console.print(f"{folder / name}", markup=False, highlight=False, soft_wrap=True)
    except OSError as error:
        raise StudyError(f"cannot write {folder}: {error.strerror or error}") from None
    out_console.print("open them with jupyter lab (pip install 'byrote[notebooks]'); BYROTE_RUN names the run")
