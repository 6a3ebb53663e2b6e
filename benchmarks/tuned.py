"""A tuned Trainer: what an expert gets from the libraries alone.

byrote's format, that is bf16 where it is worth it on the device, under a fp32 adapter; no checkpointing; batches of
like length; the same effective batch of 64. Scoring gives the log-probability of every token (byrote's gives top-1,
mean and deviation besides).

The choices below are the fastest of a few, each tried once on two cores of an AMD EPYC (avx512_bf16) on PHEE, in real
tokens a second, eager and fused (sdpa) attention:

- training, records × accumulation: 4 × 16 457 and -, 8 × 8 612 and 491, 16 × 4 560 and 367, 32 × 2 363 and 261
- scoring, records a batch: 4 1371 and -, 8 1822 and 1553, 16 1625 and 1494, 32 1119 and 944
- generation, rows a batch: 16 257 and 270, 32 317 and 316, 64 331 and 317, 100 274 and 250; in fp32 137 at most

Those for a GPU are a guess: large batches.
"""

import time
from collections.abc import Sequence

import torch
from reference import gpu_memory, load_model, load_tokenizer, train
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from transformers import GenerationConfig
from workers import Settings

from byrote.lm import DTYPES

TRAINED = {"cpu": (8, 8), "cuda": (64, 1)}
SCORED = {"cpu": 8, "cuda": 256}
WRITTEN = {"cpu": 32, "cuda": 256}
ATTENTION = {"cpu": "eager", "cuda": "sdpa"}


class Contender:
    """The same libraries, set up well. Every method gives the seconds it took, preparations apart."""

    def __init__(self, settings: Settings) -> None:
        torch.set_num_threads(settings.threads)
        self.device = torch.device(settings.device)
        self.tokenizer = load_tokenizer(settings.folder)
        attention = ATTENTION[self.device.type]
        dtype = DTYPES[settings.precision]
        self.model = load_model(settings.folder, dtype, self.device, attn_implementation=attention)
        # Without an end-of-text token every completion has the length asked for, as with the others.
        self.model.generation_config = self.model.base_model.model.generation_config = GenerationConfig()

    def finetune(self, token_ids: Sequence[Sequence[int]]) -> float:
        """One epoch in steps of 64 records, in batches of like length.

        group_by_length sorts 704 of PHEE's 2898 members at once, but of a round's few records only 64. So they come
        sorted, which is its order within the 704.
        """
        batch, accumulated = TRAINED[self.device.type]
        return train(
            self.model,
            self.tokenizer,
            sorted(token_ids, key=len, reverse=True),
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=accumulated,
            gradient_checkpointing=False,
            train_sampling_strategy="sequential",
        )

    @torch.inference_mode()
    def score(self, token_ids: Sequence[Sequence[int]]) -> float:
        """The log-probability of every token, in padded batches of like length."""
        self.model.eval()
        batch = SCORED[self.device.type]
        started = time.perf_counter()
        rows = [torch.tensor(ids) for ids in sorted(token_ids, key=len, reverse=True)]
        for first in range(0, len(rows), batch):
            tokens = pad_sequence(rows[first : first + batch], batch_first=True).to(self.device)
            lengths = torch.tensor([len(row) for row in rows[first : first + batch]], device=self.device)
            mask = (torch.arange(tokens.shape[1], device=self.device) < lengths[:, None]).long()
            logits = self.model(input_ids=tokens, attention_mask=mask, use_cache=False).logits[:, :-1]
            cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten(), reduction="none").cpu()
        return time.perf_counter() - started

    @torch.inference_mode()
    def complete(self, token_ids: Sequence[Sequence[int]], samples: int) -> float:
        """Sampled completions of each first half, in batches of like length, padded on the left."""
        self.model.eval()
        batch = WRITTEN[self.device.type]
        started = time.perf_counter()
        rows = [torch.tensor(ids) for ids in sorted(token_ids, key=len, reverse=True) for _ in range(samples)]
        for first in range(0, len(rows), batch):
            few = rows[first : first + batch]
            prompts = [row[: len(row) // 2] for row in few]
            tokens = pad_sequence(prompts, batch_first=True, padding_side="left").to(self.device)
            mask = pad_sequence([torch.ones_like(p) for p in prompts], batch_first=True, padding_side="left")
            self.model.generate(
                input_ids=tokens,
                attention_mask=mask.to(self.device),
                do_sample=True,
                top_k=0,
                temperature=1.0,
                max_new_tokens=max(len(row) - len(row) // 2 for row in few),
                pad_token_id=self.tokenizer.pad_token_id,
                # With generate's own 1 torch copies the output matrix for every row of the prompts (3 s for 32).
                logits_to_keep=0,
            ).cpu()
        return time.perf_counter() - started

    def gpu_memory(self) -> int | None:
        """Most bytes allocated on the GPU; None on a processor."""
        return gpu_memory(self.device)
