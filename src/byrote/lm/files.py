"""Folders of base models on this machine: byrote's cache, content digests, and the check of what a folder holds."""

from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from tempfile import NamedTemporaryFile

from byrote.cache import cache_folder
from byrote.errors import ModelError

WEIGHTS, INDEX, ADAPTER = "model.safetensors", "model.safetensors.index.json", "adapter_config.json"
TOKENIZER_FILES = (
    "added_tokens.json",
    "merges.txt",
    "special_tokens_map.json",
    "spiece.model",
    "tekken.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)
_VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")
_PICKLED = (".bin", ".pt", ".pth", ".ckpt")
# Smaller files are hashed faster than their digest is looked up.
_WORTH_KEEPING = 16 * 2**20


@dataclass(frozen=True)
class BaseFiles:
    """A base model on disk: config.json, safetensors and a tokenizer in one folder.

    name: what a person calls it, never a path · content: digest of config.json and all *.safetensors ·
    tokenizer_content: digest of the tokenizer's files. Digests are SHA-256 in hexadecimal and know no path.
    """

    name: str
    folder: Path
    content: str
    tokenizer_content: str


def describe(folder: Path, name: str) -> BaseFiles:
    """The base model in a folder. ModelError says what the folder lacks."""
    check(folder, name)
    weights = sorted(path for path in folder.glob("*.safetensors"))
    tokenizer = [folder / file for file in TOKENIZER_FILES if (folder / file).is_file()]
    return BaseFiles(name, folder, content_of([folder / "config.json", *weights]), content_of(tokenizer))


def check(folder: Path, name: str) -> None:
    """ModelError where a folder is not a base model that byrote reads: safetensors with config.json and a tokenizer."""
    has = {path.name for path in folder.iterdir()}
    if ADAPTER in has:
        raise ModelError(
            f"{name!r} is an adapter, not a base model ({ADAPTER} in {folder}); name its base model instead"
        )
    if "config.json" not in has:
        raise ModelError(f"model {name!r}: {folder} has no config.json; give the folder of a transformers model")
    if WEIGHTS not in has and INDEX not in has:
        pickled = sorted(file for file in has if file.endswith(_PICKLED))
        if pickled:
            raise ModelError(
                f"model {name!r} has only pickled weights ({pickled[0]}), which byrote never loads; "
                "save it as safetensors with save_pretrained"
            )
        raise ModelError(f"model {name!r}: {folder} has no weights ({WEIGHTS} or {INDEX}); fetch them")
    if not has.intersection(_VOCABULARIES):
        raise ModelError(f"model {name!r}: {folder} has no tokenizer (tokenizer.json or tokenizer.model)")


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes. Kept in byrote's cache by path, size and time of change, so 13 GB are read once."""
    path = path.resolve()
    stat = path.stat()
    if stat.st_size < _WORTH_KEEPING:
        return _read_digest(path)
    key = sha256(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}".encode()).hexdigest()
    kept = cache_folder() / "digests" / key
    if kept.is_file():
        return kept.read_text(encoding="ascii")
    value = _read_digest(path)
    write_whole(kept, value)
    return value


def _read_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def content_of(paths: list[Path]) -> str:
    """SHA-256 over the names and bytes of files, in this order."""
    return sha256("".join(f"{path.name}\0{digest(path)}\n" for path in paths).encode()).hexdigest()


def write_whole(path: Path, text: str) -> None:
    """A small file of byrote's cache, whole or not there. ModelError where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="ascii") as stream:
            stream.write(text)
        Path(stream.name).replace(path)
    except OSError as error:
        raise ModelError(f"cannot write byrote's cache {path.parent}: {error.strerror}; set BYROTE_CACHE") from error
