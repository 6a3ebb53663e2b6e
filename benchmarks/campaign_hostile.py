"""Files, studies and settings made to break whoever reads them, or a seeded tenth of them.

python benchmarks/campaign_hostile.py             # `make campaign-hostile`, some seconds
python benchmarks/campaign_hostile.py --tenth     # in .ci/run

Each is read as a run or an audit reads it, before any model. It must be read, or be refused by one of byrote's own
errors in a few lines that hold no control character and no word of a record's text. What becomes of hostile names in a
report, in tables and on a terminal is held by tests/test_hostile_names.py and tests/test_no_text.py. Exits with 1 where
anything breaks.
"""

import argparse
import csv
import gzip
import io
import json
import random
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from byrote.corpora import load_corpus
from byrote.errors import ByroteError
from byrote.study import load_study, parse_overrides
from byrote.study.checks import check_names
from byrote.study.dotted import dotted_names
from byrote.terminal import VisibleConsole

WORD = "Zyrqavex"  # in every text; no message may have it
LONGEST_MESSAGE = 1000
NASTY = {
    "element": "<script>alert(1)</script>",
    "image": '"><img src=x onerror=alert(1)>',
    "svg": "<svg/onload=alert(1)>",
    "terminal escape": "\x1b[31mred\x1b]0;owned\x07",
    "C1 control": "\x9b31m",
    "formula": "=HYPERLINK(1)",
    "direction": "a\u202eb\u2066c",
    "NUL": "a\x00b",
    "half a surrogate pair": "a\ud800b",
    "path": "../../etc/passwd",
    "long": "x" * 1_000_000,
    "line ends": "a\r\nb\rc\u2028d\x85e",
    "byte-order mark": "\ufeffx",
    "quotes": "\"'`;--",
    "empty": "",
    "white space": " \t ",
    "zero width": "\u200b\u200d",
    "no character": "\uffff",
    "emoji": "👩\u200d⚕️",
    "format": "%s%n{0}{x!r}",
    "template": "{{7*7}}{% raw %}${jndi:x}",
    "shell": "$(touch owned)`touch owned`",
    "digits": "9" * 5000,
    "not a number": "NaN",
    "option": "--help",
}
PLACES = ("text", "id", "group", "column")
FORMATS = ("jsonl", "json.gz", "csv", "tsv", "txt", "parquet")
Case = tuple[str, Callable[[Path], object]]
Row = dict[str, Any]


def main() -> int:
    """Counts what was read, refused and broke; 1 where anything broke."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tenth", action="store_true", help="a tenth of the inputs")
    parser.add_argument("--seed", type=int, default=20261125)
    options = parser.parse_args()
    cases, started = [*files(), *raw_files(), *studies(), *settings()], time.monotonic()
    chosen = random.Random(options.seed).sample(cases, len(cases) // 10) if options.tenth else cases
    ends: Counter[str] = Counter()
    for name, read in chosen:
        with tempfile.TemporaryDirectory() as folder:
            wrong = what_breaks(read, Path(folder))
        ends["read" if wrong is None else "refused" if wrong == "" else "broke"] += 1
        if wrong:
            print(f"{name!a}: {wrong}")
    told = ", ".join(f"{ends[end]} {end}" for end in ("read", "refused", "broke"))
    print(
        f"{len(chosen)} of {len(cases)} hostile inputs: {told}; {time.monotonic() - started:.0f} s, seed {options.seed}"
    )
    return int(ends["broke"] > 0)


def what_breaks(read: Callable[[Path], object], folder: Path) -> str | None:
    """What is wrong with how an input is answered: '' where it is refused well, None where it is read."""
    try:
        read(folder)
    except ByroteError as error:
        return what_is_wrong_with(str(error))
    except Exception:  # noqa: BLE001 (whatever it is, it is counted and shown)
        return f"no error of byrote's: {traceback.format_exc(limit=-2)!a}"
    return None


def what_is_wrong_with(message: str) -> str:
    """Nothing where the message is short, tells no text and, printed, obeys no control character."""
    shown = io.StringIO()
    VisibleConsole(file=shown, width=100, color_system=None).print(message, markup=False, highlight=False)
    if set(shown.getvalue()) & {*map(chr, range(32)), "\x7f", "\x9b", "\u202e", "\u2066"} - {"\n", "\t"}:
        return f"a control character is printed: {message!a}"
    if WORD in message:
        return f"a record's text is in the message: {message!a}"
    return f"a message of {len(message)} characters: {message[:200]!a}" if len(message) > LONGEST_MESSAGE else ""


# --- inputs -----------------------------------------------------------------------------------------------------------


def files() -> Iterator[Case]:
    """Well-formed files with something nasty in one row, or in the name of a column, in every format."""
    for name, nasty in NASTY.items():
        for place in PLACES:
            for ending in FORMATS if place == "text" else [e for e in FORMATS if e != "txt"]:
                yield (
                    f"{name} as {place}, .{ending}",
                    lambda folder, a=nasty, b=place, c=ending: a_file(folder, a, b, c),
                )


def a_file(folder: Path, nasty: str, place: str, ending: str) -> object:
    """A corpus whose members have the nasty words in one place."""
    columns = {"text": "text", "id": "id", "group": "group"}
    rows: list[Row] = [{"id": f"r{i}", "group": f"p{i}", "text": f"{WORD} {i} had a rash"} for i in range(12)]
    if place == "column":
        columns["id"] = nasty
        rows = [{nasty if name == "id" else name: value for name, value in row.items()} for row in rows]
    else:
        rows[3][place] = f"{WORD} {nasty}" if place == "text" and nasty.strip() else nasty
    try:
        data = written(rows, ending)
    except (UnicodeEncodeError, pa.ArrowException, csv.Error):
        return None  # no such file can be written
    return read_members(folder, f"members.{ending}", data, {} if ending == "txt" else columns)


def written(rows: list[Row], ending: str) -> bytes:
    """Rows in a format."""
    if ending == "parquet":
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), sink)
        return sink.getvalue()
    if ending == "txt":
        return "\n".join(row["text"] for row in rows).encode("utf-8", "surrogatepass")
    if ending in ("csv", "tsv"):
        lines = io.StringIO()
        table = csv.DictWriter(lines, list(rows[0]), delimiter="," if ending == "csv" else "\t")
        table.writeheader()
        table.writerows(rows)
        return lines.getvalue().encode("utf-8", "surrogatepass")
    if ending == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    return gzip.compress(json.dumps(rows).encode())


def read_members(folder: Path, name: str, data: bytes, columns: dict[str, str]) -> object:
    """The members' file, beside harmless non-members, read as a run reads it."""
    (folder / name).write_bytes(data)
    others = [
        {name: f"{kind}{i}" for name, kind in zip(("text", "id", "group"), "tig", strict=True)} for i in range(12)
    ]
    (folder / "others.jsonl").write_text("".join(json.dumps(row) + "\n" for row in others))
    named = {name: value for name, value in columns.items() if name == "text" or value == name}
    corpus = {"source": "files", "path": str(folder), "members": name, "nonmembers": "others.jsonl", **named}
    return load_corpus(load_study({"name": "hostile", "corpus": corpus}).corpus)


def raw_files() -> Iterator[Case]:
    """Files that are not what their names say, and files that are more than they seem."""
    row = json.dumps({"text": f"{WORD} had a rash"}).encode() + b"\n"
    zeros = bytes(100 * 2**20)
    raw = {
        "invalid UTF-8.jsonl": row * 3 + b'{"text": "\xff\xfe"}\n',
        "half a line.jsonl": row * 3 + row[: len(row) // 2],
        "UTF-16.csv": "text\nZyrqavex had\n".encode("utf-16"),
        "nested.json": b"[" * 100_000,
        "nested.jsonl": b'{"text": ' + b"[" * 100_000,
        "long number.jsonl": b'{"text": ' + b"9" * 10_000 + b"}\n",
        "no number.json": b"[NaN, Infinity]",
        "twice.jsonl": b'{"text": "Zyrqavex", "text": "Zyrqavex b"}\n' * 2,
        "open quote.csv": b'id,text\n1,"Zyrqavex had\n' * 3,
        "uneven.tsv": b"id\ttext\n1\tZyrqavex\tc\n",
        "columns twice.csv": b"text,text\nZyrqavex,b\n",
        "zeros.csv": bytes(1000),
        "zeros.txt": bytes(1000),
        "nothing.jsonl": b"",
        "nothing.csv": b"",
        "header alone.csv": b"id,text\n",
        "broken.parquet": b"PAR1" + bytes(100) + b"PAR1",
        "cut off.jsonl.gz": gzip.compress(row * 100)[:-20],
        "no gzip.jsonl.gz": row,
        "bomb.jsonl.gz": gzip.compress(zeros),
        "bomb in a bomb.txt.gz": gzip.compress(gzip.compress(zeros)),
        "bomb.zip": zipped(("a.jsonl", zeros)),
        "no zip.zip": row,
        "empty.zip": zipped(),
        "two.zip": zipped(("a.jsonl", row), ("b.jsonl", row)),
        "outside.zip": zipped(("../../owned.jsonl", row * 12)),
        "of no format.exe": b"MZ" + row,
        "of no format": row,
    }
    for name, data in raw.items():
        yield name, lambda folder, a=name, b=data: read_members(folder, a, b, {"text": "text"})
    yield "a folder", lambda folder: (folder / "m.jsonl").mkdir() or read_there(folder)
    yield "a link to nothing", lambda folder: (folder / "m.jsonl").symlink_to("gone") or read_there(folder)
    yield "a link to itself", lambda folder: (folder / "m.jsonl").symlink_to("m.jsonl") or read_there(folder)
    yield "a device", lambda folder: (folder / "m.jsonl").symlink_to("/dev/zero") or read_there(folder)


def read_there(folder: Path) -> object:
    """A corpus whose members are what lies under m.jsonl."""
    corpus = {"source": "files", "path": str(folder), "members": "m.jsonl", "nonmembers": "m.jsonl"}
    return load_corpus(load_study({"name": "hostile", "corpus": corpus}).corpus)


def zipped(*parts: tuple[str, bytes]) -> bytes:
    """A .zip of these files."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts:
            archive.writestr(name, data)
    return sink.getvalue()


def studies() -> Iterator[Case]:
    """Study files: aliases that multiply, tags that call, keys that are none, bytes that are no text."""
    tens = "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(9))
    texts = {
        "aliases that multiply": f"a: &a [x,x,x,x,x,x,x,x,x,x]\n{tens}",
        "an alias of itself": "a: &a [*a]",
        "nested": "[" * 5000,
        "a call": "a: !!python/object/apply:os.system [touch owned]",
        "a list as key": "? [a]\n: b",
        "a mapping as key": "? {a: 1}\n: b",
        "two documents": "a: 1\n---\nb: 1",
        "a key twice": "name: a\nname: b",
        "no such alias": "a: *b",
        "merge": "<<: {a: 1}",
        "a long number": "a: " + "9" * 5000,
        "no binary": "a: !!binary zzz$",
        "NUL": "a: \x00",
        "no mapping": "- 1",
        "nothing": "",
        "tabs": "a:\n\t- b",
    }
    for name, text in texts.items():
        yield f"study: {name}", lambda folder, a=text: a_study(folder, a.encode())
    yield "study: no UTF-8", lambda folder: a_study(folder, b"name: \xff\xfe")
    for name, nasty in NASTY.items():
        yield f"study: name is {name}", lambda folder, a=nasty: load_study(a)  # noqa: ARG005


def a_study(folder: Path, data: bytes) -> object:
    """A study file, read as a run reads it."""
    (folder / "study.yaml").write_bytes(data)
    return load_study(folder / "study.yaml")


def settings() -> Iterator[Case]:
    """Every setting with a few nasty values, on the command line."""
    for index, setting in enumerate(dotted_names()):
        for name in [name for place, name in enumerate(NASTY) if place % 8 == index % 8]:
            yield f"--{setting}: {name}", lambda folder, a=setting, b=NASTY[name]: a_setting(a, b)  # noqa: ARG005


def a_setting(setting: str, nasty: str) -> object:
    """The demo with one setting changed, up to where names and combinations are checked."""
    return check_names(load_study("demo", parse_overrides([f"--{setting}", nasty])))


if __name__ == "__main__":
    sys.exit(main())
