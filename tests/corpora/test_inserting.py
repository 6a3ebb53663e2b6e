"""Rows put into files: what was there stays as it was, and the new rows are read at their places."""

import csv
import gzip
import io
import json
import zipfile
from pathlib import PurePath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from byrote.corpora import formats
from byrote.corpora.inserting import INSERT, with_rows
from byrote.errors import CorpusError

OLD = [
    {"text": 'One "quoted", and a comma', "id": "a"},
    {"text": "Zwei Tröpfchen", "id": "b"},
    {"text": "3", "id": "c"},
]
NEW = {
    0: [{"text": "before, all", "id": "n0"}],
    1: [{"text": 'between "two"', "id": "n1"}, {"text": "again", "id": "n2"}],
    3: [{"text": "after all", "id": "n3"}],
}
ORDER = ["n0", "a", "n1", "n2", "b", "c", "n3"]


def csv_of(rows: list[dict[str, Any]], delimiter: str = ",", end: str = "\r\n") -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=delimiter, lineterminator=end)
    writer.writerow(rows[0])
    writer.writerows(row.values() for row in rows)
    return stream.getvalue().encode()


def parquet_of(rows: list[dict[str, Any]]) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), stream)
    return stream.getvalue()


LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in OLD).encode()
FILES: dict[str, bytes] = {
    "a.jsonl": LINES,
    "no-end.jsonl": LINES.removesuffix(b"\n"),
    "windows.jsonl": b"\xef\xbb\xbf" + LINES.replace(b"\n", b"\r\n"),
    "windows-no-end.jsonl": LINES.replace(b"\n", b"\r\n").removesuffix(b"\r\n"),
    "blank-lines.ndjson": b"\n" + LINES.replace(b"\n", b"\n\n") + b"  \n",
    "a.json": json.dumps(OLD).encode(),
    "spaced.json": b' [ \n {"text" : "1", "id":"a"} , \n {"text": "2", "id":"b"}\n,{"text": "3", "id": "c"}  \n]\n',
    "indented.json": json.dumps(OLD, indent=2).encode(),
    "lines.json": LINES,
    "a.csv": csv_of(OLD),
    "semicolons.csv": csv_of(OLD, ";", "\n"),
    "no-end.csv": csv_of(OLD).removesuffix(b"\r\n"),
    "several-lines.csv": b'text,id\n"one\n\ntwo",a\n\n"x",b\nthree,c\n\n',
    "a.tsv": csv_of(OLD, "\t", "\n"),
    "a.parquet": parquet_of(OLD),
}


def test_every_format_that_is_read_is_written() -> None:
    assert INSERT.keys() == formats.FORMATS.keys()


@pytest.mark.parametrize("name", FILES)
def test_rows_are_read_where_they_were_put_and_the_others_are_untouched(name: str) -> None:
    data = FILES[name]
    before = formats.parse(data, name, name, "text")
    written = with_rows(data, name, name, "text", NEW)
    columns, rows = formats.parse(written, name, name, "text")
    assert columns == before[0]
    assert [row["id"] for row in rows] == ORDER
    assert [row for row in rows if not row["id"].startswith("n")] == before[1]
    assert [row for row in rows if row["id"].startswith("n")] == [row for place in NEW.values() for row in place]
    if not name.endswith(".parquet"):
        assert with_rows(data, name, name, "text", {}) in (data, data + b"\n", data + b"\r\n")


@pytest.mark.parametrize("name", [name for name in FILES if not name.endswith((".parquet", ".json"))])
def test_old_lines_stay_byte_for_byte(name: str) -> None:
    """With the new rows' lines taken away again, the file is the old one."""
    data = FILES[name]
    written = with_rows(data, name, name, "text", NEW)
    mark = b"\xef\xbb\xbf"
    assert written.startswith(mark) == data.startswith(mark)
    lines = written.removeprefix(mark).splitlines(keepends=True)
    new = ("n0", "n1", "n2", "n3")
    kept = b"".join(line for line in lines if not any(name.encode() in line[-10:] for name in new))
    assert kept.rstrip() == data.removeprefix(mark).rstrip()


def test_a_json_list_stays_byte_for_byte() -> None:
    """Between the old elements stand the new ones and their commas, and nothing else."""
    data = FILES["spaced.json"].decode()
    place = data.index(", \n {") + 1  # before the second row, after its comma
    new = ' \n {"text": "x", "id": "n"}'
    expected = data[:place] + new + "," + data[place:]
    assert with_rows(data.encode(), "a.json", "a.json", "text", {1: [{"text": "x", "id": "n"}]}).decode() == expected


def test_plain_lines() -> None:
    new = {0: [{"text": "zero"}], 2: [{"text": "end"}]}
    assert with_rows(b"one\ntwo", "a.txt", "a.txt", "text", new) == b"zero\none\ntwo\nend\n"
    assert with_rows(b"one\r\ntwo\r\n", "a.txt", "a.txt", "text", new) == b"zero\r\none\r\ntwo\r\nend\r\n"


def test_parquet_keeps_types_and_names_a_row_that_does_not_fit() -> None:
    schema = pa.schema([("text", pa.large_string()), ("id", pa.int16())], {"owner": "me"})
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([{"text": "a", "id": 7}], schema=schema), stream)
    written = with_rows(stream.getvalue(), "a.parquet", "b.parquet", "text", {1: [{"text": "b", "id": 8}]})
    table = pq.read_table(io.BytesIO(written))
    assert table.schema.equals(schema, check_metadata=True)
    assert table.to_pylist() == [{"text": "a", "id": 7}, {"text": "b", "id": 8}]
    with pytest.raises(CorpusError, match=r"a\.parquet: a canary's row does not fit"):
        with_rows(stream.getvalue(), "a.parquet", "b.parquet", "text", {0: [{"text": "b", "id": "eight"}]})


@pytest.mark.parametrize("out", ["b.jsonl", "b.jsonl.gz", "b.jsonl.zip"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zip"])
def test_compression_follows_the_name_of_what_is_written(name: str, out: str) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.jsonl", LINES)
    data = {".jsonl": LINES, ".gz": gzip.compress(LINES), ".zip": stream.getvalue()}[PurePath(name).suffix]
    written = with_rows(data, name, out, "text", NEW)
    assert [row["id"] for row in formats.parse(written, out, out, "text")[1]] == ORDER


def test_another_format_is_refused() -> None:
    with pytest.raises(CorpusError, match=r"b\.csv does not end in \.jsonl: .* name it \.jsonl"):
        with_rows(LINES, "a.jsonl", "b.csv", "text", {})
