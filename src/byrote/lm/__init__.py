"""Language models: found, loaded, adapted and run. The one importer of transformers and peft."""

from byrote.lm import advice as _advice  # noqa: F401 (before peft)
from byrote.lm.adapter_files import AdapterFiles, resolve_adapter
from byrote.lm.adapters import (
    Adapted,
    adapter_is_nonzero,
    attach,
    attach_stack,
    detach,
    generator_states,
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
    product_shapes,
)
from byrote.lm.chat import Tokenised, token_runs, tokenise
from byrote.lm.decoding import Decoder, decoder_of, decoding
from byrote.lm.forward import chunks, head_logits, head_nll, logits_alone
from byrote.lm.given import (
    PeftAdapted,
    base_differs,
    base_source_of,
    check_adapter,
    check_architecture,
    check_model,
    close_adapter,
    open_adapter,
    open_model,
    tokens_added,
)
from byrote.lm.library import packs
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
from byrote.lm.packing import pack, packed_hidden, packing, record_logits, repeated
from byrote.lm.precision import DTYPES, Precision, Rates, choose_precision, pick_device, processor_name
from byrote.lm.products import DEFAULT_SHAPES, pass_seconds, precision_of, product_flops, product_rates
from byrote.lm.sources import BaseFiles, resolve_base
from byrote.lm.threads import in_threads, side_by_side
from byrote.lm.tokenizer import Tokenizer, load_tokenizer
from byrote.lm.trainer_settings import steps_in
from byrote.lm.undisturbed import has_adapter, undisturbed, why_not_its_base, why_not_whole, without_adapter

__all__ = [
    "DEFAULT_SHAPES",
    "DTYPES",
    "MODULES",
    "Adapted",
    "AdapterFiles",
    "Base",
    "BaseFiles",
    "Decoder",
    "PeftAdapted",
    "Precision",
    "Rates",
    "Tokenised",
    "Tokenizer",
    "adapter_bytes",
    "adapter_is_nonzero",
    "attach",
    "attach_stack",
    "base_differs",
    "base_source_of",
    "check_adapter",
    "check_architecture",
    "check_matrices",
    "check_model",
    "check_quantization",
    "choose_precision",
    "chunks",
    "close_adapter",
    "context_length",
    "cores",
    "decoder_of",
    "decoding",
    "detach",
    "device_name",
    "generator_states",
    "has_adapter",
    "head_logits",
    "head_nll",
    "in_threads",
    "is_out_of_memory",
    "keep_memory",
    "load_base",
    "load_tokenizer",
    "logits_alone",
    "micro_batch_tokens",
    "module_names",
    "open_adapter",
    "open_model",
    "pack",
    "packed_hidden",
    "packing",
    "packs",
    "pass_seconds",
    "peak_memory",
    "pick_device",
    "precision_of",
    "processor_name",
    "product_flops",
    "product_rates",
    "product_shapes",
    "record_logits",
    "repeated",
    "resolve_adapter",
    "resolve_base",
    "restore_generators",
    "save_adapter",
    "seeded",
    "side_by_side",
    "steps_in",
    "token_runs",
    "tokenise",
    "tokens_added",
    "trainable_parameters",
    "undisturbed",
    "weight_bytes",
    "why_not_its_base",
    "why_not_whole",
    "without_adapter",
    "workers_that_fit",
]
