"""What lies in a run folder, for tests that look for words in it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

PARQUET = b"PAR1"  # with which each such file ends, unless it is damaged


def contents(run: Path) -> Iterator[tuple[str, bytes]]:
    """Every file as it lies, and Parquet with all of its cells in words as well."""
    for path in sorted(path for path in run.rglob("*") if path.is_file()):
        words = path.read_bytes()
        if path.suffix == ".parquet" and words.endswith(PARQUET):
            words += json.dumps(pq.read_table(path).to_pylist(), default=str, ensure_ascii=False).encode()
        yield path.relative_to(run).as_posix(), words
