"""The base model: loaded once, frozen, the same object for scoring and under every adapter."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig, GenerationConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from byrote.errors import ModelError
from byrote.lm.files import BaseFiles
from byrote.lm.frozen import freeze_layers
from byrote.lm.library import first_line, quiet, text_config
from byrote.lm.matrices import module_names
from byrote.lm.precision import DTYPES
from byrote.lm.snapshot import Trace

QUANTIZATIONS = ("none", "int8", "nf4")
_CONTEXT = ("max_position_embeddings", "n_positions", "seq_length", "max_seq_len", "max_sequence_length")


@dataclass(eq=False)
class Base:
    """A base model in evaluation mode with all parameters frozen, on its device.

    precision: fp32, bf16 or fp16, of the weights that are not quantized · context: the most token ids of one text ·
    total_parameters: tied weights counted once · trace: what it is known by, to prove that it came back.
    """

    model: PreTrainedModel
    files: BaseFiles
    precision: str
    quantization: str
    device: torch.device
    model_type: str
    context: int
    total_parameters: int
    trace: Trace | None = None


def load_base(files: BaseFiles, precision: str, quantization: str, device: torch.device) -> Base:
    """Load a base model from its folder; no network is used and no code of the model's own is run.

    precision: fp32, bf16, fp16 · quantization: none, int8, nf4 (bitsandbytes). Raises ModelError where the files do
    not make a causal language model, bitsandbytes is missing or cannot run here, or the device's memory is too small.
    A model larger than its GPU is spread over all GPUs by accelerate, layer after layer.
    """
    options = _options(precision, quantization, device)
    if spread := _spreads(files, precision, quantization, device):
        options["device_map"] = "auto"
    try:
        with quiet():
            config = AutoConfig.from_pretrained(files.folder, local_files_only=True, trust_remote_code=False)
            _refuse_prequantized(files, config)
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                files.folder,
                config=config,
                attn_implementation=_attention(config, device),
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
                **options,
            )
        model, report = loaded
        if quantization == "none" and not spread:
            model = model.to(device)
    except torch.cuda.OutOfMemoryError as error:
        raise ModelError(
            f"{files.name} does not fit into the memory of {device}; set quantization to nf4, or use cpu"
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        way = f" with quantization {quantization!r}; try none" if quantization != "none" else ""
        raise ModelError(f"{files.name} cannot be loaded on {device}{way}: {first_line(error)}") from error
    _refuse_incomplete(files, report)
    if spread:
        device = _first_device(files, model)
    return _frozen(model, files, precision, quantization, device)


def context_length(files: BaseFiles) -> int:
    """The most token ids of one text, from config.json alone. ModelError where it does not say."""
    try:
        with quiet():
            config = AutoConfig.from_pretrained(files.folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"config.json of {files.name} cannot be read: {first_line(error)}") from error
    return _context(files, config.get_text_config())


def skeleton(files: BaseFiles) -> Any:
    """The model without weights, from config.json alone."""
    try:
        with quiet(), torch.device("meta"):
            config = AutoConfig.from_pretrained(files.folder, local_files_only=True, trust_remote_code=False)
            _refuse_prequantized(files, config)
            return AutoModelForCausalLM.from_config(config)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(f"{files.name} is not a causal language model: {first_line(error)}") from error


@cache
def total_weights(files: BaseFiles) -> int:
    """Numbers in a base model, tied ones once."""
    return skeleton(files).num_parameters()


def product_shapes(files: BaseFiles) -> Counter[tuple[int, int]]:
    """How many linear layers a base model has of each input and output width, the output layer with them, tied or not:
    a token costs 2 FLOP a weight of theirs forward."""
    return Counter(_widths(m) for m in skeleton(files).modules() if isinstance(m, nn.Linear | Conv1D))


def numbers_a_token(config: Any) -> int:
    """Activations that training keeps for one token, without checkpointing: 17 hidden widths a layer (34 bytes in bf16:
    Korthikanti et al. 2022, equation 2, without attention's square, small for short records), and logits twice."""
    return 17 * config.num_hidden_layers * config.hidden_size + 2 * config.vocab_size


def numbers_of(files: BaseFiles) -> int:
    """`numbers_a_token` of a base model on disk."""
    return numbers_a_token(skeleton(files).config.get_text_config())


def adapter_bytes(files: BaseFiles, matrices: Sequence[str], rank: int) -> int:
    """Bytes of an adapter on disk: A (rank, input) and B (output, rank) of each adapted module, in fp32."""
    model = skeleton(files)
    names = module_names(model, model.config.get_text_config().model_type, matrices)
    return 4 * rank * sum(sum(_widths(model.get_submodule(name))) for name in names)


def _widths(module: Any) -> tuple[int, int]:
    """Input and output width of a linear layer; GPT-2's have their weights transposed."""
    first, second = module.weight.shape
    return (first, second) if isinstance(module, Conv1D) else (second, first)


def linear_width(module: nn.Module, axis: int) -> int | None:
    """Output (axis 0) or input width (1) of a linear module, quantized or not; None where it is another kind."""
    if isinstance(module, Conv1D):
        return int(module.weight.shape[1 - axis])
    return getattr(module, ("out_features", "in_features")[axis], None)


def check_matrices(files: BaseFiles, wanted: Iterable[Sequence[str]]) -> None:
    """ModelError where an architecture lacks matrices of a trial; from config.json alone, no weight is read."""
    model = skeleton(files)
    for matrices in {tuple(m) for m in wanted}:
        module_names(model, text_config(model).model_type, matrices)


def check_quantization(quantization: str, precision: str, device: torch.device) -> None:
    """ModelError where a base model cannot be quantized so on this device, before anything is fetched or loaded."""
    _options(precision, quantization, device)


def _frozen(model: Any, files: BaseFiles, precision: str, quantization: str, device: torch.device) -> Base:
    model.eval().requires_grad_(False)
    if device.type == "cpu" and quantization == "none":
        freeze_layers(model)
    # A shipped generation configuration may switch on sampling, top-k or penalties; completions state their own.
    model.generation_config = GenerationConfig()
    return Base(
        model=model,
        files=files,
        precision=precision,
        quantization=quantization,
        device=device,
        model_type=text_config(model).model_type,
        context=_context(files, text_config(model)),
        total_parameters=model.num_parameters(),
    )


def _options(precision: str, quantization: str, device: torch.device) -> dict[str, Any]:
    if precision not in DTYPES:
        raise ModelError(f"precision must be {', '.join(DTYPES)}, got {precision!r}")
    if quantization not in QUANTIZATIONS:
        raise ModelError(f"quantization must be {', '.join(QUANTIZATIONS)}, got {quantization!r}")
    dtype = DTYPES[precision]
    if quantization == "none":
        return {"dtype": dtype}
    if quantization == "nf4" and device.type == "cpu":
        # bitsandbytes 0.50 repacks the weights in place when they are first scored without gradients: the scores
        # change by 0.01 a token, and from then on no gradient reaches an adapter, with a warning at most.
        raise ModelError(
            "quantization 'nf4' needs a GPU: on a processor, adapters on an nf4 base do not train; use int8 or none"
        )
    if find_spec("bitsandbytes") is None:
        raise ModelError(f"quantization {quantization!r} needs bitsandbytes: pip install 'byrote[quant]'")
    if quantization == "int8":
        settings = BitsAndBytesConfig(load_in_8bit=True)
    else:
        settings = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
    return {"dtype": dtype, "quantization_config": settings, "device_map": {"": device}}


def _spreads(files: BaseFiles, precision: str, quantization: str, device: torch.device) -> bool:
    """Whether the weights exceed what the GPU has free, and there are other GPUs."""
    if device.type != "cuda" or torch.cuda.device_count() < 2:
        return False
    return held_bytes(total_weights(files), precision, quantization) > torch.cuda.mem_get_info(device)[0]


def held_bytes(numbers: int, precision: str, quantization: str) -> float:
    """Bytes of so many weights in memory; what is not quantized (norms, embeddings) is counted as if it were."""
    size = {"int8": 1, "nf4": 0.5}.get(quantization, 4 if precision == "fp32" else 2)
    return numbers * size


def _first_device(files: BaseFiles, model: Any) -> torch.device:
    """Where a spread model takes its token ids. ModelError where a part is on no GPU, to be copied there every time."""
    elsewhere = sorted(name for name, place in model.hf_device_map.items() if place in ("cpu", "disk"))
    if elsewhere:
        raise ModelError(
            f"{files.name} does not fit into the memory of all GPUs together ({elsewhere[0]} is left over); "
            "set quantization to int8 or nf4"
        )
    return model.get_input_embeddings().weight.device


def _attention(config: Any, device: torch.device) -> str:
    """torch's fused attention on a GPU; plain attention on a processor, where it is faster on short records
    (docs/log.md), and where scores are soft-capped inside it (gemma2), which the fused one cannot do."""
    soft_capped = getattr(config.get_text_config(), "attn_logit_softcapping", None)
    return "eager" if soft_capped or device.type == "cpu" else "sdpa"


def _refuse_prequantized(files: BaseFiles, config: Any) -> None:
    kind = (getattr(config, "quantization_config", None) or {}).get("quant_method")
    if kind:
        raise ModelError(
            f"{files.name} is stored quantized ({kind}), which byrote does not read; use the original weights"
        )


def _refuse_incomplete(files: BaseFiles, report: Any) -> None:
    """transformers fills missing weights with random numbers and says so in a log line only."""
    missing = sorted(report["missing_keys"])
    wrong = sorted(str(key) for key in report["mismatched_keys"])
    if missing or wrong:
        kind, keys = ("lack", missing) if missing else ("have the wrong shape for", wrong)
        raise ModelError(f"the weights of {files.name} {kind} {keys[0]} ({len(keys)} in all); fetch the model again")


def _context(files: BaseFiles, config: Any) -> int:
    context = next((int(value) for name in _CONTEXT if (value := getattr(config, name, None))), None)
    if context is None:
        raise ModelError(f"config.json of {files.name} states no context length (max_position_embeddings)")
    return context
