"""A corpus in files: JSONL, JSON, CSV, TSV, Parquet or plain text, also .gz or .zip; one a split, or one for all."""

from collections import Counter
from pathlib import Path

from byrote.corpora import formats
from byrote.corpora.checks import Finding
from byrote.corpora.rows import Table, build, did_you_mean, first_few, name_in, require_columns, split_names
from byrote.errors import CorpusError
from byrote.records import Record
from byrote.study import FilesCorpus


def read(corpus: FilesCorpus) -> list[Record]:
    """Records of the files that `members`, `nonmembers` and `calibration` name, in the order of the files; where
    `corpus.file` is set, of its rows whose column `corpus.split` holds these names.

    A file name that is not absolute starts at `corpus.path`, else at the working directory. An id is
    `<file stem>:<row>` where no column holds ids; a record is its own group where no column holds groups.
    Raises CorpusError for a file that is missing, cannot be parsed or decoded, lacks a column or repeats an id.
    """
    folder = Path(corpus.path or ".").expanduser()
    if corpus.file is None:
        tables = {
            split: read_table(folder, name, _first_content(corpus)) for split, name in split_names(corpus).items()
        }
    else:
        tables = _divided(corpus)
    return build(tables, corpus.columns, corpus.limit)


def findings(corpus: FilesCorpus) -> tuple[Finding, ...]:
    """What there is to say about the files besides their records: rows that are in no split, and separators that are
    not a comma."""
    folder = Path(corpus.path or ".").expanduser()
    names = split_names(corpus).values() if corpus.file is None else (corpus.file,)
    column = _first_content(corpus)
    notes = [note for name in names if (note := _separator(folder / Path(name).expanduser(), column))]
    if corpus.file is not None:
        notes += _left_out(corpus)
    return tuple(notes)


def _separator(path: Path, text: str) -> Finding | None:
    """The separator of a CSV file, where it is not a comma."""
    if path.suffix.lower() not in (".csv", ".gz", ".zip"):
        return None
    data, inside = formats.decompress(read_bytes(path), path.name, str(path))
    if not inside.lower().endswith(".csv"):
        return None
    delimiter = formats.delimiter_of(formats.decode(data, str(path)), text)
    name = formats.DELIMITERS[delimiter]
    return Finding("separator", 1, f"{path.name}: read as fields separated by a {name}") if delimiter != "," else None


def _left_out(corpus: FilesCorpus) -> list[Finding]:
    whole, values = _with_splits(corpus)
    others = {value: count for value, count in Counter(values).items() if value not in split_names(corpus).values()}
    count = sum(others.values())
    message = (
        f"{count} rows of {Path(whole.where).name} are in no split: {corpus.split} is {first_few(list(others), 5)}"
    )
    return [Finding("left_out", count, message)] if count else []


def _with_splits(corpus: FilesCorpus) -> tuple[Table, list[str]]:
    """The file that holds every split, and the split that each of its rows names."""
    assert corpus.file is not None
    assert corpus.split is not None
    whole = read_table(Path(corpus.path or ".").expanduser(), corpus.file, _first_content(corpus))
    require_columns(whole.where, whole.columns, {"split": corpus.split})
    return whole, [name_in(row, corpus.split, f"{whole.where}, row {n}") for n, row in enumerate(whole.rows, 1)]


def _divided(corpus: FilesCorpus) -> dict[str, Table]:
    """Split → the rows that name it, numbered as in the file. CorpusError for a value that no row has."""
    whole, values = _with_splits(corpus)
    counts = Counter(values)
    tables: dict[str, Table] = {}
    for split, wanted in split_names(corpus).items():
        if wanted not in counts:
            there = ", ".join(f"{value} ({count})" for value, count in sorted(counts.items())[:12]) or "no values"
            raise CorpusError(
                f"{whole.where}: no row with {wanted!r} (corpus.{split}) in column {corpus.split!r}, "
                f"which holds {there}{did_you_mean(wanted, counts)}"
            )
        numbers = [number for number, value in enumerate(values, 1) if value == wanted]
        rows = [whole.rows[number - 1] for number in numbers]
        tables[split] = Table(whole.where, whole.stem, whole.columns, rows, numbers)
    return tables


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
    except IsADirectoryError:
        raise CorpusError(f"{path} is a folder; name one file of records (it {_files_in(path)})") from None
    except OSError as error:
        raise CorpusError(f"cannot read {path}: {error.strerror or error}") from None


def _files_in(folder: Path) -> str:
    return f"holds {first_few(sorted(path.name for path in folder.iterdir() if path.is_file()), 8) or 'no files'}"


def _neighbours(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"the folder {folder} does not exist; set corpus.path"
    names = [other.name for other in folder.iterdir() if other.is_file()]
    return f"{folder} {_files_in(folder)}{did_you_mean(path.name, names)}"


def _first_content(corpus: FilesCorpus) -> str:
    """The column that plain lines become, and that tells how a file's lines are divided."""
    return next(iter(corpus.columns.shape.values()))
