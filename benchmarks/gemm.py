"""The best matrix product of this machine, over shapes typical of the model: what MFU is measured against."""

import time
from collections.abc import Callable, Iterator

import torch
from workers import Settings

from byrote.lm.precision import multiplies_bf16

# Rows, inner width, columns. SmolLM2-135M has widths 576 (q, o), 1536 (gate, up, down) and 49152 (output).
SHAPES = {
    "cpu": (
        (256, 576, 1536),
        (512, 576, 576),
        (512, 576, 1536),
        (512, 1536, 576),
        (512, 1536, 4096),
        (512, 576, 49152),
        (2048, 2048, 2048),
    ),
    "cuda": ((4096, 576, 1536), (8192, 576, 49152), (4096, 4096, 4096), (8192, 8192, 8192)),
}
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


class Contender:
    """Matrix products alone, no model."""

    def __init__(self, settings: Settings) -> None:
        self.device = torch.device(settings.device)

    def formats(self) -> list[str]:
        """Those that the device multiplies; elsewhere bf16 is emulated, and slow to measure."""
        return list(DTYPES) if multiplies_bf16(self.device) else ["fp32"]

    @torch.inference_mode()
    def peak(self, precision: str, threads: int) -> float:
        """FLOP/s of the best product over SHAPES and the ways torch has of computing one."""
        torch.set_num_threads(threads)
        best = 0.0
        for m, k, n in SHAPES[self.device.type]:
            repeats = max(1, int(2e9 / (m * k * n)))
            for product in _ways(*(torch.randn(size).to(self.device, DTYPES[precision]) for size in ((m, k), (n, k)))):
                seconds = min(self._seconds(product, repeats) for _ in range(4))
                best = max(best, 2 * m * k * n / seconds)
        return best

    def _seconds(self, product: Callable[[], object], repeats: int) -> float:
        started = time.perf_counter()
        for _ in range(repeats):
            product()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - started) / repeats


def _ways(a: torch.Tensor, weight: torch.Tensor) -> Iterator[Callable[[], object]]:
    out = torch.empty(len(a), len(weight), dtype=a.dtype, device=a.device)
    yield lambda: torch.nn.functional.linear(a, weight)
    yield lambda: torch.mm(a, weight.t(), out=out)
    if a.device.type == "cpu" and torch.backends.mkldnn.is_available():
        # Weights in oneDNN's own order: in fp32 twice MKL's rate on an AMD processor.
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, len(a))
        yield lambda: torch.ops.mkldnn._linear_pointwise(a, packed, None, "none", [], "")
