"""A corpus in files: JSONL, JSON, CSV, TSV, Parquet or plain text, also .gz or .zip."""

from pathlib import Path

from byrote.corpora import formats
from byrote.corpora.rows import Table, build, did_you_mean, first_few, split_names
from byrote.errors import CorpusError
from byrote.records import Record
from byrote.study import FilesCorpus


def read(corpus: FilesCorpus) -> list[Record]:
    """Records of the files that `members`, `nonmembers` and `calibration` name, in the order of the files.

    A file name that is not absolute starts at `corpus.path`, else at the working directory. An id is
    `<file stem>:<row>` where no column holds ids; a record is its own group where no column holds groups.
    Raises CorpusError for a file that is missing, cannot be parsed or decoded, lacks a column or repeats an id.
    """
    folder = Path(corpus.path or ".").expanduser()
    tables = {split: read_table(folder, name, corpus.text) for split, name in split_names(corpus).items()}
    return build(tables, corpus.text, corpus.id, corpus.group, corpus.limit)


def read_table(folder: Path, name: str, text: str) -> Table:
    """The rows of one file. text: the column that lines of plain text become."""
    path = folder / Path(name).expanduser()
    columns, rows = formats.parse(read_bytes(path), path.name, str(path), text)
    return Table(str(path), formats.stem(path.name), columns, rows)


def read_bytes(path: Path) -> bytes:
    """The bytes of a file. CorpusError says what the folder holds where the file is missing."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CorpusError(f"no file {path}; {_neighbours(path)}") from None
    except OSError as error:
        raise CorpusError(f"cannot read {path}: {error.strerror or error}") from None


def _neighbours(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"the folder {folder} does not exist, set corpus.path"
    names = sorted(other.name for other in folder.iterdir() if other.is_file())
    return f"{folder} holds {first_few(names, 8) or 'no files'}{did_you_mean(path.name, names)}"
