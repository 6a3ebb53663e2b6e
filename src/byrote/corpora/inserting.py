# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
"""Rows put into a data set's file, in its own format. All that was there is unchanged: byte for byte, but for Parquet,
whose rows keep their values and types.

Places count the rows as `formats.parse` reads them: 0 is before the first, their number is after the last.
"""

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePath

from byrote.corpora import formats
from byrote.corpora.rows import Row
from byrote.errors import CorpusError

Additions = Mapping[int, Sequence[Row]]


def with_rows(data: bytes, name: str, out: str, text: str, additions: Additions) -> bytes:
    """The bytes of a file with rows added before the rows at their places. `name` gives its format and compression,
    `out` the compression of what comes of it, `text` the column of plain lines.

    Raises CorpusError as `formats.parse` does, where `out` names another format (`same_format`), and for a row that a
    Parquet file's types do not hold.
    """
    same_format(name, out, data)
    plain, inside = formats.decompress(data, name, name)
    return _packed(INSERT[PurePath(inside).suffix.lower()](plain, name, text, additions), out)


def same_format(name: str, out: str, data: bytes) -> None:
    """CorpusError where the name of the file to write does not end as that of the file read, compression aside."""
    _, inside = formats.decompress(data, name, name)
    wanted = PurePath(inside).suffix.lower()
    path = PurePath(out)
    got = PurePath(path.stem).suffix.lower() if path.suffix.lower() in (".gz", ".zip") else path.suffix.lower()
    if got != wanted:
        raise CorpusError(
            f"{out} does not end in {wanted}: the data with canaries has the format of {name}; name it {wanted}"
        )


def _packed(data: bytes, out: str) -> bytes:
    suffix = PurePath(out).suffix.lower()
    if suffix == ".gz":
        return gzip.compress(data, mtime=0)
    if suffix == ".zip":
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(PurePath(out).stem, data)
        return stream.getvalue()
    return data


def _spliced(rows: Sequence[str], additions: Additions, write: Callable[[Row], str]) -> Iterator[str]:
    """The rows as they stand in the file, and between them the new ones as `write` gives them."""
    for place in range(len(rows) + 1):
        yield from map(write, additions.get(place, ()))
        if place < len(rows):
            yield rows[place]


def _ending(content: str) -> str:
    """What ends the first line of a file."""
    line = content.partition("\n")[0]
    return "\r\n" if line.endswith("\r") and "\n" in content else "\n"


def _text_of(data: bytes, where: str) -> tuple[str, str]:
    """A byte-order mark, if there is one, and the text after it."""
    content = formats.decode(data, where)
    return ("\ufeff" if data.startswith(b"\xef\xbb\xbf") else ""), content


def _json_lines(data: bytes, where: str, text: str, additions: Additions) -> bytes:  # noqa: ARG001
    """A line a row; blank lines stay with the row after them."""
    mark, content = _text_of(data, where)
    end, plain = _ending(content), content.isascii()
    rows, held = [], ""
    for line in content.split("\n"):
        held += line + "\n"
        if line.strip():
            rows.append(held)
            held = ""
    tail = held[:-1] if held else ""  # what follows the last row: nothing, or blank lines
    if rows and not content.endswith("\n") and not held:
        rows[-1] = rows[-1].removesuffix("\n") + end  # the last line had no end; a row may come after it
    written = "".join(_spliced(rows, additions, lambda row: json.dumps(row, ensure_ascii=plain) + end))
    return (mark + written + tail).encode()


def _json_list(data: bytes, where: str, text: str, additions: Additions) -> bytes:
    mark, content = _text_of(data, where)
    if not content.lstrip().startswith("["):
        return _json_lines(data, where, text, additions)
    rows, start, end = _elements(content)
    space = rows[0][: len(rows[0]) - len(rows[0].lstrip())] if rows else ""
    plain = content.isascii()
    new = _spliced(rows, additions, lambda row: space + json.dumps(row, ensure_ascii=plain))
    return (mark + content[:start] + ",".join(new) + content[end:]).encode()


def _elements(content: str) -> tuple[list[str], int, int]:
    """The elements of a JSON list as they stand between its commas, and where the first begins and the last ends."""
    decoder, rows = json.JSONDecoder(), list[str]()
    first = start = content.index("[") + 1
    while True:
        place = _after_space(content, start)
        if content[place] == "]":  # of a list without elements
            return rows, first, first
        _, end = decoder.raw_decode(content, place)
        place = _after_space(content, end)
        if content[place] == "]":
            return [*rows, content[start:end]], first, end
        rows.append(content[start:place])
        start = place + 1


def _after_space(content: str, place: int) -> int:
    while content[place] in " \t\r\n":
        place += 1
    return place


def _separated(data: bytes, where: str, text: str, additions: Additions) -> bytes:
    return _delimited(data, where, formats.delimiter_of(formats.decode(data, where), text), additions)


def _tab_separated(data: bytes, where: str, text: str, additions: Additions) -> bytes:  # noqa: ARG001
    return _delimited(data, where, "\t", additions)


def _delimited(data: bytes, where: str, delimiter: str, additions: Additions) -> bytes:
    """A row may run over several lines; the reader tells where each ends."""
    mark, content = _text_of(data, where)
    end, lines = _ending(content), list(io.StringIO(content, newline=""))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    with formats.long_fields():
        header = next(reader)
        head, rows, start = "".join(lines[: reader.line_num]), [], reader.line_num
        for cells in reader:
            if cells:
                rows.append("".join(lines[start : reader.line_num]))
                start = reader.line_num
    tail = "".join(lines[start:])
    if not tail and not content.endswith(("\n", "\r")):
        rows[-1] += end

    def write(row: Row) -> str:
        stream = io.StringIO(newline="")
        csv.writer(stream, delimiter=delimiter, lineterminator=end).writerow([row[name] for name in header])
        return stream.getvalue()

    return (mark + head + "".join(_spliced(rows, additions, write)) + tail).encode()


def _plain_text(data: bytes, where: str, text: str, additions: Additions) -> bytes:
    mark, content = _text_of(data, where)
    end = _ending(content)
    rows = [line + "\n" for line in content.split("\n")]
    if content.endswith("\n") or not content:
        rows.pop()
    else:
        rows[-1] = rows[-1].removesuffix("\n") + end
    return (mark + "".join(_spliced(rows, additions, lambda row: row[text] + end))).encode()


def _parquet(data: bytes, where: str, text: str, additions: Additions) -> bytes:  # noqa: ARG001
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(data))
    pieces, start = [], 0
    for place in sorted(additions):
        try:
            rows = pa.Table.from_pylist([dict(row) for row in additions[place]], schema=table.schema)
        except (pa.ArrowException, TypeError, ValueError) as error:
            told = str(error).splitlines()[0]
            raise CorpusError(
                f"{where}: a canary's row does not fit the file's types ({told}); save it as JSONL"
            ) from None
        pieces += [table.slice(start, place - start), rows]
        start = place
    stream = io.BytesIO()
    pq.write_table(pa.concat_tables([*pieces, table.slice(start)]), stream)
    return stream.getvalue()


INSERT: dict[str, Callable[[bytes, str, str, Additions], bytes]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json_list,
    ".csv": _separated,
    ".tsv": _tab_separated,
    ".txt": _plain_text,
    ".parquet": _parquet,
}
