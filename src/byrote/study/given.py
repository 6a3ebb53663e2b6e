"""Trials whose subject exists already: the fine-tuned models that a study gives, with what is known of each."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from byrote.study.labels import SUBJECT, Labelled
from byrote.study.settings import Canaries, Study, Subject


@dataclass(frozen=True)
class Known:
    """What the files of a subject say of it, without its weights being loaded.

    kind: LORA, IA3 and so on by PEFT's word, or model · content: digest of its files · matrices: what it changes, in
    words · rank: LoRA's r, None of others · steps: optimizer steps that it was trained for, None where nobody wrote
    them down · changes: what it changes beside its update · series: the training that it is a checkpoint of, in words:
    the folder that it lies in
    """

    kind: str
    content: str
    matrices: str
    rank: int | None = None
    steps: int | None = None
    changes: tuple[str, ...] = ()
    series: str = ""


@dataclass(frozen=True)
class GivenTrial(Labelled):
    """A trial that trains nothing. `known` is None until the subject's files are read."""

    subject: Subject
    name: str
    canaries: Canaries
    known: Known | None = None

    @property
    def of_files(self) -> Known:
        """What the subject's files say. ValueError where they were not read."""
        if self.known is None:
            raise ValueError(f"the files of {self.name} are not read yet")
        return self.known

    @property
    def matrices(self) -> str:
        """What the subject changes, in words."""
        return self.of_files.matrices

    @property
    def rank(self) -> int | None:
        """LoRA's rank; None of subjects that are no LoRA adapter."""
        return self.of_files.rank

    @property
    def seed(self) -> None:
        """Nobody told it to byrote."""
        return None

    @property
    def settings(self) -> dict[str, dict[str, Any]]:
        """What is known of how the subject was made, as plain values; two subjects are never one configuration."""
        known = self.of_files
        return {
            "subject": {
                "name": self.name,
                "kind": known.kind,
                "content": known.content,
                "changes": [*known.changes],
                "series": known.series,
            },
            "lora": {"rank": known.rank},
            "training": {"steps": known.steps},
            "canaries": self.canaries.model_dump(mode="json"),
        }

    @property
    def label_parts(self) -> list[tuple[str, str]]:
        """The subject's name alone: each is a configuration of its own."""
        return [(SUBJECT, self.name)]


def given_trials(study: Study) -> tuple[GivenTrial, ...]:
    """A trial for each subject of the study, in order."""
    names = subject_names(study.subjects)
    return tuple(GivenTrial(subject, name, study.canaries) for subject, name in zip(study.subjects, names, strict=True))


def subject_names(subjects: Sequence[Subject]) -> list[str]:
    """What each is called: its own name, else the last part of its path, and as many parts before it as tell subjects
    apart."""
    tails = apart([subject.source for subject in subjects])
    return [subject.name or tail for subject, tail in zip(subjects, tails, strict=True)]


def apart(paths: Sequence[str]) -> list[str]:
    """The last part of each path, and as many parts before it as tell it from the others; a path that stands there
    twice whole."""
    parts = [tuple(part for part in PurePath(path).parts if part not in ("/", ".", "..", "~")) for path in paths]
    longest = max(map(len, parts), default=1)
    counts = [Counter("/".join(other[-length:]) for other in parts) for length in range(1, longest + 1)]
    return [
        next((tail for tail, count in zip(_tails(own, longest), counts, strict=True) if count[tail] == 1), path)
        for path, own in zip(paths, parts, strict=True)
    ]


def _tails(parts: Sequence[str], longest: int) -> Iterator[str]:
    return ("/".join(parts[-length:]) for length in range(1, longest + 1))
