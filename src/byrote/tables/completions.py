# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""Rows about what models wrote: completions beside the true suffixes, draws to a suffix, and the rates of both."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from byrote.extraction import METRICS, Pair, keywords_in, tfidf_cosine
from byrote.records import Assignment, Completion, Record, Role, TokenScores
from byrote.statistics.draws import draws_needed, extraction_rate
from byrote.statistics.intervals import clopper_pearson
from byrote.store import Run
from byrote.tables.compared import present
from byrote.tables.perplexity import perplexity, perplexity_of_each

Row = dict[str, Any]
SHARES = (*(name for name, metric in METRICS.items() if metric.bounds == (0.0, 1.0)), "tfidf_cosine")
_HEAD = ("trial", "model", "role", "copies", "prefix", "temperature")
_interval = lru_cache(maxsize=1 << 14)(clopper_pearson)  # the same counts come again and again


def completions_of(run: Run, stage: str | None) -> list[Completion]:
    """Completions of a stage; none where it is not finished or was not asked for."""
    return run.completions(stage) if stage and run.has(stage) else []


Key = tuple[str, int, tuple[int, ...], str]


@dataclass(frozen=True, eq=False)
class Judged:
    """Metrics of completions, each measured once: the base model's stand beside every trial, and trials write alike."""

    records: Mapping[str, Record]
    measured: dict[Key, Row] = field(default_factory=dict[Key, Row])

    def metrics(self, completions: Sequence[Completion], background: Sequence[str]) -> list[Row]:
        """Every metric of every completion, NaN as None. background: non-members' texts, which tell rare words; without
        them (texts removed) `tfidf_cosine` is missing."""
        new = {key: self._pair(c) for c in completions if (key := _key(c)) not in self.measured}
        pairs = list(new.values())
        known = any(text.strip() for text in background)
        cosines = tfidf_cosine(pairs, background).tolist() if known and pairs else [math.nan] * len(pairs)
        for (key, pair), cosine in zip(new.items(), cosines, strict=True):
            row = {name: metric.score(pair) for name, metric in METRICS.items()} | {"tfidf_cosine": cosine}
            self.measured[key] = present(**row)
        return [self.measured[_key(c)] for c in completions]

    def _pair(self, c: Completion) -> Pair:
        record = self.records[c.record]
        suffix = record.token_ids[c.prefix_tokens :][: c.suffix_tokens]
        keywords = keywords_in(record.spans, c.suffix_text)
        return Pair(c.token_ids, suffix, c.text, c.suffix_text, keywords)


def _key(c: Completion) -> Key:
    """What a completion's metrics depend on, besides the non-members' texts, which are the same in all trials."""
    return c.record, c.prefix_tokens, c.token_ids, c.text


def extraction_rows(
    roles: Sequence[Assignment],
    judged: Judged,
    models: Mapping[str, TokenScores | None],
    base: Sequence[Completion],
    tuned: Sequence[Completion],
) -> Iterator[Row]:
    """One row a completion of the trial's prompts, the base model's first; none where the trial wrote nothing.

    models: token scores by the column of their perplexity of the record.
    """
    prompted = {c.record for c in tuned}
    of = {a.record: a for a in roles if a.record in prompted}
    known = {name: record_perplexities(scores, sorted(prompted)) for name, scores in models.items()}
    background = [judged.records[a.record].text for a in roles if a.role is Role.NONMEMBER]
    for model, completions in (("base", [c for c in base if c.record in prompted]), ("tuned", tuned)):
        for c, metrics in zip(completions, judged.metrics(completions, background), strict=True):
            columns = ("record", "prefix", "temperature", "sample", "prefix_tokens", "suffix_tokens")
            yield {
                **{"model": model, "role": of[c.record].role.value, "copies": of[c.record].copies},
                **{name: getattr(c, name) for name in columns},
                **metrics,
                **{name: values.get(c.record) for name, values in known.items()},
                **present(output_perplexity=perplexity(c.logprob)),
            }


def record_perplexities(scores: TokenScores | None, records: Sequence[str]) -> dict[str, float]:
    """exp of the mean NLL of each record that has scored tokens."""
    if scores is None:
        return {}
    each = zip(records, perplexity_of_each(scores, records).tolist(), strict=True)
    return {record: value for record, value in each if not math.isnan(value)}


def draw_rows(
    run: Run, roles: Sequence[Assignment], stages: Mapping[str, str | None], chances: Sequence[float]
) -> Iterator[Row]:
    """How likely each true suffix is drawn, and in how many draws it comes with each of `chances`, without sampling.

    stages: the completions of the tuned model, then of the base model, which is asked more where trials differ.
    """
    of = {a.record: a for a in roles}
    suffixes_by_model = {model: _suffixes(run, stage) for model, stage in stages.items()}
    prompted = {row["record"] for row in suffixes_by_model["tuned"]}
    for model, suffixes in suffixes_by_model.items():
        kept = [row for row in suffixes if row["record"] in prompted]
        log_p = np.array([row["log_probability"] for row in kept], dtype=float)
        for chance in chances:
            for row, draws in zip(kept, draws_needed(log_p, chance).tolist(), strict=True):
                columns = ("record", "prefix", "temperature", "suffix_tokens", "log_probability")
                yield {
                    **{"model": model, "role": of[row["record"]].role.value, "copies": of[row["record"]].copies},
                    **{name: row[name] for name in columns},
                    **{"chance": chance, "draws_for_chance": draws},
                }


def _suffixes(run: Run, stage: str | None) -> list[Row]:
    """None in a run folder that is older than this file."""
    there = stage and run.has(stage) and (run.path / stage / "suffixes.parquet").is_file()
    return run.suffixes(stage).to_pylist() if stage and there else []


# --- rates ------------------------------------------------------------------------------------------------------


def extraction_rates(rows: Sequence[Row], thresholds: Sequence[float], level: float) -> Iterator[Row]:
    """Records with a completion at or above each threshold of each metric that is a share.

    rows: of the table extraction. A record counts once, by its best sample, for samples of one record are not
    independent; base and tuned model have as many. `verbatim` has one threshold. A record without a value (no keyword
    in its suffix, say) is not counted in `of`.
    """
    for head, group in _grouped(rows):
        for metric in SHARES:
            best: dict[str, float] = {}
            for row in group:
                value = row.get(metric)
                if value is not None and not math.isnan(value):
                    best[row["record"]] = max(best.get(row["record"], 0.0), float(value))
            for threshold in thresholds if metric != "verbatim" else (1.0,):
                hits = sum(value >= threshold for value in best.values())
                yield {**head, "metric": metric, "threshold": float(threshold), **_rate(hits, len(best), level)}


def draw_rates(rows: Sequence[Row], draws: Sequence[int], level: float) -> Iterator[Row]:
    """Records whose suffix comes within so many draws with at least each chance of the rows (Hayes et al. 2024).

    rows: of the table draws. The metric is `draws<=n`, its threshold n.
    """
    for head, group in _grouped(rows, (*_HEAD, "chance")):
        log_p = np.array([row["log_probability"] for row in group], dtype=float)
        for most in draws:
            rate = _rate(*extraction_rate(log_p, most, head["chance"]), level)
            yield {**head, "metric": f"draws<={most}", "threshold": float(most), **rate}


def _grouped(rows: Sequence[Row], names: Sequence[str] = _HEAD) -> Iterator[tuple[Row, list[Row]]]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    for key, group in groups.items():
        yield dict(zip(names, key, strict=True)), group


def _rate(hits: int, of: int, level: float) -> Row:
    low, high = _interval(hits, of, level)
    return {"hits": hits, "of": of, **present(rate=hits / of if of else math.nan, low=low, high=high)}
