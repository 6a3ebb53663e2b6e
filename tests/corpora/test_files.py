"""Files in every format and compression, and what is said of broken ones."""

import csv
import gzip
import io
import json
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from byrote.corpora import files, load_corpus
from byrote.corpora.formats import FORMATS, delimiter_of, stem
from byrote.errors import CorpusError, StudyError
from byrote.records import CALIBRATION, MEMBERS, NONMEMBERS
from byrote.study import FilesCorpus, load_study

ROWS = [
    {"text": "NA", "key": "007", "document": "d1"},
    {"text": 'said "no", twice\nand left', "key": "null", "document": "d1"},
    {"text": "größer\u2028als 3.10", "key": "1e3", "document": "d2"},
]


def encode(suffix: str, rows: list[dict]) -> bytes:
    """Rows in a format; plain text keeps the texts alone, on one line each."""
    if suffix in (".jsonl", ".ndjson"):
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    if suffix == ".json":
        return json.dumps(rows).encode()
    if suffix in (".csv", ".tsv"):
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), delimiter="\t" if suffix == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode()
    if suffix == ".parquet":
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), sink)
        return sink.getvalue()
    return "".join(row["text"].replace("\n", " ") + "\n" for row in rows).encode()


def pack(data: bytes, name: str, packing: str) -> bytes:
    """Bytes as they are, in .gz, or in a .zip beside the folder that a Mac adds."""
    if packing == ".gz":
        return gzip.compress(data)
    if packing == ".zip":
        sink = io.BytesIO()
        with zipfile.ZipFile(sink, "w") as archive:
            archive.writestr(name, data)
            archive.writestr(f"__MACOSX/._{name}", b"x")
        return sink.getvalue()
    return data


def corpus(folder: Path, members: str, nonmembers: str = "out.txt", **fields: object) -> FilesCorpus:
    """A files corpus; out.txt is written where nothing else is named."""
    if nonmembers == "out.txt":
        (folder / "out.txt").write_text("held out one\nheld out two\n")
    return FilesCorpus.model_validate(
        {"source": "files", "path": str(folder), "members": members, "nonmembers": nonmembers, **fields}
    )


@pytest.mark.parametrize("packing", ["", ".gz", ".zip"])
@pytest.mark.parametrize("suffix", list(FORMATS))
def test_every_format_keeps_texts_and_order(tmp_path: Path, suffix: str, packing: str) -> None:
    name = f"train{suffix}"
    (tmp_path / (name + packing)).write_bytes(pack(encode(suffix, ROWS), name, packing))
    members = [r for r in files.read(corpus(tmp_path, name + packing)) if r.split == MEMBERS]
    expected = [row["text"].replace("\n", " ") if suffix == ".txt" else row["text"] for row in ROWS]
    assert [r.text for r in members] == expected
    assert [r.record for r in members] == ["train:1", "train:2", "train:3"]
    assert [r.group for r in members] == ["train:1", "train:2", "train:3"]


@pytest.mark.parametrize("suffix", [suffix for suffix in FORMATS if suffix != ".txt"])
def test_id_and_group_columns(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a{suffix}").write_bytes(encode(suffix, ROWS))
    (tmp_path / "b.jsonl").write_text('{"text": "other", "key": 12, "document": 9}\n')
    records = files.read(corpus(tmp_path, f"a{suffix}", "b.jsonl", id="key", group="document"))
    assert [(r.record, r.group) for r in records] == [("007", "d1"), ("null", "d1"), ("1e3", "d2"), ("12", "9")]


def test_three_splits_limit_and_absolute_names(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "dev.txt"
    elsewhere.parent.mkdir()
    elsewhere.write_text("one\ntwo\nthree\n")
    (tmp_path / "train.jsonl").write_bytes(encode(".jsonl", ROWS))
    records = files.read(corpus(tmp_path, "train.jsonl", calibration=str(elsewhere), limit=2))
    assert [r.split for r in records] == [MEMBERS] * 2 + [NONMEMBERS] * 2 + [CALIBRATION] * 2
    assert records[-1].record == "dev:2"


def test_ids_that_files_share_are_told_apart_by_split(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(f"key,text\n0,first of {name}\n1,second of {name}\n")
    records = files.read(corpus(tmp_path, "a.csv", "b.csv", id="key"))
    assert [r.record for r in records] == ["members:0", "members:1", "nonmembers:0", "nonmembers:1"]
    assert [r.group for r in records] == [r.record for r in records]
    assert load_corpus(corpus(tmp_path, "a.csv", "b.csv", id="key")).findings == ()


def test_same_stem_in_two_folders(tmp_path: Path) -> None:
    for folder in ("in", "out"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "data.txt").write_text(f"text {folder}\n")
    records = files.read(corpus(tmp_path, "in/data.txt", "out/data.txt"))
    assert [r.record for r in records] == ["members:data:1", "nonmembers:data:1"]


def test_json_lines_under_the_name_json(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_bytes(encode(".jsonl", ROWS))
    assert [r.text for r in files.read(corpus(tmp_path, "train.json"))][:3] == [row["text"] for row in ROWS]


def test_byte_order_mark_and_windows_lines(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes(b"\xef\xbb\xbftext,key\r\none,1\r\ntwo,2\r\n")
    (tmp_path / "out.txt").write_bytes(b"three\r\nfour")
    assert [r.text for r in files.read(corpus(tmp_path, "train.csv", "./out.txt"))] == ["one", "two", "three", "four"]


def test_long_csv_fields_and_the_limit_of_the_process(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    (tmp_path / "train.csv").write_text("text\n" + "x" * (before + 1) + "\n")
    assert len(files.read(corpus(tmp_path, "train.csv"))[0].text) == before + 1
    assert csv.field_size_limit() == before


def test_blank_lines_are_counted_by_load_corpus(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("one two\n\n  \nthree four\n")
    loaded = load_corpus(corpus(tmp_path, "train.txt"))
    assert [r.record for r in loaded.records][:2] == ["train:1", "train:4"]
    blank = next(f for f in loaded.findings if f.kind == "blank")
    assert blank.count == 2
    assert "train:2, train:3" in blank.message


BROKEN: dict[str, tuple[str, bytes, str]] = {
    "line": ("a.jsonl", b'{"text": "x"}\n\n{"text": \n', r"a\.jsonl, line 3: not valid JSON"),
    "list": ("a.json", b'[{"text": "x"},\n {"text" 1}]', r"a\.json: not valid JSON .* line 2, column 10"),
    "deep": ("a.json", b"[" * 200_000, r"nested too deeply"),
    "no object": ("a.jsonl", b'{"text": "x"}\n3\n', r"line 2: must be a JSON object with named values, got int"),
    "column": (
        "a.jsonl",
        b'{"txt": "x", "n": 1}\n',
        r"no column 'text' \(corpus\.text\); it has txt, n; did you .*'txt'",
    ),
    "row": ("a.jsonl", b'{"text": "x"}\n{"n": 1}\n', r"row 2: no 'text' in this row"),
    "number": ("a.jsonl", b'{"text": "x"}\n{"text": 3.5}\n', r"row 2: 'text' must be a string, got float"),
    "null": ("a.jsonl", b'{"text": null}\n', r"row 1: 'text' must be a string, got NoneType"),
    "surrogate": ("a.jsonl", b'{"text": "x\\ud800"}\n', r"half a surrogate pair at character 1"),
    "bytes": ("a.txt", b"one\ntw\xff\n", r"a\.txt, line 2: byte 0xff at offset 6 is not UTF-8"),
    "fields": ("a.csv", b"text,n\nx,1\ny,2,3\n", r"line 3: 3 fields, the header has 2"),
    "quote": ("a.csv", b'text\n"x"y\n', r"line 2: not valid CSV"),
    "header": ("a.csv", b"text,text\nx,1\n", r"the header names a column twice"),
    "parquet": ("a.parquet", b"PAR1 nothing", r"not a readable Parquet file"),
    "gz": ("a.txt.gz", b"plain", r"cannot be unpacked"),
    "cut gz": ("a.txt.gz", gzip.compress(b"one\n" * 99)[:-9], r"cannot be unpacked"),
    "zip": ("a.txt.zip", b"plain", r"cannot be unpacked"),
    "long number": ("a.jsonl", b'{"text": ' + b"9" * 5000 + b"}\n", r"line 1: not valid JSON \(Exceeds the limit"),
    "format": ("a.jsonll", b"x", r"unknown format '\.jsonll'; files end in \.jsonl, .*did you mean '\.jsonl'"),
}


@pytest.mark.parametrize("case", list(BROKEN))
def test_broken_files_are_named_with_their_place(tmp_path: Path, case: str) -> None:
    name, data, message = BROKEN[case]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CorpusError, match=message) as raised:
        files.read(corpus(tmp_path, name))
    assert "\n" not in str(raised.value)
    assert name in str(raised.value)


@pytest.mark.parametrize("packing", [".gz", ".zip"])
def test_an_archive_that_unpacks_to_more_than_text_can_is_refused(
    tmp_path: Path, packing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("byrote.corpora.formats.UNPACKED_ANYWAY", 1 << 20)
    bomb = tmp_path / f"bomb.txt{packing}"
    bomb.write_bytes(gzip.compress(b"x" * (1 << 22)))
    if packing == ".zip":
        with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("bomb.txt", b"x" * (1 << 22))
    with pytest.raises(CorpusError, match=r"unpacks to more than 1 MiB from [\d,]+ bytes, which no text does"):
        files.read(corpus(tmp_path, bomb.name))
    monkeypatch.setattr("byrote.corpora.formats.UNPACKED_ANYWAY", 1 << 23)
    assert len(files.read(corpus(tmp_path, bomb.name))) == 3  # and two of the other side


def test_zip_of_two_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.txt", "x")
        archive.writestr("b.txt", "y")
    with pytest.raises(CorpusError, match=r"two\.zip: holds 2 files; a \.zip must hold one"):
        files.read(corpus(tmp_path, "two.zip"))


@pytest.mark.parametrize(
    ("value", "message"), [('""', "an empty string"), ("null", "NoneType"), ("true", "bool"), ("1.5", "float")]
)
def test_ids_are_strings_or_whole_numbers(tmp_path: Path, value: str, message: str) -> None:
    (tmp_path / "a.jsonl").write_text(f'{{"text": "x", "key": {value}}}\n')
    (tmp_path / "b.jsonl").write_text('{"text": "y", "key": 1}\n')
    with pytest.raises(CorpusError, match=f"row 1: 'key' must be a string or a whole number, got {message}"):
        files.read(corpus(tmp_path, "a.jsonl", "b.jsonl", id="key"))


def test_repeated_ids_in_one_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("key,text\n1,x\n2,y\n1,z\n")
    (tmp_path / "b.csv").write_text("key,text\n3,w\n")
    with pytest.raises(CorpusError, match=r"a\.csv: 1 ids are on several rows: 1; set corpus\.id"):
        files.read(corpus(tmp_path, "a.csv", "b.csv", id="key"))


def test_missing_file_and_folder(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("")
    with pytest.raises(
        CorpusError, match=r"no file .*trian\.jsonl; .* holds out\.txt, train\.jsonl; did you mean 'train"
    ):
        files.read(corpus(tmp_path, "trian.jsonl"))
    with pytest.raises(CorpusError, match=r"the folder .*nowhere does not exist; set corpus\.path"):
        files.read(corpus(tmp_path / "nowhere", "a.txt", "b.txt"))
    with pytest.raises(CorpusError, match="is a folder; name one file of records"):
        files.read(corpus(tmp_path, ".", "b.txt"))


@pytest.mark.parametrize(("name", "data"), [("a.jsonl", b""), ("a.csv", b"text\n"), ("a.txt", b""), ("a.json", b"[]")])
def test_empty_split(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CorpusError, match=rf"no records in corpus\.members \('{name}'\)"):
        load_corpus(corpus(tmp_path, name))


def test_one_file_for_two_splits(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"corpus\.members and corpus\.nonmembers are both 'out\.txt'"):
        files.read(corpus(tmp_path, "out.txt"))


def test_stem() -> None:
    assert [stem(n) for n in ("train.jsonl.gz", "a.b.csv", "x.zip", "plain")] == ["train", "a.b", "x", "plain"]


@pytest.mark.parametrize(("delimiter", "name"), [(";", "semicolon"), ("\t", "tab"), ("|", "vertical bar")])
def test_a_csv_may_be_separated_otherwise_and_says_so(tmp_path: Path, delimiter: str, name: str) -> None:
    rows = [["key", "text"], ["1", f'"a, b{delimiter} c"'], ["2", '"said ""no"""']]
    (tmp_path / "a.csv").write_text("".join(delimiter.join(row) + "\n" for row in rows))
    loaded = load_corpus(corpus(tmp_path, "a.csv"))
    assert [r.text for r in loaded.records][:2] == [f"a, b{delimiter} c", 'said "no"']
    messages = [f.message for f in loaded.findings if f.kind == "separator"]
    assert messages == [f"a.csv: read as fields separated by a {name}"]
    (tmp_path / "b.csv").write_text(delimiter.join(["text", "n"]) + "\n" + delimiter.join("xyz") + "\n")
    with pytest.raises(CorpusError, match=rf"line 2: 3 fields, the header has 2 \(separated by a {name}\)"):
        files.read(corpus(tmp_path, "b.csv"))


@pytest.mark.parametrize(
    ("content", "delimiter"),
    [
        ("text\nhello; you | there\n", ","),  # one column
        ("text,note;more\nx,y\n", ","),  # the column `text` is there with a comma alone
        ("id;note, long;text\n1;2;3\n", ";"),
        ('"text;long",id\nx,1\n', ","),
        ("", ","),
        ("a;b\n1;2\n", ";"),  # no column `text`: the one with most columns, so that the error lists them
    ],
)
def test_the_header_tells_the_delimiter(content: str, delimiter: str) -> None:
    assert delimiter_of(content, "text") == delimiter


ALL = "".join(
    json.dumps({"text": f"text {i}", "part": part, "key": f"k{i}"}) + "\n"
    for i, part in enumerate(["train", "test", "train", "dev", "extra", "test", 3], 1)
)


def test_one_file_whose_column_names_the_split(tmp_path: Path) -> None:
    (tmp_path / "all.jsonl").write_text(ALL)
    one_file = {"file": "all.jsonl", "split": "part", "calibration": "dev"}
    loaded = load_corpus(corpus(tmp_path, "train", "test", **one_file))
    assert [(r.record, r.split) for r in loaded.records] == [
        ("all:1", MEMBERS), ("all:3", MEMBERS), ("all:2", NONMEMBERS), ("all:6", NONMEMBERS), ("all:4", CALIBRATION),
    ]  # fmt: skip
    left_out = next(f for f in loaded.findings if f.kind == "left_out")
    assert (left_out.count, left_out.message) == (2, "2 rows of all.jsonl are in no split: part is extra, 3")
    limited = files.read(corpus(tmp_path, "train", "3", file="all.jsonl", split="part", limit=1, id="key"))
    assert [r.record for r in limited] == ["k1", "k7"]


@pytest.mark.parametrize(
    ("members", "fields", "message"),
    [
        ("trian", {}, r"no row with 'trian' \(corpus\.members\) in column 'part', which holds 3 \(1\), dev \(1\), "
         r"extra \(1\), test \(2\), train \(2\); did you mean 'train'"),
        ("train", {"split": "prt"}, r"no column 'prt' \(corpus\.split\); it has text, part, key; did you mean 'part'"),
        ("train", {"file": "al.jsonl"}, r"no file .*al\.jsonl; .* did you mean 'all\.jsonl'"),
        ("test", {}, r"corpus\.members and corpus\.nonmembers are both 'test'"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_one_file_is_said(tmp_path: Path, members: str, fields: dict, message: str) -> None:
    (tmp_path / "all.jsonl").write_text(ALL)
    with pytest.raises(CorpusError, match=message):
        files.read(corpus(tmp_path, members, "test", **{"file": "all.jsonl", "split": "part", **fields}))


@pytest.mark.parametrize(("alone", "other"), [("file", "corpus.split"), ("split", "corpus.file")])
def test_file_and_split_stand_together(alone: str, other: str) -> None:
    raw = {"corpus": {"source": "files", "members": "a", "nonmembers": "b", alone: "x"}}
    with pytest.raises(StudyError, match=rf"corpus\.{alone} is 'x'; set {other}"):
        load_study(raw)
