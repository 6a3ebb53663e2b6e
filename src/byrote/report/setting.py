"""A study in words: what was measured, on what, with which settings."""

from collections.abc import Mapping, Sequence
from typing import Any

from byrote.report.page import Grid
from byrote.report.words import count, listing, percent
from byrote.study import Canaries, ManifestCanaries, NoCanaries, SingleCanary, Study
from byrote.study.given import subject_names
from byrote.study.settings import FROM_ADAPTER, NO_BASE


def setting_sentences(study: Study) -> list[str]:
    """The study's purpose and its parts."""
    asked = (
        "attacked: membership inference asks whether a record was among the members; prompted generation asks whether "
        "the model completes a record from its first part; untargeted extraction asks whether it writes records by "
        "itself."
    )
    if study.subjects:
        return [*_given(study, asked), _canaries(study.canaries)]
    grids = [
        listing([f"{_axis(name)} ({listing([_value(v) for v in values])})" for name, values in grid.items()])
        for grid in study.grids
    ]
    axes = [grid for grid in grids if grid]
    varied = f"What varies between trials: {'; '.join(axes)}." if axes else "One configuration was trained."
    return [
        f"The base model {study.model.source} was fine-tuned with LoRA on the members of the corpus "
        f"{study.corpus.source}, then {asked}",
        varied,
        _canaries(study.canaries),
    ]


def _given(study: Study, asked: str) -> list[str]:
    """What was measured where nothing was trained: the subjects, and what they are compared with."""
    names = listing(subject_names(study.subjects))
    whole = "a fine-tuned model that was given" if len(study.subjects) == 1 else "fine-tuned models that were given"
    compared = {
        NO_BASE: "There is no base model to compare with: attacks that need one were not run, and no figure says what "
        "the model knew before fine-tuning.",
        FROM_ADAPTER: "The base model is the one that the adapter's configuration names.",
    }
    base = compared.get(study.model.source, f"The base model is {study.model.source}.")
    return [f"Measured: {names}, {whole}, {asked} {base}"]


def _axis(name: str) -> str:
    return name.removeprefix("lora.").replace("_", " ").replace(".", " ")


def _value(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)


def _canaries(plan: Canaries) -> str:
    if isinstance(plan, NoCanaries):
        return "No canary was planted."
    if isinstance(plan, SingleCanary):
        return "In each trial one record, the canary, overwrote as many others as it has copies."
    if isinstance(plan, ManifestCanaries):
        return "Before the training canaries were put into the members' file, each planted or left out by a fair coin."
    copies = listing([str(c) for c in sorted(set(plan.copies))], "or")
    share = percent(plan.inclusion, 0)
    canaries = count(plan.count, "canary", "canaries")
    return f"{canaries} of {copies} copies took part, each planted with probability {share}."


def setting_grid(study: Study) -> Grid:
    """Every setting of the study that has a value, under its dotted name."""
    rooms = ("model", "corpus", "canaries", "lora", "training", "membership", "extraction")
    if study.subjects:  # nothing is trained
        rooms = tuple(room for room in rooms if room not in ("lora", "training"))
    rooms += ("statistics", "claims", "controls", "audit", "decide")
    rows = [[name, text] for room in rooms for name, text in _flat(room, getattr(study, room).model_dump())]
    for number, grid in enumerate(study.grids, 1):
        room = f"grid {number}" if len(study.grids) > 1 else "grid"
        rows += [[f"{room}.{name}", listing([_value(v) for v in values])] for name, values in grid.items()]
    note = "An axis of the grid overrides the setting of the same name in each trial."
    return Grid("Settings of the study", ["setting", "value"], [["seed", str(study.seed)], *rows], 2, note)


def _flat(name: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [pair for key, inner in value.items() for pair in _flat(f"{name}.{key}", inner)]
    if value is None:
        return []
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [(name, ", ".join(str(item) for item in value))]
    return [(name, str(value))]


def seed_words(study: Study, seeds: Sequence[Any]) -> str:
    """Which seeds fixed what."""
    text = f"Study seed {study.seed}"
    if len(seeds):
        text += f"; seeds of the trials (initialisation, order, dropout): {listing([str(seed) for seed in seeds])}"
    return f"{text}; seed of prompts and sampling: {study.extraction.seed}."
