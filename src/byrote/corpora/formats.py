# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
"""Bytes of a file → its columns and rows. There is one parser per format; files are decompressed first.

Values keep the type the format gives them; CSV and TSV have only strings, so 'NA' and '007' stay as they are.
"""

import csv
import gzip
import io
import json
import sys
import zipfile
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any, cast

from byrote.corpora.rows import Row, columns_of, did_you_mean
from byrote.errors import CorpusError

Parsed = tuple[tuple[str, ...], list[Row]]
UNPACKED_MOST = 4 * 2**30
"""Bytes that a .gz or .zip may unpack to; and, beyond 64 MiB, so many times its own size that no text is."""
UNPACKED_ANYWAY, UNPACKED_TIMES = 64 * 2**20, 200


def parse(data: bytes, name: str, where: str, text: str) -> Parsed:
    """Columns and rows of a file's bytes. `name` gives format and compression, `where` names the file in errors.

    text: the column that lines of plain text become. Raises CorpusError for an unknown format, broken compression,
    bytes that are not UTF-8 and anything the format does not allow, with the line.
    """
    data, name = decompress(data, name, where)
    suffix = PurePath(name).suffix.lower()
    if suffix not in FORMATS:
        raise CorpusError(
            f"{where}: unknown format {suffix or name!r}; files end in {', '.join(FORMATS)}, each also .gz or .zip"
            f"{did_you_mean(suffix, FORMATS)}"
        )
    return FORMATS[suffix](data, where, text)


def stem(name: str) -> str:
    """A file's name without format and compression: `train.jsonl.gz` → `train`."""
    path = PurePath(name)
    if path.suffix.lower() in (".gz", ".zip"):
        path = path.with_suffix("")
    return path.stem if path.suffix.lower() in FORMATS else path.name


def decompress(data: bytes, name: str, where: str) -> tuple[bytes, str]:
    """The bytes inside .gz or .zip and the name that tells their format; other files as they are."""
    suffix = PurePath(name).suffix.lower()
    try:
        if suffix == ".gz":
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
                return _unpacked(packed.read, len(data), where), PurePath(name).stem
        if suffix == ".zip":
            return _unzip(data, where)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise CorpusError(f"{where}: cannot be unpacked ({error}); compress it again, without a password") from error
    return data, name


def _unzip(data: bytes, where: str) -> tuple[bytes, str]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        inside = [n for n in archive.namelist() if not n.endswith("/") and not n.startswith("__MACOSX/")]
        if len(inside) != 1:
            raise CorpusError(f"{where}: holds {len(inside)} files; a .zip must hold one, unpack it and name the file")
        with archive.open(inside[0]) as packed:
            return _unpacked(packed.read, len(data), where), inside[0]


def _unpacked(read: Callable[[int], bytes], size: int, where: str) -> bytes:
    """What is inside, unless it is more than `size` bytes can hold of text: a file made to fill the memory."""
    most = min(UNPACKED_MOST, max(UNPACKED_ANYWAY, UNPACKED_TIMES * size))
    data = read(most + 1)
    if len(data) > most:
        raise CorpusError(
            f"{where}: unpacks to more than {most / 2**20:,.0f} MiB from {size:,} bytes, which no text does; if it is "
            "meant, unpack it and name the file"
        )
    return data


def decode(data: bytes, where: str) -> str:
    """UTF-8 text, without a byte-order mark. CorpusError names the first wrong byte."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CorpusError(
            f"{where}, line {line}: byte {data[error.start]:#04x} at offset {error.start} is not UTF-8; "
            "save the file as UTF-8"
        ) from None


def json_lines(data: bytes, where: str, text: str) -> Parsed:  # noqa: ARG001
    """One JSON object a line; blank lines hold no record."""
    rows: list[Row] = []
    for number, line in enumerate(decode(data, where).split("\n"), 1):
        if line.strip():
            rows.append(_object(_json(line, f"{where}, line {number}"), f"{where}, line {number}"))
    return columns_of(rows), rows


def json_list(data: bytes, where: str, text: str) -> Parsed:
    """A list of objects, or one object a line: both are found under the name .json."""
    whole = decode(data, where)
    if not whole.lstrip().startswith("["):
        return json_lines(data, where, text)
    rows = [_object(value, f"{where}, row {number}") for number, value in enumerate(_json(whole, where), 1)]
    return columns_of(rows), rows


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        raise CorpusError(f"{where}: not valid JSON ({error.msg} at {line}column {error.colno}); correct it") from None
    except ValueError as error:
        raise CorpusError(f"{where}: not valid JSON ({str(error).split(';')[0]}); correct it") from None
    except RecursionError:
        raise CorpusError(f"{where}: JSON nested too deeply to be read; correct it") from None


def _object(value: Any, where: str) -> Row:
    if not isinstance(value, dict):
        raise CorpusError(f"{where}: must be a JSON object with named values, got {type(value).__name__}")
    return cast("Row", value)


DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}


def separated(data: bytes, where: str, text: str) -> Parsed:
    """CSV with a header line, quoted by double quotes; its header tells which delimiter is used."""
    return _delimited(data, where, delimiter_of(decode(data, where), text))


def delimiter_of(content: str, text: str) -> str:
    """The delimiter under which the header names the column `text`, and the most columns; a comma where none does
    better."""

    def named(delimiter: str) -> tuple[bool, int]:
        try:
            with long_fields():
                header = next(csv.reader(io.StringIO(content, newline=""), delimiter=delimiter), [])
        except csv.Error:
            return False, 0
        return text in header, len(header)

    return max(DELIMITERS, key=named)  # of equal ones the first


def tab_separated(data: bytes, where: str, text: str) -> Parsed:  # noqa: ARG001
    """TSV with a header line, quoted by double quotes."""
    return _delimited(data, where, "\t")


def _delimited(data: bytes, where: str, delimiter: str) -> Parsed:
    reader = csv.reader(io.StringIO(decode(data, where), newline=""), delimiter=delimiter, strict=True)
    try:
        with long_fields():
            header = tuple(next(reader, ()))
            if len(set(header)) < len(header):
                raise CorpusError(f"{where}: the header names a column twice: {', '.join(header)}; rename one")
            return header, [_fields(header, cells, where, reader.line_num, delimiter) for cells in reader if cells]
    except csv.Error as error:
        raise CorpusError(f"{where}, line {reader.line_num}: not valid CSV ({error}); correct it") from None


def _fields(header: tuple[str, ...], cells: list[str], where: str, line: int, delimiter: str) -> Row:
    if len(cells) != len(header):
        raise CorpusError(
            f"{where}, line {line}: {len(cells)} fields, the header has {len(header)} "
            f"(separated by a {DELIMITERS[delimiter]}); put fields with separators in double quotes"
        )
    return dict(zip(header, cells, strict=True))


@contextmanager
def long_fields() -> Generator[None]:
    # The standard library refuses fields over 128 KiB, a limit of the process: lifted, then put back.
    old = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(old)


def plain_text(data: bytes, where: str, text: str) -> Parsed:
    """One record a line, under the column `text`."""
    # Not str.splitlines: it also breaks at form feeds and U+2028, which stand inside sentences.
    lines = decode(data, where).replace("\r\n", "\n").split("\n")
    if not lines[-1]:
        lines.pop()
    return (text,), [{text: line} for line in lines]


def parquet(data: bytes, where: str, text: str) -> Parsed:  # noqa: ARG001
    """An Apache Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table: Any = pq.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        raise CorpusError(f"{where}: not a readable Parquet file ({str(error).splitlines()[0]})") from error
    return tuple(table.column_names), table.to_pylist()


FORMATS: dict[str, Callable[[bytes, str, str], Parsed]] = {
    ".jsonl": json_lines,
    ".ndjson": json_lines,
    ".json": json_list,
    ".csv": separated,
    ".tsv": tab_separated,
    ".txt": plain_text,
    ".parquet": parquet,
}
