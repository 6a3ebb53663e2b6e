"""GGUF files turned into folders of float32 safetensors, once each, in byrote's cache."""

import io
import json
import logging
import shutil
from contextlib import redirect_stderr
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch
from gguf import GGUFReader
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
from transformers import AutoModelForCausalLM, AutoTokenizer

from byrote.cache import cache_folder
from byrote.errors import ModelError
from byrote.lm.files import digest
from byrote.lm.library import first_line, quiet

CONVERSION = 1  # counts up whenever the same file would be written differently
_log = logging.getLogger(__name__)

# llama.cpp names how text is split before merging (llama-vocab.cpp). These split every digit off and then split as
# GPT-2 does; transformers 5 reads such a file without the first half.
_DIGITS_APART = ("smollm", "starcoder", "refact", "command-r")
# Written by transformers, of no meaning to the weights or the tokens: content keys must not change with its version.
_INCIDENTAL = ("transformers_version", "_model_name_or_path", "is_local", "local_files_only")


def converted(path: Path) -> Path:
    """The folder of safetensors and tokenizer written from a GGUF file; written now if it is not yet there.

    Weights are float32: rounding them would change every score. Raises ModelError where the file cannot be read or the
    cache cannot be written.
    """
    folder = cache_folder() / "models" / f"{digest(path)[:24]}-{CONVERSION}"
    if not folder.is_dir():
        _log.info("converting %s to safetensors in %s, once (about 20 s for 135 M parameters)", path.name, folder)
        _convert(path, folder)
    return folder


def _convert(path: Path, folder: Path) -> None:
    """Write beside the final place and rename: the folder is whole or not there."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(mkdtemp(dir=folder.parent, prefix=f"{folder.name}.part-"))
    except OSError as error:
        raise _unwritable(folder.parent, error) from error
    try:
        _write(path, part)
        _move(part, folder)
    except Exception as error:
        if isinstance(error, OSError) and error.errno:  # transformers' own OSErrors have no number
            raise _unwritable(folder.parent, error) from error
        raise ModelError(f"{path.name} cannot be read as a GGUF model: {first_line(error)}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _unwritable(folder: Path, error: OSError) -> ModelError:
    return ModelError(f"cannot write byrote's cache {folder}: {error.strerror}; set BYROTE_CACHE to another folder")


def _write(path: Path, part: Path) -> None:
    where: dict[str, Any] = {"gguf_file": path.name, "local_files_only": True, "trust_remote_code": False}
    # The reader's bar cannot be switched off, only sent elsewhere; errors come as exceptions.
    with quiet(), redirect_stderr(io.StringIO()):
        read = AutoModelForCausalLM.from_pretrained(path.parent, dtype=torch.float32, **where)
        tokenizer = AutoTokenizer.from_pretrained(path.parent, **where)
        _split_digits(tokenizer, path)
        _as_plain_model(read).save_pretrained(part)
        tokenizer.save_pretrained(part)
    for file in ("config.json", "tokenizer_config.json"):
        _drop_incidental(part / file)


def _as_plain_model(read: Any) -> Any:
    """The same weights in a model that does not call itself quantized, which transformers would refuse to save."""
    config = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    with torch.device("meta"):
        plain = type(read)(config)
    plain.load_state_dict(read.state_dict(), assign=True)
    plain.tie_weights()
    return plain


def _split_digits(tokenizer: Any, path: Path) -> None:
    field = GGUFReader(path).fields.get("tokenizer.ggml.pre")
    if field is not None and field.contents() in _DIGITS_APART:
        splits = [Digits(individual_digits=True), ByteLevel(add_prefix_space=False, use_regex=True)]
        tokenizer.backend_tokenizer.pre_tokenizer = Sequence(splits)


def _drop_incidental(path: Path) -> None:
    values = json.loads(path.read_text(encoding="utf-8"))
    kept = {key: value for key, value in values.items() if key not in _INCIDENTAL}
    path.write_text(json.dumps(kept, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def _move(part: Path, folder: Path) -> None:
    try:
        part.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process converted the same file meanwhile, to the same content
            raise
