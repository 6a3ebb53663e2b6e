"""Language models: found, loaded, adapted and run. The one importer of transformers and peft."""

from byrote.lm import advice as _advice  # noqa: F401 (before peft)
from byrote.lm.adapters import (
    adapter_is_nonzero,
    attach,
    detach,
    load_adapter,
    save_adapter,
    seeded,
    trainable_parameters,
)
from byrote.lm.base import Base, context_length, load_base
from byrote.lm.forward import target_logits
from byrote.lm.matrices import MODULES, module_names
from byrote.lm.precision import DTYPES, pick_device, pick_precision
from byrote.lm.sources import BaseFiles, resolve_base
from byrote.lm.tokenizer import Tokenizer, load_tokenizer

__all__ = [
    "DTYPES",
    "MODULES",
    "Base",
    "BaseFiles",
    "Tokenizer",
    "adapter_is_nonzero",
    "attach",
    "context_length",
    "detach",
    "load_adapter",
    "load_base",
    "load_tokenizer",
    "module_names",
    "pick_device",
    "pick_precision",
    "resolve_base",
    "save_adapter",
    "seeded",
    "target_logits",
    "trainable_parameters",
]
