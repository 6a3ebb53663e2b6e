"""Language models: found, loaded, adapted and run. The one importer of transformers and peft."""

from byrote.lm import advice as _advice  # noqa: F401 (before peft)
from byrote.lm.adapters import (
    Adapted,
    adapter_is_nonzero,
    attach,
    attach_stack,
    detach,
    generator_states,
    load_adapter,
    restore_generators,
    save_adapter,
    seeded,
    trainable_parameters,
)
from byrote.lm.base import (
    Base,
    adapter_bytes,
    check_matrices,
    check_quantization,
    context_length,
    load_base,
    numbers_of,
    product_shapes,
)
from byrote.lm.chat import Tokenised, token_runs, tokenise
from byrote.lm.decoding import Decoder, decoding
from byrote.lm.forward import chunks, head_logits, head_nll
from byrote.lm.matrices import MODULES, module_names
from byrote.lm.memory import (
    cores,
    device_name,
    is_out_of_memory,
    keep_memory,
    micro_batch_tokens,
    peak_memory,
    weight_bytes,
    workers_that_fit,
)
from byrote.lm.packing import pack, packed_hidden, packing, repeated
from byrote.lm.precision import DTYPES, Precision, Rates, choose_precision, pick_device, processor_name
from byrote.lm.products import DEFAULT_WIDTHS, precision_of, product_rates
from byrote.lm.sources import BaseFiles, resolve_base
from byrote.lm.threads import in_threads, side_by_side
from byrote.lm.tokenizer import Tokenizer, load_tokenizer

__all__ = [
    "DEFAULT_WIDTHS",
    "DTYPES",
    "MODULES",
    "Adapted",
    "Base",
    "BaseFiles",
    "Decoder",
    "Precision",
    "Rates",
    "Tokenised",
    "Tokenizer",
    "adapter_bytes",
    "adapter_is_nonzero",
    "attach",
    "attach_stack",
    "check_matrices",
    "check_quantization",
    "choose_precision",
    "chunks",
    "context_length",
    "cores",
    "decoding",
    "detach",
    "device_name",
    "generator_states",
    "head_logits",
    "head_nll",
    "in_threads",
    "is_out_of_memory",
    "keep_memory",
    "load_adapter",
    "load_base",
    "load_tokenizer",
    "micro_batch_tokens",
    "module_names",
    "numbers_of",
    "pack",
    "packed_hidden",
    "packing",
    "peak_memory",
    "pick_device",
    "precision_of",
    "processor_name",
    "product_rates",
    "product_shapes",
    "repeated",
    "resolve_base",
    "restore_generators",
    "save_adapter",
    "seeded",
    "side_by_side",
    "token_runs",
    "tokenise",
    "trainable_parameters",
    "weight_bytes",
    "workers_that_fit",
]
