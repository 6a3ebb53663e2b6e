# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false
"""A corpus from the Hugging Face hub, or from a local folder in the layout of its data sets."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

from byrote.corpora.rows import Table, build, did_you_mean, require_columns, split_names
from byrote.errors import CorpusError
from byrote.records import Record
from byrote.study import HubCorpus

if TYPE_CHECKING:
    from datasets import Dataset, DatasetBuilder


def read(corpus: HubCorpus) -> list[Record]:
    """Records of the splits that the study names, in the order of the data set.

    A split may be a slice in the hub's notation (`train[:50%]`). An id is `<split>:<row>` where no column holds ids;
    a record is its own group where no column holds groups. No code of the data set is run.
    Raises CorpusError where the data set, the subset, a split or a column is not there, is gated, or cannot be read.
    """
    names = split_names(corpus)
    builder = _prepared(corpus)
    tables = {split: _table(builder, name, corpus) for split, name in names.items()}
    return build(tables, corpus.columns, corpus.limit)


def _prepared(corpus: HubCorpus) -> "DatasetBuilder":
    from datasets import load_dataset_builder
    from datasets.exceptions import DatasetsError

    # The HTTP library changed between versions (requests, httpx, httpx2); this name is always its error.
    from huggingface_hub.errors import HTTPError  # pyright: ignore[reportPrivateImportUsage]

    local = Path(corpus.path).expanduser()
    source = str(local) if local.is_dir() else corpus.path
    try:
        builder = load_dataset_builder(source, corpus.subset, revision=corpus.revision)
        builder.download_and_prepare()
    except (DatasetsError, OSError, ValueError, RuntimeError, HTTPError) as error:
        raise CorpusError(_explain(corpus, error)) from error
    return builder


def _explain(corpus: HubCorpus, error: Exception) -> str:
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub.errors import GatedRepoError, HTTPError  # pyright: ignore[reportPrivateImportUsage]

    cause = " ".join(str(error.__cause__ or error).split())[:300]
    name = f"data set {corpus.path!r}"
    # The library wraps the hub's own error and drops it as the cause; its text is what tells gated from missing.
    if isinstance(error, GatedRepoError) or "is a gated dataset" in str(error):
        return f"{name} is gated; ask for access on its page, then log in with `hf auth login` or set HF_TOKEN"
    if isinstance(error, DatasetNotFoundError):
        at = f" at revision {corpus.revision!r}" if corpus.revision else ""
        return f"no {name}{at} on the hub, no such local folder, or it is private (then log in with `hf auth login`)"
    if isinstance(error, ConnectionError | HTTPError):
        return f"{name}: the hub cannot be reached ({cause}); connect, or give a local folder as corpus.path"
    if "scripts are no longer supported" in cause:
        return f"{name} is a loading script, which is not run; try corpus.revision refs/convert/parquet, or local files"
    return f"{name} cannot be read ({cause}); check corpus.path, corpus.subset and corpus.revision"


def _table(builder: "DatasetBuilder", name: str, corpus: HubCorpus) -> Table:
    where = f"data set {corpus.path!r}, split {name!r}"
    known = [str(split) for split in builder.info.splits or ()]
    for part in name.split("+"):
        plain = part.partition("[")[0].strip()
        if plain not in known:
            raise CorpusError(f"{where}: no such split; it has {', '.join(known)}{did_you_mean(plain, known)}")
    try:
        split = cast("Dataset", builder.as_dataset(split=name))
    except (ValueError, AssertionError) as error:
        raise CorpusError(
            f"{where}: not a slice the hub knows ({error}); write train[:50%] or train[100:200]"
        ) from error
    require_columns(where, split.column_names, corpus.columns.named)
    tools = "tools" if corpus.text is None and "tools" in split.column_names else None
    needed = [c for c in dict.fromkeys((*corpus.columns.named.values(), tools)) if c is not None]
    first = split.select_columns(needed).select(range(min(corpus.limit or len(split), len(split))))
    return Table(where, name, tuple(needed), first.to_list())
