"""A trial's subject: the tuned model that its trial measures. It is opened here and nowhere else, so that scoring,
prompting and tables need not know where it came from.
"""

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from byrote import lm
from byrote.store import Run
from byrote.study import Lora


@dataclass(frozen=True)
class Trained:
    """A subject that is trained here. stage: where its adapter is kept in the run folder."""

    lora: Lora
    seed: int
    stage: str


@dataclass(frozen=True)
class Opened:
    """A subject in memory. close: take it off the base model, which is plain again after it; `model` is then gone."""

    model: Any
    close: Callable[[], None]


@contextmanager
def opened(subject: Trained, base: lm.Base, store: Run) -> Generator[Opened]:
    """The subject on the base model: the adapter that the run holds, or a fresh one that is still to be trained."""
    with ExitStack() as attached:
        if store.has(subject.stage):
            model = lm.load_adapter(base, store.adapter(subject.stage))
        else:
            model = lm.attach(base, subject.lora, subject.seed)
        attached.callback(lm.detach, base, model)
        yield Opened(model, attached.close)
