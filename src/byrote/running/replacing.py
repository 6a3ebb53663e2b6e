"""A run folder keeps its study: what would drop a planned trial, or change what all trials rest on, has to be asked
for."""

from collections.abc import Iterator
from typing import Any

from byrote.errors import StoreError
from byrote.listener import Listener
from byrote.planting.written import Recipe
from byrote.running.planning import Prepared
from byrote.store import Run
from byrote.study import Study

_CONTENTS = {"corpus_sha256": "the corpus", "base_model_sha256": "the base model", "tokenizer_sha256": "the tokenizer"}
_MOST = 20  # trials that an error lists


def refuse_replacing(store: Run, prepared: Prepared, listener: Listener) -> None:
    """StoreError where a prepared study would drop planned trials of the run, or changes corpus, model, tokenizer,
    precision or quantization. More trials, attacks, prompts and statistics are additions."""
    plan = _plan(store, listener)
    if plan is None:
        return
    kept = {planned.key for planned in prepared.planned}
    dropped = [row["label"] for row in plan["trials"] if row["trial"] not in kept]
    _refuse(store, dropped, list(_changes(store.study(), prepared)))


def refuse_other_canaries(store: Run, recipe: Recipe, listener: Listener) -> None:
    """StoreError where the run has trials, and canaries other than those that the base model is to write now: no trial
    would keep its records."""
    plan = _plan(store, listener)
    known = plan is not None and (plan.get("canaries") == recipe.stage or (store.path / recipe.stage).is_dir())
    if plan is not None and not known:
        _refuse(store, [row["label"] for row in plan["trials"]], ["the base model would write other canaries"])


def _refuse(store: Run, dropped: list[str], changes: list[str]) -> None:
    if not dropped and not changes:
        return
    named = "; ".join(dropped[:_MOST]) + (f"; and {len(dropped) - _MOST} more" if len(dropped) > _MOST else "")
    trials = "1 planned trial" if len(dropped) == 1 else f"{len(dropped)} planned trials"
    losses = f"; {trials} would be dropped: {named}" if dropped else ""
    reasons = f" ({', '.join(changes)})" if changes else ""
    raise StoreError(
        f"{store.place} holds the results of another study{reasons}{losses}. Name another folder with --out, or reuse "
        "this one with --replace: what is dropped stays until `byrote clean`"
    )


def _plan(store: Run, listener: Listener) -> dict[str, Any] | None:
    """The plan of a run that exists; None where it cannot be read and so protects nothing; the listener is told."""
    if not (store.path / "plan.json").is_file():
        return None
    try:
        return store.plan()
    except StoreError as error:
        listener.say(f"{error}; it is written again, and `byrote status` shows the trials that only it planned")
        return None


def _changes(before: Study, prepared: Prepared) -> Iterator[str]:
    """What all trials rest on and the new study has otherwise, in words; what an older run did not keep is not
    compared."""
    old, new = before.provenance or {}, prepared.provenance()
    yield from (f"{what} is another" for name, what in _CONTENTS.items() if old.get(name, new[name]) != new[name])
    if old.get("precision", new["precision"]) != new["precision"]:
        yield f"model.precision is {new['precision']} but was {old['precision']}"
    was, now = before.model.quantization, prepared.study.model.quantization
    if was != now:
        yield f"model.quantization is {now} but was {was}"
