"""byrote's loops as a contender: the one place of the benchmark that calls them."""

import time
from collections.abc import Sequence

import torch
from workers import Settings

from byrote import lm
from byrote.passes.finetune import finetune
from byrote.passes.generation import Prompt, complete
from byrote.passes.scoring import score
from byrote.study import Extraction, Lora, Machine, Training

LORA = Lora(matrices=("v",), rank=1, alpha=16, dropout=0.05)
TRAINING = Training(epochs=1, warmup_steps=0, effective_batch=64, learning_rate=1e-3, seed=0)


class Contender:
    """byrote as a study runs it, with its default batches. Methods give the seconds they took, preparations apart."""

    def __init__(self, settings: Settings) -> None:
        torch.set_num_threads(settings.threads)
        self.device = torch.device(settings.device)
        if self.device.type == "cpu":
            lm.keep_memory()
        files = lm.resolve_base(settings.source)
        self.base = lm.load_base(files, settings.precision, "none", self.device)
        self.decode = lm.load_tokenizer(files).decode
        linear = [m for m in self.base.model.modules() if isinstance(m, torch.nn.Linear)]
        self._weights = sum(m.weight.numel() for m in linear)
        self.machine = Machine()
        self.adapted = lm.attach(self.base, LORA, seed=0).eval()

    def weights(self) -> int:
        """Weights that multiply: linear layers with the output layer, tied or not; embeddings only look up."""
        return self._weights

    def finetune(self, token_ids: Sequence[Sequence[int]]) -> float:
        """One epoch of a fresh adapter in steps of 64 records."""
        lm.detach(self.base, self.adapted)
        self.adapted = lm.attach(self.base, LORA, seed=0)
        started = time.perf_counter()
        finetune(self.adapted, token_ids, TRAINING, lm.micro_batch_tokens(self.base))
        return time.perf_counter() - started

    def score(self, token_ids: Sequence[Sequence[int]]) -> float:
        """Token scores of each record."""
        names = [str(i) for i in range(len(token_ids))]
        started = time.perf_counter()
        score(self.adapted, names, token_ids, self.machine.scoring_batch_tokens)
        return time.perf_counter() - started

    def complete(self, token_ids: Sequence[Sequence[int]], samples: int) -> float:
        """Sampled completions of each first half."""
        prompts = [Prompt(str(i), tuple(ids), len(ids) // 2, 0.5) for i, ids in enumerate(token_ids)]
        extraction = Extraction(temperatures=(1.0,), samples=samples)
        started = time.perf_counter()
        complete(self.adapted, prompts, extraction, None, self.decode, self.machine.generation_batch)
        return time.perf_counter() - started

    def gpu_memory(self) -> int | None:
        """Most bytes allocated on the GPU; None on a processor."""
        return torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else None
