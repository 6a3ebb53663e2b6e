"""What an attack may look at. Axes: N records, S scored tokens, ragged."""

import zlib
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

from byrote.ragged import same_tokens
from byrote.records import TokenScores


@dataclass(frozen=True, eq=False)
class Evidence:
    """Everything known about N records, except who is a member.

    tuned, base: token scores under the tuned and the base model, same records, same order · text_bytes: the N texts
    (a str counts in UTF-8), empty where a text was removed · population: tuned and base scores of the calibration
    records, None where there are none · shadow: the same records' scores under a shadow, None where there is none ·
    shadow_population: the population's. Raises ValueError where these do not belong together.
    """

    tuned: TokenScores
    base: TokenScores
    text_bytes: tuple[bytes, ...] | tuple[str, ...]
    population: tuple[TokenScores, TokenScores] | None = None
    shadow: TokenScores | None = None
    shadow_population: TokenScores | None = None

    def __post_init__(self) -> None:
        same_tokens(self.tuned, self.base)
        if len(self.text_bytes) != len(self.tuned):
            raise ValueError(f"{len(self.text_bytes)} texts for {len(self.tuned)} scored records; give one a record")
        if self.population is not None:
            same_tokens(*self.population)
        if self.shadow is not None:
            same_tokens(self.tuned, self.shadow)
        if self.population is not None and self.shadow_population is not None:
            same_tokens(self.population[0], self.shadow_population)

    def __len__(self) -> int:
        return len(self.tuned)

    def control(self) -> "Evidence":
        """The same with the base model in the tuned model's place: what a single-model attack sees without tuning."""
        population = self.population and (self.population[1], self.population[1])
        return replace(self, tuned=self.base, population=population)

    @cached_property
    def change(self) -> np.ndarray:
        """ℓ tuned − ℓ base of each token in nats, float64 (S,); NaN where both are −inf."""
        with np.errstate(invalid="ignore"):
            return self.tuned.logprob.astype(np.float64) - self.base.logprob

    @cached_property
    def compressed_bytes(self) -> np.ndarray:
        """Length of each text compressed by zlib, in bytes, float64 (N,); NaN for an empty text."""
        return np.array([_compressed(text) if text else np.nan for text in self.text_bytes], dtype=np.float64)


@lru_cache(maxsize=1 << 16)  # the texts of a run are the same in every trial
def _compressed(text: bytes | str) -> int:
    return len(zlib.compress(text.encode() if isinstance(text, str) else text))
