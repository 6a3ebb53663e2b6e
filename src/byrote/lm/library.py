"""What surrounds every call into transformers: its silence, its errors cut to one line, a model's configuration."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers.utils import logging as advice


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars, advice or deprecations from transformers and peft inside the block; all as before after it.

    Errors still come as exceptions, and warnings of other kinds as warnings.
    """
    verbosity, bars = advice.get_verbosity(), advice.is_progress_bar_enabled()
    advice.set_verbosity_error()
    advice.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # peft asks transformers for a property of its older versions.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            yield
    finally:
        advice.set_verbosity(verbosity)
        if bars:
            advice.enable_progress_bar()


def first_line(error: BaseException) -> str:
    """An error's class and the first line of its text, short enough for one line."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


def text_config(model: Any) -> Any:
    """The configuration of a model's language part; the model may be wrapped by adapters."""
    return getattr(model, "inner", model).config.get_text_config()


def packs(model: Any) -> bool:
    """Whether byrote's packed passes compute what the model computes. Not so where an adapter puts something before
    every record (virtual tokens, keys and values): such models run one record at a time, by their own forward pass."""
    return getattr(model, "packs", True)


@contextmanager
def attention_replaced(model: Any, name: str) -> Iterator[None]:
    """Inside, the model computes attention by the registered function `name`; as before after it. A model that does not
    pack keeps its own."""
    if not packs(model):
        yield
        return
    config = text_config(model)
    before = config._attn_implementation
    config._attn_implementation = name
    try:
        yield
    finally:
        config._attn_implementation = before
