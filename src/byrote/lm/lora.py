"""The adapters' arithmetic: a frozen linear module with a low-rank update beside it, for one adapter or a stack.

Axes: K adapters in the stack, k of them on this module, M tokens an adapter, I and O input and output width, R the
largest rank on the module. A stack's batch holds every adapter's rows one adapter after the other.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

_STEPS = 1 << 16  # dropout draws 16 bits an element


class Place(threading.local):
    """Where a training is on this thread: with an adapter's seed and a module's number it fixes every dropout mask, so
    that a step that is done again, or recomputed by checkpointing, draws the same masks."""

    step: int = 0
    micro_batch: int = 0


@dataclass(frozen=True)
class Share:
    """One adapter's part in a module: its number in the stack, its rank, the scale of its update, its dropout."""

    adapter: int
    rank: int
    scale: float
    dropout: float
    seed: int


def keep_mask(
    shape: tuple[int, ...], dropout: float, device: torch.device, seed: Sequence[int]
) -> tuple[torch.Tensor, float]:
    """Which elements dropout keeps (bool, of `shape`), and the exact chance of being kept.

    On a processor 16 random bits an element (SFC64): torch's own generator draws them one by one, a twentieth of a
    training step. The chance is therefore dropout rounded to 1/65536.
    """
    if device.type != "cpu":
        state = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]
        generator = torch.Generator(device).manual_seed(int(state >> 1))
        mask = torch.empty(shape, dtype=torch.bool, device=device)
        return mask.bernoulli_(1 - dropout, generator=generator), 1 - dropout
    dropped, count = round(dropout * _STEPS), int(np.prod(shape))
    words = np.random.SFC64(np.random.SeedSequence(seed)).random_raw(-(-count // 4))
    bits = np.asarray(words).view(np.uint16)[:count].reshape(shape)
    return torch.from_numpy(bits >= dropped), 1 - dropped / _STEPS


@dataclass
class Stack:
    """What all modules of the adapters on one base share: how many adapters, and where training is."""

    size: int
    place: Place = field(default_factory=Place)


class LoraLinear(nn.Module):
    """`base(x) + scale · B·A·dropout(x)` for the rows of each adapter (Hu et al. 2021); A, B and the update in fp32.

    lora_A (k, R, I), lora_B (k, O, R): smaller ranks are padded with zeros, whose gradients are zero, so they stay so.
    """

    def __init__(self, base: nn.Module, widths: tuple[int, int], shares: Sequence[Share], stack: Stack, number: int):
        super().__init__()
        self.base_layer, self.shares, self.stack, self.number = base, tuple(shares), stack, number
        out, into, rank = *widths, max(share.rank for share in shares)
        device = next(base.parameters()).device
        self.lora_A = nn.Parameter(torch.zeros(len(shares), rank, into, device=device))
        self.lora_B = nn.Parameter(torch.zeros(len(shares), out, rank, device=device))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (…, I), the first axis adapter after adapter; returns (…, O) in the base's number format."""
        y = self.base_layer(x)
        if len(self.shares) == 1 == self.stack.size:
            return (y + self._update(x)).to(y.dtype)
        y_KMO = y.reshape(self.stack.size, -1, y.shape[-1])
        mine = torch.tensor([share.adapter for share in self.shares], device=y.device)
        tuned_kMO = (y_KMO[mine] + self._updates(x.reshape(self.stack.size, -1, x.shape[-1]))).to(y.dtype)
        return y_KMO.index_copy(0, mine, tuned_kMO).view(y.shape)

    def _dropped(self, index: int, x: torch.Tensor) -> tuple[torch.Tensor, float]:
        """The input of one adapter in fp32 with dropout, and what its update must still be divided by."""
        share, place = self.shares[index], self.stack.place
        if not self.training or share.dropout == 0:
            return x.float(), 1.0
        seed = (share.seed, place.step, place.micro_batch, self.number)
        keep, chance = keep_mask(tuple(x.shape), share.dropout, x.device, seed)
        return x.float() * keep, chance

    def _update(self, x: torch.Tensor) -> torch.Tensor:
        """The update of the only adapter."""
        dropped, chance = self._dropped(0, x)
        low = nn.functional.linear(dropped, self.lora_A[0])
        return nn.functional.linear(low, self.lora_B[0]) * (self.shares[0].scale / chance)

    def _updates(self, x_KMI: torch.Tensor) -> torch.Tensor:
        """The updates (k, M, O) of all adapters on this module in two batched products."""
        dropped = [self._dropped(i, x_KMI[share.adapter]) for i, share in enumerate(self.shares)]
        x_kMI = torch.stack([x_MI for x_MI, _ in dropped])
        scales = [share.scale / chance for share, (_, chance) in zip(self.shares, dropped, strict=True)]
        low_kMR = torch.bmm(x_kMI, self.lora_A.transpose(1, 2))
        update_kMO = torch.bmm(low_kMR, self.lora_B.transpose(1, 2))
        return update_kMO * torch.tensor(scales, device=update_kMO.device)[:, None, None]
