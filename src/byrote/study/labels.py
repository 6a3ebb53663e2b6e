"""What a reader calls a trial: parts, each the setting that it tells of and its words, joined only to be shown.

plan.json keeps the parts as pairs; the column `varied` of the table of trials keeps the words of those that have no
column of their own.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, cast

SEPARATOR = " · "
SUBJECT = "subject"  # the one part of the label of a subject that is given
OWN_COLUMNS = ("lora.matrices", "lora.rank", "training.seed")  # the first two parts of every label and the last

Parts = Sequence[Sequence[str]]  # (setting, words) each


def label_parts(matrices: str, rank: int, seed: int, axes: Iterable[tuple[str, Any]]) -> list[tuple[str, str]]:
    """Matrices, rank, what else varies in the grid, seed. axes: names and values of the grid, those three among them
    or not."""
    others = [
        (name, f"{name.split('.')[-1].replace('_', ' ')} {_short(value)}")
        for name, value in axes
        if name not in (*OWN_COLUMNS, "seed")
    ]
    return _between(matrices, f"rank {rank}", others, f"seed {seed}")


def joined(words: Iterable[str]) -> str:
    """Words as they are shown together; empty ones are left out."""
    return SEPARATOR.join(filter(None, words))


def label_of_parts(parts: Parts) -> str:
    """A trial's label."""
    return joined(words for _, words in parts)


def label_without_seeds(parts: Parts) -> str:
    """A trial's label without its seeds, of training and canaries: what a reader calls the configuration."""
    return joined(words for setting, words in parts if setting.split(".")[-1] != "seed")


def varied_to_text(parts: Parts) -> str:
    """The words of what varies beyond matrices, rank and the trial's own seed, as the table of trials holds them."""
    words = [words for setting, words in parts if setting not in OWN_COLUMNS]
    return json.dumps(words, ensure_ascii=False) if words else ""


def varied_from_text(text: Any) -> list[str]:
    """Those words again; none where the table's cell is empty or missing."""
    return json.loads(text) if isinstance(text, str) and text else []


def parts_of_an_older_label(label: str) -> list[tuple[str, str]]:
    """The parts of a label of a plan.json that kept no parts. What varies has its setting by the last name alone."""
    matrices, rank, *others, seed = label.split(SEPARATOR)
    return _between(matrices, rank, [(words.rpartition(" ")[0].replace(" ", "_"), words) for words in others], seed)


def _between(matrices: str, rank: str, others: list[tuple[str, str]], seed: str) -> list[tuple[str, str]]:
    first, second, last = zip(OWN_COLUMNS, (matrices, rank, seed), strict=True)
    return [first, second, *others, last]


def _short(value: Any) -> str:
    return ",".join(map(str, cast("Sequence[object]", value))) if isinstance(value, list | tuple) else str(value)


class Labelled:
    """What has a label: `label_parts` are the setting and its words each."""

    @property
    def label_parts(self) -> list[tuple[str, str]]:
        """The parts of the label."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """What a reader calls this trial."""
        return label_of_parts(self.label_parts)

    @property
    def configuration_label(self) -> str:
        """The label without its seeds."""
        return label_without_seeds(self.label_parts)
