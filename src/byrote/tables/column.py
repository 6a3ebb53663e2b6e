# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
"""What a column is, and those that several tables share."""

from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True)
class Column:
    """One column of a table. unit: empty for shares, counts of what the meaning names, and words."""

    name: str
    type: pa.DataType
    meaning: str
    unit: str = ""


def text(name: str, meaning: str) -> Column:
    """A column of words."""
    return Column(name, pa.string(), meaning)


def whole(name: str, meaning: str, unit: str = "") -> Column:
    """A column of whole numbers."""
    return Column(name, pa.int64(), meaning, unit)


def real(name: str, meaning: str, unit: str = "") -> Column:
    """A column of real numbers."""
    return Column(name, pa.float64(), meaning, unit)


def flag(name: str, meaning: str) -> Column:
    """A column of true and false."""
    return Column(name, pa.bool_(), meaning)


TRIAL_KEY = text("trial", "key of the trial")
STRATUM = text(
    "stratum", "what is compared: records, prompts (the same records, by what was masked), or canaries@C of C copies"
)
ATTACK = text("attack", "the attack, by its name in docs/attacks.md; auditor is the combination of all signals")
RECORD = text("record", "id of the record")
ROLE = text("role", "role of the record in the trial")
MODEL = text("model", "who wrote: base or tuned")
COPIES = whole("copies", "how often the record was planted, or would have been; 1 for members, 0 for non-members")
PREFIX = real(
    "prefix",
    "the setting: a share of the record's tokens below 1, a number of tokens from 1 on; of a record with an answer its "
    "whole prompt and so much of the answer, 0 for the prompt alone",
)
TEMPERATURE = real("temperature", "of decoding; 0 is greedy")
SUFFIX_TOKENS = whole("suffix_tokens", "length of the true suffix", "tokens")
REASON = text("reason", "why a number is missing or to be read with care; otherwise empty")
NOTE = text("note", "why a number is missing or to be read with care; otherwise empty")
PERPLEXITY_BASE = real("perplexity_base", "of the record, or of its answer where it has one, under the base model")
PERPLEXITY_TUNED = real("perplexity_tuned", "of the record, or of its answer where it has one, under the tuned model")
OUTPUT_PERPLEXITY = real("output_perplexity", "of what was written, under the model that wrote it, before temperature")


def interval(of: str, prefix: str = "") -> tuple[Column, Column]:
    """The two ends of an interval."""
    return real(f"{prefix}low", f"lower end of the interval of {of}"), real(f"{prefix}high", "upper end of it")


TRIAL_COLUMNS = (
    TRIAL_KEY,
    text("matrices", "adapted attention or feed-forward matrices, joined by commas"),
    whole("rank", "LoRA rank"),
    whole("seed", "of initialisation, order and dropout"),
)
TRIAL = tuple(column.name for column in TRIAL_COLUMNS)

# What rows of several tables start with: one attack on a stratum, one record of a trial, one prompted record.
ATTACK_COLUMNS = (TRIAL_KEY, STRATUM, ATTACK)
RECORD_COLUMNS = (TRIAL_KEY, RECORD, ROLE, COPIES)
PROMPTED = (TRIAL_KEY, MODEL, RECORD, ROLE, COPIES, PREFIX, TEMPERATURE)
# Columns that several tables share further on.
ATTACK_PAIR = (text("attack_a", "first attack"), text("attack_b", "second attack"))
SIDES = (
    whole("n_members", "members, or planted canaries, with a score"),
    whole("n_nonmembers", "non-members, or canaries left out, with a score"),
)
